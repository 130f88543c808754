"""A small hospital that knows the truth, and says what happens as an ADT system would.

It keeps, for each visit, where the patient was, and undoes and renames by doing so: nothing of it
is shared with the code that it judges. Time goes on by whole seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.association.events import NOWHERE, OPEN, Bed, Event, Kind

SECOND = 1_000_000
BEGIN_US = 1_790_000_000 * SECOND


@dataclass
class Visit:
    patient: str
    number: str
    moves: list[tuple[int, Bed]] = field(default_factory=list)
    """When and where to; the first is the admission."""
    ended_us: int = 0
    transfers: int = 0
    """How many of the last moves were transfers."""

    @property
    def bed(self) -> Bed:
        return self.moves[-1][1]


class Hospital:
    """Its operations take numbers, and do what can be done then."""

    def __init__(self, *, visits: bool, occurred: bool, beds: int = 4, people: int = 5) -> None:
        self.names_visits = visits
        self.says_occurred = occurred
        self.beds = [Bed("icu" if n % 2 else "ward", str(n)) for n in range(beds)]
        self.people = [f"p{n}" for n in range(people)]
        self.visits: list[Visit] = []
        self.said: list[Event] = []
        self.now_us = BEGIN_US
        self._numbers = 0
        self._last: dict[str, int] = {}

    # What is asked

    def do(self, operation: int, who: int, where: int, late_s: int) -> None:
        """One thing happens, and is entered up to ``late_s`` later."""
        self.now_us += (late_s + 1) * SECOND
        patient = self.people[who % len(self.people)]
        bed = self.beds[where % len(self.beds)]
        occurred_us = self.now_us - late_s * SECOND
        occurred_us = max(occurred_us, self._last.get(patient, 0) + SECOND)
        occurred_us = min(occurred_us, self.now_us)
        steps = (
            self._admit,
            self._transfer,
            self._discharge,
            self._update,
            self._cancel_admit,
            self._cancel_transfer,
            self._cancel_discharge,
            self._merge,
        )
        steps[operation % len(steps)](patient, bed, occurred_us)

    def _admit(self, patient: str, bed: Bed, at_us: int) -> None:
        if self._current(patient) is None:
            self._numbers += 1
            number = f"v{self._numbers}" if self.names_visits else ""
            self.visits.append(Visit(patient, number, [(at_us, bed)]))
            self._say(Kind.ADMIT, self.visits[-1], at_us, bed=bed)

    def _transfer(self, patient: str, bed: Bed, at_us: int) -> None:
        visit = self._current(patient)
        if visit is not None and visit.bed != bed:
            prior = visit.bed
            visit.moves.append((at_us, bed))
            visit.transfers += 1
            self._say(Kind.TRANSFER, visit, at_us, bed=bed, prior=prior)

    def _discharge(self, patient: str, _: Bed, at_us: int) -> None:
        visit = self._current(patient)
        if visit is not None:
            visit.ended_us = at_us
            self._say(Kind.DISCHARGE, visit, at_us, bed=visit.bed)

    def _update(self, patient: str, _: Bed, at_us: int) -> None:
        visit = self._last_visit(patient)
        if visit is not None:
            self._say(Kind.UPDATE, visit, at_us, bed=visit.bed)

    def _cancel_admit(self, patient: str, _: Bed, __: int) -> None:
        visit = self._current(patient)
        if visit is not None:
            self.visits.remove(visit)
            self._say(Kind.CANCEL_ADMIT, visit, self._meant(visit.moves[0][0]), bed=visit.bed)

    def _cancel_transfer(self, patient: str, _: Bed, __: int) -> None:
        visit = self._current(patient)
        if visit is not None and visit.transfers:
            visit.transfers -= 1
            at_us, _ = visit.moves.pop()
            self._say(Kind.CANCEL_TRANSFER, visit, self._meant(at_us), bed=visit.bed)

    def _cancel_discharge(self, patient: str, bed: Bed, _: int) -> None:
        visit = self._last_visit(patient)
        if visit is not None and visit.ended_us:
            ended_us, visit.ended_us = visit.ended_us, 0
            if bed != visit.bed:
                visit.moves.append((self.now_us, bed))
                visit.transfers = 0
            self._say(Kind.CANCEL_DISCHARGE, visit, self._meant(ended_us), bed=visit.bed)
            self._last[patient] = self.now_us

    def _merge(self, patient: str, bed: Bed, at_us: int) -> None:
        """Into the next person; never two who are in the house, unless visits tell them apart."""
        others = [each for each in self.people if each != patient]
        if len(others) < 2:
            return
        into = others[self.beds.index(bed) % len(others)]
        both = self._current(patient) is not None and self._current(into) is not None
        if both and not self.names_visits:
            return
        for visit in self.visits:
            if visit.patient == patient:
                visit.patient = into
        self.people.remove(patient)
        self.said.append(Event(Kind.MERGE, into, at_us, self.now_us, other=patient))
        self._last[into] = max(self._last.get(into, 0), self._last.get(patient, 0), at_us)

    # What is true

    def truth(self) -> dict[Bed, list[tuple[int, int, str]]]:
        """Bed -> (from, to, patient); times may overlap."""
        found: dict[Bed, list[tuple[int, int, str]]] = {}
        for visit in self.visits:
            times = [*(at_us for at_us, _ in visit.moves[1:]), visit.ended_us or OPEN]
            for (from_us, bed), to_us in zip(visit.moves, times, strict=True):
                if from_us < to_us:
                    found.setdefault(bed, []).append((from_us, to_us, visit.patient))
        return found

    def edges(self) -> list[int]:
        """Every time at which something changes."""
        said = {each.occurred_us for each in self.said} | {each.recorded_us for each in self.said}
        return sorted(said - {0})

    def at(self, bed: Bed, at_us: int) -> str | None:
        """Who was in a bed; empty: nobody; None: it can't be told."""
        truth = self.truth()

        def inside(each: Bed) -> set[str]:
            return {who for a, b, who in truth.get(each, ()) if a <= at_us < b}

        here = inside(bed)
        if len(here) > 1 or any(inside(other) & here for other in self.beds if other != bed):
            return None
        return next(iter(here), "")

    # How it says so

    def _current(self, patient: str) -> Visit | None:
        visit = self._last_visit(patient)
        return visit if visit is not None and not visit.ended_us else None

    def _last_visit(self, patient: str) -> Visit | None:
        found = [each for each in self.visits if each.patient == patient]
        return max(found, key=lambda v: v.ended_us or OPEN, default=None)

    def _meant(self, at_us: int) -> int:
        return at_us if self.says_occurred else 0

    def _say(self, kind: Kind, visit: Visit, at_us: int, *, bed: Bed, prior: Bed = NOWHERE) -> None:
        event = Event(kind, visit.patient, at_us, self.now_us, bed, prior, visit.number)
        self.said.append(event)
        if at_us:
            self._last[visit.patient] = max(self._last.get(visit.patient, 0), at_us)
