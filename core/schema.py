"""The store's schema, in numbered steps.

Each ``migrations/NNNN.sql`` runs once, in its own transaction together with the number that it
brings the database to (``PRAGMA user_version``). A step that was released never changes.
"""

from __future__ import annotations

import logging
import sqlite3
from importlib import resources

from gateway.domain.errors import WardgateError

log = logging.getLogger(__name__)


class SchemaError(WardgateError):
    """The database was written by a newer version of this software."""

    reason = "schema"


def steps() -> list[tuple[int, str]]:
    """Every migration as (number, SQL), in order."""
    folder = resources.files("core") / "migrations"
    found = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(int(name.removesuffix(".sql")), (folder / name).read_text()) for name in found]


def newest_version() -> int:
    """The number of the schema that this software reads and writes."""
    return steps()[-1][0]


def migrate(db: sqlite3.Connection) -> int:
    """Bring ``db`` to the newest schema and return its number.

    Raises:
        SchemaError: the database is newer than this software.
        sqlite3.Error: a step failed; the database is as it was before that step.
    """
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    known = steps()
    newest = known[-1][0]
    if version > newest:
        raise SchemaError(f"the database has schema {version}, this software knows {newest}")
    for number, sql in known:
        if number > version:
            if version:
                log.info("carrying the store over from schema %d to %d", version, number)
            try:
                db.executescript(f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version={number};\nCOMMIT;")
            except sqlite3.Error:
                if db.in_transaction:
                    db.rollback()
                raise
    return newest
