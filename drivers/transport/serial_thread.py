"""The thread behind one serial port, and the mailbox between it and the event loop.

The thread is the only one that touches the port. It sleeps in ``poll`` on the port and on a
pipe that the loop writes to when there is something to send, to reset or to stop; so an idle
port costs nothing, and nothing waits for a time-out (except on ``rfc2217://``).
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import random
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, NamedTuple

import serial

from drivers.transport.serial_settings import SerialLimits, SerialSettings

log = logging.getLogger(__name__)

READ_BYTES = 4096
BLOCKING_READ_S = 0.05
"""How late a port without a descriptor notices that there is something to write."""

_PARITIES: Final = {
    "none": serial.PARITY_NONE,
    "even": serial.PARITY_EVEN,
    "odd": serial.PARITY_ODD,
    "mark": serial.PARITY_MARK,
    "space": serial.PARITY_SPACE,
}
_BROKEN = select.POLLHUP | select.POLLERR | select.POLLNVAL


class Kind(Enum):
    """What an item of the mailbox says."""

    UP = "up"
    DATA = "data"
    DOWN = "down"
    """Its content is the reason, as ASCII."""


class Item(NamedTuple):
    kind: Kind
    content: bytes


class _LostError(Exception):
    """The link ended; ``reason`` is empty when the loop ended it and knows."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Mailbox:
    """Bounded queues in both directions; every method may be called from either side.

    ``opening`` numbers the openings of the port: what belongs to an earlier one is refused.
    """

    def __init__(self, limits: SerialLimits, schedule: Callable[[], object]) -> None:
        self._limits = limits
        self._schedule = schedule
        self._lock = threading.Lock()
        self._inbox: deque[Item] = deque()
        self._inbox_bytes = 0
        self._scheduled = False
        self._outbox: deque[bytes] = deque()
        self._outbox_bytes = 0
        self._opening = 0
        self._open = False
        self.stopping = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)

    # For the loop.

    def send(self, data: bytes) -> bool:
        """Queue ``data`` for the port; False when it is closed or the queue is full."""
        with self._lock:
            if not self._open or self._outbox_bytes + len(data) > self._limits.queued_bytes_max:
                return False
            self._outbox.append(data)
            self._outbox_bytes += len(data)
        self._wake()
        return True

    def take(self) -> Item | None:
        """The next thing that happened."""
        with self._lock:
            if not self._inbox or self.stopping:
                return None
            item = self._inbox.popleft()
            self._inbox_bytes -= len(item.content)
            return item

    def handed_over(self) -> None:
        """The loop is done for now; the next item schedules it again."""
        with self._lock:
            self._scheduled = False

    def discard(self) -> None:
        """End this opening and forget what it brought."""
        with self._lock:
            self._opening += 1
            self._open = False
            self._inbox.clear()
            self._inbox_bytes = 0
        self._wake()

    def stop(self) -> None:
        """End the thread after what is queued was written."""
        with self._lock:
            self.stopping = True
        self._wake()

    def close(self) -> None:
        """The thread has ended."""
        with self._lock:
            for descriptor in (self._wake_read, self._wake_write):
                os.close(descriptor)
            self._wake_read = self._wake_write = -1

    def _wake(self) -> None:
        with self._lock:
            if self._wake_write >= 0:
                with contextlib.suppress(BlockingIOError):  # a full pipe wakes as well
                    os.write(self._wake_write, b"\0")

    # For the thread.

    @property
    def wakes(self) -> int:
        """The descriptor that becomes readable when the loop wants something."""
        return self._wake_read

    def woken(self) -> None:
        """Swallow what woke the thread."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake_read, 512):
                pass

    def opened(self) -> int:
        """The port is open; returns the number of this opening."""
        with self._lock:
            self._opening += 1
            opening = self._opening
            self._outbox.clear()
            self._outbox_bytes = 0
            self._open = True
        self._put(opening, Item(Kind.UP, b""))
        return opening

    def received(self, opening: int, data: bytes) -> None:
        """Pass bytes on.

        Raises:
            _LostError: the queue is full, or the loop ended this opening.
        """
        self._put(opening, Item(Kind.DATA, data))

    def lost(self, opening: int, reason: str) -> None:
        """The port is closed."""
        with self._lock:
            if opening == self._opening:
                self._open = False
        with contextlib.suppress(_LostError):
            self._put(opening, Item(Kind.DOWN, reason.encode()))

    def check(self, opening: int) -> None:
        """Whether to go on.

        Raises:
            _LostError: the loop ended this opening.
        """
        if opening != self._opening:
            raise _LostError("")

    def output(self) -> bytes:
        """What is to be written next; empty when there is nothing."""
        with self._lock:
            return self._outbox[0] if self._outbox else b""

    def written(self, count: int) -> None:
        """The first ``count`` bytes of :meth:`output` are written."""
        with self._lock:
            self._outbox_bytes -= count
            left = self._outbox[0][count:]
            if left:
                self._outbox[0] = left
            else:
                self._outbox.popleft()

    def _put(self, opening: int, item: Item) -> None:
        with self._lock:
            if opening != self._opening:
                raise _LostError("")
            data_bytes = len(item.content) if item.kind is Kind.DATA else 0
            if data_bytes and self._inbox_bytes + data_bytes > self._limits.received_bytes_max:
                raise _LostError("overflow")
            self._inbox.append(item)
            self._inbox_bytes += len(item.content)
            if self._scheduled:
                return
            self._scheduled = True
        try:
            self._schedule()
        except RuntimeError:  # the loop was closed without a stop
            self.stopping = True


def open_port(settings: SerialSettings) -> Any:
    """An open pyserial port; a device path is opened for us alone.

    Raises:
        OSError, ValueError: it can't be opened like that.
    """
    port = serial.serial_for_url(settings.port, do_not_open=True)
    port.baudrate = settings.baud_rate
    port.bytesize = settings.data_bits
    port.parity = _PARITIES[settings.parity]
    port.stopbits = settings.stop_bits
    port.rtscts = settings.flow_control == "rts_cts"
    port.xonxoff = settings.flow_control == "xon_xoff"
    port.timeout = BLOCKING_READ_S
    if settings.port.startswith("/"):
        port.exclusive = True
    port.open()
    return port


class PortThread:
    """Opens the port, serves it, and opens it again."""

    def __init__(
        self,
        settings: SerialSettings,
        limits: SerialLimits,
        mailbox: Mailbox,
        rng: random.Random,
        ended: Callable[[], object],
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._mailbox = mailbox
        self._rng = rng
        self._ended = ended
        self._failures = 0
        """Openings in a row that failed or on which nothing was heard."""

    def run(self) -> None:
        """The thread's body."""
        while not self._mailbox.stopping:
            try:
                self._open_and_serve()
            # The boundary of a thread: pyserial's back-ends raise what they like, and a thread
            # that ends is a port that is lost for ever.
            except Exception:
                log.exception("port %s: unexpected failure", self._settings.port)
            self._rest()
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            self._ended()

    def _open_and_serve(self) -> None:
        port = self._try_open()
        self._failures += 1
        if port is None:
            return
        try:
            self._serve(port)
        finally:
            # Closing a dead port can fail in pyserial's ways; it is closed all the same.
            with contextlib.suppress(OSError, ValueError, AttributeError):
                port.close()

    def _rest(self) -> None:
        limits = self._limits
        longest = min(limits.rest_max_s, limits.rest_min_s * 2 ** min(self._failures, 16))
        until = time.monotonic() + longest * self._rng.uniform(0.5, 1.0)
        poller = select.poll()
        poller.register(self._mailbox.wakes, select.POLLIN)
        while not self._mailbox.stopping and (left := until - time.monotonic()) > 0:
            if poller.poll(left * 1000):
                self._mailbox.woken()

    def _try_open(self) -> Any:
        try:
            port = open_port(self._settings)
        except (OSError, ValueError) as error:  # SerialException is an OSError
            if self._failures == 0:
                log.warning("port %s can't be opened: %s", self._settings.port, error)
            return None
        log.info("port %s is open", self._settings.port)
        return port

    def _serve(self, port: Any) -> None:
        opening = 0
        try:
            opening = self._mailbox.opened()
            try:
                descriptor = port.fileno()
            except io.UnsupportedOperation:
                self._move_blocking(port, opening)
            else:
                self._move(descriptor, opening)
        except _LostError as lost:
            if lost.reason:
                log.warning("port %s lost: %s", self._settings.port, lost.reason)
                self._mailbox.lost(opening, lost.reason)
        except Exception:
            self._mailbox.lost(opening, "failed")
            raise

    def _move(self, descriptor: int, opening: int) -> None:
        """Move bytes both ways through a descriptor until the link is lost."""
        mailbox = self._mailbox
        poller = select.poll()
        poller.register(mailbox.wakes, select.POLLIN)
        progress_at = flush_until = 0.0
        while True:
            mailbox.check(opening)
            now = time.monotonic()
            output = mailbox.output()
            if mailbox.stopping:
                flush_until = flush_until or now + self._limits.flush_s
                if not output or now >= flush_until:
                    return
            wait_ms = None
            if output:
                progress_at = progress_at or now
                if now - progress_at > self._limits.write_s:
                    raise _LostError("write_stuck")
                wait_ms = (flush_until or progress_at + self._limits.write_s) - now
                wait_ms = max(1.0, wait_ms * 1000)
            poller.register(descriptor, select.POLLIN | (select.POLLOUT if output else 0))
            ready = dict(poller.poll(wait_ms))
            if mailbox.wakes in ready:
                mailbox.woken()
            events = ready.get(descriptor, 0)
            if events & (select.POLLIN | _BROKEN):
                self._read(descriptor, opening)
            if output and events & select.POLLOUT and self._write(descriptor, output):
                progress_at = 0.0

    def _read(self, descriptor: int, opening: int) -> None:
        try:
            data = os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            raise _LostError("read_failed") from error
        if not data:
            raise _LostError("hung_up")
        self._failures = 0
        self._mailbox.received(opening, data)

    def _write(self, descriptor: int, output: bytes) -> int:
        try:
            count = os.write(descriptor, output)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise _LostError("write_failed") from error
        if count:
            self._mailbox.written(count)
        return count

    def _move_blocking(self, port: Any, opening: int) -> None:
        """Move bytes both ways through pyserial's own calls, with its short time-out."""
        mailbox = self._mailbox
        while True:
            mailbox.check(opening)
            output = mailbox.output()
            try:
                if output:
                    mailbox.written(port.write(output))
                    continue
                if mailbox.stopping:
                    return
                data = port.read(max(1, min(port.in_waiting, READ_BYTES)))
            # pyserial's RFC 2217 lets an AttributeError out when its own thread closed the socket.
            except (OSError, ValueError, AttributeError) as error:
                raise _LostError("write_failed" if output else "read_failed") from error
            if data:
                self._failures = 0
                mailbox.received(opening, data)
