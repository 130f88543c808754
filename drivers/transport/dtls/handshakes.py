"""Handshakes under way at a server: how many there may be, and whose.

Rules: all together, and each host, may leave only so many unfinished, and begin only so many in a
time. Only addresses that returned a cookie count.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

import msgspec

from drivers.transport.dtls.association import Association
from drivers.transport.dtls.cookies import Address
from drivers.transport.dtls.rates import HandshakeRates, host_of


class ServerLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The bounds of one listener."""

    sessions_max: int = 4096
    """About 80 KiB each."""
    sessions_per_device_max: int = 4
    """A device whose address changed leaves its old session behind; these many may idle."""
    half_open_max: int = 512
    """Handshakes under way, about 100 KiB each."""
    half_open_per_host_max: int = 128
    """So that no host keeps the others out by leaving its handshakes unfinished."""
    handshake_s_max: float = 30.0
    """Several repetitions of each flight."""
    handshakes_per_host: int = 256
    """At once, after a rest; a ward may share one address."""
    handshakes_per_host_s: float = 64.0
    """After that, per second: a sixteenth of a core."""
    idle_s_max: float = 3600.0
    evict_idle_s_min: float = 60.0
    """When all sessions are taken, one that has been idle for so long makes room."""


class Handshake:
    """A handshake under way with an address that returned its cookie."""

    __slots__ = ("address", "association", "client_random", "deadline_s", "host", "timer")

    def __init__(
        self, association: Association, address: Address, client_random: bytes, deadline_s: float
    ) -> None:
        self.association = association
        self.address = address
        self.client_random = client_random
        self.deadline_s = deadline_s
        self.host = host_of(address[0])
        self.timer: asyncio.TimerHandle | None = None


class Handshakes:
    """The handshakes under way, by address."""

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._rates = HandshakeRates(limits.handshakes_per_host, limits.handshakes_per_host_s)
        self._by_address: dict[Address, Handshake] = {}
        self._per_host: Counter[str] = Counter()

    def may_begin(self, address: Address, now_s: float) -> bool:
        """Whether one more may begin; if so, it is counted against its host's rate."""
        host = host_of(address[0])
        return (
            len(self._by_address) < self._limits.half_open_max
            and self._per_host[host] < self._limits.half_open_per_host_max
            and self._rates.take(host, now_s)
        )

    def add(self, handshake: Handshake) -> None:
        """One more is under way."""
        self._by_address[handshake.address] = handshake
        self._per_host[handshake.host] += 1

    def get(self, address: Address) -> Handshake | None:
        """The one with an address."""
        return self._by_address.get(address)

    def remove(self, handshake: Handshake) -> None:
        """It is over; idempotent."""
        if handshake.timer is not None:
            handshake.timer.cancel()
        if self._by_address.get(handshake.address) is handshake:
            del self._by_address[handshake.address]
            self._per_host[handshake.host] -= 1
            if not self._per_host[handshake.host]:
                del self._per_host[handshake.host]

    def __iter__(self) -> Iterator[Handshake]:
        return iter(tuple(self._by_address.values()))

    def __len__(self) -> int:
        return len(self._by_address)
