"""A device that speaks the bedside payload, whatever carries it: what it owes the gateway."""

from __future__ import annotations

from drivers.bedside.codec import Vitals, decode_json, encode_json
from gateway.domain import terms

CODE = terms.HEART_RATE
BOOT = "contract"
FRAMES = (
    encode_json(Vitals(v=1, boot=BOOT, n=1, hr=72, spo2=97)),
    b'{"v":1,"boot":"contract","n":2,"drug":"NaCl 0.9 %","prescribed_ml":500,"factor":20}',
)


def decode(payload: bytes) -> object:
    """The payload of either kind.

    Raises:
        MalformedError: it is none.
    """
    return decode_json("drip" if b"drug" in payload else "vitals", payload)


class Messages:
    """Each number is a message with an id, which is the device's until it is acknowledged."""

    def __init__(self, confirmed: set[float]) -> None:
        self.confirmed = confirmed
        self.owed: dict[float, bytes] = {}
        """By number, in the order of showing."""
        self._count = 0

    def show(self, number: float) -> bytes:
        """A new message, owed from now on."""
        self._count += 1
        payload = encode_json(Vitals(v=1, boot=BOOT, n=self._count, hr=number))
        self.owed[number] = payload
        return payload

    def acknowledged(self, number: float) -> None:
        """The gateway has it."""
        self.owed.pop(number, None)
        self.confirmed.add(number)
