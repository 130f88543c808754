"""Does the data plane keep the gateway's traffic on campus? Judges traffic and DNS rules.

GS MEC 011, 7.1.2.2 and 7.1.2.3 (types), 5.2.7 and 5.2.8 (rules are those of the application's
descriptor: they can be looked at and switched on and off, not made). What must hold:

* each rule that the hospital names is there, and ACTIVE;
* no active rule duplicates traffic, or drops what it covers;
* no active rule sends traffic to an address that is not on campus;
* each DNS rule that the hospital names is there, ACTIVE, and answers with an address of the campus.

A rule that can't be read is as good as one that is not there. The first release (2.1.1) has one
destination interface per rule, the second (2.2.1) up to two: both are read.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Final, NamedTuple, TypeVar

import msgspec

from gateway.domain.errors import MalformedError

ACTIVE: Final = "ACTIVE"
FORWARDING: Final = frozenset(("FORWARD_DECAPSULATED", "FORWARD_ENCAPSULATED", "PASSTHROUGH"))
DUPLICATING: Final = "DUPLICATE_"
RULES_MAX: Final = 256
"""Of one application; a longer list is refused."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Rules = TypeVar("_Rules", bound=tuple[object, ...])


class Fault(StrEnum):
    """What may be wrong with a rule; a word of an alarm and of the audit log."""

    MISSING = "missing"
    INACTIVE = "inactive"
    DUPLICATES = "duplicates"
    DROPS = "drops"
    UNKNOWN_ACTION = "unknown_action"
    OFF_CAMPUS = "off_campus"


class Found(NamedTuple):
    """A rule and what is wrong with it."""

    rule: str
    fault: Fault

    def __str__(self) -> str:
        return f"{self.rule}: {self.fault}"


class Tunnel(msgspec.Struct, frozen=True, rename="camel"):
    """``TunnelInfo``."""

    tunnel_dst_address: str = ""


class Interface(msgspec.Struct, frozen=True, rename="camel"):
    """``DestinationInterface``."""

    tunnel_info: Tunnel | None = None
    dst_ip_address: str = ""

    @property
    def addresses(self) -> Iterator[str]:
        """Where it sends to; a MAC address says nothing."""
        if self.dst_ip_address:
            yield self.dst_ip_address
        if self.tunnel_info is not None and self.tunnel_info.tunnel_dst_address:
            yield self.tunnel_info.tunnel_dst_address


class TrafficRule(msgspec.Struct, frozen=True, rename="camel"):
    """What of a ``TrafficRule`` matters."""

    traffic_rule_id: str
    action: str
    state: str
    dst_interface: Interface | tuple[Interface, ...] | None = None

    @property
    def interfaces(self) -> tuple[Interface, ...]:
        """None, one, or two."""
        if self.dst_interface is None:
            return ()
        return (
            (self.dst_interface,)
            if isinstance(self.dst_interface, Interface)
            else self.dst_interface
        )


class DnsRule(msgspec.Struct, frozen=True, rename="camel"):
    """What of a ``DnsRule`` matters."""

    dns_rule_id: str
    state: str
    ip_address: str


def read_traffic_rules(body: bytes) -> tuple[TrafficRule, ...]:
    """The answer to GET traffic_rules.

    Raises:
        MalformedError: it is none.
    """
    return _read(body, tuple[TrafficRule, ...])


def read_dns_rules(body: bytes) -> tuple[DnsRule, ...]:
    """The answer to GET dns_rules.

    Raises:
        MalformedError: it is none.
    """
    return _read(body, tuple[DnsRule, ...])


def judge(
    traffic: Sequence[TrafficRule],
    dns: Sequence[DnsRule],
    *,
    rules: Iterable[str],
    dns_rules: Iterable[str],
    campus: Sequence[Network],
) -> list[Found]:
    """What is wrong; empty when data stays on campus.

    Args:
        traffic: every rule of the application.
        dns: the same of its DNS rules.
        rules: those that must be there and active.
        dns_rules: the same of DNS rules.
        campus: networks that data may be sent to.
    """
    found: list[Found] = []
    there = {each.traffic_rule_id: each for each in traffic}
    for name in rules:
        rule = there.get(name)
        if rule is None:
            found.append(Found(name, Fault.MISSING))
        elif rule.state != ACTIVE:
            found.append(Found(name, Fault.INACTIVE))
    for rule in traffic:
        if rule.state == ACTIVE:
            found += _of_active(rule, campus)
    answers = {each.dns_rule_id: each for each in dns}
    for name in dns_rules:
        answer = answers.get(name)
        if answer is None:
            found.append(Found(name, Fault.MISSING))
        elif answer.state != ACTIVE:
            found.append(Found(name, Fault.INACTIVE))
        elif not _on_campus(answer.ip_address, campus):
            found.append(Found(name, Fault.OFF_CAMPUS))
    return found


def _of_active(rule: TrafficRule, campus: Sequence[Network]) -> Iterator[Found]:
    name = rule.traffic_rule_id
    if rule.action.startswith(DUPLICATING):
        yield Found(name, Fault.DUPLICATES)
    elif rule.action == "DROP":
        yield Found(name, Fault.DROPS)
    elif rule.action not in FORWARDING:
        yield Found(name, Fault.UNKNOWN_ACTION)
    for interface in rule.interfaces:
        for address in interface.addresses:
            if not _on_campus(address, campus):
                yield Found(name, Fault.OFF_CAMPUS)


def _on_campus(text: str, campus: Sequence[Network]) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return any(address.version == each.version and address in each for each in campus)


def _read(body: bytes, kind: type[_Rules]) -> _Rules:
    try:
        found = msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise MalformedError("rules", "not a list of rules") from error
    if len(found) > RULES_MAX:
        raise MalformedError("rules", "too many")
    return found
