"""Changed rules while the gateway runs: what stands keeps standing until it is judged anew."""

from __future__ import annotations

import pytest

from gateway.domain import terms
from gateway.domain.records import AlarmPriority
from gateway.pipeline.config import (
    DripRule,
    KindConfig,
    Limits,
    PipelineConfig,
    SilenceRule,
    TimeRule,
)
from tests.unit.pipeline.support import DRIP, Bench

HR = "MDC_ECG_HEART_RATE"
KINDS = {"vitals": KindConfig(interval_s=0.0), "drip": KindConfig(interval_s=0.0)}
START, UPDATE, END = (f"hr_high {phase}" for phase in ("START", "UPDATE", "END"))


def rules(limits: Limits | None, kind: Limits | None = None) -> PipelineConfig:
    kinds = dict(KINDS)
    if kind is not None:
        kinds["vitals"] = KindConfig(interval_s=0.0, limits={HR: kind})
    return PipelineConfig(kinds=kinds, limits={} if limits is None else {HR: limits})


BEFORE = rules(Limits(high=120, delay_s=4))
SAME = BEFORE
TIGHTER = rules(Limits(high=90, delay_s=4))
LOOSER = rules(Limits(high=150, delay_s=4))
GRAVER = rules(Limits(high=120, delay_s=4, priority="high"))
GONE = rules(None)
OTHER_METRIC = PipelineConfig(kinds=KINDS, limits={"MDC_RESP_RATE": Limits(high=30)})
GONE_FOR_KIND = PipelineConfig(
    kinds={**KINDS, "other": KindConfig(interval_s=0.0, limits={HR: Limits(high=120)})}, limits={}
)

QUIET, PENDING, ACTIVE = (), ((0, 130.0),), ((0, 130.0), (4, 130.0))


def beats(bench: Bench, value: float) -> None:
    bench.submit(bench.vitals({terms.HEART_RATE: value}))


@pytest.mark.parametrize(
    ("state", "change", "value", "expected"),
    [
        (QUIET, SAME, 100.0, []),
        (QUIET, TIGHTER, 100.0, [START]),
        (QUIET, LOOSER, 130.0, []),
        (QUIET, GRAVER, 130.0, [START]),
        (QUIET, GONE, 130.0, []),
        (PENDING, SAME, 130.0, [START]),
        (PENDING, TIGHTER, 100.0, [START]),
        (PENDING, LOOSER, 130.0, []),
        (PENDING, GRAVER, 130.0, [START]),
        (PENDING, GONE, 130.0, []),
        (PENDING, GONE_FOR_KIND, 130.0, []),
        (ACTIVE, SAME, 130.0, [START]),
        (ACTIVE, TIGHTER, 100.0, [START]),
        (ACTIVE, LOOSER, 130.0, [START, END]),
        (ACTIVE, GRAVER, 130.0, [START, UPDATE]),
        (ACTIVE, GONE, 130.0, [START, END]),
        (ACTIVE, OTHER_METRIC, 130.0, [START, END]),
        (ACTIVE, GONE_FOR_KIND, 130.0, [START, END]),
    ],
)
def test_a_condition_is_judged_anew_by_the_next_report(state, change, value, expected):
    bench = Bench(BEFORE)
    for seconds, hr in state:
        bench.wait(seconds)
        beats(bench, hr)
    bench.intake.follow(change)
    for _ in range(3):
        bench.wait(2)
        beats(bench, value)
    assert bench.phases() == expected
    if state == ACTIVE:
        assert len({alarm.alarm_id for alarm in bench.committer.alarm_records}) == 1


def test_a_standing_alarm_says_nothing_of_a_change_that_does_not_touch_it():
    bench = Bench(BEFORE)
    for seconds, hr in ACTIVE:
        bench.wait(seconds)
        beats(bench, hr)
    bench.intake.follow(TIGHTER)
    bench.wait(60)  # no report: nothing is known anew
    assert bench.phases() == [START]
    assert bench.intake.alarms.active[AlarmPriority.MEDIUM] == 1


