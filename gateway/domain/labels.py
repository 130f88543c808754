"""Data classes, levels, zones and treatments: the words of the release policy.

Classes and levels follow GB/T 39725-2020; the hospital may edit which metric has which.
Numbers equal those of ``protos/wardgate/v1/ingest.proto``.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import NamedTuple


class Lane(IntEnum):
    """A durable queue of its own; alarms overtake telemetry."""

    ALARMS = 1
    TELEMETRY = 2


class DataClass(IntEnum):
    """What the data is about (GB/T 39725-2020, 6.1)."""

    PERSONAL_ATTRIBUTES = 1
    HEALTH_STATUS = 2
    MEDICAL_APPLICATION = 3
    MEDICAL_PAYMENT = 4
    HEALTH_RESOURCES = 5
    PUBLIC_HEALTH = 6


class Label(NamedTuple):
    """Class and level of a record; a combination takes its highest member."""

    data_class: DataClass
    level: int
    """1 public, 2 cannot identify, 3 re-identifiable, 4 identifies, 5 special diseases."""


LEVELS = (1, 2, 3, 4, 5)
UNLABELLED = Label(DataClass.PERSONAL_ATTRIBUTES, 4)
"""What nobody labelled is treated as identifying a person."""


class Zone(StrEnum):
    """How far from the bedside a destination is."""

    WARD = "ward"
    CAMPUS = "campus"
    GROUP = "group"
    PARTNER = "partner"
    PUBLIC = "public"


class Treatment(IntEnum):
    """The policy's answer. Greater is stricter: ``max`` of two is the stricter one."""

    PASS = 1
    AGGREGATE = 2
    PSEUDONYMISE = 3
    MASK = 4
    WITHHOLD = 5


class DestinationInfo(NamedTuple):
    """What the policy may know of a destination."""

    name: str
    zone: Zone
    purpose: str
    tenant: str


ReleaseRow = dict[Label, Treatment]
"""Every (class, level) pair -> treatment, for one destination."""
