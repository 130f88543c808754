"""One person's events -> where they were, when: a state machine, a row of the table per event.

Rules:

- A person's stays are known by their visits (PV1-19) and the identifier under which they began.
  An event without a visit belongs to the only open stay.
- An event that does not fit to what was before it puts the time in doubt for which that is so: it
  may be that something has not arrived yet. Events that arrive later are put in their place, and
  the doubt is gone.
- An update (A08) moves nobody. It shows where a patient is of whom nothing else is known, because
  the gateway came later; and where it names another bed than is known, both are in doubt.
- What a person on site says is certain: what was said before is no reason to doubt it.
- Nobody is in two beds. Where two stays say so, both are in doubt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Final, NamedTuple

from gateway.association.cancelling import ANCHORS, Doubt, Standing, same_visit, standing
from gateway.association.events import OPEN, Bed, Event, Kind
from gateway.association.persons import Names

ADMITTED_TWICE: Final = "admitted_twice"
PRIOR_DISAGREES: Final = "prior_disagrees"
PLACE_DISAGREES: Final = "place_disagrees"
MOVED_AFTER_DISCHARGE: Final = "moved_after_discharge"
SEVERAL_STAYS: Final = "several_stays"
IN_TWO_BEDS: Final = "patient_in_two_beds"


class Stretch(NamedTuple):
    """A time in one bed: ``from_us`` up to, but not including, ``to_us``."""

    bed: Bed
    from_us: int
    to_us: int
    patient: str
    origin: str
    """The key of the event that began it."""
    doubt: str = ""
    """Why it can't be trusted; empty: it can."""
    certain: bool = False
    """A person on site said so."""

    def within(self, from_us: int, to_us: int) -> Stretch | None:
        """The part of it that lies in a time."""
        from_us, to_us = max(self.from_us, from_us), min(self.to_us, to_us)
        return self._replace(from_us=from_us, to_us=to_us) if from_us < to_us else None

    def without(self, from_us: int, to_us: int) -> list[Stretch]:
        """The parts of it that lie outside a time."""
        parts = (self.within(self.from_us, from_us), self.within(to_us, self.to_us))
        return [part for part in parts if part is not None]


def between_edges(found: Iterable[Stretch]) -> Iterator[tuple[int, int, list[Stretch]]]:
    """From each beginning or end to the next, in order: from when, until when, and what is then."""
    coming = sorted(found, key=lambda each: each.from_us, reverse=True)
    edges = sorted({edge for each in coming for edge in (each.from_us, each.to_us)})
    present: list[Stretch] = []
    for from_us, to_us in pairwise(edges):
        while coming and coming[-1].from_us <= from_us:
            present.append(coming.pop())
        present = [each for each in present if each.to_us > from_us]
        yield from_us, to_us, present


class _Stay:
    """An open stay."""

    __slots__ = ("bed", "certain", "doubt", "first", "origin", "rivals", "seen_only", "since_us")

    def __init__(self, event: Event, *, seen_only: bool = False) -> None:
        self.first = event
        self.seen_only = seen_only
        """Nobody said that it began."""
        self.begin(event)

    def begin(self, event: Event, doubt: str = "") -> None:
        """The patient is elsewhere from now on."""
        self.bed = event.bed
        self.since_us = event.occurred_us
        self.origin = event.key
        self.doubt = doubt
        self.certain = event.kind is Kind.PLACE
        self.rivals: dict[Bed, str] = {}
        """Other beds that were named, and by which event."""


