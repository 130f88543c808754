"""Does the data plane keep the gateway's traffic on campus? Judges traffic and DNS rules.

GS MEC 011, 7.1.2.2 and 7.1.2.3 (types), 5.2.7 and 5.2.8 (rules are those of the application's
descriptor: they can be looked at and switched on and off, not made). What must hold:

* each rule that the hospital names is there, once, ACTIVE, and forwards;
* no rule that may be in force duplicates traffic, or does something unknown;
* none sends traffic to an address that is not on campus, and one that the hospital does not name
  says where it sends: a descriptor may leave that to the platform, a rule that came later may not;
* each DNS rule that the hospital names is there, once, and ACTIVE, and none that may be in force
  answers with an address that is not on campus.

In force may be whatever is not INACTIVE. Priorities do not matter so: whichever of the rules wins,
it is one of these. A rule of no name that drops traffic sends none anywhere, and is left. A rule
that can't be read may do anything. The first release (2.1.1) has one destination interface per
rule, the second (2.2.1) up to two, of which only a duplicating rule has a use: both are read.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Final, NamedTuple, TypeVar

import msgspec

from gateway.domain.errors import MalformedError
from gateway.mec.reading import decoded, shown

ACTIVE: Final = "ACTIVE"
INACTIVE: Final = "INACTIVE"
FORWARDING: Final = frozenset(("FORWARD_DECAPSULATED", "FORWARD_ENCAPSULATED", "PASSTHROUGH"))
DUPLICATING: Final = "DUPLICATE_"
RULES_MAX: Final = 256
"""Of one application; a longer list is refused."""
FAULTS_SAID_MAX: Final = 8
"""In one alarm's text and one audit entry."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Fault(StrEnum):
    """What may be wrong with a rule; a word of an alarm and of the audit log."""

    MISSING = "missing"
    AMBIGUOUS = "ambiguous"
    """Two are of this name."""
    UNREADABLE = "unreadable"
    INACTIVE = "inactive"
    DUPLICATES = "duplicates"
    DROPS = "drops"
    UNKNOWN_ACTION = "unknown_action"
    OFF_CAMPUS = "off_campus"
    UNSAID = "unsaid"
    """Nobody named it, and it does not say where it sends."""


class Found(NamedTuple):
    """A rule and what is wrong with it."""

    rule: str
    fault: Fault

    def __str__(self) -> str:
        return f"{shown(self.rule)}: {self.fault}"


class Unread(NamedTuple):
    """A rule that can't be read."""

    name: str
    """As far as it says one."""


class Tunnel(msgspec.Struct, frozen=True, rename="camel"):
    """``TunnelInfo``."""

    tunnel_dst_address: str | None = None


class Interface(msgspec.Struct, frozen=True, rename="camel"):
    """``DestinationInterface``."""

    tunnel_info: Tunnel | None = None
    dst_ip_address: str | None = None

    @property
    def addresses(self) -> Iterator[str]:
        """Where it sends to; a MAC address says nothing."""
        if self.dst_ip_address:
            yield self.dst_ip_address
        if self.tunnel_info is not None and self.tunnel_info.tunnel_dst_address:
            yield self.tunnel_info.tunnel_dst_address


class TrafficRule(msgspec.Struct, frozen=True, rename="camel"):
    """What of a ``TrafficRule`` matters."""

    name: str = msgspec.field(name="trafficRuleId")
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

    name: str = msgspec.field(name="dnsRuleId")
    state: str
    ip_address: str


_Rule = TypeVar("_Rule", TrafficRule, DnsRule)


class _Named(msgspec.Struct, frozen=True, rename="camel"):
    traffic_rule_id: str = ""
    dns_rule_id: str = ""


def read_traffic_rules(body: bytes) -> tuple[TrafficRule | Unread, ...]:
    """The answer to GET traffic_rules.

    Raises:
        MalformedError: it is no list, or too long a one.
    """
    return _read(body, TrafficRule)


