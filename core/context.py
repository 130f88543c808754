"""What many reports say of themselves alike, so that it is stored once."""

from __future__ import annotations

from typing import NamedTuple


class Head(NamedTuple):
    """What a report says of itself besides its label and its values."""

    device_id: str
    kind: str
    bed: str
    driver: str
    attestation: int
    attested_by: str
    time_quality: int
    ward: str
    patient_id: str
    association_id: str
    association_state: int
