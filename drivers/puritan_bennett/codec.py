"""Bytes of a Puritan Bennett 840 or 980 <-> messages (its manual's chapter on the RS-232 ports).

Port 1 answers a command with one line, ``MISCF,1225,169 ,<STX>field,…,field<ETX><CR>``: the
mnemonic, the number of bytes from behind STX to CR, the number of fields, and the fields, left
justified and padded with spaces. Port 2 says lines by itself: ``BS, S:54042,`` begins a breath,
``0.87, 7.04`` is a sample (flow, pressure), ``BE`` ends the breath.

Rules: any chunking gives the same messages; whatever arrives, memory is bounded by
:data:`LINE_BYTES_MAX`; a damaged line costs itself alone. There is no checksum, so a reply must be
whole in every other way: both of its counts are checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Final, NamedTuple

from gateway.domain.errors import MalformedError

STX, ETX, CR, LF = 0x02, 0x03, 0x0D, 0x0A

LINE_BYTES_MAX = 4096
"""Three times the longest reply known (MISCF, 1244 bytes), for a newer model's."""
FIELDS_MAX = 512
SAMPLE_MAX = 1000.0
"""cmH2O or L/min: beyond it a number is damage."""

FIRST_FIELD: Final = 5

WIDTHS: Final = {
    ("MISCF", 6): 18,
    ("MISCF", 7): 12,
    ("MISCF", 8): 9,
    ("MISCF", 53): 18,
    ("MISCF", 55): 9,
    ("MISCF", 66): 9,
    ("MISCF", 156): 9,
    ("MISCA", 6): 18,
    ("MISCA", 8): 12,
    ("MISCA", 62): 12,
}
"""Characters of the fields that are not six wide; without the three that make MISCA's 706 bytes,
which its table doesn't show."""
COUNTS: Final = {"MISCF": 169, "MISCA": 97}


class Request(Enum):
    """All that is ever sent to a ventilator: each asks, none sets."""

    RESET = b"RSET\r"
    """Forget what was sent before; no reply."""
    BASIC = b"SNDA\r"
    """Settings, data, alarms: MISCA, 97 fields."""
    FULL = b"SNDF\r"
    """The same with more of each: MISCF, 169 fields."""


class Reply(NamedTuple):
    """What the ventilator answered."""

    mnemonic: str
    """``MISCA`` or ``MISCF``."""
    fields: tuple[str, ...]
    """Without their padding; blank where the ventilator has no value."""

    def field(self, number: int) -> str:
        """A field by the manual's number; blank when the reply has fewer."""
        at = number - FIRST_FIELD
        return self.fields[at] if at < len(self.fields) else ""


class BreathStart(NamedTuple):
    number: int


class Sample(NamedTuple):
    """Flow in L/min and pressure in cmH2O, 20 ms after the one before."""

    flow: float
    pressure: float


class BreathEnd(NamedTuple):
    pass


WaveLine = BreathStart | Sample | BreathEnd


class TooLong(NamedTuple):
    """Bytes without an end, given up."""

    sample: bytes