def test_the_change_outlives_a_restart_without_repeating_anything():
    bench = Bench(BEFORE)
    for seconds, hr in ACTIVE:
        bench.wait(seconds)
        beats(bench, hr)
    bench.intake.follow(GONE_FOR_KIND)
    again = Bench(GONE_FOR_KIND, state=bench.committer.state, clock=bench.clock, first_id=9)
    beats(again, 130.0)
    assert again.phases() == [END]
    assert again.committer.state.items("alarm") == {}


def test_a_drip_rule_that_is_switched_off_ends_its_alarms_and_no_others():
    bench = Bench(PipelineConfig(kinds=KINDS, limits={HR: Limits(high=120, delay_s=0)}))
    bench.submit(bench.report("drip", {**DRIP, terms.VOLUME_REMAINING: 0.0}))
    beats(bench, 130.0)
    assert sorted(bench.phases()) == ["drip_finished START", "drip_low START", START]
    bench.intake.follow(
        PipelineConfig(
            kinds=KINDS, limits={HR: Limits(high=120, delay_s=0)}, drip=DripRule(enabled=False)
        )
    )
    bench.wait(1)
    bench.submit(bench.report("drip", {**DRIP, terms.VOLUME_REMAINING: 0.0}))
    assert sorted(bench.phases()[3:]) == ["drip_finished END", "drip_low END"]


def silence(seconds: float) -> PipelineConfig:
    interval_s = seconds / 3
    return PipelineConfig(
        kinds={"vitals": KindConfig(interval_s=interval_s)}, silence=SilenceRule(seconds_min=1.0)
    )


@pytest.mark.parametrize(
    ("change", "after", "expected"),
    [
        (silence(30), 28, []),
        (silence(30), 31, ["silent_vitals START"]),
        (silence(6), 5, []),
        (silence(6), 7, ["silent_vitals START"]),  # earlier than its deadline of before
        (silence(90), 80, []),
        (silence(90), 91, ["silent_vitals START"]),
        (silence(0), 1000, []),
    ],
)
def test_who_is_watched_is_watched_under_the_new_times(change, after, expected):
    bench = Bench(silence(30))
    beats(bench, 72.0)
    bench.wait(1)
    bench.intake.follow(change)
    bench.wait(after - 1)
    assert bench.phases() == expected
    watched = bench.committer.state.items("presence")
    assert bool(watched) is (change != silence(0))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (silence(90), ["silent_vitals START", "silent_vitals END"]),
        (silence(0), ["silent_vitals START", "silent_vitals END"]),
    ],
)
def test_a_silence_that_stands_ends_with_the_next_report_or_with_its_rule(change, expected):
    bench = Bench(silence(30))
    beats(bench, 72.0)
    bench.wait(31)
    bench.intake.follow(change)
    if change == silence(0):
        bench.wait(1)
    assert bench.phases() == (expected if change == silence(0) else expected[:1])
    beats(bench, 72.0)
    assert bench.phases() == expected


def test_a_kind_that_had_no_times_is_watched_from_its_next_report():
    bench = Bench(silence(0))
    beats(bench, 72.0)
    bench.intake.follow(silence(30))
    bench.wait(40)
    assert bench.phases() == []
    beats(bench, 72.0)
    bench.wait(31)
    assert bench.phases() == ["silent_vitals START"]


def test_the_rule_of_time_changes_with_the_next_report():
    bench = Bench(PipelineConfig(time=TimeRule(good_offset_s=2.0)))
    slow = bench.clock.now_us() - 5_000_000
    bench.submit(bench.vitals({terms.HEART_RATE: 72.0}, device_us=slow))
    bench.intake.follow(PipelineConfig(time=TimeRule(good_offset_s=10.0)))
    bench.submit(bench.vitals({terms.HEART_RATE: 72.0}, device_us=slow))
    assert [report.time_quality.name for report in bench.committer.reports] == ["OFFSET", "GOOD"]
