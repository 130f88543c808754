"""Small committed facts: what StateDeltas say, in memory, with a checkpoint in SQLite.

A delta is durable with the frame that carries it. The checkpoint only saves reading frames
again: it names the commit number up to which it holds everything, and what is behind it is
replayed from the log at open. Both lanes share one row of commit numbers, so the order of
deltas is the order of commits.

The checkpoint also names the last commit of each lane. A frame of a lane that is behind that,
but not behind the checkpoint as a whole, was written and failed: commits are made one after the
other, and an acknowledged one would have been applied before its successor.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from gateway.domain.ports import StateDelta


class Checkpoint:
    """What changed since the last checkpoint, and the commit number that it reaches."""

    def __init__(
        self, commits: dict[int, int], changes: dict[tuple[str, str], bytes | None]
    ) -> None:
        self.commits = commits
        self.changes = changes


class State:
    """Implements ``gateway.domain.ports.StateView``; thread-safe."""

    def __init__(
        self,
        stored: Iterable[tuple[str, str, bytes]] = (),
        commits: Mapping[int, int] | None = None,
        changed: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Begin with what was stored; ``changed`` is written again by the next checkpoint."""
        self._lock = threading.Lock()
        self._spaces: dict[str, dict[str, bytes]] = {}
        for space, key, value in stored:
            self._spaces.setdefault(space, {})[key] = value
        self._changed = set(changed)
        self._commits = dict(commits or {})
        self.stored_commit = self.commit
        """Everything up to this commit is in the durable checkpoint."""

    @property
    def commit(self) -> int:
        """Everything up to this commit is applied."""
        return max(self._commits.values(), default=0)

    def failed_commit(self, lane: int, commit: int) -> bool:
        """Whether a frame's commit is known to have failed (see above); asked while opening."""
        return self._commits.get(lane, 0) < commit <= self.stored_commit

    def items(self, space: str) -> Mapping[str, bytes]:
        """A copy of everything in ``space``."""
        with self._lock:
            return dict(self._spaces.get(space, {}))

    def get(self, space: str, key: str) -> bytes | None:
        """One of these; None: it is not there."""
        with self._lock:
            return self._spaces.get(space, {}).get(key)

    def apply(self, deltas: Iterable[StateDelta], lane: int, commit: int) -> None:
        """Take the deltas of one durable commit."""
        with self._lock:
            self._commits[lane] = max(self._commits.get(lane, 0), commit)
            for space, key, value in deltas:
                if value is None:
                    self._spaces.get(space, {}).pop(key, None)
                else:
                    self._spaces.setdefault(space, {})[key] = value
                self._changed.add((space, key))

    def touch(self) -> None:
        """Let the next checkpoint write everything anew."""
        with self._lock:
            self._changed.update((s, key) for s, keys in self._spaces.items() for key in keys)

    def checkpoint(self) -> Checkpoint:
        """What a checkpoint has to write now."""
        with self._lock:
            changed, self._changed = self._changed, set()
            return Checkpoint(
                dict(self._commits),
                {(space, key): self._spaces.get(space, {}).get(key) for space, key in changed},
            )

    def stored(self, checkpoint: Checkpoint) -> None:
        """The checkpoint is durable."""
        with self._lock:
            self.stored_commit = max(checkpoint.commits.values(), default=0)

    def failed(self, checkpoint: Checkpoint) -> None:
        """The checkpoint was not written: its changes go into the next one."""
        with self._lock:
            self._changed.update(checkpoint.changes)
