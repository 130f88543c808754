"""The ledger of releases: what left, for whom, in which shape, under which policy.

Rules:

1. An entry is durable before the first byte of its batch leaves (SQLite, WAL,
   ``synchronous=FULL``).
2. A batch that is sent again unchanged is no new release. The batches that were not yet
   acknowledged are remembered (``unsettled``), so that also after a restart a retransmission
   repeats their boundaries and makes no entry. Sent again under another policy it is a release of
   its own.
3. An entry grows while batches of the same kind follow it closely, for ENTRY_SPAN_US at most: the
   ledger stays readable, and small.
4. Tables of policies are kept by version for ever: "the stricter of then and now" must survive a
   restart.

5. The audit log is told its sums, period by period (:mod:`gateway.uplink.accounts`).

Batches are entered by one thread (:mod:`gateway.uplink.writer`); the rest may be called by any.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from gateway.domain.errors import WardgateError
from gateway.domain.labels import Lane, ReleaseRow
from gateway.domain.ports import Clock
from gateway.uplink import accounts, days, kept, ledger_file
from gateway.uplink.release import Released
from gateway.uplink.standing import Entered
from gateway.uplink.tally import Tally

ENTRY_SPAN_US = 10_000_000
SET_ASIDE_BYTES_MAX = 64 << 20
"""Bodies of rejected batches kept for the engineer; beyond it only what they were is kept."""
FILE_MODE = 0o600


class LedgerError(WardgateError):
    """The ledger can't be written or read: nothing may leave."""

    reason = "ledger"


class Mark(NamedTuple):
    """Where a destination's releases begin and how far they went."""

    start_seq: int
    """Nothing at or below it was ever for this destination."""
    epoch: int
    seq: int
    set_aside_seq: int
    """The newest record of a batch that was set aside; not to be sent again."""


class Unsettled(NamedTuple):
    """A batch that was released and not acknowledged."""

    epoch: int
    first: int
    last: int
    policy: str
    """Version."""


class Settled(NamedTuple):
    """Everything up to (epoch, seq) needs no retransmission any more."""

    destination: str
    lane: Lane
    epoch: int
    seq: int


class Rejected(NamedTuple):
    """A batch that the receiver will never take."""

    destination: str
    batch: Released
    reason: str
    key_id: str | None
    body: bytes | None
    """Sealed; None when nothing of it is kept."""


class _Growing(NamedTuple):
    id: int
    epoch: int
    last_seq: int
    begun_us: int


