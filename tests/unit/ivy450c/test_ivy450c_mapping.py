"""Messages become records."""

import itertools
import math

import pytest

from drivers.base.dialogue import Moment
from drivers.ivy450c.codec import Curves, Line, Message, MessageDecoder
from drivers.ivy450c.mapping import Mapper, Units
from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.records import (
    AlarmKind,
    AlarmPriority,
    AlarmSnapshot,
    Attestation,
    Mark,
    Provenance,
    Quality,
    Report,
)
from tests.unit.ivy450c.capture import needs_capture, stream

PROVENANCE = Provenance("ivy450c", Attestation.PORT, "/dev/ttyS0")
CURVES = Curves(bytes([100] * 200), bytes(50), bytes(50), bytes([90] * 50), bytes([251] * 50))


def mapper(**how):
    return Mapper(Device("m1", bed="3", ward="icu"), PROVENANCE, **how)


def moment(second):
    return Moment(1000.0 + second, 1_800_000_000_000_000 + round(second * 1e6))


def said(*lines, at=0.0, to=None):
    """What becomes of a message: code -> (value, quality), and the records."""
    records = (to or mapper()).records(Message(CURVES, lines), moment(at))
    numbers: dict[int, tuple[float, int]] = {}
    for report in records:
        if isinstance(report, Report):
            qualities = report.qualities or (Quality.VALID,) * len(report.codes)
            numbers.update(
                zip(report.codes, zip(report.values, qualities, strict=True), strict=True)
            )
    return numbers, records


def waveforms(records):
    return {
        wave.code: wave for each in records if isinstance(each, Report) for wave in each.waveforms
    }


@needs_capture
@pytest.mark.shared
def test_the_recording_mapped():
    subject = mapper()
    messages = [m for m in MessageDecoder().feed(stream()) if isinstance(m, Message)]
    seconds = [subject.records(m, moment(i)) for i, m in enumerate(messages)]
    assert subject.unmapped == 0
    cuffs = 0
    for records in seconds:
        numbers, curves, alarms = records
        values = dict(zip(numbers.codes, numbers.values, strict=True))
        assert values[terms.HEART_RATE] == 80
        assert values[terms.RESP_RATE] == 35
        assert values[terms.SPO2] == 100
        assert values[terms.PULSE_RATE] == 80
        assert values[terms.code("MDC_PRESS_BLD_SYS")] in {110, 111}
        assert values[terms.code("MDC_PRESS_BLD_DIA")] == 73
        assert values[terms.code("MDC_PRESS_BLD_MEAN")] == 88
        if terms.NIBP_SYS in values:
            cuffs += 1
            assert (values[terms.NIBP_SYS], values[terms.NIBP_DIA]) == (121, 75)
            assert values[terms.NIBP_MEAN] == 92
        assert not numbers.qualities  # what is not connected says nothing
        assert len(curves.waveforms) == 4  # P2 has no transducer
        assert alarms.alarms == ()
        assert numbers.bed == curves.bed == "3"
    assert cuffs == 1
    starts = [curves.waveforms[0].start_us for _, curves, _ in seconds]
    assert [b - a for a, b in itertools.pairwise(starts)] == [1_000_000] * 26


def test_a_cuff_pressure_is_reported_when_it_changes_and_once_a_minute():
    subject = mapper()
    cuff = Line("NIBP", ("121", "75", "92", "80"), "", "")
    assert terms.NIBP_SYS in said(cuff, to=subject)[0]
    assert terms.NIBP_SYS not in said(cuff, at=30, to=subject)[0]
    assert terms.NIBP_SYS in said(cuff, at=61, to=subject)[0]
    changed = Line("NIBP", ("119", "75", "92", "80"), "", "")
    assert said(changed, at=62, to=subject)[0][terms.NIBP_SYS] == (119.0, Quality.VALID)


def test_a_value_that_went_is_unavailable_and_one_that_never_was_is_nothing():
    subject = mapper()
    assert said(Line("T1", ("",), "", ""), to=subject)[0] == {}
    assert said(Line("T1", ("36.6",), "", ""), to=subject)[0] == {
        terms.TEMPERATURE: (36.6, Quality.VALID)
    }
    value, quality = said(Line("T1", ("",), "", ""), to=subject)[0][terms.TEMPERATURE]
    assert math.isnan(value)
    assert quality is Quality.UNAVAILABLE


