"""The device's lines <-> readings; no I/O.

A line is ``$PR,ddd*hh CR LF``: the pulse rate, ``---`` where there is none, and the exclusive or of
the bytes between ``$`` and ``*`` in two hexadecimal digits. Rules:

- The decoder holds one unfinished line of at most :data:`LINE_BYTES_MAX`.
- Damage costs its own line; what is damaged is handed on as :class:`Damage`.
"""

from __future__ import annotations

import re
from functools import reduce
from operator import xor
from typing import Final, NamedTuple

from gateway.domain.errors import MalformedError

LINE_BYTES_MAX: Final = 64
"""Four times a line of the device."""
_LINE = re.compile(rb"\$(PR,(\d{3}|---))\*([0-9A-F]{2})\r")


class Reading(NamedTuple):
    """What a line says."""

    pulse_rate: int | None
    """Beats per minute; None where the device has no number."""


class Damage(NamedTuple):
    """Bytes that are no line."""

    reason: str
    """``too_long``, ``syntax`` or ``checksum``."""
    sample: bytes


class LineDecoder:
    """Takes a stream apart, whatever its chunks."""

    def __init__(self) -> None:
        self._rest = b""
        self._skipping = False
        """The line that goes on is too long; its beginning was told."""

    def feed(self, data: bytes) -> list[Reading | Damage]:
        """The lines that end with this data."""
        *lines, rest = (self._rest + data).split(b"\n")
        found: list[Reading | Damage] = []
        for line in lines:
            if self._skipping:
                self._skipping = False
            else:
                found.append(_read(line))
        if self._skipping:
            rest = b""
        elif len(rest) > LINE_BYTES_MAX:
            self._skipping = True
            found.append(Damage("too_long", rest[:LINE_BYTES_MAX]))
            rest = b""
        self._rest = rest
        return found


def decode(line: bytes) -> Reading:
    """Read one line without its LF.

    Raises:
        MalformedError: ``syntax`` or ``checksum``.
    """
    found = _LINE.fullmatch(line)
    if found is None:
        raise MalformedError("syntax")
    if int(found[3], 16) != _checksum(found[1]):
        raise MalformedError("checksum")
    return Reading(None if found[2] == b"---" else int(found[2]))


def encode(reading: Reading) -> bytes:
    """The device's side."""
    rate = b"---" if reading.pulse_rate is None else b"%03d" % reading.pulse_rate
    body = b"PR," + rate
    return b"$%s*%02X\r\n" % (body, _checksum(body))


def _read(line: bytes) -> Reading | Damage:
    try:
        return decode(line)
    except MalformedError as error:
        return Damage(error.reason, line[:LINE_BYTES_MAX])


def _checksum(body: bytes) -> int:
    return reduce(xor, body, 0)
