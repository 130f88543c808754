"""Vitals limits: delay, hysteresis, priorities, and values that can't be relied on."""

import pytest

from gateway.domain import terms
from gateway.domain.errors import ConfigError
from gateway.domain.records import AlarmPhase, AlarmPriority, AlarmSource, Attestation
from gateway.pipeline.config import KindConfig, Limits, PipelineConfig, check_metrics
from tests.unit.pipeline.support import GOOD, Bench

HR = "MDC_ECG_HEART_RATE"
CONFIG = PipelineConfig(
    limits={HR: Limits(50, 120, 40, 150, delay_s=4, critical_delay_s=2, hysteresis=5)}
)


def told(*steps, config=CONFIG):
    """The phases and priorities after (seconds to wait, heart rate[, quality]) steps."""
    bench = Bench(config)
    for seconds, hr, *quality in steps:
        bench.wait(seconds)
        report = bench.vitals({terms.HEART_RATE: hr}, qualities=tuple(quality))
        bench.submit(report)
    bench.intake.tick()
    return [
        f"{alarm.condition} {alarm.phase.name} {alarm.priority.name}"
        for alarm in bench.committer.alarm_records
    ]


START, CRITICAL = "hr_high START MEDIUM", "hr_high START HIGH"
END = "hr_high END MEDIUM"


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        # On the limit is inside it; beyond it for less than the delay is nothing.
        ([(0, 120), (9, 120)], []),
        ([(0, 121), (3.9, 121)], []),
        ([(0, 121), (4, 121)], [START]),
        ([(0, 121), (2, 119), (3, 121)], []),
        # A tick raises it without another report.
        ([(0, 121), (4, 80)], [START, END]),
        # A critical value waits less; one that becomes critical while it waits, too.
        ([(0, 151), (2, 151)], [CRITICAL]),
        ([(0, 121), (1, 151), (2, 151)], [CRITICAL]),
        ([(0, 151), (1, 121), (1, 121)], [START]),
        # It never waits longer for becoming critical.
        ([(0, 121), (3, 151), (1, 151)], [CRITICAL]),
        # Priorities change at once, and soften only beyond the hysteresis.
        ([(0, 121), (4, 151)], [START, "hr_high UPDATE HIGH"]),
        ([(0, 151), (2, 149), (1, 145)], [CRITICAL]),
        ([(0, 151), (2, 144)], [CRITICAL, "hr_high UPDATE MEDIUM"]),
        # It ends beyond the hysteresis only.
        ([(0, 121), (4, 121), (1, 115)], [START]),
        ([(0, 121), (4, 121), (1, 114.9)], [START, END]),
        ([(0, 151), (2, 151), (1, 80)], [CRITICAL, "hr_high END HIGH"]),
        # Again beyond: another alarm, after another delay.
        ([(0, 121), (4, 80), (1, 121), (3, 121)], [START, END]),
        ([(0, 121), (4, 80), (1, 121), (4, 121)], [START, END, START]),
        # Asystole is a value; implausible, NaN and infinite are none.
        ([(0, 0.0), (2, 0.0)], ["hr_low START HIGH"]),
        ([(0, 500.0), (9, 500.0)], []),
        ([(0, float("inf")), (9, float("nan"))], []),
        # Invalid neither raises nor ends; it doesn't stop a delay that runs.
        ([(0, 151, 4), (9, 151, 4)], []),
        ([(0, 151), (1, 80, 4), (1, 80, 4)], [CRITICAL]),
        ([(0, 151), (2, 80, 4), (9, 80, 6)], [CRITICAL]),
        ([(0, 151), (2, 999.0), (9, -1.0)], [CRITICAL]),
        # Questionable raises, but ends and softens nothing.
        ([(0, 151, 2), (2, 151, 2)], [CRITICAL]),
        ([(0, 151), (2, 130, 2), (9, 80, 2)], [CRITICAL]),
        # Demonstration and calibration are no patient.
        ([(0, 151, 8), (9, 151, 3)], []),
        # On the other limit is inside it, too, when an alarm makes the rules look.
        ([(0, 151), (2, 50), (9, 50)], [CRITICAL, "hr_high END HIGH"]),
        # From one side to the other.
        ([(0, 151), (2, 30), (2, 30)], [CRITICAL, "hr_high END HIGH", "hr_low START HIGH"]),
    ],
)
def test_a_heart_rate(steps, expected):
    assert told(*steps) == expected


