"""Time, quality, labels, plans, configuration and the table of devices, each for itself."""

import math
from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain import terms
from gateway.domain.errors import ConfigError
from gateway.domain.labels import UNLABELLED, DataClass, Label
from gateway.domain.records import (
    Alarm,
    AlarmKind,
    AlarmPhase,
    AlarmPriority,
    AlarmSource,
    DeviceState,
    DeviceStatus,
    Enumeration,
    Gap,
    InfusionOrder,
    InfusionOrderAction,
    InventoryAction,
    InventoryEvent,
    LinkState,
    Quality,
    Report,
    Text,
    TimeQuality,
    Waveform,
)
from gateway.pipeline import assess
from gateway.pipeline.config import Limits, PipelineConfig, check_metrics
from gateway.pipeline.label import DEFAULT_LABELS
from gateway.pipeline.plan import PLANS_MAX, Plans, compile_plan
from gateway.pipeline.seen import REASONS_MAX, Seen, SeenTable
from tests.unit.pipeline.support import GOOD, SOURCE, Bench

NOW = 1_790_000_000_000_000
HOUR = 3_600_000_000
VALID, QUESTIONABLE, INVALID = Quality.VALID, Quality.QUESTIONABLE, Quality.INVALID


# Time


@pytest.mark.parametrize(
    ("device_us", "expected"),
    [
        (0, TimeQuality.NONE),
        (NOW, TimeQuality.GOOD),
        (NOW - 2_000_000, TimeQuality.GOOD),
        (NOW + 2_000_000, TimeQuality.GOOD),
        (NOW - 2_000_001, TimeQuality.OFFSET),
        (NOW + 2_000_001, TimeQuality.OFFSET),
        (NOW + 24 * HOUR, TimeQuality.OFFSET),
        (NOW + 24 * HOUR + 1, TimeQuality.IMPLAUSIBLE),
        (1, TimeQuality.IMPLAUSIBLE),
        (946_684_799_999_999, TimeQuality.IMPLAUSIBLE),
        (946_684_800_000_000, TimeQuality.OFFSET),
        (29_222_726_400_000_000, TimeQuality.IMPLAUSIBLE),  # the year 2896
        (-5, TimeQuality.IMPLAUSIBLE),
    ],
)
def test_time_quality(device_us, expected):
    bench = Bench()
    bench.submit(bench.vitals(GOOD, received_us=NOW, device_us=device_us))
    [report] = bench.committer.reports
    assert report.time_quality is expected
    assert report.device_us == device_us
    assert report.offset_us == (device_us - NOW if device_us else 0)
    assert bench.counters.counts[("time_quality", expected.name.lower())] == 1


@dataclass
class Timed:
    """Says whether each report came late."""

    bench: Bench

    def late(self, seconds_ago: float, after_s: float = 1.0) -> bool:
        self.bench.clock.advance(after_s)
        device_us = self.bench.clock.now_us() - round(seconds_ago * 1e6)
        self.bench.submit(self.bench.vitals(GOOD, device_us=device_us))
        qualities = self.bench.committer.reports[-1].qualities
        assert set(qualities) <= {QUESTIONABLE}
        return bool(qualities)


def test_what_a_device_kept_while_it_was_cut_off_is_late():
    timed = Timed(Bench())
    assert not timed.late(0)
    assert [timed.late(ago, 0.01) for ago in (300, 200, 100, 61, 59, 0)] == [
        *[True] * 4,
        *[False] * 2,
    ]


def test_a_wrong_clock_makes_nothing_late():
    timed = Timed(Bench())
    assert not any(timed.late(600) for _ in range(50))
    assert timed.late(700)


def test_a_clock_that_was_set_back_is_believed_after_a_while():
    timed = Timed(Bench())
    assert not timed.late(0)
    late = [timed.late(600) for _ in range(150)]
    assert late == [True] * 120 + [False] * 30


