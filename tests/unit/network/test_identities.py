"""What a mobile network knows a device by: one spelling each, and what is none is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import MalformedError
from gateway.domain.network import (
    TACS_MAX,
    Binding,
    equipment,
    parse_binding,
    parse_dnn,
    parse_gpsi,
    parse_imei,
    parse_snssai,
    parse_supi,
    parse_tac,
)

ARABIC = "\u0660" * 6
"""Digits to Python, and none to a network."""
RIGHT = [
    (parse_supi, "001010000000001", "imsi-001010000000001"),
    (parse_supi, "imsi-00101", "imsi-00101"),
    (parse_gpsi, "+8613800000001", "msisdn-8613800000001"),
    (parse_gpsi, "msisdn-8613800000001", "msisdn-8613800000001"),
    (parse_imei, "490154203237518", "490154203237518"),  # TS 23.003, annex B has this sum
    (parse_imei, "imei-490154203237518", "490154203237518"),
    (parse_imei, "4901542032375101", "4901542032375101"),
    (parse_dnn, "Demo.Nokia.mnc001.mcc206.gprs", "demo.nokia"),
    (parse_dnn, "med", "med"),
    (parse_snssai, "1-ABCDEF", "1-abcdef"),
    (parse_snssai, "1-FFFFFF", "1"),
    (parse_snssai, "001", "1"),
    (parse_tac, "0001", "000001"),
    (parse_tac, "00ABCD", "00abcd"),
]
WRONG = [
    *((parse_supi, text) for text in ("", "imsi-1234", "0" * 16, f"imsi-{ARABIC}", "nai-a@b")),
    *((parse_gpsi, text) for text in ("", "extid-a@b", "+1234", "msisdn-")),
    *((parse_imei, text) for text in ("", "490154203237517", "49015420323751", "4" * 17)),
    *((parse_dnn, text) for text in ("", "a..b", "-a", "a_b", "rac1", "lac", "a.gprs", "a" * 64)),
    (parse_dnn, "a" * 50 + "." + "b" * 50),
    *((parse_snssai, text) for text in ("", "256", "1-", "1-12345", "1-00000g", "-000001")),
    *((parse_tac, text) for text in ("", "1", "00001", "0000001", "zzzz")),
]


def _name(each):
    return getattr(each, "__name__", "") or ascii(each)[:30]


@pytest.mark.parametrize(("parse", "text", "read"), RIGHT, ids=_name)
def test_it_has_one_spelling(parse, text, read):
    assert parse(text) == read
    assert parse(read) == read


@pytest.mark.parametrize(("parse", "text"), WRONG, ids=_name)
def test_what_is_none_is_refused_without_being_repeated(parse, text):
    with pytest.raises(MalformedError) as refused:
        parse(text)
    digits = "".join(filter(str.isdigit, text))
    assert len(digits) < 3 or digits not in str(refused.value)


@given(st.from_regex(r"[0-9]{14}", fullmatch=True), st.integers(1, 9))
def test_exactly_one_check_digit_is_right(digits, off):
    right = [check for check in range(10) if _reads(f"{digits}{check}")]
    assert len(right) == 1
    assert not _reads(f"{digits}{(right[0] + off) % 10}")
    assert equipment(f"{digits}{right[0]}") == equipment(f"{digits}07") == digits


def _reads(text):
    try:
        return bool(parse_imei(text))
    except MalformedError:
        return False


@given(st.text(max_size=40))
def test_whatever_is_said_is_read_or_refused(text):
    for parse in (parse_supi, parse_gpsi, parse_imei, parse_dnn, parse_snssai, parse_tac):
        try:
            read = parse(text)
        except MalformedError:
            continue
        assert parse(read) == read


def test_a_binding_is_empty_or_sorted_and_bounded():
    assert not parse_binding()
    found = parse_binding(dnn="MED", tacs=("0002", "000001", "0001"))
    assert found == Binding(dnn="med", tacs=("000001", "000002"))
    with pytest.raises(MalformedError, match="tac"):
        parse_binding(tacs=tuple(f"{n:06x}" for n in range(TACS_MAX + 1)))
