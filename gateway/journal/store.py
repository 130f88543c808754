"""The journal's SQLite file: cursors, the state's checkpoint, epochs, known losses.

Rules:
- Nothing in it is the only copy of what was acknowledged to a device. A file that is missing
  or damaged is begun anew (the damaged one is kept beside it): state is replayed from the
  log, destinations are offered again what is still there.
- The state is sealed like the log's bodies, names (which may be a device's) and values together,
  each row bound to the log and its number. A key that is missing or wrong stops the opening. What
  an older key sealed is sealed anew with the next checkpoint, so that a key can be retired.
- ``synchronous=FULL``: a checkpoint that was reported as stored is durable, because retention
  deletes on the strength of it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from gateway.domain.errors import ConfigError, KeyErasedError, SealBrokenError
from gateway.domain.labels import Lane
from gateway.journal.cursors import Cursors
from gateway.journal.state import State
from gateway.journal.types import Lost, Sealer

_log = logging.getLogger(__name__)
SCHEMA_VERSION = 2
FILE_MODE = 0o600
_STATE = """
CREATE TABLE state (id INTEGER PRIMARY KEY, key_id TEXT NOT NULL, sealed BLOB NOT NULL);
"""
_SCHEMA = f"""
CREATE TABLE cursor (destination TEXT, lane INTEGER, seq INTEGER NOT NULL,
                     PRIMARY KEY (destination, lane)) WITHOUT ROWID;
{_STATE}
CREATE TABLE epoch (lane INTEGER, first_seq INTEGER, epoch INTEGER NOT NULL,
                    PRIMARY KEY (lane, first_seq)) WITHOUT ROWID;
CREATE TABLE lost (lane INTEGER, first_seq INTEGER, last_seq INTEGER NOT NULL,
                   reason TEXT NOT NULL, recorded INTEGER NOT NULL,
                   PRIMARY KEY (lane, first_seq)) WITHOUT ROWID;
CREATE TABLE applied (lane INTEGER PRIMARY KEY, commit_number INTEGER NOT NULL);
CREATE TABLE journal (one INTEGER PRIMARY KEY CHECK (one = 1), log_id BLOB NOT NULL);
"""


class _Value(msgspec.Struct, array_like=True):
    """What a row of the state seals."""

    space: str
    key: str
    value: bytes


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
        self._rows: dict[tuple[str, str], int] = {}
        """Which row holds which name: the file can't be asked, since it does not show names."""
        self._next_row = 1
        self.erased = False
        """True when the key of a part of the state was destroyed: that part is gone."""
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
        # SQLite gives its other files the mode of this one. Earlier releases made it readable.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        os.close(descriptor)
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                Path(path + suffix).chmod(FILE_MODE)
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
            self.fresh = True  # the power may have left a name without content
            db.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
        elif version > SCHEMA_VERSION:
            raise ConfigError(f"the journal's schema is of version {version}: a newer release's")
        row = db.execute("SELECT log_id FROM journal").fetchone()
        self._log_id = row[0] if row else b""
        self._rows, self._next_row = {}, 1
        if version == 1:
            self._unseal(self._open_version_1(db))
            self._convert(db)
        else:
            self._unseal(self._open_rows(db))

    def _open_rows(self, db: sqlite3.Connection) -> Iterator[tuple[str, _Value | SealBrokenError]]:
        """Each row's key id and content; those go whose key was destroyed."""
        for row, key_id, sealed in db.execute("SELECT id, key_id, sealed FROM state").fetchall():
            try:
                plain = self._sealer.open(key_id, sealed, self._aad(row))
            except SealBrokenError as error:
                yield key_id, error
                continue
            except KeyErasedError:
                db.execute("DELETE FROM state WHERE id = ?", (row,))
                self.erased = True
                continue
            value = msgspec.msgpack.decode(plain, type=_Value)
            self._rows[value.space, value.key] = row
            self._next_row = max(self._next_row, row + 1)
            yield key_id, value

    def _open_version_1(
        self, db: sqlite3.Connection
    ) -> Iterator[tuple[str, _Value | SealBrokenError]]:
        """As :meth:`_open_rows`, for a file in which only the values were sealed."""
        for space, key, key_id, sealed in db.execute("SELECT * FROM state"):
            aad = b"\0".join((b"state", self._log_id, space.encode(), key.encode()))
            try:
                yield key_id, _Value(space, key, self._sealer.open(key_id, sealed, aad))
            except SealBrokenError as error:
                yield key_id, error

    def _convert(self, db: sqlite3.Connection) -> None:
        """Write the state anew, and overwrite the names that stood in the file."""
        _log.info("the journal's SQLite file is converted to version %d", SCHEMA_VERSION)
        db.execute("PRAGMA secure_delete=ON")
        db.execute("BEGIN IMMEDIATE")
        db.execute("DROP TABLE state")
        db.execute(_STATE)
        for space, key, value in self._values:
            self._rows[space, key] = self._write_row(db, space, key, value)
        db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._stale = []

    def _unseal(self, rows: Iterator[tuple[str, _Value | SealBrokenError]]) -> None:
        present, _ = self._sealer.seal(b"", b"")
        broken: SealBrokenError | None = None
        self._values, self._stale = [], []
        for key_id, found in rows:
            if isinstance(found, SealBrokenError):
                broken = found
                continue
            self._values.append((found.space, found.key, found.value))
            if key_id != present:
                self._stale.append((found.space, found.key))
        if broken is not None and not self._values:
            raise broken
        if broken is not None:
            # Other values open, so the key is right and the row is not.
            raise sqlite3.DatabaseError("a value of the state was changed")

    def _aad(self, row: int) -> bytes:
        return b"state\0" + self._log_id + row.to_bytes(8, "big")

    def key_ids(self) -> set[str]:
        """The keys that sealed what is stored."""
        with self._lock:
            return {key_id for (key_id,) in self._db.execute("SELECT DISTINCT key_id FROM state")}

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
                rows = self._write_state(checkpoint.changes)
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
            self._rows = rows
            state.stored(checkpoint)

    def _write_state(
        self, changes: dict[tuple[str, str], bytes | None]
    ) -> dict[tuple[str, str], int]:
        """Write changes; returns where all names are once the transaction stands."""
        rows = dict(self._rows)
        for (space, key), value in changes.items():
            if value is None:
                self._db.execute("DELETE FROM state WHERE id = ?", (rows.pop((space, key), None),))
            else:
                row = rows.get((space, key))
                rows[space, key] = self._write_row(self._db, space, key, value, row)
        return rows

    def _write_row(
        self, db: sqlite3.Connection, space: str, key: str, value: bytes, row: int | None = None
    ) -> int:
        if row is None:
            row = self._next_row
            self._next_row += 1
        plain = msgspec.msgpack.encode(_Value(space, key, value))
        sealed = self._sealer.seal(plain, self._aad(row))
        db.execute("INSERT OR REPLACE INTO state VALUES (?, ?, ?)", (row, *sealed))
        return row

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
