"""Where a stream really goes: name -> allowed address -> pinned certificate -> gRPC's target.

A receiver is known by three things, and each is checked before a byte of a stream leaves:

* **Address.** We resolve its name ourselves and dial the address that we looked at; gRPC never
  asks the DNS. With ``networks``, an address outside them is refused and never dialled, so that a
  changed DNS answer redirects nobody.
* **Name.** Its certificate must name ``server_name``, or else the host of ``address``.
* **Key.** With ``pins``, a handshake of our own finds the pinned certificate in the verified
  chain. gRPC has no hook to look at a certificate, so it is then given that one certificate as the
  *only* trust anchor: BoringSSL accepts a chain that ends at it (partial chain) and no other,
  whoever answers the second time. A valid certificate of the same CA does not help an impostor.

No proxy stands between: gRPC's are switched off, and the variables that name one are dropped from
the process (:func:`forget_proxies`).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

import grpc.aio
from cryptography.hazmat.primitives.serialization import Encoding

from gateway import tomlfile
from gateway.domain.errors import WardgateError
from security.files import TlsFiles
from security.pins import check_pins, pinned, verified_chain
from security.tls import client_context

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

RESOLVE_TIMEOUT_S = 10.0
HANDSHAKE_TIMEOUT_S = 10.0
KNOCK_TIMEOUT_S = 2.0
ADDRESSES_MAX = 16
"""Of one name; what a resolver says beyond is not looked at."""
NETWORKS_MAX = 64
PINS_MAX = 16

_PROXY_VARIABLES = frozenset(
    (
        "http_proxy",
        "https_proxy",
        "grpc_proxy",
        "all_proxy",
        "grpc_address_http_proxy",
        "grpc_address_http_proxy_enabled_addresses",
    )
)
CHANNEL_OPTIONS: tuple[tuple[str, Any], ...] = (("grpc.enable_http_proxy", 0),)


class NotReachedError(WardgateError):
    """The name can't be resolved, or nobody answers; ``reason`` is a metric label."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class MisdirectedError(WardgateError):
    """What answers, or would, is not the receiver: an engineer must hear of it.

    ``reason`` is ``address_refused`` or ``pin_refused``.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Receiver(NamedTuple):
    """Who is to be reached, as the configuration says."""

    address: str
    """``host:port``."""
    server_name: str = ""
    networks: tuple[str, ...] = ()
    """Where it may be; empty: anywhere."""
    pins: tuple[str, ...] = ()
    """Empty: whoever a trusted root vouches for."""

    @property
    def name(self) -> str:
        """What its certificate must name."""
        return self.server_name or tomlfile.address(self.address, "address")[0]


class Route(NamedTuple):
    """One way to a receiver, good for one connection."""

    door: str
    """``ip:port``, for a knock."""
    target: str
    """As gRPC takes it: an address, so that nothing is resolved again."""
    name: str
    anchor: bytes = b""
    """PEM: trust nothing but this certificate; empty: the configured roots."""
    outside: tuple[str, ...] = ()
    """Addresses that the resolver named too, and that are refused."""

    @property
    def options(self) -> list[tuple[str, Any]]:
        """For the channel."""
        return [*CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", self.name)]


Resolve = Callable[[str, int], Awaitable[list[str]]]
Dial = Callable[[], Awaitable[Route]]


def check_receiver(receiver: Receiver, what: str) -> None:
    """Whether networks and pins are written as such, and a literal address lies within.

    Raises:
        ValueError: it isn't; ``what`` leads the message.
    """
    if len(receiver.networks) > NETWORKS_MAX or len(receiver.pins) > PINS_MAX:
        raise ValueError(f"{what}: at most {NETWORKS_MAX} networks and {PINS_MAX} pins")
    try:
        networks = parse_networks(receiver.networks)
        check_pins(receiver.pins)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error
    literal = literal_of(receiver.address)
    if literal is not None and networks and not _within(literal, networks):
        raise ValueError(f"{what}: {literal} is in none of its networks")


def parse_networks(texts: Iterable[str]) -> list[Network]:
    """Networks from their text.

    Raises:
        ValueError: one is none.
    """
    return [ipaddress.ip_network(text) for text in texts]


def literal_of(address: str) -> Address | None:
    """The address in ``host:port``; None where the host is a name."""
    host, _ = tomlfile.address(address, "address")
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host)
    return None


async def resolve(host: str, port: int) -> list[str]:
    """A name's addresses, in the order in which they are to be tried.

    Raises:
        OSError, TimeoutError: there are none.
    """
    async with asyncio.timeout(RESOLVE_TIMEOUT_S):
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))[:ADDRESSES_MAX]


async def knock(address: str) -> bool:
    """Whether anybody accepts connections at ``host:port``; opens one and closes it again."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(KNOCK_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def route(receiver: Receiver, files: TlsFiles, resolve: Resolve = resolve) -> Route:
    """The way to a receiver, as it is now.

    Args:
        receiver: who.
        files: our certificate for it, and the roots that vouch for it.
        resolve: the resolver, for tests.

    Raises:
        NotReachedError: the name has no address, or (with pins) nobody shakes hands there.
        MisdirectedError: every address is outside the networks, or the key is not a pinned one.
        ConfigError: our own files can't be used.
    """
    host, port = tomlfile.address(receiver.address, "address")
    try:
        found = [ipaddress.ip_address(each) for each in await resolve(host, port)]
    except (OSError, ValueError, TimeoutError) as error:
        raise NotReachedError("unresolved", f"{host}: can't be resolved") from error
    networks = parse_networks(receiver.networks)
    inside = [each for each in found if not networks or _within(each, networks)]
    outside = tuple(str(each) for each in found if each not in inside)
    if not inside:
        raise MisdirectedError("address_refused", f"{host} is said to be at {', '.join(outside)}")
    door = await _first_open([_door(each, port) for each in inside])
    family = "ipv6" if door.startswith("[") else "ipv4"
    way = Route(door, f"{family}:{door}", receiver.name, outside=outside)
    if not receiver.pins:
        return way
    return way._replace(anchor=await _anchor(way, receiver, client_context(files)))


