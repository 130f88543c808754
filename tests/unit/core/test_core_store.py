"""The store keeps what it acknowledges, once, and accounts for every sequence number."""

import sqlite3
import struct
from contextlib import closing
from typing import Any

import msgspec
import pytest

from core.schema import SchemaError
from core.store import Ack, Offer, Reject, Store, Tally
from gateway.domain import records as r
from gateway.domain import terms
from gateway.domain.labels import Lane
from gateway.wire.sections import encode_batch_request, encode_section, varint
from protos.wardgate.v1 import ingest_pb2 as pb
from tests import ingest
from tests.ingest import EPOCH, NOW_US, alarm, batch, report, reports

BOTH = frozenset(Lane)
TELEMETRY = Lane.TELEMETRY


@pytest.fixture
def path(tmp_path):
    return tmp_path / "core.db"


@pytest.fixture
def store(path):
    with closing(Store.open(path, lambda: NOW_US + 1000)) as opened:
        yield opened


def take(store, *raws, gateway="gw-1", lanes=BOTH):
    verdicts, _ = store.ingest([Offer(gateway, lanes, raw) for raw in raws])
    return verdicts


def rows(path, sql, *args):
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql, args).fetchall()


def heart_rates(path):
    found = rows(path, "SELECT value FROM readings WHERE code = ?", terms.HEART_RATE)
    return [value for (value,) in found]


def test_readings_show_what_the_device_said(store, path):
    marked = r.Report(
        device_id="monitor-2",
        kind="monitor",
        provenance=ingest.PROVENANCE,
        received_us=NOW_US,
        codes=(terms.HEART_RATE, terms.SPO2),
        values=(61.5, 0.0),
        qualities=(r.Quality.VALID, r.Quality.INVALID),
        enumerations=(r.Enumeration(terms.CLAMP, 0, "open", r.Quality.QUESTIONABLE),),
        texts=(r.Text(terms.DRUG_NAME, "saline"),),
    )
    codes = (terms.HEART_RATE, terms.SPO2, terms.CLAMP, terms.DRUG_NAME)
    assert take(store, batch(7, [marked], codes=codes)) == [Ack(TELEMETRY, EPOCH, 7)]
    common = ("telemetry", 7)
    assert rows(path, "SELECT * FROM readings") == [
        ("monitor-2", "", terms.HEART_RATE, 61.5, "/min", None, "valid", EPOCH, *common),
        ("monitor-2", "", terms.SPO2, 0.0, "%", None, "invalid", EPOCH, *common),
        ("monitor-2", "", terms.CLAMP, "open", "", None, "questionable", EPOCH, *common),
        ("monitor-2", "", terms.DRUG_NAME, "saline", "", None, "valid", EPOCH, *common),
    ]


def varint_field(tag, number):
    return varint(tag << 3) + varint(number)


def double_field(tag, number):
    return varint(tag << 3 | 1) + struct.pack("<d", number)


ODD_REPORTS = {
    "unpacked": b"".join(
        varint_field(12, code) + double_field(13, value)
        for code, value in ((terms.HEART_RATE, 61.0), (terms.SPO2, 97.0))
    ),
    "in two pieces": b"".join(
        pb.Report(codes=[code], values=[value]).SerializeToString()
        for code, value in ((terms.HEART_RATE, 61.0), (terms.SPO2, 97.0))
    ),
    "defaults written out": varint_field(6, 0)
    + pb.Report(codes=ingest.CODES, values=[61.0, 97.0]).SerializeToString(),
}


@pytest.mark.parametrize("encoding", ODD_REPORTS)
def test_a_report_is_read_whole_however_it_is_encoded(store, path, encoding):
    odd = pb.Report(device_id="monitor-3").SerializeToString() + ODD_REPORTS[encoding]
    record = b"\x0a" + varint(len(odd)) + odd
    section = encode_section(ingest.VITALS, 3, [0], [record], ingest.CODES)
    take(store, reports(1, 2), encode_batch_request(TELEMETRY, EPOCH, 3, 3, [section], 0))
    found = rows(path, "SELECT code, value FROM readings WHERE device_id = 'monitor-3'")
    assert found == [(terms.HEART_RATE, 61.0), (terms.SPO2, 97.0)]


