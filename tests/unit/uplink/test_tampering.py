"""Whoever changes a row, a column or a byte of a ledger is found."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.accounting import STATE_S, Accounting
from gateway.domain.labels import DataClass, Label, Lane, Treatment
from gateway.uplink import statements
from gateway.uplink.agreement import IN_FORCE, POLICY, Agreement, compare
from gateway.uplink.entering import Rejected, Settled
from gateway.uplink.ledger import Ledger
from gateway.uplink.release import EntryKey, Released
from security.audit import AuditBrokenError, AuditLog, verify
from tests.fakes import FakeClock
from tests.ingest import EPOCH, VITALS

NOTES = Label(DataClass.MEDICAL_APPLICATION, 4)
ROW = {VITALS: Treatment.PASS, NOTES: Treatment.MASK}


class Site:
    """A ledger, its audit log, and a gateway's day."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger_path = folder / "ledger.sqlite"
        self.log_path = folder / "audit"
        self.clock = FakeClock()
        self.key = Ed25519PrivateKey.generate()
        self.alarms: list[str] = []
        self.seq = 0
        self.start()

    def start(self) -> None:
        self.ledger = Ledger.open(self.ledger_path, self.clock)
        self.audit = AuditLog(self.log_path, self.key, self.clock)
        self.accounting = Accounting(
            self.ledger,
            self.audit,
            self.clock,
            self.log_path,
            lambda: self.alarms.append("changed"),
        )
        assert asyncio.run(self.accounting.begin())

    def stop(self, *, crash: bool = False) -> None:
        if not crash:
            assert asyncio.run(self.accounting.settle(final=True))
        self.ledger.close()
        self.audit.close()

    def policy(self, version: str) -> None:
        self.ledger.remember(version, {"core": ROW, "vendor": ROW}, why='{"destinations":{}}')
        digest = self.ledger.policy(version).digest()
        self.audit.record(POLICY, result=IN_FORCE, version=version, table=digest)

    def release(self, destination: str = "core", policy: str = "p1", records: int = 3) -> Released:
        first, self.seq = self.seq + 1, self.seq + records
        entries = {EntryKey(VITALS, Treatment.PASS, policy): (records, 10 * records)}
        batch = Released(
            Lane.TELEMETRY, EPOCH, first, self.seq, b"", policy, entries, 0, self.seq, {}
        )
        self.ledger.write([(destination, batch)])
        return batch

    def state(self) -> bool:
        return asyncio.run(self.accounting.state())

    def compare(self) -> Agreement:
        return compare(self.ledger_path, self.log_path)

    def edit(self, sql: str, *values: Any) -> None:
        with closing(sqlite3.connect(self.ledger_path)) as db:
            assert db.execute(sql, values).rowcount
            db.commit()


def busy(site: Site) -> None:
    """Something in every table."""
    site.policy("p1")
    for destination in ("core", "vendor"):
        site.ledger.start(destination, Lane.TELEMETRY, 0)
    for _ in range(3):
        site.release()
        site.release("vendor")
        site.clock.advance(20)
    assert asyncio.run(site.accounting.settle())
    while site.ledger.compact(site.clock.now_us() + 1):
        pass
    site.policy("p2")
    for _ in range(2):
        refused = site.release(policy="p2")
        site.release("vendor", policy="p2")
        site.clock.advance(20)
        aside = Rejected("core", refused, "unreadable", "key-1", b"sealed")
        site.ledger.write([], [Settled("vendor", Lane.TELEMETRY, EPOCH, site.seq)], [aside])
        assert site.state()
    assert asyncio.run(site.accounting.settle())
    site.release("vendor", policy="p2")
    site.clock.advance(20)
    assert site.state()


@pytest.fixture(scope="module", params=["stopped", "crashed"])
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(tmp_path_factory.mktemp(request.param))
    busy(site)
    site.stop(crash=request.param == "crashed")
    found = site.compare()
    assert (found.records, found.untold) == ((33, 0) if request.param == "stopped" else (30, 1))
    assert found.rows == 5  # six are in days
    assert found.rows_until_us
    shutil.copy(site.ledger_path, site.folder / "good")
    return site


