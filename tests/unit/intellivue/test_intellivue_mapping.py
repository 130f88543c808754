"""Replies to records: codes, units, qualities, times, alarms."""

import math
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.intellivue import alarms, clock, metrics
from drivers.intellivue.alarms import AlarmLists
from drivers.intellivue.attributes import (
    AbsoluteTime,
    AlarmEntry,
    EnumerationValue,
    ManagedObject,
    NumericValue,
)
from drivers.intellivue.clock import MonitorClock
from drivers.intellivue.mapping import ENUMERATION_EVERY_US, REMEMBERED_MAX, Mapper, quality_of
from drivers.intellivue.messages import ObservedObject, PollReply
from drivers.intellivue.nomenclature import Attribute, ObjectClass, State
from drivers.intellivue.units import conversion
from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.labels import UNLABELLED
from gateway.domain.records import (
    AlarmKind,
    AlarmPriority,
    Attestation,
    Provenance,
    Quality,
    TimeQuality,
)


# Tests know that there is an answer, where the types allow for none.
def device_alarm(shown):
    return alarms.device_alarm(shown)


def to_unix_us(when, zone):
    return clock.to_unix_us(when, zone)


def update(lists, attributes):
    return lists.update(attributes)


RECEIVED_US = 1_790_000_000_000_000
SUBJECT = ManagedObject(6, 0, 1)
MMHG, KPA, BPM, PERCENT, CELSIUS, FAHRENHEIT = 0x0F20, 0x0F03, 0x0AA0, 0x0220, 0x17A0, 0x1140


def mapper(zone=UTC):
    provenance = Provenance("intellivue", Attestation.PORT, "/dev/ttyS1")
    return Mapper(Device("m1", ward="icu", bed="12"), provenance, MonitorClock(zone))


def numerics(*objects, ticks=0, subject=None):
    observed = tuple(ObservedObject(0, n, attributes) for n, attributes in enumerate(objects))
    reply = PollReply(1, 0, ticks, None, ObjectClass.NUMERIC, 0, observed)
    return (subject or mapper()).records(reply, RECEIVED_US)


def one(physio_id, unit_code, value, state=0):
    (report,) = numerics(
        {Attribute.NUMERIC_VALUE: NumericValue(physio_id, state, unit_code, value)}
    )
    ((code,), (number,)) = report.codes, report.values
    return code, number, report.qualities


@pytest.mark.parametrize(
    ("physio_id", "code"),
    [
        (0x4182, 147842),
        (0x4BB8, 150456),
        (0x4A15, 150037),
        (0x4A06, 150022),
        (0x500A, 151562),
        (0x4822, terms.PULSE_RATE),
        (0x50B0, terms.ETCO2),
        (0xF0E5, 149546),
        (0xF03D, 1024 << 16 | 0xF03D),
    ],
)
def test_codes(physio_id, code):
    assert metrics.metric_code(physio_id) == code


@given(st.integers(0, 0xFFFF))
def test_no_code_of_a_monitor_is_one_of_wardgates_own(physio_id):
    code = metrics.metric_code(physio_id)
    assert not terms.metric(code).refid.startswith("WARDGATE_")


@pytest.mark.parametrize(
    ("physio_id", "unit_code", "value", "expected"),
    [
        (0x4A15, KPA, 16.0, 120.01),
        (0x4A15, MMHG, 120.0, 120.0),
        (0x4B48, FAHRENHEIT, 98.6, 37.0),
        (0x4B48, CELSIUS, 37.2, 37.2),
        (0x4B48, 0x1120, 310.15, 37.0),
        (0x50B0, KPA, 5.0, 37.5031),
        (0x4182, BPM, 60.0, 60.0),
    ],
)
def test_units(physio_id, unit_code, value, expected):
    _, number, qualities = one(physio_id, unit_code, value)
    assert number == expected
    assert qualities == ()


@pytest.mark.parametrize("unit_code", [PERCENT, 0x0000, 0xF123])
def test_a_unit_that_cannot_be_converted_is_never_passed_off(unit_code):
    code, number, qualities = one(0x4A15, unit_code, 120.0)
    assert code == terms.ABP_SYS
    assert math.isnan(number)
    assert qualities == (Quality.INVALID,)


