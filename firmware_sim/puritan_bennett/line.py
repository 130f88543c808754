"""A simulated ventilator on two serial lines, which are ptys."""

from __future__ import annotations

import asyncio
from pathlib import Path

from firmware_sim.ptyend import PtyEnd
from firmware_sim.puritan_bennett.ventilator import Curves, Ventilator
from gateway.domain.ports import Clock

BLOCK_S = 0.2
"""Port 2 says ten samples at once."""
BLOCK_SAMPLES = 10


class SerialVentilator:
    """Port 1.

    Args:
        port: the path that the line's other end gets; its directory must exist.
        clock: the ventilator's.
    """

    def __init__(self, port: Path, clock: Clock) -> None:
        self.ventilator = Ventilator(clock)
        self.end = PtyEnd(port, self._received)
        self.asked = asyncio.Event()
        """Set when it has answered a gateway."""

    def _received(self, data: bytes) -> None:
        answer = self.ventilator.receive(data)
        if answer and self.end.write(answer):
            self.asked.set()


class SerialCurves:
    """Port 2: says its curves for ever, whether somebody listens or not."""

    def __init__(self, port: Path) -> None:
        self.curves = Curves(skip=37)
        self.end = PtyEnd(port, lambda _: None)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Plug in and breathe."""
        self.end.plug_in()
        self._say()

    def close(self) -> None:
        """Switch off; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.end.pull_cable()

    def _say(self) -> None:
        self.end.write(b"".join(self.curves.say(BLOCK_SAMPLES)))
        self._timer = asyncio.get_running_loop().call_later(BLOCK_S, self._say)
