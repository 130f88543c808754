"""What a lane's files say after a stop of any kind, however bad they look.

Rules, in the order in which they are applied to the frames as they lie (segments by number,
frames by position):

1. Bytes that are no frame are damage; the scan goes on behind them.
2. A frame whose commit number is not above what retention deleted, or is below that of a
   frame before it, is an old copy: ignored.
3. A frame that begins at or below the last accepted record supersedes what it overlaps: the
   earlier frame is the remains of a commit that failed (its sync was refused, nobody was told
   that it was durable), or the same frame before it was re-committed.
4. Numbers between the floor (deleted by retention) and the top (the greatest of the last
   frame, the high-water mark and every cursor) that no accepted frame holds are lost.
5. Accepted frames above the high-water mark were perhaps never synced, although they can be
   read: they may be in the page cache alone. They are *unproven*: the lane commits them again
   before anything relies on them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gateway.journal.files import Files
from gateway.journal.frame import Damage, Frame, Stamp
from gateway.journal.highwater import Mark
from gateway.journal.holes import Holes
from gateway.journal.segment import (
    HEADER_BYTES,
    Segment,
    SegmentReader,
    decode_segment_header,
    segment_number,
)

DAMAGED = "journal_damaged"
TAIL_LOST = "journal_tail_lost"
MISSING = "journal_missing"
SAMPLES_PER_KEY = 2


class Run(NamedTuple):
    """Consecutive records that are there."""

    first: int
    last: int
    after_damage: bool
    """Damage lies between this run and the one before it."""


class Unproven(NamedTuple):
    """An accepted frame that may never have been synced."""

    segment: Segment
    offset: int
    end: int
    stamp: Stamp


class Damaged(NamedTuple):
    """Damaged bytes of a segment."""

    segment: Segment
    start: int
    end: int


class Recovery:
    """Scans one lane's segments; the result is in its attributes."""

    def __init__(self, files: Files, directory: str, lane: int, mark: Mark | None) -> None:
        self._files = files
        self._lane = lane
        self._mark = mark
        self._after_damage = False
        self.segments: list[Segment] = []
        self.runs: list[Run] = []
        self.epochs: list[tuple[int, int]] = []
        """(first sequence number, epoch), in order."""
        self.unproven: list[Unproven] = []
        self.damaged: list[Damaged] = []
        self.log_ids: set[bytes] = set() if mark is None else {mark.log_id}
        self.samples: dict[str, list[Frame]] = {}
        """The first and the last frame of each key."""
        self.commit = 0 if mark is None else max(mark.commit, mark.floor_commit)
        self.epoch = 0 if mark is None else mark.epoch
        self.number = 0
        """Highest segment number ever seen."""
        self._seen_commit = 0 if mark is None else mark.floor_commit
        numbers = sorted(
            number
            for name in files.names(directory)
            if (number := segment_number(name)) is not None
        )
        for number in numbers:
            self.number = number
            self._scan(Segment(number, f"{directory}/{number:016x}.seg", 1, 0))
        first = self.runs[0].first - 1 if self.runs else 0
        self.floor = first if mark is None else mark.floor
        if mark is None:
            last = next((s for s in reversed(self.segments) if not s.empty), None)
            self.unproven = [u for u in self.unproven if u.segment is last]

    @property
    def last_seq(self) -> int:
        """The last record that is there."""
        return self.runs[-1].last if self.runs else self.floor

    def holes(self, low: int, top: int) -> Holes:
        """Every number of floor+1..top that is not there; from low+1 on without a mark."""
        holes = Holes()
        if self._mark is None and low < self.floor:
            holes.add(low + 1, self.floor, MISSING)
        expected = self.floor + 1
        for run in self.runs:
            if run.first > expected:
                holes.add(expected, run.first - 1, DAMAGED if run.after_damage else TAIL_LOST)
            expected = run.last + 1
        if self._mark is None:
            self.floor = min(self.floor, low)
        if expected <= top:
            holes.add(expected, top, DAMAGED if self._after_damage else TAIL_LOST)
        return holes

    def _scan(self, segment: Segment) -> None:
        self.segments.append(segment)
        with SegmentReader(self._files, segment.path) as reader:
            segment.size = reader.size()
            header = decode_segment_header(self._lane, reader.read(0, HEADER_BYTES))
            if header is not None:
                self.log_ids.add(header.log_id)
                self.epoch = max(self.epoch, header.epoch)
            elif segment.size:
                self._found_damage(segment, 0, min(HEADER_BYTES, segment.size))
            for item in reader.scan(HEADER_BYTES, segment.size):
                if isinstance(item, Damage) or item.header.stamp.lane != self._lane:
                    end = item.end
                    start = item.start if isinstance(item, Damage) else item.offset
                    self._found_damage(segment, start, end)
                else:
                    self._found_frame(segment, item)

    def _found_damage(self, segment: Segment, start: int, end: int) -> None:
        self.damaged.append(Damaged(segment, start, end))
        self._after_damage = True

    def _found_frame(self, segment: Segment, frame: Frame) -> None:
        stamp = frame.header.stamp
        floor_commit = 0 if self._mark is None else self._mark.floor_commit
        if stamp.commit <= floor_commit or stamp.commit < self._seen_commit:
            return
        if self.runs and stamp.first_seq <= self.runs[-1].last:
            self._supersede(stamp.first_seq)
        self._seen_commit = stamp.commit
        self.commit = max(self.commit, stamp.commit)
        self.epoch = max(self.epoch, stamp.epoch)
        if not self.epochs or self.epochs[-1][1] != stamp.epoch:
            self.epochs.append((stamp.first_seq, stamp.epoch))
        if stamp.records:
            self._extend(stamp.first_seq, stamp.last_seq)
        segment.took(stamp, frame.offset, frame.end)
        samples = self.samples.setdefault(frame.header.key_id, [])
        samples[1:] = [frame] if samples else []
        if not samples:
            samples.append(frame)
        if self._mark is None or stamp.commit > self._mark.commit:
            self.unproven.append(Unproven(segment, frame.offset, frame.end, stamp))

    def _extend(self, first: int, last: int) -> None:
        if self.runs and self.runs[-1].last == first - 1:
            self.runs[-1] = self.runs[-1]._replace(last=last)
        else:
            self.runs.append(Run(first, last, self._after_damage))
        self._after_damage = False

    def _supersede(self, seq: int) -> None:
        """Take back every accepted frame that holds ``seq`` or what is behind it."""

        def stands(stamp: Stamp) -> bool:
            return stamp.records == 0 or stamp.last_seq < seq

        while self.runs and self.runs[-1].first >= seq:
            self.runs.pop()
        if self.runs and self.runs[-1].last >= seq:
            self.runs[-1] = self.runs[-1]._replace(last=seq - 1)
        while self.epochs and self.epochs[-1][0] >= seq:
            self.epochs.pop()
        self.unproven = [u for u in self.unproven if stands(u.stamp)]
        for segment in reversed(self.segments):
            if segment.empty:
                continue
            if segment.last_seq < seq:
                break
            cut_segment(self._files, segment, stands)


def cut_segment(files: Files, segment: Segment, keep: Callable[[Stamp], bool]) -> None:
    """Let only the frames count that lie before the first one that ``keep`` refuses."""
    end, commit = segment.end, segment.first_commit
    segment.restart()
    with SegmentReader(files, segment.path) as reader:
        for item in reader.scan(HEADER_BYTES, end):
            if isinstance(item, Damage) or item.header.stamp.commit < commit:
                continue
            if not keep(item.header.stamp):
                return
            commit = item.header.stamp.commit
            segment.took(item.header.stamp, item.offset, item.end)