def test_a_unit_code_that_nobody_knows_has_no_conversion():
    assert conversion(0xFFFF, "1") is None


@pytest.mark.parametrize(
    ("state", "quality"),
    [
        (0x0000, Quality.VALID),
        (0x0002, Quality.VALID),
        (0x0001, Quality.VALID),
        (0x0060, Quality.VALID),
        (0x8000, Quality.INVALID),
        (0x4000, Quality.QUESTIONABLE),
        (0x2000, Quality.UNAVAILABLE),
        (0x1000, Quality.CALIBRATING),
        (0x0800, Quality.DEMO),
        (0x0400, Quality.DEMO),
        (0x0401, Quality.DEMO),
        (0x8400, Quality.INVALID),
        (0x6400, Quality.UNAVAILABLE),
        (0x4400, Quality.DEMO),
    ],
)
def test_states(state, quality):
    assert quality_of(state) is quality


@given(st.integers(0, 0xFFFF))
def test_valid_exactly_when_the_high_byte_says_nothing(state):
    says = state & 0xFC00
    assert (quality_of(state) is Quality.VALID) == (says == 0)
    assert isinstance(State(state), State)


@pytest.mark.parametrize(
    ("state", "quality"),
    [
        (0, Quality.UNAVAILABLE),
        (0x2000, Quality.UNAVAILABLE),
        (0x8000, Quality.INVALID),
        (0x1000, Quality.CALIBRATING),
        (0x0400, Quality.UNAVAILABLE),
    ],
)
def test_no_number(state, quality):
    _, number, qualities = one(0x4182, BPM, math.nan, state)
    assert math.isnan(number)
    assert qualities == (quality,)


def test_an_unknown_metric_is_registered_unlabelled_with_its_unit(monkeypatch):
    monkeypatch.setattr(metrics, "_seen", set())
    physio_id = 0xF7A1
    code, number, qualities = one(physio_id, PERCENT, 42.0)
    row = terms.METRICS.pop(code)
    assert (row.refid, row.unit, row.label) == ("PHILIPS_F7A1", "%", UNLABELLED)
    assert (number, qualities) == (42.0, ())


def test_an_unlabelled_number_holds_back_no_vital_sign(monkeypatch):
    monkeypatch.setattr(metrics, "_seen", set())
    stray = {Attribute.NUMERIC_VALUE: NumericValue(0xF7A4, 0, PERCENT, 1.0)}
    rate = {Attribute.NUMERIC_VALUE: NumericValue(0x4182, 0, BPM, 60.0)}
    first, second = numerics(rate, stray, rate)
    terms.METRICS.pop(second.codes[0])
    assert first.codes == (terms.HEART_RATE, terms.HEART_RATE)
    assert second.codes == (1024 << 16 | 0xF7A4,)


def test_unknown_metrics_are_bounded_and_counted(monkeypatch):
    monkeypatch.setattr(metrics, "_seen", set(range(metrics.SEEN_METRICS_MAX)))
    subject = mapper()
    attributes = {Attribute.NUMERIC_VALUE: NumericValue(0xF7A2, 0, PERCENT, 1.0)}
    assert numerics(attributes, subject=subject) == []
    monkeypatch.setattr(metrics, "_seen", set())
    attributes = {Attribute.NUMERIC_VALUE: NumericValue(0xF7A3, 0, 0xF222, 1.0)}
    assert numerics(attributes, subject=subject) == []
    assert subject.unmapped == 2


def cuff(value, second):
    return {
        Attribute.TIME_STAMP_ABSOLUTE: AbsoluteTime(2026, 3, 1, 12, 0, second, 0),
        Attribute.COMPOUND_VALUE: (NumericValue(0x4A05, 0, MMHG, value),),
    }


def test_a_stamped_value_is_reported_once_at_its_own_time():
    subject = mapper()
    (first,) = numerics(cuff(120.0, 0), subject=subject)
    assert first.device_us == int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp() * 1e6)
    assert numerics(cuff(120.0, 0), subject=subject) == []
    (again,) = numerics(cuff(120.0, 30), subject=subject)  # measured anew, the same result
    assert again.values == (120.0,)


