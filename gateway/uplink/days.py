"""The ledger's old entries, summed by day.

An entry covers ten seconds at most, so that a gateway that is never idle writes 8,640 a day for
each destination and label, whatever its traffic: 11 MB with two destinations and three labels.
What is asked of them later, for months, is how much left, to whom, as what and under which
policy, first and last: days are fine enough for that. So entries older than a configured age are
added up by day, destination, lane, epoch, class, level, treatment and both policies.

Rules:

1. Nothing is lost: records, bytes and entries are added up in the transaction that deletes them.
2. A slice folds SLICE_ROWS entries at most, so that releases wait for milliseconds.
3. What the audit log has not been told of is not folded (:mod:`gateway.uplink.accounts`).
4. Days are never deleted: a row for each combination that occurred, about 100 bytes.
"""

from __future__ import annotations

import sqlite3

SLICE_ROWS = 100
DAY_US = 86_400_000_000

SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE days (
  day INTEGER NOT NULL,          -- since 1970-01-01, UTC, of the entries' beginning
  destination TEXT NOT NULL,
  lane TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  class TEXT NOT NULL,
  level INTEGER NOT NULL,
  treatment TEXT NOT NULL,
  policy TEXT NOT NULL,
  collected_under TEXT NOT NULL,
  entries INTEGER NOT NULL,      -- how many were added up
  first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  records INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  begun_us INTEGER NOT NULL,
  written_us INTEGER NOT NULL,
  PRIMARY KEY (day, destination, lane, epoch, class, level, treatment, policy, collected_under)
) STRICT, WITHOUT ROWID;
CREATE INDEX entries_by_age ON entries (begun_us);
-- Everything that ever left or was withheld, whether or not it was added up already.
CREATE VIEW releases AS
SELECT begun_us / 86400000000 AS day, destination, lane, epoch, class, level, treatment, policy,
  collected_under, 1 AS entries, first_seq, last_seq, records, bytes, begun_us, written_us
FROM entries
UNION ALL
SELECT day, destination, lane, epoch, class, level, treatment, policy, collected_under, entries,
  first_seq, last_seq, records, bytes, begun_us, written_us
FROM days;
PRAGMA user_version = 2;
COMMIT;
"""

# What the audit log was told of alone; and never the newest, so that no id is given out twice.
_OLD = (
    "id IN (SELECT id FROM entries WHERE begun_us < ?"
    " AND id <= (SELECT CASE told WHEN 1 THEN last_id ELSE first_id - 1 END FROM accounts)"
    " AND id < (SELECT max(id) FROM entries) ORDER BY begun_us, id LIMIT ?)"
)
_FOLD = f"""
INSERT INTO days (day, destination, lane, epoch, class, level, treatment, policy, collected_under,
  entries, first_seq, last_seq, records, bytes, begun_us, written_us)
SELECT begun_us / 86400000000, destination, lane, epoch, class, level, treatment, policy,
  collected_under, count(*), min(first_seq), max(last_seq), sum(records), sum(bytes),
  min(begun_us), max(written_us)
FROM entries WHERE {_OLD}
GROUP BY begun_us / 86400000000, destination, lane, epoch, class, level, treatment, policy,
  collected_under
ON CONFLICT DO UPDATE SET
  entries = entries + excluded.entries,
  first_seq = min(first_seq, excluded.first_seq),
  last_seq = max(last_seq, excluded.last_seq),
  records = records + excluded.records,
  bytes = bytes + excluded.bytes,
  begun_us = min(begun_us, excluded.begun_us),
  written_us = max(written_us, excluded.written_us)"""  # noqa: S608  # constants
_DELETE = f"DELETE FROM entries WHERE {_OLD}"  # noqa: S608  # constants


def fold(db: sqlite3.Connection, before_us: int) -> int:
    """Add up one slice of what was begun before ``before_us``; how many entries went.

    Durable on return.

    Raises:
        sqlite3.Error: nothing changed.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        db.execute(_FOLD, (before_us, SLICE_ROWS))
        gone = db.execute(_DELETE, (before_us, SLICE_ROWS)).rowcount
        db.execute("COMMIT")
    except sqlite3.Error:
        if db.in_transaction:
            db.rollback()
        raise
    return gone
