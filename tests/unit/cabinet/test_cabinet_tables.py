"""Every state meets every input, and what may never follow never does."""

from itertools import product

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cabinet import access, doors, presence
from gateway.cabinet.access import Session
from gateway.cabinet.doors import Door
from gateway.cabinet.presence import Effect, Input, State, Tag
from gateway.cabinet.watching import SECOND_US, At, WatchClock
from gateway.domain.records import AccessVerdict
from tests.unit.cabinet.world import QUICK, READS


@pytest.mark.parametrize("machine", [presence, doors, access], ids=lambda each: each.__name__)
def test_every_state_knows_every_input(machine):
    assert set(machine.TABLE) == set(product(machine.State, machine.Input))


def test_only_an_absence_that_counts_or_a_person_makes_a_tag_depart():
    departs = {pair for pair, (effect, _) in presence.TABLE.items() if effect is Effect.DEPART}
    assert departs == {
        (State.PRESENT, Input.ABSENT),
        (State.UNACCOUNTED, Input.WRITTEN_OFF),
    }


def test_an_outage_takes_nothing_away():
    for state in (State.PRESENT, State.DOUBTED, State.UNACCOUNTED):
        effect, after = presence.TABLE[(state, Input.BLIND)]
        assert effect is Effect.NOTHING
        assert after in {State.DOUBTED, State.UNACCOUNTED}


@given(st.lists(st.sampled_from(Input), max_size=30))
def test_a_tag_arrives_once_before_it_departs(inputs):
    tag = Tag("E2", "drawer-1", At(0, 0))
    told = [effect for each in inputs if (effect := tag.apply(each)) is not Effect.NOTHING]
    if tag.state is State.GONE:
        assert told[-1] in {Effect.DEPART, Effect.FORGET}
    elif tag.state is not State.TENTATIVE:
        assert told[0] is Effect.ARRIVE
        assert told.count(Effect.ARRIVE) == 1
    doubts = [effect for effect in told if effect in {Effect.DOUBT, Effect.CONFIRM}]
    assert doubts[::2] == [Effect.DOUBT] * len(doubts[::2])
    assert doubts[1::2] == [Effect.CONFIRM] * len(doubts[1::2])


@given(st.lists(st.sampled_from(doors.Input), max_size=30))
def test_sessions_of_a_door_begin_and_end_by_turns(inputs):
    door, is_open = Door(), False
    for t, each in enumerate(inputs):
        effect = door.apply(each, At(t, t))
        match effect:
            case doors.Effect.BEGIN | doors.Effect.BEGIN_UNSEEN:
                assert not is_open
                is_open = True
            case doors.Effect.END | doors.Effect.END_UNSEEN:
                assert is_open
                is_open = False
            case doors.Effect.ANOTHER:
                assert is_open
            case doors.Effect.PASSED:
                assert not is_open
        assert door.is_open == is_open
        if is_open:
            assert door.opened_since(t)
        if door.blind:
            assert door.unseen_since(t)


PERSONS = st.tuples(st.sampled_from("abc"), st.booleans())


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("badge"), PERSONS),
            st.tuples(st.just("wait"), st.integers(1, 8)),
            st.tuples(st.just("shut")),
        ),
        max_size=15,
    ),
    st.sampled_from(["standard", "controlled"]),
)
def test_a_session_is_authorised_by_enough_persons_in_time_alone(deeds, kind):
    table = _table(kind)
    window, grace = table.two_person_window_s, table.badge_grace_s
    session = Session("s", "front", At(0, 0), table)
    t, shown, shut = 0, {}, False
    first_s = None
    alarms = []
    for what, *more in deeds:
        if what == "wait":
            t += more[0]
            alarms.append(session.tick(t * SECOND_US))
        elif what == "shut":
            if not shut:
                shut = True
                alarms.append(session.shut(At(0, t * SECOND_US)))
        elif not shut:
            person, may = more[0]
            alarms.append(session.badge(person, At(0, t * SECOND_US), may=may))
            if may and person not in shown and person not in session.others:
                shown[person] = t
            if may and first_s is None:
                first_s = t
    needed = 2 if kind == "controlled" else 1
    times = sorted(shown.values())
    in_time = (
        len(times) >= needed
        and times[0] <= grace
        and (needed == 1 or times[1] <= times[0] + window)
    )
    assert session.authorised == in_time
    raised = [each for each in alarms if each is not access.Effect.NOTHING]
    assert len(raised) <= 1
    if session.verdict in {AccessVerdict.NO_BADGE, AccessVerdict.ONE_PERSON}:
        assert len(raised) == 1


def _table(kind):
    return msgspec.structs.replace(QUICK, kind=kind, roles=("nurse",))


@given(st.lists(st.tuples(st.sampled_from(["start", "stop", "wait"]), st.integers(0, 9))))
def test_a_watch_counts_the_time_in_which_it_ran(deeds):
    clock, t, ran, running = WatchClock(), 0, 0, False
    for what, n in deeds:
        t += n
        ran += n if running else 0
        if what != "wait":
            running = what == "start"
            (clock.start if running else clock.stop)(At(t, t))
        assert clock.at(t) == ran
        assert clock.runs == running


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(["here", "there"]), st.integers(-80, -30)),
        max_size=40,
    )
)
def test_a_tag_moves_only_to_where_it_was_read_often_enough(reads):
    tag, t = Tag("E2", "here", At(0, 0)), 0
    tag.state = State.PRESENT
    recent: list[str] = []
    for wait, place, rssi in reads:
        t += wait * SECOND_US
        before = tag.place
        tag.read(place, At(t, t), 1, float(rssi), READS)
        recent.append(place)
        if tag.moved(READS):
            assert tag.place != before
            assert recent.count(tag.place) >= READS.reads
            recent = []
