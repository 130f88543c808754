"""The association: the whole table, the waits, and walks at random."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.intellivue import messages
from drivers.intellivue.association import UserInformation
from drivers.intellivue.messages import (
    Abort,
    AssociationAccept,
    AssociationRefuse,
    CreateEvent,
    OtherOperation,
    PollReply,
    PollRequest,
    PollResult,
    ReleaseRequest,
    ReleaseResponse,
    RemoteError,
)
from drivers.intellivue.nomenclature import Group, ObjectClass
from drivers.intellivue.session import Attached, Detached, Polled, Session, Times
from drivers.intellivue.table import TABLE, Effect, Input, Phase

TIMES = Times()
INFO = UserInformation(0, 0, 0, 0, 0, 0)


def reply(object_class=ObjectClass.NUMERIC, ticks=0):
    return PollReply(1, 0, ticks, None, object_class, 0, ())


def result(object_class=ObjectClass.NUMERIC, ticks=0, invoke_id=1):
    return PollResult(invoke_id, True, 0, 0, reply(object_class, ticks))


MESSAGES = {
    Input.ACCEPT: AssociationAccept(INFO),
    Input.REFUSE: AssociationRefuse(),
    Input.CREATE: CreateEvent(1, 0, 0, {}),
    Input.RESULT: result(),
    Input.ERROR: RemoteError(1, 9),
    Input.RELEASE: ReleaseRequest(),
    Input.RELEASED: ReleaseResponse(),
    Input.ABORT: Abort(),
    Input.OTHER: OtherOperation(1, 1, 3),
}


class Driven:
    """A session with a clock of its own and a record of what it said and reported."""

    def __init__(self, seed=0):
        self.session = Session(TIMES, random.Random(seed))
        self.now = 100.0
        self.said = []
        self.events = []

    def put(self, what):
        session = self.session
        if what is Input.LINK_UP:
            events = session.link_up(self.now)
        elif what is Input.LINK_DOWN:
            events = session.link_down(self.now)
        elif what is Input.STOP:
            events = session.stop(self.now)
        elif what is Input.TIMEOUT:
            events = self.wait()
        else:
            events = session.receive(MESSAGES[what], self.now)
        self.take(events)
        return events

    def wait(self):
        """Let the phase's own deadline pass (not the polls')."""
        if self.session._deadline is None:
            return self.session.tick(self.now)
        self.now = self.session._deadline
        return self.session.tick(self.now)

    def take(self, events):
        self.events += events
        self.said += [messages.decode(payload) for payload in self.session.output]
        self.session.output.clear()

    def advance(self, seconds):
        """Let time pass, with every tick that the session asks for."""
        until = self.now + seconds
        while (due := self.session.deadline()) is not None and due <= until:
            self.now = max(self.now, due)
            self.take(self.session.tick(self.now))
        self.now = until


WAY = {
    Phase.OFFLINE: [],
    Phase.ASSOCIATING: [Input.LINK_UP],
    Phase.CONFIGURING: [Input.LINK_UP, Input.ACCEPT],
    Phase.POLLING: [Input.LINK_UP, Input.ACCEPT, Input.CREATE],
    Phase.RESTING: [Input.LINK_UP, Input.REFUSE],
    Phase.RELEASING: [Input.LINK_UP, Input.STOP],
}


def at(phase):
    driven = Driven()
    for what in WAY[phase]:
        driven.put(what)
    assert driven.session.phase is phase
    driven.said.clear()
    driven.events.clear()
    return driven


def test_the_table_is_total():
    assert set(TABLE) == {(phase, what) for phase in Phase for what in Input}


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("what", Input)
def test_every_phase_and_input(phase, what):
    driven = at(phase)
    driven.put(what)
    effect, after = TABLE[phase, what]
    assert driven.session.phase is after
    if effect is Effect.IGNORE:
        assert driven.events == []
        assert driven.said == []
    # Whatever happens, the session waits for the link or for a time.
    assert (driven.session.deadline() is None) == (after is Phase.OFFLINE)


@pytest.mark.parametrize(
    ("phase", "what", "reason", "attached"),
    [
        (Phase.POLLING, Input.LINK_DOWN, "link_lost", True),
        (Phase.POLLING, Input.ABORT, "aborted", True),
        (Phase.POLLING, Input.RELEASE, "released", True),
        (Phase.POLLING, Input.TIMEOUT, "silent", True),
        (Phase.POLLING, Input.STOP, "stopped", True),
        (Phase.ASSOCIATING, Input.REFUSE, "refused", False),
        (Phase.ASSOCIATING, Input.TIMEOUT, "no_answer", False),
        (Phase.CONFIGURING, Input.TIMEOUT, "no_answer", False),
    ],
)
def test_the_end_says_why(phase, what, reason, attached):
    driven = at(phase)
    assert driven.put(what) == [Detached(reason, attached)]


@pytest.mark.parametrize("what", [Input.LINK_DOWN, Input.TIMEOUT])
def test_an_end_is_reported_once(what):
    driven = at(Phase.POLLING)
    driven.put(Input.STOP)
    driven.put(what)
    assert [type(e) for e in driven.events] == [Detached]


def test_the_minimal_exchange():
    driven = Driven()
    driven.put(Input.LINK_UP)
    assert [type(m).__name__ for m in driven.said] == ["ReleaseRequest", "AssociationRequest"]
    driven.put(Input.ACCEPT)
    driven.said.clear()
    assert driven.put(Input.CREATE) == [Attached({})]
    assert driven.said == [
        messages.CreateConfirmation(1),
        PollRequest(1, 1, ObjectClass.NUMERIC, Group.OBSERVED_VALUES, True, 480_000),
        PollRequest(2, 2, ObjectClass.ENUMERATION, Group.OBSERVED_VALUES, True, 480_000),
        PollRequest(3, 3, ObjectClass.ALERT_MONITOR, Group.ALERT_MONITOR, True, 480_000),
    ]
    assert driven.put(Input.RESULT) == [Polled(reply())]


def test_a_repeated_create_event_is_confirmed_again_and_arms_nothing():
    driven = at(Phase.POLLING)
    driven.put(Input.CREATE)
    assert driven.said == [messages.CreateConfirmation(1)]


def test_a_create_event_stands_for_a_lost_accept():
    driven = at(Phase.ASSOCIATING)
    assert driven.put(Input.CREATE) == [Attached({})]


def test_polls_are_armed_again_before_they_end_and_the_monitor_is_kept_alive():
    driven = at(Phase.POLLING)
    for second in range(1, 51):
        driven.advance(1.0)
        driven.take(driven.session.receive(result(ticks=second), driven.now))
    armed = [m for m in driven.said if m.extended]
    assert [m.object_class for m in armed] == [6, 5, 54]
    alive = [m for m in driven.said if not m.extended]
    assert {(m.object_class, m.group) for m in alive} == {(33, 0x080A)}
    assert len(alive) == 12  # every 4 s


def test_the_monitors_silence_ends_it_and_being_excused_does_not():
    driven = at(Phase.POLLING)
    driven.advance(9.0)
    driven.session.excuse(driven.now)
    driven.advance(9.9)
    assert driven.events == []
    driven.advance(0.2)
    assert driven.events == [Detached("silent", True)]


def test_a_class_that_knows_no_extended_poll_is_polled_singly():
    driven = at(Phase.POLLING)
    driven.take(driven.session.receive(RemoteError(3, 9), driven.now))
    assert driven.said == [PollRequest(13, 13, ObjectClass.ALERT_MONITOR, 0x0801)]
    driven.said.clear()
    for tick in range(3):
        driven.advance(1.024)
        driven.take(driven.session.receive(result(ticks=tick), driven.now))
    assert [m for m in driven.said if m.object_class == ObjectClass.ALERT_MONITOR] == [
        PollRequest(13, 13, ObjectClass.ALERT_MONITOR, 0x0801)
    ] * 3
    # An error for something else changes nothing.
    driven.said.clear()
    driven.take(driven.session.receive(RemoteError(77, 9), driven.now))
    assert driven.said == []


def test_the_same_reply_of_two_overlapping_polls_is_taken_once():
    driven = at(Phase.POLLING)
    assert driven.session.receive(result(ticks=5), driven.now)
    assert not driven.session.receive(result(ticks=5), driven.now)
    assert driven.session.receive(result(ObjectClass.ENUMERATION, ticks=5), driven.now)


def test_back_off_grows_is_jittered_and_is_forgotten_once_data_flows():
    driven = at(Phase.ASSOCIATING)
    rests = []
    for _ in range(8):
        driven.put(Input.REFUSE)
        rests.append(driven.session.deadline() - driven.now)
        driven.put(Input.TIMEOUT)
        assert driven.session.phase is Phase.ASSOCIATING
    for number, rest in enumerate(rests):
        longest = min(TIMES.rest_max_s, TIMES.rest_min_s * 2**number)
        assert longest / 2 <= rest <= longest
    assert len(set(rests)) == len(rests)
    for what in (Input.ACCEPT, Input.CREATE, Input.RESULT, Input.ABORT):
        driven.put(what)
    assert driven.session.deadline() - driven.now <= TIMES.rest_min_s


def test_a_lost_link_takes_what_was_not_sent_with_it():
    driven = Driven()
    driven.session.link_up(driven.now)
    assert driven.session.output
    driven.session.link_down(driven.now)
    assert driven.session.output == []


ALLOWED = (
    messages.AssociationRequest,
    messages.CreateConfirmation,
    PollRequest,
    ReleaseRequest,
    ReleaseResponse,
)
steps = st.one_of(st.sampled_from(Input), st.floats(0.1, 40.0))


@settings(max_examples=150)
@given(st.lists(steps, max_size=40), st.integers(0, 1000))
def test_walks_at_random(walk, seed):
    driven = Driven(seed)
    attached = 0
    for step in walk:
        if isinstance(step, float):
            driven.advance(step)
        else:
            before = driven.session.phase
            driven.put(step)
            assert driven.session.phase is TABLE[before, step][1]
        assert (driven.session.deadline() is None) == (driven.session.phase is Phase.OFFLINE)
    for event in driven.events:
        if isinstance(event, Attached):
            assert attached == 0
            attached = 1
        elif isinstance(event, Detached):
            assert event.attached == bool(attached)
            attached = 0
        else:
            assert attached == 1
    assert all(isinstance(message, ALLOWED) for message in driven.said)
    assert all(
        m.object_class != ObjectClass.PATIENT for m in driven.said if isinstance(m, PollRequest)
    )
