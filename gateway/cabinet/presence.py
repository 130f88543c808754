"""The life of one tag in one cabinet, as a table.

Rules:

1. One read proves nothing of a tag that is not there yet (somebody may carry it past): it is
   TENTATIVE until enough reads follow each other closely, then it has arrived.
2. A missed read is no removal. A tag departs when it was absent for long enough while its place was
   seen, and a door to it was opened since it was last read.
3. An outage makes everything that lay there DOUBTED, and nothing departs by it. One read takes the
   doubt away; without one the tag is UNACCOUNTED: a doubt that people are told of, and that ends
   when it is read again or when somebody has looked (WRITTEN_OFF).
4. So is a tag that is absent for long though no door was opened, or though nobody knows whether one
   was.
5. A tag that two antennas read is where it is read stronger by a margin; see :meth:`Tag.read`.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from gateway.cabinet.config import ReadsTable
from gateway.cabinet.watching import SECOND_US, At

FOREVER_US: Final = 1 << 60
SAME_US: Final = 1_000
"""Instants that differ by less are one: the clocks are read one after the other."""
RSSI_WEIGHT: Final = 0.3
"""Of the newest read in the smoothed strength."""


class State(Enum):
    TENTATIVE = auto()
    PRESENT = auto()
    DOUBTED = auto()
    UNACCOUNTED = auto()
    GONE = auto()


class Input(Enum):
    SEEN = auto()
    """It was read."""
    STABLE = auto()
    """It was read, and that often enough."""
    STALE = auto()
    """The reads did not follow each other closely."""
    ABSENT = auto()
    """Absent for long enough, and a door was opened since it was last read."""
    ABSENT_SHUT = auto()
    """Absent for very long, and no door was opened."""
    ABSENT_UNSURE = auto()
    """Absent for very long, and whether a door was opened is not known."""
    BLIND = auto()
    """Its place is not seen any more."""
    WRITTEN_OFF = auto()
    """Somebody has looked, and it is not there."""


class Effect(Enum):
    NOTHING = auto()
    ARRIVE = auto()
    DEPART = auto()
    DOUBT = auto()
    """Tell that it is unaccounted for."""
    CONFIRM = auto()
    """Tell that it is there after all."""
    FORGET = auto()


_N, _T, _P = Effect.NOTHING, State.TENTATIVE, State.PRESENT
_D, _U, _G = State.DOUBTED, State.UNACCOUNTED, State.GONE

TABLE: Final[dict[tuple[State, Input], tuple[Effect, State]]] = {
    (_T, Input.SEEN): (_N, _T),
    (_T, Input.STABLE): (Effect.ARRIVE, _P),
    (_T, Input.STALE): (Effect.FORGET, _G),
    (_T, Input.ABSENT): (Effect.FORGET, _G),
    (_T, Input.ABSENT_SHUT): (Effect.FORGET, _G),
    (_T, Input.ABSENT_UNSURE): (Effect.FORGET, _G),
    (_T, Input.BLIND): (Effect.FORGET, _G),
    (_T, Input.WRITTEN_OFF): (Effect.FORGET, _G),
    (_P, Input.SEEN): (_N, _P),
    (_P, Input.STABLE): (_N, _P),
    (_P, Input.STALE): (_N, _P),
    (_P, Input.ABSENT): (Effect.DEPART, _G),
    (_P, Input.ABSENT_SHUT): (Effect.DOUBT, _U),
    (_P, Input.ABSENT_UNSURE): (Effect.DOUBT, _U),
    (_P, Input.BLIND): (_N, _D),
    (_P, Input.WRITTEN_OFF): (_N, _P),  # it is read: who wrote it off has not seen it
    (_D, Input.SEEN): (_N, _P),
    (_D, Input.STABLE): (_N, _P),
    (_D, Input.STALE): (_N, _D),
    (_D, Input.ABSENT): (Effect.DOUBT, _U),
    (_D, Input.ABSENT_SHUT): (Effect.DOUBT, _U),
    (_D, Input.ABSENT_UNSURE): (Effect.DOUBT, _U),
    (_D, Input.BLIND): (_N, _D),
    (_D, Input.WRITTEN_OFF): (_N, _D),  # it may yet be read
    (_U, Input.SEEN): (Effect.CONFIRM, _P),
    (_U, Input.STABLE): (Effect.CONFIRM, _P),
    (_U, Input.STALE): (_N, _U),
    (_U, Input.ABSENT): (_N, _U),
    (_U, Input.ABSENT_SHUT): (_N, _U),
    (_U, Input.ABSENT_UNSURE): (_N, _U),
    (_U, Input.BLIND): (_N, _U),
    (_U, Input.WRITTEN_OFF): (Effect.DEPART, _G),
    **{(_G, each): (_N, _G) for each in Input},
}


class Tag:
    """One tag in one cabinet."""

    __slots__ = (
        "_here",
        "_other",
        "_other_count",
        "_other_last",
        "_other_rssi",
        "_rssi",
        "count",
        "epc",
        "first",
        "last",
        "place",
        "session",
        "since_us",
        "state",
        "watched",
    )

    def __init__(self, epc: str, place: str, at: At) -> None:
        self.epc = epc
        self.place = place
        self.state = State.TENTATIVE
        self.first = at
        """Of the reads that brought it here."""
        self.last = at
        self.since_us = at.us
        """Since when it is at its place."""
        self.session = ""
        """The door session in which it came."""
        self.count = 0
        self.watched = 0
        """Its place's clock when it was last read."""
        self._here = At(0, -FOREVER_US)
        """When it was last read at its place, in the order of telling."""
        self._rssi: float | None = None
        self._other = ""
        self._other_count = 0
        self._other_last = self._here
        self._other_rssi: float | None = None

    def apply(self, given: Input) -> Effect:
        """Go on by the table."""
        effect, self.state = TABLE[(self.state, given)]
        return effect

    def read(self, place: str, at: At, count: int, rssi: float | None, by: ReadsTable) -> Input:
        """Take a read into account; it changes no state and no place.

        It was read ``count`` times at ``place``, last at ``at``, which may be in the past.
        """
        within = int(by.within_s * SECOND_US)
        before = self._here if place == self.place else self._other_last
        if place in {self.place, self._other} and at.t <= before.t + SAME_US:
            return Input.SEEN  # told again, or out of order: what is newer is known
        if self.state is State.TENTATIVE:
            if self.count and abs(at.t - self.last.t) > within:
                self.first, self.count = at, 0
            self.count += count
        if place == self.place:
            self._here = at
            self._rssi = _smooth(self._rssi, rssi)
            if not self._stronger_elsewhere(by):
                self._other_count = 0
        else:
            self._elsewhere(place, at, count, rssi, within)
        if at.t > self.last.t:
            self.last = at
        if self.state is State.TENTATIVE and self.count >= by.reads:
            return Input.STABLE
        return Input.SEEN

    def _elsewhere(self, place: str, at: At, count: int, rssi: float | None, within: int) -> None:
        if place != self._other:
            busy = self._other_count and at.t - self._other_last.t <= within
            if busy and (rssi is None or rssi <= (self._other_rssi or -1e9)):
                return  # a third antenna that reads it weaker
            self._other, self._other_count, self._other_rssi = place, 0, None
        elif at.t - self._other_last.t > within:
            self._other_count = 0
        self._other_count += count
        self._other_last = at
        self._other_rssi = _smooth(self._other_rssi, rssi)

    def _stronger_elsewhere(self, by: ReadsTable) -> bool:
        if not self._other_count or self._rssi is None or self._other_rssi is None:
            return False
        return self._other_rssi >= self._rssi + by.move_db

    def moved(self, by: ReadsTable) -> str:
        """Where it is now, if that is another place; it is taken to be there from then on."""
        if self._other_count < by.reads:
            return ""
        self.place, self._other, self._here = self._other, "", self._other_last
        self._rssi, self._other_rssi, self._other_count = self._other_rssi, None, 0
        return self.place


def _smooth(mean: float | None, rssi: float | None) -> float | None:
    if rssi is None:
        return mean
    return rssi if mean is None else mean + RSSI_WEIGHT * (rssi - mean)
