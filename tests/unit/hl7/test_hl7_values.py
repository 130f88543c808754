"""Data types and units."""

import math
from datetime import UTC, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.hl7.units import unit
from drivers.hl7.values import number, offset_of, structured, time_us, write_time
from gateway.domain.records import Quality

PLUS_2 = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("117", 117.0),
        (" +3.9 ", 3.9),
        ("-.5", -0.5),
        ("5.", 5.0),
        ("nan", None),
        ("inf", None),
        ("1_000", None),
        ("1e5", None),
        ("36,7", None),
        ("\u0663", None),
        ("", None),
        ("1" * 60, None),
    ],
)
def test_nm(text, want):
    assert number(text) == want if want is not None else math.isnan(number(text))


@pytest.mark.parametrize(
    ("text", "value", "quality"),
    [
        ("^100", 100.0, Quality.VALID),
        (">^300", 300.0, Quality.OVERFLOW),
        ("<=^10", 10.0, Quality.UNDERFLOW),
        ("<>^10", 10.0, Quality.INVALID),
    ],
)
def test_sn(text, value, quality):
    assert structured(tuple(text.split("^"))) == (value, quality)


@pytest.mark.parametrize("text", ["^100^-^200", "^1^:^128", "^2^+"])
def test_a_range_or_ratio_is_no_number(text):
    assert structured(tuple(text.split("^"))) is None


@pytest.mark.parametrize(
    ("text", "default", "want"),
    [
        ("20150122182658+0000", UTC, "20150122182658.000+0000"),
        ("20120109175417-0600", UTC, "20120109235417.000+0000"),
        ("20150122115000", PLUS_2, "20150122095000.000+0000"),
        ("20210120082326.275+0000", UTC, "20210120082326.275+0000"),
        ("20260124131540000+0800", UTC, "20260124051540.000+0000"),  # Mindray: no point
        ("20150119221713- 0000", UTC, "20150119221713.000+0000"),  # Smiths: a space
        ("201501221150^M", UTC, "20150122115000.000+0000"),
        ("20161231235960+0000", UTC, "20161231235959.000+0000"),
    ],
)
def test_ts(text, default, want):
    assert write_time(time_us(text, default)) == want


@pytest.mark.parametrize("text", ["", "2015", "20150122", "20261332120000", "2015012218+9900", "x"])
def test_no_time(text):
    assert time_us(text, UTC) == 0


@given(st.text(max_size=40))
def test_any_text_is_a_time_or_none(text):
    time_us(text, UTC)
    offset_of(text)


def test_the_offset_of_a_time():
    assert offset_of("20120109175417-0600") == timezone(timedelta(hours=-6))
    assert offset_of("20120109175417") is None
    assert time_us("20260901000000+1500", UTC) == 0


@pytest.mark.parametrize(
    ("field", "want"),
    [
        ("266016^MDC_DIM_MMHG^MDC", "mm[Hg]"),
        ("265266^MDC_DIM_MILLI_L_PER_HR^MDC^mL/h^mL/h^UCUM", "mL/h"),
        ("3122^mL/h^UCUM^265266^MDC_DIM_MILLI_L_PER_HR^MDC", "mL/h"),
        ("mm[Hg]^mm[Hg]^UCUM", "mm[Hg]"),
        ("mmHg", "mm[Hg]"),
        ("0^MDC_DIM_MMHG^MDC", "mm[Hg]"),
        ("MDC_DIM_MMHG^^MDC", "mm[Hg]"),
        ("cm2^^UCUM", "cm2"),
        ("furlong^furlong^L", ""),
        ("99^?^MDC", ""),
        ("", ""),
    ],
)
def test_units(field, want):
    assert unit(tuple(field.split("^"))) == want
