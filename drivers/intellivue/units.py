"""The protocol's unit codes: terms of the standard's partition 4 (MDC_DIM_…).

The vendor's own ones (F000 and above) are not known.
"""

from __future__ import annotations

from drivers.intellivue.nomenclature import PARTITION_UNITS
from gateway.domain import units
from gateway.domain.units import Linear


def ucum(unit_code: int) -> str | None:
    """The UCUM unit of a code; None where it is not known."""
    unit = units.BY_CODE.get(PARTITION_UNITS << 16 | unit_code)
    return None if unit is None else unit.ucum


def conversion(unit_code: int, to: str) -> Linear | None:
    """How a value with this unit code becomes one in a UCUM unit; None where there is no way.

    >>> conversion(0x0F20, "mm[Hg]")
    Linear(factor=1.0, offset=0.0)
    """
    unit = ucum(unit_code)
    if unit is None:
        return None
    if (unit, to) == ("mm", "mV"):  # ST segments
        return units.ECG_PAPER
    return units.conversion(unit, to)