def test_reports_of_numbers_and_others_stay_in_order(store, path):
    words = r.Report(
        device_id="monitor-1",
        kind="monitor",
        provenance=ingest.PROVENANCE,
        received_us=NOW_US,
        enumerations=(r.Enumeration(terms.CLAMP, 0, "open"),),
        message_id="5f3a:2",
    )
    # The second batch finds its shapes and contexts known; the first repeat of an id stands.
    for first in (1, 5):
        mixed = [report(first), words, report(2), report(first + 3)]
        take(store, batch(first, mixed, codes=(*ingest.CODES, terms.CLAMP)))
    select = "SELECT id, seq, message_id FROM report ORDER BY id"
    assert rows(path, select) == [
        (1, 1, "5f3a:1"),
        (2, 2, "5f3a:2"),
        (3, 4, "5f3a:4"),
        (4, 5, "5f3a:5"),
        (5, 8, "5f3a:8"),
    ]
    assert rows(path, "SELECT value FROM readings WHERE message_id = '5f3a:2'") == [("open",)]


def test_many_reports_of_one_batch_are_counted_and_stored_once(store, path):
    numbers = [*range(1, 251), *range(1, 251)]
    verdicts, tally = store.ingest(
        [Offer("gw-1", BOTH, batch(1, [report(n) for n in numbers]))] * 2
    )
    assert verdicts == [Ack(TELEMETRY, EPOCH, 500)] * 2
    assert tally == Tally(stored=250, duplicates=250, redelivered=500)
    assert heart_rates(path) == list(range(1, 251))


def test_contexts_are_kept_once_and_name_who_attests(store, path):
    port = r.Provenance("intellivue", r.Attestation.PORT, "bed-7-serial")
    moved = msgspec.structs.replace(report(3), bed="bed-8")
    wired = msgspec.structs.replace(report(4), provenance=port)
    take(store, batch(1, [report(1), report(2), moved, wired]))
    take(store, batch(5, [report(5), report(6)], epoch=EPOCH + 1))
    assert rows(path, "SELECT count(*) FROM contexts") == [(4,)]
    select = "SELECT seq, epoch, bed, driver, attestation, attested_by FROM reports"
    mqtt = ("mqtt", "certificate", "")
    assert rows(path, select) == [
        (1, EPOCH, "bed-7", *mqtt),
        (2, EPOCH, "bed-7", *mqtt),
        (3, EPOCH, "bed-8", *mqtt),
        (4, EPOCH, "bed-7", "intellivue", "port", "bed-7-serial"),
        (5, EPOCH + 1, "bed-7", *mqtt),
        (6, EPOCH + 1, "bed-7", *mqtt),
    ]


def test_one_devices_readings_are_found_by_an_index(store, path):
    select = "EXPLAIN QUERY PLAN SELECT * FROM readings WHERE device_id = 'monitor-1'"
    plan = "\n".join(row[3] for row in rows(path, select))
    assert "report USING INDEX report_once (device=?)" in plan
    assert "SCAN report\n" not in plan


def test_device_time_and_id_are_readable(store, path):
    take(store, reports(3, 3))
    assert (
        rows(path, "SELECT message_id, device_time, typeof(device_time) FROM readings")
        == [("5f3a:3", NOW_US - 2, "integer")] * 2
    )
    assert rows(path, "SELECT gateway, treatment, received_us, stored_us FROM reports") == [
        ("gw-1", "pass", NOW_US + 3, NOW_US + 1000)
    ]


def test_a_batch_sent_again_is_acknowledged_and_not_stored_again(store, path):
    take(store, reports(1, 4))
    assert take(store, reports(1, 4), reports(2, 3)) == [
        Ack(TELEMETRY, EPOCH, 4),
        Ack(TELEMETRY, EPOCH, 3),
    ]
    assert heart_rates(path) == [1, 2, 3, 4]
    assert rows(path, "SELECT records, duplicates, redelivered FROM positions") == [(4, 0, 6)]


