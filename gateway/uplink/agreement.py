"""The audit log's account of releases, read back, and whether a ledger says the same.

What :mod:`gateway.uplink.accounts` told the log is added up again here, and the digests of
:mod:`gateway.uplink.statements` are made again from the rows; a ledger that was edited since says
something else. Tables, views and indices are what this software makes, and agree with each other.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from gateway.uplink import accounts, drift, ledger_file, statements
from gateway.uplink.accounts import COLUMNS, Key, Period, Sum, Sums, added, held, told
from gateway.uplink.days import DAY_US
from gateway.uplink.kept import KeptPolicy
from gateway.uplink.statements import Statement
from security.audit import AuditBrokenError
from security.audit.checking import Step, Walk

POLICY, IN_FORCE = "policy", "in force"
"""The entry, and its result, that tell of a policy which came into force."""
CHANGED = "ledger_changed"
"""The entry that tells of a ledger which the gateway found changed."""


class Place(NamedTuple):
    """How far a ledger was before the log was read: the log can't be behind that."""

    accounts: tuple[int, ...]
    """Its last period."""
    statement: int
    folded_id: int

    @property
    def last_two(self) -> tuple[int, int]:
        """Of the ledger's statements; the log may not have the last one yet."""
        return self.statement - 1, self.statement


class Account(NamedTuple):
    """Everything that a log tells of releases."""

    total: Sums
    periods: int
    number: int
    """Of the last period."""
    last_id: int
    until_us: int
    """What the log tells reaches to here."""
    complete_from: int
    """The first day, since 1970, of which the log tells all."""
    told_at: int
    """The entry that told the last period."""
    policies: Mapping[str, str]
    """Version of a policy that was in force -> the digest of what the ledger keeps of it."""
    ends: Mapping[int, tuple[int, int, int, int]]
    """Period -> its first and last entry, from and until."""
    base: int
    """Entries up to it are from before there were statements, or these are dropped."""
    statements: tuple[Statement, ...]
    """Those about rows that a ledger at ``place`` still has, and the last."""
    changed: tuple[str, ...]
    """What the gateway itself found changed, as it told the log."""


class _Reader:
    """Takes what the log tells, entry by entry."""

    def __init__(self, place: Place | None) -> None:
        self._place = place
        self._chain = statements.Chain()
        self.at = 0
        self.policies: dict[str, str] = {}
        self.base = 0
        self.statements: list[Statement] = []
        self.changed: list[str] = []

    def steps(self, walk: Walk, log: Path) -> Iterator[Step]:
        for step in walk.through(log):
            self.at = step.entry.n
            event = step.entry.event
            if event == statements.EVENT:
                self._state(step)
            elif event == POLICY:
                version, digest = _policy(step.body)
                if digest:
                    self.policies[version] = digest
            elif event == CHANGED:
                fields = msgspec.json.decode(step.body, type=dict[str, Any])
                self.changed.append(f"entry {step.entry.n}: {fields.get('reason', '')}")
            yield step

    def _state(self, step: Step) -> None:
        told = self._chain.take(step)
        if told is None or self._place is None:
            return
        if not self.statements:
            self.base = told.first_id - 1
        kept = self.statements
        if kept and not _concerns(kept[-1], self._place):
            kept.pop()
        kept.append(told)


def _concerns(told: Statement, place: Place) -> bool:
    """Whether a statement is about rows that are still there, or may be a ledger's last."""
    return (
        told.last_id > max(place.folded_id, told.first_id - 1)
        or bool(told.rejected)
        or told.number >= place.statement - 1
    )


def account(walk: Walk, log: Path, until: int | None = None, place: Place | None = None) -> Account:
    """Go through a log, and add up what it tells.

    Args:
        walk: a fresh one; it checks what it goes through.
        log: the log's directory.
        until: the last period that counts; None: the last one there is.
        place: of the ledger that is to be compared; None: none is.

    Raises:
        AuditBrokenError: the log is not in order, tells of no releases, or not so far.
        OSError: it can't be read.
    """
    reader = _Reader(place)
    total: Sums = {}
    first: Period | None = None
    last: Period | None = None
    periods = told_at = 0
    ends: dict[int, tuple[int, int, int, int]] = {}
    for period in told(reader.steps(walk, log)):
        if until is not None and period.number > until:
            continue  # to the end all the same: the walk checks the rest
        first, last, periods, told_at = first or period, period, periods + 1, reader.at
        total = added(total, period.sums)
        ends[period.number] = (period.first_id, period.last_id, period.from_us, period.until_us)
    if first is None or last is None or (until is not None and last.number != until):
        raise AuditBrokenError(f"{log}: it tells of no releases, or not so far")
    complete_from = 0 if first.number == 1 else first.from_us // DAY_US + 1
    return Account(
        total,
        periods,
        last.number,
        last.last_id,
        last.until_us,
        complete_from,
        told_at,
        reader.policies,
        ends,
        reader.base,
        tuple(reader.statements),
        tuple(reader.changed),
    )


