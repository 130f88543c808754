"""Who may begin a handshake next, when more ask than there are places.

Rules:

- All together, and each host, have only so many handshakes under way, and each host begins only
  so many in a time. A host's share is smaller than the whole, so that no host keeps others out.
- Who is too early waits in line: hosts take turns, and each host's own go in order. The line is
  bounded; who doesn't fit, or has waited too long, is turned away.

Sans-I/O: what waits is the caller's.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from typing import Generic, NamedTuple, TypeVar

from drivers.transport.dtls.rates import HandshakeRates

T = TypeVar("T")


class LineLimits(NamedTuple):
    """The bounds."""

    under_way_max: int
    under_way_per_host_max: int
    waiting_max: int
    wait_s_max: float
    per_host_burst: int
    per_host_per_s: float


class _Waiting(NamedTuple, Generic[T]):
    since_s: float
    what: T


class Line(Generic[T]):
    """Who is under way, and who waits."""

    def __init__(self, limits: LineLimits) -> None:
        self._limits = limits
        self._rates = HandshakeRates(limits.per_host_burst, limits.per_host_per_s)
        self._waiting: OrderedDict[str, deque[_Waiting[T]]] = OrderedDict()
        """By host; the one whose turn is next comes first."""
        self._under_way: Counter[str] = Counter()
        self._waiting_count = 0
        self._under_way_count = 0

    def __len__(self) -> int:
        """How many wait."""
        return self._waiting_count

    def limit(self, limits: LineLimits) -> None:
        """Go on with other bounds; rates begin anew when theirs have changed."""
        if limits[-2:] != self._limits[-2:]:
            self._rates = HandshakeRates(limits.per_host_burst, limits.per_host_per_s)
        self._limits = limits

    def join(self, host: str, what: T, now_s: float) -> bool:
        """Stand in line; False when it is full."""
        if self._waiting_count >= self._limits.waiting_max:
            return False
        self._waiting.setdefault(host, deque()).append(_Waiting(now_s, what))
        self._waiting_count += 1
        return True

    def begin(self, now_s: float) -> tuple[str, T] | None:
        """Who begins now; ``end`` is due for its host. None when nobody may."""
        if self._under_way_count >= self._limits.under_way_max:
            return None
        for host in self._waiting:
            if self._under_way[host] < self._limits.under_way_per_host_max and self._rates.take(
                host, now_s
            ):
                self._under_way[host] += 1
                self._under_way_count += 1
                return host, self._take(host)
        return None

    def end(self, host: str) -> None:
        """A handshake of the host has ended."""
        self._under_way_count -= 1
        self._under_way[host] -= 1
        if not self._under_way[host]:
            del self._under_way[host]

    def short_of_places(self) -> str | None:
        """Whose oldest handshakes should make room: a host's name, "" for anybody's, or None."""
        if not self._waiting:
            return None
        if self._under_way_count >= self._limits.under_way_max:
            return ""
        for host in self._waiting:
            if self._under_way[host] >= self._limits.under_way_per_host_max:
                return host
        return None

    def overdue(self, now_s: float) -> T | None:
        """One who has waited too long, and no longer waits; None when there is none."""
        for host, waiting in self._waiting.items():
            if now_s - waiting[0].since_s > self._limits.wait_s_max:
                return self._take(host)
        return None

    def leave(self) -> T | None:
        """Anybody, who no longer waits; None when nobody did."""
        host = next(iter(self._waiting), None)
        return None if host is None else self._take(host)

    def _take(self, host: str) -> T:
        waiting = self._waiting[host]
        found = waiting.popleft().what
        self._waiting_count -= 1
        if waiting:
            self._waiting.move_to_end(host)
        else:
            del self._waiting[host]
        return found
