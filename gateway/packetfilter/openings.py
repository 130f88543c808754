"""What a gateway needs of the network: the one source of packet filter and address limits.

* A destination is open when the policy's table releases anything to it, at its port, within its
  ``networks``; a destination at a literal address is open there alone. Without a policy none is.
* Listeners and metrics are for the ward's networks and loopback; what listens on loopback is for
  loopback.
* Fleet, enrolment (EST), and what drivers dial (``dials`` of their configuration) are open.
* The DNS is open, to this host's resolvers, only while something above is a name: whoever may ask
  a resolver has a channel to the Internet through it. Addresses with ``server_name`` avoid it.
  The name of a destination to which nothing is released is not resolved.
* Time is not the gateway's to set: no NTP.
"""

from __future__ import annotations

import contextlib
import ipaddress
import pwd
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from gateway import plugins, tomlfile
from gateway.config import GatewayConfig
from gateway.dial import Network, literal_of, parse_networks
from gateway.domain.errors import ConfigError
from gateway.domain.labels import Zone, releases_anything
from security.policy import PolicyTable

RESOLVER = Path("/etc/resolv.conf")
LOOPBACK: tuple[Network, ...] = (
    ipaddress.ip_network("127.0.0.0/8"),
    ipaddress.ip_network("::1/128"),
)
TCP, UDP = "tcp", "udp"
DNS_PORT = 53
NAMESERVER_DEFAULT: Network = ipaddress.ip_network("127.0.0.1")
HTTPS_PORT = 443


class Listener(NamedTuple):
    """Where we are spoken to, and from where that is allowed."""

    protocol: str
    address: Network | None
    """One address; None: any of this host."""
    port: int
    networks: tuple[Network, ...]


class Opening(NamedTuple):
    """Where we may begin to speak."""

    name: str
    """Also a counter's."""
    networks: tuple[Network, ...]
    """Empty: its name has no address now."""
    port: int
    protocols: tuple[str, ...] = (TCP,)
    released: bool = True
    """False: a destination to which the policy releases nothing."""


class Openings(NamedTuple):
    """Everything that a gateway may do; anything else it may not."""

    gateway: str
    ward: tuple[Network, ...]
    """Where devices are, and whoever else may speak to listeners."""
    listeners: tuple[Listener, ...]
    outgoing: tuple[Opening, ...]
    names: tuple[str, ...]
    """Hosts that must be resolved: why the DNS is open, if it is."""


Lookup = Callable[[str, int], Iterable[str]]
"""Host and port -> addresses; raises OSError where there is none."""


