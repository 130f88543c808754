"""Submissions become labelled records of the right lane, once, with the right outcome."""

import math

import pytest

from gateway.domain import terms
from gateway.domain.labels import DataClass, Label
from gateway.domain.ports import Outcome, StateDelta, Submission
from gateway.domain.records import (
    AlarmKind,
    AlarmPriority,
    AlarmSnapshot,
    DeviceAlarm,
    DeviceState,
    DeviceStatus,
    Gap,
    InventoryAction,
    InventoryEvent,
    Quality,
    Report,
    Text,
    TimeQuality,
)
from gateway.pipeline.alarms import outbox
from tests.ingest import alarm
from tests.unit.pipeline.support import (
    COMMITTED,
    FAILED,
    FULL,
    GOOD,
    OVERLOADED,
    SOURCE,
    Bench,
    Fate,
)

LOW_SPO2 = {**GOOD, terms.SPO2: 80.0}
LEADS_OFF = DeviceAlarm("leads_off", 1, AlarmPriority.LOW, AlarmKind.TECHNICAL, "LEADS OFF")


def snapshot(bench, *alarms, **fields):
    return AlarmSnapshot("monitor-1", SOURCE, bench.clock.now_us(), alarms, **fields)


def status(bench, state, reason, **fields):
    return DeviceStatus(
        "monitor-1", "monitor", SOURCE, bench.clock.now_us(), state, reason, **fields
    )


def test_what_a_device_shows_ends_no_alarm_of_the_gateways():
    bench = Bench()
    bench.submit(bench.vitals({terms.HEART_RATE: 190.0}))
    bench.wait(60)
    assert bench.phases("hr_high") == ["hr_high START"]
    bench.submit(snapshot(bench, LEADS_OFF), snapshot(bench))
    assert bench.phases("hr_high") == ["hr_high START"]


def test_a_report_is_stored_as_it_came():
    bench = Bench()
    report = bench.vitals(GOOD, message_id="5f:1", bed="12", device_us=bench.clock.now_us() - 5)
    bench.submit(report)
    [stored] = bench.committer.reports
    assert (stored.codes, stored.values) == (report.codes, report.values)
    assert (stored.time_quality, stored.offset_us) == (TimeQuality.GOOD, -5)
    assert stored.qualities == ()
    assert bench.outcomes == [Outcome.COMMITTED]
    [item] = bench.committer.telemetry
    assert item.label == Label(DataClass.HEALTH_STATUS, 3)
    assert item.codes == report.codes
    assert bench.counters.counts[("accepted", "mqtt")] == 1
    assert bench.counters.counts[("time_quality", "good")] == 1


def test_bad_values_are_marked_and_kept():
    bench = Bench()
    values = {terms.HEART_RATE: 0.0, terms.SPO2: 0.0, terms.ABP_SYS: math.nan, 99: math.inf}
    bench.submit(bench.vitals(values))
    [stored] = bench.committer.reports
    valid, invalid = int(Quality.VALID), int(Quality.INVALID)
    assert stored.qualities == (valid, invalid, invalid, invalid)
    assert stored.values[:2] == (0.0, 0.0)
    assert bench.counters.counts[("marked_values", "invalid")] == 3
    assert bench.intake.seen.of("monitor-1").marked_values == 3


def test_a_repeat_is_dropped_and_acknowledged():
    bench = Bench()
    report = bench.vitals(GOOD, message_id="5f:1")
    bench.submit(report)
    bench.submit(report, bench.vitals(GOOD, message_id="5f:2"))
    assert [r.message_id for r in bench.committer.reports] == ["5f:1", "5f:2"]
    assert bench.outcomes == [Outcome.COMMITTED, Outcome.COMMITTED]
    assert bench.counters.counts[("duplicates", "mqtt")] == 1
    assert bench.counters.counts[("accepted", "mqtt")] == 3


def test_without_an_id_nothing_is_a_repeat():
    bench = Bench()
    report = bench.vitals(GOOD)
    bench.submit(report, report)
    bench.submit(report)
    assert len(bench.committer.reports) == 3


def test_a_repeat_within_one_submission_is_dropped():
    bench = Bench()
    report = bench.vitals(GOOD, message_id="5f:1")
    bench.submit(report, report)
    assert len(bench.committer.reports) == 1
    assert bench.outcomes == [Outcome.COMMITTED]


@pytest.mark.parametrize("fate", [COMMITTED, FULL, FAILED])
def test_a_repeat_under_way_shares_the_originals_fate(fate):
    bench = Bench(automatic=None)
    report = bench.vitals(GOOD, message_id="5f:1")
    bench.submit(report)
    bench.submit(report)
    bench.committer.settle(fate, 1)
    assert bench.outcomes == [fate.telemetry]
    bench.committer.settle(COMMITTED)
    assert bench.outcomes == [fate.telemetry, fate.telemetry]


