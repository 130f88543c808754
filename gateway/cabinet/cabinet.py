"""One cabinet: what lies in it, what is in doubt, and who opened it.

Places (drawers) have a clock that runs while all their antennas work (:mod:`.watching`), tags and
doors go by their tables (:mod:`.presence`, :mod:`.doors`), sessions by theirs (:mod:`.access`).
This puts them together. What was taken or brought in a session moves the book once the session is
found authorised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from gateway.cabinet.absence import View
from gateway.cabinet.access import Session
from gateway.cabinet.accesses import Accesses
from gateway.cabinet.config import CabinetTable, Spot, spot_of
from gateway.cabinet.counts import Book, Count
from gateway.cabinet.doors import Input as DoorInput
from gateway.cabinet.lists import What
from gateway.cabinet.outcome import ItemTold, Out, Who
from gateway.cabinet.presence import Effect, Input, State, Tag
from gateway.cabinet.watching import SECOND_US, At, WatchClock
from gateway.domain.records import InventoryAction

TENTATIVE_MAX: Final = 1_000
"""Tags that were read and are not believed yet; further ones wait."""

SCAN_US: Final = SECOND_US
"""Between two looks at every tag: some milliseconds for a full cabinet."""

_ACTIONS: Final = {
    Effect.ARRIVE: InventoryAction.ARRIVED,
    Effect.DEPART: InventoryAction.DEPARTED,
    Effect.DOUBT: InventoryAction.DOUBTED,
    Effect.CONFIRM: InventoryAction.CONFIRMED,
}


class Cabinet:
    """The state of one cabinet; every call has the time."""

    def __init__(self, table: CabinetTable, what: Callable[[str], What], out: Out) -> None:
        self.table = table
        self.name = table.name
        self.accesses = Accesses(table)
        self.tags: dict[str, Tag] = {}
        self.book = Book()
        self.unseen_since: At | None = None
        """Since when not all of it is seen; None while it is, and before it ever was."""
        self.awaited_since: At | None = None
        """Since when it is waited for, before it was ever seen."""
        self._ever_seen = False
        self.overfull = False
        self.news = True
        """Something changed that conditions depend on."""
        self._what = what
        self._out = out
        self._clocks = {place.name: WatchClock() for place in table.places}
        self._spots = {place.name: place.spots for place in table.places}
        self._references = {place.reference: place.name for place in table.places}
        self._references.pop("", None)
        self._referenced: dict[str, At] = {}
        self._up: set[str] = set()
        self._heard: dict[str, int] = {}
        """Until when what a reader saw is known; absence counts no further."""
        self._down: set[Spot] = set()
        self._doors_at: dict[str, list[str]] = {}
        for door in table.doors:
            self._doors_at.setdefault(door.spot.reader, []).append(door.name)
        self.badge_spots = frozenset(map(spot_of, table.badge_antennas))
        """Where badges are shown; empty: everywhere."""
        self._tentative = 0
        self._scanned_t = -SCAN_US
        self._pending: dict[str, dict[str, int]] = {}

    # What can be seen

    def reader(self, reader: str, at: At, *, up: bool, told_all: bool = False) -> None:
        """A reader works from ``at`` on, or does not.

        ``told_all``: it went on watching while it was not heard, and tells now what it saw.
        """
        if up:
            self._up.add(reader)
            self.heard(reader, at)
            self._down = {spot for spot in self._down if spot.reader != reader}
        else:
            self._up.discard(reader)
        given = DoorInput.HELD if told_all else None
        for name in self._doors_at.get(reader, ()):
            if not up:
                self.accesses.door(name, DoorInput.BLIND, at)
            elif given is not None:
                self.accesses.door(name, given, at)
        self._look(at)

    def heard(self, reader: str, until: At) -> None:
        """A reader has told what it saw until then."""
        self._heard[reader] = max(until.t, self._heard.get(reader, until.t))

    def antenna(self, spot: Spot, at: At, *, up: bool) -> None:
        """An antenna is connected, or is not."""
        if up:
            self._down.discard(spot)
        else:
            self._down.add(spot)
        self._look(at)

    def overlooked(self, reader: str, until: At) -> None:
        """The reader lost reports at some time before ``until``."""
        for name in self._doors_at.get(reader, ()):
            self.accesses.doors[name].overlooked(until)
        for place, spots in self._spots.items():
            if any(spot.reader == reader for spot in spots):
                self._blind(place)
        self.news = True

    @property
    def seen(self) -> bool:
        """Whether all of it is seen now, the doors too."""
        doors = self._doors_at.keys() <= self._up
        return doors and all(clock.runs for clock in self._clocks.values())

    def _look(self, at: At) -> None:
        """Start and stop the places' clocks by what works."""
        for place, clock in self._clocks.items():
            works = all(
                spot.reader in self._up and spot not in self._down for spot in self._spots[place]
            )
            if place in self._references.values():
                read = self._referenced.get(place)
                limit_us = int(self.table.reads.reference_s * SECOND_US)
                works = works and read is not None and at.t - read.t <= limit_us
            if works == clock.runs:
                continue
            self.news = True
            if works:
                clock.start(at)
            else:
                clock.stop(at)
                self._blind(place)
        self._note(at, seen=self.seen)

    def _note(self, at: At, *, seen: bool) -> None:
        """Keep since when not all of it is seen, and tell when it is again."""
        if seen:
            self.awaited_since, self._ever_seen = None, True
            if self.unseen_since is not None:
                self._out.unseen(self.name, self.unseen_since, at)
                self.unseen_since = None
                self.news = True
                self._out.changed(self.name, "self", "")
        elif self.unseen_since is None:
            if self._ever_seen:
                self.unseen_since = at
                self._out.changed(self.name, "self", "")
            elif self.awaited_since is None:
                self.awaited_since = at

    def _blind(self, place: str) -> None:
        for tag in [tag for tag in self.tags.values() if tag.place == place]:
            self._apply(tag, Input.BLIND, tag.last)

    # What is read

    def is_badge_spot(self, spot: Spot) -> bool:
        """Whether badges count that are read there."""
        return not self.badge_spots or spot in self.badge_spots

    def badge(self, person: str, roles: Iterable[str], at: At) -> None:
        """A badge was read."""
        for session in self.accesses.badge(person, roles, at):
            self._session_changed(session)

    def read(self, place: str, epc: str, at: At, count: int, rssi: float | None) -> None:
        """A tag was read, ``count`` times, last at ``at``; it may be told late, or again."""
        if epc in self._references:
            if self._references[epc] == place:
                self._referenced[place] = at
                self._look(at)
            return
        tag = self.tags.get(epc)
        if tag is None:
            tag = self._new(epc, place, at)
            if tag is None:
                return
        given = tag.read(place, at, count, rssi, self.table.reads)
        tag.watched = max(tag.watched, self._clocks[tag.place].at(tag.last.t))
        if given is Input.STABLE and tag.state is State.TENTATIVE:
            came_from = self._out.elsewhere(self.name, epc, tag.first.t)
            if came_from is None:
                tag.count = 0
                return
            self._arrive(tag, came_from)
            return
        self._apply(tag, given, at)
        before = tag.place
        if tag.state is State.PRESENT and tag.moved(self.table.reads):
            tag.watched = self._clocks[tag.place].at(tag.last.t)
            tag.since_us = at.us
            who, _ = self.accesses.came(tag.place, at)
            self._tell(InventoryAction.MOVED, tag, at, who, from_place=before)

    def _new(self, epc: str, place: str, at: At) -> Tag | None:
        if self._tentative >= TENTATIVE_MAX or len(self.tags) >= self.table.items_max:
            self.overfull = self.news = True
            return None
        self._tentative += 1
        tag = self.tags[epc] = Tag(epc, place, at)
        return tag

    def _arrive(self, tag: Tag, came_from: str) -> None:
        who, session = self.accesses.came(tag.place, tag.first)
        tag.apply(Input.STABLE)
        self._tentative -= 1
        tag.since_us = tag.first.us
        tag.session = who.session
        action = InventoryAction.MOVED if came_from else InventoryAction.ARRIVED
        self._tell(action, tag, tag.first, who, from_place=came_from)
        self._booked(session, self._what(tag.epc).item_class, 1)

    def adopt(self, tag: Tag) -> None:
        """Take over a tag that was stored.

        Raises:
            KeyError: its place is configured no more.
        """
        if tag.place not in self._clocks:
            raise KeyError(tag.place)
        self.tags[tag.epc] = tag

    def released(self, epc: str) -> str | None:
        """Another cabinet has it now: where it lay; None if it lay nowhere."""
        tag = self.tags.get(epc)
        if tag is None or tag.state is State.TENTATIVE:
            return None
        del self.tags[epc]
        _, session = self.accesses.left(tag.place, tag.last)
        if tag.state is not State.UNACCOUNTED:
            self._booked(session, self._what(epc).item_class, -1)
        self._out.changed(self.name, "tag", epc)
        self.news = True
        return f"{self.name}/{tag.place}"

    # What time brings

    def tick(self, at: At) -> None:
        """To be called every 250 ms to 1 s."""
        for session in self.accesses.tick(at):
            self._session_changed(session)
        if self._references or not (self._ever_seen or self.awaited_since):
            self._look(at)
        if at.t - self._scanned_t >= SCAN_US:
            self._scanned_t = at.t
            self._scan(at)
        for session in tuple(self.accesses.untold()):
            self._settle(session, at)

    def door(self, name: str, given: DoorInput, at: At) -> None:
        """Something was seen of a door."""
        before = self.accesses.current_of(name)
        ended = self.accesses.door(name, given, at)
        for session in (before, ended, self.accesses.current_of(name)):
            if session is not None:
                self._session_changed(session)

    def _scan(self, at: At) -> None:
        """Look for what is absent."""
        views = {place: self._view(place, at) for place in self._clocks}
        stale_us = int(self.table.reads.within_s * SECOND_US)
        gone: list[tuple[Tag, Input]] = []
        for tag in self.tags.values():
            if tag.state is State.TENTATIVE:
                if at.t - tag.last.t > stale_us:
                    gone.append((tag, Input.STALE))
            elif tag.state is not State.UNACCOUNTED:
                given = views[tag.place].judge(tag)
                if given is not None:
                    gone.append((tag, given))
        for tag, given in gone:
            self._apply(tag, given, tag.last)

    def _view(self, place: str, at: At) -> View:
        """How a place looks, as of its readers' last words: an outage may have begun then."""
        heard = (self._heard.get(spot.reader, 0) for spot in self._spots[place])
        t = min(at.t, *heard)
        return View.of(self.table.reads, self._clocks[place], self.accesses.doors_of(place), t)

    def _apply(self, tag: Tag, given: Input, at: At, reason: str = "") -> None:
        was = tag.state
        effect = tag.apply(given)
        if tag.state is not was:
            self.news = True
            if was is not State.TENTATIVE:
                self._out.changed(self.name, "tag", tag.epc)
        if effect is Effect.NOTHING:
            return
        if tag.state is State.GONE:
            del self.tags[tag.epc]
            self._tentative -= was is State.TENTATIVE
        if effect is Effect.FORGET:
            return
        who, session = self.accesses.left(tag.place, tag.last)
        if effect is not Effect.DEPART or reason:
            who = Who()  # nobody is known to have done it
        if effect is Effect.DOUBT:
            reason = given.name.lower() if was is State.PRESENT else "outage"
        self._tell(_ACTIONS[effect], tag, at, who, reason=reason)
        if effect is Effect.DEPART and not reason:
            self._booked(session, self._what(tag.epc).item_class, -1)

    # Counting

    def counts(self, counted: Mapping[str, int] | None = None) -> list[Count]:
        """Every class: expected, found, in doubt, counted by hand."""
        found: list[str] = []
        doubted: list[str] = []
        for tag in self.tags.values():
            if tag.state is not State.TENTATIVE:
                (found if tag.state is State.PRESENT else doubted).append(
                    self._what(tag.epc).item_class
                )
        return self.book.compare(found, doubted, counted)

    @property
    def settled(self) -> bool:
        """Whether what lies there is known as well as it can be: counts may be judged."""
        return (
            self.seen
            and next(self.accesses.untold(), None) is None
            and not any(tag.state is State.DOUBTED for tag in self.tags.values())
        )

    def reconcile(self, counted: Mapping[str, int], at: At) -> list[Count]:
        """Persons have looked: what is in doubt is not there, and the book begins anew.

        Returns what was expected, found and counted before that.
        """
        counts = self.counts(counted)
        for tag in [tag for tag in self.tags.values() if tag.state is State.UNACCOUNTED]:
            self._apply(tag, Input.WRITTEN_OFF, at, reason="reconciled")
        now = {count.item_class: count.found for count in self.counts()}
        self.book.open(now | dict(counted))
        self.accesses.latched.clear()
        self.overfull = False
        self.news = True
        self._out.changed(self.name, "book", "")
        self._out.changed(self.name, "self", "")
        return counts

    def _booked(self, session: Session | None, item_class: str, n: int) -> None:
        """Move the book by what was done in a session, if who did it may."""
        if not self.book.kept:
            return
        if session is not None and not session.authorised:
            if session.closed is None:
                waiting = self._pending.setdefault(session.session_id, {})
                waiting[item_class] = waiting.get(item_class, 0) + n
            return
        if session is None and self.table.persons:
            return
        self.book.add(item_class, n)
        self._out.changed(self.name, "book", "")

    def _session_changed(self, session: Session) -> None:
        if session.authorised or session.closed is not None:
            for item_class, n in self._pending.pop(session.session_id, {}).items():
                self._booked(session, item_class, n)
        self.news = True
        self._out.changed(self.name, "door", session.door)
        self._out.changed(self.name, "self", "")

    def _settle(self, session: Session, at: At) -> None:
        """Tell of a session that is over, once what it changed is known."""
        if session.closed is None or at.t - session.closed.t < self.accesses.settle_us:
            return
        session.told = True
        self.news = True
        self._out.access(self.name, session, self.counts(), at)
        self._out.changed(self.name, "door", session.door)

    def _tell(
        self,
        action: InventoryAction,
        tag: Tag,
        at: At,
        who: Who,
        *,
        from_place: str = "",
        reason: str = "",
    ) -> None:
        self.news = True
        self._out.changed(self.name, "tag", tag.epc)
        told = ItemTold(
            action, tag.epc, self._what(tag.epc), tag.place, from_place, at, who, reason
        )
        self._out.item(self.name, told)
