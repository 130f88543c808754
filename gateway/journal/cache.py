"""Recently committed groups in the clear, so that a caught-up forwarder unseals nothing."""

from __future__ import annotations

import threading
from bisect import bisect_right

from gateway.journal.types import StoredGroup

_GROUP_OVERHEAD_BYTES = 400
"""What the objects of a group take beside the sections' bytes, roughly."""


class RecentGroups:
    """The newest groups of one lane, consecutive, bounded in bytes; thread-safe."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._firsts: list[int] = []
        self._groups: list[StoredGroup] = []
        self._sizes: list[int] = []
        self._bytes = 0

    def add(self, group: StoredGroup) -> None:
        """A group was committed behind all others."""
        size = _GROUP_OVERHEAD_BYTES + sum(len(section.body) for section in group.sections)
        with self._lock:
            self._firsts.append(group.first_seq)
            self._groups.append(group)
            self._sizes.append(size)
            self._bytes += size
            if self._bytes > self._bytes_max:
                self._evict()

    def _evict(self) -> None:
        # Half at once, so that moving the lists costs little per group.
        count = 0
        while count < len(self._sizes) and self._bytes > self._bytes_max // 2:
            self._bytes -= self._sizes[count]
            count += 1
        del self._firsts[:count], self._groups[:count], self._sizes[:count]

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._firsts, self._groups, self._sizes, self._bytes = [], [], [], 0

    def get(self, seq: int, records_max: int, bytes_max: int) -> list[StoredGroup]:
        """Groups from the one that holds ``seq`` on; empty when it is not here."""
        with self._lock:
            i = bisect_right(self._firsts, seq) - 1
            if i < 0 or self._groups[i].last_seq < seq:
                return []
            found: list[StoredGroup] = []
            records = size = 0
            for n in range(i, len(self._groups)):
                group = self._groups[n]
                records += group.last_seq - group.first_seq + 1
                size += self._sizes[n]
                consecutive = not found or group.first_seq == found[-1].last_seq + 1
                if found and (records > records_max or size > bytes_max or not consecutive):
                    break
                found.append(group)
            return found
