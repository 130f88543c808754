"""Between the streams and the store: batches in, one group at a time, answers out.

One group is in the store's thread while the next collects. Groups of alarms, of telemetry and of
waves take turns, so that a flood of one can't keep the others out; a group is committed early when
a batch of a more urgent lane comes, so that an alarm waits for one batch at most, and telemetry for
one batch of waves. A stream whose batch met trouble of the store has *ended*: what it sent behind
that batch is dropped, since storing it would leave a hole.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from core.store import Ack, Offer, Reject, Store, Tally, Verdict
from gateway.domain.labels import Lane
from gateway.domain.ports import Counters
from protos.wardgate.v1 import ingest_pb2 as pb
from security.names import Identity

_T = TypeVar("_T")

REJECTS_MAX = 64
"""Unsent rejects of one stream; a gateway that does not read its answers is cut off."""


class StreamState:
    """One stream: its proven gateway, its lanes, and the answers that wait to be written."""

    def __init__(self, identity: Identity, lanes: frozenset[Lane], in_flight_max: int) -> None:
        self.gateway = identity.id
        self.identity = identity
        self.lanes = lanes
        self.in_flight_max = in_flight_max
        self.room = asyncio.Semaphore(in_flight_max)
        self.next_head_s = 0.0
        """By the monotonic clock: a head of its audit log that comes earlier is read then."""
        self.ended = False
        self.fault = ""
        """Why the stream must end, if not because its gateway closed it."""
        self.cut_off = asyncio.Event()
        """The stream is to end now, whatever waits to be written."""
        self._answers = asyncio.Event()
        self._acks: dict[Lane, Ack] = {}
        self._rejects: deque[Reject] = deque()

    @property
    def lane(self) -> Lane:
        """The most urgent of its lanes: by it its batches take their turn."""
        return min(self.lanes)

    @property
    def finished(self) -> bool:
        """True when the stream ends and every answer was handed out."""
        return self.ended and not self._answers.is_set()

    def answer(self, verdict: Verdict) -> None:
        """Queue an answer; acknowledgements are cumulative, the last one of a lane stands."""
        if isinstance(verdict, Ack):
            self._acks[verdict.lane] = verdict
        else:
            self._rejects.append(verdict)
            if not verdict.permanent:
                self.end("store")
            elif not verdict.lane:
                self.end("unreadable")
            elif len(self._rejects) > REJECTS_MAX:
                self.end("answers_unread")
        self._answers.set()

    def end(self, fault: str = "") -> None:
        """Let the writer write what waits, and then the stream end; the first fault stands."""
        if not self.ended:
            self.ended = True
            self.fault = fault
        self._answers.set()

    def cut(self, fault: str) -> None:
        """Let the stream end at once, also when its gateway reads no answers."""
        self.end()
        self.fault = fault
        self.cut_off.set()

    async def answers(self) -> list[pb.StreamResponse]:
        """What is to be written now; waits for it. Empty when the stream has ended."""
        await self._answers.wait()
        self._answers.clear()
        acks, self._acks = self._acks, {}
        rejects = list(self._rejects)
        self._rejects.clear()
        return [_ack(ack) for ack in acks.values()] + [_reject(reject) for reject in rejects]


class Inbox:
    """Feeds the store; ``run`` is its one task."""

    def __init__(self, store: Store, counters: Counters, group_bytes_max: int) -> None:
        self._store = store
        self._counters = counters
        self._group_bytes_max = group_bytes_max
        self._waiting: dict[Lane, deque[tuple[StreamState, bytes]]] = {
            lane: deque() for lane in Lane
        }
        self._work = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="core-store")

    async def put(self, stream: StreamState, raw: bytes) -> None:
        """Take a batch; waits while the stream has too many unstored ones."""
        await stream.room.acquire()
        self._waiting[stream.lane].append((stream, raw))
        self._gauge(stream.lane)
        self._work.set()

    async def drained(self, stream: StreamState) -> None:
        """Wait until everything taken from the stream was stored or refused."""
        for _ in range(stream.in_flight_max):
            await stream.room.acquire()

    async def resume_points(self, gateway: str) -> list[Ack]:
        """What the store holds of a gateway.

        Raises:
            sqlite3.Error: the store can't be read.
        """
        return await self.with_store(lambda store: store.resume_points(gateway))

    async def with_store(self, work: Callable[[Store], _T]) -> _T:
        """Do something with the store, between two groups; what it raises is raised here."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, work, self._store)

    async def run(self) -> None:
        """Serve until cancelled. What is in the store's thread then is finished by ``close``."""
        while True:
            await self._work.wait()
            self._work.clear()
            while any(self._waiting.values()):
                for lane in Lane:
                    await self._store_group(lane)

    def close(self) -> None:
        """Wait for the store's thread and close the store."""
        self._thread.shutdown(wait=True)
        self._store.close()

    async def _store_group(self, lane: Lane) -> None:
        group = self._take(lane)
        if not group:
            return
        loop = asyncio.get_running_loop()
        offers = [Offer(stream.gateway, stream.lanes, raw) for stream, raw in group]
        began = loop.time()
        verdicts, tally = await loop.run_in_executor(
            self._thread, self._store.ingest, offers, partial(self._others_wait, lane)
        )
        self._counters.observe("commit_seconds", loop.time() - began)
        self._count(verdicts, tally)
        self._waiting[lane].extendleft(reversed(group[len(verdicts) :]))
        for (stream, _), verdict in zip(group, verdicts, strict=False):
            if not stream.ended:
                stream.answer(verdict)
            stream.room.release()

    def _others_wait(self, lane: Lane) -> bool:
        """Whether something more urgent waits; asked in the store's thread, between two batches."""
        return any(waiting and each < lane for each, waiting in self._waiting.items())

    def _take(self, lane: Lane) -> list[tuple[StreamState, bytes]]:
        waiting = self._waiting[lane]
        group: list[tuple[StreamState, bytes]] = []
        size = 0
        while waiting and (not group or size + len(waiting[0][1]) <= self._group_bytes_max):
            stream, raw = waiting.popleft()
            if stream.ended:
                stream.room.release()
                continue
            group.append((stream, raw))
            size += len(raw)
        self._gauge(lane)
        return group

    def _gauge(self, lane: Lane) -> None:
        self._counters.set("waiting_batches", len(self._waiting[lane]), lane.name.lower())

    def _count(self, verdicts: Sequence[Verdict], tally: Tally) -> None:
        for name, n in tally._asdict().items():
            if n:
                self._counters.add("records" if name == "stored" else name, n=n)
        for verdict in verdicts:
            if isinstance(verdict, Reject):
                kind = "permanent" if verdict.permanent else "transient"
                self._counters.add("rejected", kind, verdict.reason)


def _ack(ack: Ack) -> pb.StreamResponse:
    lane = int(ack.lane)
    return pb.StreamResponse(ack=pb.Ack(lane=lane, epoch=ack.epoch, seq=ack.seq))  # type: ignore[arg-type]  # equal numbers by design


def _reject(reject: Reject) -> pb.StreamResponse:
    kind = pb.REJECT_KIND_PERMANENT if reject.permanent else pb.REJECT_KIND_TRANSIENT
    return pb.StreamResponse(
        reject=pb.Reject(
            lane=int(reject.lane),  # type: ignore[arg-type]  # equal numbers by design
            epoch=reject.epoch,
            first_seq=reject.first,
            last_seq=reject.last,
            kind=kind,
            reason=reject.reason,
            retry_after_ms=reject.retry_after_ms,
        )
    )
