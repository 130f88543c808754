"""A store of an older schema is carried over as it is opened; nothing in it changes."""

import sqlite3
from contextlib import closing

import pytest

from core import schema
from core.store import Ack, Offer, Store
from gateway.domain import records as r
from gateway.domain import terms
from gateway.domain.labels import Lane
from gateway.domain.records import AlarmNotification, Attestation, NotificationAction, Provenance
from tests.ingest import EPOCH, batch, reports

OLD = """
INSERT INTO gateways VALUES (1, 'gw-1');
INSERT INTO metrics VALUES (147842, 147842, 'MDC_ECG_HEART_RATE', '/min'),
  (150456, 150456, 'MDC_PULS_OXIM_SAT_O2', '%'), (7, 7, 'CLAMP', '');
INSERT INTO positions VALUES (1, 'telemetry', 1790000000, 3, 3, 1, 2);
INSERT INTO coverage VALUES (1, 'telemetry', 1790000000, 1, 3, 'received', '', 3);
INSERT INTO report (id, gateway, lane, epoch, seq, device_id, message_id, kind, received_us,
  stored_us, device_us, time_quality, offset_us, bed, driver, attestation, attested_by, class,
  level, treatment, observations, waveforms) VALUES
  (11, 1, 2, 1790000000, 1, 'monitor-1', '5f3a:1', 'monitor', 5, 6, 4, 1, -2, 'bed-7', 'mqtt', 1,
   '', 2, 3, 1, '[[147842,150456],[72.5,97.0]]', NULL),
  (12, 1, 2, 1790000000, 2, 'monitor-1', NULL, 'monitor', 7, 8, NULL, 0, 0, 'bed-7', 'serial', 2,
   'tty-3', 2, 3, 3, '[[147842,7],[73.0,"open"],[4,1],[0,66]]', '[[147842,1,2.0,1.0,0.0,1,[3]]]'),
  (13, 1, 1, 1790000000, 3, 'monitor-2', '5f3a:1', 'monitor', 9, 10, 4, 1, 0, '', 'mqtt', 1,
   '', 2, 3, 1, '[[],[]]', NULL);
INSERT INTO alarms (gateway, epoch, seq, alarm_id, device_id, bed, priority, phase, kind, source,
  code, condition, text, onset_us, at_us, stored_us, "values", driver, attestation, treatment)
  VALUES (1, 1790000000, 1, 'a', 'monitor-1', '', 'high', 'start', 'physiological', 'gateway', 1,
  'hr_high', '', 1, 1, 1, '[]', 'mqtt', 'certificate', 'pass');
INSERT INTO inventory (gateway, lane, epoch, seq, device_id, received_us, stored_us, action, epc,
  place, from_place, badge, driver, attestation, treatment) VALUES (1, 'telemetry', 1790000000, 4,
  'reader-1', 11, 12, 'arrived', 'E280', 'store-1', '', '', 'llrp', 'certificate', 'pass');
"""
NOTIFICATIONS = 6
"""The step that brings them."""
TIMES = 10
READINGS = "SELECT * FROM readings"
ALARMS = "SELECT id, alarm_id, device_id, phase, condition, attested_by FROM alarms"
REPORTS = """SELECT gateway, lane, epoch, seq, device_id, message_id, kind, bed, received_us,
  stored_us, device_us, class, level, treatment FROM reports"""


@pytest.fixture
def old(tmp_path):
    """A store as the first schema left it."""
    path = tmp_path / "core.db"
    (_, first), *_ = schema.steps()
    with closing(sqlite3.connect(path)) as db:
        db.executescript(f"{first}\nPRAGMA user_version=1;\n{OLD}")
    return path


def ask(path, sql):
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def test_an_old_store_reads_the_same_after_it_was_carried_over(old):
    before = [ask(old, READINGS), ask(old, REPORTS)]
    Store.open(old, lambda: 0).close()
    assert ask(old, "PRAGMA user_version") == [(schema.steps()[-1][0],)]
    assert [ask(old, READINGS), ask(old, REPORTS)] == before
    assert len(before[0]) == 4
    assert ask(old, "SELECT id, codes, waveforms FROM report") == [
        (11, None, None),
        (12, "[0,66]", "[[147842,1,2.0,1.0,0.0,1,[3]]]"),
        (13, None, None),
    ]
    assert ask(old, "SELECT attestation, attested_by FROM reports") == [
        ("certificate", ""),
        ("port", "tty-3"),
        ("certificate", ""),
    ]
    assert ask(old, "SELECT alarm_id, attested_by FROM alarms") == [("a", "")]
    assert ask(old, "SELECT epc, item_class, badges FROM inventory") == [("E280", "", "[]")]
    assert ask(old, "SELECT cabinet, epc, place FROM stock") == [("reader-1", "E280", "store-1")]
    assert ask(old, "PRAGMA integrity_check") == [("ok",)]


def test_what_an_old_store_holds_is_not_stored_again(old):
    with closing(Store.open(old, lambda: 0)) as store:
        assert store.resume_points("gw-1") == [Ack(Lane.TELEMETRY, EPOCH, 3)]
        offer = Offer("gw-2", frozenset(Lane), reports(1, 2))
        _, tally = store.ingest([offer])
    assert (tally.stored, tally.duplicates) == (1, 1)
    found = ask(old, f"SELECT value FROM readings WHERE code = {terms.HEART_RATE}")
    assert found == [(72.5,), (73.0,), (2.0,)]


