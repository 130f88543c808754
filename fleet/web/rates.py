"""How often somebody may ask: token buckets, bounded in number.

An address is one IPv4 address or one IPv6 network of 64 bits, since a host has as many IPv6
addresses as it likes. When the table is full, whoever was not heard of for longest is forgotten.
"""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

KEYS_MAX = 8192
"""About 1 MB."""
IPV6_PREFIX = 64


class Rate(NamedTuple):
    """So many a minute on average, and so many at once."""

    per_minute: float
    burst: int


class _Bucket(NamedTuple):
    left: float
    at: float


class Rates:
    """One kind of event, counted per key."""

    def __init__(
        self, rate: Rate, monotonic: Callable[[], float], keys_max: int = KEYS_MAX
    ) -> None:
        self._rate = rate
        self._monotonic = monotonic
        self._keys_max = keys_max
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def wait_s(self, key: str) -> int:
        """Seconds until one more is within the rate; 0 when it is now. Counts nothing."""
        return math.ceil(max(0.0, 1 - self._left(key)) * 60 / self._rate.per_minute)

    def count(self, key: str) -> None:
        """Note that it happened once more."""
        left = self._left(key) - 1
        self._buckets[key] = _Bucket(max(0.0, left), self._monotonic())
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._keys_max:
            self._buckets.popitem(last=False)

    def take(self, key: str) -> int:
        """Count one more if it is within the rate, and return 0; else the seconds to wait."""
        wait = self.wait_s(key)
        if not wait:
            self.count(key)
        return wait

    def __len__(self) -> int:
        return len(self._buckets)

    def _left(self, key: str) -> float:
        found = self._buckets.get(key)
        if found is None:
            return float(self._rate.burst)
        passed = self._monotonic() - found.at
        return min(self._rate.burst, found.left + passed * self._rate.per_minute / 60)


def address_key(host: str) -> str:
    """What of an address counts as one sender."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, IPV6_PREFIX), strict=False))
    return str(address)
