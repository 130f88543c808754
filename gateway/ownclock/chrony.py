"""The monitoring protocol of chronyd: the question for its tracking, and the answer.

Version 6 of the protocol, as chrony has spoken it since 2.0 (its ``candm.h`` gives the layout; all
numbers are in network order). Rules:

- A request is as long as its reply, so that nobody is answered at length who asks shortly: the
  tracking request is padded to 104 bytes.
- A reply repeats the request's sequence number; another one belongs to nobody.
- chronyd answers monitoring questions of anybody at its loopback command port.
- A float has 7 bits of exponent and 25 of coefficient, both two's complement.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Final, NamedTuple

from gateway.domain.errors import MalformedError

VERSION: Final = 6
PORT: Final = 323
REQUEST: Final = 1
REPLY: Final = 2
TRACKING: Final = 33
TRACKING_REPLY: Final = 5
REPLY_BYTES: Final = 104
_HEAD_REQUEST = struct.Struct("!BBBBHHI")
_HEAD_REPLY = struct.Struct("!BBBBHHHHHHI8x")
_TRACKING = struct.Struct("!I16sHHHHIII9I")
_COEFFICIENT_BITS: Final = 25
_FAMILY_V4: Final = 1
_FAMILY_V6: Final = 2


class Tracking(NamedTuple):
    """What chronyd knows of the clock; seconds."""

    reference_id: int
    address: str
    """Of the server that it follows; empty: a reference clock or nothing."""
    stratum: int
    leap: int
    """0 normal, 1 insert, 2 delete, 3 not synchronised."""
    correction_s: float
    """Clock minus estimated true time is minus this: what is still being corrected."""
    frequency_ppm: float
    """Positive: the clock would run fast."""
    skew_ppm: float
    root_delay_s: float
    root_dispersion_s: float

    @property
    def synchronised(self) -> bool:
        """Whether it follows something."""
        return self.leap != 3 and self.reference_id != 0

    @property
    def error_s(self) -> float:
        """The greatest that the clock may be off (chronyc(1), tracking)."""
        return abs(self.correction_s) + self.root_dispersion_s + self.root_delay_s / 2

    @property
    def reference(self) -> str:
        """Whom it follows: an address, or a reference clock's name, or empty."""
        if self.address or not self.reference_id:
            return self.address
        name = self.reference_id.to_bytes(4, "big").rstrip(b"\0")
        word = name.decode("ascii", "replace")
        return word if word.isascii() and word.isprintable() else f"{self.reference_id:08X}"


def tracking_request(sequence: int) -> bytes:
    """Ask for the tracking."""
    head = _HEAD_REQUEST.pack(VERSION, REQUEST, 0, 0, TRACKING, 0, sequence)
    return head.ljust(REPLY_BYTES, b"\0")


def tracking_of(data: bytes, sequence: int) -> Tracking:
    """Parse the reply to the request of this number.

    Raises:
        MalformedError: it is none.
    """
    if len(data) < REPLY_BYTES:
        raise MalformedError("chrony", "too short")
    version, kind, _, _, command, reply, status, _, _, _, told = _HEAD_REPLY.unpack_from(data)
    if (version, kind, command) != (VERSION, REPLY, TRACKING) or told != sequence:
        raise MalformedError("chrony", "not the reply that was asked for")
    if status or reply != TRACKING_REPLY:
        raise MalformedError("chrony", f"status {status}")
    found = _TRACKING.unpack_from(data, _HEAD_REPLY.size)
    reference_id, address, family, _, stratum, leap, _, _, _, *floats = found
    values = [_float(each) for each in floats]
    correction, _, _, frequency, _, skew, delay, dispersion, _ = values
    return Tracking(
        reference_id,
        _address(address, family),
        stratum,
        leap,
        correction,
        frequency,
        skew,
        max(0.0, delay),
        max(0.0, dispersion),
    )


def _float(word: int) -> float:
    exponent = word >> _COEFFICIENT_BITS
    coefficient = word & ((1 << _COEFFICIENT_BITS) - 1)
    if exponent >= 64:
        exponent -= 128
    if coefficient >= 1 << (_COEFFICIENT_BITS - 1):
        coefficient -= 1 << _COEFFICIENT_BITS
    return float(coefficient * 2.0 ** (exponent - _COEFFICIENT_BITS))


def _address(packed: bytes, family: int) -> str:
    if family == _FAMILY_V4:
        return str(ipaddress.IPv4Address(packed[:4]))
    if family == _FAMILY_V6:
        return str(ipaddress.IPv6Address(packed))
    return ""
