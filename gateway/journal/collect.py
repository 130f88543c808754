"""Which frames of a scan make one answer to a reader."""

from __future__ import annotations

from gateway.journal.frame import Damage, Frame


class Collected:
    """Consecutive frames of a scan, up to limits."""

    def __init__(self, seq: int, records_max: int, bytes_max: int) -> None:
        self._want = seq
        self._records_left = records_max
        self._bytes_left = bytes_max
        self.frames: list[Frame] = []
        self.damages: list[Damage] = []
        self.following = 1 << 63
        """First record behind a hole at the wanted place."""

    def take(self, item: Frame | Damage) -> bool:
        """Take the next item; False when it is enough."""
        if isinstance(item, Damage):
            self.damages.append(item)
            return True
        stamp = item.header.stamp
        if stamp.records == 0 or stamp.last_seq < self._want:
            self.damages.clear()
            return True
        if stamp.first_seq > self._want:
            self.following = stamp.first_seq
            return False
        if self.frames and (
            stamp.records > self._records_left or len(item.sealed) > self._bytes_left
        ):
            return False
        self.frames.append(item)
        self._want = stamp.last_seq + 1
        self._records_left -= stamp.records
        self._bytes_left -= len(item.sealed)
        return True
