"""Who is where with which device, and what is to be infused."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from gateway.domain.records.common import AssociationState, Provenance


class AssociationSubject(IntEnum):
    BED = 1
    """A patient in a bed."""
    DEVICE = 2
    """A device at a bed."""


class AssociationChange(msgspec.Struct, frozen=True, gc=False):
    """An association as it is from now on, also where it was told otherwise before."""

    association_id: str
    subject: AssociationSubject
    provenance: Provenance
    device_id: str
    """Of a device at a bed; else empty."""
    ward: str
    bed: str
    """Empty: the device stood at none."""
    patient_id: str
    """Empty in quarantine, and where it is not to be told."""
    from_us: int
    to_us: int
    """The first moment that is not in it; 0: it goes on."""
    state: AssociationState
    reason: str
    """Why it is in quarantine."""
    cause: str
    """What brought the change."""
    revision: int
    """Ever higher."""
    at_us: int


class InfusionOrderAction(IntEnum):
    ORDERED = 1
    CHANGED = 2
    CANCELLED = 3


class InfusionOrder(msgspec.Struct, frozen=True, gc=False):
    """What was ordered for one pump: context, which no device is told.

    A number that the order does not name is None.
    """

    device_id: str
    """The pump's."""
    provenance: Provenance
    """Whose word the order is: ``attested_by`` names the order system."""
    received_us: int
    action: InfusionOrderAction
    order_id: str
    ordered_us: int = 0
    drug: str = ""
    drug_code: str = ""
    volume_ml: float | None = None
    rate_ml_h: float | None = None
    dose: float | None = None
    dose_unit: str = ""
    route: str = ""
    bed: str = ""
    ward: str = ""
    message_id: str = ""
