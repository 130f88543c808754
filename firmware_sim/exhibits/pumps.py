"""Syringe pumps at the ends of their serial lines; a number is the rate that they answer next."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from contract.exhibit import DEVICE_ID, Device, Exhibit, Place, Reach
from drivers.alaris import codec as alaris
from drivers.fresenius import codec as fresenius
from firmware_sim.alaris.encode import encode as alaris_message
from firmware_sim.alaris.pump import AlarisPump, Syringe
from firmware_sim.fresenius.encode import encode as fresenius_frame
from firmware_sim.fresenius.pumps import Pump, PumpLine
from gateway.domain import terms
from gateway.domain.errors import MalformedError

MODULE = 3


class AlarisDevice(Device):
    """Says nothing by itself, and shows no rate before it has one."""

    def __init__(self) -> None:
        super().__init__()
        self._pump = AlarisPump(Syringe(rate_ml_h=None))

    def receive(self, data: bytes) -> Sequence[bytes]:
        return self._pump.receive(data)

    def show(self, number: float) -> Sequence[bytes]:
        self._pump.shown.rate_ml_h = number
        return ()


class FreseniusDevice(Device):
    """A pump in a base; it asks now and then whether somebody is there."""

    def __init__(self) -> None:
        super().__init__()
        self._pump = Pump(rate_ml_h=None)
        self._line = PumpLine({MODULE: self._pump}, strict=False)

    def opened(self) -> Sequence[bytes]:
        self._line.switch_on()
        return ()

    def receive(self, data: bytes) -> Sequence[bytes]:
        return self._line.receive(data)

    def show(self, number: float) -> Sequence[bytes]:
        self._pump.rate_ml_h = number
        return ()

    def tick(self) -> Sequence[bytes]:
        return self._line.tick(time.monotonic())


def _config(place: Place, **more: Any) -> Mapping[str, Any]:
    port = f"socket://127.0.0.1:{place.port}"
    return {"pumps": [{"device_id": DEVICE_ID, "port": port, "poll_s": 0.5, **more}]}


def _messages(stream: bytes) -> list[object]:
    """Messages of an Alaris pump.

    Raises:
        MalformedError: something is damaged.
    """
    found: list[object] = []
    for each in alaris.MessageDecoder().feed(stream):
        if isinstance(each, alaris.Damage):
            raise MalformedError(each.reason)
        found.append(each)
    return found


def _frames(stream: bytes) -> list[object]:
    """Frames of a Fresenius line.

    Raises:
        MalformedError: something is damaged.
    """
    found: list[object] = []
    for each in fresenius.FrameDecoder().feed(stream):
        if isinstance(each, fresenius.Damage):
            raise MalformedError(each.reason)
        found.append(each)
    return found


ALARIS = Exhibit(
    driver="alaris",
    reach=Reach.DIALLED,
    config=_config,
    device=AlarisDevice,
    code=terms.FLOW_RATE,
    guarded=True,
    endless=b"!INF^8002-51740^",
    filler=b"0",
    decode=_messages,
    frames=(
        AlarisPump().status(),
        alaris_message("INF_VTBI", "ACTIV", "11.000", "ml", "STOP"),
        alaris_message("ALARM", "AL_OCCLU", "OCCLUSION", ""),
        alaris_message("SYRINGE_STATUS", "BD PLASTIPAK", " 50", "CONF"),
    ),
)
FRESENIUS = Exhibit(
    driver="fresenius",
    reach=Reach.DIALLED,
    config=lambda place: _config(place, module=MODULE),
    device=FreseniusDevice,
    code=terms.FLOW_RATE,
    guarded=True,
    endless=b"\x023C;",
    filler=b"d",
    decode=_frames,
    frames=(
        fresenius_frame(MODULE, "C"),
        fresenius_frame(MODULE, "C", "a0000;d0023;e0000;m1;r000004D2"),
        fresenius_frame(MODULE, "C", "Noradrenaline"),
        fresenius_frame(MODULE, "I", "1E"),
        b"\x05",
        b"\x06",
        fresenius.DAMAGED,
    ),
)