def test_an_impossible_time_does_not_move_what_is_usual():
    timed = Timed(Bench())
    timed.late(0)
    bench = timed.bench
    bench.submit(bench.vitals(GOOD, device_us=bench.clock.now_us() + 30 * 24 * HOUR))
    assert not timed.late(0)


# Quality

CODES = (terms.HEART_RATE, terms.SPO2, terms.ABP_SYS, 99)
PLAN = compile_plan(PipelineConfig(), "vitals", CODES)
FINE = (72.0, 98.0, 120.0, 5.0)


@pytest.mark.parametrize(
    ("code", "zero"),
    [
        (terms.HEART_RATE, VALID),
        (terms.RESP_RATE, VALID),
        (terms.ETCO2, VALID),
        (terms.FLOW_RATE, VALID),
        (terms.SPO2, INVALID),
        (terms.PULSE_RATE, INVALID),
        (terms.ABP_SYS, INVALID),
        (terms.ABP_DIA, INVALID),
        (terms.ABP_MEAN, INVALID),
        (terms.NIBP_SYS, INVALID),
        (terms.TEMPERATURE, INVALID),
    ],
)
def test_zero_is_a_value_or_a_sensor_that_came_off(code, zero):
    plan = compile_plan(PipelineConfig(), "vitals", (code,))
    qualities = assess.mark(plan, (0.0,), (), stale=False)
    assert qualities == (() if zero is VALID else (INVALID,))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", range(4))
def test_no_number_is_invalid_everywhere(place, value):
    values = (*FINE[:place], value, *FINE[place + 1 :])
    assert not assess.calm(PLAN, values)
    qualities = assess.mark(PLAN, values, (), stale=False)
    assert [i for i, quality in enumerate(qualities) if quality == INVALID] == [place]


def test_what_the_device_marked_keeps_its_mark():
    claimed = (VALID, Quality.DEMO, Quality.CALIBRATING, VALID)
    values = (900.0, 98.0, 0.0, 5.0)
    assert assess.mark(PLAN, values, claimed, stale=False) == (INVALID, *claimed[1:])
    assert assess.mark(PLAN, FINE, (VALID,) * 4, stale=False) == ()


def test_what_came_late_is_questionable_unless_it_is_worse():
    values = (72.0, 0.0, 120.0, 5.0)
    claimed = (VALID, VALID, Quality.DEMO, VALID)
    expected = (QUESTIONABLE, INVALID, Quality.DEMO, QUESTIONABLE)
    assert assess.mark(PLAN, values, claimed, stale=True) == expected


numbers = st.floats() | st.sampled_from([0.0, 1.0, 49.0, 50.0, 85.0, 90.0, 120.0, 160.0, 400.0])


@given(st.tuples(numbers, numbers, numbers, numbers))
def test_calm_means_valid_and_beyond_no_limit(values):
    if assess.calm(PLAN, values):
        assert assess.mark(PLAN, values, (), stale=False) == ()
        assert assess.plausible(PLAN, values)
        assert 50 <= values[0] <= 120
        assert values[1] >= 90
        assert 90 <= values[2] <= 160
    else:
        marked = bool(assess.mark(PLAN, values, (), stale=False))
        beyond = not (50 <= values[0] <= 120 and values[1] >= 90 and 90 <= values[2] <= 160)
        assert marked or beyond


# Labels

STATUS3 = Label(DataClass.HEALTH_STATUS, 3)
THERAPY3 = Label(DataClass.MEDICAL_APPLICATION, 3)
EQUIPMENT3 = Label(DataClass.HEALTH_RESOURCES, 3)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ((), EQUIPMENT3),
        ((terms.BATTERY,), EQUIPMENT3),
        ((terms.HEART_RATE,), STATUS3),
        ((terms.BATTERY, terms.HEART_RATE), STATUS3),
        ((terms.FLOW_RATE, terms.RSSI), THERAPY3),
        ((terms.FLOW_RATE, terms.SPO2), STATUS3),
        ((terms.HEART_RATE, 424242), UNLABELLED),
        ((terms.DRUG_NAME, terms.HEART_RATE), Label(DataClass.MEDICAL_APPLICATION, 4)),
    ],
)
def test_a_combination_has_the_label_of_its_highest_member(codes, expected):
    assert DEFAULT_LABELS.of_codes(codes) == expected
    assert DEFAULT_LABELS.of_codes(reversed(codes)) == expected


