"""What a gateway needs of the network -> nftables (nft(8)), in a table of its own.

* Whose packets: ``meta skuid``, the user that opened the socket. A control group would name the
  unit, but its rule holds the group's number, and each start of the unit makes another group; a
  user stays, in every network namespace, and an unprivileged process can't change it.
* Deny by default, in a chain that only the gateway's packets enter: other users of the host, and
  packets without a socket (resets, neighbour discovery), are not judged here.
* No connection tracking: a hole that closes is closed for connections that stand, too, and a flood
  fills no table. Replies of a listener are known by its port: over TCP anything but the packet that
  would open a connection, over UDP anything, and always to the ward's networks alone.
* Every rule has a named counter. Counters outlive a change of the rules.
* Loopback is judged like everything else: a resolver or a proxy on this host is a way out.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterable, Iterator

from gateway.dial import Network
from gateway.packetfilter.openings import TCP, Listener, Opening, Openings

REFUSED = "refused"
"""Packets of the gateway's user that nothing explains."""
STRANGERS = "strangers"
"""Packets to a listener from outside its networks."""
LISTENERS = "listeners"
CLOSED = "closed-"
"""Prefix: packets to a destination to which nothing is released; dropped, and no surprise while
gateway and filter apply a changed policy one after the other."""
LOG_RATE = "limit rate 6/minute burst 10 packets"
"""What goes to the kernel's log of refused packets; the counter has them all."""
TABLE_NAME_MAX = 48


def table_name(gateway: str) -> str:
    """The table of a gateway; two gateways never share one."""
    plain = re.sub(r"[^a-z0-9]", "_", gateway.lower())[:TABLE_NAME_MAX]
    if plain.replace("_", "-") != gateway:
        plain += "_" + hashlib.sha256(gateway.encode()).hexdigest()[:6]
    return f"wardgate_{plain}"


def counter_names(openings: Openings) -> list[str]:
    """Every counter, in the order of the rules."""
    return [LISTENERS, STRANGERS, *(_counter(each) for each in openings.outgoing), REFUSED]


def ruleset(openings: Openings, uid: int) -> str:
    """A script for ``nft -f``: replaces this gateway's table, all of it or nothing."""
    table = table_name(openings.gateway)
    counters = "\n".join(f"add counter inet {table} {name}" for name in counter_names(openings))
    return f"""\
# The packet filter of gateway {openings.gateway}: made from its configuration and policy.
add table inet {table}
{counters}
flush table inet {table}
table inet {table} {{
\tchain output {{
\t\ttype filter hook output priority filter; policy accept;
\t\tmeta skuid {uid} goto gateway
\t}}
\tchain gateway {{
{_lines(_gateway(openings))}
\t\t{LOG_RATE} log prefix "{table} refused: "
\t\tcounter name {REFUSED} drop
\t}}
\tchain input {{
\t\ttype filter hook input priority filter; policy accept;
{_lines(_input(openings.listeners))}
\t}}
}}
"""


def rule_count(script: str) -> int:
    """How many rules a script makes, to notice when somebody took one away."""
    return sum(
        line.startswith("\t\t") and not line.startswith("\t\ttype ") for line in script.splitlines()
    )


def _gateway(openings: Openings) -> Iterator[str]:
    for listener in openings.listeners:
        begins = " tcp flags & (fin | syn | rst | ack) != syn" if listener.protocol == TCP else ""
        port = f"{listener.protocol} sport {listener.port}{begins}"
        for family, there in _by_family(listener.networks):
            here = _here(listener, family, "saddr")
            if here is not None:
                yield f"{here}{family} daddr {there} {port} counter name {LISTENERS} accept"
    # What is open comes first: another destination may be at the same place.
    for each in sorted(openings.outgoing, key=lambda each: not each.released):
        verdict = "accept" if each.released else "drop"
        for family, there in _by_family(each.networks):
            for protocol in each.protocols:
                port = f"{protocol} dport {each.port}"
                yield f"{family} daddr {there} {port} counter name {_counter(each)} {verdict}"


def _input(listeners: Iterable[Listener]) -> Iterator[str]:
    for listener in listeners:
        port = f"{listener.protocol} dport {listener.port}"
        for family, there in _by_family(listener.networks):
            here = _here(listener, family, "daddr")
            if here is not None:
                yield f"{here}{family} saddr {there} {port} counter name {LISTENERS} accept"
        for family in ("ip", "ip6"):
            here = _here(listener, family, "daddr")
            if here is not None:
                which = here or f"meta nfproto {'ipv4' if family == 'ip' else 'ipv6'} "
                yield f"{which}{port} counter name {STRANGERS} drop"


def _here(listener: Listener, family: str, side: str) -> str | None:
    """A match of the listener's own address; None when it is of the other family."""
    if listener.address is None:
        return ""
    if _family(listener.address) != family:
        return None
    return f"{family} {side} {listener.address.network_address} "


def _by_family(networks: Iterable[Network]) -> Iterator[tuple[str, str]]:
    """``ip`` and ``ip6`` with the networks of each, without overlaps, which nft refuses."""
    all_of = list(networks)
    four = [each for each in all_of if isinstance(each, ipaddress.IPv4Network)]
    six = [each for each in all_of if isinstance(each, ipaddress.IPv6Network)]
    for family, found in (
        ("ip", [str(each) for each in ipaddress.collapse_addresses(four)]),
        ("ip6", [str(each) for each in ipaddress.collapse_addresses(six)]),
    ):
        if found:
            yield family, f"{{ {', '.join(found)} }}"


def _family(network: Network) -> str:
    return "ip" if network.version == 4 else "ip6"


def _counter(opening: Opening) -> str:
    return opening.name if opening.released else CLOSED + opening.name.removeprefix("to-")


def _lines(rules: Iterable[str]) -> str:
    return "\n".join(f"\t\t{rule}" for rule in rules)
