"""Units outside the table (:mod:`gateway.domain.units`): any UCUM expression, by ucumvert and pint.

Both are loaded when the first such unit is met: that takes seconds and some 25 MB. So
nobody who serves devices calls this on the event loop; what is found is remembered.
"""

from __future__ import annotations

import math
import re
from functools import cache, lru_cache
from typing import Any, Final

from gateway.domain import units
from gateway.domain.units import Linear

UNIT_CHARS_MAX: Final = 64
"""The longest unit of the public RTMMS tables has 24."""
_HUGE: Final = re.compile(r"\d{5}")
"""A number that makes an exponent or a factor which takes for ever to work out."""
_NEAR: Final = 1e-9
"""Relative; what a linear conversion may be off at a third point."""


@lru_cache(maxsize=units.CONVERSIONS_MAX)
def conversion(unit: str, to: str) -> Linear | None:
    """How values in ``unit`` become values in ``to``, both UCUM; None where there is no way.

    >>> conversion("Torr", "mm[Hg]") is None  # no UCUM
    True
    """
    known = units.conversion(unit, to)
    if known is not None or not (_may_be_ucum(unit) and _may_be_ucum(to)):
        return known
    # What the table knows is said to pint in the table's spelling, which is always UCUM.
    pair = [row.ucum if (row := units.find(each)) else each for each in (unit, to)]
    try:
        one, other = (_registry().from_ucum(each).units for each in pair)
        # Three points: what is logarithmic, or rounds, is no factor and offset.
        zero, unity, ten = (
            float(_registry().Quantity(number, one).to(other).magnitude)
            for number in (0.0, 1.0, 10.0)
        )
    except Exception:  # noqa: BLE001  # two libraries with errors of their own, on whatever was sent
        return None
    found = Linear(unity - zero, zero)
    if not all(map(math.isfinite, found)) or not math.isclose(found(10.0), ten, rel_tol=_NEAR):
        return None
    return found


def is_unit(unit: str) -> bool:
    """Whether the table has it, or it is UCUM."""
    if units.find(unit) is not None:
        return True
    try:
        return _may_be_ucum(unit) and bool(_registry().from_ucum(unit).units is not None)
    except Exception:  # noqa: BLE001  # see above
        return False


def _may_be_ucum(unit: str) -> bool:
    return 0 < len(unit) <= UNIT_CHARS_MAX and unit.isascii() and not _HUGE.search(unit)


@cache
def _registry() -> Any:
    from ucumvert import PintUcumRegistry  # noqa: PLC0415  # late, see above

    return PintUcumRegistry()
