"""A monitor at the end of a serial line, and one on a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contract.exhibit import DEVICE_ID, Device, Exhibit, Place, Reach
from drivers.intellivue import framing, messages, requests
from drivers.intellivue.attributes import AbsoluteTime
from drivers.intellivue.framing import Damage, FrameDecoder
from drivers.intellivue.nomenclature import Group, ObjectClass
from drivers.intellivue.session import OPTIONS
from firmware_sim.intellivue import encode
from firmware_sim.intellivue.line import MonitorLine
from firmware_sim.intellivue.monitor import Monitor
from firmware_sim.intellivue.screen import Screen
from gateway.clock import SystemClock
from gateway.domain import terms
from gateway.domain.errors import MalformedError

CODE = terms.HEART_RATE


class MonitorDevice(Device):
    """The simulated monitor, which replies with each number at once."""

    def __init__(self) -> None:
        super().__init__()
        self._said: list[bytes] = []
        self._screen = Screen({})
        self._monitor = Monitor(lambda: self._screen, SystemClock())
        self._line = MonitorLine(self._monitor, self._said.append)

    def opened(self) -> Sequence[bytes]:
        self._monitor.unplugged()
        return ()

    def receive(self, data: bytes) -> Sequence[bytes]:
        self._line.feed(data)
        return self._take()

    def show(self, number: float) -> Sequence[bytes]:
        self._screen = Screen({CODE: number})
        self._line.show()
        return self._take()

    def tick(self) -> Sequence[bytes]:
        self._line.tick()
        return self._take()

    def _take(self) -> Sequence[bytes]:
        said = tuple(self._said)
        self._said.clear()
        return said


class LanMonitorDevice(Device):
    """The same with a datagram for each message."""

    def __init__(self) -> None:
        super().__init__()
        self._screen = Screen({})
        self._monitor = Monitor(lambda: self._screen, SystemClock())

    def opened(self) -> Sequence[bytes]:
        self._monitor.unplugged()
        return ()

    def receive(self, data: bytes) -> Sequence[bytes]:
        return self._monitor.receive(data)

    def show(self, number: float) -> Sequence[bytes]:
        self._screen = Screen({CODE: number})
        return self._monitor.show()

    def tick(self) -> Sequence[bytes]:
        return self._monitor.tick()


def config(place: Place) -> Mapping[str, Any]:
    port = f"socket://127.0.0.1:{place.port}"
    return {"monitors": [{"device_id": DEVICE_ID, "port": port, "silence_s": 3.0}]}


def lan_config(place: Place) -> Mapping[str, Any]:
    address = f"127.0.0.1:{place.port}"
    return {"monitors": [{"device_id": DEVICE_ID, "address": address, "silence_s": 3.0}]}


def decode(frame: bytes) -> object:
    """Frame and message.

    Raises:
        MalformedError: one of the two is damaged.
    """
    decoded = []
    for found in FrameDecoder().feed(frame):
        if isinstance(found, Damage):
            raise MalformedError(found.reason)
        decoded.append(messages.decode(found))
    return decoded


PAYLOADS = (
    encode.ABORT,
    encode.REFUSE,
    encode.accept(8000, OPTIONS),
    requests.released(),
    encode.create_event(1, 1, encode.mds_attributes(1, AbsoluteTime(2026, 1, 2, 3, 4, 5, 0), "7")),
    requests.single_poll(1, 1, ObjectClass.NUMERIC, Group.OBSERVED_VALUES),
)

EXHIBIT = Exhibit(
    driver="intellivue",
    reach=Reach.DIALLED,
    config=config,
    device=MonitorDevice,
    code=CODE,
    guarded=True,
    endless=b"\xc0",
    filler=b"\x55",
    decode=decode,
    frames=tuple(map(framing.encode, PAYLOADS)),
)
LAN = Exhibit(
    driver="intellivue_lan",
    reach=Reach.UDP,
    config=lan_config,
    device=LanMonitorDevice,
    code=CODE,
    decode=messages.decode,
    frames=PAYLOADS,
)
