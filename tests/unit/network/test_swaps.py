"""SIMs and modems that were changed: what is right, what is a mismatch, and how it ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.devices import Device, Standing
from gateway.domain.network import Attachment, Swapped, parse_binding
from gateway.domain.ports import Outcome
from gateway.network.config import Answer
from gateway.network.judge import Mismatch
from gateway.network.swaps import SPACE, Swaps
from tests.fakes import FakeState
from tests.unit.network.test_watch import bench as watch_bench

SIM, MODEM = Mismatch.SIM_CHANGED, Mismatch.MODEM_CHANGED
BOUND: dict[str, Any] = {
    "supi": "imsi-001010000000001",
    "gpsi": "+8613800000001",
    "imei": "490154203237518",
}


def pump(**changed):
    return Device("pump-1", network=parse_binding(**BOUND | changed))


class Bench:
    """A watch and what tells it, over the same journal; a restart makes both anew."""

    def __init__(self, answer=Answer.QUARANTINE, *, asked=True, state=None):
        self._before = state or FakeState()
        self.one = watch_bench(answer, **({} if state is None else {"state": state}))
        self.swaps = Swaps(self.one.watch, self.one.sink)
        self.swaps.restore(state or FakeState(), asked=asked)
        self.directory(pump())

    def directory(self, *devices):
        self.one.identity.apply_directory(devices)
        self.swaps.directory(devices)

    def told(self, sim_us=None, modem_us=None):
        self.swaps.told("pump-1", Swapped(sim_us, modem_us))

    @property
    def state(self):
        """What is committed, by this process and those before."""
        found = FakeState({space: dict(held) for space, held in self._before.spaces.items()})
        for submission in self.one.sink.submissions:
            for space, key, value in submission.deltas:
                found.spaces.setdefault(space, {}).pop(key, None)
                if value is not None:
                    found.spaces[space][key] = value
        return found

    @property
    def kinds(self):
        return self.one.watch.standing("pump-1")

    @property
    def held(self):
        return "pump-1" in self.one.holds.devices


def test_what_is_told_first_is_right_and_what_is_newer_is_a_mismatch():
    bench = Bench()
    bench.told(100, 0)
    assert not bench.kinds
    bench.told(200, 0)
    assert bench.kinds == {SIM}
    assert bench.held
    bench.told(200, 300)
    assert bench.kinds == {SIM, MODEM}
    assert bench.one.alarms == ["sim_changed START", "modem_changed START"]
    assert bench.one.events == [("sim_mismatch", "sim_changed"), ("sim_mismatch", "modem_changed")]


def test_that_it_is_told_no_longer_ends_nothing():
    bench = Bench()
    bench.told(100, 100)
    bench.told(200, 100)
    bench.told(0, 0)
    bench.told()
    assert bench.kinds == {SIM}
    bench.told(150, 100)
    assert bench.kinds == {SIM}


def test_what_is_said_later_of_the_other_is_taken_as_right():
    bench = Bench()
    bench.told(sim_us=100)
    bench.told(sim_us=100, modem_us=500)
    assert not bench.kinds
    bench.told(sim_us=100, modem_us=501)
    assert bench.kinds == {MODEM}


def test_a_person_confirms_and_the_next_change_is_one_again():
    bench = Bench()
    bench.told(100, 100)
    bench.told(200, 100)
    assert asyncio.run(bench.swaps.confirm("pump-1")) == {SIM}
    assert not bench.kinds
    assert not bench.held
    assert bench.one.alarms[-1] == "sim_changed END"
    bench.told(200, 100)
    assert not bench.kinds
    bench.told(300, 100)
    assert bench.kinds == {SIM}
    with pytest.raises(KeyError):
        asyncio.run(bench.swaps.confirm("pump-2"))


@pytest.mark.parametrize(
    "changed",
    [{"supi": "imsi-001010000000002"}, {"gpsi": "+8613800000002"}, {"imei": "356938035643809"}],
    ids=["supi", "gpsi", "imei"],
)
def test_another_binding_ends_it_and_what_is_told_next_is_right(changed):
    bench = Bench()
    bench.told(100, 100)
    bench.told(200, 100)
    bench.directory(pump(tacs=("0001",)))
    assert bench.kinds == {SIM}
    bench.directory(pump(**changed))
    assert not bench.kinds
    bench.told(900, 900)
    assert not bench.kinds


def test_who_leaves_the_registry_is_forgotten():
    bench = Bench()
    bench.told(100, 100)
    bench.told(200, 100)
    bench.directory(Device("pump-1", standing=Standing.RETIRED, network=parse_binding(**BOUND)))
    assert not bench.kinds
    bench.told(900, 900)
    assert bench.swaps.list() == []


def test_over_a_restart_it_stands_and_what_changed_meanwhile_is_seen():
    bench = Bench()
    bench.told(100, 100)
    again = Bench(state=bench.state)
    again.told(100, 200)
    assert again.kinds == {MODEM}
    third = Bench(state=again.state)
    assert third.kinds == {MODEM}
    assert third.held
    assert asyncio.run(third.swaps.confirm("pump-1")) == {MODEM}
    assert not Bench(state=third.state).kinds


def test_where_the_network_is_asked_no_longer_it_ends():
    bench = Bench()
    bench.told(100, 100)
    bench.told(200, 100)
    again = Bench(asked=False, state=bench.state)
    assert not again.kinds
    assert not again.held


def test_what_the_journal_does_not_take_is_committed_again_and_told():
    bench = Bench()
    bench.told(100, 100)
    bench.told(200, 100)
    bench.one.sink.automatic = Outcome.FULL
    with pytest.raises(OSError, match="journal"):
        asyncio.run(bench.swaps.confirm("pump-1"))
    assert not bench.kinds
    bench.one.sink.automatic = Outcome.COMMITTED
    before = len(bench.one.sink.submissions)
    bench.swaps.tick()
    bench.swaps.tick()
    (again,) = bench.one.sink.submissions[before:]
    assert [(space, key) for space, key, _ in again.deltas] == [(SPACE, "pump-1")]
    assert not Bench(state=bench.state).kinds


def test_what_else_is_said_of_a_device_neither_ends_it_nor_is_ended():
    bench = Bench()
    bench.one.watch.fenced("pump-1", outside=True)
    bench.told(100, 100)
    bench.told(200, 100)
    bench.one.watch.told(Attachment(bench.one.clock.now_us(), supi="imsi-001010000000009"))
    bench.one.told()
    bench.one.watch.fenced("pump-1", outside=False)
    assert bench.kinds == {SIM}


@given(st.lists(st.one_of(st.none(), st.tuples(*[st.one_of(st.none(), st.integers(0, 4))] * 2))))
def test_it_stands_exactly_while_something_newer_than_what_was_right_was_told(words):
    """``None`` is a person's confirmation; a restart comes after each word."""
    bench = Bench()
    right: list[int | None] = [None, None]
    last: list[int | None] = [None, None]
    for word in words:
        if word is None:
            if any(each is not None for each in last):
                asyncio.run(bench.swaps.confirm("pump-1"))
            right = list(last)
        else:
            bench.told(*word)
            for n, said in enumerate(word):
                if said is not None:
                    right[n] = said if right[n] is None else right[n]
                    last[n] = max(said, last[n] or 0)
        newer = [
            a is not None and b is not None and a > b for a, b in zip(last, right, strict=True)
        ]
        assert bench.kinds == {
            kind for kind, stands in zip((SIM, MODEM), newer, strict=True) if stands
        }
        bench = Bench(state=bench.state)
