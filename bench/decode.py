"""How fast each driver takes in what its device says, against the fastest that the device can send.

Serial drivers: a simulated device and the driver's dialogue (codec, state, mapping to records) talk
in memory, and the time within ``receive`` is what counts; the device's fastest is its line's.
Others: the codec alone, in messages.
"""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Any, Final

from contract.exhibit import DEVICE_ID, Exhibit, Place, exhibits
from drivers.base.dialogue import Dialogue, Moment, Said
from gateway import plugins, tomlfile
from gateway.domain.devices import Device
from gateway.domain.records import Attestation, Provenance

SECONDS: Final = 2.0
"""Of each driver."""
NUMBERS: Final = range(40, 191)


async def decode() -> dict[str, Any]:
    """Every driver that is registered."""
    return await asyncio.to_thread(_decode)


def _decode() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for exhibit in exhibits():
        factory: Any = plugins.factory(exhibit.driver)
        if hasattr(factory, "protocol"):
            found[exhibit.driver] = _line(exhibit, factory)
        else:
            found[exhibit.driver] = _messages(exhibit)
    return found


def _line(exhibit: Exhibit, factory: Any) -> dict[str, Any]:
    table = dict(exhibit.config(Place(1)))
    config: Any = tomlfile.convert(table, factory.config_type, base=Path("/"), where=exhibit.driver)
    bound = config.bound[0]
    provenance = Provenance(exhibit.driver, Attestation.PORT, getattr(bound, "port", ""))
    dialogues = factory.protocol.dialogues(bound, provenance, random.Random(1))
    talk = _Talk(exhibit, dialogues(Device(DEVICE_ID, kind="monitor", bed="7", ward="icu")))
    talk.run()
    if not hasattr(bound, "settings"):
        return {"bytes_per_s": round(talk.heard / talk.spent_s), "records": talk.records}
    line = bound.settings()
    bits = 1 + line.data_bits + (line.parity != "none") + line.stop_bits
    return {
        "bytes_per_s": round(talk.heard / talk.spent_s),
        "records": talk.records,
        "line": f"{line.baud_rate} baud",
        "times": round(talk.heard / talk.spent_s / (line.baud_rate / bits)),
    }


class _Talk:
    """A device and a dialogue, as fast as they can."""

    def __init__(self, exhibit: Exhibit, dialogue: Dialogue) -> None:
        self._device, self._dialogue = exhibit.device(), dialogue
        self.heard = self.records = 0
        self.spent_s = 0.0

    def run(self) -> None:
        """Talk for a while."""
        began = time.monotonic()
        list(self._dialogue.begin(self._now()))
        self._answer()
        self._hear(self._device.opened())
        shown = 0
        while time.monotonic() - began < SECONDS:
            self._hear(self._device.show(float(NUMBERS[shown % len(NUMBERS)])))
            self._hear(self._device.tick())
            shown += 1
            due = self._dialogue.deadline()
            if due is not None and due <= time.monotonic():
                list(self._dialogue.tick(self._now()))
                self._answer()

    def _hear(self, frames: Any) -> None:
        for frame in frames:
            began = time.thread_time()
            events = list(self._dialogue.receive(frame, self._now()))
            self.spent_s += time.thread_time() - began
            self.heard += len(frame)
            self.records += sum(len(each.records) for each in events if isinstance(each, Said))
            self._answer()

    def _answer(self) -> None:
        said, self._dialogue.output[:] = list(self._dialogue.output), ()
        for data in said:
            self._hear(self._device.receive(data))

    def _now(self) -> Moment:
        return Moment(time.monotonic(), time.time_ns() // 1000)


def _messages(exhibit: Exhibit) -> dict[str, Any]:
    began, count = time.thread_time(), 0
    while time.thread_time() - began < SECONDS / 2:
        for frame in exhibit.frames:
            exhibit.decode(frame)
        count += len(exhibit.frames)
    return {"messages_per_s": round(count / (time.thread_time() - began))}
