"""What a cabinet tells, and to whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from gateway.cabinet.access import Session
from gateway.cabinet.counts import Count
from gateway.cabinet.lists import What
from gateway.cabinet.watching import At
from gateway.domain.records import AlarmKind, AlarmPriority, InventoryAction


class Who(NamedTuple):
    """Who may have done it."""

    session: str = ""
    """The door session; empty: no door was open."""
    badges: tuple[str, ...] = ()


class ItemTold(NamedTuple):
    """Something became of an item."""

    action: InventoryAction
    epc: str
    what: What
    place: str
    from_place: str
    at: At
    who: Who
    reason: str = ""


class Condition(NamedTuple):
    """An alarm condition that stands."""

    priority: AlarmPriority
    kind: AlarmKind
    text: str


class Out(Protocol):
    """Whom a cabinet tells."""

    def item(self, cabinet: str, told: ItemTold) -> None:
        """Something became of an item."""

    def access(self, cabinet: str, session: Session, counts: Sequence[Count], at: At) -> None:
        """A door session is over, and what lies there was read since."""

    def unseen(self, cabinet: str, since: At, at: At) -> None:
        """Between the two the cabinet was not seen, or not all of it."""

    def changed(self, cabinet: str, what: str, name: str) -> None:
        """A piece of the cabinet's state is to be stored: ``tag``, ``door``, ``book``, ``self``."""

    def elsewhere(self, cabinet: str, epc: str, first_t: int) -> str | None:
        """A tag is about to arrive: the place of another cabinet that it left, or empty.

        None: another cabinet has read it since ``first_t``; it is not here, but read from there.
        """
