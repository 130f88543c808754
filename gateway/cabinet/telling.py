"""What cabinets tell, as records and as lines of their history."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.cabinet.access import Session
from gateway.cabinet.counts import Count
from gateway.cabinet.history import Line
from gateway.cabinet.outcome import ItemTold
from gateway.cabinet.watching import SECOND_US, At
from gateway.domain.records import (
    CabinetEvent,
    CabinetEventKind,
    InventoryAction,
    InventoryEvent,
    ItemCount,
    Provenance,
)


def item_record(
    cabinet: str,
    provenance: Provenance,
    now_us: int,
    action: InventoryAction,
    badges: tuple[str, ...],
    told: ItemTold,
) -> InventoryEvent:
    """Something became of an item."""
    return InventoryEvent(
        cabinet,
        provenance,
        now_us,
        action,
        told.epc,
        told.place,
        told.from_place,
        badges[0] if badges else "",
        told.at.us,
        session=told.who.session,
        item_class=told.what.item_class,
        lot=told.what.lot,
        expiry=told.what.expiry,
        badges=badges,
        reason=told.reason,
    )


def item_line(action: InventoryAction, badges: tuple[str, ...], told: ItemTold) -> Line:
    """The same."""
    return Line(
        told.at.us,
        action.name.lower(),
        told.epc,
        told.what.item_class,
        told.place,
        told.from_place,
        badges,
        told.who.session,
        told.reason,
    )


def access_record(
    cabinet: str,
    provenance: Provenance,
    now_us: int,
    session: Session,
    counts: Sequence[Count],
) -> CabinetEvent:
    """A door session is over."""
    return CabinetEvent(
        cabinet,
        provenance,
        now_us,
        CabinetEventKind.ACCESS,
        session.door,
        session.session_id,
        session.opened.us,
        session.closed.us if session.closed is not None else 0,
        session.verdict,
        session.badges,
        _counts(counts),
        unseen_close=session.unseen_end,
    )


def access_line(session: Session) -> Line:
    """The same."""
    closed_us = session.closed.us if session.closed is not None else session.opened.us
    open_s = max(0, closed_us - session.opened.us) // SECOND_US
    return Line(
        session.opened.us,
        "opened",
        place=session.door,
        badges=session.badges,
        session=session.session_id,
        text=f"{session.verdict.name.lower()}, {open_s} s",
    )


def reconciliation_record(
    cabinet: str,
    provenance: Provenance,
    now_us: int,
    persons: tuple[str, ...],
    counts: Sequence[Count],
    reason: str,
) -> CabinetEvent:
    """Persons have counted."""
    return CabinetEvent(
        cabinet,
        provenance,
        now_us,
        CabinetEventKind.RECONCILIATION,
        badges=persons,
        counts=_counts(counts),
        reason=reason,
    )


def reconciliation_line(now_us: int, persons: tuple[str, ...], counts: Sequence[Count]) -> Line:
    """The same."""
    wrong = sum(count.differs for count in counts)
    text = f"{wrong} of {len(counts)} classes differ" if wrong else "all as expected"
    return Line(now_us, "reconciled", badges=persons, text=text)


def unseen_line(since: At, at: At) -> Line:
    """The cabinet was not seen for a while."""
    return Line(since.us, "unseen", text=f"for {max(0, at.us - since.us) // SECOND_US} s")


def _counts(counts: Sequence[Count]) -> tuple[ItemCount, ...]:
    return tuple(ItemCount(*count) for count in counts)
