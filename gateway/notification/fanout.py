"""From the journal's alarms to outlets and back: the I/O around the alarm manager.

Rules:

1. It reads the lane of alarms behind a position of its own, which is committed with what followed
   from the alarms: kill -9 at any instant repeats, and loses nothing.
2. The journal keeps what was not read.
3. Per outlet: the most urgent first, ``window`` under way at a time, the release asked and the
   ledger written before anything leaves (:mod:`gateway.notification.releasing`).
4. One outlet that is slow, broken or gone holds up no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from gateway.domain.errors import MalformedError, NotSentError, WardgateError
from gateway.domain.labels import Lane
from gateway.domain.ports import Clock, Outcome, Sink, Submission
from gateway.domain.records import Attestation, Provenance
from gateway.domain.statements import Statement
from gateway.journal.journal import Journal
from gateway.journal.types import StoredGroup
from gateway.notification import message
from gateway.notification import statements as said
from gateway.notification.config import NotificationConfig, Outlet
from gateway.notification.desk import Desk
from gateway.notification.outlets.sender import Letter, Sender
from gateway.notification.outlets.watch import AbsentError
from gateway.notification.releasing import Releases
from gateway.notification.story import Committed, Story
from gateway.wire.records import from_message
from protos.wardgate.v1 import ingest_pb2 as pb

log = logging.getLogger(__name__)

HOLD: Final = "notification"
READ_RECORDS: Final = 500
READ_BYTES: Final = 1 << 20
FAR_RECORDS: Final = 2_000
"""Behind by more, what is read comes from disk and is large: a thread reads it."""
PROBE_S: Final = 30.0
"""How often an outlet that is failing and gives no signs of life is tried with what it missed."""
SETTLE_S: Final = 10.0
READ_PAUSE_S: Final = 1.0
"""After trouble of the disk."""


class Around(NamedTuple):
    """What the daemon gives."""

    gateway: str
    journal: Journal
    sink: Sink
    clock: Clock
    releases: Releases
    sender: Callable[[Outlet], Sender]
    """Makes an outlet's way out; raises ConfigError."""