def _policy(body: bytes) -> tuple[str, str]:
    """Version and digest that an entry on a policy tells; empty where it tells none."""
    entry = msgspec.json.decode(body, type=dict[str, Any])
    if entry.get("result") != IN_FORCE:
        return "", ""
    return str(entry.get("version", "")), str(entry.get("table", ""))


class Agreement(NamedTuple):
    """What :func:`compare` found in order."""

    periods: int
    until_us: int
    """What the log tells reaches to here."""
    records: int
    """Of the days that could be compared."""
    untold: int
    """Entries of the ledger that the log has not been told of yet."""
    policies: int
    """Tables of policies that the ledger keeps and the log knows."""
    rows_until_us: int
    """Every row is what the log was told then, or came later; 0: the log was told of no rows."""
    rows: int
    """Entries of which each column was compared."""
    changed: tuple[str, ...]
    """What the gateway itself found changed, once."""


def compare(ledger: Path, log: Path) -> Agreement:
    """Whether a ledger says what the audit log was told of it: days, entries, rows.

    Days that began before the log's oldest period are left out: it was told of them in part.

    Raises:
        AuditBrokenError: it does not, or the log is not in order; names what differs.
        OSError: the log can't be read.
        sqlite3.Error: the ledger can't be read.
    """
    place = place_of(ledger)
    return compare_with(ledger, account(Walk(), log, place=place), place)


def place_of(ledger: Path) -> Place:
    """How far a ledger is; to be asked before the log is read.

    Raises:
        AuditBrokenError: it is not what this software makes.
        sqlite3.Error: it can't be read.
    """
    with closing(_opened(ledger)) as db:
        made, here = ledger_file.said(), ledger_file.schema(db)
        for name in sorted({*made, *here}):
            if made.get(name) != here.get(name):
                raise AuditBrokenError(f"{ledger}: {name} is not what this software makes")
        for table in ("accounts", "statements"):
            if not db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]:  # noqa: S608  # constants
                raise AuditBrokenError(f"{ledger}: {table} is empty")
        (folded_id,) = db.execute("SELECT folded_id FROM accounts").fetchone()
        newest = statements.newest(db).statement.number
        return Place(accounts.standing(db), newest, folded_id)


def _opened(ledger: Path) -> sqlite3.Connection:
    db = sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)
    db.execute("BEGIN")  # one state, though the gateway may run
    return db


def compare_with(ledger: Path, found: Account, place: Place) -> Agreement:
    """As :func:`compare`, with a log that was gone through already.

    Raises:
        AuditBrokenError, sqlite3.Error: as :func:`compare`.
    """
    with closing(_opened(ledger)) as db:
        for (said,) in db.execute("PRAGMA integrity_check"):
            if said != "ok":
                raise AuditBrokenError(f"{ledger}: {said}")
        _periods(db, found, place, ledger)
        said = held(db, found.last_id)
        untold = db.execute(
            "SELECT count(*) FROM entries WHERE id > ?", (found.last_id,)
        ).fetchone()[0]
        kept = db.execute("SELECT version, rows, why FROM policies").fetchall()
        records = _summed(said, found, ledger)
        policies = _agreeing(kept, found, ledger)
        rows_until_us, rows = _stated(db, found, place, ledger)
    return Agreement(
        found.periods,
        found.until_us,
        records,
        untold,
        policies,
        rows_until_us,
        rows,
        found.changed,
    )


def _summed(said: Sums, found: Account, ledger: Path) -> int:
    records, total = 0, found.total
    for key in sorted({*total, *said}):
        if key[0] < found.complete_from:
            continue
        if total.get(key) != said.get(key):
            raise AuditBrokenError(
                f"{ledger}: {_named(key)}: it says {_said(said.get(key))}, the log was told"
                f" {_said(total.get(key))}"
            )
        records += total[key].records
    return records


