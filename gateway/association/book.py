"""The book of who was in which bed: events in, associations out.

Rules:

- The events of the horizon are kept, and everything else is derived from them, for the people and
  beds that an event touches. So it makes no difference in which order events arrive, how often,
  or whether the gateway was started between them.
- What an event changes, also of times long past, is told as changes of associations.
- A person who is in no bed any more is forgotten when the horizon has passed over all that was
  said of them. Beyond ``events_max`` those whose last event is oldest are forgotten first.

No I/O, no clock.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from gateway.association.events import OPEN, Bed, Event, Kind
from gateway.association.occupancy import Span, State, spans
from gateway.association.persons import Names, Person, person
from gateway.association.stays import Stretch, stretches

EVENTS_MAX: Final = 50_000
"""About 40 MB with what is derived: a hospital of 1000 beds says some 30,000 in a month."""
_FORGOTTEN_AT_ONCE: Final = 100
"""One of so many goes at a time, so that the oldest need not be looked for at each event."""


class Change(NamedTuple):
    """An association as it is from now on; ``WITHDRAWN``: it never was."""

    span: Span
    before: Span | None


class Added(NamedTuple):
    """What an event did."""

    is_new: bool
    changes: list[Change]
    forgotten: list[str]
    """Keys of events that had to go for it."""


class _Person:
    """Everything that was said of one person, under whatever identifier."""

    __slots__ = ("events", "patients", "stretches", "who")

    def __init__(self) -> None:
        self.patients: set[str] = set()
        self.events: dict[str, Event] = {}
        self.stretches: list[Stretch] = []
        self.who = Person("")

    def derive(self) -> None:
        merges = [each for each in self.events.values() if each.kind is Kind.MERGE]
        self.who = person(self.patients, merges)
        told = self.events.values()
        self.stretches = stretches(told, self.who.patient, Names(merges), self.who.doubt)

    def beds(self) -> set[Bed]:
        """Every bed that depends on it."""
        corrected = {each.bed for each in self.events.values() if each.kind is Kind.CORRECT}
        return corrected | {each.bed for each in self.stretches}

    def last_us(self) -> int:
        """When something was last said of it."""
        return max(max(e.recorded_us, e.occurred_us, e.until_us) for e in self.events.values())

    def is_present(self) -> bool:
        return any(each.to_us >= OPEN for each in self.stretches)


class Book:
    """See the module.

    Args:
        secret: names associations; the same over restarts.
        events_max: kept at most.
    """

    def __init__(self, secret: bytes, events_max: int = EVENTS_MAX) -> None:
        self._secret = secret
        self._events_max = events_max
        self._events: dict[str, _Person | None] = {}
        """Key -> whose it is; None: nobody's, a correction that a bed was empty."""
        self._empty: dict[str, Event] = {}
        """Those corrections."""
        self._people: dict[str, _Person] = {}
        """By every identifier."""
        self._visitors: dict[Bed, dict[int, _Person]] = {}
        """Bed -> the people on whom its times depend, by identity."""
        self._beds: dict[tuple[str, str], list[Span]] = {}

    def __len__(self) -> int:
        return len(self._events)

    # What was

    def at(self, ward: str, bed: str, at_us: int) -> Span | None:
        """The association of a bed at a time; None if nobody is known to have been there."""
        known = self._beds.get((ward, bed))
        if known is None:
            return None
        last = known[-1]
        if at_us < last.from_us:
            place = bisect_right(known, at_us, key=_begin) - 1
            if place < 0:
                return None
            last = known[place]
        return last if at_us < last.to_us else None

    def around(self, ward: str, bed: str, at_us: int) -> tuple[int, int, Span | None]:
        """As :meth:`at`, with the time for which the answer is the same."""
        known = self._beds.get((ward, bed), ())
        place = bisect_right(known, at_us, key=_begin)
        before = known[place - 1] if place else None
        if before is not None and at_us < before.to_us:
            return before.from_us, before.to_us, before
        from_us = before.to_us if before is not None else -OPEN
        return from_us, known[place].from_us if place < len(known) else OPEN, None

    def times(self, bed: Bed) -> list[Span]:
        """All times of a bed, in order."""
        return list(self._beds.get(bed, ()))

    def all(self) -> Iterator[Span]:
        """All times of all beds."""
        for known in self._beds.values():
            yield from known

    def times_of(self, patient: str) -> list[Span]:
        """All times that are somebody's, or may be."""
        found = self._people.get(patient)
        if found is None:
            return []
        who = found.who.patient
        return [
            span for bed in found.beds() for span in self._beds.get(bed, ()) if who in span.claims
        ]

    def patients(self) -> Iterator[str]:
        """Every identifier that something was said of."""
        yield from self._people

    def who(self, patient: str) -> str:
        """The identifier that stands for somebody; the same if nothing is known."""
        found = self._people.get(patient)
        return found.who.patient if found is not None else patient

    def events_of(self, patient: str) -> list[Event]:
        """What was said of somebody."""
        found = self._people.get(patient)
        return [] if found is None else list(found.events.values())

    def get(self, key: str) -> Event | None:
        """An event by its key."""
        if key in self._empty:
            return self._empty[key]
        whose = self._events.get(key)
        return None if whose is None else whose.events[key]

    def knows(self, event: Event) -> bool:
        """Whether it was said before."""
        return event.key in self._events

    # What is said

    def add(self, *events: Event) -> Added:
        """Take events that belong together."""
        new = {key: each for each in events if (key := each.key) not in self._events}
        if not new:
            return Added(False, [], [])
        forgotten = self._make_room(len(new))
        touched: dict[int, _Person] = {}
        beds: set[Bed] = set()
        for key, event in new.items():
            beds |= self._file(key, event, touched)
        for each in touched.values():
            self._derive(each, beds)
        return Added(True, self._renew(beds), forgotten)

    def restore(self, events: Iterable[Event]) -> None:
        """Take over what was committed: nothing of it is news."""
        self.add(*events)

    def forget(self, before_us: int) -> list[str]:
        """Forget people who were last heard of before a time and are in no bed; their events' keys.

        What stands in the book of them is gone, and told to nobody: it has not changed.
        """
        gone = [
            each
            for each in {id(p): p for p in self._people.values()}.values()
            if each.last_us() < before_us and not each.is_present()
        ]
        keys = [key for each in gone for key in self._drop(each)]
        past = [key for key, each in self._empty.items() if each.until_us < before_us]
        return keys + [self._drop_empty(key) for key in past]

    # How it is done

    def _file(self, key: str, event: Event, touched: dict[int, _Person]) -> set[Bed]:
        """Put an event to its person; the beds that depended on them."""
        if not event.patient:
            self._events[key] = None
            self._empty[key] = event
            return {event.bed}
        whose = self._people.get(event.patient) or self._newcomer(event.patient)
        beds = whose.beds()
        if event.kind is Kind.MERGE and event.other:
            other = self._people.get(event.other) or self._newcomer(event.other)
            if other is not whose:
                beds |= other.beds()
                touched.pop(id(other), None)
                self._join(whose, other)
        whose.events[key] = event
        self._events[key] = whose
        touched[id(whose)] = whose
        return beds

    def _newcomer(self, patient: str) -> _Person:
        found = self._people[patient] = _Person()
        found.patients.add(patient)
        return found

    def _join(self, one: _Person, other: _Person) -> None:
        for bed in other.beds():
            self._visitors.get(bed, {}).pop(id(other), None)
        one.patients |= other.patients
        one.events |= other.events
        for patient in other.patients:
            self._people[patient] = one
        for key in other.events:
            self._events[key] = one

    def _derive(self, whose: _Person, beds: set[Bed]) -> None:
        for bed in whose.beds():
            self._visitors.get(bed, {}).pop(id(whose), None)
        whose.derive()
        now = whose.beds()
        for bed in now:
            self._visitors.setdefault(bed, {})[id(whose)] = whose
        beds |= now

    def _renew(self, beds: set[Bed]) -> list[Change]:
        changes: list[Change] = []
        for bed in sorted(beds):
            before = {each.association_id: each for each in self._beds.get(bed, ())}
            now = self._spans(bed)
            if now:
                self._beds[bed] = now
            else:
                self._beds.pop(bed, None)
            for span in now:
                known = before.pop(span.association_id, None)
                if known != span:
                    changes.append(Change(span, known))
            changes += (
                Change(each._replace(state=State.WITHDRAWN, patient=""), each)
                for each in before.values()
            )
        return changes

    def _spans(self, bed: Bed) -> list[Span]:
        visitors = self._visitors.get(bed)
        corrections = [each for each in self._empty.values() if each.bed == bed]
        found: list[Stretch] = []
        if visitors is not None:
            for each in visitors.values():
                found += (stretch for stretch in each.stretches if stretch.bed == bed)
                corrections += (
                    msgspec.structs.replace(event, patient=each.who.patient)
                    for event in each.events.values()
                    if event.kind is Kind.CORRECT
                )
            if not visitors:
                del self._visitors[bed]
        return spans(bed, found, corrections, self._secret)

    def _make_room(self, wanted: int) -> list[str]:
        """Forget people, a few at a time, those who are in no bed first."""
        forgotten: list[str] = []
        while self._events and len(self._events) + wanted > self._events_max:
            people = list({id(each): each for each in self._people.values()}.values())
            absent = [each for each in people if not each.is_present()]
            several = 1 + len(absent or people) // _FORGOTTEN_AT_ONCE
            for each in heapq.nsmallest(several, absent or people, key=_Person.last_us):
                forgotten += self._drop(each)
            if not people:
                forgotten += [self._drop_empty(key) for key in tuple(self._empty)]
        return forgotten

    def _drop_empty(self, key: str) -> str:
        bed = self._empty.pop(key).bed
        del self._events[key]
        self._renew({bed})
        return key

    def _drop(self, whose: _Person) -> list[str]:
        beds = whose.beds()
        for bed in beds:
            self._visitors.get(bed, {}).pop(id(whose), None)
        for patient in whose.patients:
            del self._people[patient]
        for key in whose.events:
            del self._events[key]
        self._renew(beds)
        return list(whose.events)


def _begin(span: Span) -> int:
    return span.from_us


def conflicts(book: Book) -> list[Span]:
    """What nobody can trust, and somebody on site has to resolve."""
    return [each for each in book.all() if each.state is State.QUARANTINED]


def by_id(book: Book, association_id: str) -> Span | None:
    """The association of a name."""
    return next((each for each in book.all() if each.association_id == association_id), None)
