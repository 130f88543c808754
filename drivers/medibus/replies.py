"""Bodies of responses <-> what they say (protocol definition, "MEDIBUS Responses").

Rules: a body has the form that it must have, or MalformedError says why; numbers stay the text that
the device sent, since only their padding tells "no value" from zero.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from gateway.domain.errors import MalformedError

ENTRIES_MAX: Final = 256
"""Codes have two digits."""
CURVES_MAX: Final = 64

MONTHS: Final = {
    "JAN": 1,
    "FEB": 2,
    "MAR": 3,
    "MRZ": 3,
    "APR": 4,
    "MAI": 5,
    "MAY": 5,
    "JUN": 6,
    "JUL": 7,
    "AUG": 8,
    "SEP": 9,
    "OKT": 10,
    "OCT": 10,
    "NOV": 11,
    "DEZ": 12,
    "DEC": 12,
}
"""German; newer software has the English ones."""


class Entry(NamedTuple):
    """A measurement, a limit or a setting."""

    code: int
    text: str
    """Without padding; blank: no value."""


class AlarmEntry(NamedTuple):
    """An alarm that is shown."""

    priority: int
    """1 to 31: to 6 an advisory without a tone, to 10 one with a tone, to 24 a caution, then a
    warning."""
    code: int
    phrase: str


class Identity(NamedTuple):
    """What a device calls itself."""

    number: str
    name: str
    revision: str


class CurveConfig(NamedTuple):
    """A curve that a device can send."""

    code: int
    interval_us: int
    low: float
    high: float
    steps: int
    """``low + (high - low) * n / steps`` is the value of a sample n."""


class ShownTime(NamedTuple):
    """A device's clock, cut off to its resolution, without a time zone."""

    when: datetime
    resolution_us: int


def _text(body: bytes) -> str:
    try:
        return body.decode("ascii")
    except UnicodeDecodeError as error:  # can't be: bytes from 80 on are another stream
        raise MalformedError("character") from error


def _hex(digits: str) -> int:
    if not re.fullmatch(r"[0-9A-Fa-f]+", digits):
        raise MalformedError("digits", f"{len(digits)} characters")
    return int(digits, 16)


def _pieces(body: bytes, width: int, most: int) -> list[str]:
    text = _text(body)
    if len(text) % width or len(text) // width > most:
        raise MalformedError("length", f"{len(text)} bytes in pieces of {width}")
    return [text[at : at + width] for at in range(0, len(text), width)]


def entries(body: bytes, width: int) -> tuple[Entry, ...]:
    """Measurements and limits (``width`` 4) or settings (5)."""
    return tuple(
        Entry(_hex(piece[:2]), piece[2:].strip()) for piece in _pieces(body, 2 + width, ENTRIES_MAX)
    )


DATA_WIDTH, SETTING_WIDTH = 4, 5


def encode_entries(found: Iterable[Entry], width: int) -> bytes:
    """As a device sends them: right justified."""
    return b"".join(b"%02X" % code + text.rjust(width).encode("ascii") for code, text in found)


def alarms(body: bytes) -> tuple[AlarmEntry, ...]:
    """Alarms of one code page."""
    return tuple(
        AlarmEntry(ord(piece[0]) - 0x30, _hex(piece[1:3]), piece[3:].strip())
        for piece in _pieces(body, 15, ENTRIES_MAX)
    )


def encode_alarms(found: Iterable[AlarmEntry]) -> bytes:
    """As a device sends them."""
    return b"".join(
        f"{chr(0x30 + priority)}{code:02X}{phrase:<12.12}".encode("ascii")
        for priority, code, phrase in found
    )


def texts(body: bytes) -> tuple[Entry, ...]:
    """Text messages: modes and states that apply at the moment."""
    found: list[Entry] = []
    text, at = _text(body), 0
    while at < len(text):
        if at + 4 > len(text) or len(found) >= ENTRIES_MAX:
            raise MalformedError("length", f"{len(text)} bytes of texts")
        end = at + 3 + ord(text[at + 2]) - 0x30
        if end < at + 3 or text[end : end + 1] != "\x03":
            raise MalformedError("text", f"at {at}")
        found.append(Entry(_hex(text[at : at + 2]), text[at + 3 : end].strip()))
        at = end + 1
    return tuple(found)


def encode_texts(found: Iterable[Entry]) -> bytes:
    """As a device sends them."""
    return b"".join(
        f"{code:02X}{chr(0x30 + len(text))}{text}\x03".encode("ascii") for code, text in found
    )


_IDENTITY = re.compile(r"([ -~]{4})'([^']{0,64})'?([ -~]{0,16})")


def identity(body: bytes) -> Identity:
    """Who a device is."""
    found = _IDENTITY.fullmatch(_text(body))
    if found is None:
        raise MalformedError("identity", f"{len(body)} bytes")
    return Identity(*(each.strip() for each in found.groups()))


def encode_identity(who: Identity) -> bytes:
    """As a device says it."""
    return f"{who.number:<4.4}'{who.name}'{who.revision:<11.11}".encode("ascii")


_TIME = re.compile(r"\s*(\d{1,2}):(\d{2})(?::(\d{2}))?\s*(\d{1,2})-([A-Z]{3})-(\d{2}|\d{4})\s*")


def shown_time(body: bytes) -> ShownTime:
    """A device's clock, in any of the forms that are met.

    >>> shown_time(b" 9:33:00 7-OKT-14").when.isoformat()
    '2014-10-07T09:33:00'
    """
    found = _TIME.fullmatch(_text(body))
    if found is None or found[5] not in MONTHS:
        raise MalformedError("time", f"{len(body)} bytes")
    year = int(found[6])
    try:
        when = datetime(  # noqa: DTZ001  # the device has no time zone; who uses it adds one
            year if year > 99 else 2000 + year,
            MONTHS[found[5]],
            int(found[4]),
            int(found[1]),
            int(found[2]),
            int(found[3] or 0),
        )
    except ValueError as error:
        raise MalformedError("time", "no date") from error
    return ShownTime(when, 60_000_000 if found[3] is None else 1_000_000)


def curves(body: bytes) -> tuple[CurveConfig, ...]:
    """The curves that a device can send."""
    return tuple(_curve(piece) for piece in _pieces(body, 23, CURVES_MAX))


def _curve(piece: str) -> CurveConfig:
    try:
        interval = int(piece[2:10])
        low, high = float(piece[10:15]), float(piece[15:20])
    except ValueError as error:
        raise MalformedError("curve", "no number") from error
    steps = _hex(piece[20:23].strip())
    if interval <= 0 or steps <= 0 or not -1e5 < low < high < 1e5:
        raise MalformedError("curve", "no range")
    return CurveConfig(_hex(piece[:2]), interval, low, high, steps)


def encode_curves(found: Sequence[CurveConfig]) -> bytes:
    """As a device says it."""
    return b"".join(
        f"{each.code:02X}{each.interval_us:8d}{each.low:5g}{each.high:5g}{each.steps:03X}".encode()
        for each in found
    )
