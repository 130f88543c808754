"""Aggregates at the core: once per window, and nothing but what the contract allows."""

import sqlite3
from contextlib import closing

import pytest

from core import tail
from core.store import Ack, Offer, Store
from gateway.domain import terms
from gateway.domain.labels import Lane
from gateway.wire.sections import encode_batch_request, encode_section
from protos.wardgate.v1 import ingest_pb2 as pb
from tests import ingest
from tests.ingest import EPOCH, VITALS

CODES = (terms.HEART_RATE,)


def aggregate(first=1, last=4, **changes):
    found = pb.Aggregate(
        from_us=60_000_000,
        to_us=120_000_000,
        epoch=EPOCH,
        first_seq=first,
        last_seq=last,
        devices_min=3,
        records=4,
    )
    found.statistics.add(
        kind="vitals", code=terms.HEART_RATE, devices=3, values=4, mean=61.5, standard_deviation=2.5
    )
    found.alarm_counts.add(
        condition="hr_high", priority=pb.ALARM_PRIORITY_HIGH, devices=3, alarms=5
    )
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def section(*found, codes=CODES, treatment=pb.TREATMENT_AGGREGATE, offsets=()):
    records = [pb.Record(aggregate=each).SerializeToString() for each in found]
    return encode_section(VITALS, 0, offsets, records, codes, treatment)


def offer(*sections, first=1, last=5):
    withheld = last - first + 1
    raw = encode_batch_request(Lane.TELEMETRY, EPOCH, first, last, sections, withheld)
    return Offer("gw-1", frozenset(Lane), raw)


@pytest.fixture
def store(tmp_path):
    with closing(Store.open(tmp_path / "core.db", lambda: 7)) as made:
        yield made


def test_a_window_is_stored_once_however_it_comes_again(store):
    one, other = section(aggregate()), section(aggregate())
    verdicts, tally = store.ingest([offer(one), offer(one), offer(other, first=3, last=9)])
    assert verdicts == [Ack(Lane.TELEMETRY, EPOCH, n) for n in (5, 5, 9)]
    assert (tally.stored, tally.gaps) == (0, 0)
    db = store.connection
    assert db.execute(
        "SELECT first_seq, last_seq, devices_min, records, stored_us FROM aggregates"
    ).fetchall() == [(1, 4, 3, 4, 7)]
    assert db.execute("SELECT first_seq, last_seq, records FROM coverage").fetchall() == [(1, 9, 0)]
    (row,) = db.execute(
        'SELECT kind, code, unit, devices, "values", mean, standard_deviation FROM statistics'
    )
    assert row == ("vitals", terms.HEART_RATE, "/min", 3, 4, 61.5, 2.5)
    (row,) = db.execute("SELECT condition, priority, devices, alarms FROM alarm_counts")
    assert row == ("hr_high", "high", 3, 5)


def test_tail_reads_them_in_pieces(store, tmp_path):
    store.ingest([offer(section(aggregate(n, n)), first=n, last=n) for n in range(1, 13)])
    with closing(tail.connect(tmp_path / "core.db")) as db:
        assert tail.newest_aggregate(db, 10) == 2
        after, found = tail.aggregated(db, 0)
        assert (after, len(found)) == (10, 20)
        after, found = tail.aggregated(db, after)
        assert (after, len(found)) == (12, 4)
        assert tail.aggregated(db, after) == (12, [])


def plain():
    found = pb.Section.FromString(ingest.section(1, [ingest.report(1)]))
    found.treatment = pb.TREATMENT_AGGREGATE
    found.ClearField("seq_offsets")
    return found.SerializeToString()


BAD = {
    "offsets": section(aggregate(), offsets=[0]),
    "not_an_aggregate": plain(),
    "aggregate_range": section(aggregate(5, 4)),
    "unnamed_metric": section(aggregate(), codes=()),
    "values": section(
        pb.Aggregate(
            epoch=1,
            first_seq=1,
            last_seq=1,
            statistics=[pb.Statistic(code=terms.HEART_RATE, mean=float("nan"))],
        )
    ),
    "unknown_alarmpriority": section(
        pb.Aggregate(epoch=1, first_seq=1, last_seq=1, alarm_counts=[pb.AlarmCount()])
    ),
}


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_aggregate_is_rejected_for_good(store, reason):
    ((verdict,), _) = store.ingest([offer(BAD[reason])])
    assert (verdict.permanent, verdict.reason) == (True, reason)
    assert store.connection.execute("SELECT count(*) FROM aggregates").fetchone() == (0,)


def test_an_aggregate_among_records_is_rejected(store):
    body = section(aggregate(), treatment=pb.TREATMENT_PASS, offsets=[0])
    found = pb.Section.FromString(body)
    found.first_seq = 1
    raw = encode_batch_request(Lane.TELEMETRY, EPOCH, 1, 1, [found.SerializeToString()], 0)
    ((verdict,), _) = store.ingest([Offer("gw-1", frozenset(Lane), raw)])
    assert verdict.reason == "aggregate_outside"


def test_updates_of_an_alarm_in_the_same_hour_are_not_one(store):
    records = [pb.Record(alarm=_cut()).SerializeToString() for _ in range(2)]
    for treatment, stored in ((pb.TREATMENT_GENERALISE, 2), (pb.TREATMENT_PASS, 1)):
        first = 1 if stored == 2 else 3
        body = encode_section(VITALS, first, [0, 1], records, CODES, treatment)
        raw = encode_batch_request(Lane.ALARMS, EPOCH, first, first + 1, [body], 0)
        (_, tally) = store.ingest([Offer("gw-1", frozenset(Lane), raw)])
        assert tally.stored == stored


def _cut():
    return pb.Alarm(
        alarm_id="p",
        device_id="d",
        priority=pb.ALARM_PRIORITY_HIGH,
        phase=pb.ALARM_PHASE_UPDATE,
        kind=pb.ALARM_KIND_TECHNICAL,
        source=pb.ALARM_SOURCE_DEVICE,
        at_us=3_600_000_000,
        attestation=pb.ATTESTATION_CERTIFICATE,
    )


def test_a_reports_ward_is_kept_and_tells_contexts_apart(store, tmp_path):
    for n, ward in enumerate(("icu", "icu", "west"), 1):
        record = pb.Record(
            report=pb.Report(device_id="d", ward=ward, attestation=pb.ATTESTATION_CERTIFICATE)
        )
        body = encode_section(VITALS, n, [0], [record.SerializeToString()], ())
        raw = encode_batch_request(Lane.TELEMETRY, EPOCH, n, n, [body], 0)
        store.ingest([Offer("gw-1", frozenset(Lane), raw)])
    with closing(sqlite3.connect(tmp_path / "core.db")) as db:
        assert db.execute("SELECT ward FROM reports ORDER BY seq").fetchall() == [
            ("icu",),
            ("icu",),
            ("west",),
        ]
        assert db.execute("SELECT count(*) FROM contexts").fetchone() == (2,)
