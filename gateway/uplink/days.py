"""The ledger's old entries, summed by day.

An entry covers ten seconds at most, so that a gateway that is never idle writes 8,640 a day for
each destination and label, whatever its traffic: 11 MB with two destinations and three labels.
What is asked of them later, for months, is how much left, to whom, as what and under which
policy, first and last: days are fine enough for that. So entries older than a configured age are
added up by day, destination, lane, epoch, class, level, treatment and both policies.

Rules:

1. Nothing is lost: a period (:mod:`gateway.uplink.accounts`) is added up whole, in one transaction
   that also says up to which entry days tell (``folded_id``): what is still there of these says
   nothing any more, and is deleted SLICE_ROWS at a time, so that releases wait for milliseconds.
2. What the audit log has not been told of is not folded.
3. Days are never deleted: a row for each combination that occurred, about 100 bytes.
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

# A period that the audit log has.
_OLDEST = "SELECT number, last_id, until_us FROM periods WHERE number <= ? ORDER BY number LIMIT 1"
_FOLD = f"""
INSERT INTO days (day, destination, lane, epoch, class, level, treatment, policy, collected_under,
  entries, first_seq, last_seq, records, bytes, begun_us, written_us)
SELECT begun_us / {DAY_US}, destination, lane, epoch, class, level, treatment, policy,
  collected_under, count(*), min(first_seq), max(last_seq), sum(records), sum(bytes),
  min(begun_us), max(written_us)
FROM entries WHERE id > (SELECT folded_id FROM accounts) AND id <= ?
GROUP BY begun_us / {DAY_US}, destination, lane, epoch, class, level, treatment, policy,
  collected_under
ON CONFLICT DO UPDATE SET
  entries = entries + excluded.entries,
  first_seq = min(first_seq, excluded.first_seq),
  last_seq = max(last_seq, excluded.last_seq),
  records = records + excluded.records,
  bytes = bytes + excluded.bytes,
  begun_us = min(begun_us, excluded.begun_us),
  written_us = max(written_us, excluded.written_us)"""  # noqa: S608  # constants
# Never the newest, so that no id is given out twice.
_DELETE = (
    "DELETE FROM entries WHERE id IN (SELECT id FROM entries"
    " WHERE id <= (SELECT folded_id FROM accounts) AND id < (SELECT max(id) FROM entries)"
    " ORDER BY id LIMIT ?)"
)


def fold(db: sqlite3.Connection, told: int, before_us: int) -> int:
    """Add up the oldest period, or delete some of the entries that were added up.

    Durable on return.

    Args:
        db: the ledger.
        told: the last period that the audit log has.
        before_us: only a period that ended before.

    Returns:
        How much was done; 0 when there is nothing more to do.

    Raises:
        sqlite3.Error: nothing changed.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        done = db.execute(_DELETE, (SLICE_ROWS,)).rowcount or _fold_oldest(db, told, before_us)
        db.execute("COMMIT")
    except sqlite3.Error:
        if db.in_transaction:
            db.rollback()
        raise
    return done


def _fold_oldest(db: sqlite3.Connection, told: int, before_us: int) -> int:
    number, last_id, until_us = db.execute(_OLDEST, (told,)).fetchone() or (0, 0, before_us)
    if until_us >= before_us:
        return 0
    db.execute(_FOLD, (last_id,))
    db.execute("UPDATE accounts SET folded_id = max(folded_id, ?)", (last_id,))
    db.execute("DELETE FROM periods WHERE number = ?", (number,))
    return 1
