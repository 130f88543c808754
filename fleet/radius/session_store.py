"""Sessions of SMFs and how far their log was read, in the fleet's store; on the store's thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from fleet.radius.log import Mark
from fleet.radius.sessions import Changes, Session

_COLUMNS = ", ".join(Session._fields)
_PLACES = ", ".join("?" * len(Session._fields))


def sessions(db: sqlite3.Connection) -> list[Session]:
    """All that are known, the one heard of last at the end."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM radius_sessions ORDER BY number")  # noqa: S608  # our own names
    return [Session(*row) for row in rows]


def mark(db: sqlite3.Connection) -> Mark | None:
    """How far the log was read; None: it never was."""
    row = db.execute("SELECT inode, offset, head FROM radius_log").fetchone()
    return Mark(*row) if row else None


def put_changes(db: sqlite3.Connection, changes: Changes) -> None:
    """Note what has changed, within a transaction."""
    db.executemany("DELETE FROM radius_sessions WHERE client=? AND session_id=?", changes.gone)
    _insert(db, changes.put)


def put_all(db: sqlite3.Connection, known: Iterable[Session]) -> None:
    """Replace everything, within a transaction."""
    db.execute("DELETE FROM radius_sessions")
    _insert(db, known)


def put_mark(db: sqlite3.Connection, read: Mark) -> None:
    """Note how far the log was read, within a transaction."""
    db.execute("INSERT OR REPLACE INTO radius_log VALUES (1, ?, ?, ?)", read)


def _insert(db: sqlite3.Connection, known: Iterable[Session]) -> None:
    db.executemany(
        f"INSERT OR REPLACE INTO radius_sessions ({_COLUMNS}) VALUES ({_PLACES})",  # noqa: S608  # our own names
        known,
    )
