"""``[association]``: how long it is known who lay where, and what is told of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from gateway.association.book import EVENTS_MAX

DAY_US: Final = 86_400_000_000


class PatientIds(StrEnum):
    """Where a patient's identifier is told."""

    RECORDS = "records"
    """On each record, and on associations."""
    ASSOCIATIONS = "associations"
    """On associations alone: a report names its association, and who lay there, another record."""
    NOWHERE = "nowhere"


class AssociationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """See docs/association.md."""

    patient_ids: PatientIds = PatientIds.RECORDS
    horizon_days: Annotated[float, Meta(ge=1, le=400)] = 30.0
    """How long who has left is remembered, so that what comes late finds its place."""
    events_max: Annotated[int, Meta(ge=100, le=1_000_000)] = EVENTS_MAX
    """Of patients and devices, each; about a kilobyte of memory each."""

    @property
    def horizon_us(self) -> int:
        """The horizon in microseconds."""
        return round(self.horizon_days * DAY_US)