def test_a_limit_without_delay_raises_with_the_report():
    config = PipelineConfig(limits={HR: Limits(high=120, delay_s=0)})
    assert told((0, 121), config=config) == [START]


def test_only_a_critical_limit():
    config = PipelineConfig(limits={HR: Limits(critical_low=40, critical_delay_s=0)})
    assert told((0, 45), (0, 39), config=config) == ["hr_low START HIGH"]


def test_a_kind_has_limits_of_its_own():
    kinds = {"vitals": KindConfig(1.0, {HR: Limits(high=180, delay_s=0)})}
    config = PipelineConfig(kinds=kinds, limits={HR: Limits(high=120, delay_s=0)})
    bench = Bench(config)
    bench.submit(bench.vitals({terms.HEART_RATE: 150.0}))
    assert bench.phases() == []
    bench.submit(bench.report("other", {terms.HEART_RATE: 150.0}))
    assert bench.phases() == ["hr_high START"]


def test_a_report_without_the_metric_changes_nothing():
    bench = Bench(CONFIG)
    bench.submit(bench.vitals({terms.HEART_RATE: 151.0}))
    bench.wait(2)
    bench.submit(bench.vitals({terms.SPO2: 98.0}))
    bench.wait(2)
    assert bench.phases() == ["hr_high START"]


def test_an_alarm_tells_who_decided_and_why():
    bench = Bench(CONFIG)
    onset = bench.clock.now_us()
    bench.submit(bench.vitals({terms.HEART_RATE: 151.0}, message_id="5f:1", bed="12"))
    bench.wait(2)
    bench.submit(bench.vitals({terms.HEART_RATE: 80.0}, message_id="5f:2", bed="12"))
    start, end = bench.committer.alarm_records
    assert start.alarm_id == end.alarm_id
    assert (start.source, start.provenance.attestation) == (
        AlarmSource.GATEWAY,
        Attestation.GATEWAY,
    )
    assert start.text == "heart rate above 150 /min: 151"
    assert (start.limit, start.values, start.onset_us) == (150.0, (151.0,), onset)
    assert (start.message_id, end.message_id) == ("5f:1", "5f:2")
    assert (end.phase, end.onset_us) == (AlarmPhase.END, onset)
    assert bench.counters.counts[("alarms", "high", "start", "gateway")] == 1


def test_an_alarm_carries_the_value_that_was_newest_when_its_delay_was_over():
    bench = Bench(CONFIG)
    bench.submit(bench.vitals({terms.HEART_RATE: 151.0}))
    bench.wait(1)
    bench.submit(bench.vitals({terms.HEART_RATE: 163.0}))
    bench.wait(1)
    (start,) = bench.committer.alarm_records
    assert start.values == (163.0,)


def test_active_alarms_are_shown_by_priority():
    bench = Bench(CONFIG)
    bench.submit(bench.vitals({terms.HEART_RATE: 151.0}))
    bench.wait(2)
    assert bench.counters.gauges[("alarms_active", "high")] == 1
    bench.submit(bench.vitals({terms.HEART_RATE: 130.0}))
    assert bench.counters.gauges[("alarms_active", "high")] == 0
    assert bench.counters.gauges[("alarms_active", "medium")] == 1


def test_a_restart_neither_forgets_nor_repeats():
    bench = Bench(CONFIG)
    bench.submit(bench.vitals({terms.HEART_RATE: 151.0}))
    bench.wait(2)
    [start] = bench.committer.alarm_records
    again = Bench(CONFIG, state=bench.committer.state, clock=bench.clock, first_id=1000)
    assert again.counters.gauges[("alarms_active", "high")] == 1
    again.submit(again.vitals({terms.HEART_RATE: 152.0}))
    again.wait(5)
    assert again.committer.alarm_records == []
    again.submit(again.vitals({terms.HEART_RATE: 80.0}))
    [end] = again.committer.alarm_records
    assert (end.alarm_id, end.phase, end.onset_us) == (
        start.alarm_id,
        AlarmPhase.END,
        start.onset_us,
    )
    assert again.committer.state.items("alarm") == {}


def test_an_alarm_whose_rule_is_gone_ends_after_the_restart():
    bench = Bench(CONFIG)
    bench.submit(bench.vitals({terms.HEART_RATE: 151.0}))
    bench.wait(2)
    again = Bench(PipelineConfig(limits={}), state=bench.committer.state, clock=bench.clock)
    again.intake.tick()
    again.intake.tick()
    assert again.phases() == ["hr_high END"]
    assert again.committer.state.items("alarm") == {}


