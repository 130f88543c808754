"""``wardgate.v1.IngestService``: streams of batches from gateways that prove who they are.

Rules:

1. The gateway is who its certificate says; a Hello that says otherwise ends the stream.
2. Batches reach the store in the order of their stream, and are acknowledged after its commit.
3. A newer stream of the same gateway and lane supersedes an older one.
4. What a stream may cost is bounded: message length, batches in flight (the stream is not read
   beyond them, so HTTP/2 flow control holds the sender), unsent answers, time until the Hello.
5. A message that can't be read is answered with a permanent reject, and ends the stream.
6. Who is revoked, or whose certificate has ended, gets no stream. TLS knows nothing of the one, and
   not of the other when a session is resumed; so both are looked up for every stream, and once more
   when the Hello is there. A list that comes later cuts the live streams at once; a certificate
   that ends, soon.
7. Heads of the gateway's audit log are kept (:mod:`core.heads`), and never answered.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Mapping
from typing import Any

import grpc
import grpc.aio

from core import heads
from core.batches import BadBatchError, parse_request
from core.config import Limits
from core.identity import check_counts, gateway_of, void
from core.inbox import Inbox, StreamState
from gateway.domain.errors import RefusalReason, RefusedError
from gateway.domain.labels import Lane
from gateway.domain.ports import Clock, Counters
from gateway.wire.heads import REQUEST_TAG
from protos.wardgate.v1 import ingest_pb2 as pb
from security.names import Identity
from security.revocations import NONE_YET, RevocationList

log = logging.getLogger(__name__)

METHOD = "Stream"
SERVICE = "wardgate.v1.IngestService"
HEAD_INTERVAL_S = 1.0
"""A stream that sends heads of its audit log faster is read slower."""
FAREWELL_S = 2.0
"""How long a gateway may take to hang up after a fault; what it sends meanwhile is dropped."""
ENDS_INTERVAL_S = 0.5
"""How long a stream may outlive its gateway's certificate."""


