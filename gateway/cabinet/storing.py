"""A cabinet's state to and from what is stored.

After a restart nothing is known of the time since: every place and door begins unseen, every tag in
doubt, and a session that was under way goes on or is found to be over.
"""

from __future__ import annotations

from typing import Final, Protocol

from gateway.cabinet import kept as keeping
from gateway.cabinet.access import Session
from gateway.cabinet.accesses import SLACK_US, Accesses
from gateway.cabinet.cabinet import Cabinet
from gateway.cabinet.conditions import NAMES
from gateway.cabinet.doors import Door
from gateway.cabinet.doors import State as DoorState
from gateway.cabinet.garments import Garments, Issued
from gateway.cabinet.history import History, Line
from gateway.cabinet.kept import (
    Kept,
    KeptBook,
    KeptCabinet,
    KeptDoor,
    KeptSession,
    KeptTag,
    joined,
    split,
)
from gateway.cabinet.lists import Badge, Item, Lists, Recall
from gateway.cabinet.presence import State, Tag
from gateway.cabinet.watching import At
from gateway.domain.ports import StateView
from gateway.domain.records import AccessVerdict
from gateway.pipeline.alarms import state as alarms

_STORED: Final = {
    State.PRESENT: "present",
    State.DOUBTED: "present",  # as every other after a restart
    State.UNACCOUNTED: "unaccounted",
}
_RESTORED: Final = {"present": State.DOUBTED, "unaccounted": State.UNACCOUNTED}


class Everything(Protocol):
    """All cabinets, and what they share."""

    cabinets: dict[str, Cabinet]
    lists: Lists
    garments: Garments
    history: History
    kept: Kept
    standing: dict[str, tuple[str, ...]]
    """Conditions that are told, by cabinet."""


def store(all_of: Everything, name: str, what: str, part: str, now: At) -> None:
    """Store a piece of a cabinet's state: ``tag``, ``door``, ``book`` or ``self``."""
    cabinet, kept = all_of.cabinets[name], all_of.kept
    match what:
        case "tag":
            kept.put(keeping.TAGS, joined(name, part), _tag(cabinet.tags.get(part)))
        case "door":
            kept.put(keeping.DOORS, joined(name, part), _door(cabinet.accesses, part))
        case "book":
            kept.put(keeping.BOOKS, name, KeptBook(dict(cabinet.book.expected)))
        case "self":
            since = cabinet.unseen_since
            seen_us = since.us if since is not None else now.us if cabinet.seen else 0
            value = KeptCabinet(
                seen_us,
                tuple(sorted(cabinet.accesses.latched)),
                all_of.standing[name],
                cabinet.overfull,
            )
            kept.put(keeping.CABINETS, name, value)
        case _:
            raise ValueError(what)


def _tag(tag: Tag | None) -> KeptTag | None:
    if tag is None or tag.state not in _STORED:
        return None
    return KeptTag(tag.place, _STORED[tag.state], tag.since_us, tag.last.us, tag.session)


def _door(accesses: Accesses, name: str) -> KeptDoor:
    sessions = tuple(
        KeptSession(
            each.session_id,
            each.opened.us,
            int(each.verdict),
            tuple(each.persons),
            tuple(each.others),
            each.closed.us if each.closed is not None else 0,
        )
        for each in accesses.sessions[name]
        if not each.told
    )
    return KeptDoor(accesses.doors[name].is_open, sessions)


def restore_cabinets(all_of: Everything, view: StateView, now_t: int) -> None:
    """Take over what was stored; a cabinet or place that is configured no more is left out."""
    cabinets, kept, lists = all_of.cabinets, all_of.kept, all_of.lists
    kept.restore(view, keeping.ITEMS, Item, lists.items.__setitem__)
    kept.restore(view, keeping.RECALLS, Recall, lists.recalls.__setitem__)
    kept.restore(view, keeping.BADGES, Badge, lists.badges.__setitem__)
    issued: list[Issued] = []
    kept.restore(view, keeping.ISSUED, Issued, lambda _key, value: issued.append(value))
    for each in sorted(issued, key=lambda each: each.since_us):
        all_of.garments.issue(each)

    def cabinet(name: str, value: KeptCabinet) -> None:
        found = cabinets[name]
        if value.seen_us:
            found.unseen_since = At(value.seen_us, now_t)
        doors = found.accesses.doors
        found.accesses.latched = {each for each in value.latched if each.partition("/")[2] in doors}
        found.overfull = value.overfull
        all_of.standing[name] = value.standing

    def tag(key: str, value: KeptTag) -> None:
        name, epc = split(key)
        cabinets[name].adopt(_revived(epc, value, now_t))

    def door(key: str, value: KeptDoor) -> None:
        name, part = split(key)
        _restore_door(cabinets[name], part, value, now_t)

    def book(name: str, value: KeptBook) -> None:
        cabinets[name].book.open(value.expected)

    kept.restore(view, keeping.CABINETS, KeptCabinet, cabinet)
    kept.restore(view, keeping.TAGS, KeptTag, tag)
    kept.restore(view, keeping.DOORS, KeptDoor, door)
    kept.restore(view, keeping.BOOKS, KeptBook, book)
    # What the alarm engine holds, for it is committed beside this and not with it.
    for key in view.items(alarms.SPACE):
        name, _, condition = key.partition("\ng:")
        if name in cabinets and condition.partition("/")[0] in NAMES:
            told = all_of.standing[name]
            all_of.standing[name] = told if condition in told else (*told, condition)
    lines: dict[str, list[Line]] = {name: [] for name in cabinets}
    kept.restore(view, keeping.HISTORY, Line, lambda key, value: lines[split(key)[0]].append(value))
    for name, found in lines.items():
        all_of.history.restore(name, found)


def _revived(epc: str, value: KeptTag, now_t: int) -> Tag:
    tag = Tag(epc, value.place, At(value.seen_us, now_t))
    tag.state = _RESTORED[value.state]
    tag.since_us = value.since_us
    tag.session = value.session
    return tag


def _restore_door(cabinet: Cabinet, name: str, value: KeptDoor, now_t: int) -> None:
    accesses = cabinet.accesses
    state = DoorState.BLIND_OPEN if value.open else DoorState.BLIND_SHUT
    # What is read from now on has nothing to do with sessions that were over.
    over_t = now_t - accesses.settle_us // 2 - SLACK_US
    restored = []
    for each in value.sessions:
        session = Session(each.session_id, name, At(each.opened_us, over_t), cabinet.table)
        session.resume(AccessVerdict(each.verdict), each.persons, each.others)
        if each.closed_us:
            session.closed = At(each.closed_us, over_t)
        restored.append(session)
    accesses.sessions[name].extend(restored)
    accesses.doors[name] = Door(state)
