"""The doors of one cabinet, their sessions, and who may have taken or brought what."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from gateway.cabinet import access
from gateway.cabinet.access import Session, Shown
from gateway.cabinet.config import CabinetTable, DoorTable
from gateway.cabinet.doors import Door, Effect, Input, State
from gateway.cabinet.outcome import Who
from gateway.cabinet.watching import SECOND_US, At

SESSIONS_MAX: Final = 8
"""Remembered of one door, so that what is found missing later finds its session."""
SLACK_US: Final = 2 * SECOND_US
"""A tag may be read a little after the door was shut on the way out, by a clock a little off."""
SETTLE_S: Final = 5.0
"""After the longest absence that counts: then everything that was done in a session is known."""


class Accesses:
    """Doors and sessions of one cabinet."""

    def __init__(self, table: CabinetTable) -> None:
        self.table = table
        self.doors: dict[str, Door] = {door.name: Door() for door in table.doors}
        self.sessions: dict[str, deque[Session]] = {
            door.name: deque(maxlen=SESSIONS_MAX) for door in table.doors
        }
        self.shown = Shown()
        self.latched: set[str] = set()
        """Alarm conditions that stand until persons have looked: ``name/door``."""
        self._tables: dict[str, DoorTable] = {door.name: door for door in table.doors}
        names = [place.name for place in table.places]
        self._behind: dict[str, tuple[str, ...]] = {
            place: tuple(
                door.name for door in table.doors if not door.places or place in door.places
            )
            for place in names
        }
        self.settle_us = int((table.reads.absent_s + SETTLE_S) * SECOND_US)
        self._grace_us = int(table.badge_grace_s * SECOND_US)
        self._before_us = int(table.badge_before_s * SECOND_US)
        if table.persons > 1:
            self._before_us = max(self._before_us, int(table.two_person_window_s * SECOND_US))

    # What happens

    def door(self, name: str, given: Input, at: At) -> Session | None:
        """Something was seen of a door; the session that ended by it."""
        door = self.doors[name]
        ended: Session | None = None
        match door.apply(given, at):
            case Effect.BEGIN:
                self._begin(name, at)
            case Effect.BEGIN_UNSEEN:
                self._begin(name, at, unseen=True)
            case Effect.END:
                ended = self._end(name, at)
            case Effect.END_UNSEEN:
                ended = self._end(name, at, unseen=True)
            case Effect.ANOTHER:
                ended = self._end(name, at, unseen=True)
                self._begin(name, at)
            case Effect.PASSED:
                self._begin(name, at, unseen=True)
                ended = self._end(name, at)
            case Effect.NOTHING | Effect.LEFT:
                pass
        return ended

    def badge(self, person: str, roles: Iterable[str], at: At) -> list[Session]:
        """A badge was read; the sessions that it changed."""
        may = not self.table.roles or bool(set(roles) & set(self.table.roles))
        self.shown.show(person, at, may=may)
        changed = []
        for session in self.current():
            if at.t >= session.opened.t - self._before_us:
                known = session.badges
                self._judged(session, session.badge(person, at, may=may))
                if session.badges != known:
                    changed.append(session)
        return changed

    def tick(self, at: At) -> list[Session]:
        """Time has passed; the sessions that it changed."""
        changed = []
        for name, door in self.doors.items():
            session = self.current_of(name)
            if session is None:
                continue
            before = session.state
            self._judged(session, session.tick(at.t))
            if session.state is not before:
                changed.append(session)
            open_us = at.t - session.opened.t
            if open_us > self._tables[name].left_open_s * SECOND_US:
                late = door.apply(Input.LATE, at) is Effect.LEFT
                if late and session not in changed:
                    changed.append(session)
        return changed

    def _begin(self, name: str, at: At, *, unseen: bool = False) -> None:
        before = self.current_of(name)
        if before is not None:
            self._end(name, at, unseen=True)
        session_id = f"{self.table.name}-{name}-{at.us}"
        session = Session(session_id, name, at, self.table, unseen=unseen)
        self.sessions[name].append(session)
        for person, when, may in self.shown.between(at.t - self._before_us, at.t + SLACK_US):
            self._judged(session, session.badge(person, when, may=may))
        if session.authorised and self.table.kind != "controlled":
            self.latched.discard(forced(name))

    def _end(self, name: str, at: At, *, unseen: bool = False) -> Session | None:
        session = self.current_of(name)
        if session is not None:
            self._judged(session, session.shut(at, unseen=unseen))
        return session

    def _judged(self, session: Session, effect: access.Effect) -> None:
        if effect is access.Effect.ALARM_FORCED:
            self.latched.add(forced(session.door))
        elif effect is access.Effect.ALARM_ALONE:
            self.latched.add(alone(session.door))

    # What is asked

    def current_of(self, name: str) -> Session | None:
        """The session of a door that is open."""
        sessions = self.sessions[name]
        return sessions[-1] if sessions and sessions[-1].closed is None else None

    def current(self) -> Iterator[Session]:
        """The sessions of all doors that are open."""
        for name in self.doors:
            session = self.current_of(name)
            if session is not None:
                yield session

    def untold(self) -> Iterator[Session]:
        """Sessions whose record is not made yet, the open ones too."""
        for sessions in self.sessions.values():
            yield from (session for session in sessions if not session.told)

    def doors_of(self, place: str) -> list[Door]:
        """The doors that lead to a place."""
        return [self.doors[name] for name in self._behind[place]]

    def left_open(self) -> Iterator[str]:
        """Doors that are open for longer than they may be."""
        return (name for name, door in self.doors.items() if door.state is State.LEFT_OPEN)

    def came(self, place: str, first: At) -> tuple[Who, Session | None]:
        """Who brought what was first read at ``first``: the newest session that fits."""
        fitting = [
            session
            for session in self._of(place)
            if session.opened.t <= first.t + SLACK_US
            and (session.closed is None or session.closed.t + self.settle_us >= first.t)
        ]
        if fitting:
            newest = max(fitting, key=lambda each: each.opened.t)
            return Who(newest.session_id, newest.badges), newest
        return self._by_badge(first), None

    def left(self, place: str, last: At) -> tuple[Who, Session | None]:
        """Who took what was last read at ``last``: the first session since."""
        fitting = [
            session
            for session in self._of(place)
            if session.closed is None or session.closed.t >= last.t - SLACK_US
        ]
        if fitting:
            first = min(fitting, key=lambda each: each.opened.t)
            return Who(first.session_id, first.badges), first
        return self._by_badge(last), None

    def _by_badge(self, at: At) -> Who:
        """Without doors, whoever stood there."""
        if self.doors:
            return Who()
        shown = self.shown.between(at.t - self._before_us, at.t + self._grace_us)
        return Who("", tuple(person for person, _, may in shown if may))

    def _of(self, place: str) -> Iterator[Session]:
        for name in self._behind[place]:
            yield from self.sessions[name]


def forced(door: str) -> str:
    """The condition of a door that was opened without a badge."""
    return f"cabinet_door_forced/{door}"


def alone(door: str) -> str:
    """The condition of a door that one person opened where two are needed."""
    return f"cabinet_one_person/{door}"