def test_a_repeat_is_not_saved_by_a_third_attempt_that_is_under_way():
    bench = Bench(automatic=None)
    report = bench.vitals(GOOD, message_id="5f:1")
    bench.submit(report)
    bench.submit(report)
    bench.committer.settle(FULL, 1)
    bench.submit(report)
    bench.committer.settle(COMMITTED, 1)
    assert bench.outcomes == [Outcome.FULL, Outcome.FULL]
    bench.committer.settle(COMMITTED)
    assert bench.outcomes == [Outcome.FULL, Outcome.FULL, Outcome.COMMITTED]
    assert len(bench.committer.reports) == 1


@pytest.mark.parametrize("fate", [FULL, FAILED])
def test_a_refused_message_is_taken_when_it_comes_again(fate):
    bench = Bench(automatic=fate)
    report = bench.vitals(GOOD, message_id="5f:1")
    bench.submit(report)
    assert bench.counters.counts[("not_taken", fate.telemetry.value)] == 1
    bench.committer.automatic = COMMITTED
    bench.submit(report)
    assert bench.outcomes == [fate.telemetry, Outcome.COMMITTED]
    assert len(bench.committer.reports) == 1


def test_the_parts_of_one_message_stand_or_fall_together():
    bench = Bench()
    parts = (bench.vitals(GOOD, message_id="5f:1"), snapshot(bench, LEADS_OFF, message_id="5f:1"))
    bench.submit(*parts)
    bench.submit(*parts)
    bench.submit(*reversed(parts))
    assert len(bench.committer.reports) == 1
    assert bench.phases() == ["leads_off START"]
    assert bench.counters.counts[("accepted", "mqtt")] == 3
    assert bench.counters.counts[("duplicates", "mqtt")] == 2


def test_one_message_may_tell_of_many_tags():
    bench = Bench()
    events = [
        InventoryEvent(
            "reader", SOURCE, 1, InventoryAction.ARRIVED, epc, "drawer-1", message_id="a:1"
        )
        for epc in ("E1", "E2", "E3")
    ]
    bench.submit(*events)
    bench.submit(*events)
    assert bench.committer.records == events


@pytest.mark.parametrize("alarm_first", [True, False])
def test_when_telemetry_is_full_a_mixed_message_may_come_again(alarm_first):
    bench = Bench(automatic=FULL)
    parts = [bench.vitals(GOOD, message_id="5f:1"), snapshot(bench, LEADS_OFF, message_id="5f:1")]
    if alarm_first:
        parts.reverse()
    bench.submit(*parts)
    assert bench.phases() == ["leads_off START"]
    bench.committer.automatic = COMMITTED
    bench.submit(*parts)
    assert len(bench.committer.reports) == 1
    assert bench.phases() == ["leads_off START"]


def test_when_telemetry_is_full_a_message_of_alarms_alone_is_stored():
    bench = Bench(automatic=FULL)
    bench.submit(snapshot(bench, LEADS_OFF, message_id="5f:1"))
    bench.committer.automatic = COMMITTED
    bench.submit(snapshot(bench, message_id="5f:2"))
    bench.submit(snapshot(bench, LEADS_OFF, message_id="5f:1"))  # late: must not raise it again
    assert bench.phases() == ["leads_off START", "leads_off END"]


def test_alarms_and_their_state_are_kept_when_telemetry_is_refused():
    bench = Bench(automatic=FULL)
    bench.submit(bench.vitals({terms.NIBP_SYS: 60.0}, message_id="5f:1"))
    assert bench.phases() == ["nibp_sys_low START"]
    assert bench.committer.reports == []
    assert len(bench.committer.state.items("alarm")) == 1
    assert bench.outcomes == [Outcome.FULL]


@pytest.mark.parametrize("fate", [FAILED, OVERLOADED])
def test_alarms_that_were_not_taken_are_committed_later_with_the_present_state(fate):
    bench = Bench(automatic=fate)
    bench.submit(bench.vitals({terms.NIBP_SYS: 60.0}, message_id="5f:1"))
    bench.submit(bench.vitals({terms.NIBP_SYS: 120.0}, message_id="5f:2"))
    assert bench.phases() == []
    bench.committer.automatic = COMMITTED
    bench.intake.tick()
    assert bench.phases() == ["nibp_sys_low START", "nibp_sys_low END"]
    assert bench.committer.state.items("alarm") == {}
    bench.intake.tick()
    assert len(bench.phases()) == 2


