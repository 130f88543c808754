"""What lies in cabinets, and who was at them."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from gateway.domain.records.common import Provenance


class InventoryAction(IntEnum):
    ARRIVED = 1
    MOVED = 2
    DEPARTED = 3
    DOUBTED = 4
    """It is not read, and nobody knows that it was taken."""
    CONFIRMED = 5
    """It was in doubt, and is read again."""
    ISSUED = 6
    """A garment: taken with a badge."""
    RETURNED = 7
    """A garment that was issued: back."""


class CabinetEventKind(IntEnum):
    ACCESS = 1
    """A door was opened and shut."""
    RECONCILIATION = 2
    """Persons have counted."""


class AccessVerdict(IntEnum):
    """Whether a door was opened by who may."""

    PENDING = 0
    """Not decided yet; no record has it."""
    AUTHORISED = 1
    NO_BADGE = 2
    ONE_PERSON = 3
    """Two were needed."""
    UNSEEN = 4
    """Nobody saw the door being opened, hence nobody can say."""


class InventoryEvent(msgspec.Struct, frozen=True, gc=False):
    device_id: str
    provenance: Provenance
    received_us: int
    action: InventoryAction
    epc: str
    place: str
    from_place: str = ""
    badge: str = ""
    device_us: int = 0
    """When it happened, as far as is known, where that is not when it was understood."""
    message_id: str = ""
    session: str = ""
    """The door session in which it happened."""
    item_class: str = ""
    """What is counted together: a GTIN, or a name."""
    lot: str = ""
    expiry: str = ""
    """YYYY-MM-DD: the last day on which it is good."""
    badges: tuple[str, ...] = ()
    """Everybody's who was there; ``badge`` is the first one's."""
    reason: str = ""
    """``outage``, ``absent_shut``, ``reconciled``, …"""


class ItemCount(msgspec.Struct, frozen=True, gc=False):
    """How many of one class of items there are."""

    item_class: str
    expected: int
    """By the book: what was counted last, and taken or brought since by who may."""
    found: int
    """Read."""
    doubted: int = 0
    """Neither read nor known to be gone."""
    counted: int = -1
    """By hand; negative: not counted."""


class CabinetEvent(msgspec.Struct, frozen=True, gc=False):
    """A cabinet was opened, or what is in it was counted by persons."""

    device_id: str
    """The cabinet."""
    provenance: Provenance
    received_us: int
    kind: CabinetEventKind
    door: str = ""
    session: str = ""
    opened_us: int = 0
    closed_us: int = 0
    verdict: AccessVerdict = AccessVerdict.PENDING
    badges: tuple[str, ...] = ()
    """Who opened it, or who counted: as the list of badges names them."""
    counts: tuple[ItemCount, ...] = ()
    reason: str = ""
    """What persons wrote beside it."""
    unseen_close: bool = False
    """``closed_us`` is when it was found shut."""
    message_id: str = ""
