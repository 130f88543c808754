"""Small committed facts: what StateDeltas say, in memory, with a checkpoint in SQLite.

A delta is durable with the frame that carries it. The checkpoint only saves reading frames
again: it names the commit number up to which it holds everything, and what is behind it is
replayed from the log at open. Both lanes share one row of commit numbers, so the order of
deltas is the order of commits.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from gateway.domain.ports import StateDelta


class Checkpoint:
    """What changed since the last checkpoint, and the commit number that it reaches."""

    def __init__(self, commit: int, changes: dict[tuple[str, str], bytes | None]) -> None:
        self.commit = commit
        self.changes = changes


class State:
    """Implements ``gateway.domain.ports.StateView``; thread-safe."""

    def __init__(self, stored: Iterable[tuple[str, str, bytes]] = (), commit: int = 0) -> None:
        self._lock = threading.Lock()
        self._spaces: dict[str, dict[str, bytes]] = {}
        for space, key, value in stored:
            self._spaces.setdefault(space, {})[key] = value
        self._changed: set[tuple[str, str]] = set()
        self.commit = commit
        """Everything up to this commit is applied."""
        self.stored_commit = commit
        """Everything up to this commit is in the durable checkpoint."""

    def items(self, space: str) -> Mapping[str, bytes]:
        """A copy of everything in ``space``."""
        with self._lock:
            return dict(self._spaces.get(space, {}))

    def apply(self, deltas: Iterable[StateDelta], commit: int) -> None:
        """Take the deltas of one durable commit."""
        with self._lock:
            self.commit = max(self.commit, commit)
            for space, key, value in deltas:
                if value is None:
                    self._spaces.get(space, {}).pop(key, None)
                else:
                    self._spaces.setdefault(space, {})[key] = value
                self._changed.add((space, key))

    def checkpoint(self) -> Checkpoint:
        """What a checkpoint has to write now."""
        with self._lock:
            changed, self._changed = self._changed, set()
            return Checkpoint(
                self.commit,
                {(space, key): self._spaces.get(space, {}).get(key) for space, key in changed},
            )

    def stored(self, checkpoint: Checkpoint) -> None:
        """The checkpoint is durable."""
        with self._lock:
            self.stored_commit = checkpoint.commit

    def failed(self, checkpoint: Checkpoint) -> None:
        """The checkpoint was not written: its changes go into the next one."""
        with self._lock:
            self._changed.update(checkpoint.changes)