def test_a_message_whose_alarms_were_not_taken_is_not_acknowledged_but_stored_once():
    bench = Bench(automatic=Fate(Outcome.FULL, Outcome.COMMITTED))
    report = bench.vitals({terms.NIBP_SYS: 60.0}, message_id="5f:1")
    bench.submit(report)
    assert bench.outcomes == [Outcome.FULL]
    bench.committer.automatic = COMMITTED
    bench.submit(report)
    assert bench.outcomes == [Outcome.FULL, Outcome.COMMITTED]
    assert len(bench.committer.reports) == 1
    bench.intake.tick()
    assert bench.phases() == ["nibp_sys_low START"]


def test_newer_alarms_queue_behind_those_that_were_not_taken():
    bench = Bench(automatic=FAILED)
    bench.submit(bench.vitals({terms.NIBP_SYS: 60.0}, message_id="5f:1"))
    bench.committer.automatic = COMMITTED
    bench.submit(bench.vitals({terms.NIBP_SYS: 120.0}, message_id="5f:2"))
    assert bench.outcomes == [Outcome.FAILED, Outcome.FULL]
    bench.submit(bench.vitals({terms.NIBP_SYS: 121.0}, message_id="5f:3"))
    assert bench.outcomes[-1] is Outcome.COMMITTED
    bench.intake.tick()
    assert bench.phases() == ["nibp_sys_low START", "nibp_sys_low END"]


def test_an_alarm_that_ended_before_its_start_was_taken_ends_last():
    bench = Bench(automatic=None)
    bench.submit(bench.vitals({terms.NIBP_SYS: 60.0}))
    bench.submit(bench.vitals({terms.NIBP_SYS: 120.0}))
    bench.committer.settle(FAILED, 2)
    bench.committer.settle(COMMITTED)
    bench.intake.tick()
    bench.committer.settle(COMMITTED)
    assert bench.phases() == [f"nibp_sys_low {phase}" for phase in ("END", "START", "END")]
    assert bench.committer.state.items("alarm") == {}


def test_alarms_that_wait_are_bounded(monkeypatch, caplog):
    monkeypatch.setattr(outbox, "UNSAVED_MAX", 4)
    bench = Bench(automatic=FAILED)
    for n in range(6):
        bench.submit(bench.vitals({terms.NIBP_SYS: 60.0}, device_id=f"monitor-{n}"))
    bench.committer.automatic = COMMITTED
    bench.intake.tick()
    devices = [alarm.device_id for alarm in bench.committer.alarm_records]
    assert devices == [f"monitor-{n}" for n in range(2, 6)]
    assert len(bench.committer.state.items("alarm")) == 6
    assert "given up" in caplog.text


def test_what_a_driver_commits_goes_with_the_telemetry():
    bench = Bench(automatic=FULL)
    delta = StateDelta("mqtt.qos2", "client\n7", b"")
    bench.submit(bench.vitals({terms.NIBP_SYS: 60.0}), deltas=[delta])
    assert bench.committer.state.items("mqtt.qos2") == {}
    bench.committer.automatic = COMMITTED
    bench.submit(deltas=[delta])
    assert bench.committer.state.items("mqtt.qos2") == {"client\n7": b""}


def test_what_stands_with_an_alarm_goes_with_the_alarm():
    """In one frame, which a kill leaves whole or not at all; where telemetry is refused, too."""
    bench = Bench(automatic=None)
    start = StateDelta("notices", "full/", b"stands")
    bench.submit(alarm(1), alarm_deltas=[start])
    added = bench.committer.waiting[0]
    assert (len(added.alarms), list(added.alarm_deltas)) == (1, [start])
    assert not any(each.telemetry_deltas for each in bench.committer.waiting)
    bench.committer.settle(FULL)
    assert bench.outcomes == [Outcome.COMMITTED]
    assert bench.committer.state.items("notices") == {"full/": b"stands"}
    bench.committer.automatic = OVERLOADED
    bench.submit(alarm(2), alarm_deltas=[StateDelta("notices", "full/", None)])
    assert bench.outcomes[1:] == [Outcome.FULL]
    assert bench.committer.state.items("notices") == {"full/": b"stands"}


def test_a_submission_without_records_is_answered_in_order():
    bench = Bench(automatic=None)
    bench.submit(bench.vitals(GOOD, message_id="5f:1"))
    bench.submit()
    assert bench.outcomes == []
    bench.committer.settle()
    assert bench.outcomes == [Outcome.COMMITTED, Outcome.COMMITTED]


def test_a_driver_without_interest_in_the_outcome_is_served():
    bench = Bench()
    bench.intake.submit(Submission([bench.vitals(GOOD)]))
    assert len(bench.committer.reports) == 1


