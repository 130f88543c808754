"""``[[cabinets]]`` of gateway.toml: where antennas and door contacts are, and what is allowed.

An antenna is named ``reader:antenna`` (``"cabinet-reader-1:2"``), a door's contact ``reader:port``,
by the reader's device id and LLRP's AntennaID or GPIPortNum.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, NamedTuple

import msgspec

from gateway.domain.errors import ConfigError

CABINETS_MAX = 64
PLACES_MAX = 64
"""Of one cabinet; LLRP readers have 32 antennas at most, and a cabinet a few readers."""
DOORS_MAX = 16
ITEMS_MAX = 10_000
"""Of one cabinet."""

Name = Annotated[str, msgspec.Meta(pattern=r"\A[a-z][a-z0-9-]{0,31}\Z")]
"""Of a cabinet it is also the device id of its records: no device may have it."""
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Kind = Literal["standard", "controlled", "garment"]


class Spot(NamedTuple):
    """An antenna or an input of a reader."""

    reader: str
    number: int


def spot_of(text: str) -> Spot:
    """Parse ``reader:number``.

    Raises:
        ValueError: it is none.
    """
    reader, colon, number = text.rpartition(":")
    if not (colon and reader and number.isascii() and number.isdigit() and int(number) < 65536):
        raise ValueError(f"{text!r} is not reader:number")
    return Spot(reader, int(number))


class ReadsTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[cabinets.reads]``: when reads are believed."""

    reads: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    """A tag has arrived (or moved) after so many reads ..."""
    within_s: Seconds = 5.0
    """... that follow each other by no more than this."""
    move_db: Annotated[float, msgspec.Meta(ge=0, le=60)] = 6.0
    """A tag that two antennas read has moved when the other reads it stronger by this."""
    absent_s: Seconds = 10.0
    """A tag has departed when it was not read for so long after the door was closed, while the
    reader worked. Longer than any tag that lies there goes unread."""
    absent_open_s: Seconds = 60.0
    """The same while the door is open: an arm, or a drawer that is pulled out, hides tags."""
    missed_s: Seconds = 600.0
    """A tag that is not read for so long, though no door was opened, is in doubt."""
    reconcile_s: Seconds = 30.0
    """After an outage: what was not read again by then is in doubt."""
    reference_s: Seconds = 30.0
    """A place whose reference tag was not read for so long is not seen any more."""


class PlaceTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[[cabinets.places]]``: a drawer or shelf."""

    name: Name
    antennas: tuple[str, ...]
    reference: str = ""
    """EPC of a tag that is fixed there: while it is read, the antenna demonstrably works."""

    @property
    def spots(self) -> tuple[Spot, ...]:
        return tuple(map(spot_of, self.antennas))


class DoorTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[[cabinets.doors]]``: a door with a contact."""

    name: Name
    input: str
    open_when: Literal["high", "low"] = "high"
    left_open_s: Seconds = 60.0
    places: tuple[str, ...] = ()
    """What is behind it; empty: everything."""

    @property
    def spot(self) -> Spot:
        return spot_of(self.input)


class CabinetTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[[cabinets]]``."""

    name: Name
    places: tuple[PlaceTable, ...]
    kind: Kind = "standard"
    ward: str = ""
    """Where it stands, as the registry names wards: whose screens its alarms are for."""
    doors: tuple[DoorTable, ...] = ()
    badge_antennas: tuple[str, ...] = ()
    """Where badges are shown; empty: every antenna of the cabinet."""
    badge_prefixes: tuple[str, ...] = ()
    """EPCs that begin so are badges, also when no list names them."""
    badge_needed: bool = True
    """Whether a door that is opened without one is forced. Always so of a controlled cabinet."""
    badge_before_s: Seconds = 15.0
    """How long before the door is opened a badge counts."""
    badge_grace_s: Seconds = 5.0
    """And how long after."""
    roles: tuple[str, ...] = ()
    """Whose badges may open it, as the list of badges names them; empty: everybody's."""
    two_person_window_s: Seconds = 30.0
    """Of a controlled cabinet: the second person's badge follows the first's within this."""
    expires_soon_days: Annotated[int, msgspec.Meta(ge=0, le=3650)] = 30
    overdue_h: Annotated[float, msgspec.Meta(gt=0, le=8760)] = 24.0
    """Of a garment cabinet: what it issued is to be back by then."""
    items_max: Annotated[int, msgspec.Meta(ge=1, le=ITEMS_MAX)] = 2000
    reads: ReadsTable = msgspec.field(default_factory=ReadsTable)

    @property
    def persons(self) -> int:
        """How many have to show their badges."""
        if self.kind == "controlled":
            return 2
        return 1 if self.badge_needed and self.doors else 0

    @property
    def readers(self) -> frozenset[str]:
        spots = [spot for place in self.places for spot in place.spots]
        spots += [door.spot for door in self.doors]
        spots += map(spot_of, self.badge_antennas)
        return frozenset(spot.reader for spot in spots)


def check_cabinets(cabinets: tuple[CabinetTable, ...]) -> None:
    """Check what concerns several tables.

    Raises:
        ConfigError: it names the table.
    """
    if len(cabinets) > CABINETS_MAX:
        raise ConfigError(f"cabinets: more than {CABINETS_MAX}")
    _once("cabinets", (each.name for each in cabinets))
    antennas: list[Spot] = []
    inputs: list[Spot] = []
    for cabinet in cabinets:
        where = f"cabinets: {cabinet.name}"
        try:
            antennas += [spot for place in cabinet.places for spot in place.spots]
            antennas += map(spot_of, cabinet.badge_antennas)
            inputs += [door.spot for door in cabinet.doors]
        except ValueError as error:
            raise ConfigError(f"{where}: {error}") from error
        _check(cabinet, where)
    _once("cabinets: antennas", (f"{spot.reader}:{spot.number}" for spot in antennas))
    _once("cabinets: inputs", (f"{spot.reader}:{spot.number}" for spot in inputs))


def _check(cabinet: CabinetTable, where: str) -> None:
    names = [place.name for place in cabinet.places]
    if not 0 < len(names) <= PLACES_MAX:
        raise ConfigError(f"{where}: places: 1 to {PLACES_MAX}")
    if len(cabinet.doors) > DOORS_MAX:
        raise ConfigError(f"{where}: doors: more than {DOORS_MAX}")
    _once(f"{where}: places", names)
    _once(f"{where}: doors", (door.name for door in cabinet.doors))
    bare = [place.name for place in cabinet.places if not place.antennas]
    if bare:
        raise ConfigError(f"{where}: places: {bare[0]}: no antennas")
    for door in cabinet.doors:
        unknown = set(door.places) - set(names)
        if unknown:
            raise ConfigError(f"{where}: doors: {door.name}: no place {min(unknown)!r}")
    for epc in (*(place.reference for place in cabinet.places), *cabinet.badge_prefixes):
        if epc and (epc.upper() != epc or not set(epc) <= set("0123456789ABCDEF")):
            raise ConfigError(f"{where}: {epc!r} is not upper-case hexadecimal")
    if cabinet.kind == "controlled" and not (cabinet.doors and cabinet.roles):
        raise ConfigError(f"{where}: a controlled cabinet needs doors and roles")


def _once(where: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ConfigError(f"{where}: {name} is named twice")
        seen.add(name)
