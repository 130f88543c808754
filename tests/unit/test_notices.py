"""The gateway's own alarms: a condition starts once and ends once; an occurrence does both."""

import pytest

from gateway.domain.devices import Device
from gateway.domain.records import Alarm, AlarmPhase
from gateway.notices import CONFIRMED_WITHIN_S, SPACE, SUSPICIONS, Notices
from tests.fakes import FakeClock, FakeSink, FakeState


def phases(sink):
    return [(alarm.condition, alarm.phase, alarm.alarm_id) for alarm in sink.records]


def test_a_condition_is_news_only_when_it_changes():
    sink, clock = FakeSink(), FakeClock()
    notices = Notices("gw", sink, clock)
    notices.condition("stale", "old", active=False)
    notices.condition("stale", "old", active=True)
    clock.advance(5)
    notices.condition("stale", "old", active=True)
    notices.condition("stale", "old", active=False)
    alarm_id = f"gw-stale-{clock.now_us() - 5_000_000}"
    assert phases(sink) == [
        ("stale", AlarmPhase.START, alarm_id),
        ("stale", AlarmPhase.END, alarm_id),
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


class Killed:
    """A gateway's notices over one committed state, which each process takes over."""

    def __init__(self):
        self.sink, self.clock, self.state = FakeSink(), FakeClock(), FakeState()
        self.notices = self._begin()

    def _begin(self):
        notices = Notices("gw", self.sink, self.clock)
        notices.restore(self.state)
        return notices

    def said(self) -> list[Alarm]:
        return [each for each in self.sink.records if isinstance(each, Alarm)]

    def again(self):
        for submission in self.sink.submissions:
            for space, key, value in submission.alarm_deltas:
                kept = self.state.spaces.setdefault(space, {})
                kept.pop(key, None)
                if value is not None:
                    kept[key] = value
        self.sink.submissions.clear()
        self.notices = self._begin()


def test_what_stood_at_a_kill_holds_on_without_a_second_start():
    at = Killed()
    at.notices.condition("misdirected", "elsewhere", active=True, about="core")
    (start,) = at.said()
    at.clock.advance(5)
    at.again()
    at.notices.condition("misdirected", "elsewhere", active=True, about="core")
    at.clock.advance(CONFIRMED_WITHIN_S + 1)
    at.notices.tick()
    assert at.sink.records == []
    at.notices.condition("misdirected", "", active=False, about="core")
    (end,) = at.said()
    assert (end.alarm_id, end.phase) == (start.alarm_id, AlarmPhase.END)
    assert end.onset_us == start.onset_us
    at.again()
    assert at.state.items(SPACE) == {}


def test_what_stood_at_a_kill_and_is_over_ends_when_it_is_found_so():
    at = Killed()
    at.notices.condition("stale", "old", active=True)
    at.again()
    at.notices.condition("stale", "", active=False)
    assert [phase for _, phase, _ in phases(at.sink)] == [AlarmPhase.END]


def test_what_nobody_looks_at_after_a_kill_ends_by_itself():
    at = Killed()
    at.notices.condition("stale", "old", active=True)
    at.notices.condition("full", "", active=True)
    at.again()
    at.notices.condition("full", "", active=True)
    at.clock.advance(CONFIRMED_WITHIN_S - 1)
    at.notices.tick()
    assert at.sink.records == []
    at.clock.advance(1)
    at.notices.tick()
    at.notices.tick()
    assert [(name, phase) for name, phase, _ in phases(at.sink)] == [("stale", AlarmPhase.END)]


def test_a_condition_that_can_not_be_read_keeps_nobody_from_starting(caplog):
    at = Killed()
    at.state.spaces[SPACE] = {"stale/": b"\xc1"}
    at.again()
    assert "can't be read" in caplog.text
