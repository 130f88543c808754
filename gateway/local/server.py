"""Answers people on site: on a socket at the box, and over mutual TLS.

Rules:

* Two ways in, two servers: no call can pretend to have come by the other. The socket is the
  gateway's user's alone; over TLS an operator's certificate says who calls, and the configuration
  what that person may, looked up at each call.
* A certificate that is revoked or has ended may nothing, and its open streams end within a second.
* What changes something is audited, and so is every refusal.
* A fault in a method costs its call, and is logged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import grpc.aio
from google.protobuf.message import Message

from gateway import tomlfile
from gateway.domain.errors import ConfigError, RefusalReason, RefusedError
from gateway.domain.ports import Clock, Counters
from gateway.local.access import ANY, Caller
from gateway.local.calls import CallError, Service, Streaming, Unary, VoidError
from gateway.local.config import LocalConfig
from gateway.local.place import short
from gateway.wire.serving import server_options
from security.files import TlsFiles
from security.identity import Auditor
from security.names import Identity, Role
from security.tls import grpc_peer_identity, grpc_server_credentials

log = logging.getLogger(__name__)

MESSAGE_BYTES_MAX = 4 << 20
KEEPALIVE_S = 20
STOP_GRACE_S = 1.0
LOOK_S = 0.5
"""How often open streams' certificates are looked at."""
PERSON_KEY = "wardgate-person"
"""Metadata by which the command line at the box says who sits there."""
PERSON_CHARS_MAX = 64
NOT_ALLOWED = "not_allowed"


class Around(NamedTuple):
    """What the server needs of the gateway."""

    files: TlsFiles
    trust_domain: str
    revoked: Callable[[], AbstractSet[int]]
    """Serial numbers and authorities that the list in force calls void."""
    clock: Clock
    counters: Counters
    audit: Auditor


_Who = Callable[[Any], tuple[Caller, Identity | None]]
"""Tells who calls; raises RefusedError."""


