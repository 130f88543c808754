"""Data classes, levels, zones and treatments: the words of the release policy.

Classes and levels follow GB/T 39725-2020; the hospital may edit which metric has which.
Numbers equal those of ``protos/wardgate/v1/ingest.proto``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import NamedTuple


class Lane(IntEnum):
    """A durable queue of its own, from the most urgent on: each overtakes those behind it."""

    ALARMS = 1
    TELEMETRY = 2
    WAVES = 3
    """Blocks of waveforms alone: the first that go when space or line are short."""


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
HELD = 6
"""The level of what is held back: beyond every level that a policy can name, so that no table has a
row for it and every destination withholds it."""
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
    """The policy's answer. The numbers are the wire's and say nothing about strictness."""

    PASS = 1
    AGGREGATE = 2
    """Statistics of a window, over a group of devices."""
    PSEUDONYMISE = 3
    """Names become keyed pseudonyms; places and texts are gone; times stay."""
    MASK = 4
    """Names, places and texts are gone; times stay."""
    WITHHOLD = 5
    GENERALISE = 6
    """Names become keyed pseudonyms, texts are gone, times and places are made coarse."""


AS_STRICT: Mapping[Treatment, frozenset[Treatment]] = {
    Treatment.PASS: frozenset(Treatment),
    Treatment.PSEUDONYMISE: frozenset(
        (Treatment.PSEUDONYMISE, Treatment.MASK, Treatment.AGGREGATE, Treatment.WITHHOLD)
    ),
    Treatment.GENERALISE: frozenset(
        (Treatment.GENERALISE, Treatment.AGGREGATE, Treatment.WITHHOLD)
    ),
    Treatment.MASK: frozenset((Treatment.MASK, Treatment.AGGREGATE, Treatment.WITHHOLD)),
    Treatment.AGGREGATE: frozenset((Treatment.AGGREGATE, Treatment.WITHHOLD)),
    Treatment.WITHHOLD: frozenset((Treatment.WITHHOLD,)),
}
"""Treatment -> those that reveal nothing that it does not reveal. A partial order: generalising
hides times that pseudonymising and masking show, and shows places or names that they hide."""


def stricter(one: Treatment, other: Treatment) -> Treatment:
    """The stricter of two; where neither is, only silence keeps what both promise."""
    if other in AS_STRICT[one]:
        return other
    return one if one in AS_STRICT[other] else Treatment.WITHHOLD


class DestinationInfo(NamedTuple):
    """What the policy may know of a destination."""

    name: str
    zone: Zone
    purpose: str
    tenant: str


ReleaseRow = dict[Label, Treatment]
"""Every (class, level) pair -> treatment, for one destination."""


def releases_anything(row: ReleaseRow) -> bool:
    """Whether a destination gets anything at all; to one that does not, nothing is opened."""
    return any(treatment is not Treatment.WITHHOLD for treatment in row.values())
