"""``wardgate.v1.FleetService``: gateways attach, operators administer.

Rules:

* Who calls is who the certificate says. A gateway may only Attach, a service (a core) only
  WatchRevocations, an operator what its roles
  allow (:mod:`fleet.roles`), looked up at each call; a revoked certificate may nothing, and its
  open stream ends at once.
* What an operator has begun is done to its end, whatever becomes of the connection.
* Every change is in the audit log with the operator's name; every refusal is counted and audited.
* A stream is told the newest state, never a queue of old ones: what changed meanwhile is a flag,
  so that a slow gateway costs no memory. A gateway has one stream; a newer one ends the older.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message

from fleet import admin
from fleet.commander import Commander
from fleet.config import Limits
from fleet.dangerous import Guard
from fleet.network_identity import attachment_message
from fleet.policies import Wanted
from fleet.policy_store import BundleRow
from fleet.roles import NOT_ALLOWED
from fleet.store import KnownError, NotKnownError, PreconditionError
from fleet.web.service import Office
from gateway.domain.errors import MalformedError, RefusalReason, RefusedError
from gateway.domain.network import Attachment
from gateway.domain.ports import Clock, Counters
from protos.wardgate.v1 import fleet_pb2 as pb
from security.identity import Auditor
from security.names import Identity, Role
from security.pki import TokenError
from security.tls import grpc_peer_identity

SERVICE = "wardgate.v1.FleetService"
DIRECTORY_INTERVAL_S = 0.25
"""While thousands of devices are enrolled, the whole directory goes out four times a second; a
suspension still takes effect well within one."""
ATTACHMENTS_WAITING_MAX = 10_000
"""A cell's restart brings some thousand at once."""
COMMANDS_WAITING_MAX = 64
"""Per stream; a gateway that takes no more is as good as absent."""
WATCHERS_MAX = 256
"""Streams of revocations to services, all together."""

log = logging.getLogger(__name__)


class _Attached:
    """One gateway's stream: what it has, and why it must end."""

    def __init__(self, identity: Identity, hello: pb.GatewayHello) -> None:
        self.identity = identity
        self.directory = hello.directory_version
        self.revocations = (hello.revocations_number, hello.revocations_issued_us)
        self.configuration = hello.configuration_version
        self.policy = (hello.policy_number, hello.policy_issued_us)
        self.policy_attempt = -1
        """Which attempt it was told of last."""
        self.directory_due = 0.0
        """Not before this time of the loop is another directory sent."""
        self.commands: deque[pb.DeviceCommand] = deque()
        self.attachments: deque[pb.NetworkAttachment] = deque(maxlen=ATTACHMENTS_WAITING_MAX)
        """The oldest goes first: what the network says later of a device counts."""
        self.wake = asyncio.Event()
        self.end: tuple[grpc.StatusCode, str] | None = None

    def policy_due(self, wanted: Wanted | None) -> BundleRow | None:
        """The policy to be told now, which counts as told from then on."""
        if wanted is None:
            return None
        again = wanted.attempt > self.policy_attempt >= 0
        self.policy_attempt = wanted.attempt
        if not again and wanted.row.age_order <= self.policy:
            return None
        self.policy = wanted.row.age_order
        return wanted.row


