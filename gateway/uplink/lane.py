"""One lane of one destination: a stream at a time, for as long as the gateway runs.

Rules:

1. A batch is entered into the ledger before its first byte leaves.
2. The cursor moves only past what the receiver acknowledged, or what was set aside because it
   rejected it for good.
3. At most ``window`` batches are in flight. When nothing is, a batch leaves at once; small batches
   of telemetry wait a moment for more while others are in flight.
4. A stream that breaks is opened again after a jittered, growing delay; what was not acknowledged
   is sent again in the same batches.
5. A batch that the receiver can't even read is found by sending one at a time, and set aside.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from gateway.domain.errors import WardgateError
from gateway.domain.labels import Lane
from gateway.journal.types import StoredGroup
from gateway.uplink.backoff import Backoff
from gateway.uplink.ledger import Rejected, Settled
from gateway.uplink.link import Link
from gateway.uplink.ports import Trouble, TroubleKind
from gateway.uplink.release import Release, Released, cut
from gateway.uplink.resume import Held, Point, Resume, Verdict, resume
from protos.wardgate.v1 import ingest_pb2 as pb

log = logging.getLogger(__name__)

METHOD = "/wardgate.v1.IngestService/Stream"
MESSAGE_BYTES_MAX = 15 << 20
"""A batch beyond it is set aside: receivers take 16 MiB."""
CATCHING_UP_RECORDS = 4000
"""Behind by more, groups come from disk: they are read in a thread."""
TOLD_MAX = 256
"""Troubles remembered as reported."""
KEEPALIVE_MS = 10_000
KEEPALIVE_TIMEOUT_MS = 5_000
_TOO_LARGE = "larger than max"
"""gRPC's words, in the details of RESOURCE_EXHAUSTED; without them it means an overload."""
REJECTIONS_TOLD_S = 60.0
"""A lane reports rejections at most so often: the report is a record itself, and a receiver that
rejects everything must not be fed by it."""


class StreamLostError(WardgateError):
    """The stream ended; ``reason`` is a metric label."""

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s


class ClosedError(StreamLostError):
    """The receiver ended the stream; the call's status says why."""


class UnreadableError(StreamLostError):
    """The receiver could not read something of what is in flight."""


class Sent:
    """A batch in flight."""

    __slots__ = ("alarm_us", "batch", "settled")

    def __init__(self, batch: Released, alarm_us: int) -> None:
        self.batch = batch
        self.alarm_us = alarm_us
        self.settled = False


