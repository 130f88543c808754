"""What the gateway remembers of each device: the source of fleet health.

One small mutable object per device, written by the pipeline on the event loop and read by
whoever reports on the fleet. Bounded: beyond the limit the device unseen for longest goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.domain.records import DeviceState
from gateway.pipeline.clocks.device import DeviceClock

REASONS_MAX: Final = 32
"""Distinct error reasons counted per device; the others count as ``"other"``."""


class Seen:
    """One device; times are microseconds of wall time, 0 when never."""

    __slots__ = (
        "battery_percent",
        "bed",
        "clock",
        "device_id",
        "driver",
        "duplicates",
        "errors",
        "firmware",
        "first_us",
        "kind",
        "last_us",
        "marked_values",
        "messages",
        "offset_us",
        "state",
    )

    def __init__(self, device_id: str) -> None:
        self.device_id = device_id
        self.kind = ""
        self.bed = ""
        self.driver = ""
        self.first_us = 0
        self.last_us = 0
        self.messages = 0
        self.duplicates = 0
        self.marked_values = 0
        self.errors: dict[str, int] = {}
        """Payloads that were set aside and the like, by reason."""
        self.offset_us: int | None = None
        """Device clock minus gateway clock at the last report that had a device time."""
        self.clock: DeviceClock | None = None
        """What is known of its clock, once it told a time."""
        self.battery_percent = -1.0
        self.firmware = ""
        self.state: DeviceState | None = None

    def error(self, reason: str) -> None:
        """Count something wrong with what the device sent."""
        if reason not in self.errors and len(self.errors) >= REASONS_MAX:
            reason = "other"
        self.errors[reason] = self.errors.get(reason, 0) + 1


class SeenTable:
    """Every device the gateway heard of since it started, at most ``devices_max``."""

    def __init__(self, devices_max: int) -> None:
        self.devices: dict[str, Seen] = {}
        self._max = devices_max

    def of(self, device_id: str) -> Seen:
        """The device's entry, made on first use."""
        seen = self.devices.get(device_id)
        if seen is None:
            if len(self.devices) >= self._max:
                self._forget_oldest()
            seen = self.devices[device_id] = Seen(device_id)
        return seen

    def state_of(self, device_id: str) -> DeviceState | None:
        """What was last said of its connection; None: nothing since the start."""
        seen = self.devices.get(device_id)
        return None if seen is None else seen.state

    def __iter__(self) -> Iterator[Seen]:
        return iter(tuple(self.devices.values()))

    def __len__(self) -> int:
        return len(self.devices)

    def _forget_oldest(self) -> None:
        # A tenth at once, so that a flood of new names doesn't scan the table for each.
        by_age = sorted(self.devices.values(), key=lambda seen: seen.last_us)
        for seen in by_age[: max(1, self._max // 10)]:
            del self.devices[seen.device_id]