def test_what_is_no_number_is_invalid_and_an_unknown_line_is_counted():
    subject = mapper()
    value, quality = said(Line("HR", ("8o",), "", ""), to=subject)[0][terms.HEART_RATE]
    assert math.isnan(value)
    assert quality is Quality.INVALID
    said(Line("XY", ("1",), "", ""), to=subject)
    said(Line("NIBP", ("1",), "", ""), to=subject)
    assert subject.unmapped == 3


def test_units_as_the_monitor_is_set():
    subject = mapper(units_set=Units("kPa", "[degF]"))
    numbers, _ = said(Line("ETCO2", ("5.1",), "", ""), Line("T2", ("98.6",), "", ""), to=subject)
    assert numbers[terms.ETCO2] == (pytest.approx(38.253, abs=0.001), Quality.VALID)
    assert numbers[terms.code("WARDGATE_TEMP_2")] == (37.0, Quality.VALID)


def test_pressure_channels_measure_what_the_configuration_says():
    subject = mapper(sites=("ABP", "CVP"))
    numbers, records = said(
        Line("P1", ("120", "70", "90"), "", ""), Line("P2", ("9", "5", "7"), "", ""), to=subject
    )
    assert numbers[terms.ABP_SYS] == (120.0, Quality.VALID)
    assert numbers[terms.code("MDC_PRESS_BLD_VEN_CENT_MEAN")] == (7.0, Quality.VALID)
    assert set(waveforms(records)) == {
        terms.code("MDC_PRESS_BLD_ART_ABP"),
        terms.code("MDC_PRESS_BLD_VEN_CENT"),
    }
    numbers, _ = said(Line("P1", ("120", "70", "90"), "", ""), Line("P2", ("9", "5", "7"), "", ""))
    assert set(numbers) == {
        terms.code(f"{name}_{part}")
        for name in ("MDC_PRESS_BLD", "WARDGATE_PRESS_2")
        for part in ("SYS", "DIA", "MEAN")
    }


def test_a_rate_of_another_source_is_a_pulse_rate():
    numbers, records = said(Line("HR", ("80",), "PLETH", ""))
    assert set(numbers) == {terms.code("MDC_PULS_RATE")}
    assert not waveforms(records)


@pytest.mark.parametrize(
    ("label", "lead"), [("ECG-I-DIAG", "I"), ("ECG-II-MON", "II"), ("ECG-III", "III")]
)
def test_the_lead_is_the_labels(label, lead):
    _, records = said(Line("HR", ("80",), label, ""))
    (code,) = waveforms(records)
    assert code == terms.code(f"MDC_ECG_ELEC_POTL_{lead}")


def test_alarms():
    _, records = said(
        Line("HR", ("150",), "ECG-II-DIAG", "HR 150 HIGH"),
        Line("SPO2", ("",), "", "CHECK PROBE"),
        Line("RR", ("9",), "", ""),
    )
    (snapshot,) = (each for each in records if isinstance(each, AlarmSnapshot))
    high, probe = snapshot.alarms
    assert (high.condition, high.text) == ("hr.hr_high", "HR 150 HIGH")
    assert (high.priority, high.kind) == (AlarmPriority.HIGH, AlarmKind.PHYSIOLOGICAL)
    assert (probe.condition, probe.kind) == ("spo2.check_probe", AlarmKind.TECHNICAL)
    assert probe.priority is AlarmPriority.MEDIUM


def test_a_lead_that_is_off_marks_the_curve():
    _, records = said(Line("HR", ("",), "ECG-II-DIAG", "LEAD OFF"))
    (wave,) = waveforms(records).values()
    assert [(run.first, run.count, run.mark) for run in wave.marks] == [(0, 200, Mark.LEAD_OFF)]
    assert wave.quality is Quality.QUESTIONABLE  # its scale is nobody's word


def test_lost_messages_are_a_gap_in_the_curve():
    subject = mapper()
    message = Message(CURVES, (Line("HR", ("80",), "ECG-II-DIAG", ""),))
    first = waveforms(subject.records(message, moment(0)))
    late = waveforms(subject.records(message, moment(3), damaged=True))
    (before,), (after,) = first.values(), late.values()
    assert before.missing_before == 0
    assert after.missing_before == 400
    assert after.start_us - before.start_us == pytest.approx(3_000_000, abs=1000)


def test_a_line_that_counts_no_values_has_no_curve():
    """Found by `make fuzz`: the count is the line's own word."""
    _, records = said(Line("P1", (), "", ""), Line("RR", (), "", ""))
    assert not set(waveforms(records)) & {
        terms.code("MDC_PRESS_BLD"),
        terms.code("WARDGATE_RESP_CURVE"),
    }