def test_an_alarm_of_a_drivers_own_metric_outlives_a_restart(monkeypatch):
    """Its metric is declared when the driver is imported, after the alarms were restored."""
    own = terms.Metric(4242, "ACME_DEPTH", "mm", "depth", 0, 100, terms.METRICS[terms.SPO2].label)
    config = PipelineConfig(limits={"ACME_DEPTH": Limits(high=10, delay_s=0)})
    monkeypatch.setitem(terms.METRICS, own.code, own)
    bench = Bench(config)
    bench.submit(bench.vitals({own.code: 11.0}))
    monkeypatch.delitem(terms.METRICS, own.code)
    again = Bench(config, state=bench.committer.state, clock=bench.clock)
    monkeypatch.setitem(terms.METRICS, own.code, own)
    again.intake.tick()
    again.submit(again.vitals({own.code: 12.0}))
    assert again.phases() == []
    again.submit(again.vitals({own.code: 9.0}))
    assert again.phases() == ["acme_depth_high END"]


def test_state_that_cannot_be_read_is_left_out(caplog):
    bench = Bench(CONFIG)
    bench.submit(bench.vitals({terms.HEART_RATE: 151.0}))
    bench.wait(2)
    spaces = bench.committer.state.spaces
    spaces["alarm"]["broken"] = b"\xff"
    spaces["presence"]["broken"] = b"\xff"
    again = Bench(CONFIG, state=bench.committer.state, clock=bench.clock)
    again.submit(again.vitals({terms.HEART_RATE: 80.0}))
    assert again.phases() == ["hr_high END"]
    assert len(caplog.records) == 2
    assert "broken" not in caplog.text


def test_values_that_flicker_leave_nothing_behind():
    bench = Bench(CONFIG)
    for _ in range(3000):
        bench.submit(bench.vitals({terms.HEART_RATE: 121.0}), bench.vitals(GOOD))
    assert len(bench.intake.alarms._delays) < 2048
    bench.wait(10)
    assert bench.phases("hr_high") == []


@pytest.mark.parametrize("priority", list(AlarmPriority))
def test_the_default_limits_raise_nothing_for_a_healthy_adult(priority):
    bench = Bench()
    values = {
        **GOOD,
        terms.ABP_SYS: 118.0,
        terms.ABP_MEAN: 88.0,
        terms.NIBP_SYS: 121.0,
        terms.NIBP_MEAN: 90.0,
        terms.TEMPERATURE: 36.8,
        terms.ETCO2: 38.0,
        terms.PULSE_RATE: 72.0,
    }
    for _ in range(10):
        bench.submit(bench.vitals(values))
        bench.wait(5)
    assert bench.intake.alarms.active[priority] == 0


def test_limits_in_another_unit():
    """A hospital that thinks in kPa and Fahrenheit; the values come in the metric's own unit."""
    config = PipelineConfig(
        limits={
            "MDC_CONC_AWAY_CO2_ET": Limits(high=6, hysteresis=0.2, delay_s=0, unit="kPa"),
            "MDC_TEMP": Limits(high=101.3, hysteresis=0.9, delay_s=0, unit="[degF]"),
        }
    )
    check_metrics(config)
    bench = Bench(config)
    for etco2, temperature in ((44.9, 38.4), (45.1, 38.6), (43.6, 38.1), (43.4, 37.9)):
        bench.submit(bench.vitals({terms.ETCO2: etco2, terms.TEMPERATURE: temperature}))
    assert bench.phases() == [
        "etco2_high START",
        "temp_high START",
        "etco2_high END",
        "temp_high END",
    ]
    co2 = next(alarm for alarm in bench.committer.alarm_records if alarm.condition == "etco2_high")
    assert co2.limit == pytest.approx(45.004, abs=0.001)


@pytest.mark.parametrize("unit", ["kg", "Torr", "mm[Hg] "])
def test_a_limit_in_a_unit_that_does_not_convert_is_refused(unit):
    config = PipelineConfig(limits={"MDC_PRESS_BLD_NONINV_SYS": Limits(high=21, unit=unit)})
    with pytest.raises(ConfigError, match=r"^pipeline\.limits\.MDC_PRESS_BLD_NONINV_SYS\.unit: "):
        check_metrics(config)
