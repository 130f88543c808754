"""The active segment of a lane: the only file of records that is written to.

Rules:
- A write that fails is cut off, and the segment goes on where it was; after an error of the
  device, rather than of space, it is left.
- A sync that fails is never repeated and never believed afterwards: the kernel may have marked
  the pages clean without writing them, so a second fdatasync would succeed without doing
  anything, and what can be read back may be in memory alone. The segment is left: closed at
  the last synced frame, and the next group goes to a new one.
- A new segment's name is durable before its first frame can be.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable

from gateway.domain.labels import Lane
from gateway.journal.files import Files, write_all
from gateway.journal.frame import Stamp
from gateway.journal.segment import (
    HEADER_BYTES,
    Segment,
    SegmentHeader,
    encode_segment_header,
    segment_name,
)

_log = logging.getLogger(__name__)
NO_SPACE = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


class SegmentWriter:
    """Writes frames to the active segment and makes new ones; one thread at a time.

    Args:
        files: the disk.
        directory: the lane's.
        lane: for the segments' headers.
        number: the highest segment number that was ever used.
        unlink: deletes a segment in which nothing counts.
        closed: called whenever the active segment stops being it.
    """

    def __init__(
        self,
        files: Files,
        directory: str,
        lane: Lane,
        number: int,
        unlink: Callable[[Segment], None],
        closed: Callable[[], None],
    ) -> None:
        self._files = files
        self._directory = directory
        self._lane = lane
        self._number = number
        self._unlink = unlink
        self._closed = closed
        self._fd = -1
        self.active: Segment | None = None

    def fits(self, size: int, segment_bytes: int) -> bool:
        """Whether a frame goes into the active segment, or a new one is begun anyway."""
        active = self.active
        return active is None or active.empty or active.size + size <= segment_bytes

    def require(self) -> Segment:
        """The active segment.

        Raises:
            OSError: there is none.
        """
        if self.active is None:
            raise OSError(errno.EBADF, "no segment is open")
        return self.active

    def write(
        self, data: bytes, stamp: Stamp, log_id: bytes, segment_bytes: int, now_us: int
    ) -> int:
        """Write a frame behind the last one, in a new segment if need be; not durable yet.

        Returns:
            Its offset.

        Raises:
            OSError: nothing of it counts.
        """
        if not self.fits(len(data), segment_bytes):
            self.close()
        active = self.active or self._create(
            SegmentHeader(log_id, self._number + 1, stamp.first_seq, stamp.epoch, now_us)
        )
        offset = active.size
        try:
            write_all(self._files, self._fd, data, offset)
        except OSError as error:
            self._cut(offset, error)
            raise
        active.size = offset + len(data)
        return offset

    def _create(self, header: SegmentHeader) -> Segment:
        self._number = header.number
        path = f"{self._directory}/{segment_name(header.number)}"
        segment = Segment(header.number, path, header.first_seq, HEADER_BYTES)
        self._fd = self._files.create(path)
        try:
            write_all(self._files, self._fd, encode_segment_header(self._lane, header), 0)
            self._files.sync_directory(self._directory)
        except OSError:
            self.close()
            self._unlink(segment)
            raise
        self.active = segment
        return segment

    def _cut(self, size: int, error: OSError) -> None:
        """A write failed: take its bytes back, or leave the segment if even that fails."""
        try:
            self._files.truncate(self._fd, size)
        except OSError:
            self.abandon()
            return
        if error.errno not in NO_SPACE:
            self.abandon()

    def sync(self) -> None:
        """Make everything written durable.

        Raises:
            OSError: the segment was left; what was not synced before does not count.
        """
        try:
            self._files.fdatasync(self._fd)
        except OSError:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Leave the active segment for good; what was not synced in it does not count."""
        segment = self.active
        if segment is None:
            return
        _log.error("leaving segment %016x after an error of the disk", segment.number)
        try:
            self._files.truncate(self._fd, segment.end)
            segment.size = segment.end
        except OSError as error:
            _log.warning("could not cut segment %016x: %s", segment.number, error)
        self.close()
        if segment.empty:
            self._unlink(segment)

    def close(self) -> None:
        """Close the active segment; idempotent."""
        self.active = None
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            try:
                self._files.close(fd)
            except OSError as error:
                _log.warning("closing a segment: %s", error)
        self._closed()
