"""Units by pint and ucumvert: an oracle for the table, and what is outside it."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain import ucum, units
from tests.unit.terminology import rtmms

NO_PINT = {"[pH]", "dB", "dB{mW}", "{beat}", "{breath}"}
"""What pint makes nothing of: counts of something, and logarithms."""

NOT_UNDERSTOOD = {"DO_NOT_USE", "dB[nV]", "kg/m2#"}


@pytest.fixture(scope="module")
def registry():
    return ucum._registry()


@pytest.mark.parametrize("unit", units.UNITS, ids=lambda unit: unit.ucum)
def test_every_factor_is_pints(unit, registry):
    if unit.ucum in NO_PINT:
        assert unit.base == unit.ucum
        return
    one, base = (registry.from_ucum(each).units for each in (unit.ucum, unit.base))
    for value in (0.0, 1.0, 37.5):
        expected = registry.Quantity(value, one).to(base).magnitude
        ours = value * float(unit.factor) + float(unit.offset)
        assert ours == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("unit", "to", "value", "expected"),
    [
        ("m[Hg]", "mm[Hg]", 0.12, 120.0),
        ("min-1", "/h", 1.0, 60.0),
        ("dL/min", "L/min", 5.0, 0.5),
        ("L/(min.m2)", "L/min/m2", 2.5, 2.5),
        ("[degRe]", "Cel", 29.6, 37.0),
        ("10*3/uL", "/L", 2.0, 2e9),
    ],
)
def test_units_outside_the_table(unit, to, value, expected):
    way = ucum.conversion(unit, to)
    assert way is not None
    assert way(value) == pytest.approx(expected)


@pytest.mark.parametrize(
    "unit",
    ["", "Torr", "kg", "B[V]", "°C", "{x}", "10*99999999", "m999999", "mm[Hg]" * 20, "((((", "m\0"],
)
def test_what_is_no_pressure(unit):
    assert ucum.conversion(unit, "mm[Hg]") is None


@given(st.text(alphabet="mkgLs[]{}()./*-0123456789Hgu%", max_size=70))
def test_whatever_is_sent_as_a_unit_costs_little_and_fails_with_none(unit):
    way = ucum.conversion(unit, "mm[Hg]")
    assert way is None or isinstance(way, units.Linear)


@rtmms.needs_tables
def test_nearly_every_unit_of_the_standard_is_understood():
    odd = set()
    for unit in rtmms.units().values():
        for spelling in unit.ucum:
            if not spelling.startswith("{") and not ucum.is_unit(spelling):
                odd.add(spelling)
    assert odd == NOT_UNDERSTOOD


def test_neither_the_tables_nor_the_command_line_load_it():
    code = (
        "import sys\n"
        "import drivers.intellivue.driver, gateway.daemon, wardgate.main\n"
        "sys.exit(any(name in sys.modules for name in ('pint', 'ucumvert', 'lark')))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert done.returncode == 0