@pytest.mark.parametrize("failing", [2, 3])
def test_a_step_that_fails_leaves_the_store_as_it_was_before_it(old, monkeypatch, failing):
    real = schema.steps()
    extra = "\nINSERT INTO nowhere VALUES (1);"
    broken = [(number, sql + extra * (number == failing)) for number, sql in real]
    before = [ask(old, READINGS), ask(old, REPORTS)]
    monkeypatch.setattr(schema, "steps", lambda: broken)
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        Store.open(old, lambda: 0)
    assert [ask(old, READINGS), ask(old, REPORTS)] == before
    assert ask(old, "PRAGMA user_version") == [(failing - 1,)]
    monkeypatch.setattr(schema, "steps", lambda: real)
    Store.open(old, lambda: 0).close()
    assert [ask(old, READINGS), ask(old, REPORTS)] == before


def test_a_store_of_the_seventh_schema_takes_orders_when_it_was_carried_over(old, monkeypatch):
    real = schema.steps()
    monkeypatch.setattr(schema, "steps", lambda: [each for each in real if each[0] <= 7])
    Store.open(old, lambda: 0).close()
    before = [ask(old, READINGS), ask(old, REPORTS)]
    monkeypatch.setattr(schema, "steps", lambda: real)
    source = r.Provenance("hl7", r.Attestation.BROKER, "orders-1")
    order = r.InfusionOrder("pump-1", source, 5, r.InfusionOrderAction.ORDERED, "12345")
    with closing(Store.open(old, lambda: 0)) as store:
        store.ingest([Offer("gw-2", frozenset(Lane), batch(1, [order]))])
    assert [ask(old, READINGS), ask(old, REPORTS)] == before
    assert ask(old, "SELECT device_id, order_id, attested_by FROM infusion_orders") == [
        ("pump-1", "12345", "orders-1")
    ]


def test_a_store_from_before_times_were_estimated_takes_them(old, monkeypatch):
    real = schema.steps()
    monkeypatch.setattr(schema, "steps", lambda: [each for each in real if each[0] < TIMES])
    Store.open(old, lambda: 0).close()
    before = [ask(old, READINGS), ask(old, REPORTS)]
    monkeypatch.setattr(schema, "steps", lambda: real)
    assert ask(old, "SELECT count(*) FROM report") == [(3,)]
    source = r.Provenance("mqtt", r.Attestation.CERTIFICATE)
    report = r.Report(
        "monitor-1",
        "vitals",
        source,
        9_000,
        device_us=7_000,
        message_id="6:1",
        measured_us=8_000,
        uncertainty_us=250,
        time_marks=r.TimeMark.LATE | r.TimeMark.SET,
        order_us=8_500,
    )
    with closing(Store.open(old, lambda: 0)) as store:
        store.ingest([Offer("gw-2", frozenset(Lane), batch(1, [report]))])
    assert [ask(old, READINGS), ask(old, REPORTS)[:-1]] == before
    columns = "measured_us, uncertainty_us, order_us, late, device_set, uncertain"
    assert ask(old, f"SELECT {columns} FROM times WHERE device_us = 7000") == [
        (8_000, 250, 8_500, 1, 1, 0)
    ]
    assert ask(old, f"SELECT {columns} FROM times WHERE received_us = 5") == [
        (None, None, 5, 0, 0, 0)
    ]
    assert ask(old, "SELECT at_us FROM report_patients ORDER BY report") == [
        (5,),
        (7,),
        (9,),
        (8_000,),
    ]
    assert ask(old, "PRAGMA integrity_check") == [("ok",)]


def test_the_second_schema_is_carried_over_with_its_contexts(old, monkeypatch):
    real = schema.steps()
    monkeypatch.setattr(schema, "steps", lambda: real[:2])
    Store.open(old, lambda: 0).close()
    contexts = ask(old, "SELECT * FROM contexts")
    monkeypatch.setattr(schema, "steps", lambda: real)
    Store.open(old, lambda: 0).close()
    assert ask(old, "SELECT * FROM contexts") == [(*row, "", "", "", 0, None) for row in contexts]
    assert ask(old, "SELECT DISTINCT ward FROM reports") == [("",)]
    assert ask(old, "PRAGMA integrity_check") == [("ok",)]


def test_a_store_from_before_alarms_were_told_to_people_takes_what_became_of_them(old, monkeypatch):
    real = schema.steps()
    monkeypatch.setattr(schema, "steps", lambda: [each for each in real if each[0] < NOTIFICATIONS])
    Store.open(old, lambda: 0).close()
    before = [ask(old, READINGS), ask(old, ALARMS)]
    monkeypatch.setattr(schema, "steps", lambda: real)
    told = AlarmNotification(
        "monitor-1",
        Provenance("gateway", Attestation.GATEWAY),
        5,
        NotificationAction.ACKNOWLEDGED,
        "a",
        by="anna",
    )
    with closing(Store.open(old, lambda: 0)) as store:
        store.ingest([Offer("gw-1", frozenset(Lane), batch(4, [told]))])
    assert [ask(old, READINGS), ask(old, ALARMS)] == before
    joined = """SELECT condition, "by" FROM alarms JOIN
      (SELECT alarm_id, "by" FROM notifications) USING (alarm_id)"""
    assert ask(old, joined) == [("hr_high", "anna")]
    assert ask(old, "PRAGMA integrity_check") == [("ok",)]
