"""Who is told, when, by whom it is stopped, and what a restart makes of it."""

from __future__ import annotations

import pytest

from gateway.domain.records import AlarmPhase, AlarmPriority, NotificationAction
from gateway.notification import statements as said
from gateway.notification.answers import NotAcknowledgedError
from gateway.notification.silences import SilenceRefusedError
from gateway.notification.statements import Seen
from gateway.notification.story import State
from tests.unit.notification.manager import CONFIG, Manager, alarm, read

LOW, MEDIUM, HIGH = AlarmPriority
UPDATE, END = AlarmPhase.UPDATE, AlarmPhase.END


def test_levels_are_told_one_after_the_other_until_somebody_acknowledges():
    m = Manager()
    m.alarm()
    assert m.deliver("screen") == [("a1", 1)]
    assert m.take("pager") == []
    m.tick(29.9)
    assert m.take("pager") == []
    m.tick(0.2)
    assert m.deliver("pager") == [("a1", 2)]
    assert m.take("head") == []
    m.acknowledge()
    assert m.deliver("screen") == m.deliver("pager") == [("a1", 3)]
    m.tick(3600)
    assert m.take("head") == []
    assert m.actions() == [
        "received screen",
        "escalated",
        "received pager",
        "acknowledged",
        "received screen",
        "received pager",
    ]


def test_who_was_told_of_the_beginning_is_told_of_the_end_and_nobody_else():
    m = Manager()
    m.alarm()
    m.deliver("screen")
    m.alarm(phase=END)
    assert m.deliver("screen") == [("a1", 2)]
    assert m.take("pager") == []
    assert len(m.desk.stories) == 0
    assert "a1" not in m.state.spaces["notification"]


def test_an_end_overtakes_a_beginning_that_nobody_has_heard_of():
    m = Manager()
    m.alarm()
    m.alarm(phase=END)
    assert m.take("screen") == []
    assert len(m.desk.stories) == 0


def test_the_end_waits_behind_a_beginning_that_is_under_way():
    m = Manager()
    m.alarm()
    assert m.take("screen") == [("a1", 1)]
    m.alarm(phase=END)
    assert m.take("screen") == []
    m.say(said.Delivered(**m.at, outlet="screen", alarm_id="a1", n=1))
    assert m.deliver("screen") == [("a1", 2)]


def test_an_alarm_that_gets_worse_is_told_anew_from_the_first_level_on():
    m = Manager()
    m.alarm(priority=MEDIUM)
    m.deliver("screen")
    m.acknowledge()
    m.deliver("screen")
    m.tick(100)
    m.alarm(priority=HIGH, phase=UPDATE)
    assert m.deliver("screen") == [("a1", 3)]
    with pytest.raises(NotAcknowledgedError, match="worse"):
        m.desk.answers.check("a1", 1)
    m.acknowledge(n=1)  # of what it was before
    m.tick(31)
    assert m.deliver("pager") == [("a1", 4)]
    assert m.actions()[-3:] == ["received screen", "escalated", "received pager"]
    assert ("alarm_acknowledged", "stale") in [(e, f.get("result")) for e, f in m.audit.entries]


def test_an_update_that_is_not_worse_leaves_the_acknowledgement():
    m = Manager()
    m.alarm()
    m.deliver("screen")
    m.acknowledge()
    m.alarm(priority=LOW, phase=UPDATE)
    story = m.desk.stories.get("a1")
    assert story is not None
    assert story.state is State.ACKNOWLEDGED
    assert m.deliver("screen") == [("a1", 3)]


def test_an_acknowledgement_lapses():
    m = Manager(CONFIG.replace(b"acknowledged_minutes = 0", b"acknowledged_minutes = 10"))
    m.alarm()
    m.deliver("screen")
    m.acknowledge()
    m.deliver("screen")
    m.restart()
    m.tick(599)
    assert m.take("screen") == []
    m.tick(2)
    assert m.deliver("screen") == [("a1", 3)]
    m.tick(31)
    assert m.deliver("pager") == [("a1", 4)]


