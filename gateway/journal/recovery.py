"""What a lane's files say after a stop of any kind, however bad they look.

A frame is known by its commit number: numbers are given out once, in the order of commits, so
two frames with the same number are copies of one. Rules:

1. Bytes that are no frame are damage; the scan goes on behind them.
2. Frames up to the commit number that retention deleted are old copies: ignored.
3. Frames count in the order of their commit numbers, which is the order in which they lie
   but for copies that an interrupted recovery left; of two copies the later one counts.
4. A frame that begins at or below the last record before it supersedes what it overlaps: the
   earlier frame is the remains of a commit that failed (its sync was refused, nobody was told
   that it was durable, and its numbers were given out again).
5. Numbers between the floor (deleted by retention) and the top (the greatest of the last
   frame, the high-water mark and every cursor) that no frame holds are lost.
6. A frame above the high-water mark of whose commit it is known that it failed, because the
   state's checkpoint knows a later commit but not this one, does not count.
7. Frames above the high-water mark were perhaps never synced, although they can be read: they
   may be in the page cache alone. They are *unproven*: the lane commits them again before
   anything relies on them. So it does with all from the first one on that lies out of order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from gateway.journal.files import Files
from gateway.journal.frame import Damage, Stamp
from gateway.journal.highwater import Mark
from gateway.journal.holes import Holes
from gateway.journal.segment import (
    HEADER_BYTES,
    Segment,
    SegmentReader,
    decode_segment_header,
    segment_name,
    segment_number,
)

DAMAGED = "journal_damaged"
TAIL_LOST = "journal_tail_lost"
MISSING = "journal_missing"


class Run(NamedTuple):
    """Consecutive records that are there."""

    first: int
    last: int
    after_damage: bool
    """Damage lies between this run and the one before it."""


class Found(NamedTuple):
    """A whole frame and where it lies."""

    segment: Segment
    offset: int
    end: int
    stamp: Stamp
    key_id: str

    @property
    def place(self) -> tuple[int, int]:
        """Sorts frames as they lie."""
        return self.segment.number, self.offset


class Damaged(NamedTuple):
    """Damaged bytes of a segment."""

    segment: Segment
    start: int
    end: int


class Recovery:
    """Scans one lane's segments; the result is in its attributes."""

    def __init__(
        self,
        files: Files,
        directory: str,
        lane: int,
        mark: Mark | None,
        failed: Callable[[int], bool],
    ) -> None:
        self._files = files
        self._lane = lane
        self._mark = mark
        self._failed = failed
        self._floor_commit = 0 if mark is None else mark.floor_commit
        self.damaged: list[Damaged] = []
        self.log_ids: set[bytes] = set() if mark is None else {mark.log_id}
        self.epoch = 0 if mark is None else mark.epoch
        numbers = sorted(
            number
            for name in files.names(directory)
            if (number := segment_number(name)) is not None
        )
        self.number = numbers[-1] if numbers else 0
        """Highest segment number ever seen."""
        self.segments = [Segment(n, f"{directory}/{segment_name(n)}", 1, 0) for n in numbers]
        self.runs: list[Run] = []
        self.epochs: list[tuple[int, int]] = []
        """(first sequence number, epoch), in order."""
        self.unproven: list[Found] = []
        self.samples: dict[str, tuple[Found, Found]] = {}
        """The first and the last frame of each key."""
        self._forget()
        back = [found.stamp.commit for found in self._scan() if not self._accept_next(found)]
        if back:
            self._untangle(min(back))
        if mark is None and not self._tangled:
            # Segments before the last one were left after a successful sync.
            last = next((s for s in reversed(self.segments) if not s.empty), None)
            self.unproven = [u for u in self.unproven if u.segment is last]
        first = self.runs[0].first - 1 if self.runs else 0
        self.floor = first if mark is None else mark.floor

    def _forget(self) -> None:
        self._after_damage = False
        self._tangled = False
        self.runs = []
        self.epochs = []
        self.unproven = []
        self.samples = {}
        self.commit = max(self._floor_commit, 0 if self._mark is None else self._mark.commit)
        self._seen_commit = self._floor_commit
        for segment in self.segments:
            segment.restart()

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

    def _scan(self) -> Iterator[Found]:
        """Every frame as it lies; notes damage by the way."""
        self.damaged = []
        for segment in self.segments:
            with SegmentReader(self._files, segment.path) as reader:
                segment.size = reader.size()
                header = decode_segment_header(self._lane, reader.read(0, HEADER_BYTES))
                if header is not None:
                    self.log_ids.add(header.log_id)
                    self.epoch = max(self.epoch, header.epoch)
                elif segment.size:
                    self._note_damage(segment, 0, min(HEADER_BYTES, segment.size))
                for item in reader.scan(HEADER_BYTES, segment.size):
                    if isinstance(item, Damage):
                        self._note_damage(segment, item.start, item.end)
                    elif item.header.stamp.lane != self._lane:
                        self._note_damage(segment, item.offset, item.end)
                    elif self._counts(item.header.stamp.commit):
                        stamp, key_id = item.header.stamp, item.header.key_id
                        yield Found(segment, item.offset, item.end, stamp, key_id)

    def _counts(self, commit: int) -> bool:
        if commit <= self._floor_commit:
            return False
        unproven = self._mark is None or commit > self._mark.commit
        return not (unproven and self._failed(commit))

    def _note_damage(self, segment: Segment, start: int, end: int) -> None:
        self.damaged.append(Damaged(segment, start, end))
        self._after_damage = True

    def _untangle(self, commit: int) -> None:
        """Copies lie behind newer frames: order everything from ``commit`` on by number."""
        self._forget()
        copies: dict[int, Found] = {}
        for found in self._scan():
            if found.stamp.commit < commit:
                self._accept_next(found)
            else:
                copies[found.stamp.commit] = found
        self._after_damage = bool(self.damaged)
        last = max((s.number for s in self.segments if not s.empty), default=0), 0
        for number in sorted(copies):
            found = copies[number]
            self._tangled = self._tangled or found.place < last
            last = max(last, found.place)
            self._accept_next(found)

    def _accept_next(self, found: Found) -> bool:
        """Take the next frame; False, and nothing is taken, if its commit number is no greater."""
        stamp = found.stamp
        if stamp.commit <= self._seen_commit:
            return False
        if self.runs and stamp.first_seq <= self.runs[-1].last:
            self._supersede(stamp.first_seq)
        self._seen_commit = stamp.commit
        self.commit = max(self.commit, stamp.commit)
        self.epoch = max(self.epoch, stamp.epoch)
        if stamp.records:
            if not self.epochs or self.epochs[-1][1] != stamp.epoch:
                self.epochs.append((stamp.first_seq, stamp.epoch))
            self._extend(stamp.first_seq, stamp.last_seq)
        first, _ = self.samples.get(found.key_id, (found, found))
        self.samples[found.key_id] = (first, found)
        found.segment.took(stamp, found.offset, found.end, found.key_id)
        if self._mark is None or stamp.commit > self._mark.commit or self._tangled:
            self.unproven.append(found)
        return True

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
        for segment in self.segments:
            if not segment.empty and segment.last_seq >= seq:
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
            header = item.header
            segment.took(header.stamp, item.offset, item.end, header.key_id)