def test_reports_without_an_id_are_told_apart_by_their_position(store, path):
    nameless = [report(5, message_id="") for _ in range(3)]
    take(store, batch(1, nameless))
    take(store, batch(1, nameless), batch(2, [*nameless[1:], report(9, message_id="")]))
    assert heart_rates(path) == [5, 5, 5, 9]


def test_of_an_overlapping_batch_only_the_new_part_is_stored(store, path):
    take(store, reports(1, 4))
    assert take(store, reports(3, 6)) == [Ack(TELEMETRY, EPOCH, 6)]
    assert heart_rates(path) == [1, 2, 3, 4, 5, 6]
    assert rows(path, "SELECT first_seq, last_seq, state, records FROM coverage") == [
        (1, 6, "received", 6)
    ]


def test_an_id_is_stored_once_whichever_gateway_and_epoch_brings_it(store, path):
    take(store, reports(1, 3))
    take(store, batch(4, [report(2), report(4)], epoch=EPOCH + 9))
    take(store, batch(1, [report(3), report(5)]), gateway="gw-2")
    assert heart_rates(path) == [1, 2, 3, 4, 5]
    assert rows(path, "SELECT records, duplicates FROM positions ORDER BY gateway") == [
        (4, 1),
        (1, 1),
    ]


def test_positions_and_ids_survive_reopening(path):
    with closing(Store.open(path, lambda: NOW_US)) as first:
        take(first, reports(1, 3))
    with closing(Store.open(path, lambda: NOW_US)) as again:
        assert again.resume_points("gw-1") == [Ack(TELEMETRY, EPOCH, 3)]
        assert again.resume_points("gw-2") == []
        take(again, reports(2, 5))
    assert heart_rates(path) == [1, 2, 3, 4, 5]
    assert rows(path, "SELECT count(*) FROM coverage") == [(1,)]


def test_withheld_and_lost_ranges_are_covered_and_lost_ones_are_gaps(store, path):
    section = ingest.section(11, [report(11), report(12)])
    raw = encode_batch_request(
        TELEMETRY, EPOCH, 10, 20, [section], 6, [(14, 16, "journal_damaged")]
    )
    assert take(store, raw) == [Ack(TELEMETRY, EPOCH, 20)]
    select = "SELECT first_seq, last_seq, state, reason, records FROM coverage"
    assert rows(path, select) == [
        (10, 13, "received", "", 2),
        (14, 16, "lost", "journal_damaged", 0),
        (17, 20, "received", "", 0),
    ]
    assert rows(path, "SELECT source, reason, lane, first_seq, last_seq, reports FROM gaps") == [
        ("core", "journal_damaged", "telemetry", 14, 16, 3)
    ]


def test_a_hole_in_the_numbers_is_recorded_as_missing(store, path):
    take(store, reports(1, 2), reports(5, 6))
    assert rows(path, "SELECT first_seq, last_seq, state FROM coverage") == [
        (1, 2, "received"),
        (3, 4, "missing"),
        (5, 6, "received"),
    ]
    assert rows(path, "SELECT first_seq, last_seq, reason FROM gaps") == [(3, 4, "not_sent")]


def test_a_restored_gateway_goes_back_in_numbers_under_a_newer_epoch(store, path):
    take(store, reports(1, 9))
    again = batch(5, [report(100), report(101)], epoch=EPOCH + 1)
    assert take(store, again) == [Ack(TELEMETRY, EPOCH + 1, 6)]
    assert heart_rates(path)[-2:] == [100, 101]
    assert rows(path, "SELECT count(*) FROM gaps") == [(0,)]
    # What its old epoch had is known; what it never sent under it is not acknowledged.
    assert take(store, reports(3, 9)) == [Ack(TELEMETRY, EPOCH, 9)]
    (verdict,) = take(store, reports(8, 12))
    assert isinstance(verdict, Reject)
    assert (verdict.permanent, verdict.reason) == (False, "epoch_behind")


