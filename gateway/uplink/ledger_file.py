"""The ledger's file: its tables, and how a policy's table stands in it.

A file gets the schemas that it lacks, one after the other: a new one all of them, one of before
those that came later.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

import msgspec

from gateway.domain.labels import DataClass, Label, ReleaseRow, Treatment
from gateway.uplink import accounts, days

SCHEMA_VERSION = 4
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
POLICY_OF_MARK = """
BEGIN IMMEDIATE;
-- Under which the newest batch was entered; empty: not known.
ALTER TABLE marks ADD COLUMN policy TEXT NOT NULL DEFAULT '';
PRAGMA user_version = 4;
COMMIT;
"""


def prepare(db: sqlite3.Connection) -> int:
    """Set the connection up, make the schema in a new file, and return its number."""
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("PRAGMA busy_timeout=5000")
    select = "PRAGMA user_version"
    for number, script in enumerate((SCHEMA, days.SCHEMA, accounts.SCHEMA, POLICY_OF_MARK)):
        if db.execute(select).fetchone()[0] == number:
            db.executescript(script)
    return int(db.execute(select).fetchone()[0])


def pack(rows: Mapping[str, ReleaseRow]) -> str:
    """A policy's table as it is kept."""
    plain = {
        name: {f"{int(label.data_class)}/{label.level}": int(t) for label, t in row.items()}
        for name, row in rows.items()
    }
    return msgspec.json.encode(plain).decode()


def unpack(packed: str) -> dict[str, ReleaseRow]:
    """The same again."""
    plain = msgspec.json.decode(packed, type=dict[str, dict[str, int]])
    rows: dict[str, ReleaseRow] = {}
    for name, row in plain.items():
        rows[name] = {}
        for cell, treatment in row.items():
            data_class, _, level = cell.partition("/")
            rows[name][Label(DataClass(int(data_class)), int(level))] = Treatment(treatment)
    return rows
