"""Addresses of listeners, as configured: ``"127.0.0.1:8883"``, ``"[::1]:8883"``.

Only literal addresses: a listener must not change with the name service.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Sequence

from gateway.domain.errors import ConfigError

PORT_MAX = 0xFFFF
BACKLOG_CONNECTIONS = 4096
"""Connections that the kernel keeps for us in a reconnect storm; it may cut this (somaxconn)."""
SAME_PORT_ATTEMPTS_MAX = 16

Address = tuple[str, int]


def parse_address(text: str) -> Address:
    """Read ``host:port``; an IPv6 host stands in brackets.

    Raises:
        ConfigError: not a literal address with a port.
    """
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        literal = ipaddress.ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        raise ConfigError(f"{text!r} is not <address>:<port>") from None
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > PORT_MAX:
        raise ConfigError(f"{text!r} has no port of 0 to {PORT_MAX}")
    if bracketed is not (literal.version == 6):
        raise ConfigError(f"{text!r}: an IPv6 address, and no other, stands in brackets")
    return str(literal), int(port)


def bind_stream(addresses: Sequence[Address]) -> list[socket.socket]:
    """Listening sockets for ``addresses``, non-blocking, in their order.

    Port 0 takes a free one; further addresses with port 0 get the same port as the first, so
    that one number reaches all of them.

    Raises:
        OSError: one can't be bound; then none is left open.
    """
    for attempt in range(SAME_PORT_ATTEMPTS_MAX):
        sockets: list[socket.socket] = []
        chosen = 0
        with contextlib.ExitStack() as stack:
            try:
                for host, port in addresses:
                    sock = stack.enter_context(_listen(host, port or chosen))
                    sockets.append(sock)
                    chosen = chosen or (sock.getsockname()[1] if not port else 0)
            except OSError:
                # The first one's port may be taken at another address: draw again.
                if chosen and attempt < SAME_PORT_ATTEMPTS_MAX - 1:
                    continue
                raise
            stack.pop_all()
            return sockets
    raise AssertionError  # the last attempt returned or raised


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        sock.bind((host, port))
        sock.listen(BACKLOG_CONNECTIONS)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, error.strerror, f"{host} port {port}") from error
    return sock
