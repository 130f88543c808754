"""What keeps a journal in order beside its commits: checkpoints, retention, gauges.

Rules:
- A segment is deleted when every destination's cursor and every hold is past it and the state
  checkpoint covers it; cursors and checkpoint are durable by then.
- At the limit waveforms go first: whatever lane needs the space, their oldest segments are dropped
  for it, and at a limit of their own for newer ones. Then, where the hospital wants that, the
  oldest telemetry.
- Errors of the disk are logged: all of it is tried again the next time.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Mapping
from typing import NamedTuple

from gateway.domain.labels import Lane
from gateway.domain.ports import Clock, Counters
from gateway.journal.ballast import Ballast
from gateway.journal.config import WAVES_SEGMENTS, JournalConfig
from gateway.journal.cursors import Cursors
from gateway.journal.lane import DROPPED, LaneLog
from gateway.journal.losses import Losses
from gateway.journal.state import State
from gateway.journal.store import Store

_log = logging.getLogger(__name__)


class Contents(NamedTuple):
    """What a journal is made of."""

    lanes: Mapping[Lane, LaneLog]
    cursors: Cursors
    state: State
    losses: Losses
    store: Store
    ballast: Ballast
    write_lock: threading.Lock
    """Held by whoever writes to a lane."""


class Upkeep:
    """One thread maintains at a time; it need not be the one that commits."""

    def __init__(
        self, contents: Contents, config: JournalConfig, clock: Clock, counters: Counters
    ) -> None:
        self._contents = contents
        self.config = config
        self._clock = clock
        self._counters = counters
        self._holds: dict[tuple[str, Lane], int] = {}
        self._mark_synced = self._checkpointed = clock.monotonic()

    def hold(self, name: str, lane: Lane, seq: int) -> None:
        """Keep everything behind ``seq`` whatever the destinations have; moves with each call."""
        self._holds[name, lane] = seq

    def held(self, name: str, lane: Lane) -> int | None:
        """Where a hold stands; None without one."""
        return self._holds.get((name, lane))

    def release(self, name: str) -> None:
        """Give up a hold."""
        for lane in Lane:
            self._holds.pop((name, lane), None)

    def maintain(self) -> None:
        """Durable marks, checkpoint, retention, gauges; about once a second."""
        contents, now = self._contents, self._clock.monotonic()
        if now - self._mark_synced >= self.config.high_water_sync_s:
            with contents.write_lock:
                for log in contents.lanes.values():
                    log.sync_mark()
            self._mark_synced = now
        if now - self._checkpointed >= self.config.checkpoint_s:
            self.try_checkpoint()
            self._checkpointed = now
            self._delete_covered()
            with contents.write_lock:
                contents.ballast.refill()
        self.gauges()

    def try_checkpoint(self) -> bool:
        """Write cursors, state and losses to SQLite; False when that failed."""
        try:
            self.checkpoint()
        except sqlite3.Error as error:
            _log.warning("checkpoint not written: %s", error)
            return False
        return True

    def checkpoint(self) -> None:
        """Write cursors, state and losses to SQLite.

        Raises:
            sqlite3.Error: nothing of it was written.
        """
        lanes, cursors, state, losses, store, _, _ = self._contents
        forgotten = {
            lane: log.forget_losses(min(cursors.of(lane), default=0)) for lane, log in lanes.items()
        }
        epochs = [
            (int(lane), first, epoch) for lane, log in lanes.items() for first, epoch in log.epochs
        ]
        store.flush(cursors, state, epochs, losses.keep_behind(forgotten))

    def _delete_covered(self) -> None:
        """Delete what nobody needs any more; relies on the durable checkpoint alone."""
        contents = self._contents
        for lane, log in contents.lanes.items():
            needs = contents.cursors.of(lane)
            if not needs:
                continue
            needs += [seq for (_, of_lane), seq in list(self._holds.items()) if of_lane == lane]
            segments = log.covered(min(needs), contents.state.stored_commit)
            if not segments or not self.try_checkpoint():
                continue
            with contents.write_lock:
                log.delete(segments)

    def limit_of(self, lane: Lane) -> int:
        """Up to how many bytes of the whole journal a lane may write."""
        reserve = 0 if lane is Lane.ALARMS else self.config.alarm_reserve_bytes
        return self.config.limit_bytes - reserve

    def segment_bytes(self, lane: Lane) -> int:
        """The size of a lane's new segments."""
        whole = self.config.segment_bytes
        return (
            min(whole, self.config.waves_bytes // WAVES_SEGMENTS) if lane is Lane.WAVES else whole
        )

    def fixed_bytes(self, lane: Lane) -> int:
        """What no drop can free for a lane."""
        lanes = self._contents.lanes
        return sum(log.size for each, log in lanes.items() if not self._yields(each, lane))

    def _yields(self, lane: Lane, to: Lane) -> bool:
        """Whether a lane's oldest records are dropped at the limit, for another or for its own."""
        return lane is Lane.WAVES or (
            self.config.drop_oldest and lane is Lane.TELEMETRY and to is not Lane.WAVES
        )

    def make_room(self, lane: Lane, size: int) -> None:
        """Drop what has to go for ``size`` bytes more of a lane: waveforms first, then telemetry.

        Whole segments go, the oldest first. To be called by the thread that writes.
        """
        waves = self._contents.lanes[Lane.WAVES]
        if lane is Lane.WAVES:
            while waves.size + size > self.config.waves_bytes and self.drop_waves():
                pass
        limit = self.limit_of(Lane.TELEMETRY)
        while self._bytes() + size > limit and self.drop_waves():
            pass
        while (
            self._yields(Lane.TELEMETRY, lane)
            and self._bytes() + size > limit
            and self._drop(Lane.TELEMETRY)
        ):
            pass

    def drop_waves(self) -> bool:
        """Drop the oldest segment of waveforms; False when there is none, or it can't go."""
        return self._drop(Lane.WAVES)

    def _bytes(self) -> int:
        return sum(each.size for each in self._contents.lanes.values())

    def _drop(self, lane: Lane) -> bool:
        contents = self._contents
        log = contents.lanes[lane]
        segment = log.oldest()
        if segment is None:
            return False
        sent = min(contents.cursors.of(lane), default=0)
        unsent = max(segment.first_seq, sent + 1)
        with log.lock:
            fresh = log.holes.add(unsent, segment.last_seq, DROPPED)
        contents.losses.add(log, fresh)
        self.try_checkpoint()
        if not log.delete([segment]):
            return False
        word = lane.name.lower()
        _log.warning("dropped %s %d..%d: the limit is reached", word, unsent, segment.last_seq)
        self._counters.add("journal_dropped", word, n=max(0, segment.last_seq - unsent + 1))
        return True

    def gauges(self) -> None:
        """Say how much there is and how old it is."""
        now_us = self._clock.now_us()
        for lane, log in self._contents.lanes.items():
            label = lane.name.lower()
            limit = self.limit_of(lane)
            if lane is Lane.WAVES:
                limit = min(limit, self.config.waves_bytes)
            self._counters.set("journal_bytes", log.size, label)
            self._counters.set("journal_limit_bytes", limit, label)
            oldest = log.committed_us(min(self._contents.cursors.of(lane), default=0) + 1)
            age = (now_us - oldest) / 1e6 if oldest else 0.0
            self._counters.set("journal_oldest_seconds", max(age, 0.0), label)
