"""What a device says of one condition alone: begins, changes, goes on, ends."""

from gateway.domain.records import AlarmChange, AlarmKind, AlarmPriority, AlarmSource, DeviceAlarm
from gateway.pipeline.alarms.engine import DEVICE_ALARMS_MAX
from tests.unit.pipeline.support import SOURCE, Bench

OCCLUSION = DeviceAlarm(
    "occlusion", 196940, AlarmPriority.HIGH, AlarmKind.TECHNICAL, "Occlusion downstream"
)
MILDER = DeviceAlarm(
    "occlusion", 196940, AlarmPriority.LOW, AlarmKind.TECHNICAL, "Occlusion downstream"
)
BATTERY = DeviceAlarm("battery_low", 196802, AlarmPriority.LOW, AlarmKind.TECHNICAL, "Battery low")


def change(bench, alarm, present, **fields):
    return AlarmChange("pump-1", SOURCE, bench.clock.now_us(), alarm, present, **fields)


def test_a_condition_begins_changes_and_ends_beside_others():
    b = Bench()
    b.submit(change(b, OCCLUSION, True, onset_us=1_000_000, bed="12"))
    b.submit(change(b, BATTERY, True))
    b.submit(change(b, OCCLUSION, True))
    b.submit(change(b, MILDER, True))
    b.submit(change(b, OCCLUSION, False))
    assert b.phases("occlusion") == ["occlusion START", "occlusion UPDATE", "occlusion END"]
    assert b.phases("battery_low") == ["battery_low START"]
    first = b.committer.alarm_records[0]
    assert (first.onset_us, first.bed, first.source) == (1_000_000, "12", AlarmSource.DEVICE)
    assert len({alarm.alarm_id for alarm in b.committer.alarm_records}) == 2
    assert b.counters.counts[("accepted", "mqtt")] == 5


def test_an_end_of_what_did_not_stand_is_no_news():
    b = Bench()
    b.submit(change(b, OCCLUSION, False))
    assert b.committer.alarm_records == []


def test_one_message_may_tell_of_several_and_is_a_repeat_as_a_whole():
    b = Bench()
    both = (
        change(b, OCCLUSION, True, message_id="5f:1"),
        change(b, BATTERY, True, message_id="5f:1"),
    )
    b.submit(*both)
    b.submit(*both)
    assert b.phases("occlusion") == ["occlusion START"]
    assert b.phases("battery_low") == ["battery_low START"]
    assert b.counters.counts[("duplicates", "mqtt")] >= 1


def test_it_stands_over_a_restart_and_ends_when_its_device_is_retired():
    b = Bench()
    b.submit(change(b, OCCLUSION, True))
    again = Bench(state=b.committer.state, clock=b.clock, first_id=9)
    again.intake.tick()
    again.submit(change(again, OCCLUSION, True))
    assert again.committer.alarm_records == []
    again.intake.retire("pump-1")
    assert again.phases("occlusion") == ["occlusion END"]


def test_a_device_shows_so_many_at_once_and_no_more():
    b = Bench()
    for n in range(DEVICE_ALARMS_MAX + 5):
        one = DeviceAlarm(f"c{n}", n, AlarmPriority.LOW, AlarmKind.TECHNICAL, "C")
        b.submit(change(b, one, True))
    assert len(b.committer.alarm_records) == DEVICE_ALARMS_MAX


def test_an_alarm_carries_the_values_that_its_device_tells_with_it():
    b = Bench()
    high = DeviceAlarm(
        "high",
        196648,
        AlarmPriority.HIGH,
        AlarmKind.PHYSIOLOGICAL,
        "Heart rate high",
        (147842,),
        (171.0,),
        120.0,
    )
    b.submit(change(b, high, True))
    (alarm,) = b.committer.alarm_records
    assert (alarm.codes, alarm.values, alarm.limit) == ((147842,), (171.0,), 120.0)


def test_who_has_an_alarm_at_least_so_grave_is_known():
    b = Bench()
    alarms = b.intake.alarms
    b.submit(change(b, BATTERY, True))
    assert alarms.devices_with(AlarmPriority.LOW) == ["pump-1"]
    assert alarms.devices_with(AlarmPriority.HIGH) == []
    b.submit(change(b, OCCLUSION, True))
    assert alarms.devices_with(AlarmPriority.HIGH) == ["pump-1"]
    b.submit(change(b, OCCLUSION, False), change(b, BATTERY, False))
    assert alarms.devices_with(AlarmPriority.LOW) == []