class _Person:
    """Takes the events of one person in order."""

    def __init__(self, patient: str, names: Names, *, admitted: frozenset[str]) -> None:
        self._patient = patient
        self._names = names
        self._admitted = admitted
        self._stays: list[_Stay] = []
        self._discharged: list[Event] = []
        self.stretches: list[Stretch] = []

    def take(self, event: Event) -> None:
        _TABLE[event.kind](self, event)

    def finish(self) -> list[Stretch]:
        for stay in self._stays:
            self._close(stay, OPEN)
        return self.stretches

    # What each event does

    def admit(self, event: Event) -> None:
        stay = self._stay(event, begins=True)
        if stay is None:
            self._stays.append(_Stay(event))
            return
        if stay.bed != event.bed and event.bed:
            twice = bool(stay.bed) and not stay.seen_only
            self._close(stay, event.occurred_us)
            stay.begin(event, ADMITTED_TWICE if twice else "")
        stay.seen_only = False

    def transfer(self, event: Event) -> None:
        stay = self._stay(event)
        if stay is None:
            stay = _Stay(event)
            if self._was_discharged(event):
                stay.doubt = MOVED_AFTER_DISCHARGE
            self._stays.append(stay)
            return
        if event.prior and stay.bed and event.prior != stay.bed and not stay.certain:
            stay.doubt = stay.doubt or PRIOR_DISAGREES
        self._close(stay, event.occurred_us)
        stay.begin(event)

    def discharge(self, event: Event) -> None:
        stay = self._stay(event)
        self._discharged.append(event)
        if stay is not None:
            self._close(stay, event.occurred_us)
            self._stays.remove(stay)

    def update(self, event: Event) -> None:
        if not event.bed:
            return
        stay = self._stay(event)
        if stay is None:
            known = any(same_visit(each, event.visit) for each in self._admitted)
            if not known and not self._was_discharged(event):
                self._stays.append(_Stay(event, seen_only=True))
        elif not stay.bed:
            stay.begin(event)
        elif stay.bed != event.bed:
            self._doubt(stay, event)

    def back_from_transfer(self, event: Event) -> None:
        """Where they were before: if that is not what is known, something is missing."""
        stay = self._stay(event)
        if stay is None:
            if not self._was_discharged(event):
                self._stays.append(_Stay(event))
        elif stay.bed != event.bed:
            self._doubt(stay, event)

    def back_from_discharge(self, event: Event) -> None:
        """Where they are now, which may be elsewhere."""
        stay = self._stay(event)
        if stay is None:
            self._stays.append(_Stay(event))
        elif stay.bed != event.bed:
            self._close(stay, event.occurred_us)
            stay.begin(event)

    def place(self, event: Event) -> None:
        """One stay is there, and no other is anywhere."""
        there = [stay for stay in self._stays if stay.bed == event.bed] or self._stays[-1:]
        for stay in self._stays:
            self._close(stay, event.occurred_us)
        stay = there[0] if there else _Stay(event)
        stay.begin(event)
        stay.seen_only = False
        self._stays = [stay]

    def leave(self, event: Event) -> None:
        for stay in list(self._stays):
            if not event.bed or event.bed == stay.bed or event.bed in stay.rivals:
                self._close(stay, event.occurred_us)
                self._stays.remove(stay)

    # Stays

    def _stay(self, event: Event, *, begins: bool = False) -> _Stay | None:
        """The stay that an event belongs to; if it may be several, all are in doubt."""
        found = [
            each
            for each in self._stays
            if same_visit(each.first.visit, event.visit) and self._names.same(each.first, event)
        ]
        if begins:  # a stay of its own, unless the very same began already
            found = [each for each in found if each.first.patient == event.patient]
        exact = [each for each in found if event.visit and each.first.visit == event.visit]
        found = exact or found
        if not found:
            return None
        if len(found) > 1:
            for each in found:
                each.doubt = each.doubt or SEVERAL_STAYS
        stay = found[-1]
        if event.visit and not stay.first.visit:
            stay.first = event  # now it has a name
        return stay

    def _was_discharged(self, event: Event) -> bool:
        return any(
            same_visit(each.visit, event.visit) and self._names.same(each, event)
            for each in self._discharged
        )

    def _doubt(self, stay: _Stay, event: Event) -> None:
        """From now on it may be either bed."""
        if not stay.doubt:
            self._close(stay, event.occurred_us)
            bed = stay.bed
            stay.begin(event, PLACE_DISAGREES)
            stay.bed = bed
        stay.rivals.setdefault(event.bed, event.key)

    def _close(self, stay: _Stay, at_us: int) -> None:
        if at_us <= stay.since_us:
            return
        patient = self._patient
        if stay.bed:
            self.stretches.append(
                Stretch(
                    stay.bed, stay.since_us, at_us, patient, stay.origin, stay.doubt, stay.certain
                )
            )
        self.stretches += (
            Stretch(bed, stay.since_us, at_us, patient, origin, stay.doubt or PLACE_DISAGREES)
            for bed, origin in stay.rivals.items()
        )


