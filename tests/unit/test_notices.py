"""The gateway's own alarms: a condition starts once and ends once; an occurrence does both."""

import pytest

from gateway.domain.devices import Device
from gateway.domain.records import Alarm, AlarmPhase
from gateway.notices import SUSPICIONS, Notices
from tests.fakes import FakeClock, FakeSink


def phases(sink):
    return [(alarm.condition, alarm.phase, alarm.alarm_id) for alarm in sink.records]


def test_a_condition_is_news_only_when_it_changes():
    sink, clock = FakeSink(), FakeClock()
    notices = Notices("gw", sink, clock)
    notices.condition("stale", "old", active=False)
    notices.condition("stale", "old", active=True, key="7")
    clock.advance(5)
    notices.condition("stale", "old", active=True, key="8")
    notices.condition("stale", "old", active=False)
    assert phases(sink) == [
        ("stale", AlarmPhase.START, "gw-stale-7"),
        ("stale", AlarmPhase.END, "gw-stale-7"),
    ]
    start, end = (alarm for alarm in sink.records if isinstance(alarm, Alarm))
    assert end.onset_us == start.onset_us < end.at_us


def test_an_occurrence_is_over_at_once():
    sink = FakeSink()
    Notices("gw", sink, FakeClock()).occurrence("rejected", "core: rejected")
    (_, first, one), (_, second, other) = phases(sink)
    assert (first, second) == (AlarmPhase.START, AlarmPhase.END)
    assert one == other


@pytest.mark.parametrize("reason", SUSPICIONS)
def test_a_suspicion_is_told_of_the_device_and_names_nobody_in_its_text(reason):
    sink = FakeSink()
    device = Device("pump-1", bed="7")
    Notices("gw", sink, FakeClock()).suspicion(device, reason, "coap")
    start, end = (each for each in sink.records if isinstance(each, Alarm))
    assert (start.phase, end.phase) == (AlarmPhase.START, AlarmPhase.END)
    assert start.alarm_id == end.alarm_id
    assert (start.device_id, start.bed, start.condition) == ("pump-1", "7", SUSPICIONS[reason][0])
    assert "pump-1" not in start.text
