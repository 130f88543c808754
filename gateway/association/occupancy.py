"""What several people's stretches make of one bed: times that do not overlap.

Rules:

- Where one person was in the bed and nothing is in doubt, the time is theirs. Where several were,
  or something is in doubt, it is quarantined: it belongs to nobody until that is resolved.
- A correction by a person on site stands over everything else for its time, a later one over an
  earlier one.
- A time is known by what began it, not by who it is or when it ends: when these change, it is the
  same association, corrected. The name is keyed, and tells nobody anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import IntEnum
from hashlib import blake2b
from typing import Final, NamedTuple

from gateway.association.events import OPEN, Bed, Event
from gateway.association.stays import Stretch, between_edges

TAKEN_TWICE: Final = "bed_taken_twice"
ASSOCIATION_ID_BYTES: Final = 10


class State(IntEnum):
    """Of an association, as on the wire."""

    CURRENT = 1
    QUARANTINED = 2
    """It belongs to nobody until it is resolved."""
    WITHDRAWN = 3
    """It never was."""


class Span(NamedTuple):
    """A time in a bed: ``from_us`` up to, but not including, ``to_us`` (OPEN: it goes on)."""

    association_id: str
    bed: Bed
    from_us: int
    to_us: int
    patient: str
    """Empty while it is quarantined."""
    state: State
    doubt: str = ""
    claims: tuple[str, ...] = ()
    """The patients who may have been there."""

    @property
    def is_open(self) -> bool:
        return self.to_us >= OPEN


class _Known(NamedTuple):
    """What makes neighbouring moments one time."""

    state: State
    patient: str
    doubt: str
    origins: tuple[str, ...]
    claims: tuple[str, ...]


def spans(
    bed: Bed, found: Iterable[Stretch], corrections: Iterable[Event], secret: bytes
) -> list[Span]:
    """The times of a bed, in order.

    Args:
        bed: which.
        found: everybody's stretches in it.
        corrections: of this bed, and of these people elsewhere, with the identifiers that stand.
        secret: names times.
    """
    told = _corrected(bed, list(found), corrections)
    runs: list[tuple[int, int, _Known]] = []
    for from_us, to_us, present in between_edges(told):
        if not present:
            continue
        known = _known(present)
        if runs and runs[-1][1] == from_us and runs[-1][2] == known:
            runs[-1] = (runs[-1][0], to_us, known)
        else:
            runs.append((from_us, to_us, known))
    return _named(bed, runs, secret)


def _corrected(bed: Bed, found: list[Stretch], corrections: Iterable[Event]) -> list[Stretch]:
    ordered = sorted(corrections, key=lambda each: (each.recorded_us, each.key))
    for each in ordered:
        window = each.occurred_us, each.until_us
        here = each.bed == bed
        found = [
            part
            for stretch in found
            for part in (
                stretch.without(*window) if here or stretch.patient == each.patient else [stretch]
            )
        ]
        if here and each.patient:
            found.append(Stretch(bed, *window, each.patient, each.key, certain=True))
    return found


def _known(present: list[Stretch]) -> _Known:
    patients = tuple(sorted({each.patient for each in present}))
    doubts = sorted({each.doubt for each in present if each.doubt})
    first = min(present, key=lambda each: (each.from_us, each.origin))
    if len(patients) > 1:
        doubts.insert(0, TAKEN_TWICE)
    if doubts:
        origins = tuple(sorted({each.origin for each in present}))
        return _Known(State.QUARANTINED, "", doubts[0], origins, patients)
    return _Known(State.CURRENT, patients[0], "", (first.origin,), patients)


def _named(bed: Bed, runs: list[tuple[int, int, _Known]], secret: bytes) -> list[Span]:
    """Give each time its name: of several with one beginning, the first, the second and so on."""
    numbers: Counter[tuple[State, tuple[str, ...]]] = Counter()
    result = []
    for from_us, to_us, known in runs:
        number = numbers[known.state, known.origins]
        numbers[known.state, known.origins] += 1
        words = (bed.ward, bed.bed, known.state.name, str(number), *known.origins)
        digest = blake2b("\n".join(words).encode(), digest_size=ASSOCIATION_ID_BYTES, key=secret)
        result.append(
            Span(
                digest.hexdigest(),
                bed,
                from_us,
                to_us,
                known.patient,
                known.state,
                known.doubt,
                known.claims,
            )
        )
    return result
