"""One lane of one destination: a stream at a time, for as long as the gateway runs.

Rules:

1. A batch is entered into the ledger before its first byte leaves.
2. At most ``window`` batches are in flight (:mod:`gateway.uplink.flight`). A batch leaves as soon
   as there is something to send: the journal's group commit is what paces it. With ``linger_ms``
   telemetry waits for more while others are in flight.
3. A stream that breaks is opened again after a jittered, growing delay, or at the receiver's
   first sign of life; what was not acknowledged is sent again in the same batches.
4. To whom the policy releases nothing, no connection is opened (:mod:`gateway.uplink.rest`).
   Without a policy nothing goes on towards anybody: a stream ends, whatever is in flight, and so
   does a handshake, or a look whether somebody listens. The way may lead elsewhere now.
5. A backlog's batches are made in a thread, so that alarms of other lanes pass between them.
6. The stream goes on while a window of statistics is open, and the cursor stays behind the window's
   first group; what a stream begins with is made again by reading on from the cursor
   (:mod:`gateway.uplink.standing`).
7. Waveforms have a stream once there are any; while telemetry is behind they yield to it.
8. Beside telemetry go the heads of the audit log (:mod:`gateway.uplink.heads`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

import grpc.aio

from gateway.backoff import Backoff
from gateway.domain.errors import WardgateError
from gateway.domain.labels import Lane
from gateway.uplink.flight import Flight
from gateway.uplink.greeting import Troubles, greet
from gateway.uplink.heads import carry
from gateway.uplink.ledger import Unsettled
from gateway.uplink.link import Link
from gateway.uplink.making import Made, Maker
from gateway.uplink.ports import TroubleKind
from gateway.uplink.release import Release, Released
from gateway.uplink.rest import rest, silent_release
from gateway.uplink.stream import (
    ClosedError,
    StreamLostError,
    UnreadableError,
    both,
    loss_of,
    open_call,
    open_channel,
    parse,
)
from protos.wardgate.v1 import ingest_pb2 as pb

log = logging.getLogger(__name__)

MESSAGE_BYTES_MAX = 15 << 20
"""A batch beyond it is set aside: receivers take 16 MiB."""
CATCHING_UP_RECORDS = 4000
"""Behind by more, batches come from disk, and are large."""
RETRY_AFTER_S_MAX = 60.0


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
        self._troubles = Troubles(link, lane)
        self._flight = Flight(link, lane, self._troubles)
        self._news = asyncio.Event()
        self._maker = Maker(link, lane)
        self._entered: set[Unsettled] = set()
        self._deadline: asyncio.Timeout | None = None
        self._writing = asyncio.Lock()
        """A call takes one message at a time."""
        self._stood = False
        """Whether the receiver greeted the last stream."""

    def notify(self) -> None:
        """Something was committed to this lane, or the policy changed."""
        self._news.set()

    async def run(self) -> None:
        """Forward for ever."""
        link = self._link
        while True:
            await link.has_release()
            await self._something_to_carry()
            if silent_release(link) is not None:
                await rest(link, self._lane, self._maker, self._news)
                continue
            signs = link.signs
            retry_after_s = 0.0
            reason = ""
            try:
                await self._while_released(self._session())
                reason = "no_policy"  # a stream ends with an error by itself
            except UnreadableError as error:
                reason = error.reason
                await self._flight.suspect(reason)
            except StreamLostError as error:
                if silent_release(link) is not None:
                    continue
                reason, retry_after_s = error.reason, error.retry_after_s
            except WardgateError as error:
                reason = error.reason
                log.warning("destination %s: %s", link.name, error)
            except Exception:  # the boundary of a task: one lane's fault must not end the others
                reason = "internal"
                log.exception("destination %s, lane %s", link.name, self._lane.name)
            self._around.counters.add("send_failures", link.name, reason)
            delay = self._backoff.delay()
            if retry_after_s:
                await asyncio.sleep(max(delay, retry_after_s))
            elif self._stood:
                # A receiver that greets both lanes and drops them must not make them wake each
                # other: only what happens from now on is a sign of life.
                await self._while_released(link.pause(delay, link.signs))
            else:
                await self._while_released(link.pause(delay, signs))

    async def _while_released(self, job: Coroutine[Any, Any, None]) -> None:
        """Do it until it is done, or there is no policy."""
        await both(job, self._link.has_none())

    async def _something_to_carry(self) -> None:
        """Waveforms: wait for the gateway's first. The other lanes' streams stand in any case."""
        while self._lane is Lane.WAVES and not self._around.journal.last_seq(self._lane):
            self._news.clear()
            await self._news.wait()

    # -- one stream --------------------------------------------------------------------------

    async def _session(self) -> None:
        link, lane = self._link, self._lane
        self._stood = False
        self._flight.begin()
        way = await link.route(lane)
        async with open_channel(link, way) as channel:
            call = open_call(channel)
            try:
                greeting = await greet(call, link, lane, self._troubles)
                unsettled = self._around.writer.ledger.unsettled(link.name, lane)
                self._maker.begin(unsettled)
                self._entered = set(unsettled)
                self._stood = True
                link.connected(lane, up=True)
                log.info("destination %s: lane %s up", link.name, lane.name)
                await self._stand(greeting.after)
                if lane is not Lane.ALARMS:
                    await link.alarms_first()
                jobs = [self._receive(call), self._send(call, greeting.after)]
                if lane is Lane.TELEMETRY and greeting.held is not None:
                    jobs.append(carry(call, self._writing, link, greeting.held))
                await both(*jobs)
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError, ClosedError) as error:
                # Reading and writing end in several ways; the call's status is the reason.
                if not call.done():
                    raise
                raise await self._ended(call) from error
            finally:
                link.connected(lane, up=False)
                call.cancel()

    async def _ended(self, call: Any) -> StreamLostError:
        code, details = await call.code(), await call.details()
        log.info("destination %s: %s %s", self._link.name, code.name, details)
        return loss_of(code, details, in_flight=bool(self._flight))

    async def _stand(self, after: int) -> None:
        """Make the window again that is open behind ``after``, and hold what it needs."""
        release, maker = self._release(), self._maker
        if maker.far(release, after, None) > CATCHING_UP_RECORDS:
            found = await asyncio.to_thread(maker.stand, release, after)
        else:
            found = maker.stand(release, after)
        maker.made(found)
        windows = found.windows
        hold = windows.hold if windows.is_open or windows.owes else after
        self._around.journal.cursors.advance(self._link.name, self._lane, hold)

    # -- sending -----------------------------------------------------------------------------

    async def _send(self, call: Any, after: int) -> None:
        counters, name, lane = self._around.counters, self._link.name, self._lane
        while True:
            made = await self._next(after)
            release, batch = made.release, made.batch
            entry = Unsettled(batch.epoch, batch.first, batch.last, release.version)
            if entry not in self._entered:
                await self._around.writer.record(name, batch)
                self._tell_untreatable(batch)
            if self._release() is not release:
                continue  # entered and not sent: the ledger may say more than left, never less
            sent = self._flight.add(batch, made.alarm_us)
            if len(batch.request) > MESSAGE_BYTES_MAX:
                await self._flight.set_aside(sent, "too_large")
            else:
                self._expect_answer()
                async with self._writing:
                    await call.write(batch.request)
                counters.add("sent_bytes", name, lane.name.lower(), n=len(batch.request))
            after = batch.last
            self._maker.sent(made)

    def _tell_untreatable(self, batch: Released) -> None:
        for label, records in batch.untreatable.items():
            data_class = label.data_class.name.lower()
            self._around.on_exception(
                "untreatable",
                self._link.name,
                f"{self._lane.name}/{batch.epoch}/{batch.first}/{data_class}/{label.level}",
                {
                    "lane": self._lane.name.lower(),
                    "epoch": batch.epoch,
                    "first_seq": batch.first,
                    "last_seq": batch.last,
                    "class": data_class,
                    "level": label.level,
                    "records": records,
                    "policy": batch.policy_version,
                },
            )

    def _release(self) -> Release:
        release = self._link.release
        if release is None:
            raise StreamLostError("no_policy")
        if release.is_silent:
            raise StreamLostError("nothing_released")
        return release

    async def _next(self, after: int) -> Made:
        """The batch that follows ``after``; waits for news, and for room in the window."""
        journal, lane, config = self._around.journal, self._lane, self._config
        while True:
            await self._flight.room()
            release = self._release()
            self._news.clear()
            lag = journal.last_seq(lane) - after
            if lag <= 0:
                await self._news.wait()
                continue
            if lane is Lane.WAVES:
                await self._link.waves_last()
            if config.linger_ms and self._flight and lag < config.batch_records:
                await self._linger()
            stood = self._maker.take()
            if max(lag, self._maker.far(release, after, stood)) > CATCHING_UP_RECORDS:
                made = await asyncio.to_thread(self._maker.make, release, after, stood)
            else:
                made = self._maker.make(release, after, stood)
            if made is None:
                self._maker.made(stood)
            elif self._release() is release:
                self._maker.made(made.standpoint)
                return made

    async def _linger(self) -> None:
        if self._lane is not Lane.ALARMS:
            await asyncio.sleep(self._config.linger_ms / 1000)

    # -- answers -----------------------------------------------------------------------------

    async def _receive(self, call: Any) -> None:
        try:
            async with asyncio.timeout(None) as self._deadline:
                while True:
                    await self._answer(parse(await call.read()))
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
        self._deadline.reschedule(loop.time() + patience if self._flight else None)

    async def _answer(self, message: pb.StreamResponse) -> None:
        kind = message.WhichOneof("message")
        if kind == "ack" and message.ack.lane == int(self._lane):
            self._flight.acknowledged(message.ack.epoch, message.ack.seq)
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
                self._troubles.tell_once(TroubleKind.RECEIVER_AHEAD, reject.epoch, reject.last_seq)
            raise StreamLostError("rejected", min(reject.retry_after_ms / 1000, RETRY_AFTER_S_MAX))
        if not reject.last_seq:
            raise UnreadableError("unreadable")
        await self._flight.refused(reject)
