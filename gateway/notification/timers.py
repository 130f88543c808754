"""What happens at which time, by a clock that never jumps; what was overtaken is ignored."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from enum import Enum, auto
from typing import NamedTuple


class Kind(Enum):
    LEVEL = auto()
    """An alarm's next level is due."""
    LAPSE = auto()
    """An acknowledgement's time is over."""
    RETRY = auto()
    """A notification that failed is to be tried again."""
    ANSWER = auto()
    """A screen should have said by now that it shows it."""


class Timer(NamedTuple):
    """Of an alarm, and of one of its outlets where it is about one.

    ``stamp`` is what the story had when the timer was set: a story that has gone on since has no
    use for it.
    """

    kind: Kind
    alarm_id: str
    outlet: str
    stamp: int


class Timers:
    """A heap; whoever takes a timer looks whether it still means anything."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._heap)

    def set(self, mono: float, timer: Timer) -> None:
        """Something happens at a time, in seconds of the monotonic clock."""
        self._count += 1
        heapq.heappush(self._heap, (mono, self._count, timer))

    def due(self, mono: float) -> Iterator[Timer]:
        """Take those whose time has come."""
        while self._heap and self._heap[0][0] <= mono:
            yield heapq.heappop(self._heap)[2]
