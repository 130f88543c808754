"""The life of one door, as a table.

A door is seen by a contact at a reader's input. What the reader saw change is OPENED or CLOSED;
what it answered when it was asked, after it had connected, is FOUND: the change itself nobody saw.
While the reader is not heard (BLIND) the door may be opened and closed any number of times.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from gateway.cabinet.watching import At


class State(Enum):
    SHUT = auto()
    OPEN = auto()
    LEFT_OPEN = auto()
    BLIND_SHUT = auto()
    """It was shut when it was last seen, or was never seen."""
    BLIND_OPEN = auto()


class Input(Enum):
    OPENED = auto()
    CLOSED = auto()
    FOUND_OPEN = auto()
    FOUND_SHUT = auto()
    BLIND = auto()
    HELD = auto()
    """Its reader is heard again, went on watching meanwhile, and will tell what it saw."""
    LATE = auto()
    """It is open for longer than it may be."""


class Effect(Enum):
    NOTHING = auto()
    BEGIN = auto()
    """Somebody opened it: a session begins."""
    BEGIN_UNSEEN = auto()
    """A session begins, and who opened it, and when, was not seen."""
    END = auto()
    END_UNSEEN = auto()
    """The session ended at a time that was not seen."""
    ANOTHER = auto()
    """END_UNSEEN, then BEGIN: it must have been shut in between."""
    PASSED = auto()
    """BEGIN_UNSEEN, then END: its closing was seen, its opening not."""
    LEFT = auto()
    """Tell that it is left open."""


_S, _O, _L = State.SHUT, State.OPEN, State.LEFT_OPEN
_BS, _BO = State.BLIND_SHUT, State.BLIND_OPEN
_N = Effect.NOTHING

TABLE: Final[dict[tuple[State, Input], tuple[Effect, State]]] = {
    (_S, Input.OPENED): (Effect.BEGIN, _O),
    (_S, Input.CLOSED): (_N, _S),
    (_S, Input.FOUND_OPEN): (Effect.BEGIN_UNSEEN, _O),
    (_S, Input.FOUND_SHUT): (_N, _S),
    (_S, Input.BLIND): (_N, _BS),
    (_S, Input.HELD): (_N, _S),
    (_S, Input.LATE): (_N, _S),
    (_O, Input.OPENED): (_N, _O),
    (_O, Input.CLOSED): (Effect.END, _S),
    (_O, Input.FOUND_OPEN): (_N, _O),
    (_O, Input.FOUND_SHUT): (Effect.END_UNSEEN, _S),
    (_O, Input.BLIND): (_N, _BO),
    (_O, Input.HELD): (_N, _O),
    (_O, Input.LATE): (Effect.LEFT, _L),
    (_L, Input.OPENED): (_N, _L),
    (_L, Input.CLOSED): (Effect.END, _S),
    (_L, Input.FOUND_OPEN): (_N, _L),
    (_L, Input.FOUND_SHUT): (Effect.END_UNSEEN, _S),
    (_L, Input.BLIND): (_N, _BO),
    (_L, Input.HELD): (_N, _L),
    (_L, Input.LATE): (_N, _L),
    (_BS, Input.OPENED): (Effect.BEGIN, _O),
    (_BS, Input.CLOSED): (Effect.PASSED, _S),
    (_BS, Input.FOUND_OPEN): (Effect.BEGIN_UNSEEN, _O),
    (_BS, Input.FOUND_SHUT): (_N, _S),
    (_BS, Input.BLIND): (_N, _BS),
    (_BS, Input.HELD): (_N, _S),
    (_BS, Input.LATE): (_N, _BS),
    (_BO, Input.OPENED): (Effect.ANOTHER, _O),
    (_BO, Input.CLOSED): (Effect.END, _S),
    (_BO, Input.FOUND_OPEN): (_N, _O),
    (_BO, Input.FOUND_SHUT): (Effect.END_UNSEEN, _S),
    (_BO, Input.BLIND): (_N, _BO),
    (_BO, Input.HELD): (_N, _O),
    (_BO, Input.LATE): (_N, _BO),
}

_OPEN = frozenset((_O, _L, _BO))


class Door:
    """One door: its state, and when it was last open or not seen."""

    __slots__ = ("_blind_t", "_open_t", "_seen_t", "state")

    def __init__(self, state: State = State.BLIND_SHUT) -> None:
        self.state = state
        self._open_t: int | None = None
        """When it was last known to be open, while it is not."""
        self._blind_t: int | None = None
        """When it was last not seen, while it is."""
        self._seen_t: int | None = None
        """Until when it was seen, while it is not."""

    def apply(self, given: Input, at: At) -> Effect:
        """Go on by the table."""
        was_open, was_blind = self.is_open, self.blind
        effect, self.state = TABLE[(self.state, given)]
        if (was_open and not self.is_open) or effect is Effect.PASSED:
            self._open_t = at.t
        if self.blind and not was_blind:
            self._seen_t = at.t
        elif was_blind and not self.blind and given is not Input.HELD:
            self._blind_t = at.t
        return effect

    @property
    def is_open(self) -> bool:
        """As far as is known."""
        return self.state in _OPEN

    @property
    def blind(self) -> bool:
        """Whether it is not seen."""
        return self.state in (_BS, _BO)

    @property
    def closed_t(self) -> int | None:
        """When it was last closed; None: it was never seen open, or is open."""
        return None if self.is_open else self._open_t

    def opened_since(self, t: int) -> bool:
        """Whether it was open at some time from ``t`` on."""
        return self.is_open or (self._open_t is not None and self._open_t >= t)

    def unseen_since(self, t: int) -> bool:
        """Whether there was a time from ``t`` on at which it was not seen."""
        return self.blind or (self._blind_t is not None and self._blind_t >= t)

    def overlooked(self, at: At) -> None:
        """Until ``at`` something may have happened that nobody tells."""
        self._blind_t = max(at.t, self._blind_t or at.t)
