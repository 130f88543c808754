"""A simulated MEDIBUS device on a serial line, which is a pty."""

from __future__ import annotations

import asyncio
from pathlib import Path

from firmware_sim.medibus.device import MedibusDevice
from firmware_sim.ptyend import PtyEnd
from gateway.domain.ports import Clock

TICK_S = 0.16
TICKS = 10
"""Of the device's interval of 16 ms, in one write."""


class SerialMedibus:
    """A device on a pty.

    Args:
        port: the path that the line's other end gets; its directory must exist.
        clock: the device's.
    """

    def __init__(self, port: Path, clock: Clock) -> None:
        self.device = MedibusDevice(clock)
        self.end = PtyEnd(port, self._received)
        self.asked = asyncio.Event()
        """Set when it has told a gateway its measurements."""
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Plug in and switch on."""
        self.end.plug_in()
        self._sample()

    def close(self) -> None:
        """Switch off; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.end.pull_cable()

    def _received(self, data: bytes) -> None:
        before = self.device.replies
        answer = self.device.receive(data)
        if answer and self.end.write(answer) and self.device.replies > before:
            self.asked.set()

    def _sample(self) -> None:
        records = self.device.sample(TICKS)
        if records:
            self.end.write(records)
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._sample)
