"""Which alarm conditions a cabinet shows: worked out from its state, each time it changed.

Names are those of docs/alarms.md; what one is about (a door, a class of items) stands behind a
slash. Those of an opening that was not right stand until persons have looked.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from gateway.cabinet.cabinet import Cabinet
from gateway.cabinet.lists import Lists, expired, expires_soon
from gateway.cabinet.outcome import Condition
from gateway.cabinet.presence import State
from gateway.cabinet.watching import SECOND_US, At
from gateway.domain.records import AlarmKind, AlarmPriority, AlarmSource
from gateway.pipeline.alarms.state import Cause

DOOR_LEFT_OPEN: Final = "cabinet_door_left_open"
DOOR_FORCED: Final = "cabinet_door_forced"
ONE_PERSON: Final = "cabinet_one_person"
COUNT: Final = "cabinet_count"
UNACCOUNTED: Final = "cabinet_unaccounted"
UNSEEN: Final = "cabinet_unseen"
OVERFULL: Final = "cabinet_overfull"
EXPIRED: Final = "cabinet_expired"
EXPIRING: Final = "cabinet_expiring"
RECALLED: Final = "cabinet_recalled"
OVERDUE: Final = "garment_overdue"
NAMES: Final = frozenset(
    (
        DOOR_LEFT_OPEN,
        DOOR_FORCED,
        ONE_PERSON,
        COUNT,
        UNACCOUNTED,
        UNSEEN,
        OVERFULL,
        EXPIRED,
        EXPIRING,
        RECALLED,
        OVERDUE,
    )
)
CODES: Final = {name: 3 << 16 | 0xF021 + place for place, name in enumerate(sorted(NAMES))}
"""The standard has no events of cabinets; private terms of its partition 3."""
ABOUT_MAX: Final = 32
"""Classes with a condition of their own, per cabinet and condition; the rest has one together."""
OTHERS: Final = "others"
UNSEEN_AFTER_US: Final = 30 * SECOND_US
"""A reader that comes back sooner, as after the gateway's restart, is no alarm."""

_LOW, _MEDIUM, _HIGH = AlarmPriority.LOW, AlarmPriority.MEDIUM, AlarmPriority.HIGH
_ADVISORY, _TECHNICAL = AlarmKind.ADVISORY, AlarmKind.TECHNICAL
_DOORS: Final = {
    DOOR_FORCED: "Door {} was opened without a badge that may",
    ONE_PERSON: "Door {} was opened by one person where two are needed",
}


def standing(
    cabinet: Cabinet, lists: Lists, overdue: int, before: Collection[str], at: At
) -> dict[str, Condition]:
    """Every condition that stands now; ``before`` are those that stood.

    While a door is open, or something is not seen, nobody can judge the counts: what stood stands.
    """
    controlled = cabinet.table.kind == "controlled"
    grave = _HIGH if controlled else _MEDIUM
    found: dict[str, Condition] = {}
    for door in cabinet.accesses.left_open():
        found[f"{DOOR_LEFT_OPEN}/{door}"] = Condition(
            _MEDIUM, _ADVISORY, f"Door {door} is left open"
        )
    for name in cabinet.accesses.latched:
        condition, _, door = name.partition("/")
        found[name] = Condition(grave, _ADVISORY, _DOORS[condition].format(door))
    since = cabinet.unseen_since or cabinet.awaited_since
    if since is not None and at.t - since.t >= UNSEEN_AFTER_US:
        found[UNSEEN] = Condition(
            _LOW, _TECHNICAL, "The cabinet is not seen: what is in it is in doubt"
        )
    if cabinet.overfull:
        found[OVERFULL] = Condition(
            _LOW, _TECHNICAL, "More tags than the cabinet is configured for: some are not followed"
        )
    if any(tag.state is State.UNACCOUNTED for tag in cabinet.tags.values()):
        found[UNACCOUNTED] = Condition(
            _MEDIUM if controlled else _LOW, _ADVISORY, "Items are in doubt: somebody has to look"
        )
    wrong = COUNT in before
    if cabinet.settled:
        wrong = cabinet.book.kept and any(count.differs for count in cabinet.counts())
    if wrong:
        found[COUNT] = Condition(grave, _ADVISORY, "The cabinet does not hold what it should")
    if overdue:
        found[OVERDUE] = Condition(_LOW, _ADVISORY, "Garments are overdue")
    found |= _of_items(cabinet, lists, at)
    return found


def _of_items(cabinet: Cabinet, lists: Lists, at: At) -> dict[str, Condition]:
    found: dict[str, Condition] = {}
    days = cabinet.table.expires_soon_days
    totals = dict.fromkeys((RECALLED, EXPIRED, EXPIRING), 0)
    for tag in cabinet.tags.values():
        if tag.state is State.TENTATIVE:
            continue
        what = lists.what(tag.epc)
        name = what.name or what.item_class
        shown: list[tuple[str, AlarmPriority, str]] = []
        if lists.recall_of(tag.epc, what) is not None:
            shown.append((RECALLED, _MEDIUM, f"Recalled, and in stock: {name}"))
        if expired(what, at.us):
            shown.append((EXPIRED, _MEDIUM, f"Past its expiry date: {name}"))
        elif expires_soon(what, at.us, days):
            shown.append((EXPIRING, _LOW, f"Expires within {days} days: {name}"))
        for condition, priority, text in shown:
            key = f"{condition}/{_about(what.item_class)}"
            if key not in found:
                totals[condition] += 1
                if totals[condition] > ABOUT_MAX:
                    key, text = f"{condition}/{OTHERS}", f"{text}, and others"  # noqa: PLW2901
                found.setdefault(key, Condition(priority, _ADVISORY, text))
    return found


def cause_of(name: str, shown: Condition | None) -> Cause:
    """As the alarm engine has it; None: of a condition that has ended."""
    known = shown or Condition(_LOW, _ADVISORY, "")
    code = CODES[name.partition("/")[0]]
    return Cause(name, code, known.kind, AlarmSource.GATEWAY, known.priority, known.text)


def _about(item_class: str) -> str:
    """A class as part of a condition's name."""
    return item_class.replace("/", " ")
