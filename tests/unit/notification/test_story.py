"""The table is whole, and what it promises holds for any order of events."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.records import AlarmPhase, AlarmPriority, NotificationAction
from gateway.notification.story import TABLE, Effect, Input, State
from tests.unit.notification.manager import Manager

LOW, MEDIUM, HIGH = AlarmPriority


def test_every_state_has_an_answer_to_every_input():
    assert set(TABLE) == {(state, seen) for state in State for seen in Input}


def test_what_ends_is_held_no_longer_and_nothing_else_lets_go():
    for (state, seen), (effect, after) in TABLE.items():
        assert (after is State.NONE) == (seen is Input.ENDED or state is after is State.NONE)
        assert (effect is Effect.CLOSE) == (seen is Input.ENDED and state is not State.NONE)


def test_what_gets_worse_is_told_anew_whatever_was_said():
    for state in State:
        if state is not State.NONE:
            assert TABLE[state, Input.WORSENED] == (Effect.REOPEN, State.OPEN)


def test_only_an_open_alarm_goes_to_the_next_level():
    escalating = [state for state in State if TABLE[state, Input.DUE][0] is Effect.ESCALATE]
    assert escalating == [State.OPEN]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("alarm"), st.sampled_from("abc"), st.sampled_from(AlarmPriority)),
        st.tuples(st.just("end"), st.sampled_from("abc")),
        st.tuples(st.just("wait"), st.sampled_from((0.5, 7.0, 40.0, 200.0))),
        st.tuples(st.just("acknowledge"), st.sampled_from("abc")),
        st.tuples(st.just("silence"), st.sampled_from((1.0, 5.0))),
        st.tuples(st.sampled_from(("deliver", "fail")), st.sampled_from(("screen", "pager"))),
        st.tuples(st.just("restart")),
    ),
    max_size=25,
)


@settings(max_examples=120, deadline=None)
@given(STEPS)
def test_any_order_of_events_keeps_the_promises(steps):
    """No high alarm stands unacknowledged and untold; numbers never go back; nothing is left."""
    m = Manager()
    standing: dict[str, AlarmPriority] = {}
    numbers: dict[tuple[str, str], int] = {}
    count = 0
    names: dict[str, str] = {}

    def deliver(outlet: str) -> None:
        for alarm_id, n in m.deliver(outlet):
            assert n >= numbers.get((outlet, alarm_id), 0)
            numbers[outlet, alarm_id] = n

    for what, *more in steps:
        if what == "alarm":
            name, priority = more
            if name in standing:
                m.alarm(names[name], priority=priority, phase=AlarmPhase.UPDATE)
            else:
                count += 1
                names[name] = f"{name}{count}"
                m.alarm(names[name], priority=priority)
            standing[name] = priority
        elif what == "end" and more[0] in standing:
            m.alarm(names[more[0]], priority=standing.pop(more[0]), phase=AlarmPhase.END)
        elif what == "wait":
            m.tick(more[0])
        elif what == "acknowledge" and more[0] in names:
            m.acknowledge(names[more[0]])
        elif what == "silence":
            m.clock.advance(0.001)
            m.silence(minutes=more[0])
        elif what == "deliver":
            deliver(more[0])
        elif what == "fail":
            m.fail(more[0])
        elif what == "restart":
            m.restart()
            m.tick()
        for name, priority in standing.items():
            story = m.desk.stories.get(names[name])
            assert story is not None
            assert not story.is_over
            if priority is HIGH:
                assert story.state in (State.OPEN, State.ACKNOWLEDGED)
                assert story.told
        covered = [each for each in m.desk.stories if each.state is State.MUTED]
        assert not covered or list(m.desk.silences)

    for name, priority in standing.items():
        m.alarm(names[name], priority=priority, phase=AlarmPhase.END)
    m.tick(3600)
    for _ in range(6):
        for outlet in ("screen", "pager", "head"):
            deliver(outlet)
        m.tick(60)
    assert len(m.desk.stories) == 0
    assert not list(m.desk.silences)
    assert set(m.state.spaces.get("notification", {})) <= {"@position"}
    ends = [e for e in m.records if e.action is NotificationAction.UNSILENCED]
    assert len(ends) == len([e for e in m.records if e.action is NotificationAction.SILENCED])
