"""A cabinet as people are shown it."""

from __future__ import annotations

from typing import Final

from gateway.cabinet.access import Session
from gateway.cabinet.cabinet import Cabinet
from gateway.cabinet.interpreter import Cabinets
from gateway.cabinet.lists import Lists, expired, expires_soon
from gateway.cabinet.presence import State, Tag
from protos.wardgate.v1 import cabinet_pb2 as pb

ITEMS_MAX: Final = 10_000
"""Some 150 bytes each; an answer has at most 4 MiB."""


def state_of(all_of: Cabinets, name: str, now_us: int, *, items: bool) -> pb.CabinetState:
    """One cabinet as it stands."""
    cabinet, lists = all_of.cabinets[name], all_of.lists
    names = class_names(all_of, name)
    shown = pb.CabinetState(
        name=name,
        kind=cabinet.table.kind,
        unseen_since_us=cabinet.unseen_since.us if cabinet.unseen_since is not None else 0,
        seen=cabinet.seen,
        doors=[_door(cabinet, door) for door in cabinet.accesses.doors],
        conditions=sorted(all_of.standing[name]),
        counted=cabinet.book.kept,
        classes=[
            pb.ClassState(
                item_class=count.item_class,
                name=names.get(count.item_class, ""),
                expected=count.expected,
                found=count.found,
                doubted=count.doubted,
                differs=cabinet.book.kept and count.differs,
            )
            for count in cabinet.counts()
        ],
    )
    if items:
        tags = [tag for tag in cabinet.tags.values() if tag.state is not State.TENTATIVE]
        tags.sort(key=lambda tag: (tag.place, tag.epc))
        days = cabinet.table.expires_soon_days
        shown.items.extend(_item(tag, lists, now_us, days) for tag in tags[:ITEMS_MAX])
    return shown


def class_names(all_of: Cabinets, name: str) -> dict[str, str]:
    """What people call the classes of a cabinet: as the list of articles does, else as an item."""
    cabinet, lists = all_of.cabinets[name], all_of.lists
    names = {what.item_class: what.name for what in map(lists.what, cabinet.tags)}
    articles = {each: lists.name_of(each) for each in (*names, *cabinet.book.expected)}
    return names | {each: called for each, called in articles.items() if called}


def _door(cabinet: Cabinet, name: str) -> pb.DoorState:
    session: Session | None = cabinet.accesses.current_of(name)
    return pb.DoorState(
        name=name,
        state=cabinet.accesses.doors[name].state.name.lower(),
        opened_us=session.opened.us if session is not None else 0,
        badges=session.badges if session is not None else (),
    )


def _item(tag: Tag, lists: Lists, now_us: int, days: int) -> pb.ItemState:
    what = lists.what(tag.epc)
    marks = []
    if lists.recall_of(tag.epc, what) is not None:
        marks.append("recalled")
    if expired(what, now_us):
        marks.append("expired")
    elif expires_soon(what, now_us, days):
        marks.append("expiring")
    return pb.ItemState(
        epc=tag.epc,
        item_class=what.item_class,
        name=what.name,
        lot=what.lot,
        expiry=what.expiry,
        place=tag.place,
        state=tag.state.name.lower(),
        since_us=tag.since_us,
        seen_us=tag.last.us,
        marks=marks,
    )