@given(st.lists(st.sampled_from([*terms.METRICS, 424242]), max_size=6))
def test_no_member_is_above_its_combination(codes):
    whole = DEFAULT_LABELS.of_codes(codes)
    assert whole.level >= 3
    assert all(whole.level >= terms.metric(code).label.level for code in codes)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, STATUS3),
        ({"texts": (Text(terms.DRUG_NAME, "x"),)}, Label(DataClass.MEDICAL_APPLICATION, 4)),
        ({"texts": (Text(terms.BATTERY, "x"),)}, Label(DataClass.MEDICAL_APPLICATION, 4)),
        ({"enumerations": (Enumeration(terms.CLAMP, 0, "open"),)}, STATUS3),
        ({"enumerations": (Enumeration(424242, 0, "?"),)}, UNLABELLED),
        ({"waveforms": (Waveform(424242, 0, 125.0, 1.0, 0.0, (1,)),)}, UNLABELLED),
    ],
)
def test_everything_in_a_report_counts(more, expected):
    bench = Bench()
    bench.submit(bench.vitals(GOOD, **more))
    item = (bench.committer.waves or bench.committer.telemetry)[0]
    assert item.label == expected
    beside = set() if "waveforms" in more else set(GOOD)
    used = beside | {part.code for parts in more.values() for part in parts}
    assert set(item.codes) == used


def alarm(source, codes):
    return Alarm(
        "id",
        "d",
        SOURCE,
        AlarmPriority.LOW,
        AlarmPhase.START,
        AlarmKind.TECHNICAL,
        source,
        1,
        "c",
        "text",
        1,
        1,
        codes=codes,
        values=(1.0,) * len(codes),
    )


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (alarm(AlarmSource.GATEWAY, ()), EQUIPMENT3),
        (alarm(AlarmSource.GATEWAY, (terms.SPO2,)), STATUS3),
        (alarm(AlarmSource.GATEWAY, (424242,)), UNLABELLED),
        (alarm(AlarmSource.DEVICE, ()), THERAPY3),
        (alarm(AlarmSource.DEVICE, (terms.SPO2,)), STATUS3),
    ],
)
def test_an_alarm_is_labelled_by_its_values_and_the_devices_phrase(record, expected):
    assert DEFAULT_LABELS.of_alarm(record) == expected


@pytest.mark.parametrize(
    ("record", "level"),
    [
        (Gap("journal_damaged"), 2),
        (Gap("link_lost", "d"), 3),
        (DeviceStatus("d", "m", SOURCE, 1, DeviceState.ONLINE, "connected"), 3),
        (DeviceStatus("d", "m", SOURCE, 1, DeviceState.OFFLINE, "last_will", detail="bye"), 4),
        (InventoryEvent("d", SOURCE, 1, InventoryAction.MOVED, "E1", "p"), 3),
        (InventoryEvent("d", SOURCE, 1, InventoryAction.MOVED, "E1", "p", badge="b"), 4),
        (InfusionOrder("d", SOURCE, 1, InfusionOrderAction.ORDERED, "o"), 4),
        (LinkState("d", SOURCE, 1, "cell", cell="001-01-2"), 3),
        (LinkState("d", SOURCE, 1, "session_ended"), 3),
    ],
)
def test_other_records(record, level):
    assert DEFAULT_LABELS.of_other(record).level == level


# Configuration


def test_the_defaults_are_in_order():
    check_metrics(PipelineConfig())
    assert msgspec.convert({}, PipelineConfig) == PipelineConfig()