class IngestService:
    """The handlers; one instance per server."""

    def __init__(
        self,
        inbox: Inbox,
        counters: Counters,
        limits: Limits,
        trust_domain: str,
        clock: Clock,
    ) -> None:
        self._inbox = inbox
        self._counters = counters
        for reason in RefusalReason.ALL:
            counters.add("refused", reason, n=0)
        self._limits = limits
        self._trust_domain = trust_domain
        self._revoked = NONE_YET
        self._clock = clock
        for verdict in heads.Verdict:
            counters.add("audit_heads", verdict, n=0)
        self._live: dict[tuple[str, Lane], StreamState] = {}
        self._streams = 0

    def handler(self) -> grpc.GenericRpcHandler:
        """For ``Server.add_generic_rpc_handlers``: raw bytes in, raw bytes out."""
        method: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(
            self._stream
        )
        return grpc.method_handlers_generic_handler(SERVICE, {METHOD: method})

    def set_revocations(self, listed: RevocationList) -> int:
        """Refuse whom a list revokes from now on; returns how many live streams it ended."""
        self._revoked = listed
        self._counters.set("revocations", len(listed.serials))
        states = set(self._live.values())
        revoked = [each for each in states if each.identity.is_in(listed.serials)]
        for state in revoked:
            log.warning("gateway %s: revoked", state.gateway)
            state.cut(RefusalReason.REVOKED)
        self._counters.add("revoked_streams", n=len(revoked))
        return len(revoked)

    async def watch_ends(self) -> None:
        """End live streams whose certificate has ended; runs until cancelled."""
        while True:
            await asyncio.sleep(ENDS_INTERVAL_S)
            now_us = self._clock.now_us()
            for state in set(self._live.values()):
                if void(state.identity, frozenset(), now_us):
                    log.warning("gateway %s: its certificate has ended", state.gateway)
                    state.cut(RefusalReason.EXPIRED)

    async def _stream(self, _requests: object, context: Any) -> None:
        identity = await self._identify(context)
        state = await self._greet(identity, context)
        self._streams += 1
        self._counters.set("streams", self._streams)
        log.info("gateway %s: stream of %s opened", identity.id, _names(state.lanes))
        try:
            await self._serve(state, context)
        finally:
            state.end()
            for lane in state.lanes:
                if self._live.get((identity.id, lane)) is state:
                    del self._live[identity.id, lane]
            self._streams -= 1
            self._counters.set("streams", self._streams)
            log.info("gateway %s: stream of %s ended", identity.id, _names(state.lanes))

    async def _identify(self, context: Any) -> Identity:
        if self._streams >= self._limits.streams_max:
            self._counters.add("refused", RefusalReason.OVERLOADED)
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, RefusalReason.OVERLOADED)
        try:
            return self._gateway_of(context)
        except RefusedError as error:
            await self._refuse(error, context)
            raise

    def _gateway_of(self, context: Any) -> Identity:
        return gateway_of(context, self._trust_domain, self._revoked.serials, self._clock.now_us())

    async def _refuse(self, error: RefusedError, context: Any) -> None:
        self._counters.add("refused", error.reason)
        log.warning("stream refused: %s", error)
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, error.reason)

    async def _greet(self, identity: Identity, context: Any) -> StreamState:
        try:
            async with asyncio.timeout(self._limits.hello_timeout_s):
                raw = await context.read()
            hello = parse_request(raw).hello if isinstance(raw, bytes) else pb.Hello()
            lanes = frozenset(Lane(offer.lane) for offer in hello.lanes)
        except (TimeoutError, BadBatchError, ValueError):
            hello, lanes = pb.Hello(), frozenset()
        if hello.gateway != identity.id or not lanes:
            reason = (
                RefusalReason.IDENTITY_MISMATCH
                if hello.gateway and hello.gateway != identity.id
                else RefusalReason.MALFORMED
            )
            self._counters.add("refused", reason)
            log.warning("gateway %s: hello refused: %s", identity.id, reason)
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, reason)
        try:
            # It may have been revoked while we waited.
            check_counts(identity, self._revoked.serials, self._clock.now_us())
        except RefusedError as error:
            await self._refuse(error, context)
            raise
        state = StreamState(identity, lanes, self._limits.batches_in_flight_max)
        for lane in lanes:
            older = self._live.get((identity.id, lane))
            if older is not None:
                older.end("superseded")
            self._live[identity.id, lane] = state
        await context.write(await self._welcome(state, context))
        return state

    async def _welcome(self, state: StreamState, context: Any) -> bytes:
        try:
            points = await self._inbox.resume_points(state.gateway)
            held = await self._inbox.with_store(
                lambda store: heads.newest(store.connection, state.gateway)
            )
        except sqlite3.Error as error:
            log.warning("store trouble: %s", error)
            await context.abort(grpc.StatusCode.UNAVAILABLE, "store")
            raise
        welcome = pb.Welcome(
            resume_points=[
                pb.ResumePoint(lane=int(point.lane), epoch=point.epoch, seq=point.seq)  # type: ignore[arg-type]  # equal numbers
                for point in points
                if point.lane in state.lanes
            ],
            audit=pb.AuditHeld(log=held.head.log, size=held.head.size) if held else pb.AuditHeld(),
        )
        return pb.StreamResponse(welcome=welcome).SerializeToString()

    async def _serve(self, state: StreamState, context: Any) -> None:
        reader = asyncio.create_task(self._read(state, context))
        writer = asyncio.create_task(self._write(state, context))
        cut = asyncio.create_task(state.cut_off.wait())
        try:
            await asyncio.wait((reader, writer, cut), return_when=asyncio.FIRST_COMPLETED)
            if state.cut_off.is_set():
                pass  # nothing that waits is read or written any more
            elif reader.done() and not reader.cancelled() and reader.exception() is None:
                state.end()
                await asyncio.wait((writer, cut), return_when=asyncio.FIRST_COMPLETED)
            elif state.fault in _FAREWELL:
                # A status can overtake the last answers: let the gateway read them and hang up.
                await asyncio.wait((reader,), timeout=FAREWELL_S)
        finally:
            for task in (reader, writer, cut):
                task.cancel()
            await asyncio.gather(reader, writer, cut, return_exceptions=True)
        if state.fault:
            await context.abort(_STATUS[state.fault], state.fault)

    async def _read(self, state: StreamState, context: Any) -> None:
        while True:
            raw = await context.read()
            if raw is grpc.aio.EOF:
                await self._inbox.drained(state)
                return
            if state.ended:
                continue
            if raw.startswith(REQUEST_TAG):
                await self._keep_head(state, raw)
            else:
                await self._inbox.put(state, raw)

    async def _keep_head(self, state: StreamState, raw: bytes) -> None:
        # Whoever keeps to the pace waits for nothing: reports are behind this head.
        await asyncio.sleep(max(0.0, state.next_head_s - self._clock.monotonic()))
        state.next_head_s = self._clock.monotonic() + HEAD_INTERVAL_S
        now_us = self._clock.now_us()
        try:
            message = parse_request(raw).audit_head
            verdict = await self._inbox.with_store(
                lambda store: heads.take(store.connection, state.gateway, message, now_us)
            )
        except BadBatchError:
            verdict = heads.Verdict.MALFORMED
        except sqlite3.Error as error:
            # The next one would lack its predecessor: the gateway begins anew with what is held.
            log.warning("store trouble: %s", error)
            state.end("store")
            return
        self._counters.add("audit_heads", verdict)

    async def _write(self, state: StreamState, context: Any) -> None:
        while True:
            answers = await state.answers()
            for answer in answers:
                await context.write(answer.SerializeToString())
            if state.finished:
                return


_FAREWELL = frozenset(("unreadable", "answers_unread", "store"))
"""Faults after which the gateway has answers to read; the others end the stream at once."""
_STATUS: Mapping[str, grpc.StatusCode] = {
    "superseded": grpc.StatusCode.ABORTED,
    RefusalReason.REVOKED: grpc.StatusCode.UNAUTHENTICATED,
    RefusalReason.EXPIRED: grpc.StatusCode.UNAUTHENTICATED,
    "unreadable": grpc.StatusCode.INVALID_ARGUMENT,
    "answers_unread": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "store": grpc.StatusCode.UNAVAILABLE,
}


def _names(lanes: frozenset[Lane]) -> str:
    return "+".join(sorted(lane.name.lower() for lane in lanes))
