"""A device that stops reporting is missed; one that signs off is not."""

import pytest

from gateway.domain import terms
from gateway.domain.records import (
    AlarmKind,
    AlarmPriority,
    AlarmSnapshot,
    DeviceAlarm,
    DeviceState,
    DeviceStatus,
    Report,
)
from gateway.pipeline.alarms.silence import KINDS_MAX, Silence, Watch
from gateway.pipeline.config import KindConfig, PipelineConfig
from tests.unit.pipeline.support import COMMITTED, FAILED, GOOD, SOURCE, Bench

CONFIG = PipelineConfig(
    kinds={
        "vitals": KindConfig(interval_s=1.0),
        "drip": KindConfig(interval_s=5.0),
        "status": KindConfig(interval_s=0.0),
    },
    limits={},
)


def leaves(bench, reason, device_id="monitor-1"):
    now = bench.clock.now_us()
    state = DeviceState.OFFLINE
    bench.submit(DeviceStatus(device_id, "monitor", SOURCE, now, state, reason))


@pytest.mark.parametrize(
    ("kind", "timeout_s"), [("vitals", 10), ("drip", 15), ("unknown kind", 30)]
)
def test_silence_is_ten_seconds_or_three_intervals(kind, timeout_s):
    bench = Bench(CONFIG)
    bench.submit(bench.report(kind, {terms.BATTERY: 50.0}, bed="12"))
    bench.wait(timeout_s - 0.5)
    assert bench.phases() == []
    bench.wait(0.5)
    [alarm] = bench.committer.alarm_records
    assert alarm.condition == f"silent_{kind}"
    assert (alarm.kind, alarm.priority) == (AlarmKind.TECHNICAL, AlarmPriority.MEDIUM)
    assert (alarm.device_id, alarm.bed, alarm.limit) == ("monitor-1", "12", timeout_s)
    bench.wait(1000)
    assert len(bench.committer.alarm_records) == 1


def test_the_next_report_ends_it():
    bench = Bench(CONFIG)
    for _ in range(2):
        bench.submit(bench.vitals(GOOD))
        bench.wait(10)
        bench.submit(bench.vitals(GOOD))
    assert bench.phases() == ["silent_vitals START", "silent_vitals END"] * 2


def test_reports_in_time_keep_it_away():
    bench = Bench(CONFIG)
    for _ in range(20):
        bench.submit(bench.vitals(GOOD))
        bench.wait(9.9)
    assert bench.phases() == []


def test_a_repeat_is_no_sign_of_life():
    """A broker or a network may repeat what a dead device once said."""
    bench = Bench(CONFIG)
    report = bench.vitals(GOOD, message_id="5f:1")
    bench.submit(report)
    bench.wait(9)
    bench.submit(report)
    bench.wait(1)
    assert bench.phases() == ["silent_vitals START"]


def test_each_kind_is_watched_for_itself():
    bench = Bench(CONFIG)
    bench.submit(bench.vitals(GOOD), bench.report("drip", {terms.BATTERY: 50.0}))
    for _ in range(4):
        bench.wait(5)
        bench.submit(bench.report("drip", {terms.BATTERY: 50.0}))
    assert bench.phases() == ["silent_vitals START"]


@pytest.mark.parametrize("kind", ["status", "alert", "settings"])  # the latter are not configured
def test_a_kind_without_an_interval_is_not_watched(kind):
    bench = Bench(CONFIG)
    bench.submit(bench.report(kind, {terms.BATTERY: 50.0}))
    bench.wait(10_000)
    assert bench.phases() == []


@pytest.mark.parametrize("reason", CONFIG.silence.goodbye_reasons)
def test_who_signs_off_is_not_missed(reason):
    bench = Bench(CONFIG)
    bench.submit(bench.vitals(GOOD))
    leaves(bench, reason)
    bench.wait(100)
    assert bench.phases() == []
    assert bench.committer.state.items("presence") == {}
    bench.submit(bench.vitals(GOOD))
    bench.wait(10)
    assert bench.phases() == ["silent_vitals START"]


@pytest.mark.parametrize("reason", ["last_will", "link_lost", "keep_alive"])
def test_who_is_cut_off_is_missed(reason):
    bench = Bench(CONFIG)
    bench.submit(bench.vitals(GOOD))
    leaves(bench, reason)
    bench.wait(10)
    assert bench.phases() == ["silent_vitals START"]


def test_a_connection_is_no_report():
    bench = Bench(CONFIG)
    bench.submit(bench.vitals(GOOD))
    now = bench.clock.now_us()
    bench.wait(9)
    bench.submit(DeviceStatus("monitor-1", "m", SOURCE, now, DeviceState.ONLINE, "connected"))
    bench.wait(1)
    assert bench.phases() == ["silent_vitals START"]


