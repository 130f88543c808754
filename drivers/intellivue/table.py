"""The association's states as a table: (phase, input) -> (effect, next phase).

The exchange and its rules are told in :mod:`drivers.intellivue.session`, which carries out the
effects.
"""

from __future__ import annotations

from enum import Enum


class Phase(Enum):
    OFFLINE = "offline"
    RESTING = "resting"
    ASSOCIATING = "associating"
    CONFIGURING = "configuring"
    POLLING = "polling"
    RELEASING = "releasing"


class Input(Enum):
    LINK_UP = "link_up"
    LINK_DOWN = "link_down"
    STOP = "stop"
    TIMEOUT = "timeout"
    ACCEPT = "accept"
    REFUSE = "refuse"
    CREATE = "create"
    RESULT = "result"
    ERROR = "error"
    RELEASE = "release"
    RELEASED = "released"
    ABORT = "abort"
    OTHER = "other"
    """A message that only the client's side sends, or that nobody asked for."""


class Effect(Enum):
    IGNORE = "ignore"
    CONNECT = "connect"
    AWAIT_CREATE = "await_create"
    CONFIRM = "confirm"
    CONFIRM_AGAIN = "confirm_again"
    DELIVER = "deliver"
    FALL_BACK = "fall_back"
    REST = "rest"
    AGREE = "agree"
    """To the monitor's release request; then rest."""
    LEAVE = "leave"
    END = "end"


Move = tuple[Effect, Phase]


def _row(phase: Phase, moves: dict[Input, Move]) -> dict[tuple[Phase, Input], Move]:
    """A phase's row: an input without a move is ignored."""
    return {(phase, i): moves.get(i, (Effect.IGNORE, phase)) for i in Input}


_DOWN: dict[Input, Move] = {Input.LINK_DOWN: (Effect.END, Phase.OFFLINE)}
_STOP: dict[Input, Move] = {Input.STOP: (Effect.LEAVE, Phase.RELEASING)}
_REST: Move = (Effect.REST, Phase.RESTING)
_CONFIRM: Move = (Effect.CONFIRM, Phase.POLLING)

TABLE: dict[tuple[Phase, Input], Move] = {
    **_row(Phase.OFFLINE, {Input.LINK_UP: (Effect.CONNECT, Phase.ASSOCIATING)}),
    **_row(
        Phase.RESTING,
        _DOWN
        | {
            Input.TIMEOUT: (Effect.CONNECT, Phase.ASSOCIATING),
            Input.STOP: (Effect.END, Phase.OFFLINE),
        },
    ),
    # An abort here may answer our first release request, so the time-out decides, not the abort.
    # A create event instead of the accept means that the accept was damaged on the way.
    **_row(
        Phase.ASSOCIATING,
        _DOWN
        | _STOP
        | {
            Input.ACCEPT: (Effect.AWAIT_CREATE, Phase.CONFIGURING),
            Input.REFUSE: _REST,
            Input.CREATE: _CONFIRM,
            Input.TIMEOUT: _REST,
        },
    ),
    **_row(
        Phase.CONFIGURING,
        _DOWN
        | _STOP
        | {
            Input.CREATE: _CONFIRM,
            Input.RELEASE: (Effect.AGREE, Phase.RESTING),
            Input.ABORT: _REST,
            Input.TIMEOUT: _REST,
        },
    ),
    **_row(
        Phase.POLLING,
        _DOWN
        | _STOP
        | {
            Input.CREATE: (Effect.CONFIRM_AGAIN, Phase.POLLING),
            Input.RESULT: (Effect.DELIVER, Phase.POLLING),
            Input.ERROR: (Effect.FALL_BACK, Phase.POLLING),
            Input.RELEASE: (Effect.AGREE, Phase.RESTING),
            Input.ABORT: _REST,
            Input.TIMEOUT: _REST,
        },
    ),
    **_row(
        Phase.RELEASING,
        _DOWN
        | {
            Input.RELEASED: (Effect.END, Phase.OFFLINE),
            Input.RELEASE: (Effect.END, Phase.OFFLINE),
            Input.ABORT: (Effect.END, Phase.OFFLINE),
            Input.TIMEOUT: (Effect.END, Phase.OFFLINE),
        },
    ),
}

REASONS = {
    Input.LINK_DOWN: "link_lost",
    Input.STOP: "stopped",
    Input.REFUSE: "refused",
    Input.RELEASE: "released",
    Input.ABORT: "aborted",
    Input.TIMEOUT: "no_answer",
}
"""What ended an association; a time-out while polling is ``silent`` instead."""
