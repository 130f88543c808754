"""Old rows go in bounded slices; what makes redelivery harmless stays."""

import asyncio
import sqlite3
from contextlib import closing

import pytest

from core import retention as r
from core.config import Retention
from core.inbox import Inbox
from core.metrics import METRICS
from core.store import Ack, Offer, Store
from gateway.domain.labels import Lane
from gateway.telemetry import Telemetry
from tests.ingest import EPOCH, alarm, batch, report, reports

LANES = frozenset(Lane)
DAYS = Retention(days=1.0)


class Clock:
    """Microseconds, set by hand."""

    now = 10 * r.DAY_US

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "core.db"


@pytest.fixture
def store(path, clock):
    with closing(Store.open(path, clock)) as opened:
        yield opened


def take(store, raw):
    ((verdict,), tally) = store.ingest([Offer("gw-1", LANES, raw)])
    assert isinstance(verdict, Ack)
    return tally


def held(path):
    with closing(sqlite3.connect(path)) as db:
        return [seq for (seq,) in db.execute("SELECT seq FROM report ORDER BY seq")]


def test_what_is_old_enough_goes_slice_by_slice_and_the_rest_stays(store, path, clock, monkeypatch):
    monkeypatch.setitem(r._DELETE, "report", r._DELETE["report"].replace("500", "4"))
    take(store, batch(1, [alarm(1), alarm(2)], lane=Lane.ALARMS))
    take(store, reports(1, 10))
    clock.now += r.DAY_US
    take(store, reports(11, 13))
    slices = []
    while True:
        done = r.prune_slice(store.connection, DAYS, clock.now + 1)
        slices.append(done.deleted)
        if not done.more:
            break
    # The newest row of a table stays, so that keys never come back.
    assert slices == [{"report": 4, "alarms": 1}, {"report": 4}, {"report": 2}, {}]
    assert held(path) == [11, 12, 13]


def test_a_batch_sent_again_is_known_after_its_rows_are_gone(store, path, clock):
    take(store, reports(1, 10))
    clock.now += 2 * r.DAY_US
    r.prune_slice(store.connection, DAYS, clock.now)
    assert held(path) == [10]
    assert take(store, reports(1, 10)).redelivered == 10
    assert held(path) == [10]
    assert store.resume_points("gw-1") == [Ack(Lane.TELEMETRY, EPOCH, 10)]


def test_the_id_of_a_pruned_report_is_forgotten(store, path, clock):
    take(store, reports(1, 3))
    clock.now += 2 * r.DAY_US
    r.prune_slice(store.connection, DAYS, clock.now)
    tally = take(store, batch(4, [report(2), report(3)]))
    assert (tally.stored, tally.duplicates) == (1, 1)
    assert held(path) == [3, 4]


def test_by_bytes_the_oldest_go_until_the_rest_fits(store, path, clock):
    take(store, reports(1, 4000))
    before = r.measure(store.connection)
    limit = before.bytes_used // 2
    small = Retention(bytes_max=16 << 20)
    assert not r.prune_slice(store.connection, small, clock.now).more
    tight = Retention(bytes_max=limit)  # less than a configuration may say
    used = [before.bytes_used]
    while r.prune_slice(store.connection, tight, clock.now).more:
        used.append(r.measure(store.connection).bytes_used)
    assert used[-1] <= limit < used[-2]  # no slice more than needed
    left = held(path)
    assert left == list(range(left[0], 4001))


def test_without_retention_nothing_goes_and_the_store_is_measured(store, path, clock):
    telemetry = Telemetry(METRICS, prefix="wardgate_core")
    take(store, reports(1, 3))
    clock.now += 9 * r.DAY_US

    async def look():
        inbox = Inbox(store, telemetry, 1 << 20)
        looked = asyncio.Event()

        async def sleep(seconds):
            assert seconds == r.INTERVAL_S
            looked.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(r.keep(inbox, Retention(), telemetry, clock, sleep))
        await looked.wait()
        task.cancel()
        inbox.close()

    asyncio.run(look())
    assert held(path) == [1, 2, 3]
    value = telemetry.registry.get_sample_value
    assert value("wardgate_core_store_oldest_seconds") == 9 * 86_400
    assert (value("wardgate_core_store_bytes") or 0) > 4096


def test_it_goes_on_with_pauses_until_all_is_done_and_outlives_trouble(
    store, path, clock, monkeypatch
):
    telemetry = Telemetry(METRICS, prefix="wardgate_core")
    take(store, reports(1, 1600))
    clock.now += 9 * r.DAY_US
    real = r.prune_slice
    troubles = iter([sqlite3.OperationalError("disk I/O error")])

    def troubled(*args):
        for trouble in troubles:
            raise trouble
        return real(*args)

    monkeypatch.setattr(r, "prune_slice", troubled)
    pauses = []

    async def prune():
        inbox = Inbox(store, telemetry, 1 << 20)
        done = asyncio.Event()

        async def sleep(seconds):
            pauses.append(seconds)
            if len(pauses) == 6:
                done.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(r.keep(inbox, DAYS, telemetry, clock, sleep))
        await done.wait()
        task.cancel()
        inbox.close()

    asyncio.run(prune())
    assert held(path) == [1600]
    assert pauses[0] == pauses[5] == r.INTERVAL_S  # the trouble, and the end
    assert all(0 < pause < r.INTERVAL_S for pause in pauses[1:5])
    pruned = telemetry.registry.get_sample_value("wardgate_core_pruned_total", {"table": "report"})
    assert pruned == 1599