_TABLE: Final[dict[Kind, Callable[[_Person, Event], None]]] = {
    Kind.ADMIT: _Person.admit,
    Kind.TRANSFER: _Person.transfer,
    Kind.DISCHARGE: _Person.discharge,
    Kind.UPDATE: _Person.update,
    Kind.CANCEL_TRANSFER: _Person.back_from_transfer,
    Kind.CANCEL_DISCHARGE: _Person.back_from_discharge,
    Kind.PLACE: _Person.place,
    Kind.LEAVE: _Person.leave,
}
"""Cancellations of transfers and discharges are what is left of them: where the patient is."""


def stretches(
    events: Iterable[Event], patient: str, names: Names, doubt: str = ""
) -> list[Stretch]:
    """Where one person was.

    Args:
        events: all that were said of the person, under whatever identifier.
        patient: the identifier that stands.
        names: who the identifiers were.
        doubt: why nothing of it can be trusted.
    """
    left = standing(events, names)
    said = [each for each in left.events if not _outdated(each, left, names)]
    placed = [each for each in said if each.kind is Kind.PLACE]
    admitted = frozenset(each.visit for each in said if each.kind in (Kind.ADMIT, Kind.TRANSFER))
    person = _Person(patient, names, admitted=admitted)
    for event in said:
        if event.kind in _TABLE:
            person.take(event)
    found = _in_two_beds(person.finish())
    for each in left.doubts:
        found = _doubted(found, _until_placed(each, placed))
    if doubt:
        found = _doubted(found, Doubt(0, OPEN, doubt))
    return found


def _outdated(event: Event, left: Standing, names: Names) -> bool:
    """Whether it only says where the patient is, and more was entered later of what was before."""
    if event.kind not in (Kind.UPDATE, Kind.CANCEL_TRANSFER, Kind.CANCEL_DISCHARGE):
        return False
    return any(
        each.kind in ANCHORS
        and each.occurred_us <= event.occurred_us
        and each.recorded_us > event.recorded_us
        for each in left.events
    ) or any(
        void.occurred_us <= event.occurred_us
        and recorded_us > event.recorded_us
        and same_visit(void.visit, event.visit)
        and names.same(void, event)
        for void, recorded_us in left.voided
    )


def _until_placed(doubt: Doubt, placed: list[Event]) -> Doubt:
    later = (each.occurred_us for each in placed if each.occurred_us >= doubt.from_us)
    return doubt._replace(to_us=min(doubt.to_us, min(later, default=OPEN)))


def _doubted(found: list[Stretch], doubt: Doubt) -> list[Stretch]:
    """The same, with what lies in a time in doubt."""
    result: list[Stretch] = []
    for each in found:
        part = each.within(doubt.from_us, doubt.to_us)
        if part is None or each.doubt or each.certain:
            result.append(each)
            continue
        result += each.without(doubt.from_us, doubt.to_us)
        result.append(part._replace(doubt=doubt.reason))
    return result


def _in_two_beds(found: list[Stretch]) -> list[Stretch]:
    """The same, with times in doubt in which the person was in several beds."""
    several = [
        Doubt(from_us, to_us, IN_TWO_BEDS)
        for from_us, to_us, present in between_edges(found)
        if len({each.bed for each in present}) > 1
    ]
    for doubt in several:
        found = _doubted(found, doubt)
    return found
