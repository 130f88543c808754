"""How many there should be, and how many there are.

The *book* of a cabinet is what the last count by persons gave, moved since by what was taken or put
in by those who may. What vanished otherwise stays in it, and stands out as a difference until
persons have counted again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

CLASSES_MAX: Final = 1_000
"""Counted apart in one cabinet; further ones are counted together."""
OVERFLOW: Final = "other"


class Count(NamedTuple):
    """One class of items."""

    item_class: str
    expected: int
    found: int
    """Read there."""
    doubted: int = 0
    """Of those not found: what is in doubt."""
    counted: int = -1
    """By hand; negative: not counted."""

    @property
    def differs(self) -> bool:
        """Whether somebody has to look."""
        counted = self.found if self.counted < 0 else self.counted
        return not self.expected == self.found == counted


class Book:
    """What a cabinet should hold; nothing is expected before the first count."""

    def __init__(self) -> None:
        self.kept = False
        """Whether it was ever counted."""
        self.expected: dict[str, int] = {}

    def open(self, counts: Mapping[str, int]) -> None:
        """Begin anew with what was counted."""
        self.kept = True
        self.expected = {}
        for item_class, n in counts.items():
            self.add(item_class, n)

    def add(self, item_class: str, n: int) -> str:
        """Put in or take out; the class that it was booked under."""
        if not self.kept:
            return ""
        if item_class not in self.expected and len(self.expected) >= CLASSES_MAX:
            item_class = OVERFLOW
        self.expected[item_class] = self.expected.get(item_class, 0) + n
        if not self.expected[item_class]:
            del self.expected[item_class]
        return item_class

    def compare(
        self,
        found: Iterable[str],
        doubted: Iterable[str],
        counted: Mapping[str, int] | None = None,
    ) -> list[Count]:
        """Every class that is expected, found, in doubt or counted, by its name."""
        here, unsure = _tally(found), _tally(doubted)
        by_hand = counted or {}
        known = {*here, *unsure, *by_hand, *self.expected}
        return [
            Count(
                each,
                self.expected.get(each, 0) if self.kept else here.get(each, 0),
                here.get(each, 0),
                unsure.get(each, 0),
                by_hand.get(each, -1),
            )
            for each in sorted(known)
        ]


def _tally(classes: Iterable[str]) -> dict[str, int]:
    tally: dict[str, int] = {}
    for each in classes:
        if each not in tally and len(tally) >= CLASSES_MAX:
            each = OVERFLOW  # noqa: PLW2901  # counted together
        tally[each] = tally.get(each, 0) + 1
    return tally
