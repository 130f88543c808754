"""Group commit on the event loop: many submissions, one sync, answers in order.

Rules:
- One commit at a time, its writes in a thread; whatever arrives meanwhile is the next group.
- Nothing waits when the log is idle. Under load commits of telemetry begin at least
  ``linger_s`` apart, so that groups form; an alarm or a full group ends the wait.
- Alarms are written before the telemetry of the same group. If they can't be, the telemetry
  is not written either: a report that is not acknowledged will come again, and must not be
  there twice. Waves are written last, and only behind telemetry that could be.
- ``done`` is called exactly once per ``add``, on the loop, in the order of ``add``, and never
  before the sync.
- What waits is bounded: above a limit ``writable`` is false, far above it submissions are
  refused as FULL. Waves that wait never make ``writable`` false, since that would hold back
  numerics: above a limit of their own they are refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from gateway.domain.errors import JournalFullError, WardgateError
from gateway.domain.labels import Lane
from gateway.domain.ports import Counters, Outcome, StateDelta
from gateway.domain.records import Gap
from gateway.journal.config import FRAME_BODY_BYTES_MAX, CommitterConfig
from gateway.journal.journal import Journal, Prepared
from gateway.journal.types import Labelled, LaneGroup
from gateway.worker import Worker

_log = logging.getLogger(__name__)
_HARD_FACTOR = 4
"""Pending records or bytes of this many times the limit are refused."""


class _Add(NamedTuple):
    alarms: Sequence[Labelled]
    telemetry: Sequence[Labelled]
    alarm_deltas: Sequence[StateDelta]
    telemetry_deltas: Sequence[StateDelta]
    waves: Sequence[Labelled]
    done: Callable[[Outcome], None]
    policy_version: str
    records: int
    size: int
    wave_size: int
    refused: bool = False

    @property
    def writes_alarms(self) -> bool:
        return bool(self.alarms or self.alarm_deltas)

    @property
    def lanes(self) -> Iterator[Lane]:
        """Those that it writes to, in their order."""
        if self.writes_alarms:
            yield Lane.ALARMS
        if self.telemetry or self.telemetry_deltas:
            yield Lane.TELEMETRY
        if self.waves:
            yield Lane.WAVES


class Committer:
    """The way into the journal; everything here is called on the loop's thread."""

    def __init__(
        self,
        journal: Journal,
        loop: asyncio.AbstractEventLoop,
        counters: Counters,
        config: CommitterConfig,
    ) -> None:
        self.policy_version = ""
        """Version of the release table that is in force now."""
        self._journal = journal
        self._loop = loop
        self._counters = counters
        self._config = config
        self._pending: deque[_Add] = deque()
        self._records = 0
        self._bytes = 0
        self._wave_bytes = 0
        """Beside the two above, which have alarms and telemetry alone."""
        self._urgent = False
        self._writable = True
        self._resume: list[Callable[[], None]] = []
        self._gap_listeners: list[Callable[[list[Gap]], None]] = []
        self._work = asyncio.Event()
        self._now = asyncio.Event()
        self._stopping = False
        self._last_start = float("-inf")
        self._tasks: list[asyncio.Task[None]] = []
        self._maintaining: asyncio.Future[None] | None = None
        self._worker = Worker("journal", loop)

    # -- submissions ------------------------------------------------------------------------

    def add(
        self,
        alarms: Sequence[Labelled],
        telemetry: Sequence[Labelled],
        alarm_deltas: Sequence[StateDelta],
        telemetry_deltas: Sequence[StateDelta],
        done: Callable[[Outcome], None],
        waves: Sequence[Labelled] = (),
    ) -> None:
        """Commit records and deltas; they are in one group per lane, never split.

        Raises:
            RuntimeError: after ``stop``.
            ValueError: more bytes than a frame can hold.
        """
        if self._stopping:
            raise RuntimeError("the committer is stopped")
        size = sum(len(item.encoded) for item in alarms)
        size += sum(len(item.encoded) for item in telemetry)
        wave_size = sum(len(item.encoded) for item in waves)
        if max(size, wave_size) > FRAME_BODY_BYTES_MAX // 2:
            raise ValueError("a submission of more bytes than a frame can hold")
        records = len(alarms) + len(telemetry)
        refused = (
            self._records + records > _HARD_FACTOR * self._config.pending_records_max
            or self._bytes + size > _HARD_FACTOR * self._config.pending_bytes_max
            or self._wave_bytes + wave_size > self._config.pending_wave_bytes_max
        )
        if refused:
            entry = _Add((), (), (), (), (), done, self.policy_version, 0, 0, 0, refused=True)
        else:
            entry = _Add(
                alarms,
                telemetry,
                alarm_deltas,
                telemetry_deltas,
                waves,
                done,
                self.policy_version,
                records,
                size,
                wave_size,
            )
            self._records += records
            self._bytes += size
            self._wave_bytes += wave_size
        self._pending.append(entry)
        self._work.set()
        if entry.writes_alarms:
            self._urgent = True
        if self._urgent or self._group_is_full():
            self._now.set()
        if self._writable and not self._below(1):
            self._writable = False

    def writable(self) -> bool:
        """False from the moment that too much waits until half of it is committed."""
        return self._writable

    def when_writable(self, resume: Callable[[], None]) -> None:
        """Call ``resume`` once, when ``writable`` is true again (soon, if it is)."""
        if self._writable:
            self._loop.call_soon(resume)
        else:
            self._resume.append(resume)

    def healthy(self) -> bool:
        """Whether the committer's tasks run; a disk that refuses is not its fault."""
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    def follow(self, config: CommitterConfig) -> None:
        """Go on under changed limits, from the next group on."""
        self._config = config

    def on_gaps(self, listener: Callable[[list[Gap]], None]) -> None:
        """Call ``listener`` on the loop with lost ranges that no Gap record tells of yet.

        It is called after a commit, again and again until ``Journal.gaps_recorded``.
        """
        self._gap_listeners.append(listener)

    def _below(self, share: int) -> bool:
        return (
            self._records * share < self._config.pending_records_max
            and self._bytes * share < self._config.pending_bytes_max
        )

    def _group_is_full(self) -> bool:
        return (
            self._records >= self._config.group_records_max
            or self._bytes + self._wave_bytes >= self._config.group_bytes_max
        )

    # -- life -------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to commit and to maintain the journal."""
        self._tasks = [
            self._loop.create_task(self._commit_for_ever(), name="journal-commit"),
            self._loop.create_task(self._maintain_for_ever(), name="journal-maintain"),
        ]

    async def stop(self) -> None:
        """Commit what waits, answer it, and end. Idempotent."""
        if self._stopping:
            return
        self._stopping = True
        self._work.set()
        self._now.set()
        if self._tasks:
            commit, maintain = self._tasks
            maintain.cancel()
            await asyncio.gather(maintain, return_exceptions=True)
            if self._maintaining is not None:
                # The thread goes on when its task is cancelled. The journal is closed after us,
                # and a number of a closed file may be another file's by then.
                await self._maintaining
            await commit
        self._worker.close()

    async def _maintain_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._config.maintain_s)
            # A thread of its own: a checkpoint must not hold up a commit.
            self._maintaining = self._loop.run_in_executor(None, self._maintain)
            await asyncio.shield(self._maintaining)

    def _maintain(self) -> None:
        try:
            self._journal.maintain()
        except Exception:  # noqa: BLE001
            # Boundary of a task that must outlive whatever goes wrong; it is tried again.
            _log.exception("maintaining the journal")

    async def _commit_for_ever(self) -> None:
        while True:
            if not self._pending:
                if self._stopping:
                    return
                self._work.clear()
                await self._work.wait()
                continue
            await self._linger()
            self._last_start = self._loop.time()
            batch = self._take()
            outcomes = await self._commit(batch)
            for add in batch:
                self._answer(add, outcomes)
            self._settle(batch)

    async def _linger(self) -> None:
        """Let a group form when the last commit began a moment ago."""
        delay = self._last_start + self._config.linger_s - self._loop.time()
        if delay <= 0 or self._urgent or self._group_is_full() or self._stopping:
            return
        self._now.clear()
        timer = self._loop.call_later(delay, self._now.set)
        try:
            await self._now.wait()
        finally:
            timer.cancel()

    def _take(self) -> list[_Add]:
        """The next group: whole submissions of one policy version, up to the limits."""
        batch = [self._pending.popleft()]
        records, size = batch[0].records, batch[0].size + batch[0].wave_size
        while self._pending:
            add = self._pending[0]
            records += add.records
            size += add.size + add.wave_size
            if (
                records > self._config.group_records_max
                or size > self._config.group_bytes_max
                or add.policy_version != batch[0].policy_version
            ):
                break
            batch.append(self._pending.popleft())
        self._urgent = any(add.writes_alarms for add in self._pending) if self._urgent else False
        return batch

    # -- one commit -------------------------------------------------------------------------

    async def _commit(self, batch: Sequence[_Add]) -> Mapping[Lane, Outcome]:
        """Commit a group; what became of its part of each lane.

        A lane's part is written if those of the lanes before it were, or were empty.
        """
        # Numbering and sealing happen here, on the loop: a thread that computes would fight
        # the loop for the interpreter after each system call.
        prepared: dict[Lane, Prepared] = {}
        outcomes = dict.fromkeys(Lane, Outcome.COMMITTED)
        for group in _groups(batch):
            if not group.items and not group.deltas:
                continue
            ready, outcome = self._prepare(group)
            if ready is None:
                _refuse_from(outcomes, group.lane, outcome)
                break
            prepared[group.lane] = ready
        if prepared:
            written = await self._worker.run(partial(self._write, prepared))
            if written is not None:
                _refuse_from(outcomes, *written)
        return outcomes

    def _prepare(self, group: LaneGroup) -> tuple[Prepared | None, Outcome]:
        try:
            return self._journal.prepare(group), Outcome.COMMITTED
        except JournalFullError:
            return None, Outcome.FULL
        except (WardgateError, ValueError):
            _log.exception("a group could not be prepared")
            return None, Outcome.FAILED

    def _write(self, prepared: Mapping[Lane, Prepared]) -> tuple[Lane, Outcome] | None:
        """In the thread: lane by lane, up to the first that can't be written; that one."""
        for lane, ready in prepared.items():
            outcome = self._write_one(ready)
            if outcome is not Outcome.COMMITTED:
                return lane, outcome
        return None

    def _write_one(self, prepared: Prepared) -> Outcome:
        try:
            self._journal.commit(prepared)
        except JournalFullError:
            return Outcome.FULL
        except Exception:  # noqa: BLE001
            # Boundary of the thread: whatever happened, nothing may be acknowledged.
            _log.exception("a group could not be committed")
            return Outcome.FAILED
        return Outcome.COMMITTED

    def _answer(self, add: _Add, outcomes: Mapping[Lane, Outcome]) -> None:
        outcome = Outcome.FULL if add.refused else Outcome.COMMITTED
        for lane in add.lanes:
            if outcome is Outcome.COMMITTED:
                outcome = outcomes[lane]
        try:
            add.done(outcome)
        except Exception:  # noqa: BLE001
            # One submitter's mistake must not leave the others unanswered.
            _log.exception("a submitter failed on its outcome")

    def _settle(self, batch: Sequence[_Add]) -> None:
        """After the answers: room for drivers, news for forwarders."""
        self._records -= sum(add.records for add in batch)
        self._bytes -= sum(add.size for add in batch)
        self._wave_bytes -= sum(add.wave_size for add in batch)
        if not self._writable and self._below(2):
            self._writable = True
            waiting, self._resume = self._resume, []
            for resume in waiting:
                self._loop.call_soon(resume)
        self._journal.notify()
        if self._gap_listeners and self._journal.has_gaps:
            gaps = self._journal.discovered_gaps()
            for listener in self._gap_listeners:
                listener(gaps)


def _groups(batch: Sequence[_Add]) -> tuple[LaneGroup, ...]:
    """What a batch writes to each lane, in their order."""
    version = batch[0].policy_version
    return (
        LaneGroup(
            Lane.ALARMS,
            [item for add in batch for item in add.alarms],
            [delta for add in batch for delta in add.alarm_deltas],
            version,
        ),
        LaneGroup(
            Lane.TELEMETRY,
            [item for add in batch for item in add.telemetry],
            [delta for add in batch for delta in add.telemetry_deltas],
            version,
        ),
        LaneGroup(Lane.WAVES, [item for add in batch for item in add.waves], (), version),
    )


def _refuse_from(outcomes: dict[Lane, Outcome], lane: Lane, outcome: Outcome) -> None:
    """That lane's part was not written, and so nothing of the lanes behind it."""
    for each in Lane:
        if each >= lane:
            outcomes[each] = outcome


__all__ = ["Committer", "CommitterConfig"]
