"""One lane's log: segments, the active one at their end, and what of it is lost.

Rules:
- A group is durable when ``write`` returns: bytes and size through fdatasync, the segment's
  name through fsync of the directory, before the first frame in it is reported.
- A commit that fails leaves its sequence numbers to the next one, which has a greater commit
  number and supersedes whatever is left of it (rule 4 of ``recovery``; see also ``writer``).
- Segments of an earlier start are never written again, only shortened by what was copied.
- One thread writes at a time; any thread may read.
"""

from __future__ import annotations

import errno
import logging
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

from gateway.domain.errors import JournalFailedError, JournalFullError, WardgateError
from gateway.domain.labels import Lane
from gateway.journal.collect import Collected
from gateway.journal.files import Files
from gateway.journal.frame import Damage, Frame, Stamp
from gateway.journal.highwater import HighWater, Mark
from gateway.journal.holes import Holes
from gateway.journal.quarantine import Quarantine
from gateway.journal.recovery import DAMAGED, MISSING, Damaged, Found, Recovery, cut_segment
from gateway.journal.segment import Segment, SegmentReader
from gateway.journal.types import Lost, SeqRange
from gateway.journal.writer import NO_SPACE, SegmentWriter

_log = logging.getLogger(__name__)
_EPOCHS_MAX = 1000
"""Starts of the gateway that are told apart; older records count to the oldest of these."""
NOT_RETAINED = "not_retained"
DROPPED = "dropped_oldest"
ERASED = "erased"


def journal_error(error: OSError) -> WardgateError:
    """The journal's error for the system's: full, or failed."""
    kind = JournalFullError if error.errno in NO_SPACE else JournalFailedError
    return kind(f"{errno.errorcode.get(error.errno or 0, 'unknown')} from the disk")