def test_what_lies_before_the_start_and_never_came_is_not_acknowledged(store, path):
    take(store, reports(5, 6))
    for first, last in ((3, 4), (4, 5), (4, 8)):
        (verdict,) = take(store, reports(first, last))
        assert verdict == Reject(
            TELEMETRY, EPOCH, first, last, permanent=True, reason="before_start"
        )
    assert heart_rates(path) == [5, 6]


def test_alarms_gaps_statuses_and_inventory_are_readable(store, path):
    port = r.Provenance("serial", r.Attestation.PORT, "ttyS3")
    others: list[r.Record] = [
        r.Gap("link_lost", device_id="monitor-1", from_us=NOW_US, to_us=NOW_US + 9, reports=4),
        r.DeviceStatus("monitor-1", "monitor", port, NOW_US, r.DeviceState.SILENT, "silence"),
        r.InventoryEvent("reader-1", port, NOW_US, r.InventoryAction.MOVED, "E280", "store-2"),
        r.AlarmNotification(
            "monitor-1",
            port,
            NOW_US,
            r.NotificationAction.ACKNOWLEDGED,
            "a1",
            "hr_high",
            r.AlarmPriority.HIGH,
            r.AlarmPhase.START,
            n=2,
            level=1,
            outlet="screen",
            by="anna",
        ),
        r.AlarmNotification("gw-1", port, NOW_US, r.NotificationAction.SILENCED, until_us=7),
        r.GatewayClock(
            "gw-1",
            port,
            NOW_US,
            "set",
            "chrony",
            synchronised=True,
            error_us=1200,
            offset_us=-3,
            stratum=2,
            reference="10.0.0.1",
            leap=r.LeapStatus.NORMAL,
            step_us=-8_000_000,
        ),
        *[
            r.InfusionOrder(
                "pump-1",
                port,
                NOW_US,
                r.InfusionOrderAction.CHANGED,
                "12345",
                drug="Normal Saline",
                rate_ml_h=13.3,
                message_id="2",
            )
        ]
        * 2,  # the second is a repeat
    ]
    take(store, batch(1, [alarm(1, provenance=port), alarm(1)], lane=Lane.ALARMS), batch(1, others))
    assert rows(path, 'SELECT priority, phase, condition, "values", "limit" FROM alarms') == [
        ("high", "start", "hr_high", f"[[{terms.HEART_RATE},181.0]]", 140.0)
    ]
    assert rows(path, "SELECT source, device_id, reason, from_us, reports FROM gaps") == [
        ("gateway", "monitor-1", "link_lost", NOW_US, 4)
    ]
    assert rows(path, "SELECT state, reason, battery_percent FROM statuses") == [
        ("silent", "silence", None)
    ]
    assert rows(path, "SELECT action, epc, place FROM inventory") == [("moved", "E280", "store-2")]
    told = 'SELECT action, alarm_id, priority, phase, n, level, outlet, "by", until_us'
    assert rows(path, f"{told} FROM notifications") == [
        ("acknowledged", "a1", "high", "start", 2, 1, "screen", "anna", None),
        ("silenced", "", None, None, 0, 0, "", "", 7),
    ]
    orders = "SELECT action, order_id, drug, volume_ml, rate_ml_h, ordered_us FROM infusion_orders"
    assert rows(path, orders) == [("changed", "12345", "Normal Saline", None, 13.3, None)]
    clock = """SELECT device_id, cause, source, synchronised, error_us, offset_us, stratum, leap,
      step_us FROM gateway_clocks"""
    assert rows(path, clock) == [
        ("gw-1", "set", "chrony", 1, 1200, -3, 2, "normal", -8_000_000),
    ]
    for table in ("alarms", "statuses", "inventory", "infusion_orders"):
        assert rows(path, f"SELECT attestation, attested_by FROM {table}") == [("port", "ttyS3")]
    found = rows(path, "SELECT DISTINCT attestation, attested_by FROM notifications")
    assert found == [("port", "ttyS3")]


