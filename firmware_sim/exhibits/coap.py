"""A device that posts over CoAP and DTLS, with confirmable messages (RFC 7252)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contract.exhibit import DEVICE_ID, Device, Exhibit, Place, Reach
from firmware_sim.exhibits import bedside
from firmware_sim.exhibits.bedside import Messages

POST, CHANGED = 0x02, 0x44
CONFIRMABLE_TOKEN_1 = 0x41
ACKNOWLEDGEMENT_TOKEN_1 = 0x61
AGAIN_TICKS = 50
"""Until a message without an answer, or with 5.03, comes again."""


def option(delta: int, value: bytes) -> bytes:
    """An option whose delta and length fit the first byte, or whose length needs one more."""
    if len(value) < 13:
        return bytes((delta << 4 | len(value),)) + value
    return bytes((delta << 4 | 13, len(value) - 13)) + value


def post(message_id: int, payload: bytes) -> bytes:
    """A confirmable POST of a JSON payload, with a token of one byte."""
    path = option(11, b"devices") + option(0, DEVICE_ID.encode()) + option(0, b"vitals")
    head = bytes((CONFIRMABLE_TOKEN_1, POST)) + message_id.to_bytes(2, "big") + b"\x01"
    return head + path + option(1, b"\x32") + b"\xff" + payload


class CoapDevice(Device):
    """Every message waits for its own answer."""

    def __init__(self) -> None:
        super().__init__()
        self._messages = Messages(self.confirmed)
        self._sent: dict[int, float] = {}
        self._due: dict[float, int] = {}
        self._message_id = 0

    def opened(self) -> Sequence[bytes]:
        self._sent.clear()
        return [self._post(number) for number in self._messages.owed]

    def receive(self, data: bytes) -> Sequence[bytes]:
        if len(data) < 4 or data[0] != ACKNOWLEDGEMENT_TOKEN_1 or data[1] != CHANGED:
            return ()
        number = self._sent.pop(int.from_bytes(data[2:4], "big"), None)
        if number is not None:
            self._due.pop(number, None)
            self._messages.acknowledged(number)
        return ()

    def show(self, number: float) -> Sequence[bytes]:
        self._messages.show(number)
        return (self._post(number),)

    def tick(self) -> Sequence[bytes]:
        for number in self._due:
            self._due[number] -= 1
        return [self._post(number) for number, ticks in list(self._due.items()) if ticks <= 0]

    def _post(self, number: float) -> bytes:
        self._message_id += 1
        self._sent[self._message_id] = number
        self._due[number] = AGAIN_TICKS
        return post(self._message_id, self._messages.owed[number])


def config(_: Place) -> Mapping[str, Any]:
    return {"listen": ("127.0.0.1:0",)}


EXHIBIT = Exhibit(
    driver="coap",
    reach=Reach.DTLS,
    config=config,
    device=CoapDevice,
    code=bedside.CODE,
    acknowledges=True,
    decode=bedside.decode,
    frames=bedside.FRAMES,
)
