"""A simulated monitor on a serial line: a pty, with the faults that a cable has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from drivers.intellivue import framing
from drivers.intellivue.framing import FrameDecoder
from firmware_sim.intellivue.monitor import Monitor, SentReply
from firmware_sim.intellivue.screen import Screen
from firmware_sim.ptyend import PtyEnd
from gateway.domain.ports import Clock

TICK_S = 0.05
"""How finely the monitor's own times are kept."""


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
        self._end = PtyEnd(port, self.line.feed, self.monitor.unplugged)
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
        return self._end.plugged and self.line.show()

    def plug_in(self) -> None:
        """Make the port appear."""
        self._end.plug_in()

    def pull_cable(self) -> None:
        """Make the port vanish under whoever has it open."""
        self._end.pull_cable()

    def _tick(self) -> None:
        if self._end.plugged:
            self.line.tick()
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _write(self, data: bytes) -> None:
        self._end.write(data)