def test_what_is_in_the_cabinets_is_a_view(store, path):
    def item(action, epc, place, at, **more):
        return r.InventoryEvent(
            "drugs-1",
            r.Provenance("cabinet", r.Attestation.GATEWAY),
            NOW_US,
            action,
            epc,
            place,
            device_us=NOW_US + at,
            **more,
        )

    act = r.InventoryAction
    told = {"session": "s-1", "item_class": "morphine", "lot": "L1", "expiry": "2027-01-31"}
    take(
        store,
        batch(
            1,
            [
                item(act.ARRIVED, "E1", "drawer-1", 1, badges=("s-17", "s-18"), **told),
                item(act.ARRIVED, "E2", "drawer-1", 2),
                item(act.ARRIVED, "E3", "drawer-1", 3),
                item(act.MOVED, "E1", "drawer-2", 4, **told),
                item(act.DEPARTED, "E2", "drawer-1", 5),
                item(act.DOUBTED, "E3", "drawer-1", 6, reason="outage"),
                item(act.ISSUED, "E4", "rack", 7),
            ],
        ),
    )
    assert rows(path, "SELECT * FROM stock ORDER BY epc") == [
        ("drugs-1", "E1", "drawer-2", "morphine", "L1", "2027-01-31", NOW_US + 4, 0),
        ("drugs-1", "E3", "drawer-1", "", "", "", NOW_US + 6, 1),
    ]
    assert rows(path, "SELECT session, badges FROM inventory WHERE seq = 1") == [
        ("s-1", '["s-17","s-18"]')
    ]
    assert rows(path, "SELECT reason FROM inventory WHERE seq = 6") == [("outage",)]


def test_who_opened_a_cabinet_and_what_was_counted(store, path):
    source = r.Provenance("cabinet", r.Attestation.GATEWAY, "reader-1")
    access = r.CabinetEvent(
        "drugs-1",
        source,
        NOW_US,
        r.CabinetEventKind.ACCESS,
        "front",
        "s-1",
        NOW_US - 9,
        NOW_US - 4,
        r.AccessVerdict.ONE_PERSON,
        ("s-17",),
        (r.ItemCount("morphine", 3, 2, 1),),
        unseen_close=True,
    )
    counted = r.CabinetEvent(
        "drugs-1",
        source,
        NOW_US,
        r.CabinetEventKind.RECONCILIATION,
        badges=("s-17", "s-18"),
        counts=(r.ItemCount("morphine", 3, 2, 1, 2),),
        reason="one broke",
    )
    take(store, batch(1, [access, counted]))
    select = """SELECT kind, door, session, opened_us, closed_us, unseen_close, verdict, badges,
      reason, attestation, attested_by FROM cabinet_events"""
    assert rows(path, select) == [
        (
            "access",
            "front",
            "s-1",
            NOW_US - 9,
            NOW_US - 4,
            1,
            "one_person",
            '["s-17"]',
            "",
            "gateway",
            "reader-1",
        ),
        (
            "reconciliation",
            "",
            "",
            None,
            None,
            0,
            "",
            '["s-17","s-18"]',
            "one broke",
            "gateway",
            "reader-1",
        ),
    ]
    select = "SELECT kind, item_class, expected, found, doubted, counted FROM cabinet_counts"
    assert rows(path, select) == [
        ("access", "morphine", 3, 2, 1, None),
        ("reconciliation", "morphine", 3, 2, 1, 2),
    ]


def test_a_code_with_another_unit_keeps_its_own_unit(store, path):
    section = pb.Section(
        data_class=pb.DATA_CLASS_HEALTH_STATUS,
        level=3,
        treatment=pb.TREATMENT_PASS,
        first_seq=2,
        seq_offsets=[0],
        metrics=[
            pb.Metric(code=terms.HEART_RATE, refid="MDC_ECG_HEART_RATE", unit="Hz"),
            pb.Metric(code=terms.SPO2, refid="MDC_PULS_OXIM_SAT_O2", unit="%"),
        ],
        records=[pb.Record(report=pb.Report(device_id="d", codes=[terms.HEART_RATE], values=[1]))],
    ).SerializeToString()
    raw = encode_batch_request(TELEMETRY, EPOCH, 2, 2, [section], 0)
    take(store, reports(1, 1), raw)
    assert rows(path, "SELECT seq, value, unit FROM readings WHERE code = ?", terms.HEART_RATE) == [
        (1, 1.0, "/min"),
        (2, 1.0, "Hz"),
    ]


