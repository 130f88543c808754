"""The durable log between the devices and the destinations: three lanes, sealed, synced.

Rules:
- What ``append`` returned is durable: power may go at any instant.
- A group is kept whole or not at all. Nothing of a group is acknowledged whose write or sync
  failed, and its sequence numbers go to the next group.
- Every start opens an epoch; numbers go on. (epoch, seq) never means two different records.
- What is missing is said: ``read`` returns lost ranges in their place, and
  ``discovered_gaps`` hands them out to be recorded.
- A key that is missing or wrong stops the opening; it never counts as damage.
- What is deleted and when, :mod:`gateway.journal.upkeep` says.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

from gateway.domain.errors import (
    ConfigError,
    JournalFullError,
    KeyMissingError,
)
from gateway.domain.labels import Lane
from gateway.domain.ports import Clock, Counters, StateDelta
from gateway.domain.records import Gap
from gateway.journal.ballast import STEP_BYTES, Ballast
from gateway.journal.body import encode_body, make_sections
from gateway.journal.config import JournalConfig
from gateway.journal.erasing import lose_erased, sealed_records
from gateway.journal.files import Files, OsFiles
from gateway.journal.frame import Frame, Stamp, encode_frame
from gateway.journal.lane import LaneLog, journal_error
from gateway.journal.lock import DirectoryLock
from gateway.journal.losses import Losses
from gateway.journal.opening import check_keys, replay
from gateway.journal.reading import Reader
from gateway.journal.store import Store
from gateway.journal.types import (
    STATE_SCOPE,
    EncodedSection,
    LaneGroup,
    Lost,
    Sealers,
    SeqRange,
    StoredGroup,
    lane_scope,
)
from gateway.journal.upkeep import Contents, Upkeep

_log = logging.getLogger(__name__)
_LOG_ID_BYTES = 16


class Prepared(NamedTuple):
    """A group with its numbers, sealed and laid out; only its writing is left."""

    stamp: Stamp
    frame: bytes
    sections: tuple[EncodedSection, ...]
    deltas: tuple[StateDelta, ...]
    key_id: str

    @property
    def seqs(self) -> SeqRange:
        return SeqRange(self.stamp.first_seq, self.stamp.last_seq)


class _Parts(NamedTuple):
    files: Files
    lock: DirectoryLock
    store: Store
    ballast: Ballast


class Journal:
    """Open it with :meth:`open`. One thread appends at a time; any thread may read."""

    def __init__(
        self,
        directory: str,
        config: JournalConfig,
        sealers: Sealers,
        clock: Clock,
        counters: Counters,
        parts: _Parts,
    ) -> None:
        self.config = config
        self._sealers = {lane: sealers.of(lane_scope(lane)) for lane in Lane}
        self._clock = clock
        self._counters = counters
        self._files = files = parts.files
        self._lock = parts.lock
        self._ballast = parts.ballast
        self._prepare_lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._subscribers: list[Callable[[], None]] = []
        self._store = store = parts.store
        self.cursors = store.cursors()
        self.state = store.state()
        self._losses = Losses(store.losses())
        self._lanes = {
            lane: LaneLog(
                files,
                f"{directory}/{lane.name.lower()}",
                lane,
                config.quarantine_bytes_max,
                partial(self.state.failed_commit, lane),
            )
            for lane in Lane
        }
        contents = Contents(
            self._lanes,
            self.cursors,
            self.state,
            self._losses,
            store,
            parts.ballast,
            self._write_lock,
        )
        self._upkeep = Upkeep(contents, config, clock, counters)
        self._reader = Reader(self._lanes, config.cache_bytes, self._unseal, self._lose)
        try:
            self._recover()
        except BaseException:
            for log in self._lanes.values():
                log.close()
            raise

    @classmethod
    def open(
        cls,
        path: str | Path,
        config: JournalConfig,
        sealers: Sealers,
        clock: Clock,
        counters: Counters,
        files: Files | None = None,
    ) -> Journal:
        """Open or create the journal in a directory, and begin an epoch.

        Raises:
            ConfigError: another process has it open, or the directory holds parts of two.
            KeyMissingError: a frame is sealed with a key that is not there, nor was erased.
            SealBrokenError: a key is not the one that its id belongs to.
            JournalFailedError, OSError, sqlite3.Error: the disk refuses.
        """
        directory = str(path)
        files = files or OsFiles()
        Path(directory).mkdir(mode=0o700, parents=True, exist_ok=True)
        files.make_directory(directory)
        lock = DirectoryLock(directory)
        with ExitStack() as stack:
            stack.callback(lock.close)
            store = Store(f"{directory}/state.sqlite", clock.now_us(), sealers.of(STATE_SCOPE))
            stack.callback(store.close)
            ballast = Ballast(files, f"{directory}/reserve", config.ballast_bytes)
            stack.callback(ballast.close)
            parts = _Parts(files, lock, store, ballast)
            journal = cls(directory, config, sealers, clock, counters, parts)
            stack.pop_all()
        return journal

    def _recover(self) -> None:
        lanes = self._lanes.values()
        log_ids = {log_id for lane in lanes for log_id in lane.recovery.log_ids}
        if len(log_ids) > 1:
            raise ConfigError("the journal's directory holds segments of two different journals")
        self.log_id = (
            log_ids.pop() if log_ids else self._store.log_id or secrets.token_bytes(_LOG_ID_BYTES)
        )
        self._store.belongs_to(self.log_id)
        self._commit_number = max(self.state.commit, *(lane.recovery.commit for lane in lanes))
        used = any(lane.had_mark or lane.segments for lane in lanes)
        self.cursors_lost = used and self._store.fresh
        """True when destinations start again at the oldest record, for want of the store."""
        self.state_incomplete = any(lane.floor_commit > self.state.commit for lane in lanes)
        """True when state was rolled back further than the log reaches."""
        if self.cursors_lost or self.state_incomplete:
            _log.error(
                "cursors lost: %s, state older than the log: %s",
                self.cursors_lost,
                self.state_incomplete,
            )
        self._from_oldest = self.cursors_lost
        erased = check_keys(lanes, self._files, self._unseal)
        untold = replay(lanes, self._files, self.state, self._unseal)
        self.state_incomplete = self.state_incomplete or untold or self._store.erased
        stored = max((lane.recovery.epoch for lane in lanes), default=0)
        self.epoch = max(stored + 1, self._clock.now_us() // 1_000_000)
        """This start's epoch."""
        for lane in lanes:
            fresh = lane.settle(
                self.log_id,
                self.epoch,
                self.cursors.of(lane.lane),
                self._losses.of(lane.lane),
                self.config.segment_bytes,
                self._clock.now_us(),
            )
            lane.remember_epochs(self._store.epochs(lane.lane))
            self._lose(lane, fresh)
        if erased:
            self.lose_erased(erased.__contains__)
        self._upkeep.gauges()

    def _unseal(self, frame: Frame) -> bytes:
        header = frame.header
        try:
            sealer = self._sealers[Lane(header.stamp.lane)]
            return sealer.open(header.key_id, frame.sealed, header.stamp.aad(self.log_id))
        except KeyMissingError as error:
            raise KeyMissingError(f"the journal needs key {header.key_id!r}: {error}") from error

    # -- appending --------------------------------------------------------------------------

    def append(self, groups: Sequence[LaneGroup]) -> list[SeqRange]:
        """Make groups durable, one after the other.

        Returns:
            The sequence numbers of each group's records; an empty range for none.

        Raises:
            JournalFullError: the byte limit, or no space; earlier groups of the call stand.
            JournalFailedError: the disk refused; earlier groups of the call stand.
            ValueError: a group of more bytes than a frame can hold.
        """
        return [self.commit(self.prepare(group)) for group in groups]

    def prepare(self, group: LaneGroup) -> Prepared:
        """Number, encode and seal a group: everything but the disk.

        At most one group per lane may be prepared and not yet committed.

        Raises:
            JournalFullError: the byte limit is reached.
            ValueError: a group of more bytes than a frame can hold.
        """
        lane = self._lanes[group.lane]
        with self._prepare_lock:
            return self._prepare(lane, group)

    def _prepare(self, lane: LaneLog, group: LaneGroup) -> Prepared:
        try:
            self._require_room(lane, sum(len(item.encoded) for item in group.items))
        except JournalFullError:
            self._refused(lane, len(group.items))
            raise
        self._commit_number += 1
        stamp = Stamp(
            group.lane,
            self.epoch,
            self._commit_number,
            lane.last_seq + 1,
            len(group.items),
            self._clock.now_us(),
            group.policy_version,
        )
        sections = make_sections(group.items, stamp.first_seq)
        deltas = tuple(group.deltas)
        plain = encode_body(sections, deltas)
        key_id, sealed = self._sealers[lane.lane].seal(plain, stamp.aad(self.log_id))
        return Prepared(stamp, encode_frame(stamp, key_id, sealed), sections, deltas, key_id)

    def commit(self, prepared: Prepared) -> SeqRange:
        """Write and sync a prepared group.

        Raises:
            JournalFullError, JournalFailedError: nothing of it counts; it may be prepared anew.
            ValueError: another group was committed since it was prepared.
        """
        stamp, frame, sections, deltas, key_id = prepared
        lane = self._lanes[Lane(stamp.lane)]
        began = self._clock.monotonic()
        with self._write_lock:
            if stamp.first_seq != lane.last_seq + 1:
                raise ValueError("the prepared group's numbers were taken by another")
            try:
                self._upkeep.make_room(lane.lane, len(frame))
                self._require_room(lane, len(frame), made=True)
                self._write(lane, frame, stamp, key_id)
            except JournalFullError:
                self._refused(lane, stamp.records)
                raise
            self.state.apply(deltas, stamp.lane, stamp.commit)
        if stamp.records:
            group = StoredGroup(
                stamp.first_seq,
                stamp.last_seq,
                stamp.policy_version,
                sections,
                (),
                stamp.epoch,
                stamp.committed_us,
            )
            self._reader.committed(lane.lane, group)
        self._counters.add("journaled", _label(lane), n=stamp.records)
        self._counters.observe(
            "journal_commit_seconds", self._clock.monotonic() - began, _label(lane)
        )
        return prepared.seqs

    def _write(self, lane: LaneLog, frame: bytes, stamp: Stamp, key_id: str) -> None:
        if self._ballast.lent and lane.lane is not Lane.ALARMS:
            raise JournalFullError("the disk is full; what is left of it is the alarms'")
        segment_bytes = self._upkeep.segment_bytes(lane.lane)
        try:
            lane.write(frame, stamp, key_id, segment_bytes)
        except JournalFullError:
            # The disk is full before the limit is: others have filled it. Waveforms go first, then
            # alarms have the ballast.
            if lane.lane is Lane.WAVES:
                raise
            found = self._upkeep.drop_waves()
            if not found and lane.lane is Lane.ALARMS:
                found = self._ballast.give(len(frame))
            if not found:
                raise
            self._write_again(lane, frame, stamp, key_id)

    def _write_again(self, lane: LaneLog, frame: bytes, stamp: Stamp, key_id: str) -> None:
        """After one segment of waveforms, or a part of the ballast, made way."""
        segment_bytes = self._upkeep.segment_bytes(lane.lane)
        try:
            lane.write(frame, stamp, key_id, segment_bytes)
        except JournalFullError:
            if lane.lane is not Lane.ALARMS or not self._ballast.give(len(frame)):
                raise
            lane.write(frame, stamp, key_id, segment_bytes)

    def lend_reserve(self) -> bool:
        """Free some of the disk space that is held back for alarms, for what carries them on.

        From now on telemetry is refused, until the space could be taken back. Any thread.

        Returns:
            False when there is none left.
        """
        with self._write_lock:
            return self._ballast.give(STEP_BYTES)

    def _require_room(self, lane: LaneLog, size: int, *, made: bool = False) -> None:
        """Whether a frame fits; until room was ``made``, counting on what can be dropped."""
        limit = self._upkeep.limit_of(lane.lane)
        used = self.bytes if made else self._upkeep.fixed_bytes(lane.lane)
        if used + size > limit:
            raise JournalFullError(f"the limit of lane {_label(lane)} is reached")

    def _refused(self, lane: LaneLog, records: int) -> None:
        self._counters.add("journal_refused", _label(lane), n=records)

    # -- reading ----------------------------------------------------------------------------

    def read(
        self, lane: Lane, after_seq: int, records_max: int, bytes_max: int
    ) -> list[StoredGroup]:
        """What follows ``after_seq``, in order and without holes.

        The first group is the whole group that holds ``after_seq + 1``, so it may begin
        before that. At least one group is returned if there is any, however large. A group
        that is lost has no sections and one entry in ``lost``.

        Raises:
            KeyMissingError: the key ring lost a key while the journal was open.
            OSError: the disk refuses to open a segment.
        """
        return self._reader.read(lane, after_seq, records_max, bytes_max)

    def first_seq(self, lane: Lane) -> int:
        """The oldest record that is there, or is lost and not yet told to every destination.

        ``last_seq + 1`` when there is none.
        """
        return self._lanes[lane].first_seq

    def last_seq(self, lane: Lane) -> int:
        """The newest record; 0 before the first."""
        return self._lanes[lane].last_seq

    def epoch_of(self, lane: Lane, seq: int) -> int:
        """The epoch in which a record was committed; this start's for one that is to come."""
        log = self._lanes[lane]
        return self.epoch if seq > log.last_seq else log.epoch_of(seq)

    @property
    def bytes(self) -> int:
        """Bytes on disk that count against the limit."""
        return sum(lane.size for lane in self._lanes.values())

    def bytes_of(self, lane: Lane) -> int:
        """Bytes on disk of one lane."""
        return self._lanes[lane].size

    # -- losses -----------------------------------------------------------------------------

    def _lose(self, log: LaneLog, fresh: Iterable[Lost]) -> None:
        self._losses.add(log, fresh)
        quarantined, log.quarantined = log.quarantined, 0
        if quarantined:
            self._counters.add("journal_quarantined_bytes", _label(log), n=quarantined)

    @property
    def has_gaps(self) -> bool:
        """Whether ``discovered_gaps`` has any."""
        return self._losses.has_gaps

    def discovered_gaps(self) -> list[Gap]:
        """Lost ranges that no Gap record tells of yet: append those, then ``gaps_recorded``."""
        return self._losses.gaps(self.epoch_of)

    def gaps_recorded(self, gaps: Iterable[Gap]) -> None:
        """The Gap records are durable. A crash before this repeats them, which is harmless."""
        self._losses.recorded(gaps)
        self.checkpoint()

    # -- keys -------------------------------------------------------------------------------

    def key_ids(self, lane: Lane) -> set[str]:
        """Every key of which a frame of the lane is there."""
        return self._lanes[lane].key_ids()

    def state_key_ids(self) -> set[str]:
        """Every key of which a row of the stored state is there."""
        return self._store.key_ids()

    def sealed_records(self, keys: frozenset[str]) -> dict[Lane, list[SeqRange]]:
        """The records that some keys sealed, by lane."""
        return sealed_records(self._lanes, keys)

    def lose_erased(self, erased: Callable[[str], bool]) -> int:
        """Give up what keys sealed that were destroyed; how many records were lost by it."""
        lost = lose_erased(self._lanes, self.cursors, erased, self._lose)
        self._reader.forget()
        self.checkpoint()
        return lost

    def reseal_state(self) -> bool:
        """Write the whole state under the present key; False when that failed."""
        self.state.touch()
        return self.checkpoint()

    # -- destinations and retention ---------------------------------------------------------

    def set_destinations(self, names: Sequence[str]) -> None:
        """Say who must have everything before it is deleted.

        A new destination starts at the journal's head; one that is left out is forgotten, so
        that it is new if it comes back. Without any destination everything is kept.

        Raises:
            sqlite3.Error: the cursors could not be made durable.
        """
        start = {
            lane: log.first_seq - 1 if self._from_oldest else log.last_seq
            for lane, log in self._lanes.items()
        }
        self._from_oldest = False
        self.cursors.set(names, start)
        self._upkeep.checkpoint()

    def hold(self, name: str, lane: Lane, seq: int) -> None:
        """Keep everything behind ``seq`` whatever the destinations have; moves with each call."""
        self._upkeep.hold(name, lane, seq)

    def held(self, name: str, lane: Lane) -> int | None:
        """Where a hold stands; None without one."""
        return self._upkeep.held(name, lane)

    def release(self, name: str) -> None:
        """Give up a hold."""
        self._upkeep.release(name)

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` on the loop after each commit (the Committer does)."""
        self._subscribers.append(callback)

    def unsubscribe(self, callback: Callable[[], None]) -> None:
        """Stop; idempotent."""
        if callback in self._subscribers:
            self._subscribers.remove(callback)

    def notify(self) -> None:
        """Tell the subscribers that something was committed."""
        for callback in list(self._subscribers):
            callback()

    def follow(self, config: JournalConfig) -> None:
        """Go on under changed limits, from the next group on; sizes of memory stay."""
        self.config = self._upkeep.config = config
        self._ballast.target = config.ballast_bytes

    # -- upkeep -----------------------------------------------------------------------------

    def maintain(self) -> None:
        """Durable marks, checkpoint, retention, gauges; about once a second, off the loop.

        Errors of the disk are logged: all of it is tried again the next time.
        """
        self._upkeep.maintain()

    def checkpoint(self) -> bool:
        """Write cursors, state and losses to SQLite; False when that failed."""
        return self._upkeep.try_checkpoint()

    def close(self) -> None:
        """Checkpoint and close; nothing is lost if it is never called."""
        with self._write_lock:
            for lane in self._lanes.values():
                lane.close()
        self.checkpoint()
        self._ballast.close()
        self._store.close()
        self._lock.close()


def _label(log: LaneLog) -> str:
    return log.lane.name.lower()


__all__ = ["Journal", "Prepared", "journal_error"]
