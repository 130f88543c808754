"""What a release report says against what the destinations hold, and against who changes a byte."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner

from bench.site import make_identities
from demo.processes import Process
from gateway.domain.labels import DataClass
from gateway.releasereport.page import read
from gateway.releasereport.report import Report
from tests.crash.account import read as rows_of
from tests.crash.device import HABITS
from tests.crash.rounds import alive, settle
from tests.crash.site import CrashSite, until
from wardgate.main import app

pytestmark = pytest.mark.timeout(300)


class RecordingSite(CrashSite):
    """Its receivers write down what reaches them."""

    def seen(self, name: str) -> Counter[tuple[str, int, str, str]]:
        """(class, level, treatment, ``records`` or ``bytes``) of what reached a destination."""
        found: Counter[tuple[str, int, str, str]] = Counter()
        for line in set((self.state / f"{name}.seen").read_text().splitlines()):
            _, data_class, level, treatment, records, size = json.loads(line)
            found[data_class, level, treatment, "records"] += records
            found[data_class, level, treatment, "bytes"] += size
        return found

    async def start(self, name: str) -> None:
        if name == "gateway":
            await super().start(name)
            return
        module = ["-m", "tests.crash.recording_core", str(self.state / f"{name}.seen")]
        self.processes[name] = Process(
            name,
            [*module, "core", "run", "--config", str(self.state / f"{name}.toml")],
            self.state / f"{name}.log",
            restart=False,
            on_pid=lambda: None,
        )
        await self.processes[name].start()
        async with asyncio.timeout(self.start_s_max):
            while not await self.samples(name):
                assert self.processes[name].running, self.processes[name].last_words()
                await asyncio.sleep(0.05)


TABLES = (
    "report",
    "alarms",
    "statuses",
    "inventory",
    "gateway_clocks",
    "link_states",
    "cabinet_events",
    "association_changes",
    "infusion_orders",
    "notifications",
)
"""Of a core's store: whatever came as a record, but Gaps."""


class Evidence:
    """What is left of a run: state, stores, and a report of it."""

    def __init__(self, site: RecordingSite) -> None:
        self.site = site
        self.state = site.state / "gateway"
        self.log = self.state / "audit"
        self.key = self.state / "audit.pub"
        today = datetime.now(UTC).date()
        self.days = ("--from", str(today - timedelta(1)), "--to", str(today))
        self.page = site.state / "report.html"
        self.content = self.say("release", "report", *self.days, "--state", self.state, "--json")
        self.say("release", "report", *self.days, "--state", self.state, "--html", self.page)
        self.report: Report = read(self.content.encode(), "report")

    def say(self, *arguments: str | Path) -> str:
        """What a command prints; it must succeed."""
        done = CliRunner().invoke(app, [str(each) for each in arguments])
        assert done.exit_code == 0, (done.output, done.exception)
        return done.output

    def refuses(self, *arguments: str | Path) -> str:
        """Why the log's verification refuses."""
        given = ["audit", "verify", self.log, "--key", self.key, *arguments]
        done = CliRunner().invoke(app, [str(each) for each in given])
        assert done.exit_code != 0, done.output
        return str(done.exception)


GONE = """SELECT count(*) FROM statuses AS told WHERE state = 'offline'
 AND id = (SELECT max(id) FROM statuses WHERE device_id = told.device_id)"""


def all_gone(store: Path, devices: int) -> bool:
    """Whether a destination knows that so many devices have left."""
    return rows_of(store, GONE) == [(devices,)]


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return asyncio.run(_ran(tmp_path_factory.mktemp("report")))


async def _ran(base: Path) -> Evidence:
    """Let a ward talk while receivers and gateway are killed, and keep what is left."""
    identities = make_identities(base, 2)
    async with RecordingSite(base / "site", identities) as site:
        devices = site.devices([replace(habit, rate=100.0) for habit in HABITS[:2]], Random(5))
        async with alive(devices):
            await until(lambda: all(len(each.diary.acknowledged) > 150 for each in devices), 60)
            # Not only what went well: what was sent again is no new release.
            await site.end("vendor", signal.SIGKILL)
            await site.end("gateway", signal.SIGKILL)
            await site.start("gateway")
            await site.start("vendor")
            await settle(site, devices)
        # A record that is made while the gateway ends would be released, and sent by the next life.
        for name in ("core", "vendor"):
            await until(partial(all_gone, site.state / f"{name}.db", len(devices)), 60)
        await site.end("gateway", signal.SIGTERM)
        return Evidence(site)