def request(**changes):
    """A sound batch of one report, changed."""
    message = pb.StreamRequest.FromString(reports(1, 2))
    for key, value in changes.items():
        setattr(message.batch, key, value)
    return message


def twice():
    message = request(last_seq=4)
    message.batch.sections.append(message.batch.sections[0])
    return message


def offsets():
    message = request()
    del message.batch.sections[0].seq_offsets[1]
    return message


def labelled(level):
    message = request()
    message.batch.sections[0].level = level
    return message


def treated(treatment):
    message = request()
    message.batch.sections[0].treatment = treatment
    return message


def changed_report(**changes):
    message = request()
    found = message.batch.sections[0].records[1].report
    for key, value in changes.items():
        if isinstance(value, list):
            del getattr(found, key)[:]
            getattr(found, key).extend(value)
        else:
            setattr(found, key, value)
    return message


def unnamed():
    message = request()
    del message.batch.sections[0].metrics[:]
    return message


def hollow():
    message = request()
    message.batch.sections[0].records[1].Clear()
    return message


def lost(first, last, **changes):
    message = request(**changes)
    message.batch.lost.add(first_seq=first, last_seq=last)
    return message


HOSTILE = {
    "sequence_twice": twice(),
    "offsets": offsets(),
    "label": labelled(6),
    "treatment": treated(pb.TREATMENT_WITHHOLD),
    "sequence_outside": request(last_seq=1),
    "not_accounted": request(last_seq=3),
    "lost_and_sent": lost(2, 2),
    "lost_range": lost(3, 9),
    "values": changed_report(values=[1.0]),
    "unknown_quality": changed_report(qualities=[1, 77]),
    "unknown_timequality": changed_report(time_quality=9),
    "unnamed_metric": unnamed(),
    "empty_record": hollow(),
}


@pytest.mark.parametrize("reason", HOSTILE)
def test_a_bad_batch_is_rejected_for_good_and_spoils_no_other(store, path, reason):
    bad = HOSTILE[reason].SerializeToString()
    good = reports(1, 1)
    first, verdict, last = take(store, good, bad, good, gateway="gw-1")
    assert (first, last) == (Ack(TELEMETRY, EPOCH, 1), Ack(TELEMETRY, EPOCH, 1))
    assert isinstance(verdict, Reject)
    assert (verdict.permanent, verdict.reason) == (True, reason)
    assert verdict.first == 1
    assert heart_rates(path) == [1]


def test_a_rejected_batch_that_was_next_is_covered_as_rejected(store, path):
    follows = pb.StreamRequest.FromString(reports(3, 4))
    follows.batch.sections[0].level = 0
    take(store, reports(1, 2), follows.SerializeToString(), reports(5, 6))
    assert rows(path, "SELECT first_seq, last_seq, state, reason FROM coverage") == [
        (1, 2, "received", ""),
        (3, 4, "rejected", "label"),
        (5, 6, "received", ""),
    ]
    assert heart_rates(path) == [1, 2, 5, 6]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"\xff\xff", "unreadable"),
        (b"", "not_a_batch"),
        (request(epoch=0).SerializeToString(), "range"),
        (request(epoch=2**63).SerializeToString(), "range"),
        (request(first_seq=0).SerializeToString(), "range"),
        (request(lane=5).SerializeToString(), "range"),
        (request(last_seq=2**40).SerializeToString(), "range"),
    ],
)
def test_what_has_no_readable_range_is_rejected_without_one(store, raw, reason):
    assert take(store, raw) == [Reject(0, 0, 0, 0, permanent=True, reason=reason)]


def test_a_lane_that_was_not_offered_is_rejected(store, path):
    (verdict,) = take(store, reports(1, 2), lanes=frozenset({Lane.ALARMS}))
    assert isinstance(verdict, Reject)
    assert verdict.reason == "lane_not_offered"
    assert heart_rates(path) == []


