"""A look at one record of a journal, beside the gateway that writes it.

Nothing is written, locked or repaired: segments are opened for reading, and a frame that the
writer has only half written yet is passed over as damage is. Retention may delete a segment while
it is being read; then the search goes on with the next. What the journal says of lost ranges is the
daemon's to tell; here a record is there or it is not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from google.protobuf.message import DecodeError

from gateway.domain.errors import KeyErasedError, MalformedError, SealBrokenError
from gateway.domain.labels import DataClass, Label, Lane
from gateway.domain.records import Record
from gateway.journal.body import decode_body
from gateway.journal.files import OsFiles
from gateway.journal.frame import Frame
from gateway.journal.segment import (
    HEADER_BYTES,
    SegmentHeader,
    SegmentReader,
    decode_segment_header,
    segment_number,
)
from gateway.journal.types import Opener
from gateway.wire.records import from_message
from protos.wardgate.v1 import ingest_pb2 as pb

SEARCH_BYTES_MAX = 512 << 20
"""How much of the journal's end is searched for a message or device: minutes of one core."""


class Seen(NamedTuple):
    """One record as it lies in the journal."""

    lane: Lane
    epoch: int
    seq: int
    committed_us: int
    collected_under: str
    """Version of the release table at collection."""
    label: Label
    record: Record


class _ReadOnly(OsFiles):
    def open(self, path: str) -> int:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


class Looker:
    """Reads the journal in a directory.

    Args:
        directory: the journal's.
        opener: with the journal's keys.
    """

    def __init__(self, directory: Path, opener: Opener) -> None:
        self._directory = directory
        self._opener = opener
        self._files = _ReadOnly()

    def at(self, lane: Lane, seq: int) -> Seen | None:
        """The record of a number; None when it is not there, or its bytes are damaged.

        Raises:
            KeyMissingError: the ring lacks the key that sealed it.
            OSError: the journal can't be read.
        """
        for path, header in self._segments(lane):
            if header.first_seq <= seq:
                found = None
                for frame in self._frames(path):
                    stamp = frame.header.stamp
                    if stamp.first_seq <= seq <= stamp.last_seq:
                        within = self._records(lane, frame, header.log_id)
                        found = next((seen for seen in within if seen.seq == seq), found)
                # A segment without it can only be followed, going back, by older numbers.
                return found
        return None

    def newest(self, wanted: Callable[[Record], bool]) -> Seen | None:
        """The record that was committed last of those that are wanted.

        Looks at the last SEARCH_BYTES_MAX of both lanes together.

        Raises:
            KeyMissingError, OSError: as :meth:`at`.
        """
        left = SEARCH_BYTES_MAX
        best: Seen | None = None
        for lane in Lane:
            for path, header in self._segments(lane):
                size = _size(path)
                if size > left:
                    break
                left -= size
                found = None
                for frame in self._frames(path):
                    for seen in self._records(lane, frame, header.log_id):
                        if wanted(seen.record):
                            found = seen
                if found is not None:
                    if best is None or found.committed_us > best.committed_us:
                        best = found
                    break
        return best

    def _segments(self, lane: Lane) -> Iterator[tuple[Path, SegmentHeader]]:
        """From the newest to the oldest."""
        directory = self._directory / lane.name.lower()
        if not directory.is_dir():
            return  # an older journal has not every lane
        numbered = {
            number: path
            for path in directory.iterdir()
            if (number := segment_number(path.name)) is not None
        }
        for _, path in sorted(numbered.items(), reverse=True):
            try:
                with SegmentReader(self._files, str(path)) as reader:
                    header = decode_segment_header(lane, reader.read(0, HEADER_BYTES))
            except FileNotFoundError:
                continue
            if header is not None:
                yield path, header

    def _frames(self, path: Path) -> Iterator[Frame]:
        try:
            with SegmentReader(self._files, str(path)) as reader:
                for item in reader.scan(HEADER_BYTES, reader.size()):
                    if isinstance(item, Frame):
                        yield item
        except FileNotFoundError:
            return

    def _records(self, lane: Lane, frame: Frame, log_id: bytes) -> Iterator[Seen]:
        stamp = frame.header.stamp
        try:
            body = self._opener.open(frame.header.key_id, frame.sealed, stamp.aad(log_id))
            sections, _ = decode_body(body)
            for section in sections:
                label = Label(DataClass(section.data_class), section.level)
                message = pb.Section.FromString(section.body)
                for offset, record in zip(message.seq_offsets, message.records, strict=True):
                    yield Seen(
                        lane,
                        stamp.epoch,
                        message.first_seq + offset,
                        stamp.committed_us,
                        stamp.policy_version,
                        label,
                        from_message(record),
                    )
        except (KeyErasedError, SealBrokenError, MalformedError, DecodeError, ValueError):
            return  # damaged, or erased: the daemon tells of it


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