@pytest.fixture
def site(kept: Site) -> Iterator[Site]:
    yield kept
    for path in kept.folder.glob("ledger.sqlite*"):
        path.unlink()
    shutil.copy(kept.folder / "good", kept.ledger_path)


TABLES = {
    "entries": "id > (SELECT folded_id FROM accounts)",  # before it they say nothing any more
    "days": "1",
    "rejected": "1",
    "policies": "1",
    "periods": "1",
    "accounts": "1",
    "statements": "1",
    "marks": "1",
    "unsettled": "1",
    "spells": "1",
}
MOVE = ("marks", "unsettled", "spells")
"""Of a gateway that crashed, nobody knows how far they had moved since the last statement."""
FREE = {("accounts", "told")}
"""1 as 0: the period is told again, the same, as after a crash."""


def changed(value: Any) -> list[Any]:
    match value:
        case int():
            return [value + 1, value - 1, value ^ (1 << 40)]
        case str() if value:
            return [value[:-1], chr(ord(value[0]) ^ 1) + value[1:], value + " "]
        case bytes():
            return [bytes([value[0] ^ 1]) + value[1:]]
        case _:
            return ["x"]


def rows_of(path: Path, table: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    with closing(sqlite3.connect(path)) as db:
        found = db.execute(f"SELECT * FROM {table} WHERE {TABLES[table]}")
        return [each[0] for each in found.description], found.fetchall()


def refused(site: Site) -> str:
    """What is said of the ledger; it must not be that it agrees."""
    try:
        agreed = site.compare()
    except (AuditBrokenError, sqlite3.Error) as error:
        return str(error)
    return pytest.fail(f"it agrees: {agreed}")


@pytest.mark.parametrize("table", TABLES)
def test_each_changed_column_of_each_table_is_found(site: Site, table: str) -> None:
    names, rows = rows_of(site.ledger_path, table)
    assert rows
    if table in MOVE and "crashed" in site.folder.name:
        pytest.skip("such rows had moved on since the last statement; only a stop fixes them")
    for row in {rows[0], rows[-1]}:
        there = " AND ".join(f"{name} IS ?" for name in names)
        for name, value in zip(names, row, strict=True):
            if (table, name) in FREE:
                continue
            for other in changed(value)[: 3 if row is rows[0] else 1]:
                with closing(sqlite3.connect(site.ledger_path)) as db:
                    try:
                        db.execute(f"UPDATE {table} SET {name} = ? WHERE {there}", (other, *row))
                    except sqlite3.IntegrityError:
                        continue  # the table itself refuses it
                    assert db.total_changes == 1
                    db.commit()
                    said = refused(site)
                    assert "ledger.sqlite" in said, (name, other, said)
                    back = ", ".join(f"{each} = ?" for each in names)
                    now = tuple(
                        other if each == name else v for each, v in zip(names, row, strict=True)
                    )
                    db.execute(f"UPDATE {table} SET {back} WHERE {there}", (*row, *now))
                    db.commit()
    site.compare()


@pytest.mark.parametrize("table", TABLES)
def test_a_row_that_is_gone_is_found(site: Site, table: str) -> None:
    if table in ("unsettled", "spells") and "crashed" in site.folder.name:
        pytest.skip("such rows had moved on since the last statement; only a stop fixes them")
    names, rows = rows_of(site.ledger_path, table)
    site.edit(
        f"DELETE FROM {table} WHERE " + " AND ".join(f"{name} IS ?" for name in names), *rows[-1]
    )
    refused(site)


@pytest.mark.parametrize(
    "sql",
    [
        "DROP INDEX entries_by_age",
        "CREATE TRIGGER hidden AFTER INSERT ON entries BEGIN DELETE FROM entries; END",
        (
            "PRAGMA writable_schema=1; UPDATE sqlite_master SET sql ="
            " replace(sql, 'records, bytes', '0, 0') WHERE name = 'releases'"
        ),
    ],
)
def test_a_view_that_would_show_something_else_is_found(site: Site, sql: str) -> None:
    with closing(sqlite3.connect(site.ledger_path)) as db:
        db.executescript(sql)
    assert "is not what this software makes" in refused(site)


def test_a_flipped_byte_is_found_or_was_of_nothing_that_is_stated(site: Site) -> None:
    good = (site.folder / "good").read_bytes()

    def dump() -> list[tuple[Any, ...]]:
        moved = MOVE if "crashed" in site.folder.name else ()
        tables = [table for table in TABLES if table not in moved]
        return [row for table in tables for row in rows_of(site.ledger_path, table)[1]]

    before, found, random = dump(), 0, Random(7)
    used = [at for at in range(len(good)) if good[at]]
    for at in random.sample(used, 100) + random.sample(range(len(good)), 20):
        flipped = bytearray(good)
        flipped[at] ^= 1 << random.randrange(8)
        site.ledger_path.write_bytes(flipped)
        try:
            site.compare()
        except (AuditBrokenError, sqlite3.Error, UnicodeDecodeError):
            found += 1
        else:
            assert dump() == before, at
    assert found > 40


def test_the_log_can_not_be_made_to_say_otherwise(site: Site) -> None:
    """Statements are gapless: one that is missing from a log shows without the ledger, too."""
    told = [each.number for each in said(site)]
    assert told == list(range(told[0], told[-1] + 1))
    verify(site.log_path, site.key.public_key())


def said(site: Site) -> list[statements.Statement]:
    from security.audit.checking import Walk  # noqa: PLC0415

    chain = statements.Chain()
    found = (chain.take(step) for step in Walk().through(site.log_path))
    return [each for each in found if each is not None]


# -- what the gateway finds itself -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("UPDATE marks SET start_seq = 1000 WHERE destination = 'vendor'", "the mark of vendor"),
        ("UPDATE spells SET window_s = 1", "spells"),
        ("DELETE FROM unsettled", "unsettled"),
        ("UPDATE policies SET first_used_us = 1 WHERE version = 'p1'", "policy p1"),
        ("UPDATE days SET first_seq = first_seq + 1", "its days"),
        ("UPDATE statements SET state = replace(state, 'p1', 'p9')", "its statement"),
    ],
)
def test_what_was_changed_while_the_gateway_was_stopped_it_says_when_it_starts(
    tmp_path: Path, sql: str, named: str
) -> None:
    site = Site(tmp_path)
    busy(site)
    site.stop()
    site.edit(sql)
    site.start()
    assert site.alarms == ["changed"]
    site.stop()
    with pytest.MonkeyPatch.context() as patch:
        # The rest of the ledger is judged on its own; what was found then stays in the log.
        patch.setattr("gateway.uplink.agreement._summed", lambda *_: 0)
        patch.setattr("gateway.uplink.agreement._stated", lambda *_: (0, 0))
        (found,) = site.compare().changed
    assert named in found