def test_a_hospitals_table_is_read():
    table = {
        "limits": {"MDC_TEMP": {"high": 38.0, "delay_s": 5}},
        "kinds": {"neonatal": {"interval_s": 2, "limits": {"MDC_ECG_HEART_RATE": {"low": 90}}}},
        "drip": {"urgent_percent": 30},
    }
    config = msgspec.convert(table, PipelineConfig, strict=True)
    check_metrics(config)
    assert config.limits_of("neonatal", "MDC_ECG_HEART_RATE") == Limits(low=90)
    assert config.limits_of("neonatal", "MDC_TEMP") == Limits(high=38.0, delay_s=5)
    assert config.limits_of("vitals", "MDC_ECG_HEART_RATE") is None
    assert config.interval_s("neonatal") == 2


@pytest.mark.parametrize(
    ("table", "path"),
    [
        ({"limits": {"MDC_TEMP": {"low": 5, "high": 4}}}, "pipeline.limits.MDC_TEMP"),
        ({"limits": {"MDC_TEMP": {"low": 40, "critical_low": 41}}}, "pipeline.limits.MDC_TEMP"),
        ({"limits": {"MDC_TEMP": {"delay_s": -1}}}, "pipeline.limits.MDC_TEMP.delay_s"),
        ({"limits": {"MDC_TEMP": {"low": math.nan}}}, "pipeline.limits.MDC_TEMP.low"),
        ({"kinds": {"x": {"interval_s": -1.0}}}, "pipeline.kinds.x.interval_s"),
        ({"kinds": {"x": {"limits": {"y": {"low": 2, "high": 1}}}}}, "pipeline.kinds.x.limits.y"),
        ({"drip": {"advisory_percent": 30}}, "pipeline.drip.urgent_percent"),
        ({"duplicates": {"window": 12}}, "pipeline.duplicates.window"),
        ({"duplicates": {"boots": 0}}, "pipeline.duplicates.boots"),
        ({"time": {"good_offset_s": -1}}, "pipeline.time.good_offset_s"),
        ({"devices_max": 0}, "pipeline.devices_max"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(table, path):
    with pytest.raises(ConfigError, match=path):
        msgspec.convert(table, PipelineConfig, strict=True)


@pytest.mark.parametrize(
    ("table", "path"),
    [
        ({"limits": {"MDC_NOTHING": {}}}, "pipeline.limits.MDC_NOTHING"),
        ({"kinds": {"x": {"limits": {"y": {}}}}}, "pipeline.kinds.x.limits.y"),
    ],
)
def test_limits_of_a_metric_that_nobody_knows_are_refused(table, path):
    config = msgspec.convert(table, PipelineConfig, strict=True)
    with pytest.raises(ConfigError, match=path):
        check_metrics(config)
    Bench(config)  # until the drivers are imported it may be theirs


def test_an_unknown_key_is_refused():
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"limits": {"MDC_TEMP": {"hihg": 38.0}}}, PipelineConfig)


def test_plans_are_bounded():
    plans = Plans(PipelineConfig())
    for code in range(PLANS_MAX + 10):
        plans.of("vitals", (code,))
    assert len(plans._known) <= PLANS_MAX
    assert plans.of("vitals", CODES) == PLAN


# The table of devices


def test_errors_are_counted_by_a_bounded_set_of_reasons():
    seen = Seen("d")
    for n in range(REASONS_MAX + 5):
        seen.error(f"reason {n}")
    seen.error("reason 0")
    assert seen.errors["reason 0"] == 2
    assert seen.errors["other"] == 5
    assert len(seen.errors) == REASONS_MAX + 1


def test_the_table_can_be_read_while_it_changes():
    table = SeenTable(10)
    table.of("a")
    table.of("b")
    for seen in table:
        table.of(f"{seen.device_id} again")
    assert len(table) == 4


def test_reports_without_codes_are_reports():
    bench = Bench()
    text = (Text(terms.DRUG_NAME, "x"),)
    bench.submit(Report("d", "drip", SOURCE, NOW, texts=text))
    assert bench.committer.reports[0].texts == text
