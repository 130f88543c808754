"""What the ledger states, row for row, as digests that the audit log is told.

Sums (:mod:`gateway.uplink.accounts`) say how much left; they do not say which entry had which time,
or where a destination stands. So, beside them:

1. A statement is made a minute after the last one at the latest, if anything changed, and at the
   end of each period. Statement n + 1 covers the entries and the batches set aside that follow
   those of statement n: SHA-256 over all their columns. Entries that may still grow wait for the
   next; at a period's end none grows.
2. Rows that change while the gateway runs (marks, batches in flight, policies, days) are digested
   as they stand. The ledger keeps that state as a text, until the log has the next statement, so
   that each row can be compared with what was told of it.
3. One made when the gateway stops is final: from then on nothing at all may change.
4. A statement is fixed in the ledger, then told and synced in the log. The next one is made only
   when the log has it; after a start the last one is told again.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from gateway.uplink.days import DAY_US
from security.audit import AuditBrokenError
from security.audit.checking import Step
from security.audit.form import files_of, read_line

EVENT = "ledger"
FILES_SEARCHED_MAX = 16
"""Of a log, for its last statement; one is made every hour at least."""

SCHEMA = f"""
BEGIN IMMEDIATE;
-- What the audit log was told of the rows, or is about to be (gateway/uplink/statements.py).
CREATE TABLE statements (
  number INTEGER PRIMARY KEY,
  at_us INTEGER NOT NULL,
  first_id INTEGER NOT NULL,         -- of `entries`
  last_id INTEGER NOT NULL,
  entries TEXT NOT NULL,
  first_rejected INTEGER NOT NULL,   -- of `rejected`
  last_rejected INTEGER NOT NULL,
  rejected TEXT NOT NULL,
  folded_id INTEGER NOT NULL,
  days TEXT NOT NULL,
  final INTEGER NOT NULL,
  state TEXT NOT NULL
) STRICT;
INSERT INTO statements SELECT 0, 0, 1, last_id, '', 1, 0, '', 0, '', 0, '' FROM accounts;
-- Periods that were not folded into days yet.
CREATE TABLE periods (
  number INTEGER PRIMARY KEY,
  last_id INTEGER NOT NULL,          -- of `entries`
  until_us INTEGER NOT NULL
) STRICT;
INSERT INTO periods SELECT number, last_id, until_us FROM accounts WHERE number > 0;
-- Entries up to it are in `days`; those that are still there say nothing any more.
ALTER TABLE accounts ADD COLUMN folded_id INTEGER NOT NULL DEFAULT 0;
-- Under what the batches of a lane were entered (gateway/uplink/standing.py).
CREATE TABLE spells (
  destination TEXT NOT NULL,
  lane TEXT NOT NULL,
  after_seq INTEGER NOT NULL,
  policy TEXT NOT NULL,
  window_s INTEGER NOT NULL,
  PRIMARY KEY (destination, lane, after_seq)
) STRICT, WITHOUT ROWID;
INSERT INTO spells SELECT destination, lane, 0, policy, 0 FROM marks WHERE policy != '';
ALTER TABLE marks DROP COLUMN policy;
DROP VIEW releases;
CREATE VIEW releases AS
SELECT begun_us / {DAY_US} AS day, destination, lane, epoch, class, level, treatment, policy,
  collected_under, 1 AS entries, first_seq, last_seq, records, bytes, begun_us, written_us
FROM entries WHERE id > (SELECT folded_id FROM accounts)
UNION ALL
SELECT day, destination, lane, epoch, class, level, treatment, policy, collected_under, entries,
  first_seq, last_seq, records, bytes, begun_us, written_us
