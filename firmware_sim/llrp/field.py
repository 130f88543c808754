"""What lies before a reader's antennas, and how well it is seen; set by whoever plays the ward."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Sight(NamedTuple):
    """A tag as an antenna sees it."""

    epc: str
    """Upper-case hexadecimal, whole words."""
    antenna: int
    rssi_dbm: int


class Field:
    """Tags by place, until somebody takes them away."""

    def __init__(self, antennas: int) -> None:
        self.antennas = antennas
        self._tags: dict[str, dict[int, int]] = {}
        """By EPC: antenna -> RSSI."""
        self._missed: dict[str, int] = {}
        self._unplugged: set[int] = set()

    def put(self, epc: str, antenna: int, rssi_dbm: int = -55) -> None:
        """A tag lies before an antenna, and no longer where it lay before."""
        self._tags[epc] = {antenna: rssi_dbm}

    def also(self, epc: str, antenna: int, rssi_dbm: int = -70) -> None:
        """Another antenna sees it too: the drawer above, through the sheet metal."""
        self._tags.setdefault(epc, {})[antenna] = rssi_dbm

    def take(self, epc: str) -> None:
        """A tag is carried away."""
        self._tags.pop(epc, None)
        self._missed.pop(epc, None)

    def miss(self, epc: str, looks: int) -> None:
        """A tag is there, and is not seen the next ``looks`` times: metal, a hand, bad luck."""
        self._missed[epc] = looks

    def misses(self, epc: str) -> bool:
        """Whether a tag has not been missed as often yet as it was to be."""
        return self._missed.get(epc, 0) > 0

    def unplug(self, antenna: int) -> None:
        """An antenna's cable is pulled out."""
        self._unplugged.add(antenna)

    def plug(self, antenna: int) -> None:
        """… and put in again."""
        self._unplugged.discard(antenna)

    def connected(self, antenna: int) -> bool:
        """Whether an antenna has its cable."""
        return antenna not in self._unplugged

    def look(self, antennas: frozenset[int]) -> Iterator[Sight]:
        """What these antennas see in one pass."""
        for epc, places in self._tags.items():
            left = self._missed.get(epc, 0)
            if left:
                self._missed[epc] = left - 1
                continue
            for antenna, rssi_dbm in places.items():
                if antenna in antennas and antenna not in self._unplugged:
                    yield Sight(epc, antenna, rssi_dbm)
