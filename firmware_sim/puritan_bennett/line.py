"""A simulated ventilator on a serial line, which is a pty."""

from __future__ import annotations

import asyncio
from pathlib import Path

from firmware_sim.ptyend import PtyEnd
from firmware_sim.puritan_bennett.ventilator import Ventilator
from gateway.domain.ports import Clock


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
