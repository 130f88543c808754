"""Waveforms at the core: a table of their own, readable by any SQLite client, last in turn."""

import asyncio
import sqlite3
from contextlib import closing

import pytest

from core import retention
from core.config import Retention
from core.inbox import Inbox
from core.store import Ack, Offer, Reject, Store
from gateway.domain import records as r
from gateway.domain import terms
from gateway.domain.labels import Lane
from gateway.wire.records import encode
from gateway.wire.sections import encode_batch_request, encode_section
from protos.wardgate.v1 import ingest_pb2 as pb
from tests.ingest import CODES, EPOCH, NOW_US, VITALS, batch, report, reports
from tests.unit.core.test_core_inbox import (
    ALARMS,
    TELEMETRY,
    Counts,
    SlowStore,
    acknowledged,
    stream,
)

WAVES = frozenset((Lane.WAVES,))
MARKS = (r.Marked(1, 2, r.Mark.LEAD_OFF), r.Marked(2, 1, r.Mark.SATURATED))


def wave(n, **fields):
    given = {"missing_before": 2, "marks": MARKS} if n % 2 else {}
    block = r.Waveform(terms.SPO2, NOW_US + n, 4.0, 0.5, 10.0, (0, 2, -2, 4), **{**given, **fields})
    return r.Report(
        "monitor-1",
        "vitals",
        r.Provenance("mqtt", r.Attestation.CERTIFICATE),
        NOW_US + n,
        message_id=f"5f3a:{n}",
        waveforms=(block,),
    )


def waves(first, last, make=wave):
    return batch(first, [make(n) for n in range(first, last + 1)], lane=Lane.WAVES)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "core.db"


@pytest.fixture
def store(path):
    with closing(Store.open(path, lambda: 3 * retention.DAY_US)) as opened:
        yield opened


def take(store, *raws):
    verdicts, tally = store.ingest([Offer("gw-1", frozenset(Lane), raw) for raw in raws])
    return verdicts, tally


def ask(path, sql):
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def test_blocks_and_samples_can_be_read_with_nothing_but_sqlite(store, path):
    verdicts, tally = take(store, waves(1, 2))
    assert verdicts == [Ack(Lane.WAVES, EPOCH, 2)]
    assert tally.stored == 2
    blocks = ask(
        path,
        "SELECT device_id, code, unit, start_us, sample_rate_hz, samples_count, missing_before,"
        " marks, samples, lane, seq FROM waveforms",
    )
    assert blocks == [
        (
            "monitor-1",
            terms.SPO2,
            "%",
            NOW_US + 1,
            4.0,
            4,
            2,
            "[[1,2,2],[2,1,4]]",
            "[0,2,-2,4]",
            "waves",
            1,
        ),
        ("monitor-1", terms.SPO2, "%", NOW_US + 2, 4.0, 4, 0, "[]", "[0,2,-2,4]", "waves", 2),
    ]
    found = ask(path, "SELECT time_us, value, marks FROM waveform_samples WHERE seq = 1")
    assert found == [
        (NOW_US + 1, 10.0, None),
        (NOW_US + 250_001, 11.0, "lead_off"),
        (NOW_US + 500_001, 9.0, "lead_off+saturated"),
        (NOW_US + 750_001, 12.0, None),
    ]
    assert ask(path, "SELECT count(*) FROM readings") == [(0,)]


def test_numbers_and_waves_of_one_message_are_each_stored_once(store, path):
    _, first = take(store, reports(1, 2), waves(1, 2))
    _, again = take(store, waves(1, 2))
    other = batch(3, [wave(1)], lane=Lane.WAVES)
    _, repeated = take(store, other)
    assert (first.stored, again.redelivered, repeated.duplicates) == (4, 2, 1)
    assert ask(path, "SELECT count(*) FROM waves") == [(2,)]
    assert ask(path, "SELECT lane, seq FROM positions ORDER BY lane") == [
        ("telemetry", 2),
        ("waves", 3),
    ]