def lookup(host: str, port: int) -> Iterable[str]:
    """Ask this host's resolver."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


def find(  # what it depends on is what root hands in
    config: GatewayConfig,
    path: Path,
    table: PolicyTable | None,
    resolver: Path = RESOLVER,
    lookup: Lookup = lookup,
    *,
    every: bool = False,
) -> Openings:
    """What this configuration needs under this policy.

    Args:
        config: the gateway's.
        path: where it was read, for messages and relative paths.
        table: the policy; None: none that can be verified.
        resolver: resolv.conf(5).
        lookup: resolves names, where a destination states no networks.
        every: as if something were released to every destination; and refuse a name that can't be
            resolved, which otherwise stays closed for now.

    Raises:
        ConfigError: a network is none, a driver's table is wrong, or (every) a name is unknown.
    """
    try:
        ward = tuple(parse_networks(config.gateway.ward_networks))
    except ValueError as error:
        raise ConfigError(f"{path}: gateway.ward_networks: {error}") from error
    drivers = plugins.check(config.drivers, path.resolve().parent, str(path))
    places = _Places(lookup, strict=every)
    listeners = _own_listeners(config, ward)
    asked = config.mec.addresses | config.network_apis.addresses
    outgoing = [places.opening(name, at) for name, at in asked.items()]
    for name, _, options in drivers:
        kind = getattr(options, "listens_over", socket.SOCK_STREAM)
        protocol = UDP if kind is socket.SOCK_DGRAM else TCP
        listeners += [
            _listener(*tomlfile.address(address, name), protocol, ward)
            for address in getattr(options, "listen", ())
        ]
        over = getattr(options, "dials_over", socket.SOCK_STREAM)
        protocols = (UDP if over is socket.SOCK_DGRAM else TCP,)
        for number, address in enumerate(getattr(options, "dials", ())):
            opening = places.opening(f"driver-{name}-{number}", address)
            outgoing.append(opening._replace(protocols=protocols))
    for each in config.destinations:
        row = table.rows.get(each.name, {}) if table is not None else {}
        released = every or releases_anything(row)
        outgoing.append(
            places.opening(f"to-{each.name}", each.address, each.networks, released=released)
        )
    outgoing += _outlets(config, table, places, every=every)
    if config.clock.chrony:
        outgoing.append(places.opening("chrony", config.clock.chrony)._replace(protocols=(UDP,)))
    if config.fleet is not None:
        outgoing.append(places.opening("fleet", config.fleet.address, config.fleet.networks))
    if config.renewal.est:
        url = urlsplit(config.renewal.est)
        host, port = url.hostname or "", url.port or HTTPS_PORT
        outgoing.append(
            places.opening("est", f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        )
    if config.audit.syslog is not None:
        outgoing.append(places.opening("syslog", config.audit.syslog.address))
    if places.names:
        servers = tuple(_nameservers(resolver))
        outgoing.append(Opening("dns", servers, DNS_PORT, (UDP, TCP)))
    return Openings(
        config.gateway.name, ward, tuple(listeners), tuple(outgoing), tuple(sorted(places.names))
    )


def _own_listeners(config: GatewayConfig, ward: tuple[Network, ...]) -> list[Listener]:
    """Where the gateway itself listens, beside its drivers."""
    listeners = [_listener(config.metrics.host, config.metrics.port, TCP, ward)]
    if config.local.listen:
        host, port = tomlfile.address(config.local.listen, "local.listen")
        listeners.append(_listener(host, port, TCP, ward))
    if config.mec.callback is not None and config.mec.platform != "none":
        host, port = tomlfile.address(config.mec.callback.listen, "mec.callback.listen")
        platform = tuple(parse_networks(config.mec.callback.networks))
        listeners.append(_listener(host, port, TCP, platform))
    nef = config.network_apis.nef
    if nef is not None and nef.callback is not None and config.network_apis:
        host, port = tomlfile.address(nef.callback.listen, "network_apis.nef.callback.listen")
        core = tuple(parse_networks(nef.callback.networks))
        listeners.append(_listener(host, port, TCP, core))
    return listeners


def _outlets(
    config: GatewayConfig, table: PolicyTable | None, places: _Places, *, every: bool
) -> Iterator[Opening]:
    """Those that the gateway dials by itself; a broker is its driver's."""
    for outlet in config.notification.outlets:
        receiver = outlet.dials
        if receiver is None:
            continue
        row = table.rows.get(outlet.name) if table is not None else None
        # Without a word of the policy, what stands in the ward is told everything.
        released = outlet.zone is Zone.WARD if row is None else releases_anything(row)
        name = f"outlet-{outlet.name}"
        yield places.opening(name, receiver.address, receiver.networks, released=every or released)


def uid_of(user: str) -> int:
    """A user's number.

    Raises:
        ConfigError: there is no such user, or it is root, whom the rules can't be for.
    """
    try:
        number = int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid
    except KeyError as error:
        raise ConfigError(f"packet_filter.user: there is no user {user!r}") from error
    if number == 0:
        raise ConfigError("packet_filter.user: root's packets can't be limited; it could undo it")
    return number


class _Places:
    """Resolves, and remembers what had to be."""

    def __init__(self, lookup: Lookup, *, strict: bool) -> None:
        self._lookup = lookup
        self._strict = strict
        self.names: set[str] = set()

    def opening(
        self, name: str, address: str, networks: tuple[str, ...] = (), *, released: bool = True
    ) -> Opening:
        host, port = tomlfile.address(address, name)
        literal = literal_of(address)
        if literal is not None:
            return Opening(name, (ipaddress.ip_network(literal),), port, released=released)
        if released:
            self.names.add(host)
        if networks:
            return Opening(name, tuple(parse_networks(networks)), port, released=released)
        if not released:
            return Opening(name, (), port, released=False)
        try:
            found = [
                ipaddress.ip_network(each.partition("%")[0]) for each in self._lookup(host, port)
            ]
        except OSError as error:
            if self._strict:
                raise ConfigError(f"{address}: can't be resolved: {error}") from error
            found = []
        return Opening(name, _distinct(found), port)


def _listener(host: str, port: int, protocol: str, ward: tuple[Network, ...]) -> Listener:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # localhost, in [metrics]
        return Listener(protocol, None, port, LOOPBACK)
    if address.is_loopback:
        return Listener(protocol, ipaddress.ip_network(address), port, LOOPBACK)
    place = None if address.is_unspecified else ipaddress.ip_network(address)
    return Listener(protocol, place, port, (*LOOPBACK, *ward))


def _nameservers(resolver: Path) -> Iterator[Network]:
    """Those of resolv.conf(5): where it names none, as early at boot, this host is asked."""
    try:
        lines = resolver.read_text().splitlines()
    except OSError:
        lines = []
    named = False
    for line in lines:
        match line.split():
            case ["nameserver", server, *_]:
                named = True
                with contextlib.suppress(ValueError):
                    yield ipaddress.ip_network(server.partition("%")[0])
    if not named:
        yield NAMESERVER_DEFAULT


def _distinct(networks: Iterable[Network]) -> tuple[Network, ...]:
    return tuple(dict.fromkeys(networks))
