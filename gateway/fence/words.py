"""What the network said of one device and each zone: which word counts.

Rules:

* Words with a time of the network's are ordered by it, among themselves alone: that clock may be
  behind ours, or ahead; then it counts as now at the latest.
* Words without one are ordered by ours: when they were heard, or, of an answer, when it was asked.
* That a device is no longer seen in a zone takes back that it is there. That it left, it does not.

No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class _Word(NamedTuple):
    here: bool
    said_us: int
    """By the network's clock; 0: it never said."""
    heard_us: int
    """By ours."""

    @property
    def at_us(self) -> int:
        return self.said_us or self.heard_us


_NONE = _Word(here=False, said_us=0, heard_us=0)


class Words:
    """Bounded by the zones."""

    def __init__(self) -> None:
        self._of: dict[str, _Word] = {}

    @property
    def zones(self) -> frozenset[str]:
        """Where the device is."""
        return frozenset(zone for zone, word in self._of.items() if word.here)

    @property
    def newest_us(self) -> int:
        """The newest word; 0: none."""
        return max((word.at_us for word in self._of.values()), default=0)

    def newest(self, zones: Iterable[str]) -> str:
        """The zone of the newest word among these; empty: there is none."""
        return max(zones, key=lambda zone: (self._of[zone].at_us, zone), default="")

    def clear(self) -> None:
        """Know nothing."""
        self._of.clear()

    def told(self, zone: str, at_us: int, now_us: int, *, here: bool) -> bool:
        """Somebody says so; whether it is no older than what is known.

        Args:
            zone: which.
            at_us: by the network's clock; 0: it did not say.
            now_us: by ours.
            here: whether it is there now.
        """
        before = self._of.get(zone, _NONE)
        said_us = min(at_us, now_us)
        if said_us and said_us < before.said_us:
            return False
        self._of[zone] = _Word(here, said_us or before.said_us, now_us)
        return True

    def seen(self, zone: str, at_us: int, asked_us: int) -> None:
        """It was asked for, and is there.

        Args:
            zone: which.
            at_us: since when that is known, by the network's clock; 0: it did not say.
            asked_us: when it was asked, by ours.
        """
        before = self._of.get(zone, _NONE)
        said_us = min(at_us, asked_us)
        if said_us < before.said_us if said_us else before.here:
            return
        if said_us <= before.said_us and asked_us < before.heard_us:
            return  # what was heard meanwhile is newer
        self._of[zone] = _Word(here=True, said_us=said_us or before.said_us, heard_us=asked_us)

    def unseen(self, zone: str, asked_us: int) -> None:
        """It was asked for, and is not there: nobody said that it left."""
        word = self._of.get(zone, _NONE)
        if word.here and word.heard_us <= asked_us:
            del self._of[zone]
