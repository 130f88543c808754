"""Which identifiers mean one person (HL7 v2.5, 3.3.40: A40, merge patient identifier list).

A merge says that ``other`` (MRG-1) was the same person as ``patient`` (PID-3), and is used no
more. It counts for everything that was ever said of either. Two merges that contradict each other
put the whole person in doubt.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from gateway.association.events import Event

MERGED_IN_A_CIRCLE: Final = "merged_in_a_circle"
MERGED_TWICE: Final = "merged_twice"


class Person(NamedTuple):
    """Who somebody is."""

    patient: str
    """The identifier that stands; of several, the first by name."""
    doubt: str = ""


def person(patients: Iterable[str], merges: Iterable[Event]) -> Person:
    """Who these identifiers are, all of which are connected by these merges."""
    known = sorted(patients)
    into: dict[str, set[str]] = {}
    for merge in merges:
        if merge.other != merge.patient:
            into.setdefault(merge.other, set()).add(merge.patient)
    left = [each for each in known if each not in into]
    if not left:
        return Person(known[0], MERGED_IN_A_CIRCLE)
    if len(left) > 1:
        return Person(left[0], MERGED_TWICE)
    if _has_circle(into):
        return Person(left[0], MERGED_IN_A_CIRCLE)
    return Person(left[0])


class Names:
    """Who an identifier was, as it was known at a time."""

    def __init__(self, merges: Iterable[Event] = ()) -> None:
        told = sorted(merges, key=lambda each: (each.recorded_us, each.key))
        self._merges = [
            (each.recorded_us, each.other, each.patient)
            for each in told
            if each.other != each.patient
        ]

    def then(self, patient: str, at_us: int) -> str:
        """The identifier that stood for a patient when something was entered."""
        for recorded_us, other, into in self._merges:
            if recorded_us > at_us:
                break
            if other == patient:
                patient = into
        return patient

    def same(self, one: Event, other: Event) -> bool:
        """Whether two events were about one person when the later one was entered."""
        if one.patient == other.patient:
            return True
        at_us = max(one.recorded_us, other.recorded_us)
        return self.then(one.patient, at_us) == self.then(other.patient, at_us)


def _has_circle(into: dict[str, set[str]]) -> bool:
    """Whether somebody was merged, over others, into themselves."""
    done: set[str] = set()
    while True:
        ready = [
            each
            for each, targets in into.items()
            if each not in done and all(target in done or target not in into for target in targets)
        ]
        if not ready:
            return len(done) < len(into)
        done.update(ready)
