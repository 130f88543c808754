"""A ventilator that is asked over MEDIBUS; a number is what it answers next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contract.exhibit import DEVICE_ID, Device, Exhibit, Place, Reach
from drivers.medibus import replies
from drivers.medibus.codec import Code, Command, Damage, Decoder, Response, encode
from drivers.medibus.replies import Entry
from firmware_sim.medibus.device import MedibusDevice
from gateway.clock import SystemClock
from gateway.domain.errors import MalformedError
from gateway.domain.terms import code

OXYGEN = 0xF0
"""Its concentration, in per cent, among the measurements of the first code page."""


class AskedDevice(Device):
    """Says nothing by itself."""

    def __init__(self) -> None:
        super().__init__()
        self._device = MedibusDevice(SystemClock())
        self._device.show(OXYGEN, "")

    def receive(self, data: bytes) -> Sequence[bytes]:
        answer = self._device.receive(data)
        return (answer,) if answer else ()

    def show(self, number: float) -> Sequence[bytes]:
        self._device.show(OXYGEN, f"{number:.0f}")
        return ()


def config(place: Place) -> Mapping[str, Any]:
    port = f"socket://127.0.0.1:{place.port}"
    return {"devices": [{"device_id": DEVICE_ID, "port": port, "poll_s": 1.0, "curves": False}]}


def decode(stream: bytes) -> object:
    """Messages, and the entries of those that are measurements.

    Raises:
        MalformedError: something is damaged.
    """
    decoded: list[object] = []
    for found in Decoder().feed(stream):
        match found:
            case Damage(reason):
                raise MalformedError(reason)
            case Response(Code.DATA_1, body):
                decoded += replies.entries(body, replies.DATA_WIDTH)
            case _:
                decoded.append(found)
    return decoded


EXHIBIT = Exhibit(
    driver="medibus",
    reach=Reach.DIALLED,
    config=config,
    device=AskedDevice,
    code=code("MDC_CONC_AWAY_O2_INSP"),
    guarded=True,
    endless=b"\x01$",
    filler=b"0",
    decode=decode,
    frames=(
        encode(Command(Code.IDENTIFY, b"")),
        encode(
            Response(Code.DATA_1, replies.encode_entries([Entry(OXYGEN, "15")], replies.DATA_WIDTH))
        ),
    ),
)
