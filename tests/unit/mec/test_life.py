"""When the gateway is ready, when nothing leaves, when it ends: every state, every input."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mec.life import TABLE, Effect, Input, Life, State


def test_every_state_knows_every_input():
    assert set(TABLE) == {(state, seen) for state in State for seen in Input}


@given(st.lists(st.sampled_from(Input), max_size=40))
def test_what_may_leave_follows_the_path(inputs):
    """Nothing leaves before the first good look, nor behind a bad one."""
    life, free, confirmed, ended = Life(), False, 0, 0
    ready = False
    for seen in inputs:
        effects = life.feed(seen)
        assert not {Effect.HOLD, Effect.FREE} <= set(effects)
        if Effect.HOLD in effects:
            free = False
        if Effect.FREE in effects:
            free = True
        ready |= seen is Input.GATEWAY_READY
        if Effect.CONFIRM_READY in effects:
            confirmed += 1
            assert ready
            assert free
        if Effect.CONFIRM_END in effects:
            ended += 1
            assert Input.TERMINATE in inputs
        if seen in (Input.PATH_BAD, Input.PATH_UNKNOWN):
            assert not free
        if seen is Input.PATH_GOOD and life.state is State.READY:
            assert free
        assert (life.state is State.READY) <= free
        assert (life.state is State.WITHHELD) <= (not free)
    assert ended <= 1
    assert (life.state is State.ENDED) == bool(ended)


def test_a_platform_that_was_started_anew_is_told_again():
    life = Life()
    life.feed(Input.GATEWAY_READY)
    assert life.feed(Input.PATH_GOOD) == (Effect.FREE, Effect.CONFIRM_READY)
    assert life.feed(Input.ANEW) == (Effect.CONFIRM_READY,)
    assert life.feed(Input.PATH_BAD) == (Effect.HOLD,)
    assert life.feed(Input.ANEW) == ()
    assert life.feed(Input.PATH_GOOD) == (Effect.FREE, Effect.CONFIRM_READY)


BAD = (Input.PATH_BAD, Input.PATH_UNKNOWN)


@pytest.mark.parametrize("state", State)
def test_every_state_does_what_it_is_for(state):
    nothing = ((), state)
    after = {seen: TABLE[state, seen] for seen in Input}
    assert after[Input.PATH_BAD] == after[Input.PATH_UNKNOWN]
    match state:
        case State.STARTING:  # everything is held already, and nobody was told anything
            assert after.pop(Input.GATEWAY_READY) == ((), State.UNSURE)
            assert after.pop(Input.TERMINATE) == ((Effect.DRAIN,), State.DRAINING)
        case State.UNSURE:
            freed = (Effect.FREE, Effect.CONFIRM_READY)
            assert after.pop(Input.PATH_GOOD) == (freed, State.READY)
            assert {after.pop(seen) for seen in BAD} == {((Effect.HOLD,), State.UNSURE)}
            assert after.pop(Input.TERMINATE) == ((Effect.DRAIN,), State.DRAINING)
        case State.READY:
            assert {after.pop(seen) for seen in BAD} == {((Effect.HOLD,), State.WITHHELD)}
            assert after.pop(Input.ANEW) == ((Effect.CONFIRM_READY,), State.READY)
            assert after.pop(Input.TERMINATE) == ((Effect.DRAIN,), State.DRAINING)
        case State.WITHHELD:
            assert after.pop(Input.PATH_GOOD) == ((Effect.FREE,), State.READY)
            assert after.pop(Input.ANEW) == ((), State.UNSURE)
            assert after.pop(Input.TERMINATE) == ((Effect.DRAIN,), State.DRAINING)
        case State.DRAINING:
            assert after.pop(Input.PATH_GOOD) == ((Effect.FREE,), State.DRAINING)
            assert {after.pop(seen) for seen in BAD} == {((Effect.HOLD,), State.DRAINING)}
            assert after.pop(Input.DRAINED) == ((Effect.CONFIRM_END,), State.ENDED)
        case State.ENDED:  # nothing is freed any more
            assert {after.pop(seen) for seen in BAD} == {((Effect.HOLD,), State.ENDED)}
    assert set(after.values()) == {nothing}
