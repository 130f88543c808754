"""Whether a ledger is still what its last statement said, row by row.

While the gateway runs, or after a crash, rows have moved on since the last statement; then what is
known of how they move is checked: marks only go forward, policies stay, what was set aside stays.
Once it has stopped, and said so, every row must be as it was.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import msgspec

from gateway.uplink import statements
from gateway.uplink.statements import Fixed, State, Statement

_EPOCH_SEQ = slice(3, 5)
_START = 2


def drift(db: sqlite3.Connection, told: Statement) -> Iterator[str]:
    """What does not fit a statement that the audit log has: a sentence each.

    Args:
        db: the ledger; one state of it.
        told: one of the last two statements.

    Raises:
        sqlite3.Error: it can't be read.
    """
    kept = statements.fixed(db)
    mine = next((each for each in kept if each.statement.number == told.number), None)
    if mine is None or mine.statement != told:
        yield f"its statement {told.number} is not what the log was told"
        return
    exact = bool(told.final) and kept[0] == mine
    yield from _rows(db, told, exact=exact)
    yield from _state(db, mine, exact=exact)


def _rows(db: sqlite3.Connection, told: Statement, *, exact: bool) -> Iterator[str]:
    (folded_id,) = db.execute("SELECT folded_id FROM accounts").fetchone()
    if folded_id < told.folded_id:
        yield f"entries up to {told.folded_id} were added up by day, it says {folded_id}"
    elif folded_id == told.folded_id and statements.of_days(db) != told.days:
        yield "its days are not what the log was told"
    if told.last_id > folded_id and (
        statements.of_entries(db, told.first_id, told.last_id) != told.entries
    ):
        yield f"entries {told.first_id} to {told.last_id} are not what the log was told"
    if statements.of_rejected(db, told.first_rejected, told.last_rejected) != told.rejected:
        yield "batches that were set aside are not what the log was told"
    if exact:
        for table, last in (("entries", told.last_id), ("rejected", told.last_rejected)):
            (since,) = db.execute(f"SELECT count(*) FROM {table} WHERE id > ?", (last,)).fetchone()  # noqa: S608  # constants
            if since:
                yield f"{since} rows of {table} are from after the gateway's stop"


def _state(db: sqlite3.Connection, told: Fixed, *, exact: bool) -> Iterator[str]:
    then, now = msgspec.json.decode(told.text, type=State), statements.state(db)
    places = {(row[0], row[1]): row for row in now.marks}
    for row in then.marks:
        found = places.pop((row[0], row[1]), None)
        if found is None or (found != row if exact else not _follows(row, found)):
            yield f"the mark of {row[0]}, {row[1]}: it says {found}, the log was told {row}"
    if exact and places:
        yield f"marks that the log was not told of: {sorted(places)}"
    for table in ("spells", "unsettled"):
        if exact and getattr(now, table) != getattr(then, table):
            yield f"the rows of {table} are not what the log was told"
    policies = {version: (what, why) for version, what, why in now.policies}
    for version, what, why in then.policies:
        found_what, found_why = policies.pop(version, ("", ""))
        if found_what != what or (found_why != why if why or exact else False):
            yield f"policy {version} is not what the log was told"
    if exact and policies:
        yield f"policies that the log was not told of: {sorted(policies)}"


def _follows(then: list[object], now: list[object]) -> bool:
    """Whether a mark may have come from one to the other."""
    # A row of the table: two names, numbers, a policy's version.
    forward = now[_START] >= then[_START] and now[_EPOCH_SEQ] >= then[_EPOCH_SEQ]  # type: ignore[operator]
    return bool(forward)