class _Watching:
    """One service's stream of revocations."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.wake = asyncio.Event()
        self.end = ""
        """Why it must end, a reason of RefusalReason."""


class FleetService:
    """The handlers; one instance per server."""

    def __init__(
        self,
        parts: admin.Parts,
        limits: Limits,
        clock: Clock,
        counters: Counters,
        audit: Auditor,
    ) -> None:
        self._registry = parts.registry
        self._monitor = parts.monitor
        self._configurations = parts.configurations
        self._policies = parts.policies
        self._limits = limits
        self._clock = clock
        self._counters = counters
        self._operators = parts.operators
        for reason in (*RefusalReason.ALL, NOT_ALLOWED):
            counters.add("refused", reason, n=0)
        self._audit = audit
        self._attached: dict[str, _Attached] = {}
        self._watching: set[_Watching] = set()
        self._commander = Commander(self._push)
        self._admin = admin.Admin(parts, self._commander, audit, self.attached, counters)
        self._guard = Guard(
            parts.approvals,
            parts.registry,
            parts.operators,
            self._admin.desk,
            limits.revoke_devices_above,
        )
        self._registry.listen(self._on_change)
        self._configurations.listen(self._on_change)
        self._policies.listen(self._on_change)

    def use_office(self, office: Office | None) -> None:
        """Let operators use the service's enrolment."""
        self._admin.desk.office = office

    def attached(self) -> list[str]:
        """Gateways that have a stream now."""
        return sorted(self._attached)

    def handler(self) -> grpc.GenericRpcHandler:
        """What a server registers."""
        methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "Attach": grpc.stream_stream_rpc_method_handler(
                self._attach,
                request_deserializer=pb.AttachRequest.FromString,
                response_serializer=pb.AttachResponse.SerializeToString,
            ),
            "WatchRevocations": grpc.unary_stream_rpc_method_handler(
                self._watch,
                request_deserializer=pb.WatchRevocationsRequest.FromString,
                response_serializer=_serialise,
            ),
        }
        for name, (request, call) in self._admin.methods().items():
            methods[name] = grpc.unary_unary_rpc_method_handler(
                self._for_operators(name, call),
                request_deserializer=request.FromString,
                response_serializer=_serialise,
            )
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    # Operators

    def _for_operators(
        self, name: str, call: Callable[[Any, str], Awaitable[Message]]
    ) -> Callable[[Any, Any], Awaitable[Message]]:
        async def answer(request: Message, context: Any) -> Message:
            try:
                operator = self._caller(context, Role.OPERATOR)
                work = asyncio.ensure_future(self._perform(operator, name, call, request))
                response = await asyncio.shield(work)
            except (
                RefusedError,
                KnownError,
                NotKnownError,
                PreconditionError,
                MalformedError,
                TokenError,
            ) as error:
                code = _code_of(error)
                self._counters.add("calls", name, code.name.lower())
                await context.abort(code, str(error))
                raise
            self._counters.add("calls", name, "ok")
            return response

        return answer

    async def _perform(
        self,
        operator: Identity,
        name: str,
        call: Callable[[Any, str], Awaitable[Message]],
        request: Message,
    ) -> Message:
        """Do what an operator asks, or have it wait for a second one.

        Raises:
            RefusedError: counted and audited.
        """
        try:
            await self._operators.check(operator.id, self._admin.rights(name, request))
            pending = await self._guard.hold(request, operator.id)
            return pending or await call(request, operator.id)
        except RefusedError as refusal:
            self._counters.add("refused", refusal.reason)
            who = f"{operator.role}/{operator.id}"
            self._audit.refused(f"{refusal.reason} {name}", "grpc", "", who)
            raise

    def _caller(self, context: Any, role: Role) -> Identity:
        """Who calls, if it may.

        Raises:
            RefusedError: counted and audited.
        """
        name = ""
        try:
            identity = grpc_peer_identity(context, self._registry.trust_domain)
            name = f"{identity.role}/{identity.id}"
            self._check(identity, role)
        except RefusedError as refusal:
            self._counters.add("refused", refusal.reason)
            self._audit.refused(refusal.reason, "grpc", context.peer(), name)
            raise
        return identity

    def _check(self, identity: Identity, role: Role) -> None:
        if self._registry.is_revoked(identity):
            raise RefusedError(RefusalReason.REVOKED)
        # TLS looked at it when the connection began, which may be an hour ago.
        if identity.not_after <= self._clock.now_us() / 1e6:
            raise RefusedError(RefusalReason.EXPIRED)
        if identity.role is not role:
            raise RefusedError(
                RefusalReason.IDENTITY_MISMATCH, f"this call is not for a {identity.role}"
            )

    # Gateways

    async def _attach(self, requests: AsyncIterator[pb.AttachRequest], context: Any) -> None:
        try:
            identity = self._caller(context, Role.GATEWAY)
            async with asyncio.timeout(self._limits.hello_timeout_s):
                first = await anext(requests, None)
        except RefusedError as error:
            await context.abort(_code_of(error), str(error))
            return
        except TimeoutError:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "no hello")
            return
        if first is None or first.WhichOneof("message") != "hello":
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the first message is a hello")
            return
        stream = _Attached(identity, first.hello)
        self._begin(stream, first.hello.software_version)
        await context.send_initial_metadata(())  # tells the gateway that it is in
        reader = asyncio.create_task(self._read(requests, stream))
        try:
            await self._write(stream, reader, context)
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            if self._attached.get(identity.id) is stream:
                del self._attached[identity.id]
                self._monitor.detached(identity.id)
        if stream.end is not None:
            await context.abort(*stream.end)

    def _begin(self, stream: _Attached, software_version: str) -> None:
        gateway = stream.identity.id
        older = self._attached.get(gateway)
        if older is not None:
            older.end = (grpc.StatusCode.ABORTED, "a newer stream of this gateway began")
            older.wake.set()
        self._attached[gateway] = stream
        self._monitor.attached(gateway, software_version)
        self._audit.record("gateway_attached", gateway=gateway, version=software_version)

    async def _read(self, requests: AsyncIterator[pb.AttachRequest], stream: _Attached) -> None:
        try:
            async for request in requests:
                if request.WhichOneof("message") == "health" and stream.end is None:
                    fresh = self._monitor.report(stream.identity.id, request.health)
                    if fresh:
                        await self._registry.activate(fresh)
                    await self._policies.heard(stream.identity.id, request.health.gateway.policy)
                elif request.WhichOneof("message") == "command_outcome":
                    self._commander.settle(stream.identity.id, request.command_outcome)
        finally:
            stream.wake.set()

    async def _write(self, stream: _Attached, reader: asyncio.Task[None], context: Any) -> None:
        """Keep the gateway up to date until either side ends."""
        loop = asyncio.get_running_loop()
        while True:
            stream.wake.clear()
            if stream.end is not None or reader.done():
                return
            signed = self._registry.revocations
            if stream.revocations != (signed.number, signed.issued_us):
                stream.revocations = (signed.number, signed.issued_us)
                update = pb.RevocationUpdate(signed_list=self._registry.revocations_signed)
                await context.write(pb.AttachResponse(revocations=update))
                continue  # something may have changed while it was written
            wait_s = None
            if stream.directory != self._registry.directory_version:
                wait_s = stream.directory_due - loop.time()
                if wait_s <= 0:
                    stream.directory = self._registry.directory_version
                    stream.directory_due = loop.time() + DIRECTORY_INTERVAL_S
                    await context.write(pb.AttachResponse(directory=self._admin.directory()))
                    continue
            wanted = self._configurations.of(stream.identity.id)
            if wanted is not None and stream.configuration != wanted.version:
                stream.configuration = wanted.version
                message = pb.DesiredConfiguration(version=wanted.version, document=wanted.document)
                await context.write(pb.AttachResponse(configuration=message))
                continue
            due = stream.policy_due(self._policies.wanted(stream.identity.id))
            if due is not None:
                brought = pb.PolicyUpdate(number=due.number, signed_policy=due.bundle)
                await context.write(pb.AttachResponse(policy=brought))
                continue
            if stream.commands:
                await context.write(pb.AttachResponse(command=stream.commands.popleft()))
                continue
            if stream.attachments:
                await context.write(pb.AttachResponse(attachment=stream.attachments.popleft()))
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await stream.wake.wait()

    # Services

    async def _watch(self, request: pb.WatchRevocationsRequest, context: Any) -> None:
        """Tell a service the newest list until either side ends."""
        try:
            watching = _Watching(self._caller(context, Role.SERVICE))
        except RefusedError as error:
            await context.abort(_code_of(error), str(error))
            return
        if len(self._watching) >= WATCHERS_MAX:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{WATCHERS_MAX} are watching")
        self._watching.add(watching)
        sent = (request.number, request.issued_us)
        try:
            await context.send_initial_metadata(())  # tells the service that it is in
            while not watching.end:
                watching.wake.clear()
                signed = self._registry.revocations
                if sent == signed.age_order:
                    await watching.wake.wait()
                    continue
                sent = signed.age_order
                update = pb.WatchRevocationsResponse(signed_list=self._registry.revocations_signed)
                await context.write(update)
        finally:
            self._watching.discard(watching)
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, watching.end)

    def expire(self) -> None:
        """End the streams whose certificate has ended; to be called now and then."""
        now = self._clock.now_us() / 1e6
        for stream in self._attached.values():
            if stream.identity.not_after <= now:
                stream.end = (grpc.StatusCode.UNAUTHENTICATED, RefusalReason.EXPIRED)
                stream.wake.set()
        for watching in self._watching:
            if watching.identity.not_after <= now:
                watching.end = RefusalReason.EXPIRED
                watching.wake.set()

    def tell_attachment(self, seen: Attachment) -> None:
        """Tell every attached gateway what the mobile network says of a device."""
        message = attachment_message(seen)
        for stream in self._attached.values():
            stream.attachments.append(message)
            stream.wake.set()

    def _push(self, gateway: str, command: pb.DeviceCommand) -> bool:
        """Send a command down a gateway's stream; False when there is none, or it is stuffed."""
        stream = self._attached.get(gateway)
        if stream is None or len(stream.commands) >= COMMANDS_WAITING_MAX:
            return False
        stream.commands.append(command)
        stream.wake.set()
        return True

    def _on_change(self) -> None:
        for stream in self._attached.values():
            if self._registry.is_revoked(stream.identity):
                stream.end = (grpc.StatusCode.UNAUTHENTICATED, RefusalReason.REVOKED)
            stream.wake.set()
        for watching in self._watching:
            if self._registry.is_revoked(watching.identity):
                watching.end = RefusalReason.REVOKED
            watching.wake.set()
        self._counters.set("revocations", len(self._registry.revocations.serials))


def _code_of(error: Exception) -> grpc.StatusCode:
    codes: Mapping[type[Exception], grpc.StatusCode] = {
        KnownError: grpc.StatusCode.ALREADY_EXISTS,
        NotKnownError: grpc.StatusCode.NOT_FOUND,
        PreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
        MalformedError: grpc.StatusCode.INVALID_ARGUMENT,
        TokenError: grpc.StatusCode.FAILED_PRECONDITION,
    }
    if isinstance(error, RefusedError):
        denied = error.reason in {RefusalReason.IDENTITY_MISMATCH, NOT_ALLOWED}
        return grpc.StatusCode.PERMISSION_DENIED if denied else grpc.StatusCode.UNAUTHENTICATED
    return codes[type(error)]


def _serialise(message: Message) -> bytes:
    return message.SerializeToString()
