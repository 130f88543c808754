"""The tables of metrics and units: their form, and what the public RTMMS tables say of them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain import terms, units
from gateway.domain.labels import LEVELS
from tests.unit.terminology import exceptions, rtmms

PRIVATE = (1024 << 16, 1027 << 16)
"""The standard's own, and what Philips' nomenclature has for settings."""
OWN = (2 << 16 | 0xF001, 2 << 16 | 0xFFFF)
METRICS = tuple(terms.rows_of(terms.TABLE.read_text("utf-8")))
STANDARD = [row for row in METRICS if row.refid.startswith("MDC_")]
OTHERS = [row for row in METRICS if not row.refid.startswith("MDC_")]
NAMED_UNITS = [unit for unit in units.UNITS if unit.refid]


def test_metrics_are_sorted_and_each_has_a_code_and_a_name_of_its_own():
    codes = [row.code for row in METRICS]
    assert codes == sorted(set(codes))
    assert len({row.refid for row in METRICS}) == len(METRICS)


@pytest.mark.parametrize("row", METRICS, ids=lambda row: row.refid)
def test_a_metric_has_everything(row):
    assert row.low < row.high
    assert row.label.level in LEVELS
    assert row.name == row.name.strip() != ""
    assert any("\u4e00" <= character <= "\u9fff" for character in row.chinese), row.chinese
    if row.unit:
        unit = units.find(row.unit)
        assert unit is not None
        assert row.unit == unit.ucum
    else:
        assert (row.low, row.high) == (-math.inf, math.inf)


@pytest.mark.parametrize("row", OTHERS, ids=lambda row: row.refid)
def test_what_the_standard_has_no_term_for_is_in_nobodys_way(row):
    first, last = OWN if row.refid.startswith("WARDGATE_") else PRIVATE
    assert first <= row.code <= last


def test_units_are_sorted_and_no_spelling_has_two_meanings():
    codes = [unit.code for unit in NAMED_UNITS]
    assert codes == sorted(set(codes))
    assert [unit.refid for unit in units.UNITS[: len(codes)]] == [u.refid for u in NAMED_UNITS]
    spellings = [spelling for unit in units.UNITS for spelling in (unit.ucum, *unit.also)]
    assert len(spellings) == len(set(spellings))


@pytest.mark.parametrize("unit", units.UNITS, ids=lambda unit: unit.ucum)
def test_a_unit_has_a_base_that_is_in_the_table_and_its_own_base(unit):
    base = units.find(unit.base)
    assert base is not None
    assert base.base == base.ucum
    assert (float(base.factor), float(base.offset)) == (1.0, 0.0)
    assert unit.factor > 0
    assert bool(unit.code) == bool(unit.refid)


@rtmms.needs_tables
def test_codes_are_the_standards():
    known = rtmms.terms()
    odd = {
        row.refid: row.code
        for row in STANDARD
        if row.refid in known and row.code not in known[row.refid].codes
    }
    assert odd == exceptions.OTHER_CODE
    absent = {row.refid for row in STANDARD if row.refid not in known}
    assert absent == set(exceptions.ABSENT), "exceptions.py must name what is absent, and only it"


@rtmms.needs_tables
def test_units_are_those_that_the_standard_allows():
    known, named = rtmms.terms(), rtmms.units()
    odd = {}
    for row in STANDARD:
        allowed = known[row.refid].units if row.refid in known else frozenset()
        if not allowed:
            continue
        ours = units.find(row.unit)
        codes = {named[name].code for name in allowed if name in named}
        bare = {ours.code} if ours else set()
        spelt = {spelling for name in allowed if name in named for spelling in named[name].ucum}
        if not bare & codes and row.unit not in spelt:
            odd[row.refid] = (row.unit, sorted(allowed))
    assert set(odd) == set(exceptions.OTHER_UNIT), odd


@rtmms.needs_tables
def test_every_unit_that_the_standard_allows_a_metric_is_converted():
    """A sender may choose any of them."""
    known, named = rtmms.terms(), rtmms.units()
    stuck = set()
    for row in STANDARD:
        for name in known[row.refid].units if row.refid in known else ():
            if name not in named:
                continue  # the table's slip: "DIM_MILLI_L"
            unit = units.BY_REFID.get(name) or units.BY_CODE.get(named[name].code)
            if unit is None or units.conversion(unit.ucum, row.unit) is None:
                stuck.add(row.refid)
    assert stuck == set(exceptions.NOT_CONVERTED)


@rtmms.needs_tables
def test_codes_of_units_are_the_standards():
    named = rtmms.units()
    odd = {
        unit.refid: unit.code
        for unit in NAMED_UNITS
        if unit.refid in named and unit.code != named[unit.refid].code
    }
    assert odd == {}
    absent = {unit.refid for unit in NAMED_UNITS if unit.refid not in named}
    assert absent == set(exceptions.UNITS_ABSENT)


@rtmms.needs_tables
def test_units_are_written_as_the_standard_writes_them():
    named = rtmms.units()
    odd = {
        unit.refid: unit.ucum
        for unit in NAMED_UNITS
        if named[unit.refid].ucum and unit.ucum not in named[unit.refid].ucum
    }
    assert set(odd) == set(exceptions.OTHER_SPELLING), odd


@pytest.mark.parametrize(
    ("value", "unit", "to", "expected"),
    [
        (16.0, "kPa", "mm[Hg]", 120.01),
        (98.6, "[degF]", "Cel", 37.0),
        (310.15, "K", "Cel", 37.0),
        (37.0, "Cel", "[degF]", 98.6),
        (20.0, "mbar", "cm[H2O]", 20.3943),
        (12.0, "{breaths}/min", "/min", 12.0),
        (1.0, "Hz", "/min", 60.0),
        (500.0, "mL/min", "L/min", 0.5),
        (5.0, "mbar/L/s", "cm[H2O].s/L", 5.09858),
        (154.0, "[lb_av]", "kg", 69.8532),
        (0.5, "mg/kg/h", "ug/kg/min", 8.33333),
        (0.21, "1", "%", 21.0),
    ],
)
def test_conversions(value, unit, to, expected):
    way = units.conversion(unit, to)
    assert way is not None
    assert way.shown(value) == expected


@pytest.mark.parametrize(
    ("unit", "to"), [("kPa", "Cel"), ("furlong", "m"), ("mm", "mV"), ("", "1"), ("mm[Hg]", "")]
)
def test_what_cannot_be_converted(unit, to):
    assert units.conversion(unit, to) is None


def test_the_same_unit_in_two_spellings_changes_no_digit():
    assert units.conversion("{beat}/min", "/min") is units.SAME
    assert units.SAME.shown(97.123456) == 97.123456


def test_a_table_that_is_spoilt_says_where():
    head = "\t".join(terms.COLUMNS)
    good = "1\tX\t\t\t\thealth_status\t3\tx\t\u58f9"
    assert [row.code for row in terms.rows_of(f"{head}\n{good}\n")] == [1]
    with pytest.raises(ValueError, match="line 3: "):
        list(terms.rows_of(f"{head}\n{good}\n{good.replace('health_status', 'health')}\n"))
    with pytest.raises(ValueError, match="line 1: "):
        list(terms.rows_of("code\n"))
    with pytest.raises(ValueError, match="line 2: "):
        list(units.rows_of("\t".join(units.COLUMNS) + "\n1\t2\n"))


def test_a_refid_that_nobody_has():
    assert terms.code("MDC_TEMP") == 150344
    with pytest.raises(LookupError, match="MDC_TEMPERATURE"):
        terms.code("MDC_TEMPERATURE")


def test_a_third_party_takes_neither_a_code_nor_a_name(monkeypatch):
    monkeypatch.setattr(terms, "METRICS", dict(terms.METRICS))
    monkeypatch.setattr(terms, "_CODES", dict(terms._CODES))
    row = terms.METRICS[terms.SPO2]._replace(code=424242, refid="ACME_GLOW")
    terms.register(row)
    terms.register(row)
    assert terms.code("ACME_GLOW") == 424242
    for taken in (
        row._replace(code=terms.SPO2),
        row._replace(code=424243),
        row._replace(unit="1"),
        row._replace(code=424244, refid="ACME_YEARS", age=True),
    ):
        with pytest.raises(ValueError):
            terms.register(taken)


PAIRS = [
    (one.ucum, other.ucum)
    for one in units.UNITS
    for other in units.UNITS
    if one.base == other.base and one is not other
]


@given(st.sampled_from(PAIRS), st.integers(-9999, 9999), st.integers(0, 3))
def test_what_a_device_displayed_can_be_told_from_the_converted_value(pair, digits, decimals):
    unit, to = pair
    there, back = units.conversion(unit, to), units.conversion(to, unit)
    assert there is not None
    assert back is not None
    displayed = round(digits / 10**decimals, decimals)
    if there.offset and abs(there(displayed)) > 9999:
        return  # no thermometer's
    assert round(back(there.shown(displayed)), decimals) == displayed
