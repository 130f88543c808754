"""Reading committed groups: from memory where they are recent, else from the disk.

Any number of threads read at a time. What turns out to be damaged only now is reported as lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from gateway.domain.errors import KeyErasedError, MalformedError, SealBrokenError
from gateway.domain.labels import Lane
from gateway.journal.body import decode_body
from gateway.journal.cache import RecentGroups
from gateway.journal.frame import Frame
from gateway.journal.lane import ERASED, LaneLog
from gateway.journal.types import Lost, StoredGroup

_log = logging.getLogger(__name__)


class Reader:
    """The reading side of a journal.

    Args:
        lanes: the logs.
        cache_bytes: of recent groups, per lane.
        unseal: opens a frame.
        lose: takes ranges that were found to be lost.
    """

    def __init__(
        self,
        lanes: Mapping[Lane, LaneLog],
        cache_bytes: int,
        unseal: Callable[[Frame], bytes],
        lose: Callable[[LaneLog, Iterable[Lost]], None],
    ) -> None:
        self._lanes = lanes
        self._recent = {lane: RecentGroups(cache_bytes) for lane in Lane}
        self._unseal = unseal
        self._lose = lose

    def committed(self, lane: Lane, group: StoredGroup) -> None:
        """Remember a group that was committed just now."""
        self._recent[lane].add(group)

    def forget(self) -> None:
        """Keep nothing in memory of what was committed before."""
        for recent in self._recent.values():
            recent.clear()

    def read(
        self, lane: Lane, after_seq: int, records_max: int, bytes_max: int
    ) -> list[StoredGroup]:
        """See ``Journal.read``."""
        log = self._lanes[lane]
        seq = after_seq + 1
        while seq <= log.last_seq:
            lost = log.lost_at(seq)
            if lost is not None:
                return [self._lost_group(log, seq, lost)]
            groups = self._recent[lane].get(seq, records_max, bytes_max)
            if groups:
                return groups
            frames, fresh = log.read(seq, records_max, bytes_max)
            groups = []
            for frame in frames:
                group = self._group(log, frame)
                if group is None:
                    break
                groups.append(group)
            self._lose(log, fresh)
            if groups:
                return groups
        return []

    def _group(self, log: LaneLog, frame: Frame) -> StoredGroup | None:
        stamp = frame.header.stamp
        try:
            sections, _ = decode_body(self._unseal(frame))
        except KeyErasedError:
            # Its key went a moment ago, or every destination has it and somebody reads it again.
            gone = Lost(stamp.first_seq, stamp.last_seq, ERASED)
            return StoredGroup(stamp.first_seq, stamp.last_seq, "", (), (gone,), stamp.epoch)
        except (SealBrokenError, MalformedError) as error:
            _log.error("records %d..%d do not open: %s", stamp.first_seq, stamp.last_seq, error)
            self._lose(log, log.lose_frame(frame))
            return None
        return StoredGroup(
            stamp.first_seq,
            stamp.last_seq,
            stamp.policy_version,
            sections,
            (),
            stamp.epoch,
            stamp.committed_us,
        )

    def _lost_group(self, log: LaneLog, seq: int, lost: Lost) -> StoredGroup:
        last = min(lost.last, log.epoch_end(seq))
        part = Lost(seq, last, lost.reason)
        return StoredGroup(seq, last, "", (), (part,), log.epoch_of(seq))
