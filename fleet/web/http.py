"""HTTP connections with an end to everything: time, size, number.

A connection lives for a bounded time whatever its peer does, so that one that dribbles its head,
its body, or what it reads of an answer, costs a socket and no more. Heads are limited in lines
and length, bodies are read by the handler up to its own bound; nothing is decompressed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from fleet.web.rates import address_key
from gateway.domain.errors import MalformedError

LINE_BYTES_MAX = 4096
"""A request's first line: an OCSP request in a GET's path may have some 300 bytes."""
FIELD_BYTES_MAX = 4096
FIELDS_MAX = 32
LINGER_S = 2.0
FAULT = "500"
"""The code of what a fault of ours made of a request, as metrics have it."""
STOP_S = 2.0

Handler = Callable[[web.BaseRequest], Awaitable[web.Response]]

log = logging.getLogger(__name__)
# What a peer can get wrong in HTTP is no news, and anybody can do it as often as they like.
_protocol_log = logging.getLogger(f"{__name__}.protocol")
_protocol_log.setLevel(logging.CRITICAL + 1)


class HttpLimits(NamedTuple):
    """What a connection may cost."""

    connection_s: float
    idle_s: float
    connections_max: int
    connections_per_address_max: int


class HttpEnd:
    """Makes the protocol of each connection of a listener."""

    def __init__(
        self, handler: Handler, limits: HttpLimits, overloaded: Callable[[], None]
    ) -> None:
        """Serve with ``handler``; ``overloaded`` is told of connections that are one too many."""
        self._handler = handler
        self._limits = limits
        self._overloaded = overloaded
        self._connections = 0
        self._per_address: Counter[str] = Counter()
        self._server = web.Server(
            self._answer,
            access_log=None,
            logger=_protocol_log,
            keepalive_timeout=limits.idle_s,
            lingering_time=LINGER_S,
            max_line_size=LINE_BYTES_MAX,
            max_field_size=FIELD_BYTES_MAX,
            max_headers=FIELDS_MAX,
            auto_decompress=False,
        )

    def protocol(self, release: Callable[[], None]) -> asyncio.Protocol:
        """The protocol of one connection; calls ``release`` when it is lost."""
        return _Connection(self, release)

    async def stop(self) -> None:
        """End every connection, those that are being answered last."""
        self._server.pre_shutdown()
        await self._server.shutdown(STOP_S)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            response = await self._handler(request)
        except Exception:
            # A task boundary: whatever one request brings, the others go on.
            log.exception("a request ended in a fault of ours")
            response = web.Response(status=int(FAULT))
        response.headers["Server"] = "wardgate"
        return response

    def arrived(self, address: str) -> bool:
        """Count a connection; False when its address has too many."""
        if (
            self._connections >= self._limits.connections_max
            or self._per_address[address] >= self._limits.connections_per_address_max
        ):
            self._overloaded()
            return False
        self._connections += 1
        self._per_address[address] += 1
        return True

    def left(self, address: str) -> None:
        """A counted connection has ended."""
        self._connections -= 1
        self._per_address[address] -= 1
        if not self._per_address[address]:
            del self._per_address[address]

    @property
    def server(self) -> web.Server:
        return self._server

    @property
    def connection_s(self) -> float:
        return self._limits.connection_s


class _Connection(RequestHandler):
    """aiohttp's protocol, with an end, and without its name in the answers to what is no HTTP."""

    __slots__ = ("_address", "_end", "_http", "_release")

    def __init__(self, end: HttpEnd, release: Callable[[], None]) -> None:
        server = end.server
        super().__init__(server, loop=asyncio.get_running_loop(), **server._kwargs)  # noqa: SLF001
        self._http = end
        self._release = release
        self._address: str | None = None
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert isinstance(transport, asyncio.Transport)
        peer = transport.get_extra_info("peername")
        address = address_key(str(peer[0]) if peer else "")
        if not self._http.arrived(address):
            transport.abort()
            return
        self._address = address
        loop = asyncio.get_running_loop()
        self._end = loop.call_later(self._http.connection_s, transport.abort)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to a request that can't be read: its status and nothing of it."""
        response = super().handle_error(request, status, exc, message)
        plain = web.Response(status=response.status, headers={"Server": "wardgate"})
        plain.force_close()
        return plain

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self._end is not None:
            self._end.cancel()
        if self._address is not None:
            self._http.left(self._address)
            self._address = None
        self._release()


class Peer(NamedTuple):
    """Who sent a request."""

    name: str
    """Address and port, for the audit log."""
    address: str
    """What counts as one sender."""


def peer_of(request: web.BaseRequest) -> Peer:
    """The sender of a request."""
    name = request.transport.get_extra_info("peername") if request.transport else None
    if not name:
        return Peer("", "")
    host, port = str(name[0]), name[1]
    return Peer(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", address_key(host))


async def read_body(request: web.BaseRequest, bytes_max: int, seconds: float) -> bytes:
    """A request's body.

    Raises:
        MalformedError: ``too_long``.
        TimeoutError: it did not arrive in time.
    """
    if (request.content_length or 0) > bytes_max:
        raise MalformedError("too_long", f"{request.content_length} bytes")
    body = bytearray()
    async with asyncio.timeout(seconds):
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > bytes_max:
                raise MalformedError("too_long", f"more than {bytes_max} bytes")
    return bytes(body)
