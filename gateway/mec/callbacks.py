"""Where a platform, or a network, tells the gateway of what happens.

Rules:

* Who knows the path may tell: it holds a secret that is drawn at each start and said to the
  platform alone. Anything else is answered 404, counted, and read no further.
* Bounded: connections, the time that one may take to say something, the body and the time for it,
  and how much waits to be looked at; what finds no room is answered 503, so that the platform says
  it again, and is asked for.
* What tells nothing (a test, that a subscription will end) is answered, and left.
* The answer is 204 before anything is done about it: a platform waits for no drain.
* What is no HTTP is answered and not logged: anybody can say it, and it may hold the secret.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import ssl
from collections.abc import Callable, Mapping
from typing import Final, Generic, NamedTuple, TypeVar

from aiohttp import web

from gateway import tomlfile
from gateway.domain.errors import ConfigError, MalformedError
from gateway.domain.network import LinkSeen, ZoneEvent
from gateway.domain.ports import Counters
from gateway.mec import apps, location, mobility, radio
from gateway.mec.config import CallbackTable
from gateway.mec.reading import is_courtesy

log = logging.getLogger(__name__)
# The library's. What a peer gets wrong in HTTP is no news, and faults of ours we tell ourselves.
_protocol_log = logging.getLogger(f"{__name__}.protocol")
_protocol_log.setLevel(logging.CRITICAL + 1)

BODY_BYTES_MAX: Final = 256 << 10
WAITING_MAX: Final = 4096
"""A ward round's worth of zone events; a platform says again what found no room."""
BODY_TIMEOUT_S: Final = 5.0
HEAD_TIMEOUT_S: Final = 5.0
"""For a handshake, and for the first request behind it."""
LATE_S: Final = 0.5
"""A time limit that comes so late was kept waiting by us: the machine stood still."""
LISTEN_S: Final = 0.5
"""Then what a platform has said meanwhile is heard first, once; it may not say it again."""
CONNECTIONS_MAX: Final = 64
"""One platform has a few; whoever else can reach the port must not take the gateway's sockets."""
KEPT_S: Final = 30.0
"""A connection without a request."""
SECRET_BYTES: Final = 24

Told = apps.Termination | mobility.Moved | ZoneEvent | LinkSeen

READERS: Final[dict[str, Callable[[bytes], Told]]] = {
    "termination": apps.read_termination,
    "mobility": mobility.read_moved,
    "zone": location.read_zonal,
    "area": location.read_crossing,
    "radio": radio.read_radio,
}
"""Of a platform: the last part of the path, and who reads what comes there."""
Heard = TypeVar("Heard")


class Place(NamedTuple):
    """The URLs that are said to the platform."""

    base: str

    def of(self, kind: str) -> str:
        """Where one kind of notification goes."""
        return f"{self.base}/{kind}"


class _Turned(asyncio.Protocol):
    """A connection for which there is no room."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It ends."""
        transport.close()


class _Door:
    """Lets in so many connections, and ends those that say nothing in time."""

    def __init__(self, server: web.Server, counters: Counters, counted: str) -> None:
        self._server = server
        self._counters = counters
        self._counted = counted
        self._silent: set[asyncio.Protocol] = set()
        """Who has said nothing yet, for at most :data:`HEAD_TIMEOUT_S` each."""

    def __call__(self) -> asyncio.Protocol:
        if max(len(self._silent), len(self._server.connections)) >= CONNECTIONS_MAX:
            self._counters.add(self._counted, "crowded")
            return _Turned()
        made = self._server()
        self._silent.add(made)
        loop = asyncio.get_running_loop()
        due = loop.time() + HEAD_TIMEOUT_S
        loop.call_at(due, self._on_time, made, due)
        return made

    def spoke(self, who: asyncio.Protocol) -> None:
        """A request has come."""
        self._silent.discard(who)

    def _on_time(self, who: web.RequestHandler, due: float) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() > due + LATE_S:
            loop.call_later(LISTEN_S, self._late, who)
        else:
            self._late(who)

    def _late(self, who: web.RequestHandler) -> None:
        if who in self._silent:
            self._silent.discard(who)
            if who.transport is not None:
                who.transport.close()