@pytest.mark.parametrize("name", ["core", "vendor"])
def test_what_reached_a_destination_is_what_the_report_says(evidence: Evidence, name: str) -> None:
    left: Counter[tuple[str, int, str, str]] = Counter()
    for row in evidence.report.rows:
        if row.destination == name and row.treatment != "withhold":
            left[row.data_class, row.level, row.treatment, "records"] += row.records
            left[row.data_class, row.level, row.treatment, "bytes"] += row.bytes
    assert left
    assert left == evidence.site.seen(name)

    # And what its store holds, as any SQLite client counts it.
    store = evidence.site.state / f"{name}.db"
    held = {
        table: int(str(rows_of(store, f"SELECT count(*) FROM {table}")[0][0])) for table in TABLES
    }
    gaps = rows_of(store, "SELECT count(*) FROM gaps WHERE source = 'gateway'")
    records = sum(n for (*_, what), n in left.items() if what == "records")
    assert sum(held.values()) + int(str(gaps[0][0])) == records
    labels = rows_of(
        store,
        "SELECT contexts.class, contexts.level, count(*) FROM report"
        " JOIN contexts ON contexts.key = report.context GROUP BY 1, 2",
    )
    for data_class, level, count in labels:
        word = DataClass(int(str(data_class))).name.lower()
        of_label = sum(
            n
            for (kind, at, _, what), n in left.items()
            if (kind, at, what) == (word, level, "records")
        )
        assert 0 < int(str(count)) <= of_label
    received = rows_of(store, "SELECT sum(records) FROM coverage WHERE state = 'received'")
    assert received == [(records,)]


def test_nothing_that_identifies_left_the_campus_and_the_report_says_why(
    evidence: Evidence,
) -> None:
    said = evidence.say("release", "report", *evidence.days, "--state", evidence.state)
    assert "no records left the campus unchanged" in said
    withheld = [row for row in evidence.report.rows if row.treatment == "withhold"]
    assert withheld
    assert all(row.rules or row.level < 4 for row in withheld)
    passed = [row for row in evidence.report.rows if row.treatment == "pass"]
    assert {row.destination for row in passed} == {"core"}
    assert all(row.rules == ("inside-the-hospital",) for row in passed)
    only = evidence.say(
        "release", "report", *evidence.days, "--state", evidence.state, "--dest", "vendor"
    )
    assert "core (" not in only


def test_report_and_page_hold_against_the_log_alone(evidence: Evidence, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(evidence.content)
    verify = ("audit", "verify", evidence.log, "--key", evidence.key)
    for each in (path, evidence.page):
        said = evidence.say(*verify, "--report", each)
        assert "the report holds" in said
    assert "the ledger agrees" in evidence.say(
        *verify, "--ledger", evidence.state / "ledger.sqlite"
    )


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def test_every_changed_byte_of_report_page_and_log_is_found(
    evidence: Evidence, tmp_path: Path
) -> None:
    random, path = Random(9), tmp_path / "report"
    for content in (evidence.content.encode(), evidence.page.read_bytes()):
        for at in random.sample(range(len(content)), 60):
            path.write_bytes(flipped(content, at))
            assert evidence.refuses("--report", path)
        path.write_bytes(content + b"\n")
        assert evidence.refuses("--report", path)
    path.write_text(evidence.content)
    (log,) = evidence.log.glob("audit.log")
    good = log.read_bytes()
    try:
        for at in random.sample(range(len(good)), 60):
            log.write_bytes(flipped(good, at))
            assert evidence.refuses("--report", path)
    finally:
        log.write_bytes(good)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("UPDATE entries SET records = records + 1 WHERE id = 1", "the log was told"),
        ("UPDATE entries SET bytes = bytes - 1 WHERE id = 2", "the log was told"),
        ("UPDATE entries SET level = 2 WHERE id = 1", "the log was told"),
        ("UPDATE entries SET begun_us = begun_us - 1", "the log was told"),
        ("UPDATE entries SET written_us = written_us + 1", "the log was told"),
        ("UPDATE entries SET treatment = 'mask' WHERE treatment = 'pseudonymise'", "was told"),
        ("DELETE FROM entries WHERE destination = 'vendor'", "the log was told"),
        ("UPDATE policies SET rows = rows || ' '", "not what was in force"),
        ("UPDATE policies SET why = replace(why, 'partner', 'campus')", "not what was in force"),
        ("DELETE FROM policies", "is not kept"),
    ],
)
def test_a_changed_ledger_or_policy_is_found_and_reported_on_no_more(
    evidence: Evidence, tmp_path: Path, change: str, found: str
) -> None:
    ledger = evidence.state / "ledger.sqlite"
    with closing(sqlite3.connect(ledger)) as db:
        kept = db.serialize()
        before = db.total_changes
        db.execute(change)
        assert db.total_changes > before
        db.commit()
    try:
        assert found in evidence.refuses("--ledger", ledger)
        given = ["release", "report", *evidence.days, "--state", str(evidence.state)]
        done = CliRunner().invoke(app, given)
        assert done.exit_code != 0
        assert found in str(done.exception)
    finally:
        for path in evidence.state.glob("ledger.sqlite*"):
            path.unlink()
        ledger.write_bytes(kept)


def test_a_report_of_another_log_or_key_is_refused(evidence: Evidence, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PrivateKey,
    )

    forged = evidence.report.signed(Ed25519PrivateKey.generate())
    path = tmp_path / "report.json"
    path.write_bytes(forged.encoded())
    assert "signature" in evidence.refuses("--report", path)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--from", "soon", "--to", "2026-10-31"),
        ("--from", "2026-10-31", "--to", "2026-10-01"),
    ],
)
def test_what_is_no_question_is_said_so(evidence: Evidence, arguments: tuple[str, ...]) -> None:
    given = ["release", "report", *arguments, "--state", str(evidence.state)]
    done = CliRunner().invoke(app, given)
    assert done.exit_code != 0
    assert "Traceback" not in done.output