def test_an_outlet_acknowledges_only_what_it_was_told():
    m = Manager()
    m.alarm()
    m.acknowledge(outlet="pager")
    assert m.state_of() is State.OPEN
    m.acknowledge(outlet="screen")
    assert m.state_of() is State.ACKNOWLEDGED
    m.acknowledge("nothing")
    assert m.counters.counts["notification_answers", "not_told"] == 1
    assert m.counters.counts["notification_answers", "unknown"] == 1


# -- across a restart


def test_a_restart_sends_again_what_was_under_way_with_the_same_number():
    m = Manager()
    m.alarm()
    assert m.take("screen") == [("a1", 1)]
    m.restart()
    assert m.deliver("screen") == [("a1", 1)]
    m.restart()
    assert m.take("screen") == []


@pytest.mark.parametrize("away_s", [1.0, 20.0, 45.0, 400.0])
def test_a_restart_escalates_on_time(away_s):
    m = Manager()
    m.alarm()
    m.deliver("screen")
    m.clock.advance(away_s)
    m.restart()
    m.tick()
    if away_s < 30:
        assert m.take("pager") == []
        m.tick(30 - away_s + 0.1)
    assert m.deliver("pager") == [("a1", 2)]


def test_alarms_that_are_read_again_are_no_news():
    m = Manager()
    m.alarm()
    m.deliver("screen")
    again = alarm(at_us=m.clock.now_us())
    m.seq = 0
    m.alarms(again)
    assert m.take("screen") == []
    story = m.desk.stories.get("a1")
    assert story is not None
    assert story.n == 1


def test_what_can_not_be_read_keeps_nobody_from_starting():
    m = Manager()
    m.alarm("a2")
    m.state.spaces["notification"]["a1"] = b"\xff\x00"
    m.state.spaces["notification"]["@silence/x"] = b"\xff"
    m.restart()
    assert [story.alarm_id for story in m.desk.stories] == ["a2"]


# -- outlets that fail


def test_a_failed_notification_is_tried_again_and_then_given_up():
    m = Manager()
    m.alarm()
    m.tick(31)
    assert m.fail("pager") == [("a1", 2)]
    assert m.take("pager") == []
    m.tick(1.1)
    assert m.fail("pager") == [("a1", 2)]
    m.tick(100)
    assert m.conditions == {"outlet_failed/pager": True}
    assert "failed pager" in m.actions()


def test_what_failed_and_stands_is_told_when_the_outlet_works_again():
    m = Manager()
    m.alarm("a1")
    m.alarm("a2")
    m.tick(31)
    m.fail("pager")
    m.tick(2)
    m.fail("pager")
    m.alarm("a2", phase=END)
    m.alarm("a3")
    m.tick(31)
    # Whether a2's beginning has arrived nobody knows: its end is told.
    assert m.take("pager") == [("a2", 3), ("a3", 2)]
    m.say(said.Delivered(**m.at, outlet="pager", alarm_id="a3", n=2))
    assert m.conditions == {"outlet_failed/pager": False}
    assert [alarm_id for alarm_id, _ in m.deliver("pager")] == ["a1"]


def test_where_nobody_of_a_level_can_be_reached_the_next_is_told_at_once():
    m = Manager(CONFIG.replace(b'name = "screen"', b'name = "screen"\nattempts_max = 1'))
    m.alarm()
    m.fail("screen")
    assert m.take("pager") == [("a1", 2)]
    assert m.take("head") == []


def test_where_the_policy_withholds_it_the_next_is_told_at_once():
    m = Manager()
    m.alarm()
    m.fail("screen", reason="policy", withheld=True)
    assert m.take("pager") == [("a1", 2)]
    assert m.conditions == {}


def test_a_screen_that_shows_nothing_is_a_technical_alarm():
    m = Manager(
        CONFIG.replace(
            b'name = "screen"',
            b'name = "screen"\nexpects = "displayed"\nattempts_max = 2\nanswer_s = 5',
        )
    )
    m.alarm()
    assert m.deliver("screen") == [("a1", 1)]
    m.tick(5.1)
    m.tick(1)
    assert m.deliver("screen") == [("a1", 1)]
    m.tick(5.1)
    assert m.conditions == {"outlet_failed/screen": True}
    assert m.deliver("pager") == [("a1", 2)]  # nobody at the first level sees it
    m.say(said.Answered(**m.at, outlet="screen", alarm_id="a1", n=1, seen=Seen.DISPLAYED))
    assert m.conditions["outlet_failed/screen"] is False