def test_a_restart_finds_nothing_where_nothing_was_changed(tmp_path: Path) -> None:
    site = Site(tmp_path)
    for crash in (False, True, False, True):
        busy(site)
        site.release()  # since the last statement
        site.stop(crash=crash)
        site.start()
    assert site.alarms == []
    assert site.compare().changed == ()
    site.stop()


def test_another_process_that_writes_while_the_gateway_runs_is_found_within_a_minute(
    tmp_path: Path,
) -> None:
    site = Site(tmp_path)
    busy(site)
    assert site.state()
    assert site.alarms == []
    site.compare()  # who only reads is nobody's trouble
    assert site.state()
    assert site.alarms == []
    site.edit("UPDATE marks SET start_seq = 1000")
    assert site.state()
    assert site.alarms == ["changed"]
    assert STATE_S <= 60
    site.stop()
    assert "another process" in site.compare().changed[0]


def test_nothing_is_stated_where_nothing_happens(tmp_path: Path) -> None:
    site = Site(tmp_path)
    busy(site)
    before = len(said(site))
    for _ in range(5):
        site.clock.advance(STATE_S)
        assert site.state()
    assert len(said(site)) == before
    site.stop()


def test_what_a_full_log_did_not_take_is_told_before_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path)
    busy(site)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("security.audit.writer.os.write", full)
        for _ in range(3):
            site.release("vendor")
            site.clock.advance(STATE_S)
            assert not site.state()
    assert site.state()
    site.stop()
    assert site.compare().untold == 0