def _periods(db: sqlite3.Connection, found: Account, place: Place, ledger: Path) -> None:
    """Whether the ledger's own word on periods is the log's."""
    number, *rest, told_flag = place.accounts
    last = found.ends[found.number]
    if number in found.ends:
        good = tuple(rest) == found.ends[number] and told_flag in (0, 1)
    else:
        # It was ended, and a crash came before the log was told.
        good = (number, rest[0], rest[2], told_flag) == (found.number + 1, last[1] + 1, last[3], 0)
    if not good:
        raise AuditBrokenError(f"{ledger}: accounts: period {number} is not what the log was told")
    _not_folded(db, found, ledger)


def _not_folded(db: sqlite3.Connection, found: Account, ledger: Path) -> None:
    """Whether the periods that are listed follow, without a gap, those that are folded."""
    (folded_id,) = db.execute("SELECT folded_id FROM accounts").fetchone()
    listed = db.execute("SELECT number, last_id, until_us FROM periods ORDER BY number").fetchall()
    for each, last_id, until_us in listed:
        end = found.ends.get(each)
        if end is not None and (last_id, until_us) != (end[1], end[3]):
            raise AuditBrokenError(f"{ledger}: periods: {each} is not what the log was told")
    newest = accounts.standing(db)[0]
    before = listed[0][0] - 1 if listed else newest
    if [each for each, *_ in listed] != list(range(before + 1, newest + 1)):
        raise AuditBrokenError(f"{ledger}: periods: there must be {before + 1} to {newest}")
    end = found.ends.get(before)
    # A ledger of before periods were listed has none until its next one.
    if end is not None and end[1] != folded_id and not (folded_id == 0 and end[1] <= found.base):
        raise AuditBrokenError(
            f"{ledger}: accounts: entries are added up by day to {folded_id}, period {before} ended"
            f" with {end[1]}"
        )


def _stated(db: sqlite3.Connection, found: Account, place: Place, ledger: Path) -> tuple[int, int]:
    """Whether rows are what the log was told; until when, and how many entries."""
    if not found.statements:
        if place.statement > 1:
            raise AuditBrokenError(f"{ledger}: the log was never told of its rows")
        return 0, 0
    (folded_id,) = db.execute("SELECT folded_id FROM accounts").fetchone()
    rows = 0
    for each in found.statements:
        where = f"{ledger}: entries {each.first_id} to {each.last_id}"
        if each.first_id > folded_id and each.number <= place.statement:
            if statements.of_entries(db, each.first_id, each.last_id) != each.entries:
                raise AuditBrokenError(f"{where} are not what the log was told")
            rows += each.last_id - each.first_id + 1
        if (
            each.number <= place.statement
            and statements.of_rejected(db, each.first_rejected, each.last_rejected) != each.rejected
        ):
            raise AuditBrokenError(
                f"{ledger}: batches that were set aside (rejected {each.first_rejected} to"
                f" {each.last_rejected}) are not what the log was told"
            )
    told = [each for each in found.statements if each.number in place.last_two]
    if not told:
        raise AuditBrokenError(f"{ledger}: its statement {place.statement} is not of this log")
    _kept(db, {each.number: each for each in told}, place, ledger)
    for sentence in drift.drift(db, told[-1]):
        raise AuditBrokenError(f"{ledger}: {sentence}")
    return told[-1].at_us, rows


def _kept(
    db: sqlite3.Connection, told: Mapping[int, Statement], place: Place, ledger: Path
) -> None:
    """Whether the statements that the ledger keeps are those that the log was told."""
    for mine, _ in statements.fixed(db):
        before = told.get(mine.number - 1)
        if mine.number > place.statement or mine == told.get(mine.number):
            continue
        if mine.number in told or mine.number != place.statement or before is None:
            raise AuditBrokenError(
                f"{ledger}: its statement {mine.number} is not what the log was told"
            )
        if not mine.follows(before):
            raise AuditBrokenError(f"{ledger}: its statement {mine.number} follows nothing")


def _agreeing(kept: Iterable[tuple[str, str, str]], found: Account, ledger: Path) -> int:
    """How many policies are kept as the log was told; what it was not told of does not count."""
    digests = {version: KeptPolicy(version, rows, why).digest() for version, rows, why in kept}
    missing = found.policies.keys() - digests.keys()
    if missing:
        raise AuditBrokenError(f"{ledger}: policy {min(missing)} was in force, and is not kept")
    for version, digest in found.policies.items():
        if digests[version] != digest:
            raise AuditBrokenError(f"{ledger}: policy {version} is not what was in force")
    return len(found.policies)


def _named(key: Key) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(COLUMNS, key, strict=True))


def _said(sums: Sum | None) -> str:
    if sums is None:
        return "nothing"
    return " ".join(f"{name}={value}" for name, value in sums._asdict().items())
