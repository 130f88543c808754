"""Which events stand, when all cancellations are applied (HL7 v2.5, 3.3.11 to 3.3.13).

Rules:

- Cancellations are applied in the order in which they were entered. One cancels the last standing
  event of its kind that had been entered by then, of its visit; where EVN-6 says when that
  happened (3.4.1.6), the one of that time.
- A cancelled admission takes with it what had been entered of its stay.
- A cancelled transfer or discharge leaves the patient where PV1-3 of the cancellation says: after a
  transfer that is where they were before, which is checked; after a discharge it may be elsewhere.
- Events belong together that were about one person when the later one was entered: before a merge
  they were about two.
- A second cancellation of the same event says nothing new. One whose event is not known is in
  doubt, from the time that it means until somebody says where the patient is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from gateway.association.events import OPEN, Event, Kind
from gateway.association.persons import Names

CANCELS: Final = {
    Kind.CANCEL_ADMIT: Kind.ADMIT,
    Kind.CANCEL_TRANSFER: Kind.TRANSFER,
    Kind.CANCEL_DISCHARGE: Kind.DISCHARGE,
}
ANCHORS: Final = frozenset((Kind.ADMIT, Kind.TRANSFER, Kind.DISCHARGE, Kind.PLACE, Kind.LEAVE))
"""After one of these it is known again where the patient is."""

CANCEL_WITHOUT_EVENT: Final = "cancel_without_event"
CANCEL_AMBIGUOUS: Final = "cancel_ambiguous"


class Doubt(NamedTuple):
    """A time in which what is known of a patient can't be trusted."""

    from_us: int
    to_us: int
    reason: str


class Voided(NamedTuple):
    """An event that was cancelled."""

    event: Event
    recorded_us: int
    """When the cancellation was entered."""


class Standing(NamedTuple):
    """The events that are left, and what is in doubt."""

    events: list[Event]
    doubts: list[Doubt]
    voided: list[Voided]


def order(event: Event) -> tuple[int, int, int, str]:
    """When it takes its place in a stay; a total order."""
    return event.occurred_us, event.recorded_us, int(event.kind), event.key


def standing(events: Iterable[Event], names: Names) -> Standing:
    """Apply the cancellations among one patient's events; what is left is in order."""
    told = list(events)
    rest = sorted((each for each in told if each.kind not in CANCELS), key=order)
    cancels = sorted(
        (each for each in told if each.kind in CANCELS),
        key=lambda each: (each.recorded_us, *order(each)),
    )
    void: dict[int, int] = {}
    doubts: list[Doubt] = []
    implied: list[Event] = []
    for cancel in cancels:
        found = _matching(cancel, rest, names)
        targets = [at for at in found if at not in void]
        targets = [at for at in targets if not _is_over(at, cancel, rest, void, names)] or targets
        if not targets and found:
            continue  # said twice
        reason = "" if targets else CANCEL_WITHOUT_EVENT
        if len(targets) > 1 and _at(rest[targets[-1]]) == _at(rest[targets[-2]]):
            reason = CANCEL_AMBIGUOUS
        if reason:
            doubts.append(_doubt(cancel, rest, reason))
        else:
            taken = _taken_with(cancel, targets[-1], rest, void, names)
            void |= dict.fromkeys(taken, cancel.recorded_us)
        implied += _implied(cancel)
    left = [each for at, each in enumerate(rest) if at not in void]
    voided = [Voided(rest[at], recorded_us) for at, recorded_us in void.items()]
    return Standing(sorted((*left, *implied), key=order), doubts, voided)


def same_visit(one: str, other: str) -> bool:
    """Whether two visits may be the same; who names none means any."""
    return not one or not other or one == other


def _at(event: Event) -> tuple[int, int]:
    return event.occurred_us, event.recorded_us


def _matching(cancel: Event, rest: list[Event], names: Names) -> list[int]:
    kind = CANCELS[cancel.kind]
    return [
        at
        for at, each in enumerate(rest)
        if each.kind is kind
        and each.recorded_us <= cancel.recorded_us
        and same_visit(each.visit, cancel.visit)
        and names.same(each, cancel)
        and (not cancel.occurred_us or each.occurred_us == cancel.occurred_us)
    ]


def _is_over(
    target: int, cancel: Event, rest: list[Event], void: Mapping[int, int], names: Names
) -> bool:
    """Whether the stay had ended: nobody cancels how one came or moved who has left."""
    begun = rest[target]
    return cancel.kind is not Kind.CANCEL_DISCHARGE and any(
        each.kind is Kind.DISCHARGE
        and at not in void
        and each.recorded_us <= cancel.recorded_us
        and names.same(each, begun)
        and same_visit(each.visit, begun.visit)
        for at, each in enumerate(rest[target:], target)
    )


def _taken_with(
    cancel: Event, target: int, rest: list[Event], void: Mapping[int, int], names: Names
) -> list[int]:
    """The event, and of an admission what had been entered of its stay."""
    if cancel.kind is not Kind.CANCEL_ADMIT:
        return [target]
    visit = rest[target].visit or cancel.visit
    taken = [target]
    for at in range(target + 1, len(rest)):
        each = rest[at]
        if at in void or each.recorded_us > cancel.recorded_us:
            continue
        if not same_visit(each.visit, visit) or not names.same(each, rest[target]):
            continue
        if each.kind is Kind.ADMIT:
            break
        if each.kind in (Kind.TRANSFER, Kind.DISCHARGE, Kind.UPDATE):
            taken.append(at)
    return taken


def _implied(cancel: Event) -> list[Event]:
    """What the cancellation says of where the patient is now."""
    if not cancel.bed or cancel.kind is Kind.CANCEL_ADMIT:
        return []
    # A cancelled discharge may bring the patient elsewhere; a cancelled transfer must not.
    return [msgspec.structs.replace(cancel, occurred_us=cancel.recorded_us)]


def _doubt(cancel: Event, rest: list[Event], reason: str) -> Doubt:
    from_us = cancel.occurred_us or cancel.recorded_us
    until = (
        each.occurred_us
        for each in rest
        if each.kind in ANCHORS
        and each.recorded_us > cancel.recorded_us
        and each.occurred_us > from_us
    )
    return Doubt(from_us, min(until, default=OPEN), reason)