def test_trouble_of_the_store_acknowledges_nothing_and_leaves_it_usable(store, path):
    take(store, reports(1, 1))
    store._db.execute("PRAGMA busy_timeout=0")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        verdicts = take(store, reports(2, 3), reports(4, 5))
        assert [(v.permanent, v.reason) for v in verdicts] == [(False, "store")] * 2
        other.execute("ROLLBACK")
    assert heart_rates(path) == [1]
    assert take(store, reports(2, 3)) == [Ack(TELEMETRY, EPOCH, 3)]
    assert heart_rates(path) == [1, 2, 3]


def test_a_full_disk_rolls_the_whole_group_back(store, path):
    take(store, reports(1, 1))
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count={pages}")
    verdicts = take(store, reports(2, 400), reports(401, 900))
    assert all(isinstance(v, Reject) and not v.permanent for v in verdicts)
    store._db.execute("PRAGMA max_page_count=1000000")
    assert heart_rates(path) == [1]
    assert take(store, reports(2, 400)) == [Ack(TELEMETRY, EPOCH, 400)]
    assert rows(path, "SELECT last_seq, records FROM coverage") == [(400, 400)]


def test_in_a_hurry_it_commits_what_it_has(store, path):
    offers = [Offer("gw-1", BOTH, reports(n, n)) for n in range(1, 6)]
    asked = iter((False, True))
    verdicts, tally = store.ingest(offers, lambda: next(asked))
    assert verdicts == [Ack(TELEMETRY, EPOCH, 1), Ack(TELEMETRY, EPOCH, 2)]
    assert tally.stored == 2
    assert heart_rates(path) == [1, 2]


def test_every_commit_is_synced(store):
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_newer_database_is_refused(path):
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version=999")
    with pytest.raises(SchemaError, match="999"):
        Store.open(path, lambda: 0)


def numbered(seq, metrics, **more):
    """A batch of one record, with the metrics that its section names."""
    section = pb.Section(
        data_class=pb.DATA_CLASS_HEALTH_STATUS,
        level=3,
        treatment=pb.TREATMENT_PASS,
        first_seq=seq,
        seq_offsets=[0],
        metrics=metrics,
        records=[pb.Record(report=pb.Report(device_id="d", codes=[1], values=[seq], **more))],
    )
    return encode_batch_request(TELEMETRY, EPOCH, seq, seq, [section.SerializeToString()], 0)


def test_metrics_that_are_known_are_not_looked_through_for_each_that_is_new(store, path):
    """A section of the size that is taken may bring all that a store takes."""

    class Looked(dict[Any, Any]):
        times = 0

        def values(self):
            self.times += 1
            return super().values()

    known = store._dictionary._metrics = Looked({(0, "none", ""): 0})
    metrics = [pb.Metric(code=1, refid=f"M{n}") for n in range(100)]
    assert take(store, numbered(1, metrics)) == [Ack(TELEMETRY, EPOCH, 1)]
    assert len(known) == 101
    assert known.times < 2
    keys = [key for (key,) in rows(path, "SELECT key FROM metrics WHERE code = 1 ORDER BY key")]
    assert keys == [1, *range(2**32, 2**32 + 99)]


def test_words_without_end_are_stored_and_not_remembered(store, path):
    long = "x" * 10_000
    metrics = [pb.Metric(code=1, refid=f"M{n}", unit="u" * 900) for n in range(1, 30)]
    taken = take(store, numbered(1, metrics, bed=long), numbered(2, metrics, bed=long))
    assert taken == [Ack(TELEMETRY, EPOCH, 1), Ack(TELEMETRY, EPOCH, 2)]
    known = store._dictionary
    assert not known._sections
    assert not known._places
    assert not any(contexts.known for contexts in known._contexts.values())
    assert len(rows(path, "SELECT * FROM contexts")) == 1
    assert rows(path, "SELECT value FROM readings ORDER BY seq") == [(1.0,), (2.0,)]


def test_a_metric_with_a_name_without_end_is_refused(store):
    (verdict,) = take(store, numbered(1, [pb.Metric(code=1, refid="M" * 2000)]))
    assert isinstance(verdict, Reject)
    assert (verdict.reason, verdict.permanent) == ("metric_too_long", True)
