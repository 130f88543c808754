"""When the gateway may say that it is ready, when nothing may leave, and when it ends.

A state machine without I/O, as a table. Rules:

* Nothing leaves before the local breakout is seen to be in force, nor while it is not, nor when
  the platform has told nothing of it for too long. Collecting goes on meanwhile.
* The platform is told READY once everything is (GS MEC 011, 5.2.2): the gateway's own parts and the
  breakout. After the platform was started anew it is told again.
* On a termination notice (5.2.3) the gateway drains and then confirms; what the path does meanwhile
  still counts.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

HOLD: Final = "breakout"
"""Why nothing leaves, for whoever holds it back."""


class State(Enum):
    STARTING = auto()
    """The gateway's own parts are not ready."""
    UNSURE = auto()
    """They are; the platform has not been told, since the breakout is not in force."""
    READY = auto()
    WITHHELD = auto()
    """The platform was told, but the breakout is no longer in force."""
    DRAINING = auto()
    ENDED = auto()


class Input(Enum):
    GATEWAY_READY = auto()
    PATH_GOOD = auto()
    PATH_BAD = auto()
    """A rule is missing, inactive, duplicates, drops, or points off campus."""
    PATH_UNKNOWN = auto()
    """The platform has not told for too long."""
    ANEW = auto()
    """The platform has forgotten us."""
    TERMINATE = auto()
    DRAINED = auto()
    """Everything has left, or the grace time is over."""


class Effect(Enum):
    HOLD = auto()
    """Let nothing leave, and raise the alarm."""
    FREE = auto()
    """Let leave what the policy releases, and end the alarm."""
    CONFIRM_READY = auto()
    DRAIN = auto()
    CONFIRM_END = auto()


_S, _I, _E = State, Input, Effect
_NONE: Final[tuple[Effect, ...]] = ()

TABLE: Final[dict[tuple[State, Input], tuple[tuple[Effect, ...], State]]] = {
    (_S.STARTING, _I.GATEWAY_READY): (_NONE, _S.UNSURE),
    (_S.STARTING, _I.PATH_GOOD): (_NONE, _S.STARTING),
    (_S.STARTING, _I.PATH_BAD): (_NONE, _S.STARTING),
    (_S.STARTING, _I.PATH_UNKNOWN): (_NONE, _S.STARTING),
    (_S.STARTING, _I.ANEW): (_NONE, _S.STARTING),
    (_S.STARTING, _I.TERMINATE): ((_E.DRAIN,), _S.DRAINING),
    (_S.STARTING, _I.DRAINED): (_NONE, _S.STARTING),
    (_S.UNSURE, _I.GATEWAY_READY): (_NONE, _S.UNSURE),
    (_S.UNSURE, _I.PATH_GOOD): ((_E.FREE, _E.CONFIRM_READY), _S.READY),
    (_S.UNSURE, _I.PATH_BAD): ((_E.HOLD,), _S.UNSURE),
    (_S.UNSURE, _I.PATH_UNKNOWN): ((_E.HOLD,), _S.UNSURE),
    (_S.UNSURE, _I.ANEW): (_NONE, _S.UNSURE),
    (_S.UNSURE, _I.TERMINATE): ((_E.DRAIN,), _S.DRAINING),
    (_S.UNSURE, _I.DRAINED): (_NONE, _S.UNSURE),
    (_S.READY, _I.GATEWAY_READY): (_NONE, _S.READY),
    (_S.READY, _I.PATH_GOOD): (_NONE, _S.READY),
    (_S.READY, _I.PATH_BAD): ((_E.HOLD,), _S.WITHHELD),
    (_S.READY, _I.PATH_UNKNOWN): ((_E.HOLD,), _S.WITHHELD),
    (_S.READY, _I.ANEW): ((_E.CONFIRM_READY,), _S.READY),
    (_S.READY, _I.TERMINATE): ((_E.DRAIN,), _S.DRAINING),
    (_S.READY, _I.DRAINED): (_NONE, _S.READY),
    (_S.WITHHELD, _I.GATEWAY_READY): (_NONE, _S.WITHHELD),
    (_S.WITHHELD, _I.PATH_GOOD): ((_E.FREE,), _S.READY),
    (_S.WITHHELD, _I.PATH_BAD): (_NONE, _S.WITHHELD),
    (_S.WITHHELD, _I.PATH_UNKNOWN): (_NONE, _S.WITHHELD),
    (_S.WITHHELD, _I.ANEW): (_NONE, _S.UNSURE),
    (_S.WITHHELD, _I.TERMINATE): ((_E.DRAIN,), _S.DRAINING),
    (_S.WITHHELD, _I.DRAINED): (_NONE, _S.WITHHELD),
    (_S.DRAINING, _I.GATEWAY_READY): (_NONE, _S.DRAINING),
    (_S.DRAINING, _I.PATH_GOOD): ((_E.FREE,), _S.DRAINING),
    (_S.DRAINING, _I.PATH_BAD): ((_E.HOLD,), _S.DRAINING),
    (_S.DRAINING, _I.PATH_UNKNOWN): ((_E.HOLD,), _S.DRAINING),
    (_S.DRAINING, _I.ANEW): (_NONE, _S.DRAINING),
    (_S.DRAINING, _I.TERMINATE): (_NONE, _S.DRAINING),
    (_S.DRAINING, _I.DRAINED): ((_E.CONFIRM_END,), _S.ENDED),
    (_S.ENDED, _I.GATEWAY_READY): (_NONE, _S.ENDED),
    (_S.ENDED, _I.PATH_GOOD): (_NONE, _S.ENDED),
    (_S.ENDED, _I.PATH_BAD): ((_E.HOLD,), _S.ENDED),
    (_S.ENDED, _I.PATH_UNKNOWN): ((_E.HOLD,), _S.ENDED),
    (_S.ENDED, _I.ANEW): (_NONE, _S.ENDED),
    (_S.ENDED, _I.TERMINATE): (_NONE, _S.ENDED),
    (_S.ENDED, _I.DRAINED): (_NONE, _S.ENDED),
}


class Life:
    """One gateway's standing with its platform."""

    def __init__(self) -> None:
        self.state = State.STARTING

    def feed(self, seen: Input) -> tuple[Effect, ...]:
        """What happened; what is to be done, in this order."""
        effects, self.state = TABLE[self.state, seen]
        return effects