class LocalServer:
    """Started after what it answers for; stopped before it."""

    def __init__(self, config: LocalConfig, socket: Path, around: Around) -> None:
        self._config = config
        self._socket = socket
        self._around = around
        self._services: list[Service] = []
        self._streams: dict[asyncio.Future[str], Identity] = {}
        """By what is told when the certificate counts no longer."""
        self._stack = AsyncExitStack()
        self.port = 0
        """Of ``listen``, once it is bound."""

    def offer(self, *services: Service) -> None:
        """Answer for these too; before the start."""
        self._services += services

    def follow(self, config: LocalConfig) -> None:
        """Go on with other people; where it listens takes a restart."""
        self._config = config

    async def start(self) -> None:
        """Bind and answer.

        Raises:
            ConfigError: an address can't be bound, or the certificates can't be used.
            OSError: the socket's directory is not there.
        """
        async with AsyncExitStack() as stack:
            await self._open_socket(stack)
            if self._config.listen:
                await self._open_listener(stack)
            self._stack = stack.pop_all()

    async def _open_socket(self, stack: AsyncExitStack) -> None:
        """Listen at the box, if that can be.

        A disk that is full, or that holds no sockets, takes the command line away and nothing else.
        """
        server = self._server(self._at_the_box)
        path = stack.enter_context(short(self._socket))
        try:
            server.add_insecure_port(f"unix:{path}")
            self._socket.chmod(0o600)
        except (RuntimeError, OSError):
            log.error("nobody can ask at the box: can't bind %s", self._socket)  # noqa: TRY400  # gRPC does not say why
            return
        stack.callback(self._socket.unlink, missing_ok=True)
        await server.start()
        stack.push_async_callback(server.stop, STOP_GRACE_S)

    async def _open_listener(self, stack: AsyncExitStack) -> None:
        host, port = tomlfile.address(self._config.listen, "local.listen")
        server = self._server(self._by_certificate)
        credentials = grpc_server_credentials(self._around.files)
        try:
            self.port = server.add_secure_port(
                f"[{host}]:{port}" if ":" in host else f"{host}:{port}", credentials
            )
        except RuntimeError as error:
            raise ConfigError(f"local.listen: can't bind {self._config.listen}") from error
        await server.start()
        stack.push_async_callback(server.stop, STOP_GRACE_S)
        log.info("people on site are answered on %s:%d", host, self.port)

    async def stop(self) -> None:
        """End every call; idempotent."""
        await self._stack.aclose()

    async def run(self) -> None:
        """End streams whose certificate counts no longer, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()

    def look(self) -> None:
        """End streams whose certificate counts no longer."""
        for void, identity in self._streams.items():
            reason = self._void(identity)
            if reason and not void.done():
                void.set_result(reason)

    # Who calls

    def _at_the_box(self, context: Any) -> tuple[Caller, Identity | None]:
        said = dict(context.invocation_metadata() or ()).get(PERSON_KEY, "")
        person = "".join(char for char in str(said) if char.isprintable())[:PERSON_CHARS_MAX]
        return Caller(f"local/{person or 'unknown'}", ANY), None

    def _by_certificate(self, context: Any) -> tuple[Caller, Identity | None]:
        """Who the certificate says.

        Raises:
            RefusedError: it says nobody who may call, or it counts no longer.
        """
        identity = grpc_peer_identity(context, self._around.trust_domain)
        if identity.role is not Role.OPERATOR:
            raise RefusedError(
                RefusalReason.IDENTITY_MISMATCH, f"this is not for a {identity.role}"
            )
        void = self._void(identity)
        if void:
            raise RefusedError(void)
        roles = frozenset(self._config.people.get(identity.id, ()))
        return Caller(f"operator/{identity.id}", roles), identity

    def _void(self, identity: Identity) -> str:
        if identity.is_in(self._around.revoked()):
            return RefusalReason.REVOKED
        ended = identity.not_after <= self._around.clock.now_us() / 1e6
        return RefusalReason.EXPIRED if ended else ""

    async def _admit(
        self, who: _Who, method: Unary | Streaming, context: Any
    ) -> tuple[Caller, Identity | None]:
        """Who calls, if they may; else the call is over."""
        name = ""
        try:
            caller, identity = who(context)
            name = caller.name
            _require(caller, method)
        except RefusedError as refusal:
            self._count(method, refusal.reason)
            self._around.audit.refused(refusal.reason, "local", context.peer(), name)
            code = grpc.StatusCode.UNAUTHENTICATED
            if refusal.reason == NOT_ALLOWED:
                code = grpc.StatusCode.PERMISSION_DENIED
            await context.abort(code, str(refusal))
            raise
        return caller, identity

    # Calls

    def _server(self, who: _Who) -> Any:
        server = grpc.aio.server(
            options=server_options(MESSAGE_BYTES_MAX, KEEPALIVE_S),
            maximum_concurrent_rpcs=self._config.calls_max,
        )
        server.add_generic_rpc_handlers(self._handlers(who))
        return server

    def _handlers(self, who: _Who) -> Sequence[Any]:
        return [
            grpc.method_handlers_generic_handler(
                service.name, {each.name: self._handler(who, each) for each in service.methods}
            )
            for service in self._services
        ]

    def _handler(self, who: _Who, method: Unary | Streaming) -> Any:
        make: Any = grpc.unary_unary_rpc_method_handler
        answer: Any = self._unary(who, method) if isinstance(method, Unary) else None
        if isinstance(method, Streaming):
            make, answer = grpc.unary_stream_rpc_method_handler, self._streaming(who, method)
        return make(
            answer,
            request_deserializer=method.request.FromString,
            response_serializer=_serialise,
        )

    def _unary(self, who: _Who, method: Unary) -> Callable[[Any, Any], Any]:
        async def answer(request: Message, context: Any) -> Message:
            caller, _ = await self._admit(who, method, context)
            # What was begun is done to its end, whatever becomes of the connection.
            work = asyncio.ensure_future(method.answer(caller, request))
            try:
                response = await asyncio.shield(work)
            except CallError as error:
                self._ended(method, caller, request, error.reason)
                await context.abort(error.code, str(error))
                raise
            except asyncio.CancelledError:
                work.add_done_callback(lambda _: self._ended(method, caller, request, "left"))
                raise
            except Exception:
                log.exception("a fault in %s", method.name)
                self._ended(method, caller, request, "fault")
                await context.abort(grpc.StatusCode.INTERNAL, "a fault, see the gateway's log")
                raise
            self._ended(method, caller, request, "ok")
            return response

        return answer

    def _streaming(self, who: _Who, method: Streaming) -> Callable[[Any, Any], Any]:
        async def answer(request: Message, context: Any) -> AsyncIterator[Message]:
            caller, identity = await self._admit(who, method, context)
            void: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            if identity is not None:
                self._streams[void] = identity
            try:
                async with aclosing(_until(void, method.answer(caller, request))) as answers:
                    async for response in answers:
                        yield response
            except CallError as error:
                self._count(method, error.reason)
                await context.abort(error.code, str(error))
                raise
            finally:
                self._streams.pop(void, None)
                void.cancel()
            self._count(method, "ok")

        return answer

    def _ended(self, method: Unary, caller: Caller, request: Message, result: str) -> None:
        self._count(method, result)
        if method.changes:
            self._around.audit.record(
                "local_call",
                method=method.name,
                who=caller.name,
                result=result,
                **method.about(request),
            )

    def _count(self, method: Unary | Streaming, result: str) -> None:
        self._around.counters.add("local_calls", method.name, result)


async def _until(
    void: asyncio.Future[str], answers: AsyncIterator[Message]
) -> AsyncGenerator[Message, None]:
    """The answers, until it is told that the caller may have no more.

    Raises:
        VoidError: with the reason.
    """
    following: asyncio.Future[Message] | None = None
    try:
        while True:
            following = asyncio.ensure_future(anext(answers))
            await asyncio.wait((void, following), return_when=asyncio.FIRST_COMPLETED)
            if void.done():
                raise VoidError(void.result())
            try:
                yield following.result()
            except StopAsyncIteration:
                return
    finally:
        if following is not None:
            following.cancel()
            await asyncio.wait((following,))
        close = getattr(answers, "aclose", None)
        if close is not None:
            await close()


def _require(caller: Caller, method: Unary | Streaming) -> None:
    """Refuse what no role of the caller's may.

    Raises:
        RefusedError: naming the roles that may.
    """
    if not caller.roles & method.allowed:
        raise RefusedError(
            NOT_ALLOWED, f"this takes the role {' or '.join(sorted(method.allowed))}"
        )


def _serialise(message: Message) -> bytes:
    return message.SerializeToString()
