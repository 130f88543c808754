"""Monitors and oximeters at the ends of their serial lines."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from contract.exhibit import DEVICE_ID, Device, Exhibit, Place, Reach
from drivers.datex_s5 import codec as dri
from drivers.datex_s5 import framing
from drivers.ivy450c import codec as ivy
from drivers.masimo import codec as masimo
from firmware_sim.datex_s5 import encode
from firmware_sim.datex_s5.monitor import Monitor as DatexMonitor
from firmware_sim.datex_s5.monitor import Screen as DatexScreen
from firmware_sim.ivy450c.monitor import Monitor as IvyMonitor
from firmware_sim.ivy450c.monitor import Screen as IvyScreen
from firmware_sim.masimo.oximeter import Screen as MasimoScreen
from firmware_sim.masimo.oximeter import rad8
from gateway.domain import terms
from gateway.domain.errors import MalformedError


class IvyDevice(Device):
    """Says each number in a message of its own."""

    def show(self, number: float) -> Sequence[bytes]:
        return (IvyMonitor(lambda: IvyScreen({terms.HEART_RATE: number})).message(),)


class MasimoDevice(Device):
    """Says each number in a line of its own."""

    def show(self, number: float) -> Sequence[bytes]:
        screen = MasimoScreen({terms.SPO2: 97.0, terms.PULSE_RATE: number})
        return (rad8(screen, datetime.now(UTC)),)


class DatexDevice(Device):
    """Answers requests, and says each number at once."""

    def __init__(self) -> None:
        super().__init__()
        self._screen = DatexScreen({})
        self._monitor = DatexMonitor(lambda: self._screen, lambda: int(time.time()))

    def opened(self) -> Sequence[bytes]:
        self._monitor.restart()
        return ()

    def receive(self, data: bytes) -> Sequence[bytes]:
        return self._monitor.receive(data)

    def show(self, number: float) -> Sequence[bytes]:
        self._screen = DatexScreen({terms.HEART_RATE: number})
        shown = encode.physiological(int(time.time()), self._screen.values)
        return (framing.encode(shown),)

    def tick(self) -> Sequence[bytes]:
        return self._monitor.tick(time.monotonic())


def _config(entries: str, place: Place, **more: str) -> Mapping[str, Any]:
    port = f"socket://127.0.0.1:{place.port}"
    return {entries: [{"device_id": DEVICE_ID, "port": port, **more}]}


def _sound(found: Sequence[Any]) -> Sequence[Any]:
    """What was found, if nothing of it is damaged.

    Raises:
        MalformedError: something is.
    """
    for each in found:
        if isinstance(each, ivy.Damage | masimo.Damage | framing.Damage):
            raise MalformedError(each.reason)
    return found


IVY = Exhibit(
    driver="ivy450c",
    reach=Reach.DIALLED,
    config=lambda place: _config("monitors", place),
    device=IvyDevice,
    code=terms.HEART_RATE,
    endless=b"\xff",
    filler=b"\x78",
    decode=lambda frame: _sound(ivy.MessageDecoder().feed(frame)),
    frames=tuple(IvyDevice().show(72.0)),
)
MASIMO = Exhibit(
    driver="masimo",
    reach=Reach.DIALLED,
    config=lambda place: _config("oximeters", place),
    device=MasimoDevice,
    code=terms.PULSE_RATE,
    endless=b"01/02/26 SN=",
    filler=b"0",
    decode=lambda frame: _sound(masimo.LineDecoder().feed(frame)),
    frames=tuple(MasimoDevice().show(72.0)),
)
DATEX = Exhibit(
    driver="datex_s5",
    reach=Reach.DIALLED,
    config=lambda place: _config("monitors", place, flow_control="none"),
    device=DatexDevice,
    code=terms.HEART_RATE,
    guarded=True,
    endless=b"\x7e",
    filler=b"\x55",
    decode=lambda frame: [
        dri.decode(record) for record in _sound(framing.FrameDecoder().feed(frame))
    ],
    frames=(
        *DatexDevice().show(72.0),
        framing.encode(encode.alarms(1, ())),
        framing.encode(encode.curves(1, ((1, 0, (1, 2, 3)),))),
    ),
)
