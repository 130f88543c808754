"""Statements are understood by their interpreter; nothing of what follows is lost."""

from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.ports import Outcome
from gateway.domain.records import (
    AlarmKind,
    AlarmPriority,
    AlarmSource,
    Attestation,
    DeviceState,
    DeviceStatus,
    Gap,
    Provenance,
)
from gateway.domain.statements import Statement
from gateway.pipeline import interpreters
from gateway.pipeline.alarms.engine import GATEWAY
from gateway.pipeline.alarms.state import Cause, Context
from gateway.pipeline.interpreters import Interpreters
from tests.unit.pipeline.support import COMMITTED, FAILED, FULL, Bench

SOURCE = Provenance("door", Attestation.PORT)
SPACE = "door"
OPEN = Cause("door_open/3", 1, AlarmKind.TECHNICAL, AlarmSource.GATEWAY, AlarmPriority.LOW, "Open")


class Door(Statement, frozen=True):
    open: bool


class Window(Statement, frozen=True):
    """Nobody takes it."""


class Doors:
    """A door that is open or shut: each change is a record, and an alarm while it is open."""

    takes = (Door,)
    conditions = frozenset(("door_open",))
    spaces = frozenset((SPACE,))
    STATES: ClassVar = {True: DeviceState.ONLINE, False: DeviceState.OFFLINE}

    def __init__(self):
        self.open = False
        self.ticks = 0

    def interpret(self, statement, mono, found):
        if statement.open == self.open:
            return
        self.open = statement.open
        found.delta(SPACE, statement.device_id, self.value_of(SPACE, statement.device_id))
        state = self.STATES[self.open]
        found.record(
            DeviceStatus(statement.device_id, "door", SOURCE, statement.received_us, state, "door")
        )
        context = Context(statement.device_id, "", GATEWAY, statement.received_us, mono)
        found.condition(context, OPEN, active=self.open)

    def tick(self, at_us, mono, found):
        self.ticks += 1

    def value_of(self, space, key):
        assert (space, key) == (SPACE, "door-1")
        return b"open" if self.open else None

    def restore(self, view, mono):
        self.open = bool(view.items(SPACE))


class DoorBench(Bench):
    def __init__(self, doors, **around):
        super().__init__(interpreters=(doors,), **around)

    def say(self, is_open, message_id=""):
        now = self.clock.now_us()
        self.submit(
            Door(
                device_id="door-1",
                provenance=SOURCE,
                received_us=now,
                message_id=message_id,
                open=is_open,
            )
        )


def states(committer):
    return [record.state for record in committer.records if isinstance(record, DeviceStatus)]


def test_a_statement_becomes_records_state_and_alarms():
    doors = Doors()
    b = DoorBench(doors)
    b.say(True)
    b.say(True)
    assert states(b.committer) == [DeviceState.ONLINE]
    assert b.committer.state.items(SPACE) == {"door-1": b"open"}
    assert b.phases("door_open/3") == ["door_open/3 START"]
    b.say(False)
    assert states(b.committer) == [DeviceState.ONLINE, DeviceState.OFFLINE]
    assert b.committer.state.items(SPACE) == {}
    assert b.phases("door_open/3") == ["door_open/3 START", "door_open/3 END"]
    assert b.outcomes == [Outcome.COMMITTED] * 3
    assert b.counters.counts[("accepted", "door")] == 3
    b.intake.tick()
    assert doors.ticks == 1


def test_an_alarm_stands_over_a_restart_and_ends_without_its_interpreter():
    first = DoorBench(Doors())
    first.say(True)
    state = first.committer.state
    again = DoorBench(Doors(), state=state, clock=first.clock, first_id=9)
    again.intake.tick()
    again.say(True)  # it was restored: no news
    assert again.committer.alarm_records == []
    assert states(again.committer) == []
    without = Bench(state=state, clock=first.clock)
    without.intake.tick()
    assert without.phases("door_open/3") == ["door_open/3 END"]


def test_what_nobody_understands_is_a_gap():
    b = DoorBench(Doors())
    b.submit(Window(device_id="w-1", provenance=SOURCE, received_us=1))
    (gap,) = b.committer.records
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.device_id) == ("not_understood", "w-1")
    assert b.counters.counts[("malformed", "door", "not_understood")] == 1


def test_two_interpreters_of_one_statement_are_refused():
    with pytest.raises(ValueError, match="two interpreters take Door"):
        Interpreters((Doors(), Doors()))


@pytest.mark.parametrize("fate", [FULL, FAILED], ids=["full", "failed"])
def test_what_was_not_taken_is_committed_later_and_in_order(fate):
    b = DoorBench(Doors(), automatic=None)
    b.say(True, "5f:1")
    b.committer.settle(fate)
    b.say(False, "5f:2")  # the disk takes again, but the first has not arrived yet
    b.committer.settle()
    assert b.outcomes[0] is not Outcome.COMMITTED
    assert b.outcomes[1] is Outcome.FULL
    assert states(b.committer) == []
    b.intake.tick()
    b.committer.settle()
    assert states(b.committer) == [DeviceState.ONLINE, DeviceState.OFFLINE]
    assert b.committer.state.items(SPACE) == {}
    b.say(False, "5f:2")  # it was not acknowledged, so it comes again
    b.committer.settle()
    assert b.outcomes[2] is Outcome.COMMITTED
    assert len(states(b.committer)) == 2


def test_what_the_journal_never_took_is_bounded_and_told(monkeypatch):
    monkeypatch.setattr(interpreters, "UNSAVED_MAX", 3)
    b = DoorBench(Doors(), automatic=FAILED)
    for n in range(8):
        b.say(n % 2 == 0)
    b.committer.automatic = COMMITTED
    b.intake.tick()
    gap, *rest = b.committer.records
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.reports) == ("not_taken", 5)
    assert len(rest) == 3
    assert states(b.committer) == [
        DeviceState.OFFLINE,
        DeviceState.ONLINE,
        DeviceState.OFFLINE,
    ]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("say"), st.booleans()),
            st.tuples(st.just("settle"), st.sampled_from([COMMITTED, FULL, FAILED])),
            st.tuples(st.just("tick"), st.none()),
        ),
        max_size=30,
    )
)
def test_disk_and_memory_agree_in_the_end(steps):
    doors = Doors()
    b = DoorBench(doors, automatic=None)
    for what, value in steps:
        if what == "say":
            b.say(value)
        elif what == "settle":
            b.committer.settle(value, 1)
        else:
            b.intake.tick()
    b.committer.settle()
    b.intake.tick()
    b.committer.settle()
    assert bool(b.committer.state.items(SPACE)) == doors.open
    said = states(b.committer)
    # What was under way behind a part that failed arrives before it: all of it does, once.
    assert said.count(DeviceState.ONLINE) - said.count(DeviceState.OFFLINE) == doors.open


def test_a_persons_word_at_the_gateway_is_of_no_device():
    b = DoorBench(Doors())
    b.submit(Door(device_id="door-1", provenance=GATEWAY, received_us=1, open=True))
    assert states(b.committer) == [DeviceState.ONLINE]
    assert list(b.intake.seen) == []
    assert b.outcomes == [Outcome.COMMITTED]