class Ledger:
    """Made by :meth:`open`; every method raises LedgerError when the disk refuses."""

    def __init__(self, db: sqlite3.Connection, clock: Clock, make_room: Callable[[], bool]) -> None:
        self._db = db
        self._clock = clock
        self._make_room = make_room
        self._lock = threading.Lock()
        self._growing: dict[tuple[Any, ...], _Growing] = {}
        self._tables: dict[str, Mapping[str, ReleaseRow]] = {}
        self.tally = Tally()
        """What was entered since the start."""

    @classmethod
    def open(cls, path: Path, clock: Clock, make_room: Callable[[], bool] = lambda: False) -> Self:
        """Open or make the ledger (mode 0600).

        Args:
            path: the SQLite file.
            clock: dates the entries.
            make_room: frees disk space that is held back for alarms, False if there is none;
                called when the disk is too full to enter an alarm, in the thread that writes.

        Raises:
            LedgerError: it can't be opened, or is of a newer version.
        """
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, FILE_MODE))
            db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise LedgerError(f"{path}: {error}") from error
        try:
            version = ledger_file.prepare(db)
        except sqlite3.Error as error:
            db.close()
            raise LedgerError(f"{path}: {error}") from error
        if version != ledger_file.SCHEMA_VERSION:
            db.close()
            raise LedgerError(
                f"{path}: schema {version}, this software knows {ledger_file.SCHEMA_VERSION}"
            )
        return cls(db, clock, make_room)

    def close(self) -> None:
        """Close behind the write that is under way; idempotent."""
        with self._lock:
            self._db.close()

    # -- policies ----------------------------------------------------------------------------

    def remember(self, version: str, rows: Mapping[str, ReleaseRow], why: str = "") -> None:
        """Keep a table and what explains it; durable on return. What is kept stays as it is."""
        with self._access():
            self._db.execute(
                "INSERT INTO policies (version, rows, first_used_us, why) VALUES (?,?,?,?)"
                " ON CONFLICT DO UPDATE SET why = excluded.why WHERE why = ''",
                (version, kept.pack(rows), self._clock.now_us(), why),
            )
        self._tables[version] = {name: dict(row) for name, row in rows.items()}

    def policy(self, version: str) -> kept.KeptPolicy:
        """What is kept of a version.

        Raises:
            LedgerError: nothing is.
        """
        with self._access():
            found = self._db.execute(
                "SELECT version, rows, why FROM policies WHERE version = ?", (version,)
            ).fetchone()
        if found is None:
            raise LedgerError(f"policy {version} was never remembered")
        return kept.KeptPolicy(*found)

    def table(self, version: str) -> Mapping[str, ReleaseRow] | None:
        """The rows of a version; None when it was never remembered."""
        known = self._tables.get(version)
        if known is None:
            with self._access():
                found = self._db.execute(
                    "SELECT rows FROM policies WHERE version = ?", (version,)
                ).fetchone()
            if found is None:
                return None
            known = self._tables[version] = kept.unpack(found[0])
        return known

    # -- where destinations stand ------------------------------------------------------------

    def start(self, destination: str, lane: Lane, seq: int) -> Mark:
        """The mark of a destination whose cursor is at ``seq``; made if there is none.

        A cursor beyond everything that was released belongs to a destination that was gone for
        a while: it starts there.
        """
        with self._access():
            self._db.execute(
                "INSERT INTO marks VALUES (?,?,?,0,0,'') ON CONFLICT DO NOTHING",
                (destination, lane.name.lower(), seq),
            )
            key = (destination, lane.name.lower())
            start_seq, epoch, newest = self._db.execute(
                "SELECT start_seq, epoch, seq FROM marks WHERE destination = ? AND lane = ?", key
            ).fetchone()
            if max(start_seq, newest) < seq:
                start_seq = seq
                self._db.execute(
                    "UPDATE marks SET start_seq = ? WHERE destination = ? AND lane = ?", (seq, *key)
                )
            aside = self._db.execute(
                "SELECT coalesce(max(last_seq), 0) FROM rejected WHERE destination = ?"
                " AND lane = ?",
                key,
            ).fetchone()[0]
        return Mark(start_seq, epoch, newest, aside)

    def pass_over(self, destination: str, lane: Lane, seq: int) -> None:
        """Everything up to ``seq`` was withheld without a stream: the destination starts behind it.

        Raises:
            LedgerError: nothing changed.
        """
        key = (destination, lane.name.lower())
        with self._access():
            self._db.execute(
                "INSERT INTO marks VALUES (?,?,?,0,0,'') ON CONFLICT DO UPDATE SET start_seq = ?",
                (*key, seq, seq),
            )
            self._db.execute("DELETE FROM unsettled WHERE destination = ? AND lane = ?", key)

    def entered(self, destination: str, lane: Lane) -> Entered:
        """What was entered last."""
        with self._access():
            found = self._db.execute(
                "SELECT seq, policy FROM marks WHERE destination = ? AND lane = ?",
                (destination, lane.name.lower()),
            ).fetchone()
        return Entered(*found) if found else Entered(0, "")

    def unsettled(self, destination: str, lane: Lane) -> list[Unsettled]:
        """Released and not acknowledged, in order."""
        with self._access():
            found = self._db.execute(
                "SELECT epoch, first_seq, last_seq, policy FROM unsettled WHERE destination = ?"
                " AND lane = ? ORDER BY epoch, first_seq",
                (destination, lane.name.lower()),
            ).fetchall()
        return [Unsettled(*row) for row in found]

    # -- releases ----------------------------------------------------------------------------

    def write(
        self,
        batches: Sequence[tuple[str, Released]],
        settled: Sequence[Settled] = (),
        rejected: Sequence[Rejected] = (),
    ) -> None:
        """Enter batches, and what became of earlier ones; durable on return.

        Args:
            batches: (destination, batch), none of which was entered before.
            settled: how far destinations have acknowledged.
            rejected: batches to set aside.
        """
        urgent = any(batch.lane is Lane.ALARMS for _, batch in batches)
        with self._access():
            try:
                self._write(batches, settled, rejected)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_FULL or not urgent:
                    raise
                # An alarm that can't be entered may not leave: what carries it has a claim on
                # the alarms' reserve, too.
                if not self._make_room():
                    raise
                self._write(batches, settled, rejected)

    def _write(
        self,
        batches: Sequence[tuple[str, Released]],
        settled: Sequence[Settled],
        rejected: Sequence[Rejected],
    ) -> None:
        now_us = self._clock.now_us()
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for each in settled:
                self._settle(each)
            for destination, batch in batches:
                self._enter(destination, batch, now_us)
            for refusal in rejected:
                self._set_aside(refusal, now_us)
            self._db.execute("COMMIT")
        except sqlite3.Error:
            self._growing.clear()
            if self._db.in_transaction:
                self._db.rollback()
            raise

    def _enter(self, destination: str, batch: Released, now_us: int) -> None:
        lane = batch.lane.name.lower()
        for key, (records, size) in batch.entries.items():
            kind = (destination, lane, *key, batch.policy_version)
            growing = self._growing.get(kind)
            first, last = batch.spans.get(key, (batch.first, batch.last))
            epoch = key.epoch or batch.epoch
            if (
                growing is not None
                and growing.epoch == epoch
                and growing.last_seq < batch.first
                and now_us - growing.begun_us < ENTRY_SPAN_US
            ):
                self._db.execute(
                    "UPDATE entries SET first_seq = min(first_seq, ?), last_seq = ?,"
                    " records = records + ?, bytes = bytes + ?, written_us = ? WHERE id = ?",
                    (first, last, records, size, now_us, growing.id),
                )
                self._growing[kind] = growing._replace(last_seq=last)
                continue
            label = key.label
            cursor = self._db.execute(
                "INSERT INTO entries (destination, lane, epoch, first_seq, last_seq, class, level,"
                " treatment, records, bytes, policy, collected_under, begun_us, written_us)"
                " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    destination,
                    lane,
                    epoch,
                    first,
                    last,
                    label.data_class.name.lower(),
                    label.level,
                    key.treatment.name.lower(),
                    records,
                    size,
                    batch.policy_version,
                    key.collected_under,
                    now_us,
                    now_us,
                ),
            )
            self._growing[kind] = _Growing(int(cursor.lastrowid or 0), epoch, last, now_us)
        self._db.execute(
            "INSERT INTO unsettled VALUES (?,?,?,?,?,?) ON CONFLICT DO NOTHING",
            (destination, lane, batch.epoch, batch.first, batch.last, batch.policy_version),
        )
        self._db.execute(
            "UPDATE marks SET policy = ? WHERE destination = ? AND lane = ?",
            (batch.policy_version, destination, lane),
        )
        self._db.execute(
            "UPDATE marks SET epoch = ?, seq = ? WHERE destination = ? AND lane = ?"
            " AND (epoch, seq) < (?, ?)",
            (batch.epoch, batch.last, destination, lane, batch.epoch, batch.last),
        )

    def _settle(self, settled: Settled) -> None:
        self._db.execute(
            "DELETE FROM unsettled WHERE destination = ? AND lane = ?"
            " AND (epoch, last_seq) <= (?, ?)",
            (settled.destination, settled.lane.name.lower(), settled.epoch, settled.seq),
        )

    def _set_aside(self, refusal: Rejected, now_us: int) -> None:
        batch = refusal.batch
        body = refusal.body
        if body is not None:
            kept = self._db.execute("SELECT coalesce(sum(length(body)), 0) FROM rejected")
            if kept.fetchone()[0] + len(body) > SET_ASIDE_BYTES_MAX:
                body = None
        self._db.execute(
            "INSERT INTO rejected (destination, lane, epoch, first_seq, last_seq, reason, policy,"
            " at_us, key_id, body) VALUES (?,?,?,?,?,?,?,?,?,?)",
            (
                refusal.destination,
                batch.lane.name.lower(),
                batch.epoch,
                batch.first,
                batch.last,
                refusal.reason,
                batch.policy_version,
                now_us,
                refusal.key_id if body is not None else None,
                body,
            ),
        )

    def compact(self, before_us: int) -> int:
        """Add up some entries that were begun before ``before_us``; how many went.

        Durable on return; see :mod:`gateway.uplink.days`.
        """
        with self._access():
            gone = days.fold(self._db, before_us)
            if gone:
                self._growing.clear()  # none may grow that is gone
        return gone

    def end_period(self, now_us: int) -> accounts.Period:
        """End the period that runs, so that the audit log can be told of it.

        Durable on return; one that was not marked as told is returned again.
        """
        with self._access():
            self._growing.clear()  # what is accounted for does not grow
            return accounts.begin(self._db, now_us)

    def untold_period(self) -> accounts.Period | None:
        """The period that was ended and not told, if there is one."""
        with self._access():
            return accounts.untold(self._db)

    def period_told(self, number: int) -> None:
        """The audit log has a period; durable on return."""
        with self._access():
            accounts.mark_told(self._db, number)

    def rejected_key_ids(self) -> set[str]:
        """The keys of which bodies of rejected batches are there."""
        with self._access():
            return {
                key_id
                for (key_id,) in self._db.execute(
                    "SELECT DISTINCT key_id FROM rejected WHERE key_id IS NOT NULL"
                )
            }

    def totals(self) -> Iterator[tuple[str, str, int]]:
        """Records by (destination, treatment) over the whole ledger."""
        with self._access():
            found = self._db.execute(
                "SELECT destination, treatment, sum(records) FROM releases"
                " GROUP BY destination, treatment ORDER BY destination, treatment"
            ).fetchall()
        yield from found

    @contextlib.contextmanager
    def _access(self) -> Iterator[None]:
        """One thread at a time; SQLite's errors become LedgerError."""
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                raise LedgerError(str(error)) from error