class LaneForwarder:
    """Runs until cancelled; harms no other lane."""

    def __init__(self, link: Link, lane: Lane) -> None:
        self._link = link
        self._lane = lane
        self._config = link.config
        self._around = link.around
        self._backoff = Backoff(
            self._config.backoff_s_min, self._config.backoff_s_max, link.around.rng
        )
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._in_flight: deque[Sent] = deque()
        self._window = self._config.window
        self._suspected = (0, 0)
        """The culprit of an unreadable stream is at or below it: until then, one at a time."""
        self._alone: tuple[int, int] | None = None
        """The one batch in flight when a stream was unreadable the last time."""
        self._rejection_told = float("-inf")
        self._unsettled: list[tuple[int, int, int, str]] = []
        self._entered: set[tuple[int, int, int, str]] = set()
        self._told: set[tuple[TroubleKind, int, int]] = set()
        self._deadline: asyncio.Timeout | None = None

    def notify(self) -> None:
        """Something was committed, or the policy changed."""
        self._news.set()

    async def run(self) -> None:
        """Forward for ever."""
        while True:
            await self._link.has_release()
            retry_after_s = 0.0
            reason = ""
            try:
                await self._session()
            except UnreadableError as error:
                reason = error.reason
                if self._in_flight:
                    await self._suspect(reason)
            except StreamLostError as error:
                reason, retry_after_s = error.reason, error.retry_after_s
            except WardgateError as error:
                reason = error.reason
                log.warning("destination %s: %s", self._link.name, error)
            except Exception:  # the boundary of a task: one lane's fault must not end the others
                reason = "internal"
                log.exception("destination %s, lane %s", self._link.name, self._lane.name)
            self._around.counters.add("send_failures", self._link.name, reason)
            delay = self._backoff.delay()
            if retry_after_s:
                await asyncio.sleep(max(delay, retry_after_s))
            else:
                await self._link.pause(delay)

    # -- one stream --------------------------------------------------------------------------

    async def _session(self) -> None:
        config = self._config
        options: list[tuple[str, Any]] = [
            ("grpc.keepalive_time_ms", KEEPALIVE_MS),
            ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.enable_retries", 0),
            # A connection of its own: alarms must not queue behind telemetry's bytes.
            ("grpc.use_local_subchannel_pool", 1),
        ]
        if config.server_name:
            options.append(("grpc.ssl_target_name_override", config.server_name))
        self._in_flight.clear()
        credentials = self._link.credentials()
        async with grpc.aio.secure_channel(config.address, credentials, options) as channel:
            call: Any = channel.stream_stream(METHOD)()
            try:
                after = await self._greet(call)
                self._link.connected(self._lane, up=True)
                log.info("destination %s: lane %s up", self._link.name, self._lane.name)
                if self._lane is not Lane.ALARMS:
                    await self._link.alarms_first()
                await _both(self._receive(call), self._send(call, after))
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError, ClosedError) as error:
                # Reading and writing end in several ways; the call's status is the reason.
                if not call.done():
                    raise
                raise await self._ended(call) from error
            finally:
                self._link.connected(self._lane, up=False)
                call.cancel()

    async def _ended(self, call: Any) -> StreamLostError:
        code, details = await call.code(), await call.details()
        log.info("destination %s: %s %s", self._link.name, code.name, details)
        reason = code.name.lower()
        unreadable = self._in_flight and (
            code is grpc.StatusCode.INVALID_ARGUMENT
            or (code is grpc.StatusCode.RESOURCE_EXHAUSTED and _TOO_LARGE in (details or ""))
        )
        return UnreadableError(reason) if unreadable else StreamLostError(reason)

    async def _greet(self, call: Any) -> int:
        """Say hello and find out where to begin."""
        journal, lane = self._around.journal, self._lane
        offer = pb.LaneOffer(
            lane=int(lane),  # type: ignore[arg-type]  # equal numbers by design
            epoch=journal.epoch,
            first_seq=journal.first_seq(lane),
            last_seq=journal.last_seq(lane),
        )
        hello = pb.Hello(
            gateway=self._around.gateway_id,
            destination=self._link.name,
            software_version=self._around.software_version,
            lanes=[offer],
        )
        try:
            async with asyncio.timeout(self._config.answer_timeout_s):
                await call.write(pb.StreamRequest(hello=hello).SerializeToString())
                raw = await call.read()
        except TimeoutError as error:
            raise StreamLostError("no_answer") from error
        message = _parse(raw)
        if message.WhichOneof("message") != "welcome":
            raise StreamLostError("no_welcome")
        points = [
            Point(point.epoch, point.seq)
            for point in message.welcome.resume_points
            if point.lane == int(lane)
        ]
        return self._begin(points[0] if points else None)

    def _begin(self, point: Point | None) -> int:
        journal, lane, name = self._around.journal, self._lane, self._link.name
        cursor = journal.cursors.get(name, lane)
        if cursor is None:
            raise StreamLostError("no_cursor")
        ledger = self._around.writer.ledger
        mark = ledger.start(name, lane, cursor)
        known = point is not None and 0 < point.seq <= journal.last_seq(lane)
        held = Held(
            cursor=cursor,
            floor=max(mark.start_seq, mark.set_aside_seq, journal.first_seq(lane) - 1),
            last_seq=journal.last_seq(lane),
            epoch=journal.epoch,
            epoch_of_point=journal.epoch_of(lane, point.seq) if known and point else 0,
        )
        found = resume(point, held)
        self._report(found, point or Point(0, 0))
        if found.verdict is Verdict.AHEAD:
            raise StreamLostError("receiver_ahead", self._config.backoff_s_max)
        if found.after > cursor:
            journal.cursors.advance(name, lane, found.after)
            self._around.writer.settle(
                Settled(name, lane, journal.epoch_of(lane, found.after), found.after)
            )
        self._unsettled = ledger.unsettled(name, lane)
        self._entered = set(self._unsettled)
        return found.after

    def _report(self, found: Resume, point: Point) -> None:
        if found.verdict is Verdict.AGREED:
            return
        behind = found.verdict is Verdict.BEHIND
        kind = TroubleKind.RECEIVER_BEHIND if behind else TroubleKind.RECEIVER_AHEAD
        self._tell_once(kind, point.epoch, point.seq)

    def _tell_once(self, kind: TroubleKind, epoch: int, seq: int) -> None:
        """Report what every new stream would report again."""
        if len(self._told) >= TOLD_MAX:
            self._told.clear()
        if (kind, epoch, seq) not in self._told:
            self._told.add((kind, epoch, seq))
            self._trouble(kind, epoch, seq)

    def _trouble(self, kind: TroubleKind, epoch: int, seq: int, detail: str = "") -> None:
        name, lane = self._link.name, self._lane
        log.warning(
            "destination %s, lane %s: %s at %d/%d %s", name, lane.name, kind, epoch, seq, detail
        )
        self._around.on_trouble(Trouble(kind, name, lane, epoch, seq, detail))

    # -- sending -----------------------------------------------------------------------------

    async def _send(self, call: Any, after: int) -> None:
        counters, name, lane = self._around.counters, self._link.name, self._lane
        while True:
            groups = await self._next(after)
            release = self._release()
            batch = release.batch(lane, groups)
            if (batch.epoch, batch.first, batch.last, release.version) not in self._entered:
                await self._around.writer.record(name, batch)
            if self._release() is not release:
                continue  # entered and not sent: the ledger may say more than left, never less
            sent = Sent(batch, _oldest_alarm_us(groups) if lane is Lane.ALARMS else 0)
            self._in_flight.append(sent)
            if len(batch.request) > MESSAGE_BYTES_MAX:
                await self._set_aside(sent, "too_large")
                self._pop_settled()
            else:
                self._expect_answer()
                await call.write(batch.request)
                counters.add("sent_bytes", name, lane.name.lower(), n=len(batch.request))
            after = batch.last

    def _release(self) -> Release:
        release = self._link.release
        if release is None:
            raise StreamLostError("no_policy")
        return release

    async def _next(self, after: int) -> list[StoredGroup]:
        """The groups of the next batch; waits for news, and for room in the window."""
        journal, lane, config = self._around.journal, self._lane, self._config
        while True:
            self._release()
            self._room.clear()
            if len(self._in_flight) >= self._window:
                await self._room.wait()
                continue
            self._news.clear()
            lag = journal.last_seq(lane) - after
            if lag <= 0:
                await self._news.wait()
                continue
            if lane is not Lane.ALARMS and self._in_flight and lag < config.batch_records:
                await asyncio.sleep(config.linger_ms / 1000)
            limits = (lane, after, config.batch_records, config.batch_bytes)
            if lag > CATCHING_UP_RECORDS:
                groups = await asyncio.to_thread(journal.read, *limits)
            else:
                groups = journal.read(*limits)
            if groups:
                end = self._earlier_end(groups[0].epoch, after)
                return cut(groups, config.batch_records, config.batch_bytes, end)

    def _earlier_end(self, epoch: int, after: int) -> int | None:
        """Where the batch that follows ``after`` ended when it was sent before."""
        while self._unsettled and (self._unsettled[0][0], self._unsettled[0][2]) <= (epoch, after):
            self._unsettled.pop(0)
        return min((last for e, _, last, _ in self._unsettled if e == epoch), default=None)

    # -- answers -----------------------------------------------------------------------------

    async def _receive(self, call: Any) -> None:
        try:
            async with asyncio.timeout(None) as self._deadline:
                while True:
                    await self._answer(_parse(await call.read()))
        except TimeoutError as error:
            raise StreamLostError("no_answer") from error
        finally:
            self._deadline = None

    def _expect_answer(self) -> None:
        """Start, move on or stop the clock that watches the receiver."""
        if self._deadline is None or self._deadline.expired():
            return
        loop = asyncio.get_running_loop()
        patience = self._config.answer_timeout_s
        self._deadline.reschedule(loop.time() + patience if self._in_flight else None)

    async def _answer(self, message: pb.StreamResponse) -> None:
        kind = message.WhichOneof("message")
        if kind == "ack" and message.ack.lane == int(self._lane):
            point = (message.ack.epoch, message.ack.seq)
            for sent in self._in_flight:
                if (sent.batch.epoch, sent.batch.last) <= point:
                    sent.settled = True
            self._pop_settled()
            if point >= self._suspected:
                self._window = self._config.window
            self._backoff.reset()
        elif kind == "reject":
            await self._rejected(message.reject)
        self._expect_answer()

    async def _rejected(self, reject: pb.Reject) -> None:
        permanent = reject.kind != pb.REJECT_KIND_TRANSIENT
        word = "permanent" if permanent else "transient"
        self._around.counters.add("rejected", self._link.name, word)
        if not permanent:
            if reject.reason == "epoch_behind":
                self._tell_once(TroubleKind.RECEIVER_AHEAD, reject.epoch, reject.last_seq)
            raise StreamLostError("rejected", min(reject.retry_after_ms / 1000, 60.0))
        if not reject.last_seq:
            raise UnreadableError("unreadable")
        for sent in list(self._in_flight):
            batch = sent.batch
            if (batch.epoch, batch.first, batch.last) == (
                reject.epoch,
                reject.first_seq,
                reject.last_seq,
            ):
                await self._set_aside(sent, reject.reason)
        self._pop_settled()

    async def _suspect(self, reason: str) -> None:
        """Something in flight is unreadable: go on one by one, until it is alone twice."""
        newest = self._in_flight[-1].batch
        suspect = (newest.epoch, newest.last)
        if len(self._in_flight) > 1 or self._alone != suspect:
            self._alone = suspect if len(self._in_flight) == 1 else None
            self._suspected = max(self._suspected, suspect)
            self._window = 1
            return
        try:
            await self._set_aside(self._in_flight[0], reason)
        except WardgateError as error:
            log.warning("destination %s: %s", self._link.name, error)
            return
        self._pop_settled()
        self._window = self._config.window

    async def _set_aside(self, sent: Sent, reason: str) -> None:
        batch, name = sent.batch, self._link.name
        aad = f"{name}/{batch.lane.name}/{batch.epoch}/{batch.first}/{batch.last}".encode()
        key_id, body = self._around.seal.seal(batch.request, aad)
        await self._around.writer.set_aside(Rejected(name, batch, reason[:64], key_id, body))
        sent.settled = True
        now = self._around.clock.monotonic()
        if now - self._rejection_told >= REJECTIONS_TOLD_S:
            self._rejection_told = now
            self._trouble(TroubleKind.REJECTED, batch.epoch, batch.last, reason[:64])

    def _pop_settled(self) -> None:
        """Move the cursor past the batches that are settled, in order."""
        last: Sent | None = None
        counters, name = self._around.counters, self._link.name
        now_us = self._around.clock.now_us()
        while self._in_flight and self._in_flight[0].settled:
            last = self._in_flight.popleft()
            if last.batch.committed_us:
                seconds = max(0, now_us - last.batch.committed_us) / 1e6
                counters.observe("delivery_seconds", seconds, name)
            if last.alarm_us:
                seconds = max(0, now_us - last.alarm_us) / 1e6
                counters.observe("alarm_delivery_seconds", seconds, name)
        if last is None:
            return
        batch = last.batch
        self._around.journal.cursors.advance(name, self._lane, batch.last)
        self._around.writer.settle(Settled(name, self._lane, batch.epoch, batch.last))
        self._room.set()


def _parse(raw: object) -> pb.StreamResponse:
    if not isinstance(raw, bytes):
        raise ClosedError("closed")
    try:
        return pb.StreamResponse.FromString(raw)
    except DecodeError as error:
        raise StreamLostError("bad_answer") from error


async def _both(*jobs: Coroutine[Any, Any, None]) -> None:
    """Run jobs until the first one fails; cancel the others, and raise what it raised."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task in done:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _oldest_alarm_us(groups: Sequence[StoredGroup]) -> int:
    """When the oldest alarm of some groups was determined; 0 without alarms."""
    times = [
        record.alarm.at_us
        for group in groups
        for section in group.sections
        for record in pb.Section.FromString(section.body).records
        if record.WhichOneof("body") == "alarm"
    ]
    return min(times, default=0)
