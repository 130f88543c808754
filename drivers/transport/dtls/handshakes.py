"""Handshakes under way at a server: how many there may be, and whose.

Rules:

- All together, and each host, may leave only so many unfinished, and begin only so many in a
  time. Only addresses that returned a cookie count.
- When places are short, the handshake whose peer has been silent longest makes room, if that is
  longer than ``silent_s_max``; else the oldest, if it has lasted ``overdue_s``. A peer that waits
  for lost datagrams repeats itself within a second at first (RFC 6347, 4.2.4.1), and every
  datagram of it counts as a word, so that one that goes on slowly keeps its place.
- Silence lasts from the peer's last word to the arrival of the newcomer's: whatever had come
  before that was read before it. So nobody is given up for waiting in our own socket.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
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
    silent_s_max: float = 1.5
    """Longer than a first repetition and a slow network's round trip; and so short that who begins
    and leaves as many as ``handshakes_per_host_s`` lets it never fills its places (64/s, 1.5 s: 96
    of 128)."""
    overdue_s: float = 8.0
    """Repetitions after 1, 2 and 4 s have had their time. Nobody keeps a place for longer by
    talking on when others want it."""
    handshakes_per_host: int = 256
    """At once, after a rest; a ward may share one address."""
    handshakes_per_host_s: float = 64.0
    """After that, per second: a sixteenth of a core."""
    idle_s_max: float = 3600.0
    evict_idle_s_min: float = 60.0
    """When all sessions are taken, one that has been idle for so long makes room."""


class Handshake:
    """A handshake under way with an address that returned its cookie."""

    __slots__ = (
        "address",
        "association",
        "began_s",
        "client_random",
        "deadline_s",
        "heard_s",
        "host",
        "timer",
    )

    def __init__(
        self,
        association: Association,
        address: Address,
        client_random: bytes,
        now_s: float,
        deadline_s: float,
    ) -> None:
        self.association = association
        self.address = address
        self.client_random = client_random
        self.began_s = now_s
        self.heard_s = now_s
        """When the peer's last word was read; what we had to say to it was said then, too."""
        self.deadline_s = deadline_s
        self.host = host_of(address[0])
        self.timer: asyncio.TimerHandle | None = None


class _Places:
    """Handshakes in two orders."""

    __slots__ = ("by_age", "by_silence")

    def __init__(self) -> None:
        self.by_age: dict[Address, Handshake] = {}
        """The oldest first."""
        self.by_silence: OrderedDict[Address, Handshake] = OrderedDict()
        """The longest silent first."""

    def __len__(self) -> int:
        return len(self.by_age)

    def add(self, handshake: Handshake) -> None:
        self.by_age[handshake.address] = self.by_silence[handshake.address] = handshake

    def remove(self, handshake: Handshake) -> None:
        del self.by_age[handshake.address], self.by_silence[handshake.address]


class Handshakes:
    """The handshakes under way, by address."""

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._rates = HandshakeRates(limits.handshakes_per_host, limits.handshakes_per_host_s)
        self._all = _Places()
        self._by_host: dict[str, _Places] = {}

    def room_for(
        self, address: Address, now_s: float, waited_s: float = 0.0
    ) -> tuple[Handshake, ...] | None:
        """Whom to give up so that one more may begin: nobody, or one; None: it may not begin.

        If it may, it is counted against its host's rate. ``waited_s``: how long its datagram
        had waited until it was read.
        """
        host = host_of(address[0])
        own = self._by_host.get(host)
        leaving: tuple[Handshake, ...] = ()
        if (present := self.get(address)) is not None:
            leaving = (present,)  # its own one before
        elif own is not None and len(own) >= self._limits.half_open_per_host_max:
            leaving = self._making_room(own, now_s, waited_s)
            if not leaving:
                return None
        elif len(self._all) >= self._limits.half_open_max:
            leaving = self._making_room(self._all, now_s, waited_s)
            if not leaving:
                return None
        return leaving if self._rates.take(host, now_s) else None

    def add(self, handshake: Handshake) -> None:
        """One more is under way."""
        self._all.add(handshake)
        self._by_host.setdefault(handshake.host, _Places()).add(handshake)

    def heard(self, handshake: Handshake, now_s: float) -> None:
        """Its peer said something."""
        if self.get(handshake.address) is handshake:
            handshake.heard_s = now_s
            self._all.by_silence.move_to_end(handshake.address)
            self._by_host[handshake.host].by_silence.move_to_end(handshake.address)

    def get(self, address: Address) -> Handshake | None:
        """The one with an address."""
        return self._all.by_age.get(address)

    def remove(self, handshake: Handshake) -> None:
        """It is over; idempotent."""
        if handshake.timer is not None:
            handshake.timer.cancel()
        if self.get(handshake.address) is handshake:
            self._all.remove(handshake)
            own = self._by_host[handshake.host]
            own.remove(handshake)
            if not own:
                del self._by_host[handshake.host]

    def _making_room(self, among: _Places, now_s: float, waited_s: float) -> tuple[Handshake, ...]:
        silent = next(iter(among.by_silence.values()))
        if now_s - waited_s - silent.heard_s > self._limits.silent_s_max:
            return (silent,)
        oldest = next(iter(among.by_age.values()))
        return (oldest,) if now_s - oldest.began_s > self._limits.overdue_s else ()

    def __iter__(self) -> Iterator[Handshake]:
        return iter(tuple(self._all.by_age.values()))

    def __len__(self) -> int:
        return len(self._all)
