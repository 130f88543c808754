"""The ranges of a lane that are known to be lost: sorted, disjoint."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from gateway.journal.types import Lost


class Holes:
    """A set of lost ranges; the first reason given for a number stays."""

    def __init__(self, ranges: Iterable[Lost] = ()) -> None:
        self._ranges: list[Lost] = []
        for first, last, reason in ranges:
            self.add(first, last, reason)

    def __iter__(self) -> Iterator[Lost]:
        return iter(self._ranges)

    def __len__(self) -> int:
        return len(self._ranges)

    def add(self, first: int, last: int, reason: str) -> list[Lost]:
        """Mark ``first..last`` as lost; return the parts that were not known yet."""
        fresh = []
        at = first
        for known in self._ranges[self._index(first) :]:
            if known.first > last:
                break
            if at < known.first:
                fresh.append(Lost(at, known.first - 1, reason))
            at = max(at, known.last + 1)
        if at <= last:
            fresh.append(Lost(at, last, reason))
        if fresh:
            self._ranges = sorted([*self._ranges, *fresh])
        return fresh

    def at(self, seq: int) -> Lost | None:
        """The range that holds ``seq``."""
        i = self._index(seq)
        if i < len(self._ranges) and self._ranges[i].first <= seq:
            return self._ranges[i]
        return None

    def after(self, seq: int) -> Lost | None:
        """The first range that begins behind ``seq``."""
        i = bisect_right(self._ranges, seq, key=lambda known: known.first)
        return self._ranges[i] if i < len(self._ranges) else None

    def forget(self, through: int) -> None:
        """Drop the ranges that end at or before ``through``."""
        self._ranges = [known for known in self._ranges if known.last > through]

    def _index(self, seq: int) -> int:
        """Index of the first range that ends at or behind ``seq``."""
        return bisect_right(self._ranges, seq - 1, key=lambda known: known.last)