def raw_wave(**fields):
    section = pb.Section.FromString(
        encode_section(VITALS, 1, (0,), [encode(wave(1))], (terms.SPO2,))
    )
    (block,) = section.records[0].report.waveforms
    for name, value in fields.items():
        if isinstance(value, list):
            block.ClearField(name)
            getattr(block, name).extend(value)
        else:
            setattr(block, name, value)
    return encode_batch_request(Lane.WAVES, EPOCH, 1, 1, [section.SerializeToString()], 0)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (batch(1, [report(1)], lane=Lane.WAVES), "not_waves"),
        (raw_wave(samples=[1]), "waveform"),
        (raw_wave(deltas=[]), "waveform"),
        (raw_wave(deltas=[2**40]), "waveform"),
        (raw_wave(sample_rate_hz=0.0), "waveform"),
        (raw_wave(quality=77), "waveform"),
        (raw_wave(marks=[pb.SampleMark(first=9, count=1, kind=pb.MARK_KIND_INVALID)]), "waveform"),
        (
            raw_wave(marks=[pb.SampleMark(first=0, count=1, kind=pb.MARK_KIND_UNSPECIFIED)]),
            "waveform",
        ),
    ],
)
def test_what_is_no_wave_is_refused_and_spoils_nothing(store, path, raw, reason):
    verdicts, _ = take(store, raw, reports(1, 1))
    assert isinstance(verdicts[0], Reject)
    assert (verdicts[0].reason, verdicts[0].permanent) == (reason, True)
    assert verdicts[1] == Ack(Lane.TELEMETRY, EPOCH, 1)
    assert ask(path, "SELECT count(*) FROM waves") == [(0,)]


def test_waveforms_of_gateways_without_the_lane_are_shown_too(store, path):
    mixed = r.Report(
        "monitor-2",
        "vitals",
        r.Provenance("mqtt", r.Attestation.CERTIFICATE),
        NOW_US,
        CODES,
        (72.0, 97.0),
        waveforms=wave(2).waveforms,
    )
    take(store, batch(1, [mixed]), waves(1, 1))
    found = ask(path, "SELECT device_id, lane, samples_count FROM waveforms ORDER BY lane")
    assert found == [("monitor-2", "telemetry", 4), ("monitor-1", "waves", 4)]


def test_waves_have_an_age_of_their_own(store, path):
    take(store, reports(1, 5), waves(1, 5))
    kept = Retention(waves_days=1.0)
    assert kept.on
    done = retention.prune_slice(store.connection, kept, 5 * retention.DAY_US)
    assert done.deleted == {"waves": 4}
    assert ask(path, "SELECT count(*) FROM report") == [(5,)]


def test_beyond_its_bytes_a_store_gives_up_waves_first(store, path):
    take(store, reports(1, 5), waves(1, 5))
    crowded = Retention(bytes_max=16 << 20)
    whole = retention.Measure(17 << 20, None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retention, "measure", lambda _: whole)
        slices = [retention.prune_slice(store.connection, crowded, 0).deleted for _ in range(3)]
    assert slices == [{"waves": 4}, {"report": 4}, {}]


async def test_numerics_and_alarms_overtake_waves_that_wait():
    store = SlowStore()
    inbox = Inbox(store, Counts(), 1000)  # type: ignore[arg-type]
    waveforms, telemetry, alarms = stream(WAVES), stream(TELEMETRY), stream(ALARMS)
    for n in range(1, 5):
        await inbox.put(waveforms, b"%d" % n)
    loop = asyncio.get_running_loop()
    pending = [(telemetry, b"8"), (alarms, b"9")]

    def others_come():
        while pending and not store.taken:
            asyncio.run_coroutine_threadsafe(inbox.put(*pending.pop()), loop).result(60)

    store.before_next = others_come
    task = asyncio.create_task(inbox.run())
    await acknowledged(waveforms, 4)
    assert store.taken == [[b"1"], [b"9"], [b"8"], [b"2", b"3", b"4"]]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    inbox.close()