def test_a_screen_that_answers_is_not_asked_again():
    m = Manager(CONFIG.replace(b'name = "screen"', b'name = "screen"\nexpects = "displayed"'))
    m.alarm()
    m.deliver("screen")
    for seen in (Seen.DISPLAYED, Seen.DISPLAYED, Seen.READ, Seen.DISPLAYED):
        m.say(said.Answered(**m.at, outlet="screen", alarm_id="a1", n=1, seen=seen))
    m.tick(60)
    assert m.take("screen") == []
    assert m.actions()[:3] == ["received screen", "displayed screen", "read screen"]


def test_missed_signs_of_life_are_a_technical_alarm():
    m = Manager()

    def heard(alive: bool) -> None:
        m.say(said.OutletHeard(**m.at, outlet="screen", alive=alive, reason="broker_away"))

    heard(False)
    assert m.conditions == {}
    heard(False)
    assert m.conditions == {"outlet_failed/screen": True}
    m.restart()
    heard(True)
    assert m.conditions == {"outlet_failed/screen": False}


@pytest.mark.parametrize("restarted", [False, True])
def test_the_alarm_of_an_outlet_that_is_no_more_ends(restarted):
    m = Manager()
    m.alarm()
    m.tick(31)
    m.fail("pager")
    m.tick(2)
    m.fail("pager")
    assert m.conditions == {"outlet_failed/pager": True}
    m.config = read(CONFIG.replace(b'"pager"', b'"other"'))
    if restarted:
        m.restart()
    else:
        m.desk.follow(m.config)
    m.tick()
    assert m.conditions["outlet_failed/pager"] is False
    assert set(m.state.spaces["notification"]) == {"@position", "a1"}


def test_an_outlets_own_alarm_goes_to_its_ward():
    m = Manager()
    m.alarm(condition="outlet_failed/pager", device_id="gw-1", bed="")
    story = m.desk.stories.get("a1")
    assert story is not None
    assert story.ward == "3a"


def test_outlets_that_are_no_more_are_told_nothing():
    m = Manager()
    m.alarm()
    left = m.config
    m.desk.follow(type(left)())
    m.tick()
    m.alarm(phase=END)
    assert len(m.desk.stories) == 0
    m.desk.follow(left)
    m.alarm("a2")
    assert m.deliver("screen") == [("a2", 1)]


# -- silences


def test_a_silence_covers_what_begins_and_what_stands_until_it_ends():
    m = Manager()
    m.alarm("a1", priority=MEDIUM)
    m.deliver("screen")
    m.silence(minutes=5)
    m.alarm("a2", priority=LOW)
    m.alarm("a3", priority=MEDIUM, bed="08")
    m.tick(130)
    assert m.deliver("screen") == [("a3", 1)]
    assert m.deliver("pager") == [("a3", 2)]
    m.restart()
    m.tick(171)
    assert sorted(m.deliver("screen")) == [("a1", 2), ("a2", 1)]
    actions = [each.action for each in m.records if not each.alarm_id]
    assert actions == [NotificationAction.SILENCED, NotificationAction.UNSILENCED]
    assert [e for e, _ in m.audit.entries] == ["alarms_silenced", "alarms_unsilenced"]


def test_high_priority_is_not_silenced_unless_configured():
    m = Manager()
    m.silence()
    m.alarm()
    assert m.deliver("screen") == [("a1", 1)]
    m = Manager(CONFIG.replace(b"[[outlets]]", b"[silence]\nhigh = true\n[[outlets]]", 1))
    m.silence()
    m.alarm()
    assert m.take("screen") == []


