"""``[fence]``: zones of the network, which of them are the campus, and who may be where."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from gateway.domain.errors import ConfigError
from gateway.network.config import Answer

ZONES_MAX: Final = 256
"""Zones and areas together: each is a subscription, and a query at every look."""
EVERYWHERE: Final = "*"

_Seconds = Annotated[float, Meta(ge=0, le=86_400)]
_Name = Annotated[str, Meta(min_length=1, max_length=128)]


class Roaming(StrEnum):
    """What becomes of a device's place when it is seen in another ward."""

    STAY = "stay"
    """Nothing: it belongs where the registry, or a person on site, says."""
    FOLLOW = "follow"
    """It stands in that ward, at no bed, until somebody says at which; back home, at its own."""


class Scheme(StrEnum):
    """How a telephone number becomes an address of the location service."""

    TEL = "tel"
    """``tel:+8613800000001`` (RFC 3966)."""
    ACR = "acr"
    """``acr:8613800000001``."""


class ZoneTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[[fence.zones]]``: a zone of the platform's (GS MEC 013, ``zoneId``)."""

    zone: _Name
    ward: str = ""
    """Whose radio it is, as the registry names it; empty: several wards', or none's."""
    campus: bool = True


class AreaTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[[fence.areas]]``: a circle, for what is no zone of the platform's."""

    name: _Name
    latitude: Annotated[float, Meta(ge=-90, le=90)]
    longitude: Annotated[float, Meta(ge=-180, le=180)]
    radius_m: Annotated[float, Meta(gt=0, le=100_000)]
    accuracy_m: Annotated[float, Meta(gt=0, le=100_000)] = 50.0
    """How exactly the network has to know."""
    ward: str = ""
    campus: bool = True


class ClassTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[fence.classes.NAME]``: devices with rules of their own, as in ambulances or at home."""

    kinds: tuple[str, ...] = ()
    """Of the registry."""
    devices: tuple[str, ...] = ()
    """By name; these count before kinds."""
    zones: tuple[str, ...] = ()
    """Where they may be; ``*``: wherever they are. Left out: on campus."""
    outside: Answer | None = None
    """What is done when they are elsewhere; left out: as ``[sim] outside_fence`` says."""
    grace_s: _Seconds | None = None


class FenceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole table; without zones and areas there is no fence."""

    zones: tuple[ZoneTable, ...] = ()
    areas: tuple[AreaTable, ...] = ()
    classes: dict[str, ClassTable] = {}
    grace_s: _Seconds = 30.0
    """So long a device may be out of its zones: a lift, a corner without radio, a cell's edge."""
    settle_s: _Seconds = 60.0
    """So long it has to be in another ward before it counts as there: wards' radio overlaps."""
    roaming: Roaming = Roaming.STAY
    scheme: Scheme = Scheme.TEL
    addresses: dict[str, str] = {}
    """Address of the location service -> device, where it is not made of the device's GPSI."""

    def __post_init__(self) -> None:
        """Refuse what can't be meant.

        Raises:
            ConfigError: naming the key.
        """
        names = self.names
        if len(names) > ZONES_MAX:
            raise ConfigError(f"fence.zones: more than {ZONES_MAX}, with areas")
        if len(set(names)) < len(names):
            raise ConfigError("fence.zones: a zone or area is named twice")
        if names and not self.campus:
            raise ConfigError("fence.zones: none of them is the campus")
        members: dict[str, str] = {}
        for name, table in self.classes.items():
            for zone in table.zones:
                if zone != EVERYWHERE and zone not in names:
                    raise ConfigError(f"fence.classes.{name}.zones: there is no zone {zone}")
            for member in (*(f"kind {each}" for each in table.kinds), *table.devices):
                if member in members:
                    raise ConfigError(
                        f"fence.classes.{name}: {member} is of {members[member]}, too"
                    )
                members[member] = name

    def __bool__(self) -> bool:
        return bool(self.zones or self.areas)

    @property
    def names(self) -> tuple[str, ...]:
        """Of every zone and area."""
        return (*(each.zone for each in self.zones), *(each.name for each in self.areas))

    @property
    def campus(self) -> frozenset[str]:
        """The zones and areas of the campus."""
        return frozenset(
            (
                *(each.zone for each in self.zones if each.campus),
                *(each.name for each in self.areas if each.campus),
            )
        )

    @property
    def wards(self) -> dict[str, str]:
        """Zone or area -> ward, where it is one's."""
        found = {each.zone: each.ward for each in self.zones}
        found |= {each.name: each.ward for each in self.areas}
        return {name: ward for name, ward in found.items() if ward}
