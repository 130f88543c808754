"""The fast encoder says the same as the generated code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.records import Attestation, Provenance, Report, TimeQuality
from gateway.wire.records import decode
from gateway.wire.reports import encode_report
from tests.unit.test_wire import reports


def back(data: bytes) -> Report:
    record = decode(data)
    assert isinstance(record, Report)
    return record


SOURCE = Provenance("mqtt", Attestation.CERTIFICATE)


@given(report=reports())
def test_decodes_to_the_same_report(report):
    assert decode(encode_report(report)) == report


@given(
    received=st.integers(-(2**63), 2**63 - 1),
    device=st.integers(-(2**63), 2**63 - 1),
    offset=st.integers(-(2**63), 2**63 - 1),
)
def test_every_64_bit_number_survives(received, device, offset):
    report = Report("d", "vitals", SOURCE, received, device_us=device, offset_us=offset)
    assert decode(encode_report(report)) == report


@pytest.mark.parametrize("bits", range(64))
def test_every_length_of_varint_survives(bits):
    for number in (2**bits - 1, 2**bits - 2, -(2**bits)):
        report = Report("d", "vitals", SOURCE, max(number, -(2**63)))
        assert back(encode_report(report)).received_us == report.received_us


@given(
    time_quality=st.sampled_from(TimeQuality), offset=st.integers(-(2**40), 2**40), data=st.data()
)
def test_what_is_given_beside_replaces_the_reports_own(time_quality, offset, data):
    report = data.draw(reports())
    qualities = tuple(data.draw(st.sampled_from((1, 4))) for _ in report.codes)
    measured = (offset + 5, 7, 3, 9)
    stamped = back(encode_report(report, time_quality, offset, qualities, measured=measured))
    assert (stamped.time_quality, stamped.offset_us) == (time_quality, offset)
    assert stamped.qualities == qualities
    found = (stamped.measured_us, stamped.uncertainty_us, stamped.time_marks, stamped.order_us)
    assert found == measured


@pytest.mark.parametrize("number", [2**64, 2**70, -(2**63) - 1])
def test_a_number_of_more_than_64_bits_is_refused(number):
    with pytest.raises(ValueError, match="64 bits"):
        encode_report(Report("d", "vitals", SOURCE, number))


def test_a_lone_surrogate_is_refused():
    with pytest.raises(UnicodeEncodeError):
        encode_report(Report("d", "vitals", SOURCE, 1, message_id="\ud800"))
