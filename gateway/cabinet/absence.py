"""What it means that a tag is not read.

While a door is open its tags may be hidden by an arm or a drawer that is pulled out: they count as
absent only after ``absent_open_s``, and after it is shut the absence is counted anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway.cabinet.accesses import SLACK_US
from gateway.cabinet.config import ReadsTable
from gateway.cabinet.doors import Door
from gateway.cabinet.presence import Input, State, Tag
from gateway.cabinet.watching import SECOND_US, WatchClock


class View(NamedTuple):
    """What matters of a place for what is absent there; times are its clock's."""

    now: int | None
    """None: it is not seen."""
    shut: int
    """When a door to it was last shut."""
    doors: tuple[Door, ...]
    absent_us: int
    doubted_us: int
    missed_us: int

    @classmethod
    def of(cls, by: ReadsTable, clock: WatchClock, doors: Sequence[Door], t: int) -> View:
        """Look at a place now."""
        closed = [door.closed_t for door in doors if door.closed_t is not None]
        limit_s = by.absent_s
        if any(door.is_open for door in doors):
            limit_s = max(by.absent_open_s, by.absent_s)
        return cls(
            clock.at(t) if clock.runs else None,
            max(map(clock.at, closed), default=0),
            tuple(doors),
            int(limit_s * SECOND_US),
            int(max(by.reconcile_s, by.absent_s) * SECOND_US),
            int(max(by.missed_s, by.absent_s) * SECOND_US),
        )

    def judge(self, tag: Tag) -> Input | None:
        """What a tag's absence means; None: nothing yet."""
        if self.now is None:
            return None
        absent_us = self.now - max(tag.watched, self.shut)
        if absent_us <= self.absent_us:
            return None
        if tag.state is State.DOUBTED:
            return Input.ABSENT if absent_us > self.doubted_us else None
        since_t = tag.last.t - SLACK_US
        if not self.doors or any(door.opened_since(since_t) for door in self.doors):
            return Input.ABSENT
        if absent_us <= self.missed_us:
            return None
        unsure = any(door.unseen_since(since_t) for door in self.doors)
        return Input.ABSENT_UNSURE if unsure else Input.ABSENT_SHUT
