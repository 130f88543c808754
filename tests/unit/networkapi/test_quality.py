"""One device's session as a table: every state, every input."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.networkapi.quality import TABLE, Action, Input, State


def test_every_state_knows_every_input():
    assert set(TABLE) == {(state, told) for state in State for told in Input}


@given(st.lists(st.sampled_from(Input), max_size=40))
def test_a_session_is_asked_for_once_and_ended_when_it_is_needed_no_more(inputs):
    state = State.NONE
    for told in inputs:
        before = state
        state, action = TABLE[state, told]
        if action is Action.ASK:
            assert before in (State.NONE, State.ASKING)  # never a second beside one that stands
        if action is Action.EXTEND:
            assert before is State.GRANTED
        if told is Input.NOT_NEEDED:
            assert state in (State.NONE, State.ENDING)
            may_stand = before not in (State.NONE, State.ASKING)
            assert (action is Action.END) == may_stand
        if before is State.SPENT:
            assert state is (State.ENDING if told is Input.NOT_NEEDED else State.SPENT)
        if before is State.ENDING:
            assert state in (State.ENDING, State.NONE)
        if told is Input.TOTAL_OVER:
            assert action in (Action.NOTHING, Action.END)