FROM days;
PRAGMA user_version = 6;
COMMIT;
"""  # noqa: S608  # constants

_COLUMNS = (
    "number, at_us, first_id, last_id, entries, first_rejected, last_rejected, rejected, folded_id,"
    " days, final, state"
)
_INSERT = f"INSERT INTO statements ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"  # noqa: S608  # constants


class Statement(NamedTuple):
    """One of them, as the log is told; digests in hexadecimal, empty where there is no row."""

    number: int
    at_us: int
    first_id: int
    last_id: int
    entries: str
    first_rejected: int
    last_rejected: int
    rejected: str
    folded_id: int
    """Entries up to it had been added up by day."""
    days: str
    final: int
    """1: the gateway stopped."""
    state: str
    """Of the text that the ledger keeps."""

    def entry(self) -> tuple[str, dict[str, str | int]]:
        """What the log is told."""
        return EVENT, self._asdict()

    def follows(self, before: Statement) -> bool:
        """Whether it is the one behind another."""
        return (self.number, self.first_id, self.first_rejected) == (
            before.number + 1,
            before.last_id + 1,
            before.last_rejected + 1,
        )


class State(msgspec.Struct, frozen=True):
    """What may change while the gateway runs, row by row."""

    marks: list[list[Any]]
    spells: list[list[Any]]
    unsettled: list[list[Any]]
    policies: list[tuple[str, str, str]]
    """Version, and the digests of what never changes, and of what explains it."""


class Fixed(NamedTuple):
    """A statement, and the text of its state."""

    statement: Statement
    text: str


def digest(rows: Iterable[tuple[Any, ...]]) -> str:
    """SHA-256 over all columns of some rows, in hexadecimal; empty for no rows."""
    hashed, none = hashlib.sha256(b"wardgate ledger rows 1\n"), True
    encode = msgspec.json.Encoder().encode
    for row in rows:
        hashed.update(encode(row) + b"\n")
        none = False
    return "" if none else hashed.hexdigest()


def of_entries(db: sqlite3.Connection, first: int, last: int) -> str:
    """The digest of some entries."""
    return digest(
        db.execute("SELECT * FROM entries WHERE id BETWEEN ? AND ? ORDER BY id", (first, last))
    )


def of_rejected(db: sqlite3.Connection, first: int, last: int) -> str:
    """The digest of some batches that were set aside."""
    found = db.execute("SELECT * FROM rejected WHERE id BETWEEN ? AND ? ORDER BY id", (first, last))
    return digest(found)


def of_days(db: sqlite3.Connection) -> str:
    """The digest of all days."""
    return digest(
        db.execute(
            "SELECT * FROM days ORDER BY day, destination, lane, epoch, class, level, treatment,"
            " policy, collected_under"
        )
    )


def state(db: sqlite3.Connection) -> State:
    """What stands now."""
    marks = db.execute("SELECT * FROM marks ORDER BY destination, lane").fetchall()
    spells = db.execute("SELECT * FROM spells ORDER BY destination, lane, after_seq").fetchall()
    unsettled = db.execute(
        "SELECT * FROM unsettled ORDER BY destination, lane, epoch, first_seq, last_seq, policy"
    ).fetchall()
    policies = [
        (version, digest([(version, rows, used_us)]), digest([(why,)]) if why else "")
        for version, rows, used_us, why in db.execute(
            "SELECT version, rows, first_used_us, why FROM policies ORDER BY version"
        )
    ]
    return State(
        [list(row) for row in marks],
        [list(row) for row in spells],
        [list(row) for row in unsettled],
        policies,
    )


def fix(
    db: sqlite3.Connection, now_us: int, last_id: int, days: str, *, due: bool, final: bool
) -> Fixed | None:
    """Make the next statement, in the caller's transaction; None when nothing changed.

    Args:
        db: the ledger.
        now_us: wall time.
        last_id: entries up to it grow no more.
        days: the digest of the days.
        due: make it though nothing changed.
        final: nothing will be written any more.

    Raises:
        sqlite3.Error: nothing changed.
    """
    before, text_before = newest(db)
    last_id = max(last_id, before.last_id)
    last_rejected = db.execute("SELECT max(id) FROM rejected").fetchone()[0] or 0
    last_rejected = max(last_rejected, before.last_rejected)
    (folded_id,) = db.execute("SELECT folded_id FROM accounts").fetchone()
    text = msgspec.json.encode(state(db)).decode()
    place = (last_id, last_rejected, folded_id, text)
    if not due and place == (
        before.last_id,
        before.last_rejected,
        before.folded_id,
        text_before,
    ):
        return None
    first_id, first_rejected = before.last_id + 1, before.last_rejected + 1
    statement = Statement(
        before.number + 1,
        now_us,
        first_id,
        last_id,
        of_entries(db, first_id, last_id),
        first_rejected,
        last_rejected,
        of_rejected(db, first_rejected, last_rejected),
        folded_id,
        days,
        int(final),
        _of_text(text),
    )
    db.execute(_INSERT, (*statement[:-1], text))
    return Fixed(statement, text)


def forget_before(db: sqlite3.Connection, number: int) -> None:
    """The log has a statement: those before it are not needed any more.

    Raises:
        sqlite3.Error: nothing changed.
    """
    db.execute("DELETE FROM statements WHERE number < ?", (number,))


def resume(db: sqlite3.Connection, told: Statement) -> bool:
    """At a start: go on from what the log was told last; whether the last one is told already.

    A last one that can't follow it was made by another hand, or is that of another time: the next
    one follows the log.

    Raises:
        sqlite3.Error: nothing changed.
    """
    mine = newest(db).statement
    if mine.follows(told):
        return False
    if mine != told:
        db.execute("DELETE FROM statements")
        db.execute(_INSERT, (*told[:-1], ""))
    return True


def newest(db: sqlite3.Connection) -> Fixed:
    """The last one that was fixed; number 0 before the first."""
    return fixed(db)[0]


def fixed(db: sqlite3.Connection) -> list[Fixed]:
    """Those that are kept, the newest first."""
    found = db.execute(f"SELECT {_COLUMNS} FROM statements ORDER BY number DESC").fetchall()  # noqa: S608  # constants
    return [Fixed(Statement._make((*row[:-1], _of_text(row[-1]))), row[-1]) for row in found]


def _of_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# -- reading them back -----------------------------------------------------------------------------

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def read(body: bytes) -> Statement:
    """One, from the entry that tells it."""
    row = _decode(body)
    return Statement._make(row[name] for name in Statement._fields)


class Chain:
    """Takes the entries of a log; a statement that does not follow the one before is found."""

    def __init__(self) -> None:
        self._before: Statement | None = None

    def take(self, step: Step) -> Statement | None:
        """The statement of an entry, if it tells a new one.

        Raises:
            AuditBrokenError: one is missing, or is not what follows the one before.
        """
        if step.entry.event != EVENT:
            return None
        told, before = read(step.body), self._before
        if told == before:
            return None
        if before is not None and not told.follows(before):
            raise AuditBrokenError(
                f"entry {step.entry.n}: statement {told.number} does not follow {before.number}"
            )
        self._before = told
        return told


def last_told(directory: Path) -> Statement | None:
    """The last one of a log, which may be written meanwhile; trusts its files.

    None: there is none in its newest files.

    Raises:
        OSError: they can't be read.
    """
    mark = f'"event":"{EVENT}"'.encode()
    for path in files_of(directory)[: -FILES_SEARCHED_MAX - 1 : -1]:
        with path.open("rb") as lines:
            found = _last(line for line in lines if mark in line)
        if found is not None:
            return found
    return None


def _last(lines: Iterator[bytes]) -> Statement | None:
    found = None
    for line in lines:
        try:
            body, entry = read_line(line, "")
            found = read(body) if entry.event == EVENT else found
        except (AuditBrokenError, KeyError):
            continue  # its end is being written
    return found