@pytest.mark.parametrize(
    "broken",
    [
        {"message_id": "\ud800:1"},
        {"values": (1.0, 2.0)},
        {"qualities": (1,)},
        {"texts": (Text(2**40, "x"),)},
        {"received_us": 2**70},
    ],
)
def test_what_cannot_be_encoded_leaves_a_gap(broken):
    bench = Bench()
    fields = {
        "device_id": "monitor-1",
        "kind": "vitals",
        "provenance": SOURCE,
        "received_us": bench.clock.now_us(),
        "codes": (terms.HEART_RATE, terms.SPO2, terms.RESP_RATE),
        "values": (72.0, 98.0, 16.0),
    }
    bench.submit(Report(**(fields | broken)), bench.vitals(GOOD))
    gap, report = bench.committer.records
    assert gap == Gap(reason="unencodable", device_id="monitor-1", reports=1)
    assert isinstance(report, Report)
    assert bench.counters.counts[("malformed", "mqtt", "unencodable")] == 1
    assert bench.outcomes == [Outcome.COMMITTED]


def test_status_gap_and_inventory_are_telemetry():
    bench = Bench()
    bench.submit(
        status(bench, DeviceState.ONLINE, "connected", firmware="2.1", battery_percent=50),
        Gap("link_lost", "monitor-1"),
        InventoryEvent("reader", SOURCE, 1, InventoryAction.ARRIVED, "E1", "drawer-1"),
    )
    assert len(bench.committer.records) == 3
    assert bench.committer.alarms == []
    seen = bench.intake.seen.of("monitor-1")
    assert (seen.firmware, seen.battery_percent) == ("2.1", 50)
    # A driver's own word on a connection is no device message.
    assert bench.counters.counts[("accepted", "mqtt")] == 1


def test_what_is_known_of_a_device_follows_its_reports():
    bench = Bench()
    values = {**GOOD, terms.BATTERY: 40.0}
    bench.submit(
        bench.vitals(values, message_id="5f:1", bed="12", device_us=bench.clock.now_us() - 7)
    )
    seen = bench.intake.seen.of("monitor-1")
    assert (seen.kind, seen.bed, seen.driver) == ("vitals", "12", "mqtt")
    assert (seen.messages, seen.offset_us, seen.battery_percent) == (1, -7, 40.0)
    assert seen.last_us == bench.clock.now_us()


@pytest.mark.parametrize("error", [ValueError("too large"), RuntimeError("stopped")])
def test_a_submission_that_the_committer_cannot_take_has_failed(error, monkeypatch):
    bench = Bench()
    report = bench.vitals({terms.NIBP_SYS: 60.0}, message_id="5f:1")

    def refuse(*what):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(bench.committer, "add", refuse)
        bench.submit(report)
    assert bench.outcomes == [Outcome.FAILED]
    bench.submit(report)
    assert bench.outcomes == [Outcome.FAILED, Outcome.COMMITTED]
    assert len(bench.committer.reports) == 1
    bench.intake.tick()
    assert bench.phases() == ["nibp_sys_low START"]


def test_a_battery_that_cannot_be_is_not_believed():
    bench = Bench()
    for charge in (40.0, 300.0, math.nan):
        bench.submit(bench.vitals({terms.BATTERY: charge}))
    assert bench.intake.seen.of("monitor-1").battery_percent == 40.0


def test_back_pressure_is_the_committers():
    bench = Bench()
    bench.committer.is_writable = False
    assert not bench.intake.writable()
    bench.intake.when_writable(lambda: bench.outcomes.append(Outcome.COMMITTED))
    [resume] = bench.committer.resumes
    resume()
    assert bench.outcomes == [Outcome.COMMITTED]


def test_settling_waits_for_what_is_under_way():
    bench = Bench(automatic=None)
    settled = []
    bench.submit(bench.vitals(GOOD, message_id="5f:1"))
    bench.intake.when_settled(lambda: settled.append(len(bench.outcomes)))
    bench.submit(bench.vitals(GOOD, message_id="5f:2"))
    bench.committer.settle(number=1)
    assert settled == []
    bench.committer.settle(number=1)
    assert settled == [1]


def test_alarms_of_the_gateway_carry_what_caused_them():
    bench = Bench()
    bench.submit(bench.vitals(LOW_SPO2, message_id="5f:1", bed="12"))
    onset = bench.clock.now_us()
    bench.wait(3)
    [raised] = bench.committer.alarm_records
    assert (raised.condition, raised.priority) == ("spo2_low", AlarmPriority.HIGH)
    assert (raised.codes, raised.values, raised.limit) == ((terms.SPO2,), (80.0,), 85.0)
    assert (raised.message_id, raised.bed, raised.onset_us) == ("5f:1", "12", onset)
    assert raised.at_us == bench.clock.now_us()
    [item] = bench.committer.alarms
    assert item.label == Label(DataClass.HEALTH_STATUS, 3)
    assert bench.counters.gauges[("alarms_active", "high")] == 1