class LaneLog:
    """The segments of one lane; made by recovering what is there."""

    def __init__(
        self,
        files: Files,
        directory: str,
        lane: Lane,
        quarantine_bytes_max: int,
        failed: Callable[[int], bool] = lambda _: False,
    ) -> None:
        files.make_directory(directory)
        self.lane = lane
        self.lock = threading.RLock()
        self._files = files
        self._directory = directory
        self.quarantine = Quarantine(files, f"{directory}/quarantine", quarantine_bytes_max)
        self._high_water = HighWater(files, f"{directory}/high-water", directory, lane)
        mark = self._high_water.load()
        self.had_mark = mark is not None
        self.recovery = Recovery(files, directory, lane, mark, failed)
        self._writer = SegmentWriter(
            files, directory, lane, self.recovery.number, self._unlink, self._recount
        )
        self._mark = mark or Mark(b"", 0, 0, 0, 0, 0, self.recovery.floor, 0)
        self.segments = self.recovery.segments
        self.holes = Holes()
        self.epochs = list(self.recovery.epochs)
        self.last_seq = max(self.recovery.last_seq, self._mark.seq)
        self.quarantined = 0
        """Damaged bytes that were copied since the last look."""
        self._kept: set[int] = set()
        """Segments whose damage could not be copied: their files stay for ever."""
        self._kept_bytes = 0
        self._closed_bytes = 0
        self._remember_epoch_of_mark()

    def _remember_epoch_of_mark(self) -> None:
        # The lost tail may have begun an epoch of which no frame is left.
        mark = self._mark
        if mark.epoch and mark.epoch_first_seq <= mark.seq:
            i = bisect_left(self.epochs, (mark.epoch_first_seq, 0))
            if mark.epoch not in [epoch for _, epoch in self.epochs]:
                self.epochs.insert(i, (mark.epoch_first_seq, mark.epoch))

    # -- opening ----------------------------------------------------------------------------

    def settle(
        self,
        log_id: bytes,
        epoch: int,
        cursors: Sequence[int],
        known: Sequence[Lost],
        segment_bytes: int,
        now_us: int,
    ) -> list[Lost]:
        """Finish recovery and begin an epoch.

        Args:
            log_id: the journal's.
            epoch: this start's.
            cursors: numbers that are known to have been given out.
            known: lost ranges that were found before.
            segment_bytes: size of new segments.
            now_us: wall time for the headers of new segments.

        Returns:
            Lost ranges that are new.

        Raises:
            JournalFullError, JournalFailedError: frames that may be in memory alone can't be
                made durable.
        """
        self.last_seq = max(self.last_seq, *cursors, 0)
        self.holes = Holes(known)
        low = min(cursors, default=self.recovery.floor)
        fresh = [
            part
            for lost in self.recovery.holes(low, self.last_seq)
            for part in self.holes.add(*lost)
        ]
        for damage in self.recovery.damaged:
            self._set_aside(damage)
        self._mark = self._mark._replace(log_id=log_id)
        self._recommit(self.recovery.unproven, segment_bytes, now_us)
        self._discard_empty()
        self._mark = self._mark._replace(
            epoch=epoch,
            epoch_first_seq=self.last_seq + 1,
            seq=self.last_seq,
            commit=max(self._mark.commit, self.recovery.commit),
            floor=self.recovery.floor,
        )
        self._write_mark()
        self.sync_mark()
        self._recount()
        del self.recovery
        return fresh

    def _recommit(self, unproven: Sequence[Found], segment_bytes: int, now_us: int) -> None:
        """Write frames that may be in the page cache alone once more, and sync them.

        Raises:
            JournalFullError: no space for that; the next opening tries again.
            JournalFailedError: the disk refused.
        """
        if not unproven:
            return
        copied: list[Segment] = []
        try:
            for found in unproven:
                with SegmentReader(self._files, found.segment.path) as reader:
                    data = reader.read(found.offset, found.end - found.offset)
                if not self._writer.fits(len(data), segment_bytes):
                    self._writer.sync()
                    self._writer.close()
                offset = self._writer.write(
                    data, found.stamp, self._mark.log_id, segment_bytes, now_us
                )
                if not copied or copied[-1] is not self._writer.active:
                    copied.append(self._writer.require())
                copied[-1].took(found.stamp, offset, offset + len(data), found.key_id)
            self._writer.sync()
        except OSError as error:
            self._writer.abandon()
            for segment in copied:
                self._unlink(segment)
            raise journal_error(error) from error
        first = unproven[0].stamp.commit
        for segment in {found.segment.number: found.segment for found in unproven}.values():
            cut_segment(self._files, segment, lambda stamp: stamp.commit < first)
            if not segment.empty and segment.number not in self._kept:
                self._shorten(segment)
        self.segments += copied

    def _shorten(self, segment: Segment) -> None:
        """Cut off what was copied, so that the next opening finds one copy of each frame."""
        try:
            fd = self._files.open(segment.path)
            try:
                self._files.truncate(fd, segment.end)
            finally:
                self._files.close(fd)
            segment.size = segment.end
        except OSError as error:
            _log.warning("could not shorten segment %016x: %s", segment.number, error)

    def _discard_empty(self) -> None:
        """Remove segments in which no frame counts (their damage was copied before)."""
        for segment in [s for s in self.segments if s.empty and s is not self._writer.active]:
            self.segments.remove(segment)
            self._unlink(segment)

    def _set_aside(self, damage: Damaged) -> None:
        segment, start, end = damage
        try:
            with SegmentReader(self._files, segment.path) as reader:
                self.quarantined += self.quarantine.keep(segment.number, start, end, reader.read)
        except OSError as error:
            self._kept.add(segment.number)
            _log.error("could not copy %d damaged bytes: %s", end - start, error)

    # -- writing ----------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Bytes on disk, the quarantine included."""
        with self.lock:
            active = self._writer.active.size if self._writer.active else 0
            return self._closed_bytes + active + self._kept_bytes + self.quarantine.bytes

    def _recount(self) -> None:
        with self.lock:
            self._closed_bytes = sum(s.size for s in self.segments if s is not self._writer.active)

    @property
    def first_seq(self) -> int:
        """The oldest record that is there, or was dropped and not yet told to everyone."""
        with self.lock:
            dropped = next(iter(self.holes), None)
            first = self._mark.floor + 1
            return first if dropped is None else min(first, dropped.first)

    def forget_losses(self, through: int) -> int:
        """Forget lost ranges that were deleted and that every destination is past.

        Returns:
            The number up to which they are forgotten.
        """
        with self.lock:
            through = min(through, self._mark.floor)
            self.holes.forget(through)
            return through

    def write(self, data: bytes, stamp: Stamp, key_id: str, segment_bytes: int) -> None:
        """Append one frame, sealed by a key, and make it durable.

        Raises:
            JournalFullError: there is no space; nothing was kept.
            JournalFailedError: the disk refused; nothing of it counts.
        """
        try:
            offset = self._writer.write(
                data, stamp, self._mark.log_id, segment_bytes, stamp.committed_us
            )
            self._writer.sync()
        except OSError as error:
            raise journal_error(error) from error
        segment = self._writer.require()
        with self.lock:
            if segment.empty:
                self.segments.append(segment)
            if stamp.records and (not self.epochs or self.epochs[-1][1] != stamp.epoch):
                self.epochs.append((stamp.first_seq, stamp.epoch))
            segment.took(stamp, offset, offset + len(data), key_id)
            self.last_seq = max(self.last_seq, stamp.last_seq)
        self._mark = self._mark._replace(seq=self.last_seq, commit=stamp.commit)
        self._write_mark()

    def _unlink(self, segment: Segment) -> None:
        if segment.number in self._kept:
            self._kept_bytes += segment.size
            return
        try:
            self._files.unlink(segment.path)
        except FileNotFoundError:
            pass
        except OSError as error:
            _log.warning("could not delete segment %016x: %s", segment.number, error)

    # -- the mark ---------------------------------------------------------------------------

    def _write_mark(self) -> None:
        self._mark = self._mark._replace(generation=self._mark.generation + 1)
        try:
            self._high_water.write(self._mark)
        except OSError as error:
            _log.warning("high-water mark of lane %s not written: %s", self.lane.name, error)

    def sync_mark(self) -> bool:
        """Make the high-water mark durable; False when the disk refuses."""
        try:
            self._high_water.sync()
        except OSError as error:
            _log.warning("high-water mark of lane %s not synced: %s", self.lane.name, error)
            return False
        return True

    @property
    def floor_commit(self) -> int:
        """Highest commit number among what was deleted."""
        return self._mark.floor_commit

    # -- retention --------------------------------------------------------------------------

    def covered(self, seq: int, commit: int) -> list[Segment]:
        """Closed segments at the log's beginning that end at or before ``seq`` and ``commit``."""
        found = []
        with self.lock:
            for segment in self.segments:
                if (
                    segment is self._writer.active
                    or segment.last_seq > seq
                    or segment.last_commit > commit
                ):
                    break
                found.append(segment)
        return found

    def oldest(self) -> Segment | None:
        """The oldest segment, closed if it was the active one; None when there is none."""
        with self.lock:
            if not self.segments:
                return None
            if self.segments[0] is self._writer.active:
                self._writer.close()
            return self.segments[0]

    def delete(self, segments: Sequence[Segment]) -> bool:
        """Delete segments from the log's beginning; False when the floor can't be made durable."""
        if not segments:
            return True
        last = segments[-1]
        before = self._mark
        self._mark = before._replace(
            floor=max(before.floor, last.last_seq),
            floor_commit=max(before.floor_commit, last.last_commit),
        )
        self._write_mark()
        if not self.sync_mark():
            self._mark = before._replace(generation=self._mark.generation)
            return False
        with self.lock:
            self.segments = [s for s in self.segments if s not in segments]
        for segment in segments:
            self._unlink(segment)
        self._recount()
        return True

    # -- reading ----------------------------------------------------------------------------

    def epoch_of(self, seq: int) -> int:
        """The epoch of a record; 0 when the lane never held one."""
        with self.lock:
            i = bisect_right(self.epochs, seq, key=lambda entry: entry[0]) - 1
            return self.epochs[max(i, 0)][1] if self.epochs else 0

    def epoch_end(self, seq: int) -> int:
        """The last number before the epoch changes behind ``seq``."""
        with self.lock:
            i = bisect_right(self.epochs, seq, key=lambda entry: entry[0])
            return self.epochs[i][0] - 1 if i < len(self.epochs) else self.last_seq

    def lost_at(self, seq: int) -> Lost | None:
        """The lost range that holds ``seq``."""
        with self.lock:
            lost = self.holes.at(seq)
            if lost is not None or seq > self._mark.floor:
                return lost
            following = self.holes.after(seq)
            last = self._mark.floor
            if following is not None:
                last = min(last, following.first - 1)
            return Lost(seq, last, NOT_RETAINED)

    def read(self, seq: int, records_max: int, bytes_max: int) -> tuple[list[Frame], list[Lost]]:
        """Frames from the one that holds ``seq`` on, out of one segment, up to the first hole.

        Returns:
            The frames, and ranges that turned out to be damaged only now.
        """
        with self.lock:
            i = bisect_left(self.segments, seq, key=lambda s: s.last_seq)
            if seq <= self._mark.floor:
                return [], []
            if i >= len(self.segments):
                return [], self.holes.add(seq, self.last_seq, MISSING)
            segment = self.segments[i]
            start, end, last = segment.offset_before(seq), segment.end, segment.last_seq
        found = Collected(seq, records_max, bytes_max)
        try:
            with SegmentReader(self._files, segment.path) as reader:
                for item in reader.scan(start, end):
                    if not found.take(item):
                        break
        except FileNotFoundError:
            # Deleted by retention meanwhile, and the caller looks again; or by somebody else.
            with self.lock:
                gone = segment in self.segments
                return [], self.holes.add(seq, last, MISSING) if gone else []
        if found.frames or self.lost_at(seq):
            return found.frames, []
        return [], self.lose(segment, found.damages, seq, min(found.following - 1, last))

    def lose(
        self, segment: Segment, damages: Sequence[Damage], first: int, last: int
    ) -> list[Lost]:
        """Records turned out to be damaged after opening."""
        for damage in damages:
            self._set_aside(Damaged(segment, damage.start, damage.end))
        with self.lock:
            return self.holes.add(first, last, DAMAGED)

    def key_ids(self) -> set[str]:
        """Every key that sealed a frame which is there."""
        with self.lock:
            return {key_id for segment in self.segments for key_id in segment.keys}

    def sealed_by(self, erased: Callable[[str], bool]) -> list[SeqRange]:
        """The records that are sealed by keys of which ``erased`` is true."""
        with self.lock:
            return [
                seqs
                for segment in self.segments
                for key_id, seqs in segment.keys.items()
                if erased(key_id)
            ]

    def lose_erased(self, first: int, last: int) -> list[Lost]:
        """Records whose key was destroyed; return what was not known to be lost."""
        with self.lock:
            return self.holes.add(max(first, self._mark.floor + 1), last, ERASED)

    def lose_frame(self, frame: Frame) -> list[Lost]:
        """A frame whose CRC holds but whose seal does not."""
        stamp = frame.header.stamp
        with self.lock:
            i = bisect_left(self.segments, stamp.first_seq, key=lambda s: s.last_seq)
            segment = self.segments[i]
        return self.lose(
            segment, [Damage(frame.offset, frame.end)], stamp.first_seq, stamp.last_seq
        )

    def segments_after(self, commit: int) -> list[Segment]:
        """Segments with frames above a commit number."""
        with self.lock:
            return [segment for segment in self.segments if segment.last_commit > commit]

    def committed_us(self, seq: int) -> int:
        """When about a record was committed (its segment began then); 0 if it is not there."""
        with self.lock:
            i = bisect_left(self.segments, seq, key=lambda s: s.last_seq)
            return self.segments[i].first_us if i < len(self.segments) else 0

    def remember_epochs(self, known: Sequence[tuple[int, int]]) -> None:
        """Add what an earlier start knew of records that are no longer there."""
        with self.lock:
            first = self.epochs[0][0] if self.epochs else self.last_seq + 1
            self.epochs[:0] = [entry for entry in known if entry[0] < first]
            while len(self.epochs) > _EPOCHS_MAX:
                del self.epochs[0]

    def close(self) -> None:
        """Close every file; the mark is made durable first."""
        self.sync_mark()
        self._high_water.close()
        self._writer.close()
