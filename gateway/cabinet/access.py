"""Who opened a door, and whether that was right: the life of a door session, as a table.

A session begins when a door is opened and ends when it is shut. As many different persons as the
cabinet asks for (none, one, or two) have to show badges of its roles: shortly before or after the
opening, and the second one within the window after the first. Whoever comes too late is noted, and
makes nothing good.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from gateway.cabinet.config import CabinetTable
from gateway.cabinet.watching import SECOND_US, At
from gateway.domain.records import AccessVerdict

PERSONS_MAX: Final = 8
"""Remembered of one session."""
BADGES_MAX: Final = 32
"""Of one cabinet: persons whose badges were read lately."""


class State(Enum):
    NOBODY = auto()
    SOME = auto()
    """Not enough persons yet."""
    GRANTED = auto()
    FORCED = auto()
    ALONE = auto()
    UNSEEN = auto()


class Input(Enum):
    MORE = auto()
    """Another person who may, and still not enough."""
    ENOUGH = auto()
    """The last one that was needed."""
    KNOWN = auto()
    """Somebody who was noted already, or whose role may not."""
    ELAPSED = auto()
    """The time for badges is over."""
    SHUT = auto()


class Effect(Enum):
    NOTHING = auto()
    ALARM_FORCED = auto()
    ALARM_ALONE = auto()


_N = Effect.NOTHING
_NO, _SO, _GR = State.NOBODY, State.SOME, State.GRANTED
_FO, _AL, _UN = State.FORCED, State.ALONE, State.UNSEEN

TABLE: Final[dict[tuple[State, Input], tuple[Effect, State]]] = {
    (_NO, Input.MORE): (_N, _SO),
    (_NO, Input.ENOUGH): (_N, _GR),
    (_NO, Input.KNOWN): (_N, _NO),
    (_NO, Input.ELAPSED): (Effect.ALARM_FORCED, _FO),
    (_NO, Input.SHUT): (Effect.ALARM_FORCED, _FO),
    (_SO, Input.MORE): (_N, _SO),
    (_SO, Input.ENOUGH): (_N, _GR),
    (_SO, Input.KNOWN): (_N, _SO),
    (_SO, Input.ELAPSED): (Effect.ALARM_ALONE, _AL),
    (_SO, Input.SHUT): (Effect.ALARM_ALONE, _AL),
    **{(state, each): (_N, state) for state in (_GR, _FO, _AL, _UN) for each in Input},
}

VERDICTS: Final = {
    _NO: AccessVerdict.PENDING,
    _SO: AccessVerdict.PENDING,
    _GR: AccessVerdict.AUTHORISED,
    _FO: AccessVerdict.NO_BADGE,
    _AL: AccessVerdict.ONE_PERSON,
    _UN: AccessVerdict.UNSEEN,
}
_STATES: Final = {verdict: state for state, verdict in VERDICTS.items() if state is not _SO}


class Shown:
    """Badges that were read lately at one cabinet: who, with which roles, when last."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[At, bool]] = {}

    def show(self, person: str, at: At, *, may: bool) -> None:
        """A badge was read."""
        before = self._last.pop(person, None)
        if before is not None and before[0].t > at.t:
            at = before[0]
        self._last[person] = at, may
        if len(self._last) > BADGES_MAX:
            del self._last[next(iter(self._last))]

    def between(self, first_t: int, last_t: int) -> list[tuple[str, At, bool]]:
        """(person, when last, whether the role may), in the order of showing."""
        found = [(who, at, may) for who, (at, may) in self._last.items()]
        found = [each for each in found if first_t <= each[1].t <= last_t]
        return sorted(found, key=lambda each: each[1].t)


class Session:
    """One opening of one door."""

    __slots__ = (
        "_deadline_t",
        "_needed",
        "closed",
        "door",
        "opened",
        "others",
        "persons",
        "session_id",
        "state",
        "told",
        "unseen_end",
        "window_us",
    )

    def __init__(
        self, session_id: str, door: str, opened: At, by: CabinetTable, *, unseen: bool = False
    ) -> None:
        self.session_id = session_id
        self.door = door
        self.opened = opened
        self.closed: At | None = None
        self.persons: list[str] = []
        """Who may, in the order of their badges."""
        self.others: list[str] = []
        """Whose role may not."""
        self.told = False
        """Its record was made."""
        self.unseen_end = False
        self._needed = by.persons
        self.window_us = int(by.two_person_window_s * SECOND_US)
        self._deadline_t = opened.t + int(by.badge_grace_s * SECOND_US)
        self.state = State.NOBODY
        if unseen:
            self.state = State.UNSEEN
        elif not self._needed:
            self.state = State.GRANTED

    @property
    def verdict(self) -> AccessVerdict:
        return VERDICTS[self.state]

    @property
    def authorised(self) -> bool:
        return self.state is State.GRANTED

    @property
    def badges(self) -> tuple[str, ...]:
        """Everybody who was noted, whoever may first."""
        return (*self.persons, *self.others)

    def badge(self, person: str, at: At, *, may: bool) -> Effect:
        """A badge was shown."""
        if person in self.persons or person in self.others or not may:
            if not may and person not in self.others and len(self.others) < PERSONS_MAX:
                self.others.append(person)
            return self._apply(Input.KNOWN)
        late = self._elapse(at.t)
        if len(self.persons) < PERSONS_MAX:
            self.persons.append(person)
        if len(self.persons) == 1:
            self._deadline_t = at.t + self.window_us
        effect = self._apply(Input.ENOUGH if len(self.persons) >= self._needed else Input.MORE)
        return late if late is not Effect.NOTHING else effect

    def tick(self, t: int) -> Effect:
        """Time has passed."""
        return self._elapse(t) if self.closed is None else Effect.NOTHING

    def shut(self, at: At, *, unseen: bool = False) -> Effect:
        """The door was shut."""
        self.closed = at
        self.unseen_end = unseen
        late = self._elapse(at.t)
        effect = self._apply(Input.SHUT)
        return late if late is not Effect.NOTHING else effect

    def resume(
        self, verdict: AccessVerdict, persons: tuple[str, ...], others: tuple[str, ...]
    ) -> None:
        """Take over what was stored of it."""
        self.state = _STATES[verdict]
        self.persons, self.others = list(persons), list(others)
        if self.state is State.NOBODY and persons:
            self.state = State.SOME

    def _elapse(self, t: int) -> Effect:
        return self._apply(Input.ELAPSED) if t > self._deadline_t else Effect.NOTHING

    def _apply(self, given: Input) -> Effect:
        effect, self.state = TABLE[(self.state, given)]
        return effect
