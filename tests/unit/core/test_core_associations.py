"""Whose a stored report is now: by the associations that count, whatever was known before."""

import sqlite3
from contextlib import closing

import pytest
from msgspec import structs

from core import schema
from core.columns import BEDS, PATIENTS, Columns
from core.links import cut
from core.store import Ack, Offer, Reject, Store
from gateway.domain import records as r
from gateway.domain.labels import Lane
from security.sealing import KeyRing
from tests.ingest import NOW_US, alarm, batch, report

GATEWAY = r.Provenance("association", r.Attestation.CERTIFICATE, "adt-1")
SOURCE = "SELECT device_id, at_us - ?, patient_id_then, state_then, patient_id, state FROM "


def stay(
    name,
    patient,
    from_s,
    to_s=0,
    *,
    bed="bed-7",
    state=r.AssociationState.CURRENT,
    revision=1,
):
    """A patient in a bed, in seconds after NOW_US."""
    return r.AssociationChange(
        association_id=name,
        subject=r.AssociationSubject.BED,
        provenance=GATEWAY,
        device_id="",
        ward="icu",
        bed=bed,
        patient_id=patient,
        from_us=NOW_US + from_s,
        to_us=NOW_US + to_s if to_s else 0,
        state=state,
        reason="",
        cause="admit",
        revision=revision,
        at_us=NOW_US,
    )


def stood(name, device, bed, from_s, to_s=0, *, revision=1):
    return structs.replace(
        stay(name, "", from_s, to_s, bed=bed, revision=revision),
        subject=r.AssociationSubject.DEVICE,
        device_id=device,
    )


def said(n, patient="", association="", message_id=None):
    """A report at NOW_US + n."""
    state = r.AssociationState.CURRENT if association else r.AssociationState.NONE
    made = report(n, message_id=message_id)
    named = {"patient_id": patient, "association_id": association, "association_state": state}
    return structs.replace(made, ward="icu", **named)


class Core:
    def __init__(self, path, columns=None):
        self.path = path
        self.store = Store.open(path, lambda: NOW_US, columns)
        self.seq = 0

    def take(self, *records, lane=Lane.TELEMETRY, gateway="gw-1"):
        first, self.seq = self.seq + 1, self.seq + len(records)
        offer = Offer(gateway, frozenset(Lane), batch(first, records, lane=lane))
        verdicts, _ = self.store.ingest([offer])
        return verdicts[0]

    def whose(self, view="report_patients"):
        with closing(sqlite3.connect(self.path)) as db:
            rows = db.execute(f"{SOURCE} {view} ORDER BY at_us", (NOW_US,)).fetchall()
        return [row[1:] for row in rows]

    def ask(self, sql):
        with closing(sqlite3.connect(self.path)) as db:
            return db.execute(sql).fetchall()


@pytest.fixture
def core(tmp_path):
    made = Core(tmp_path / "core.db")
    yield made
    made.store.close()


def test_a_report_belongs_to_who_lay_there_at_its_time(core):
    core.take(stay("a", "ada", 10, 20), stay("b", "bob", 20))
    core.take(said(9), said(10, "ada", "a"), said(19, "ada", "a"), said(20, "bob", "b"))
    assert core.whose() == [
        (9, "", "", None, None),
        (10, "ada", "current", "ada", "current"),
        (19, "ada", "current", "ada", "current"),
        (20, "bob", "current", "bob", "current"),
    ]


def test_what_was_associated_wrongly_belongs_to_another_now_and_the_original_stays(core):
    core.take(stay("a", "ada", 10), said(15, "ada", "a"), said(25, "ada", "a"))
    core.take(stay("a", "ada", 10, 20, revision=2), stay("b", "bob", 20, revision=3))
    assert core.whose() == [
        (15, "ada", "current", "ada", "current"),
        (25, "ada", "current", "bob", "current"),
    ]
    core.take(stay("a", "ann", 10, 20, revision=4))  # merged
    assert core.whose()[0] == (15, "ada", "current", "ann", "current")
    core.take(stay("b", "", 20, state=r.AssociationState.WITHDRAWN, revision=5))
    assert core.whose()[1] == (25, "ada", "current", None, None)
    assert len(core.ask("SELECT * FROM association_changes")) == 5


def test_a_quarantine_names_nobody_until_it_is_resolved(core):
    core.take(stay("q", "", 10, state=r.AssociationState.QUARANTINED), said(15))
    assert core.whose() == [(15, "", "", "", "quarantined")]
    core.take(
        stay("q", "", 10, state=r.AssociationState.WITHDRAWN, revision=2),
        stay("a", "ada", 10, revision=3),
    )
    assert core.whose() == [(15, "", "", "ada", "current")]


def test_only_the_highest_revision_counts_in_whatever_order_they_come(core):
    core.take(stay("a", "bob", 10, revision=7), stay("a", "ada", 10, revision=3), said(15))
    assert core.whose() == [(15, "", "", "bob", "current")]


