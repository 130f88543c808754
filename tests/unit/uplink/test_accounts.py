"""What the audit log is told of the ledger: everything, once, without gaps; and what it betrays."""

import json
import shutil
import sqlite3
from contextlib import closing

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.accounting import Accounting
from gateway.domain.labels import DataClass, Label, Lane, Treatment
from gateway.uplink import days
from gateway.uplink.accounts import told
from gateway.uplink.agreement import compare
from gateway.uplink.ledger import Ledger
from gateway.uplink.release import EntryKey, Released
from security.audit import AuditBrokenError, AuditLog, verify
from security.audit.checking import Walk
from tests.fakes import FakeClock
from tests.ingest import EPOCH, VITALS

NOTES = Label(DataClass.MEDICAL_APPLICATION, 4)


class Scene:
    """A ledger, an audit log, and what tells one of the other."""

    def __init__(self, folder):
        self.folder = folder
        self.clock = FakeClock()
        self.key = Ed25519PrivateKey.generate()
        self.seq = 0
        self.open()

    def open(self):
        self.ledger = Ledger.open(self.folder / "ledger.sqlite", self.clock)
        self.audit = AuditLog(self.folder / "audit", self.key, self.clock)
        folder = self.folder / "audit"
        self.accounting = Accounting(self.ledger, self.audit, self.clock, folder)

    def close(self):
        self.ledger.close()
        self.audit.close()

    def release(self, destination="core", label=VITALS, treatment=Treatment.PASS, records=3):
        first, self.seq = self.seq + 1, self.seq + records
        size = 0 if treatment is Treatment.WITHHOLD else 10 * records
        entries = {EntryKey(label, treatment, "p1"): (records, size)}
        batch = Released(
            Lane.TELEMETRY, EPOCH, first, self.seq, b"", "p1", entries, 0, self.seq, {}
        )
        self.ledger.write([(destination, batch)])

    def settle(self):
        return self.accounting._settle()

    def periods(self):
        return list(told(Walk().through(self.folder / "audit")))

    def compare(self):
        return compare(self.folder / "ledger.sqlite", self.folder / "audit")

    def fold(self):
        while self.ledger.compact(self.clock.now_us() + 1):
            pass


@pytest.fixture
def scene(tmp_path):
    made = Scene(tmp_path)
    yield made
    made.close()


def test_an_hour_is_told_in_sums_and_the_ledger_agrees(scene):
    for _ in range(200):
        scene.release()
        scene.release("vendor", NOTES, Treatment.WITHHOLD, 1)
        scene.clock.advance(18)
    assert scene.settle()
    (period,) = scene.periods()
    assert sorted((key[1], sums.records, sums.bytes) for key, sums in period.sums.items()) == [
        ("core", 600, 6000),
        ("vendor", 200, 0),
    ]
    found = scene.compare()
    assert (found.periods, found.records, found.untold) == (1, 800, 0)
    scene.fold()
    assert scene.compare().records == 800
    assert verify(scene.folder / "audit", scene.key.public_key()).unsigned == 0


def test_periods_follow_each_other_also_when_nothing_left(scene):
    scene.settle()
    scene.clock.advance(3600)
    scene.settle()
    scene.release()
    scene.clock.advance(3600)
    scene.settle()
    numbers = [(p.number, p.first_id, p.last_id, len(p.sums)) for p in scene.periods()]
    assert numbers == [(1, 1, 0, 0), (2, 1, 0, 0), (3, 1, 1, 1)]
    assert [p.from_us for p in scene.periods()][1:] == [p.until_us for p in scene.periods()][:-1]


def test_what_was_entered_while_a_period_ended_is_in_the_next(scene):
    scene.release()
    ended = scene.ledger.end_period(scene.clock.now_us())
    scene.release()  # a moment later: the entry of before must not grow
    assert scene.ledger.untold() == ended
    assert scene.audit.account(ended.entries())
    scene.ledger.told(ended)
    assert scene.ledger.untold() is None
    assert scene.compare().untold == 1
    assert scene.settle()
    assert [sum(s.records for s in p.sums.values()) for p in scene.periods()] == [3, 3]


@pytest.mark.parametrize("written", range(5))
def test_a_crash_between_log_and_ledger_tells_the_same_again(scene, written):
    scene.release()
    scene.release("vendor", NOTES, Treatment.WITHHOLD, 1)
    ended = scene.ledger.end_period(scene.clock.now_us())
    scene.audit.account(ended.entries()[:written])
    scene.close()
    scene.open()
    scene.release()
    scene.clock.advance(5)
    assert scene.settle()
    assert [p.number for p in scene.periods()] == [1, 2]
    assert scene.periods()[0] == ended.period
    assert scene.compare().records == 7