class LineDecoder:
    """Bytes in, lines out: what CR, LF or both end; empty lines are none."""

    def __init__(self, line_bytes_max: int = LINE_BYTES_MAX) -> None:
        self._max = line_bytes_max
        self._buffer = bytearray()
        self._skipping = False

    def pending(self) -> int:
        """Bytes held for an unfinished line; at most the limit."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[bytes | TooLong]:
        """Take bytes as they arrived; what they completed."""
        *whole, rest = data.replace(b"\n", b"\r").split(b"\r")
        for part in whole:
            yield from self._take(part)
            line = bytes(self._buffer)
            self._buffer.clear()
            if line and not self._skipping:
                yield line
            self._skipping = False
        yield from self._take(rest)

    def _take(self, part: bytes) -> Iterator[TooLong]:
        if self._skipping:
            return
        self._buffer += part[: self._max + 1]
        if len(self._buffer) > self._max:
            sample = bytes(self._buffer[: self._max])
            self._buffer.clear()
            self._skipping = True
            yield TooLong(sample)


_HEAD = re.compile(rb"(MISC[AF]) *, *(\d{1,4}) *, *(\d{1,3}) *, *\x02")
_KNOWN_WIDTHS = frozenset(WIDTHS.values()) | {6}


def decode_reply(line: bytes) -> Reply:
    """A line of port 1, without its end; what stands before the mnemonic is another's rest.

    Raises:
        MalformedError: ``unknown_reply``, ``unended``, ``field_count``, ``length``, ``character``.
    """
    heads = list(_HEAD.finditer(line))
    if not heads:
        raise MalformedError("unknown_reply", f"{len(line)} bytes")
    if line[-1] != ETX:
        raise MalformedError("unended")
    head = heads[-1]
    body = line[head.end() : -1]
    declared, count = int(head[2]), int(head[3])
    fields = body.split(b",")
    if len(fields) == count + 1 and not fields[-1]:
        fields.pop()  # a comma stands before ETX too, on some
    if len(fields) != count or count > FIELDS_MAX:
        raise MalformedError("field_count", f"{len(fields)} of {count}")
    # The manual counts ETX; but its 706 bytes of MISCA are three more than its own table has. So a
    # reply of another length still passes when every field is as wide as fields are.
    if declared != len(body) + 1 and not all(len(field) in _KNOWN_WIDTHS for field in fields):
        raise MalformedError("length", f"{len(body)} of {declared}")
    if not all(0x20 <= byte < 0x7F for byte in body):
        raise MalformedError("character")
    return Reply(head[1].decode(), tuple(field.decode().strip() for field in fields))


def encode_reply(mnemonic: str, fields: Sequence[str]) -> bytes:
    r"""A reply as the ventilator sends it; fields are padded to the widths of the manual.

    >>> encode_reply("MISCF", ["13:37", "840 1"])[:16]
    b'MISCF,26,2  ,\\x0213'
    """
    padded = [
        field.ljust(WIDTHS.get((mnemonic, FIRST_FIELD + at), 6)) for at, field in enumerate(fields)
    ]
    body = ",".join(padded).encode("ascii")
    head = f"{mnemonic},{len(body) + 1},{len(fields):<3},".encode("ascii")
    return head + bytes((STX,)) + body + bytes((ETX, CR))


_NUMBER = rb"(-?\d{1,4}(?:\.\d{1,3})?)"
_SAMPLE = re.compile(rb" *" + _NUMBER + rb", *" + _NUMBER + rb" *")
_START = re.compile(rb" *BS, *S: *(\d{1,10}), *")


def decode_wave_line(line: bytes) -> WaveLine:
    """A line of port 2, without its end.

    Raises:
        MalformedError: ``wave_line``.
    """
    sample = _SAMPLE.fullmatch(line)
    if sample is not None:
        flow, pressure = float(sample[1]), float(sample[2])
        if abs(flow) <= SAMPLE_MAX and abs(pressure) <= SAMPLE_MAX:
            return Sample(flow, pressure)
    elif line.strip() == b"BE":
        return BreathEnd()
    else:
        start = _START.fullmatch(line)
        if start is not None:
            return BreathStart(int(start[1]))
    raise MalformedError("wave_line", f"{len(line)} bytes")


def encode_wave_line(line: WaveLine) -> bytes:
    r"""A line as the ventilator says it.

    >>> encode_wave_line(Sample(0.87, 7.04))
    b'0.87, 7.04\\n'
    """
    match line:
        case BreathStart(number):
            return f"BS, S:{number},\n".encode("ascii")
        case Sample(flow, pressure):
            return f"{flow:.2f}, {pressure:.2f}\n".encode("ascii")
        case BreathEnd():
            return b"BE\n"