def open_channel(
    way: Route, credentials: grpc.ChannelCredentials, options: Iterable[tuple[str, Any]]
) -> grpc.aio.Channel:
    """A channel along a route."""
    return grpc.aio.secure_channel(way.target, credentials, [*options, *way.options])


def forget_proxies() -> list[str]:
    """Take every variable that names a proxy out of the environment; their names."""
    found = [name for name in os.environ if name.lower() in _PROXY_VARIABLES]
    for name in found:
        del os.environ[name]
    return found


async def _anchor(way: Route, receiver: Receiver, context: ssl.SSLContext) -> bytes:
    """The pinned certificate of who answers, PEM."""
    host, _, port = way.door.rpartition(":")
    try:
        async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
            _, writer = await asyncio.open_connection(
                host.strip("[]"), int(port), ssl=context, server_hostname=way.name
            )
    except ssl.SSLCertVerificationError as error:
        raise NotReachedError("untrusted", f"{way.door}: {error.verify_message}") from error
    except (OSError, TimeoutError) as error:
        raise NotReachedError("unavailable", f"{way.door}: no handshake") from error
    try:
        chain = verified_chain(writer.get_extra_info("ssl_object"))
    finally:
        writer.transport.abort()
    found = pinned(chain, receiver.pins)
    if found is None:
        raise MisdirectedError("pin_refused", f"{way.door} has a key that is not pinned")
    return found.public_bytes(Encoding.PEM)


async def _first_open(doors: list[str]) -> str:
    """The first that answers; the first of all where there is no choice."""
    for door in doors[1:] and doors:
        if await knock(door):
            return door
    return doors[0]


def _door(address: Address, port: int) -> str:
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == each.version and address in each for each in networks)
