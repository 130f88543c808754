"""A simulated device that speaks by itself, on a serial line that is a pty."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from firmware_sim.ptyend import PtyEnd

TICK_S = 0.05
"""How finely a device's own times are kept."""


class Speaker(Protocol):
    """The device's side of a protocol, without I/O."""

    def receive(self, data: bytes) -> Sequence[bytes]:
        """Bytes from the gateway; what it answers."""

    def tick(self, monotonic_s: float) -> Sequence[bytes]:
        """What is due."""


class TickingLine:
    """Speaker and line.

    Args:
        port: the path that the line's other end gets; its directory must exist.
        speaker: the device.
        monotonic: seconds of a clock that never jumps.
    """

    def __init__(self, port: Path, speaker: Speaker, monotonic: Callable[[], float]) -> None:
        self.end = PtyEnd(port, self._received)
        self._speaker = speaker
        self._monotonic = monotonic
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Plug in and switch on."""
        self.end.plug_in()
        self._tick()

    def close(self) -> None:
        """Switch off and pull the cable; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.end.pull_cable()

    def _received(self, data: bytes) -> None:
        for said in self._speaker.receive(data):
            self.end.write(said)

    def _tick(self) -> None:
        if self.end.plugged:
            for said in self._speaker.tick(self._monotonic()):
                self.end.write(said)
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)
