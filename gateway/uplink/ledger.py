"""The ledger of releases: what left, for whom, in which shape, under which policy.

Rules:

1. An entry is durable before the first byte of its batch leaves (SQLite, WAL,
   ``synchronous=FULL``).
2. A batch that is sent again unchanged is no new release. The batches that were not yet
   acknowledged are remembered (``unsettled``), so that also after a restart a retransmission
   repeats their boundaries and makes no entry. Sent again under another policy it is a release of
   its own.
3. Entries grow for a while (:mod:`gateway.uplink.entering`): the ledger stays readable, and small.
4. Tables of policies are kept by version for ever: "the stricter of then and now" must survive a
   restart.
5. The audit log is told its sums, period by period (:mod:`gateway.uplink.accounts`), and digests of
   its rows (:mod:`gateway.uplink.statements`).

Batches are entered by one thread (:mod:`gateway.uplink.writer`); the rest may be called by any.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from gateway.domain.errors import WardgateError
from gateway.domain.labels import Lane, ReleaseRow
from gateway.domain.ports import Clock
from gateway.uplink import accounts, days, drift, kept, ledger_file, standing, statements
from gateway.uplink.entering import Entering, Rejected, Settled
from gateway.uplink.release import Released
from gateway.uplink.standing import Spell
from gateway.uplink.statements import Statement
from gateway.uplink.tally import Tally

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


class Ended(NamedTuple):
    """What the audit log is to be told."""

    period: accounts.Period | None
    statement: Statement | None

    def entries(self) -> list[tuple[str, dict[str, str | int]]]:
        """What the log is told, in order."""
        told = self.period.entries() if self.period is not None else []
        return told if self.statement is None else [*told, self.statement.entry()]


class Ledger:
    """Made by :meth:`open`; every method raises LedgerError when the disk refuses."""

    def __init__(self, db: sqlite3.Connection, clock: Clock, make_room: Callable[[], bool]) -> None:
        self._db = db
        self._clock = clock
        self._make_room = make_room
        self._lock = threading.Lock()
        self._entering = Entering(db)
        self._told = 0
        """The last statement of which it is known that the audit log has it."""
        self._days: tuple[int, str] | None = None
        """Up to which entry they tell, and their digest."""
        self._others = self._data_version()
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
                "INSERT INTO marks VALUES (?,?,?,0,0) ON CONFLICT DO NOTHING",
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
                "INSERT INTO marks VALUES (?,?,?,0,0) ON CONFLICT DO UPDATE SET start_seq = ?",
                (*key, seq, seq),
            )
            self._db.execute("DELETE FROM unsettled WHERE destination = ? AND lane = ?", key)

    def entered(self, destination: str, lane: Lane) -> int:
        """Everything up to it was entered."""
        with self._access():
            found = self._db.execute(
                "SELECT seq FROM marks WHERE destination = ? AND lane = ?",
                (destination, lane.name.lower()),
            ).fetchone()
        return int(found[0]) if found else 0

    def spells(self, destination: str, lane: Lane) -> list[Spell]:
        """Under what batches were entered, in order."""
        with self._access():
            return standing.spells(self._db, destination, lane.name.lower())

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
                self._entering.settle(each)
            for destination, batch in batches:
                self._entering.enter(destination, batch, now_us)
            for refusal in rejected:
                self._entering.set_aside(refusal, now_us)
            self._db.execute("COMMIT")
        except sqlite3.Error:
            self._entering.forget()
            if self._db.in_transaction:
                self._db.rollback()
            raise

    # -- what the audit log is told ------------------------------------------------------------

    def compact(self, before_us: int) -> int:
        """Add up a period that ended before ``before_us``; how much was done, 0: nothing is left.

        Durable on return; see :mod:`gateway.uplink.days`.
        """
        with self._access():
            number, *_, told = accounts.standing(self._db)
            return days.fold(self._db, number if told else number - 1, before_us)

    def untold(self) -> Ended | None:
        """What was ended, and of which it is not known that the log has it."""
        with self._access():
            period = accounts.untold(self._db)
            statement = statements.newest(self._db).statement
            missing = statement.number > max(self._told, 0)
            return Ended(period, statement if missing else None) if period or missing else None

    def end_period(self, now_us: int, *, final: bool = False) -> Ended:
        """End the period that runs, and state all rows; durable on return.

        To be called when nothing is untold. After a ``final`` one nothing may be written.
        """
        with self._access(), self._transaction():
            self._entering.seal()  # what is accounted for does not grow
            period = accounts.begin(self._db, now_us)
            stated = statements.fix(
                self._db, now_us, period.last_id, self._days_digest(), due=True, final=final
            )
        return Ended(period, stated.statement if stated else None)

    def state(self, now_us: int) -> Ended | None:
        """State the rows that grow no more, if any changed; durable on return."""
        with self._access(), self._transaction():
            last = self._entering.last_sealed(now_us)
            digest = self._days_digest()
            stated = statements.fix(self._db, now_us, last, digest, due=False, final=False)
        return Ended(None, stated.statement) if stated else None

    def told(self, ended: Ended) -> None:
        """The audit log has it; durable on return."""
        with self._access():
            if ended.period is not None:
                accounts.mark_told(self._db, ended.period.number)
            if ended.statement is not None:
                statements.forget_before(self._db, ended.statement.number)
                self._told = ended.statement.number

    def resume(self, told: Statement) -> list[str]:
        """At a start: what is not as the log was told last; the next statement follows that one."""
        with self._access(), self._transaction():
            found = list(drift.drift(self._db, told))
            if statements.resume(self._db, told):
                self._told = told.number
        return found

    def foreign_writes(self) -> bool:
        """Whether another connection has written to the file since this was asked last."""
        with self._access():
            before, self._others = self._others, self._data_version()
            return before != self._others

    def _data_version(self) -> int:
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def _days_digest(self) -> str:
        (folded_id,) = self._db.execute("SELECT folded_id FROM accounts").fetchone()
        if self._days is None or self._days[0] != folded_id:
            self._days = folded_id, statements.of_days(self._db)
        return self._days[1]

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
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except sqlite3.Error:
            if self._db.in_transaction:
                self._db.rollback()
            raise

    @contextlib.contextmanager
    def _access(self) -> Iterator[None]:
        """One thread at a time; SQLite's errors become LedgerError."""
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                raise LedgerError(str(error)) from error
