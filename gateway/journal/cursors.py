"""How far each destination has acknowledged each lane.

Cursors live in memory and are written to SQLite lazily: an older cursor after a crash only
means that the destination is offered again what it has, and receivers are idempotent.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from gateway.domain.labels import Lane


class Cursors:
    """Cumulative positions by (destination, lane); thread-safe."""

    def __init__(self, stored: Iterable[tuple[str, int, int]] = ()) -> None:
        self._lock = threading.Lock()
        self._at = {(destination, Lane(lane)): seq for destination, lane, seq in stored}
        self.dirty = False

    def get(self, destination: str, lane: Lane) -> int | None:
        """The last record that the destination holds durably; None for an unknown one."""
        return self._at.get((destination, lane))

    def advance(self, destination: str, lane: Lane, seq: int) -> None:
        """Move forward to ``seq``; going back is ignored.

        Raises:
            KeyError: a destination that was not set.
        """
        with self._lock:
            if seq > self._at[destination, lane]:
                self._at[destination, lane] = seq
                self.dirty = True

    def of(self, lane: Lane) -> list[int]:
        """Every destination's position in a lane."""
        with self._lock:
            return [seq for (_, of_lane), seq in self._at.items() if of_lane == lane]

    def names(self) -> set[str]:
        """The destinations that have cursors."""
        with self._lock:
            return {destination for destination, _ in self._at}

    def set(self, names: Sequence[str], start: dict[Lane, int]) -> None:
        """Keep the cursors of ``names`` only; unknown ones begin at ``start``."""
        with self._lock:
            self._at = {
                (name, lane): self._at.get((name, lane), seq)
                for name in names
                for lane, seq in start.items()
            }
            self.dirty = True

    def snapshot(self) -> list[tuple[str, int, int]]:
        """Every cursor, to be stored; clears ``dirty``."""
        with self._lock:
            self.dirty = False
            return [(name, int(lane), seq) for (name, lane), seq in self._at.items()]
