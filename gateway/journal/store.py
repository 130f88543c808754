"""The journal's SQLite file: cursors, the state's checkpoint, epochs, known losses.

Rules:
- Nothing in it is the only copy of what was acknowledged to a device. A file that is missing
  or damaged is begun anew (the damaged one is kept beside it): state is replayed from the
  log, destinations are offered again what is still there.
- Values of the state are sealed like the log's bodies, bound to the log, their space and key.
  A key that is missing or wrong stops the opening. What an older key sealed is sealed anew with
  the next checkpoint, so that a key can be retired.
- ``synchronous=FULL``: a checkpoint that was reported as stored is durable, because retention
  deletes on the strength of it.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from gateway.domain.errors import ConfigError, SealBrokenError
from gateway.domain.labels import Lane
from gateway.journal.cursors import Cursors
from gateway.journal.state import State
from gateway.journal.types import Lost, Sealer

_log = logging.getLogger(__name__)
SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE cursor (destination TEXT, lane INTEGER, seq INTEGER NOT NULL,
                     PRIMARY KEY (destination, lane)) WITHOUT ROWID;
CREATE TABLE state (space TEXT, key TEXT, key_id TEXT NOT NULL, sealed BLOB NOT NULL,
                    PRIMARY KEY (space, key)) WITHOUT ROWID;
CREATE TABLE epoch (lane INTEGER, first_seq INTEGER, epoch INTEGER NOT NULL,
                    PRIMARY KEY (lane, first_seq)) WITHOUT ROWID;
CREATE TABLE lost (lane INTEGER, first_seq INTEGER, last_seq INTEGER NOT NULL,
                   reason TEXT NOT NULL, recorded INTEGER NOT NULL,
                   PRIMARY KEY (lane, first_seq)) WITHOUT ROWID;
CREATE TABLE applied (lane INTEGER PRIMARY KEY, commit_number INTEGER NOT NULL);
CREATE TABLE journal (one INTEGER PRIMARY KEY CHECK (one = 1), log_id BLOB NOT NULL);
"""


class KnownLoss(NamedTuple):
    """A lost range, and whether a Gap record says so already."""

    lane: Lane
    lost: Lost
    recorded: bool