def test_a_device_that_stood_elsewhere_tells_of_who_lay_there(core):
    core.take(stay("a", "ada", 0), stay("b", "bob", 0, bed="bed-8"), said(15, "ada", "a"))
    core.take(stood("d", "monitor-1", "bed-8", 10, 20), said(25, "ada", "a"))
    assert [row[3] for row in core.whose()] == ["bob", "ada"]
    core.take(stood("d", "monitor-1", "", 10, 20, revision=2))  # at no bed at all
    assert [row[3] for row in core.whose()] == [None, "ada"]


def test_another_gateways_beds_are_others(core):
    core.take(said(15))
    core.seq = 0
    core.take(stay("a", "ada", 0), gateway="gw-2")
    assert core.whose() == [(15, "", "", None, None)]


def test_an_alarm_belongs_to_who_lay_there_when_it_began(core):
    began = structs.replace(alarm(15), ward="icu", patient_id="ada", association_id="a")
    ended = structs.replace(began, phase=r.AlarmPhase.END, at_us=NOW_US + 40)
    elsewhen = structs.replace(began, alarm_id="x", onset_us=5, at_us=NOW_US + 30)
    core.take(began, ended, elsewhen, lane=Lane.ALARMS)
    core.seq = 0
    core.take(stay("a", "ann", 10, 20), stay("b", "bob", 20))
    found = core.whose("alarm_patients")
    assert [(row[1], row[3]) for row in found] == [("ada", "ann"), ("ada", "ann"), ("ada", "bob")]


def test_what_is_no_association_is_refused(core):
    broken = structs.replace(stay("a", "ada", 0), subject=9)
    assert isinstance(core.take(broken), Reject)
    wrong = structs.replace(said(1), association_state=9)
    assert isinstance(core.take(wrong), Reject)
    assert core.ask("SELECT * FROM associations") == []


def test_masked_changes_are_kept_and_count_for_nothing(core):
    core.take(stay("", "", 0), stay("", "", 0, revision=0), said(5))
    assert core.ask("SELECT count(*) FROM association_changes") == [(2,)]
    assert core.whose() == [(5, "", "", None, None)]


def test_it_is_the_same_with_sealed_columns_and_an_erased_device_leads_to_nobody(tmp_path):
    ring = tmp_path / "ring"
    KeyRing.generate().save(ring)

    def columns():
        return Columns(tmp_path / "core.db.keys", lambda: KeyRing.load(ring), lambda: NOW_US)

    core = Core(tmp_path / "core.db", columns())
    core.take(stay("a", "ada", 10, 20), stay("b", "bob", 20), said(15, "ada", "a"), said(25))
    with closing(columns()) as keys:
        opened = [keys.open(PATIENTS, "patient_id", row[3]) for row in core.whose()]
        assert opened == ["ada", "bob"]
        assert keys.open("monitor-1", "patient_id", core.whose()[0][1]) == "ada"
        ((place,),) = core.ask("SELECT name FROM places")
        assert keys.open(BEDS, "place", place) == "icu/bed-7"
    cut(core.path, "monitor-1")
    assert [row[3:] for row in core.whose()] == [(None, None), (None, None)]
    core.take(said(16, "ada", "a"))  # goes on with what is known from now on
    with closing(columns()) as keys:
        keys.erase("monitor-1", "dpo", "a request")
    core.take(said(17, "ada", "a"))
    assert core.whose()[-2][3] is not None
    core.store.close()


def test_a_store_of_the_schema_before_is_carried_over(tmp_path, monkeypatch):
    real = schema.steps()
    path = tmp_path / "core.db"
    monkeypatch.setattr(schema, "steps", lambda: [each for each in real if each[0] < 7])
    with closing(sqlite3.connect(path)) as db:
        schema.migrate(db)
        db.executescript("""
            INSERT INTO gateways VALUES (1, 'gw-1');
            INSERT INTO devices VALUES (1, 'monitor-1');
            INSERT INTO shapes VALUES (1, '[]');
            INSERT INTO contexts VALUES (5, 1, 2, 9, 2, 3, 1, 1, 'monitor', 'bed-7', 'mqtt', 1, '',
              1, 'icu');
            INSERT INTO report VALUES (1, 1, 'm:1', 5, 1, 7, 8, 6, 0, 1, '[]', NULL, NULL, NULL);
        """)
        before = db.execute("SELECT * FROM contexts").fetchall()
    monkeypatch.setattr(schema, "steps", lambda: real)
    core = Core(path)
    assert core.ask("SELECT * FROM contexts") == [(*row, "", "", 0, None) for row in before]
    assert core.ask("SELECT device_id, ward, bed FROM reports") == [("monitor-1", "icu", "bed-7")]
    assert core.ask("SELECT patient_id FROM report_patients") == [(None,)]
    assert core.ask("PRAGMA integrity_check") == [("ok",)]
    core.store.close()


def test_the_way_to_a_report_is_by_keys(core):
    core.take(stay("a", "ada", 0), said(5))
    plan = core.ask("EXPLAIN QUERY PLAN SELECT * FROM report_patients WHERE report = 1")
    told = " ".join(str(row[3]) for row in plan)
    assert "association_of_place" in told
    assert "association_of_device" in told
    assert isinstance(core.take(said(6, message_id=report(5).message_id)), Ack)