def test_a_log_that_does_not_take_it_is_told_later_and_nothing_is_folded(scene, monkeypatch):
    scene.release()
    scene.release()

    def full(descriptor, data):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("security.audit.writer.os.write", full)
        assert not scene.settle()
        scene.clock.advance(days.DAY_US / 1e6)
        assert scene.ledger.compact(scene.clock.now_us()) == 0
    assert scene.settle()
    assert scene.compare().records == 6


def test_a_ledger_of_before_is_told_with_its_days(scene):
    scene.release()
    with closing(sqlite3.connect(scene.folder / "ledger.sqlite")) as db:
        db.execute(
            "INSERT INTO days VALUES (20000, 'core', 'telemetry', 1, 'health_status', 3, 'pass',"
            " 'p0', 'p0', 7, 1, 99, 99, 990, 1, 2)"
        )
        db.commit()
    assert scene.settle()
    assert scene.compare().records == 3 + 99


TAMPERING = {
    "fewer records": "UPDATE {table} SET records = records - 1",
    "fewer bytes": "UPDATE {table} SET bytes = bytes - 1",
    "an entry less": "DELETE FROM {table} WHERE {row} IN (SELECT min({row}) FROM {table})",
    "another destination": "UPDATE {table} SET destination = 'core' WHERE destination = 'vendor'",
    "another class": "UPDATE {table} SET class = 'health_resources'",
    "a lower level": "UPDATE {table} SET level = 1",
    "another treatment": "UPDATE {table} SET treatment = 'withhold'",
    "another policy": "UPDATE {table} SET policy = 'p9'",
    "another range": "UPDATE {table} SET last_seq = last_seq + 1",
}


@pytest.mark.parametrize("table", ["entries", "days"])
@pytest.mark.parametrize("name", TAMPERING)
def test_a_ledger_that_was_changed_is_found(scene, name, table):
    for _ in range(3):
        scene.release()
        scene.release("vendor", NOTES, Treatment.MASK)
        scene.clock.advance(20)
    assert scene.settle()
    if table == "days":
        scene.release()
        assert scene.settle()
        scene.fold()
    scene.compare()
    sql = TAMPERING[name].format(table=table, row="id" if table == "entries" else "day")
    with closing(sqlite3.connect(scene.folder / "ledger.sqlite")) as db:
        assert db.execute(sql).rowcount
        db.commit()
    with pytest.raises(AuditBrokenError, match="the log was told"):
        scene.compare()


@pytest.mark.parametrize("event", ["released", "release_period"])
def test_a_log_that_lacks_a_line_of_an_account_is_found(scene, event):
    """Even by somebody who could write the log anew: periods are gapless."""
    for _ in range(3):
        scene.release()
        scene.clock.advance(3600)
        scene.settle()
    path = scene.folder / "audit" / "audit.log"
    lines = path.read_text().splitlines()
    at = [n for n, line in enumerate(lines) if json.loads(line)["event"] == event][1]
    forged = AuditLog(scene.folder / "forged", scene.key, scene.clock)
    for line in lines[:at] + lines[at + 1 :]:
        fields = json.loads(line)
        name = fields.pop("event")
        if name in ("released", "release_period"):
            for key in ("n", "us", "leaf"):
                del fields[key]
            forged.record(name, **fields)
    forged.close()
    verify(scene.folder / "forged", scene.key.public_key())
    with pytest.raises(AuditBrokenError):
        compare(scene.folder / "ledger.sqlite", scene.folder / "forged")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.sampled_from(["core", "vendor", "withheld", "settle", "crash", "fold", "hour", "back"]),
        max_size=25,
    )
)
def test_whatever_happens_the_ledger_and_the_log_agree(tmp_path, acts):
    folder = tmp_path / "scene"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    scene = Scene(folder)
    for act in acts:
        match act:
            case "core":
                scene.release()
            case "vendor":
                scene.release("vendor", NOTES, Treatment.MASK)
            case "withheld":
                scene.release("vendor", NOTES, Treatment.WITHHOLD)
            case "settle":
                assert scene.settle()
            case "crash":
                scene.audit.account(scene.ledger.end_period(scene.clock.now_us()).entries())
                scene.close()
                scene.open()
            case "fold":
                scene.fold()
            case "hour":
                scene.clock.advance(3600)
            case "back":
                scene.clock._us -= 7200 * 1_000_000
    assert scene.settle()
    found = scene.compare()
    assert (found.untold, found.records) == (0, scene.seq)
    scene.close()
