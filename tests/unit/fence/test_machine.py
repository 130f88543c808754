"""One device and its fence: every state, every input."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.fence.machine import TABLE, Input, State


def test_every_state_knows_every_input():
    assert set(TABLE) == {(state, told) for state in State for told in Input}


@given(st.lists(st.sampled_from(Input), max_size=30))
def test_who_is_outside_left_and_was_not_seen_since(inputs):
    state, left = State.UNKNOWN, False
    for told in inputs:
        before, state = state, TABLE[state, told]
        left = told is Input.OUT or (left and told is not Input.IN)
        if state in (State.LEFT, State.OUTSIDE):
            assert left
        if state is State.OUTSIDE and before is not State.OUTSIDE:
            assert (before, told) == (State.LEFT, Input.GRACE_OVER)
        if before is State.OUTSIDE:
            assert state is (State.INSIDE if told is Input.IN else State.OUTSIDE)
        if told is Input.SILENT:
            assert state is not State.INSIDE
        if told is Input.IN:
            assert state is State.INSIDE


def test_what_is_heard_means_the_same_in_every_state_but_for_grace_and_silence():
    for state in State:
        assert TABLE[state, Input.IN] is State.INSIDE
        left = State.OUTSIDE if state is State.OUTSIDE else State.LEFT
        assert TABLE[state, Input.OUT] is left
        unseen = State.UNKNOWN if state is State.INSIDE else state
        assert TABLE[state, Input.ABSENT] is unseen
        assert TABLE[state, Input.SILENT] is unseen
        over = State.OUTSIDE if state is State.LEFT else state
        assert TABLE[state, Input.GRACE_OVER] is over
