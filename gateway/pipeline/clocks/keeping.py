"""What is known of clocks, across a restart.

Estimates are state of the journal, one key a device; written when a clock has been learnt or was
set, and every ten minutes, a few devices at each tick. Rules:

- While the machine runs, moments go on through a restart of the process: all that was kept holds,
  grown by the drift since.
- After a start of the machine the wall clock is all that joins then and now, and nobody knows yet
  how far it is off. Then the offset is only where learning begins, so that a backlog is not taken
  for the present; drift and resolution hold.
- Order time is kept every minute, and goes on from there at least.
- An entry that can't be read is left out and logged: it must not keep the gateway from starting.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from gateway.domain.decoding import UNDECODABLE
from gateway.domain.ports import StateDelta, StateView
from gateway.pipeline.clocks.bounds import Rule
from gateway.pipeline.clocks.device import DeviceClock
from gateway.pipeline.clocks.offset import Kept
from gateway.pipeline.clocks.steady import Segment, Steady

log = logging.getLogger(__name__)

SPACE: Final = "clocks"
OWN: Final = ""
"""The key of the gateway's own; no device has an empty name."""
EVERY_US: Final = 600_000_000
OWN_EVERY_US: Final = 60_000_000
LOOKS_MIN: Final = 4
"""Devices looked at per tick, at least."""
TICKS: Final = 2400
"""In which all devices are looked at: ten minutes, at four ticks a second."""
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class _Own(msgspec.Struct, frozen=True, array_like=True):
    boot_id: str
    segment: Segment
    order_us: int


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    boot_id: str
    base_us: int
    kept: Kept


def kernel_boot_id() -> str:
    """Names this run of the machine; empty where that is not told."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""


class Keeping:
    """The books of one gateway's clocks; to be used on the loop's thread.

    Args:
        steady: the gateway's clock.
        devices_max: entries, at most.
    """

    def __init__(self, steady: Steady, devices_max: int) -> None:
        self._steady = steady
        self._boot_id = ""
        self._max = devices_max
        self._kept: dict[str, _Entry] = {}
        """Read, and not asked for yet."""
        self._written: dict[str, tuple[int, int]] = {}
        """When, and with how many steps."""
        self._round: Iterator[tuple[str, DeviceClock | None]] = iter(())
        self._own_at_us = -OWN_EVERY_US

    def restore(self, view: StateView, boot_id: str) -> None:
        """Take over what was committed; before any report.

        Args:
            view: what was committed.
            boot_id: of the machine; empty: never the same as before.
        """
        self._boot_id = boot_id
        for key, value in view.items(SPACE).items():
            try:
                if key == OWN:
                    self._resume(msgspec.msgpack.decode(value, type=_Own))
                elif len(self._kept) < self._max:
                    self._kept[key] = msgspec.msgpack.decode(value, type=_Entry)
                    self._written[key] = (-EVERY_US, 0)
            except UNDECODABLE:
                log.error("a kept clock can't be read (key of %d bytes)", len(key))  # noqa: TRY400  # nothing more to tell

    def clock_of(self, device_id: str, rule: Rule) -> DeviceClock:
        """A clock for a device that told a time for the first time since the start."""
        clock = DeviceClock(rule)
        entry = self._kept.pop(device_id, None)
        if entry is not None:
            if self._boot_id and entry.boot_id == self._boot_id:
                clock.restore(entry.kept)
            else:
                clock.begin_at(entry.kept, self._steady.base_us - entry.base_us)
        return clock

    def due(
        self,
        moment_us: int,
        devices: Callable[[], Iterable[tuple[str, DeviceClock | None]]],
        count: int,
    ) -> list[StateDelta]:
        """What is to be written now; to be called at every tick.

        Args:
            moment_us: now.
            devices: all of them; asked for anew when a round ends.
            count: how many these are.
        """
        deltas = []
        if moment_us - self._own_at_us >= OWN_EVERY_US:
            self._own_at_us = moment_us
            steady = self._steady
            own = _Own(self._boot_id, steady.segment, steady.order_us(moment_us))
            deltas.append(StateDelta(SPACE, OWN, msgspec.msgpack.encode(own)))
        for _ in range(max(LOOKS_MIN, count // TICKS + 1)):
            found = next(self._round, None)
            if found is None:
                self._round = iter(tuple(devices()))
                break
            delta = self._look(*found, moment_us)
            if delta is not None:
                deltas.append(delta)
        return deltas

    def _look(self, device_id: str, clock: DeviceClock | None, moment_us: int) -> StateDelta | None:
        if clock is None:
            return None
        written_us, steps = self._written.get(device_id, (-EVERY_US, -1))
        if moment_us - written_us < EVERY_US and steps == clock.steps:
            return None
        kept = clock.keep()
        if kept is None:
            return None
        if device_id not in self._written and len(self._written) >= self._max:
            return self._drop(device_id)
        self._written[device_id] = (moment_us, clock.steps)
        entry = _Entry(self._boot_id, self._steady.base_us, kept)
        return StateDelta(SPACE, device_id, msgspec.msgpack.encode(entry))

    def _drop(self, _for: str) -> StateDelta:
        """Make room: what was written longest ago goes."""
        oldest = min(self._written, key=lambda device_id: self._written[device_id])
        del self._written[oldest]
        self._kept.pop(oldest, None)
        return StateDelta(SPACE, oldest, None)

    def _resume(self, own: _Own) -> None:
        if self._boot_id and own.boot_id == self._boot_id:
            self._steady.resume(own.segment)
        self._steady.not_before(own.order_us)
