"""How many handshakes one host may begin: a token bucket per host, in bounded memory.

A handshake costs about a millisecond of a core, so that an unbounded host could take it all.
Only hosts that returned a cookie get here, so that nobody can spend another host's tokens.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import Final

HOSTS_MAX: Final = 4096
"""Hosts remembered, 200 bytes each; the longest unseen is forgotten first."""


_SUBNET_BITS = 64


def host_of(address: str) -> str:
    """Whom an address counts for: an IPv4 address, or an IPv6 subnet.

    Whoever has one IPv6 address has its whole subnet (RFC 7421).
    """
    if ":" not in address:
        return address
    literal = ipaddress.IPv6Address(address.partition("%")[0])
    if literal.ipv4_mapped is not None:
        return str(literal.ipv4_mapped)
    return str(ipaddress.IPv6Network((literal, _SUBNET_BITS), strict=False).network_address)


class HandshakeRates:
    """Token buckets by host.

    Args:
        burst: handshakes that a rested host may begin at once.
        per_s: handshakes per second after that.
    """

    def __init__(self, burst: int, per_s: float) -> None:
        self._burst = burst
        self._per_s = per_s
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, host: str, now_s: float) -> bool:
        """Whether the host may begin one more handshake now."""
        tokens, seen_s = self._buckets.pop(host, (float(self._burst), now_s))
        tokens = min(self._burst, tokens + (now_s - seen_s) * self._per_s)
        granted = tokens >= 1
        self._buckets[host] = (tokens - 1 if granted else tokens, now_s)
        if len(self._buckets) > HOSTS_MAX:
            self._buckets.popitem(last=False)
        return granted

    def __len__(self) -> int:
        return len(self._buckets)
