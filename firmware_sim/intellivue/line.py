"""A simulated monitor on a serial line: a pty, with the faults that a cable has.

The port's path is a symbolic link to the pty's other end, so that it stays the same when the
cable is pulled and put back. Everything happens on the event loop that started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import tty
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from drivers.intellivue import framing
from drivers.intellivue.framing import FrameDecoder
from firmware_sim.intellivue.monitor import Monitor, SentReply
from firmware_sim.intellivue.screen import Screen
from gateway.domain.ports import Clock

TICK_S = 0.05
"""How finely the monitor's own times are kept."""
UNSENT_BYTES_MAX = 64 * 1024
"""What a UART would have lost long before."""
READ_BYTES = 4096


class MonitorLine:
    """Frames and faults around a Monitor; bytes in, bytes out."""

    def __init__(
        self,
        monitor: Monitor,
        write: Callable[[bytes], None],
        on_sent: Callable[[SentReply], None] | None = None,
    ) -> None:
        self.monitor = monitor
        self._write = write
        self._on_sent = on_sent
        self._frames = FrameDecoder()
        self.silent = False
        """Says nothing at all, but hears."""
        self.drop_every = 0
        """Loses one byte in so many; 0 loses none."""
        self._since_drop = 0

    def feed(self, data: bytes) -> None:
        """Bytes from the client."""
        for found in self._frames.feed(data):
            if isinstance(found, bytes):
                self._say(self.monitor.receive(found))

    def tick(self) -> None:
        """Let the monitor say what is due."""
        self._say(self.monitor.tick())

    def garbage(self, noise: bytes) -> None:
        """Put bytes on the line that nobody meant."""
        self._write(noise)

    def show(self) -> bool:
        """Reply with what the screen shows now; False when no reply with numerics was written."""
        payloads = self.monitor.show()
        written = bool(self.monitor.sent) and not self.silent
        self._say(payloads)
        return written

    def _say(self, payloads: list[bytes]) -> None:
        if not self.silent:
            for payload in payloads:
                self._write(self._damaged(framing.encode(payload)))
            if self._on_sent is not None:
                for reply in self.monitor.sent:
                    self._on_sent(reply)
        self.monitor.sent.clear()

    def _damaged(self, data: bytes) -> bytes:
        if not self.drop_every:
            return data
        kept = bytearray()
        for byte in data:
            self._since_drop += 1
            if self._since_drop % self.drop_every:
                kept.append(byte)
        return bytes(kept)


class _Ends(NamedTuple):
    master: int
    slave: int


class SerialMonitor:
    """A monitor on a pty.

    Args:
        port: the path that the line's other end gets; its directory must exist.
        screen: what the monitor shows, asked for each reply.
        clock: the monitor's.
        on_sent: told of every reply with numerics that was put on the line: when (Unix
            microseconds), which metric codes, which values. Serial acknowledges nothing.
        bed: the monitor's bed label.
    """

    def __init__(
        self,
        port: Path,
        screen: Callable[[], Screen],
        clock: Clock,
        on_sent: Callable[[SentReply], None] | None = None,
        bed: str = "",
    ) -> None:
        self.port = str(port)
        self.monitor = Monitor(screen, clock, bed)
        self.line = MonitorLine(self.monitor, self._write, on_sent)
        self._ends: _Ends | None = None
        self._unsent = bytearray()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Plug in and switch on."""
        self.plug_in()
        self._tick()

    def close(self) -> None:
        """Switch off; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.pull_cable()

    def show(self) -> bool:
        """See :meth:`MonitorLine.show`; False also while the cable is out."""
        return self._ends is not None and self.line.show()

    def plug_in(self) -> None:
        """Make the port appear."""
        if self._ends is not None:
            return
        self._ends = ends = _Ends(*pty.openpty())
        tty.setraw(ends.slave)
        os.set_blocking(ends.master, False)
        asyncio.get_running_loop().add_reader(ends.master, self._readable)
        # The slave end stays open here, or the master would hang up between two clients.
        fresh = Path(f"{self.port}.new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.ttyname(ends.slave))
        fresh.replace(self.port)

    def pull_cable(self) -> None:
        """Make the port vanish under whoever has it open."""
        if self._ends is None:
            return
        ends, self._ends = self._ends, None
        Path(self.port).unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        loop.remove_reader(ends.master)
        loop.remove_writer(ends.master)
        self._unsent.clear()
        os.close(ends.slave)
        os.close(ends.master)
        self.monitor.unplugged()

    def _tick(self) -> None:
        if self._ends is not None:
            self.line.tick()
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _readable(self) -> None:
        assert self._ends is not None
        try:
            data = os.read(self._ends.master, READ_BYTES)
        except OSError:
            return
        self.line.feed(data)

    def _write(self, data: bytes) -> None:
        if self._ends is None or len(self._unsent) + len(data) > UNSENT_BYTES_MAX:
            return
        self._unsent += data
        self._flush()

    def _flush(self) -> None:
        assert self._ends is not None
        with contextlib.suppress(BlockingIOError):
            while self._unsent:
                del self._unsent[: os.write(self._ends.master, self._unsent)]
        loop = asyncio.get_running_loop()
        if self._unsent:
            loop.add_writer(self._ends.master, self._flush)
        else:
            loop.remove_writer(self._ends.master)