def test_memory_for_stamps_is_bounded():
    subject = mapper()
    objects = tuple(
        ObservedObject(0, handle, cuff(100.0, handle % 60)) for handle in range(REMEMBERED_MAX * 2)
    )
    subject.records(PollReply(1, 0, 0, None, ObjectClass.NUMERIC, 0, objects), RECEIVED_US)
    assert len(subject._stamped) == REMEMBERED_MAX


def test_enumerations():
    value = EnumerationValue(0xD007, 0x0400, 16403)
    unknown = EnumerationValue(0xD006, 0, 0xF001)
    objects = (
        ObservedObject(0, 1, {Attribute.ENUMERATION_VALUE: value}),
        ObservedObject(0, 2, {Attribute.ENUMERATION_VALUE: unknown}),
        ObservedObject(0, 3, {}),
        ObservedObject(0, 4, {Attribute.ENUMERATION_VALUE: EnumerationValue(0xD02A, 0, 16402)}),
    )
    reply = PollReply(1, 0, 0, None, ObjectClass.ENUMERATION, 0, objects)
    report, unlabelled = mapper().records(reply, RECEIVED_US)
    first, second = report.enumerations
    assert [e.code for e in unlabelled.enumerations] == [2 << 16 | 0xD02A]
    assert (first.code, first.value, first.name, first.quality) == (
        2 << 16 | 0xD007,
        2 << 16 | 16403,
        "sinus_bradycardia",
        Quality.DEMO,
    )
    assert (second.value, second.name) == (1024 << 16 | 0xF001, "f001")
    assert report.time_quality is TimeQuality.NONE  # no clock was read yet


def test_an_enumeration_is_reported_when_it_changes_and_once_a_minute():
    subject = mapper()

    def reported(value, at_us):
        observed = ObservedObject(
            0, 1, {Attribute.ENUMERATION_VALUE: EnumerationValue(0xD007, 0, value)}
        )
        reply = PollReply(1, 0, 0, None, ObjectClass.ENUMERATION, 0, (observed,))
        return len(subject.records(reply, RECEIVED_US + at_us))

    assert reported(16402, 0) == 1
    assert reported(16402, 1_000_000) == 0
    assert reported(16403, 2_000_000) == 1
    assert reported(16402, 3_000_000) == 1
    assert reported(16402, 3_000_000 + ENUMERATION_EVERY_US - 1) == 0
    assert reported(16402, 3_000_000 + ENUMERATION_EVERY_US) == 1


# Time


def wall(second, minute=0, hour=12):
    return AbsoluteTime(2026, 3, 1, hour, minute, second, 0)


def test_relative_time_through_the_wall_clock():
    ticking = MonitorClock(UTC)
    assert ticking.unix_us(8000) is None
    ticking.anchor(8000, wall(10))
    assert ticking.unix_us(8000) == to_unix_us(wall(10), UTC)
    assert ticking.unix_us(16000) == to_unix_us(wall(11), UTC)
    assert ticking.unix_us(0) == to_unix_us(wall(9), UTC)


