"""What an ADT system tells of patients: who came, moved and left (HL7 v2.5, chapter 3)."""

from __future__ import annotations

from enum import IntEnum

from gateway.domain.statements import Statement


class MovementKind(IntEnum):
    """The trigger event's number."""

    ADMIT = 1
    TRANSFER = 2
    DISCHARGE = 3
    UPDATE = 8
    CANCEL_ADMIT = 11
    CANCEL_TRANSFER = 12
    CANCEL_DISCHARGE = 13
    MERGE = 40


class PatientMovement(Statement, frozen=True, kw_only=True):
    """One ADT event; times are microseconds since the Unix epoch. ``device_id`` is the sender's."""

    kind: MovementKind
    patient: str
    occurred_us: int
    """When it happened (EVN-6); of a cancellation, when that happened which is cancelled, and 0
    where this was not said."""
    recorded_us: int
    """When it was entered (EVN-2)."""
    ward: str = ""
    bed: str = ""
    """Where the patient is now (PV1-3)."""
    prior_ward: str = ""
    prior_bed: str = ""
    """Where the patient was (PV1-6)."""
    visit: str = ""
    """PV1-19."""
    other: str = ""
    """Of a merge: the identifier that is used no more (MRG-1)."""
