"""Admissions for the audit log: a device's first is told, what follows is summed up by the hour.

A ward's devices come and go at will, so that their sessions must not be able to fill a disk. Within
one window each (device, transport) is written once when it is admitted, and once at the window's
end when more of its sessions were opened or any closed.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.domain.ports import Clock

WINDOW_S = 3600.0
DEVICES_MAX = 2000
"""Devices that are told one by one in a window; what is beyond them is summed up by transport.
With the entries' 250 bytes an hour writes a megabyte at most."""


class Sessions(NamedTuple):
    """A device's sessions in one window; the device is empty for the sum of many."""

    device: str
    transport: str
    opened: int
    closed: int


class AdmissionTally:
    """Which admissions to write, and the sums to write at a window's end."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.monotonic()
        self._counts: dict[tuple[str, str], list[int]] = {}
        """Opened, closed, and how many were written already."""

    def opened(self, device: str, transport: str) -> bool:
        """Note a session; True when its admission is to be written by itself."""
        counts = self._of(device, transport)
        counts[0] += 1
        if counts[0] == 1 and (device, transport) in self._counts:
            counts[2] = 1
            return True
        return False

    def closed(self, device: str, transport: str) -> None:
        """Note the end of a session."""
        self._of(device, transport)[1] += 1

    def due(self) -> bool:
        """Whether the window has ended."""
        return self._clock.monotonic() - self._began >= WINDOW_S

    def roll(self) -> list[Sessions]:
        """Begin a new window; returns the sums of the one that ended."""
        sums = [
            Sessions(*who, opened, closed)
            for who, (opened, closed, told) in sorted(self._counts.items())
            if opened > told or closed
        ]
        self._began = self._clock.monotonic()
        self._counts.clear()
        return sums

    def _of(self, device: str, transport: str) -> list[int]:
        key = (device, transport)
        if key not in self._counts and len(self._counts) >= DEVICES_MAX:
            key = ("", transport)
        return self._counts.setdefault(key, [0, 0, 0])