class Store:
    """One connection, used by one thread at a time."""

    def __init__(self, path: str, stamp: int, sealer: Sealer) -> None:
        """Open or begin the file.

        Args:
            path: the database file.
            stamp: a number to name a damaged file with (the time).
            sealer: for the values of the state.

        Raises:
            ConfigError: the file is a newer release's.
            KeyMissingError, SealBrokenError: a key is missing, or not the one that sealed.
            OSError, sqlite3.Error: it can be neither opened nor begun anew.
        """
        self._lock = threading.Lock()
        self._sealer = sealer
        self._log_id = b""
        self._values: list[tuple[str, str, bytes]] = []
        self._stale: list[tuple[str, str]] = []
        self.fresh = not Path(path).exists()
        """True when nothing was there, or what was there had to be set aside."""
        try:
            self._db = self._open(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
                raise
            _log.error("the journal's SQLite file is damaged and begun anew: %s", error)
            for suffix in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    Path(path + suffix).rename(f"{path}.damaged-{stamp}{suffix}")
            self.fresh = True
            self._db = self._open(path)

    def _open(self, path: str) -> sqlite3.Connection:
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._check(db)
        except BaseException:
            db.close()
            raise
        return db

    def _check(self, db: sqlite3.Connection) -> None:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        (answer,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if answer != "ok":
            raise sqlite3.DatabaseError(answer)
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            db.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
        elif version != SCHEMA_VERSION:
            raise ConfigError(f"the journal's schema is of version {version}: a newer release's")
        row = db.execute("SELECT log_id FROM journal").fetchone()
        self._log_id = row[0] if row else b""
        self._unseal(db.execute("SELECT space, key, key_id, sealed FROM state").fetchall())

    def _unseal(self, rows: Sequence[tuple[str, str, str, bytes]]) -> None:
        present, _ = self._sealer.seal(b"", b"")
        broken: SealBrokenError | None = None
        self._values, self._stale = [], []
        for space, key, key_id, sealed in rows:
            try:
                value = self._sealer.open(key_id, sealed, self._aad(space, key))
            except SealBrokenError as error:
                broken = error
                continue
            self._values.append((space, key, value))
            if key_id != present:
                self._stale.append((space, key))
        if broken is not None and not self._values:
            raise broken
        if broken is not None:
            # Other values open, so the key is right and the row is not.
            raise sqlite3.DatabaseError("a value of the state was changed")

    def _aad(self, space: str, key: str) -> bytes:
        return b"\0".join((b"state", self._log_id, space.encode(), key.encode()))

    def cursors(self) -> Cursors:
        """The cursors as stored."""
        return Cursors(self._db.execute("SELECT destination, lane, seq FROM cursor").fetchall())

    def state(self) -> State:
        """The state as checkpointed."""
        commits = self._db.execute("SELECT lane, commit_number FROM applied").fetchall()
        values, self._values = self._values, []
        return State(values, dict(commits), self._stale)

    @property
    def log_id(self) -> bytes | None:
        """The log that the file belongs to; None for a new one."""
        return self._log_id or None

    def belongs_to(self, log_id: bytes) -> None:
        """Bind a new file to its log.

        Raises:
            ConfigError: the file is another log's.
        """
        if not self._log_id:
            self._db.execute("INSERT INTO journal VALUES (1, ?)", (log_id,))
            self._log_id = log_id
        elif self._log_id != log_id:
            raise ConfigError("the journal's state.sqlite belongs to another journal")

    def epochs(self, lane: Lane) -> list[tuple[int, int]]:
        """Where each epoch of a lane begins."""
        return self._db.execute(
            "SELECT first_seq, epoch FROM epoch WHERE lane = ? ORDER BY first_seq", (lane,)
        ).fetchall()

    def losses(self) -> list[KnownLoss]:
        """The lost ranges that were found so far."""
        rows = self._db.execute(
            "SELECT lane, first_seq, last_seq, reason, recorded FROM lost ORDER BY 1, 2"
        )
        return [
            KnownLoss(Lane(lane), Lost(first, last, reason), bool(recorded))
            for lane, first, last, reason, recorded in rows
        ]

    def flush(
        self,
        cursors: Cursors,
        state: State,
        epochs: Sequence[tuple[int, int, int]],
        losses: Sequence[KnownLoss],
    ) -> None:
        """Write everything that changed in one durable transaction.

        Raises:
            sqlite3.Error: nothing of it counts; the next flush writes it again.
        """
        with self._lock:
            checkpoint = state.checkpoint()
            try:
                self._db.execute("BEGIN IMMEDIATE")
                self._write_state(checkpoint.changes)
                self._replace("applied", list(checkpoint.commits.items()))
                self._replace("cursor", cursors.snapshot())
                self._replace("epoch", epochs)
                self._replace(
                    "lost",
                    [
                        (n.lane, n.lost.first, n.lost.last, n.lost.reason, n.recorded)
                        for n in losses
                    ],
                )
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                state.failed(checkpoint)
                cursors.dirty = True
                raise
            state.stored(checkpoint)

    def _write_state(self, changes: dict[tuple[str, str], bytes | None]) -> None:
        self._db.executemany(
            "DELETE FROM state WHERE space = ? AND key = ?",
            [name for name, value in changes.items() if value is None],
        )
        self._db.executemany(
            "INSERT OR REPLACE INTO state VALUES (?, ?, ?, ?)",
            [
                (*name, *self._sealer.seal(value, self._aad(*name)))
                for name, value in changes.items()
                if value is not None
            ],
        )

    def _replace(self, table: str, rows: Sequence[tuple[object, ...]]) -> None:
        # These tables have a handful of rows; writing them whole is simpler than differences.
        self._db.execute(f"DELETE FROM {table}")  # noqa: S608  # a name of ours
        if rows:
            marks = ", ".join("?" * len(rows[0]))
            self._db.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._db.close()