def read_dns_rules(body: bytes) -> tuple[DnsRule | Unread, ...]:
    """The answer to GET dns_rules.

    Raises:
        MalformedError: it is no list, or too long a one.
    """
    return _read(body, DnsRule)


def judge(
    traffic: Sequence[TrafficRule | Unread],
    dns: Sequence[DnsRule | Unread],
    *,
    rules: Collection[str],
    dns_rules: Collection[str],
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
    found = list(_of_names(rules, traffic))
    for rule in traffic:
        if not isinstance(rule, Unread) and (rule.name in rules or rule.state != INACTIVE):
            faults = _of_traffic(rule, campus, named=rule.name in rules)
            found += (Found(rule.name, fault) for fault in faults)
    found += _of_names(dns_rules, dns)
    for answer in dns:
        if isinstance(answer, Unread) or _on_campus(answer.ip_address, campus):
            continue
        if answer.name in dns_rules or answer.state != INACTIVE:
            found.append(Found(answer.name, Fault.OFF_CAMPUS))
    return found


def asleep(found: Iterable[Found]) -> frozenset[str]:
    """The rules that would be right if they were switched on."""
    faults: dict[str, set[Fault]] = {}
    for rule, fault in found:
        faults.setdefault(rule, set()).add(fault)
    return frozenset(rule for rule, every in faults.items() if every == {Fault.INACTIVE})


def in_words(found: Sequence[Found]) -> str:
    """What is wrong, for people; empty if nothing is."""
    said = ", ".join(str(each) for each in found[:FAULTS_SAID_MAX])
    more = len(found) - FAULTS_SAID_MAX
    return f"{said}, and {more} more" if more > 0 else said


def _of_names(
    names: Iterable[str], rules: Sequence[TrafficRule | DnsRule | Unread]
) -> Iterator[Found]:
    """What is wrong with rules that have to be there, and with those that can't be read."""
    unread = {each.name for each in rules if isinstance(each, Unread)}
    yield from (Found(each, Fault.UNREADABLE) for each in sorted(unread))
    for name in names:
        states = [
            each.state for each in rules if not isinstance(each, Unread) and each.name == name
        ]
        if len(states) > 1:
            yield Found(name, Fault.AMBIGUOUS)
        elif states and states[0] != ACTIVE:
            yield Found(name, Fault.INACTIVE)
        elif not states and name not in unread:
            yield Found(name, Fault.MISSING)


def _of_traffic(rule: TrafficRule, campus: Sequence[Network], *, named: bool) -> Iterator[Fault]:
    said = [list(each.addresses) for each in rule.interfaces]
    if any(not _on_campus(address, campus) for addresses in said for address in addresses):
        yield Fault.OFF_CAMPUS
    if rule.action in FORWARDING:
        if len(said) > 1:
            yield Fault.DUPLICATES
        if not named and not (said and all(said)):
            yield Fault.UNSAID
    elif rule.action.startswith(DUPLICATING):
        yield Fault.DUPLICATES
    elif rule.action != "DROP":
        yield Fault.UNKNOWN_ACTION
    elif named:
        yield Fault.DROPS


def _on_campus(text: str, campus: Sequence[Network]) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return any(address.version == each.version and address in each for each in campus)


def _read(body: bytes, kind: type[_Rule]) -> tuple[_Rule | Unread, ...]:
    each_raw = decoded(body, tuple[msgspec.Raw, ...], "list of rules")
    if len(each_raw) > RULES_MAX:
        raise MalformedError("rules", "too many")
    return tuple(_read_one(each, kind) for each in each_raw)


def _read_one(raw: msgspec.Raw, kind: type[_Rule]) -> _Rule | Unread:
    try:
        return decoded(raw, kind, "rule")
    except MalformedError:
        pass
    try:
        said = decoded(raw, _Named, "rule")
    except MalformedError:
        return Unread("?")
    return Unread(said.traffic_rule_id or said.dns_rule_id or "?")