class FanOut:
    """One of a gateway; used on the event loop."""

    def __init__(self, desk: Desk, around: Around) -> None:
        self._desk = desk
        self._around = around
        self._news = asyncio.Event()
        self._work: dict[str, asyncio.Event] = {}
        self._senders: dict[str, Sender] = {}
        self._outlets: dict[str, Outlet] = {}
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}
        self._own: list[asyncio.Task[None]] = []
        desk.hooks.work = self._wake

    # -- life

    def follow(self, config: NotificationConfig) -> None:
        """Begin, or go on, with these outlets; the desk follows by itself.

        Raises:
            ConfigError: an outlet can't be used; those before stay.
        """
        wanted = {each.name: each for each in config.outlets}
        made = {
            name: self._around.sender(each)
            for name, each in wanted.items()
            if self._outlets.get(name) != each
        }
        for name in list(self._outlets):
            if name not in wanted or name in made:
                self._end(name)
        for name, sender in made.items():
            self._begin(wanted[name], sender)
        self._outlets = wanted
        if wanted and not self._own:
            self._start_reading()
        elif not wanted and self._own:
            self._stop_reading()

    async def stop(self) -> None:
        """End everything; what was under way is sent again after the next start. Idempotent."""
        self._stop_reading()
        tasks = [task for name in list(self._outlets) for task in self._end(name)]
        self._outlets = {}
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start_reading(self) -> None:
        loop = asyncio.get_running_loop()
        self._around.journal.subscribe(self._news.set)
        self._news.set()
        self._own = [
            loop.create_task(_kept(self._read), name="notification-read"),
            loop.create_task(_kept(self._settle), name="notification-settle"),
        ]

    def _stop_reading(self) -> None:
        self._around.journal.unsubscribe(self._news.set)
        for task in self._own:
            task.cancel()
        self._own = []
        self._around.journal.release(HOLD)

    def _begin(self, outlet: Outlet, sender: Sender) -> None:
        loop, name = asyncio.get_running_loop(), outlet.name
        self._work[name] = asyncio.Event()
        self._work[name].set()
        self._senders[name] = sender
        self._tasks[name] = [
            loop.create_task(_kept(partial(self._serve, outlet, sender)), name=f"outlet-{name}"),
            loop.create_task(
                _kept(partial(self._look, outlet, sender)), name=f"outlet-{name}-look"
            ),
        ]

    def _end(self, name: str) -> list[asyncio.Task[None]]:
        tasks = self._tasks.pop(name, [])
        for task in tasks:
            task.cancel()
        sender = self._senders.pop(name, None)
        self._work.pop(name, None)
        if sender is not None:
            closing = asyncio.get_running_loop().create_task(sender.close())
            tasks.append(closing)
        return tasks

    def _wake(self, name: str) -> None:
        work = self._work.get(name)
        if work is not None:
            work.set()

    # -- reading

    async def _read(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                if await self._read_some():
                    self._news.set()
            except (WardgateError, OSError):
                log.exception("the alarms can't be read; tried again")
                await asyncio.sleep(READ_PAUSE_S)
                self._news.set()

    async def _read_some(self) -> bool:
        """Read on; whether there may be more."""
        journal, position = self._around.journal, self._desk.position
        last = journal.last_seq(Lane.ALARMS)
        if position is None or position > last:
            # The first start begins at the journal's head; so does one whose journal was restored.
            self._submit_read((), last)
            return False
        if position == last:
            return False
        if last - position > FAR_RECORDS:
            groups = await asyncio.to_thread(
                journal.read, Lane.ALARMS, position, READ_RECORDS, READ_BYTES
            )
        else:
            groups = journal.read(Lane.ALARMS, position, READ_RECORDS, READ_BYTES)
        if not groups:
            return False
        alarms = tuple(each for group in groups for each in _alarms(group))
        self._submit_read(alarms, groups[-1].last_seq)
        return True

    def _submit_read(self, alarms: tuple[Committed, ...], position: int) -> None:
        statement = said.AlarmsCommitted(**self._now(), alarms=alarms, position=position)

        def done(outcome: Outcome) -> None:
            if outcome is Outcome.COMMITTED:
                self._around.journal.hold(HOLD, Lane.ALARMS, position)

        self._around.sink.submit(Submission([statement], done))

    async def _settle(self) -> None:
        """Let the ledger forget what is told no more."""
        while True:
            await asyncio.sleep(SETTLE_S)
            held = [(each.last.epoch, each.last.seq) for each in self._desk.stories]
            epoch, seq = min(held, default=(self._around.journal.epoch, self._desk.position or 0))
            self._around.releases.settle(epoch, seq - bool(held))

    # -- one outlet

    async def _serve(self, outlet: Outlet, sender: Sender) -> None:
        name, work = outlet.name, self._work[outlet.name]
        queue = self._desk.telling.queues[name]
        for story in self._desk.stories:
            self._desk.telling.resume(story, name)  # what the task before had under way
        room = asyncio.Semaphore(outlet.window)
        async with asyncio.TaskGroup() as under_way:
            while True:
                await room.acquire()
                if queue.has_summary:
                    under_way.create_task(self._summarise(outlet, sender, room))
                    continue
                alarm_id = queue.take()
                if alarm_id is None:
                    room.release()
                    work.clear()
                    await work.wait()
                    continue
                under_way.create_task(self._tell(name, alarm_id, sender, room))

    async def _tell(
        self, name: str, alarm_id: str, sender: Sender, room: asyncio.Semaphore
    ) -> None:
        """Give an outlet an alarm's newest notification, and say what came of it."""
        story = self._desk.stories.get(alarm_id)
        told = story.told.get(name) if story is not None else None
        queue = self._desk.telling.queues.get(name)
        result: Statement | None = None
        try:
            if story is not None and told is not None and told.waits:
                result = await self._sent(name, story, told.n, told.level, sender)
        finally:
            room.release()
            if result is not None:
                self._submit(result)
            elif queue is not None:
                queue.settle(alarm_id)
                self._wake(name)

    async def _sent(self, name: str, story: Story, n: int, level: int, sender: Sender) -> Statement:
        facts: dict[str, Any] = {"outlet": name, "alarm_id": story.alarm_id, "n": n}
        try:
            alarm = await self._around.releases.release(name, story.last)
            if alarm is None:
                return said.NotDelivered(**self._now(), **facts, reason="policy", withheld=True)
            told = message.told(self._around.gateway, story, alarm, n, level)
            await sender.send(Letter(told, _key(name, story.alarm_id, n), story.alarm_id, n))
        except AbsentError as error:
            return said.NotDelivered(**self._now(), **facts, reason=error.reason, absent=True)
        except WardgateError as error:
            return said.NotDelivered(**self._now(), **facts, reason=error.reason)
        except Exception:  # the boundary of an outlet: its fault must not end the others
            log.exception("outlet %s", name)
            return said.NotDelivered(**self._now(), **facts, reason="internal")
        return said.Delivered(**self._now(), **facts)

    async def _summarise(self, outlet: Outlet, sender: Sender, room: asyncio.Semaphore) -> None:
        queue, name = self._desk.telling.queues[outlet.name], outlet.name
        counts = queue.take_summary()
        now_us = self._around.clock.now_us()
        told = message.summary(self._around.gateway, counts, now_us, outlet.ward)
        arrived = False
        try:
            await sender.send(Letter(told, f"summary-{now_us}"))
            arrived = True
        except WardgateError as error:
            log.info("outlet %s: a summary is not taken: %s", name, error)
            await asyncio.sleep(outlet.retry_s_max)
        finally:
            room.release()
            ids = self._desk.telling.summarised(name, arrived)
            if arrived:
                self._submit(said.SummaryDelivered(**self._now(), outlet=name, alarm_ids=ids))
            self._wake(name)

    async def _look(self, outlet: Outlet, sender: Sender) -> None:
        """Find out now and then whether an outlet is there."""
        name = outlet.name
        while True:
            await asyncio.sleep(sender.every_s or PROBE_S)
            if not sender.every_s:
                if self._desk.telling.standing[name].failing:
                    self._submit(said.Probe(**self._now(), outlet=name))
                continue
            reason = ""
            try:
                await sender.look()
            except NotSentError as error:
                reason = error.reason
            self._submit(
                said.OutletHeard(**self._now(), outlet=name, alive=not reason, reason=reason)
            )

    # -- what screens say

    def read_answer(self, outlet: str, screen: str, payload: bytes) -> Statement:
        """What a screen says, as a statement.

        Raises:
            MalformedError: it breaks the specification.
        """
        answer = message.read_answer(payload)
        if outlet not in self._outlets:
            raise MalformedError("no_outlet")
        now: dict[str, Any] = {
            "device_id": self._around.gateway,
            "provenance": Provenance("notification", Attestation.BROKER, screen[:120]),
            "received_us": self._around.clock.now_us(),
        }
        seen = answer.seen
        if answer.answer == "alive":
            return said.OutletHeard(**now, outlet=outlet, alive=True, shows=True)
        if seen is not None:
            facts: dict[str, Any] = {"alarm_id": answer.alarm_id, "n": answer.n, "by": answer.by}
            return said.Answered(**now, **facts, outlet=outlet, seen=seen)
        return said.AcknowledgedBy(
            **now,
            alarm_id=answer.alarm_id,
            n=answer.n,
            by=answer.by,
            via=f"{outlet}/{screen}"[:120],
            outlet=outlet,
        )

    # -- words

    def _submit(self, statement: Statement) -> None:
        with contextlib.suppress(RuntimeError):  # the gateway is stopping: it comes again
            self._around.sink.submit(Submission([statement]))

    def _now(self) -> Mapping[str, Any]:
        return {
            "device_id": self._around.gateway,
            "provenance": said.GATEWAY,
            "received_us": self._around.clock.now_us(),
        }


async def _kept(work: Callable[[], Awaitable[None]]) -> None:
    """Do it for ever: a fault of ours must not end the telling."""
    while True:
        try:
            await work()
        except Exception:  # the boundary of a task, see above
            log.exception("a fault while people are told; begun again")
        await asyncio.sleep(READ_PAUSE_S)


def _key(outlet: str, alarm_id: str, n: int) -> str:
    """The same for the same notification; says nothing of the alarm, nor ties two together."""
    return hashlib.sha256(f"{outlet}\n{alarm_id}\n{n}".encode()).hexdigest()[:32]


def _alarms(group: StoredGroup) -> list[Committed]:
    """The alarms of a group, in order."""
    found = []
    for section in group.sections:
        parsed = pb.Section.FromString(section.body)
        for offset, record in zip(parsed.seq_offsets, parsed.records, strict=True):
            alarm = record.alarm if record.WhichOneof("body") == "alarm" else None
            if alarm is None:
                continue
            seq = parsed.first_seq + offset
            found.append(
                Committed(
                    from_message(record),  # type: ignore[arg-type]  # it is one, see above
                    section.data_class,
                    section.level,
                    group.policy_version,
                    group.epoch,
                    seq,
                    record.SerializeToString(),
                )
            )
    return sorted(found, key=lambda each: each.seq)
