"""Units: UCUM, the standard's unit codes for them, and how one is converted to another.

The table is ``terminology/units.tsv``. Conversions between its units are arithmetic on its factors
and cost a look-up, so that a driver can make them for every value: a monitor that is set to kPa or
Fahrenheit is converted to the metric's own unit on the way in. What can't be converted is never
passed off as a number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

TABLE: Final = Path(__file__).with_name("terminology") / "units.tsv"
COLUMNS: Final = ("code", "refid", "ucum", "also", "base", "factor", "offset")
DIGITS: Final = 6
"""Significant, of a converted value."""
CONVERSIONS_MAX: Final = 1024
"""Pairs of units remembered; a ward uses a few dozen."""


class Unit(NamedTuple):
    """One row of the table: ``value * factor + offset`` is in the unit ``base``."""

    code: int
    """MDC_DIM_…, context-free; 0 where the standard has none."""
    refid: str
    ucum: str
    also: tuple[str, ...]
    """Other spellings that are met, also such as are no UCUM."""
    base: str
    factor: Fraction
    offset: Fraction


class Linear(NamedTuple):
    """``value * factor + offset``."""

    factor: float
    offset: float

    def __call__(self, value: float) -> float:
        """Convert a value."""
        return value * self.factor + self.offset

    def shown(self, value: float) -> float:
        """Convert what a device displayed, to six digits.

        The conversion must not invent digits, and must lose none: a display has three or four, and
        they come back when the result is converted back and rounded as the device does.
        """
        return value if self is SAME else float(f"{self(value):.{DIGITS}g}")


SAME: Final = Linear(1.0, 0.0)
ECG_PAPER: Final = Linear(0.1, 0.0)
"""Millimetres of an ECG at the usual 10 mm/mV -> millivolts: monitors show ST segments so."""


def rows_of(document: str) -> Iterator[Unit]:
    """The rows of a table in the form of ``units.tsv``.

    Raises:
        ValueError: a line that is none of ours, with its number.
    """
    head, *lines = document.splitlines()
    if tuple(head.split("\t")) != COLUMNS:
        raise ValueError(f"line 1: the columns are not {', '.join(COLUMNS)}")
    for number, line in enumerate(lines, start=2):
        try:
            code, refid, ucum, also, base, factor, offset = line.split("\t")
            yield Unit(
                int(code or 0),
                refid,
                ucum,
                tuple(also.split()),
                base,
                Fraction(factor),
                Fraction(offset),
            )
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error


UNITS: Final = tuple(rows_of(TABLE.read_text("utf-8")))
BY_CODE: Final = {unit.code: unit for unit in UNITS if unit.code}
BY_REFID: Final = {unit.refid: unit for unit in UNITS if unit.refid}
_BY_SPELLING: Final = {spelling: unit for unit in UNITS for spelling in (unit.ucum, *unit.also)}
_ANNOTATION: Final = re.compile(r"(?<=.)\{[^{}]*\}")
"""What stands in braces behind a unit says what is counted, and changes nothing."""


def find(spelling: str) -> Unit | None:
    """The row of a unit by its UCUM, or by another spelling that the table has.

    >>> find("{breaths}/min").refid
    'MDC_DIM_RESP_PER_MIN'
    """
    return _BY_SPELLING.get(spelling) or _BY_SPELLING.get(_ANNOTATION.sub("", spelling))


@lru_cache(maxsize=CONVERSIONS_MAX)
def conversion(unit: str, to: str) -> Linear | None:
    """How values in ``unit`` become values in ``to``; None where the table knows no way.

    >>> conversion("[degF]", "Cel").shown(98.6)
    37.0
    """
    if unit == to:
        return SAME
    one, other = find(unit), find(to)
    if one is None or other is None or one.base != other.base:
        return None
    if (one.factor, one.offset) == (other.factor, other.offset):
        return SAME
    factor = one.factor / other.factor
    return Linear(float(factor), float((one.offset - other.offset) / other.factor))