def test_an_alarm_that_gets_worse_comes_out_of_its_silence():
    m = Manager()
    m.silence()
    m.alarm(priority=LOW)
    m.alarm(priority=MEDIUM, phase=UPDATE)
    assert m.deliver("screen") == [("a1", 1)]


def test_whoever_heard_of_it_before_the_silence_hears_that_it_is_over():
    m = Manager()
    m.alarm("a1", priority=LOW)
    m.deliver("screen")
    m.silence()
    m.alarm("a2", priority=LOW)
    m.alarm("a1", priority=LOW, phase=END)
    m.alarm("a2", priority=LOW, phase=END)
    assert m.deliver("screen") == [("a1", 2)]


def test_of_two_silences_the_longer_one_counts():
    m = Manager()
    m.silence(minutes=1)
    m.clock.advance(1)
    longer = m.silence(minutes=10)
    m.alarm(priority=LOW)
    m.tick(70)
    assert m.take("screen") == []
    m.say(said.Unsilenced(**m.at, silence_id=longer.silence_id, by="n"))
    assert m.deliver("screen") == [("a1", 1)]


@pytest.mark.parametrize(
    "refused",
    [{"bed": ""}, {"by": ""}, {"minutes": 31}, {"minutes": 0}, {"condition": "x" * 200}],
    ids=str,
)
def test_a_silence_is_bounded(refused):
    with pytest.raises(SilenceRefusedError):
        Manager().silence(**refused)


# -- storms


def test_high_before_low_also_in_a_burst():
    m = Manager()
    for i in range(50):
        m.alarm(f"low-{i:02}", priority=LOW)
    m.alarm("medium", priority=MEDIUM)
    m.alarm("high")
    taken = [alarm_id for alarm_id, _ in m.take("screen")]
    assert taken[:2] == ["high", "medium"]
    assert taken[2:] == [f"low-{i:02}" for i in range(50)]


def test_a_storm_is_summarised_and_no_high_alarm_is_in_it():
    m = Manager(CONFIG.replace(b'name = "screen"', b'name = "screen"\nwaiting_max = 10'))
    for i in range(30):
        m.alarm(f"low-{i:02}", priority=LOW)
        m.alarm(f"high-{i:02}", priority=HIGH)
    queue = m.desk.telling.queues["screen"]
    assert len(queue) == 60
    assert not m.summary_waits("screen")  # the high ones go first
    taken = [queue.take() for _ in range(30)]
    assert taken == [f"high-{i:02}" for i in range(30)]
    assert queue.take_summary() == {LOW: 20}
    assert not m.summary_waits("screen")
    m.desk.telling.summarised("screen", arrived=False)
    assert m.summary_waits("screen")
    queue.take_summary()
    told = m.desk.telling.summarised("screen", arrived=True)
    m.say(said.SummaryDelivered(**m.at, outlet="screen", alarm_ids=told))
    assert [e.count for e in m.records if e.action is NotificationAction.SUMMARISED] == [20]
    assert len(m.take("screen")) == 10
    m.restart()
    left = {alarm_id for alarm_id, _ in m.take("screen")}
    assert not left & set(told)
    assert len(left) == 40


def test_beyond_the_bound_high_alarms_are_still_told(monkeypatch):
    monkeypatch.setattr("gateway.notification.desk.STORIES_MAX", 5)
    monkeypatch.setattr("gateway.notification.desk.URGENT_RESERVE", 2)
    m = Manager()
    for i in range(6):
        m.alarm(f"low-{i}", priority=LOW)
    assert m.conditions == {"notification_overflow": True}
    m.alarm("high")
    assert m.deliver("screen")[0] == ("high", 1)
    assert m.counters.counts["notifications_overflow", "low"] == 1
    for i in range(5):
        m.alarm(f"low-{i}", priority=LOW, phase=END)
    m.deliver("screen")
    m.tick()
    assert m.conditions["notification_overflow"] is False


def test_the_receipts_time_is_measured_from_the_cause():
    m = Manager()
    m.alarm()
    m.clock.advance(0.04)
    m.deliver("screen")
    assert m.counters.observed["notification_seconds", "screen"] == [pytest.approx(0.04)]
