"""Values of HL7 data types -> numbers and times (HL7 v2.6, chapter 2A).

- NM (2A.47): sign, digits, one point. What Python's ``float`` takes besides is no number here.
- SN (2A.71): a comparator other than ``=`` says that the value is beyond what was measured.
- TS, DTM (2A.22, 2A.77): down to a tenth of a millisecond, with or without an offset. Without one
  the offset of MSH-7 holds (2.15.9.7), and without that the sender's configured zone. A time
  without minutes is none: it can't place a measurement.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final, NamedTuple

from gateway.domain.records import Quality

_NUMBER = re.compile(r"[+-]?(?:\d{1,24}\.?\d{0,24}|\.\d{1,24})", re.ASCII)
_TIME = re.compile(
    r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(?:(\d\d)(?:\.?(\d{1,6}))?)?([+-]\d{4})?", re.ASCII
)
_OFFSET_MINUTES_MAX: Final = 14 * 60
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

COMPARATORS: Final[dict[str, Quality]] = {
    "": Quality.VALID,
    "=": Quality.VALID,
    ">": Quality.OVERFLOW,
    ">=": Quality.OVERFLOW,
    "<": Quality.UNDERFLOW,
    "<=": Quality.UNDERFLOW,
    "<>": Quality.INVALID,
}


class Number(NamedTuple):
    value: float
    quality: Quality = Quality.VALID


def number(text: str) -> float:
    """The number of an NM; NaN if it is none."""
    text = text.strip()
    return float(text) if _NUMBER.fullmatch(text) else math.nan


def structured(components: tuple[str, ...]) -> Number | None:
    """The number of an SN ``comparator^number^separator^number``.

    None for a range, a ratio or a category: these are no one number.
    """
    comparator, first, separator = (*components, "", "", "")[:3]
    if separator.strip():
        return None
    quality = COMPARATORS.get(comparator.strip(), Quality.INVALID)
    value = number(first)
    return Number(value, Quality.INVALID if math.isnan(value) else quality)


def offset_of(text: str) -> tzinfo | None:
    """The offset that a time names; None if it names none."""
    found = _TIME.fullmatch(_plain(text))
    return _offset(found[8]) if found and found[8] else None


def time_us(text: str, default: tzinfo) -> int:
    """Microseconds since the Unix epoch; 0 if it is no time, or one without minutes."""
    found = _TIME.fullmatch(_plain(text))
    if found is None:
        return 0
    zone = _offset(found[8]) if found[8] else default
    if zone is None:
        return 0
    year, month, day, hour, minute = map(int, found.group(1, 2, 3, 4, 5))
    second = min(int(found[6] or 0), 59)  # a leap second is no reason to lose a measurement
    microsecond = int((found[7] or "").ljust(6, "0"))
    try:
        when = datetime(year, month, day, hour, minute, second, microsecond, zone)
        return (when - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        return 0


def write_time(us: int) -> str:
    """A time as we write it: UTC, with its offset."""
    return (_EPOCH + us * _MICROSECOND).strftime("%Y%m%d%H%M%S.%f")[:-3] + "+0000"


def _plain(text: str) -> str:
    # 2A.77 has a degree of precision behind a caret; some senders break the offset off by a space.
    return text.partition("^")[0].replace(" ", "")


def _offset(text: str) -> tzinfo | None:
    minutes = int(text[1:3]) * 60 + int(text[3:5])
    if minutes > _OFFSET_MINUTES_MAX:
        return None
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))