@pytest.mark.parametrize("how", ["sign off", "retire"])
def test_signing_off_ends_every_alarm_of_the_device(how):
    bench = Bench(CONFIG)
    alarm = DeviceAlarm("leads_off", 1, AlarmPriority.LOW, AlarmKind.TECHNICAL, "LEADS OFF")
    bench.submit(
        bench.vitals(GOOD),
        AlarmSnapshot("monitor-1", SOURCE, bench.clock.now_us(), (alarm,)),
    )
    bench.wait(10)
    if how == "retire":
        bench.intake.retire("monitor-1")
        assert bench.intake.seen.of("monitor-1").messages == 2
    else:
        leaves(bench, "disconnected")
    assert sorted(bench.phases()) == [
        "leads_off END",
        "leads_off START",
        "silent_vitals END",
        "silent_vitals START",
    ]
    assert bench.committer.state.items("alarm") == {}
    assert bench.committer.state.items("presence") == {}


def test_a_device_that_vanishes_during_a_restart_is_missed_after_a_grace():
    bench = Bench(CONFIG)
    bench.submit(bench.vitals(GOOD, bed="12"))
    again = Bench(CONFIG, state=bench.committer.state, clock=bench.clock)
    again.wait(29.5)
    assert again.phases() == []
    again.wait(0.5)
    assert again.phases() == ["silent_vitals START"]
    assert again.committer.alarm_records[0].bed == "12"


def test_a_silence_is_neither_forgotten_nor_repeated_by_a_restart():
    bench = Bench(CONFIG)
    bench.submit(bench.vitals(GOOD))
    bench.wait(10)
    again = Bench(CONFIG, state=bench.committer.state, clock=bench.clock, first_id=1000)
    again.wait(100)
    assert again.phases() == []
    again.submit(again.vitals(GOOD))
    assert again.phases() == ["silent_vitals END"]
    assert again.committer.state.items("alarm") == {}


def test_a_silence_of_a_kind_that_is_no_longer_watched_ends():
    bench = Bench(CONFIG)
    bench.submit(bench.vitals(GOOD))
    bench.wait(10)
    config = PipelineConfig(kinds={"vitals": KindConfig(interval_s=0)}, limits={})
    again = Bench(config, state=bench.committer.state, clock=bench.clock)
    again.wait(1)
    assert again.phases() == ["silent_vitals END"]


def test_presence_that_was_not_committed_is_committed_later():
    bench = Bench(CONFIG, automatic=FAILED)
    bench.submit(bench.vitals(GOOD))
    assert bench.committer.state.items("presence") == {}
    bench.committer.automatic = COMMITTED
    bench.intake.tick()
    assert len(bench.committer.state.items("presence")) == 1


def test_five_thousand_devices_cost_a_look_each_per_time_out():
    bench = Bench(CONFIG)
    names = [f"monitor-{n}" for n in range(5000)]

    def all_report():
        reports = [bench.vitals(GOOD, device_id=name) for name in names]
        bench.submit(*reports)

    all_report()
    heap = bench.intake.alarms._silence._deadlines
    assert len(heap) == 5000
    for _ in range(5):
        bench.clock.advance(1)
        all_report()
    assert len(heap) == 5000
    bench.wait(9.9)
    assert bench.phases() == []
    bench.wait(0.1)
    assert len(bench.committer.alarms) == 5000


def test_watches_are_bounded(caplog):
    bench = Bench(PipelineConfig(devices_max=2, limits={}))
    for n in range(4):
        bench.submit(bench.vitals(GOOD, device_id=f"monitor-{n}"))
    for n in range(KINDS_MAX + 2):
        bench.submit(bench.report(f"kind-{n}", {terms.BATTERY: 50.0}, device_id="monitor-0"))
    assert len(bench.intake.alarms._silence) == 1 + KINDS_MAX
    assert len([r for r in caplog.records if "not watched" in r.message]) == 1
    assert len(bench.intake.seen) <= 2


def test_watches_that_ended_do_not_pile_up():
    silence = Silence(10)
    for turn in range(5000):
        silence.begin(Watch("d", "vitals", "", 10.0), turn / 1000)
        silence.end("d")
    assert len(silence._deadlines) < 2500


def test_what_is_seen_of_a_device_is_bounded():
    bench = Bench(PipelineConfig(devices_max=20))
    for n in range(100):
        bench.clock.advance(1)
        bench.submit(bench.vitals(GOOD, device_id=f"monitor-{n}"))
    assert len(bench.intake.seen) <= 20
    assert "monitor-99" in bench.intake.seen.devices
    assert "monitor-0" not in bench.intake.seen.devices
    assert isinstance(bench.committer.reports[0], Report)
