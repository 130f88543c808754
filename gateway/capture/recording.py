"""One recording under way: taps on the loop's thread, sealing and writing in another.

Rules:

- A tap appends to a list and counts; it never waits and never raises. What is not written yet is
  bounded: where the disk can't follow, the recording ends (``behind``), not the device's session.
- It ends by itself at its time or at its bytes, whichever comes first; everything that was taken
  until then is in the file.
- A disk that refuses ends it (``disk``), and harms nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from pathlib import Path
from typing import IO, Final

from gateway.capture.form import DOWN, RECEIVED, SENT, UP, End, Entries, Entry, FrameMaker, Head, up
from gateway.domain.errors import WardgateError
from gateway.domain.ports import Clock, LiveSession, Tap, Tappable, Tapped

log = logging.getLogger(__name__)

FLUSH_S: Final = 0.25
FLUSH_BYTES: Final = 256 << 10
WAITING_BYTES_MAX: Final = 4 << 20
ENTRY_BYTES: Final = 24
"""What an entry takes besides its data; counted, so that many small ones are bounded, too."""
FILE_MODE: Final = 0o600


class _SessionTap:
    """A :class:`gateway.domain.ports.Tap` of one session."""

    __slots__ = ("_number", "_recording")

    def __init__(self, recording: Recording, number: int) -> None:
        self._recording = recording
        self._number = number

    def received(self, data: bytes) -> None:
        """See :class:`Tap`."""
        self._recording.take(self._number, RECEIVED, data)

    def sent(self, data: bytes) -> None:
        """See :class:`Tap`."""
        self._recording.take(self._number, SENT, data)


class Recording:
    """Records one device's sessions until it ends."""

    def __init__(
        self, head: Head, maker: FrameMaker, path: Path, limits: tuple[float, int], clock: Clock
    ) -> None:
        """Keep the parts; opens nothing.

        Args:
            head: what the file begins with.
            maker: seals it.
            path: of the file; must not be there.
            limits: seconds, and bytes of what is said.
            clock: dates the entries.
        """
        self.head = head
        self._maker = maker
        self._path = path
        self._seconds_max, self._bytes_max = limits
        self._clock = clock
        self._waiting: list[Entry] = []
        self._waiting_bytes = 0
        self._news = asyncio.Event()
        self._sessions: dict[LiveSession, int] = {}
        self.sessions = 0
        """How many it has seen."""
        self.received_bytes = self.sent_bytes = self._overhead_bytes = 0
        self.why = ""
        """It ends or has ended; see :class:`gateway.capture.shelf.Note`."""

    # On the loop's thread.

    def join(self, session: LiveSession, *, before: bool) -> None:
        """Record a session from now on; ``before``: it was up before the recording began."""
        if self.why or not isinstance(session, Tappable):
            return
        number = self.sessions + 1
        tapped = _use(session, _SessionTap(self, number))
        if tapped is not None:
            self.sessions = self._sessions[session] = number
            self.take(number, UP, up(tapped, before=before))

    def leave(self, session: LiveSession) -> None:
        """A session has ended; nothing where it was none of ours."""
        number = self._sessions.pop(session, None)
        if number is None:
            return
        _use(session, None)
        self.take(number, DOWN, b"")

    def take(self, session: int, what: int, data: bytes) -> None:
        """Something happened."""
        if self.why:
            return
        self._waiting.append(Entry(self._clock.now_us(), session, what, bytes(data)))
        self._waiting_bytes += len(data) + ENTRY_BYTES
        self._overhead_bytes += ENTRY_BYTES
        if what == RECEIVED:
            self.received_bytes += len(data)
        elif what == SENT:
            self.sent_bytes += len(data)
        if self.received_bytes + self.sent_bytes + self._overhead_bytes >= self._bytes_max:
            self.end("bytes")
        elif self._waiting_bytes > WAITING_BYTES_MAX:
            self.end("behind")
        elif self._waiting_bytes > FLUSH_BYTES:
            self._news.set()

    def end(self, why: str) -> None:
        """Take no more; what was taken is still written. Idempotent."""
        if self.why:
            return
        self.why = why
        for session in self._sessions:
            _use(session, None)
        self._sessions.clear()
        self._news.set()

    async def run(self) -> None:
        """Write until the end. Not to be cancelled: :meth:`end` it."""
        deadline = self._clock.monotonic() + self._seconds_max
        try:
            file = await asyncio.to_thread(self._begin)
        except (OSError, WardgateError) as error:
            self._failed(error)
            return
        try:
            while not self.why:
                await self._pause(min(FLUSH_S, deadline - self._clock.monotonic()))
                if self._clock.monotonic() >= deadline:
                    self.end("time")
                await asyncio.to_thread(self._write, file, self._taken())
            await asyncio.to_thread(self._finish, file, self._taken())
        except (OSError, WardgateError) as error:
            self._failed(error)
        finally:
            # What could not be written can't be flushed either.
            with contextlib.suppress(OSError):
                file.close()

    def _failed(self, error: Exception) -> None:
        log.warning("recording %s can't be written: %s", self.head.recording, error)
        self.end("disk")
        self.why = "disk"
        self._waiting.clear()

    def _taken(self) -> list[Entry]:
        """What is to be written now."""
        entries, self._waiting, self._waiting_bytes = self._waiting, [], 0
        return entries

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()

    # In a thread.

    def _begin(self) -> IO[bytes]:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = os.fdopen(os.open(self._path, flags, FILE_MODE), "wb")
        try:
            file.write(self._maker.beginning() + self._maker.frame(self.head))
            file.flush()
        except BaseException:
            file.close()
            raise
        return file

    def _write(self, file: IO[bytes], entries: list[Entry]) -> None:
        if entries:
            file.write(self._maker.frame(Entries(entries)))
            file.flush()

    def _finish(self, file: IO[bytes], entries: list[Entry]) -> None:
        self._write(file, entries)
        file.write(self._maker.frame(End(self._clock.now_us(), self.why)))
        file.flush()
        os.fsync(file.fileno())


def _use(session: LiveSession, tap: Tap | None) -> Tapped | None:
    """Give a session a tap, or take it away; None where it can't have one."""
    if not isinstance(session, Tappable):
        return None
    try:
        return session.use_tap(tap)
    except Exception:
        # The boundary to a driver's own code, perhaps a third party's: admission calls us, and a
        # fault in there must not keep a device out.
        log.exception("a session can't be recorded")
        return None
