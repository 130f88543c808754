"""The simulated infusion pump: its life as a table, what it delivers, what it says."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.hl7.messages import Sender
from firmware_sim.hl7.pump import (
    ESCALATE_S,
    LIFE,
    NEAR_S,
    RELOAD_S,
    Event,
    Input,
    Program,
    Pump,
    State,
    decode,
)
from firmware_sim.hl7.pump_messages import PumpTeller
from firmware_sim.messages import encode

PROGRAM = Program("Dopamine", 10.0, 60.0, 1.6, 80.0)


def pump(program: Program = PROGRAM) -> Pump:
    return Pump(program, Random(1))


@pytest.mark.parametrize("state", State, ids=lambda each: each.name)
@pytest.mark.parametrize("seen", Input, ids=lambda each: each.name)
def test_what_is_outside_the_table_changes_nothing(state: State, seen: Input) -> None:
    it = pump()
    it.state = state
    it.feed(seen)
    want, events = LIFE.get((state, seen), (state, ()))
    assert it.state is want
    assert it.tell("a", 1, 0).events == tuple(each.value for each in events)


@settings(max_examples=40, deadline=None)
@given(
    volume=st.floats(1, 500),
    rate=st.floats(1, 999),
    steps=st.lists(st.tuples(st.floats(0.1, 600), st.booleans()), max_size=60),
)
def test_what_was_given_and_what_is_left_is_the_programme(
    volume: float, rate: float, steps: list[tuple[float, bool]]
) -> None:
    it = Pump(Program("x", volume, rate), Random(1))
    for seconds, occluded in steps:
        it.occlude(occluded=occluded)
        it.step(seconds)
        told = it.tell("a", 1, 0)
        assert told.infused_ml + told.remaining_ml == pytest.approx(volume, abs=0.01)
        assert told.segment_ml <= told.infused_ml + 0.001
        assert told.infusing is (told.rate_ml_h > 0)
        assert decode(encode(told, cbor=False)) == told


def test_a_programme_from_start_to_the_next() -> None:
    it = pump()
    events: list[str] = []
    shown: list[tuple[str, str]] = []
    for second in range(700):
        it.step(1.0)
        told = it.tell("a", second, second * 1000)
        events += told.events
        for each in told.shown:
            if (each.text, each.priority) not in shown:
                shown.append((each.text, each.priority))
    assert events == [
        each.value for each in (Event.START, Event.COMPLETE, Event.COUNTERS_CLEARED, Event.START)
    ]
    assert shown == [
        ("Volume nearly infused", "PL"),
        ("Volume infused, KVO", "PM"),
        ("Volume infused, KVO", "PH"),
    ]
    assert 600 - NEAR_S > 0
    assert RELOAD_S > ESCALATE_S


def test_it_tells_events_then_the_infusion_then_alarms() -> None:
    it = pump()
    it.step(1.0)
    it.tell("a", 0, 0)
    teller = PumpTeller(Sender("pump-1", "pump-1"))
    it.occlude(occluded=True)
    it.step(1.0)
    first = [name for _, name in teller.messages(it.tell("a", 1, 0), "a:1")]
    assert first == ["a:1.event1", "a:1", "a:1.196940"]
    it.step(1.0)
    assert [name for _, name in teller.messages(it.tell("a", 2, 0), "a:2")] == ["a:2"]
    it.occlude(occluded=False)
    it.step(1.0)
    told = {name: content for content, name in teller.messages(it.tell("a", 3, 0), "a:3")}
    assert list(told) == ["a:3.event1", "a:3", "a:3.196940"]
    assert b"|end|" in told["a:3.196940"]
