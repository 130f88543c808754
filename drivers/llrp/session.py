"""What follows what in a connection to a reader: the table, without I/O.

A connection begins with the reader's word (ConnectionAttemptEvent). Then one question is out at a
time, and entering a state means asking its question. Whatever the reader says by itself (reports,
events, keep-alives) changes nothing here, but for what ends the reading.

Why in this order:

- Inputs are asked for after they were switched on (SETTING): before it, a reader may tell anything.
- What a reader held comes with ENABLE_EVENTS_AND_REPORTS, and before any ROSpec is deleted, since
  its reports might go with it.
- AccessSpecs that an earlier client has left are deleted before a ROSpec runs: they could write to
  each tag that it finds.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final


class State(Enum):
    GREETING = auto()
    """The connection stands, and the reader has not said a word."""
    CAPABILITIES = auto()
    EXTENSIONS = auto()
    """Impinj's, where a setting needs them."""
    CONFIGURATION = auto()
    SETTING = auto()
    INPUTS = auto()
    SPECS = auto()
    CLEARING = auto()
    """What was held is released; AccessSpecs of others are deleted."""
    DELETING = auto()
    """ROSpecs that are not ours, or not as they should be, one by one."""
    ADDING = auto()
    ENABLING = auto()
    STARTING = auto()
    READING = auto()
    CHECKING = auto()
    """Whether it still reads: asked now and then, and when it says that it has stopped."""
    REFUSED = auto()
    """It can't do what it is told. It keeps its connection, and is tried anew after a rest."""
    CLOSING = auto()
    GONE = auto()
    """Nothing more is said; the link is about to be closed."""


class Input(Enum):
    GREETED = auto()
    TURNED_AWAY = auto()
    """It has a client already, or closes the connection."""
    ANSWERED = auto()
    DECLINED = auto()
    """Answered with another status than success, or we can't ask what is configured."""
    WANTED = auto()
    """Answered, and extensions are needed."""
    KEPT = auto()
    """Answered: our ROSpec is there, and runs."""
    MORE = auto()
    """Answered, and there is another ROSpec to be deleted."""
    DUE = auto()
    """It is time to check."""
    ENDED = auto()
    """The reader says that our ROSpec has ended."""
    TOO_SOON = auto()
    """It no longer reads, and had just begun to."""
    OVERDUE = auto()
    """No answer, or no sign of life."""
    RESTED = auto()
    LEFT = auto()
    """The gateway ends the connection."""


_ASKING: Final = (
    State.CAPABILITIES,
    State.EXTENSIONS,
    State.CONFIGURATION,
    State.SETTING,
    State.INPUTS,
    State.SPECS,
    State.CLEARING,
    State.DELETING,
    State.ADDING,
    State.ENABLING,
    State.STARTING,
)
_ONWARD: Final[Mapping[tuple[State, Input], State]] = {
    (State.GREETING, Input.GREETED): State.CAPABILITIES,
    (State.CAPABILITIES, Input.ANSWERED): State.CONFIGURATION,
    (State.CAPABILITIES, Input.WANTED): State.EXTENSIONS,
    (State.EXTENSIONS, Input.ANSWERED): State.CONFIGURATION,
    (State.CONFIGURATION, Input.ANSWERED): State.SETTING,
    (State.SETTING, Input.ANSWERED): State.INPUTS,
    (State.INPUTS, Input.ANSWERED): State.SPECS,
    (State.SPECS, Input.KEPT): State.READING,
    (State.SPECS, Input.ANSWERED): State.CLEARING,
    (State.CLEARING, Input.ANSWERED): State.ADDING,
    (State.CLEARING, Input.MORE): State.DELETING,
    (State.DELETING, Input.MORE): State.DELETING,
    (State.DELETING, Input.ANSWERED): State.ADDING,
    (State.ADDING, Input.ANSWERED): State.ENABLING,
    (State.ENABLING, Input.ANSWERED): State.STARTING,
    (State.STARTING, Input.ANSWERED): State.READING,
    (State.READING, Input.DUE): State.CHECKING,
    (State.READING, Input.ENDED): State.CHECKING,
    (State.CHECKING, Input.KEPT): State.READING,
    (State.CHECKING, Input.ANSWERED): State.CLEARING,
    (State.CHECKING, Input.TOO_SOON): State.REFUSED,
    (State.CHECKING, Input.DECLINED): State.REFUSED,
    (State.REFUSED, Input.RESTED): State.GONE,
    (State.CLOSING, Input.ANSWERED): State.GONE,
    (State.CLOSING, Input.DECLINED): State.GONE,
}
TABLE: Final[Mapping[tuple[State, Input], State]] = {
    **_ONWARD,
    **{(state, Input.DECLINED): State.REFUSED for state in _ASKING},
    **{(state, Input.OVERDUE): State.GONE for state in State if state is not State.GONE},
    **{(state, Input.TURNED_AWAY): State.GONE for state in State if state is not State.GONE},
    **{(state, Input.LEFT): State.CLOSING for state in (*_ASKING, State.READING)},
    (State.CHECKING, Input.LEFT): State.CLOSING,
    (State.REFUSED, Input.LEFT): State.CLOSING,
    (State.GREETING, Input.LEFT): State.GONE,
}
"""Where an input leads; what does not stand here changes nothing."""


def follow(state: State, event: Input) -> State | None:
    """The next state, or None: the input means nothing now."""
    return TABLE.get((state, event))
