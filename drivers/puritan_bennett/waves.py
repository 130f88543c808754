"""Lines of port 2 -> blocks of both curves, one breath long where that is short enough.

Streams begin in the middle of a breath and lose their ``BE``: samples count wherever they stand, a
new ``BS`` ends the breath before it, and only the block's bounds follow the breaths. A line that is
damaged is one sample that is missing: it is filled in and marked, so that time goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from drivers.puritan_bennett.codec import BreathStart, Sample, WaveLine

RATE_HZ: Final = 50.0
SCALE: Final = 0.01
"""Both curves are said with two decimals."""
BLOCK_SAMPLES_MAX: Final = 250
"""Five seconds: a longer breath comes in several blocks."""


class Block(NamedTuple):
    """Consecutive samples of both curves, in hundredths."""

    breath: int
    """As the ventilator numbers it; -1 before the first ``BS``."""
    flow: tuple[int, ...]
    pressure: tuple[int, ...]
    missing: tuple[int, ...]
    """Which of them were filled in, ascending."""


class Breaths:
    """Collects samples."""

    def __init__(self) -> None:
        self._breath = -1
        self._samples: list[tuple[int, int]] = []
        self._missing: list[int] = []

    def feed(self, line: WaveLine) -> Iterator[Block]:
        """Take a line; the block that it completed."""
        if isinstance(line, Sample):
            self._samples.append((round(line.flow / SCALE), round(line.pressure / SCALE)))
            if len(self._samples) >= BLOCK_SAMPLES_MAX:
                yield from self.flush()
            return
        yield from self.flush()
        if isinstance(line, BreathStart):
            self._breath = line.number

    def damaged(self) -> Iterator[Block]:
        """A line that could not be read: one sample, as the one before."""
        if self._samples:
            self._missing.append(len(self._samples))
            self._samples.append(self._samples[-1])
            if len(self._samples) >= BLOCK_SAMPLES_MAX:
                yield from self.flush()

    def flush(self) -> Iterator[Block]:
        """The block as far as it has come, if anything is in it."""
        if self._samples:
            flow, pressure = zip(*self._samples, strict=True)
            yield Block(self._breath, flow, pressure, tuple(self._missing))
            self._samples.clear()
            self._missing.clear()
