"""The ledger's file: its tables.

A file gets the schemas that it lacks, one after the other: a new one all of them, one of before
those that came later.
"""

from __future__ import annotations

import contextlib
import functools
import sqlite3

from gateway.uplink import accounts, days, statements

SCHEMA_VERSION = 6
SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE entries (
  id INTEGER PRIMARY KEY,
  destination TEXT NOT NULL,
  lane TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  class TEXT NOT NULL,
  level INTEGER NOT NULL,
  treatment TEXT NOT NULL,
  records INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  policy TEXT NOT NULL,
  collected_under TEXT NOT NULL,
  begun_us INTEGER NOT NULL,
  written_us INTEGER NOT NULL
) STRICT;
CREATE INDEX entries_by_destination ON entries (destination, lane, epoch, first_seq);
CREATE TABLE unsettled (
  destination TEXT NOT NULL,
  lane TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  policy TEXT NOT NULL,
  PRIMARY KEY (destination, lane, epoch, first_seq, last_seq, policy)
) STRICT, WITHOUT ROWID;
CREATE TABLE marks (
  destination TEXT NOT NULL,
  lane TEXT NOT NULL,
  start_seq INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY (destination, lane)
) STRICT, WITHOUT ROWID;
CREATE TABLE policies (
  version TEXT PRIMARY KEY,
  rows TEXT NOT NULL,
  first_used_us INTEGER NOT NULL
) STRICT;
CREATE TABLE rejected (
  id INTEGER PRIMARY KEY,
  destination TEXT NOT NULL,
  lane TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  reason TEXT NOT NULL,
  policy TEXT NOT NULL,
  at_us INTEGER NOT NULL,
  key_id TEXT,
  body BLOB
) STRICT;
PRAGMA user_version = 1;
COMMIT;
"""
KEPT = """
BEGIN IMMEDIATE;
-- Which rules decided, and who the destinations are (gateway/uplink/kept.py).
ALTER TABLE policies ADD COLUMN why TEXT NOT NULL DEFAULT '';
PRAGMA user_version = 4;
COMMIT;
"""


POLICY_OF_MARK = """
BEGIN IMMEDIATE;
-- Under which the newest batch was entered; empty: not known.
ALTER TABLE marks ADD COLUMN policy TEXT NOT NULL DEFAULT '';
PRAGMA user_version = 5;
COMMIT;
"""


def prepare(db: sqlite3.Connection) -> int:
    """Set the connection up, make the schema in a new file, and return its number."""
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("PRAGMA busy_timeout=5000")
    select = "PRAGMA user_version"
    steps = (SCHEMA, days.SCHEMA, accounts.SCHEMA, KEPT, POLICY_OF_MARK, statements.SCHEMA)
    for number, script in enumerate(steps):
        if db.execute(select).fetchone()[0] == number:
            db.executescript(script)
    return int(db.execute(select).fetchone()[0])


@functools.cache
def said() -> dict[str, str]:
    """Tables, indices and views as this software makes them: name -> SQL."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        prepare(db)
        return schema(db)


def schema(db: sqlite3.Connection) -> dict[str, str]:
    """Those of a file."""
    found = db.execute("SELECT type || ' ' || name, tbl_name || ' ' || sql FROM sqlite_master")
    return {name: sql or "" for name, sql in found}
