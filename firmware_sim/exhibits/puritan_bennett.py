"""A ventilator at the ends of its two serial lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contract.exhibit import DEVICE_ID, Device, Exhibit, Place, Reach
from drivers.puritan_bennett.codec import (
    BreathEnd,
    BreathStart,
    LineDecoder,
    Sample,
    TooLong,
    decode_reply,
    decode_wave_line,
    encode_wave_line,
)
from firmware_sim.puritan_bennett.ventilator import Ventilator
from gateway.clock import SystemClock
from gateway.domain.errors import MalformedError
from gateway.domain.terms import code

END_INSPIRATORY_FIELD = 69
BREATH_SAMPLES = 4


class VentilatorDevice(Device):
    """Port 1; it says what it shows at once, and when it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self._ventilator = Ventilator(SystemClock())
        self._ventilator.fields["MISCF"][END_INSPIRATORY_FIELD] = ""

    def receive(self, data: bytes) -> Sequence[bytes]:
        answer = self._ventilator.receive(data)
        return (answer,) if answer else ()

    def show(self, number: float) -> Sequence[bytes]:
        self._ventilator.fields["MISCF"][END_INSPIRATORY_FIELD] = f"{number:.1f}"
        return (self._ventilator.reply("MISCF"),)


class CurvesDevice(Device):
    """Port 2; a number is the pressure of a breath."""

    def __init__(self) -> None:
        super().__init__()
        self._breath = 0

    def show(self, number: float) -> Sequence[bytes]:
        self._breath += 1
        sample = encode_wave_line(Sample(0.0, number))
        start, end = encode_wave_line(BreathStart(self._breath)), encode_wave_line(BreathEnd())
        return (start, *(sample,) * BREATH_SAMPLES, end)


def config(place: Place) -> Mapping[str, Any]:
    port = f"socket://127.0.0.1:{place.port}"
    return {"ventilators": [{"device_id": DEVICE_ID, "port": port, "flow_control": "none"}]}


def lines(frame: bytes) -> list[bytes]:
    """The lines of a stream.

    Raises:
        MalformedError: one is too long.
    """
    found = []
    for line in LineDecoder().feed(frame):
        if isinstance(line, TooLong):
            raise MalformedError("too_long")
        found.append(line)
    return found


SHOWN = Ventilator(SystemClock())

EXHIBIT = Exhibit(
    driver="puritan_bennett",
    reach=Reach.DIALLED,
    config=config,
    device=VentilatorDevice,
    code=code("PB_PRESS_INSP_END"),
    endless=b"MISCF,1225",
    filler=b" ,",
    decode=lambda frame: [decode_reply(line) for line in lines(frame)],
    frames=(SHOWN.reply("MISCF"), SHOWN.reply("MISCA")),
)
CURVES = Exhibit(
    driver="puritan_bennett_waves",
    reach=Reach.DIALLED,
    config=config,
    device=CurvesDevice,
    code=code("MDC_PRESS_AWAY"),
    endless=b"1.0",
    filler=b"0",
    decode=lambda frame: [decode_wave_line(line) for line in lines(frame)],
    frames=tuple(CurvesDevice().show(17.0)),
)