def test_readings_close_in_on_the_second():
    ticking = MonitorClock(UTC)
    start = to_unix_us(wall(0), UTC)
    # The true moment of tick 0 is 0.7 s past the second; the wall clock is cut off.
    for ticks in range(0, 60 * 8192, 8192):
        minute, second = divmod((700_000 + ticks * 125) // 1_000_000, 60)
        ticking.anchor(ticks, wall(second, minute))
    best: Any = ticking.unix_us(0)
    error = best - (start + 700_000)
    assert -30_000 <= error <= 0


def test_a_clock_that_was_set_is_followed():
    ticking = MonitorClock(UTC)
    ticking.anchor(0, wall(0))
    ticking.anchor(8000, wall(1, minute=30))
    assert ticking.unix_us(8000) == to_unix_us(wall(1, minute=30), UTC)
    ticking.anchor(16000, wall(2, minute=10))
    assert ticking.unix_us(16000) == to_unix_us(wall(2, minute=10), UTC)


def test_relative_time_wraps():
    ticking = MonitorClock(UTC)
    ticking.anchor(0xFFFFFFFF - 7999, wall(10))
    assert ticking.unix_us(0) == to_unix_us(wall(11), UTC)


def test_zone_and_impossible_dates():
    paris = ZoneInfo("Europe/Paris")
    assert to_unix_us(wall(0), UTC) - to_unix_us(wall(0), paris) == 3_600_000_000
    assert to_unix_us(AbsoluteTime(2026, 2, 31, 0, 0, 0, 0), UTC) is None
    assert to_unix_us(AbsoluteTime(0, 0, 0, 0, 0, 0, 0), UTC) is None
    ticking = MonitorClock(UTC)
    ticking.anchor(0, AbsoluteTime(2026, 13, 1, 0, 0, 0, 0))
    assert ticking.unix_us(0) is None


# Alarms


def entry(kind, code=40, source=0x4182, **more):
    return AlarmEntry(source, code, kind, more.pop("state", 0), SUBJECT, **more)


@pytest.mark.parametrize(
    ("kind", "priority", "what"),
    [
        (0x0400, AlarmPriority.HIGH, AlarmKind.PHYSIOLOGICAL),
        (0x0200, AlarmPriority.MEDIUM, AlarmKind.PHYSIOLOGICAL),
        (0x0100, AlarmPriority.LOW, AlarmKind.PHYSIOLOGICAL),
        (0x0004, AlarmPriority.HIGH, AlarmKind.TECHNICAL),
        (0x0002, AlarmPriority.MEDIUM, AlarmKind.TECHNICAL),
        (0x0001, AlarmPriority.LOW, AlarmKind.TECHNICAL),
    ],
)
def test_priorities(kind, priority, what):
    alarm = device_alarm(entry(kind, text="**HR HIGH"))
    assert (alarm.priority, alarm.kind, alarm.text) == (priority, what, "**HR HIGH")
    assert (alarm.condition, alarm.code) == ("heart_rate.high", 196648)


def test_names_of_conditions():
    assert device_alarm(entry(0)) is None
    assert device_alarm(entry(1, code=41, source=0x1002)).condition == "object_69634.high"
    assert device_alarm(entry(1, code=0x1F0, source=0xF123)).condition == (
        f"metric_{1024 << 16 | 0xF123}.event_01f0"
    )
    private = device_alarm(entry(1024, code=61896))
    assert (private.condition, private.code) == (
        "heart_rate.atrial_fibrillation",
        1024 << 16 | 61896,
    )
    assert device_alarm(entry(1024)).text == "heart rate high"


def test_an_alarm_in_demo_mode_is_an_advisory():
    alarm = device_alarm(entry(0x0400, state=0x0100, text="HR HIGH"))
    assert (alarm.kind, alarm.text) == (AlarmKind.ADVISORY, "demo: HR HIGH")


def test_a_snapshot_needs_both_lists_and_is_complete():
    lists = AlarmLists()
    assert update(lists, {Attribute.P_ALARM_LIST: (entry(0x0100),)}) is None
    shown = update(lists, {Attribute.T_ALARM_LIST: (entry(0x0004, code=274),)})
    assert [alarm.condition for alarm in shown] == ["heart_rate.leads_off", "heart_rate.high"]
    shown = update(lists, {Attribute.P_ALARM_LIST: ()})
    assert [alarm.condition for alarm in shown] == ["heart_rate.leads_off"]


def test_the_same_condition_twice_keeps_the_graver_and_the_number_is_bounded():
    lists = AlarmLists()
    many = tuple(entry(0x0001, code=code) for code in range(0, 400, 2))
    shown = update(
        lists,
        {
            Attribute.P_ALARM_LIST: (entry(0x0100), entry(0x0400), entry(0x0200)),
            Attribute.T_ALARM_LIST: many,
        },
    )
    assert shown[0].priority is AlarmPriority.HIGH
    assert [a.condition for a in shown].count("heart_rate.high") == 1
    assert len(shown) == alarms.ALARMS_MAX
