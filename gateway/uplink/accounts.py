"""The ledger's account to the audit log: what was released in each period, without gaps.

Whoever holds the gateway's disk can write another ledger; not another audit log, whose heads are
kept elsewhere. So sums of the ledger go into the log, and a ledger that says something else is
found.

Rules:

1. A period is a range of the ledger's entries by their ids, which only grow: period n + 1 begins
   with the entry, and at the time, that period n ended with. An entry does not grow any more once
   its period has ended. What clocks do is no matter.
2. A period ends with the hour, when the policy changes, and when the gateway stops or starts.
3. In the log it is a ``released`` entry for each row of the ledger's days that it adds to
   (:mod:`gateway.uplink.days`), and then a ``release_period``, also when nothing left. The first
   one has what the ledger held before.
4. A period is fixed in the ledger, then told and synced in the log, then marked as told. A crash in
   between tells it again, the same; readers take a period that is repeated once.
5. Entries are folded into days only when the log has them, period by period.

Single rows, and what is no sum, are :mod:`gateway.uplink.statements`' matter.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from gateway.uplink.days import DAY_US
from security.audit import AuditBrokenError
from security.audit.checking import Step

RELEASED, PERIOD = "released", "release_period"

SCHEMA = """
BEGIN IMMEDIATE;
-- The period that was told to the audit log last, or is about to be: one row.
CREATE TABLE accounts (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  number INTEGER NOT NULL,
  first_id INTEGER NOT NULL,     -- of `entries`
  last_id INTEGER NOT NULL,
  from_us INTEGER NOT NULL,
  until_us INTEGER NOT NULL,
  told INTEGER NOT NULL
) STRICT;
INSERT INTO accounts VALUES (1, 0, 1, 0, 0, 0, 1);
PRAGMA user_version = 3;
COMMIT;
"""

COLUMNS = (
    "day",
    "destination",
    "lane",
    "epoch",
    "class",
    "level",
    "treatment",
    "policy",
    "collected_under",
)
_SUMS = ("entries", "records", "bytes", "first_seq", "last_seq", "first_us", "last_us")
_ROWS = (
    f"SELECT {', '.join(COLUMNS[1:])}, {{day}} AS day, {{count}}, sum(records), sum(bytes),"  # noqa: S608  # constants
    " min(first_seq), max(last_seq), min(begun_us), max(written_us) FROM {table} GROUP BY {day}, "
    + ", ".join(COLUMNS[1:])
)
_OF_ENTRIES = _ROWS.format(
    day=f"begun_us / {DAY_US}", count="count(*)", table="entries WHERE id BETWEEN ? AND ?"
)
_OF_DAYS = _ROWS.format(day="day", count="sum(entries)", table="days")

Key = tuple[Any, ...]
"""The values of COLUMNS."""


class Sum(NamedTuple):
    """What was released under one key."""

    entries: int
    records: int
    bytes: int
    first_seq: int
    last_seq: int
    first_us: int
    """When the first of it was entered, just before it left."""
    last_us: int

    def plus(self, other: Sum) -> Sum:
        """Both together."""
        return Sum(
            self.entries + other.entries,
            self.records + other.records,
            self.bytes + other.bytes,
            min(self.first_seq, other.first_seq),
            max(self.last_seq, other.last_seq),
            min(self.first_us, other.first_us),
            max(self.last_us, other.last_us),
        )


Sums = dict[Key, Sum]


class Period(NamedTuple):
    """One account."""

    number: int
    first_id: int
    last_id: int
    from_us: int
    until_us: int
    sums: Sums

    def entries(self) -> list[tuple[str, dict[str, str | int]]]:
        """What the log is told, in order."""
        told: list[tuple[str, dict[str, str | int]]] = []
        for key, sums in sorted(self.sums.items()):
            named = zip((*COLUMNS, *_SUMS), (*key, *sums), strict=True)
            told.append((RELEASED, {"period": self.number, **dict(named)}))
        told.append((PERIOD, {"period": self.number, **self._range(), "rows": len(self.sums)}))
        return told

    def _range(self) -> dict[str, int]:
        return {
            "from_us": self.from_us,
            "until_us": self.until_us,
            "first_id": self.first_id,
            "last_id": self.last_id,
        }


def begin(db: sqlite3.Connection, now_us: int) -> Period:
    """End the period that runs, in the caller's transaction.

    One that was ended and not told is returned again.

    Raises:
        sqlite3.Error: nothing changed.
    """
    number, first, last, from_us, until_us, told = standing(db)
    if told:
        newest = db.execute("SELECT max(id) FROM entries").fetchone()[0] or 0
        number, first, last = number + 1, last + 1, max(last, newest)
        from_us, until_us = until_us or now_us, max(until_us, now_us)
        db.execute(
            "UPDATE accounts SET number = ?, first_id = ?, last_id = ?, from_us = ?, until_us = ?,"
            " told = 0",
            (number, first, last, from_us, until_us),
        )
        db.execute("INSERT INTO periods VALUES (?,?,?)", (number, last, until_us))
    return _period(db, number, first, last, from_us, until_us)


def untold(db: sqlite3.Connection) -> Period | None:
    """The period that was ended and not marked as told, if there is one.

    Raises:
        sqlite3.Error: the ledger can't be read.
    """
    number, first, last, from_us, until_us, told = standing(db)
    return None if told else _period(db, number, first, last, from_us, until_us)


def _period(  # a row of the table
    db: sqlite3.Connection, number: int, first: int, last: int, from_us: int, until_us: int
) -> Period:
    sums = _summed(db.execute(_OF_ENTRIES, (first, last)))
    if number == 1:  # nothing is folded yet that was not before there were periods
        sums = added(sums, _summed(db.execute(_OF_DAYS)))
    return Period(number, first, last, from_us, until_us, sums)


def mark_told(db: sqlite3.Connection, number: int) -> None:
    """The log has it.

    Raises:
        sqlite3.Error: nothing changed; it will be told again.
    """
    db.execute("UPDATE accounts SET told = 1 WHERE number = ?", (number,))


def standing(db: sqlite3.Connection) -> tuple[int, int, int, int, int, int]:
    """The last period: number, first and last entry, from and until, whether it was told."""
    found: tuple[int, int, int, int, int, int] = db.execute(
        "SELECT number, first_id, last_id, from_us, until_us, told FROM accounts"
    ).fetchone()
    return found


def _summed(rows: Iterable[tuple[Any, ...]]) -> Sums:
    width = len(COLUMNS)
    return {(row[width - 1], *row[: width - 1]): Sum(*row[width:]) for row in rows}


def added(first: Mapping[Key, Sum], second: Mapping[Key, Sum]) -> Sums:
    """Both, key by key."""
    both = dict(first)
    for key, sums in second.items():
        both[key] = both[key].plus(sums) if key in both else sums
    return both


# -- reading them back -----------------------------------------------------------------------------


def told(steps: Iterable[Step]) -> Iterator[Period]:
    """The periods that an audit log tells, in order; to be given every entry of a walk.

    Raises:
        AuditBrokenError: a period is missing, or is not what follows the one before.
    """
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    before: Period | None = None
    sums: Sums = {}
    for step in steps:
        if step.entry.event == RELEASED:
            row = decode(step.body)
            sums[tuple(row[name] for name in COLUMNS)] = Sum(*(row[name] for name in _SUMS))
        elif step.entry.event == PERIOD:
            row = decode(step.body)
            where = f"entry {step.entry.n}: release period {row['period']}"
            # What a crash left of one that is told again: its rows are the same.
            if len(sums) != row["rows"]:
                raise AuditBrokenError(f"{where}: {len(sums)} rows of {row['rows']}")
            ids, times = (row["first_id"], row["last_id"]), (row["from_us"], row["until_us"])
            period = Period(row["period"], *ids, *times, sums)
            sums = {}
            if period == before:
                continue
            if before is not None and not _follows(before, period):
                raise AuditBrokenError(f"{where} does not follow {before.number}")
            before = period
            yield period


def _follows(before: Period, after: Period) -> bool:
    return (
        after.number == before.number + 1
        and after.first_id == before.last_id + 1
        and after.from_us == before.until_us
    )


def held(db: sqlite3.Connection, last_id: int) -> Sums:
    """What a ledger says itself, up to an entry.

    Raises:
        sqlite3.Error: it can't be read.
    """
    (folded_id,) = db.execute("SELECT folded_id FROM accounts").fetchone()
    entries = _summed(db.execute(_OF_ENTRIES, (folded_id + 1, last_id)))
    return added(entries, _summed(db.execute(_OF_DAYS)))