class Kinds(NamedTuple, Generic[Heard]):
    """What may be told at one listener."""

    readers: Mapping[str, Callable[[bytes], Heard]]
    """The last part of the path -> who reads what comes there."""
    name: str
    """The path's first part."""
    section: str
    """Of the configuration."""
    counted: str
    """The metric."""


MEC: Final = Kinds[Told](READERS, "mec", "mec", "mec_told")


class Callbacks(Generic[Heard]):
    """The listener; what it was told waits in :attr:`told`."""

    def __init__(
        self,
        kinds: Kinds[Heard],
        table: CallbackTable,
        context: Callable[[], ssl.SSLContext | None],
        counters: Counters,
    ) -> None:
        self._kinds = kinds
        self._table = table
        self._context = context
        self._counters = counters
        self._secret = secrets.token_urlsafe(SECRET_BYTES)
        self.place = Place(f"{table.url.rstrip('/')}/{kinds.name}/{self._secret}")
        self.told: asyncio.Queue[Heard] = asyncio.Queue(WAITING_MAX)
        self.missed = False
        """Something found no room, until whoever looks at the platform instead says otherwise."""
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None
        self._door: _Door | None = None
        self.port = 0

    @property
    def _key(self) -> str:
        return f"{self._kinds.section}.callback.listen"

    async def start(self) -> None:
        """Bind and listen.

        Raises:
            ConfigError: the address can't be bound, or the certificate can't be used.
        """
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(
            app,
            access_log=None,
            logger=_protocol_log,
            handle_signals=False,
            shutdown_timeout=1.0,
            keepalive_timeout=KEPT_S,
        )
        await runner.setup()
        assert runner.server is not None  # it is set up
        self._door = _Door(runner.server, self._counters, self._kinds.counted)
        host, port = tomlfile.address(self._table.listen, self._key)
        context = self._context()
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                self._door,
                host,
                port,
                ssl=context,
                ssl_handshake_timeout=None if context is None else HEAD_TIMEOUT_S,
            )
        except OSError as error:
            await runner.cleanup()
            raise ConfigError(f"{self._key}: can't bind {self._table.listen}") from error
        self._runner = runner
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no longer; idempotent."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.Request) -> web.Response:
        if self._door is not None:
            self._door.spoke(request.protocol)
        kind = self._kind_of(request.path)
        if kind is None or request.method != "POST":
            self._counters.add(self._kinds.counted, "unknown")
            raise web.HTTPNotFound
        try:
            return await self._take(kind, request)
        except web.HTTPException:
            raise
        except Exception as error:
            # A task boundary: whatever one request brings, the others go on.
            log.exception("what was told ended in a fault of ours")
            raise web.HTTPInternalServerError from error

    async def _take(self, kind: str, request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                body = await request.read()
            found = None if is_courtesy(body) else self._kinds.readers[kind](body)
        except (MalformedError, web.RequestPayloadError) as error:
            self._counters.add(self._kinds.counted, "malformed")
            log.warning("the platform told something that can't be read: %s", error)
            raise web.HTTPBadRequest from error
        except (TimeoutError, ConnectionError) as error:  # the latter: nobody hears the answer
            self._counters.add(self._kinds.counted, "malformed")
            raise web.HTTPRequestTimeout from error
        except web.HTTPRequestEntityTooLarge:
            self._counters.add(self._kinds.counted, "malformed")
            raise
        try:
            if found is not None:
                self.told.put_nowait(found)
        except asyncio.QueueFull as error:
            self.missed = True
            self._counters.add(self._kinds.counted, "busy")
            raise web.HTTPServiceUnavailable from error
        self._counters.add(self._kinds.counted, kind)
        return web.Response(status=204)

    def _kind_of(self, path: str) -> str | None:
        """Which kind of notification a path is for, if it holds the secret."""
        parts = path.split("/")
        if len(parts) != 4 or parts[:2] != ["", self._kinds.name]:
            return None
        knows = hmac.compare_digest(parts[2].encode(), self._secret.encode())
        return parts[3] if knows and parts[3] in self._kinds.readers else None
