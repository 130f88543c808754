"""What the alarm manager is told: of alarms on disk, of what became of notifications, by people.

Each is a statement that goes through the intake, so that what follows from it is committed.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from gateway.domain.records import Attestation, Provenance
from gateway.domain.statements import Statement
from gateway.notification.silences import Silence
from gateway.notification.story import Committed

GATEWAY: Final = Provenance("gateway", Attestation.GATEWAY)


class Seen(IntEnum):
    """How far a notification came with somebody, as the outlet says."""

    DISPLAYED = 1
    READ = 2


class AlarmsCommitted(Statement, frozen=True, kw_only=True):
    """What the journal's lane of alarms holds up to ``position``."""

    alarms: tuple[Committed, ...]
    position: int


class Delivered(Statement, frozen=True, kw_only=True):
    """An outlet has notification ``n`` of an alarm: the broker, the service, who watches."""

    outlet: str
    alarm_id: str
    n: int


class NotDelivered(Statement, frozen=True, kw_only=True):
    """It could not be given to the outlet this time, or may not be."""

    outlet: str
    alarm_id: str
    n: int
    reason: str
    withheld: bool = False
    """By the policy: trying again is of no use."""
    absent: bool = False
    """Nobody is there, and nobody has to be: trying again is of no use, and nothing is broken."""


class SummaryDelivered(Statement, frozen=True, kw_only=True):
    """An outlet was told how many alarms wait, instead of each."""

    outlet: str
    alarm_ids: tuple[str, ...]


class OutletHeard(Statement, frozen=True, kw_only=True):
    """A sign of life of an outlet, or that there is none."""

    outlet: str
    alive: bool
    reason: str = ""
    shows: bool = False
    """It came from a screen itself, not from the next hop."""


class Answered(Statement, frozen=True, kw_only=True):
    """A screen or pager says how far a notification came with somebody."""

    outlet: str
    alarm_id: str
    n: int
    seen: Seen
    by: str = ""


class AcknowledgedBy(Statement, frozen=True, kw_only=True):
    """Somebody has an alarm in hand."""

    alarm_id: str
    n: int
    """Of the notification that was acknowledged; 0: whatever it is now."""
    by: str
    via: str
    """The outlet, or the service by which it came."""
    outlet: str = ""
    """Where it came by an outlet, it counts for alarms alone that were told there."""


class Silenced(Statement, frozen=True, kw_only=True):
    """Somebody silences."""

    silence: Silence


class Unsilenced(Statement, frozen=True, kw_only=True):
    """Somebody ends a silence before its time."""

    silence_id: str
    by: str


class Probe(Statement, frozen=True, kw_only=True):
    """Look whether an outlet that is failing takes the most urgent alarm that it has missed."""

    outlet: str
