"""The ledger keeps what left, before it leaves, and what policies said."""

import asyncio
import sqlite3
import stat
import threading
from contextlib import closing

import pytest

from gateway.domain.labels import DataClass, Label, Lane, Treatment
from gateway.uplink import days, ledger_file
from gateway.uplink.entering import ENTRY_SPAN_US, Rejected, Settled
from gateway.uplink.ledger import Ledger, LedgerError
from gateway.uplink.release import EntryKey, Released
from gateway.uplink.writer import LedgerWriter
from tests.fakes import FakeClock, FakeCounters
from tests.ingest import EPOCH, VITALS

NOTES = Label(DataClass.MEDICAL_APPLICATION, 4)
KEY = EntryKey(VITALS, Treatment.PASS, "p1")


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path, clock):
    with closing(Ledger.open(path, clock)) as opened:
        opened.start("core", Lane.TELEMETRY, 0)
        yield opened


def batch(first, last, *, epoch=EPOCH, policy="p1", lane=Lane.TELEMETRY, entries=None):
    found = entries or {KEY: (last - first + 1, 100)}
    return Released(lane, epoch, first, last, b"request", policy, found, 0, last, {})


def enter(ledger, *batches, destination="core", **others):
    ledger.write([(destination, each) for each in batches], **others)


def rows(path, sql):
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def account(ledger, clock):
    """As if the audit log had been told."""
    ledger.told(ledger.end_period(clock.now_us()))


ENTRIES = "SELECT first_seq, last_seq, class, level, treatment, records, bytes, policy FROM entries"


def test_an_entry_says_what_left_for_whom_and_under_which_policy(ledger, path):
    entries = {KEY: (3, 300), EntryKey(NOTES, Treatment.WITHHOLD, "p0"): (2, 0)}
    enter(ledger, batch(1, 5, entries=entries))
    assert rows(path, ENTRIES) == [
        (1, 5, "health_status", 3, "pass", 3, 300, "p1"),
        (1, 5, "medical_application", 4, "withhold", 2, 0, "p1"),
    ]
    assert rows(path, "SELECT DISTINCT destination, lane, epoch FROM entries") == [
        ("core", "telemetry", EPOCH)
    ]
    assert rows(path, "SELECT collected_under FROM entries") == [("p1",), ("p0",)]


def test_an_entry_grows_for_a_while(ledger, path, clock):
    enter(ledger, batch(1, 5))
    enter(ledger, batch(6, 9), batch(10, 12))
    assert rows(path, ENTRIES) == [(1, 12, "health_status", 3, "pass", 12, 300, "p1")]
    clock.advance(ENTRY_SPAN_US / 1e6)
    enter(ledger, batch(13, 14))
    assert [row[:2] for row in rows(path, ENTRIES)] == [(1, 12), (13, 14)]


@pytest.mark.parametrize(
    "other",
    [
        batch(6, 9, policy="p2"),
        batch(6, 9, epoch=EPOCH + 1),
        batch(6, 9, lane=Lane.ALARMS),
        batch(4, 9),
        batch(6, 9, entries={KEY._replace(treatment=Treatment.MASK): (4, 1)}),
        batch(6, 9, entries={KEY._replace(collected_under="p0"): (4, 1)}),
    ],
)
def test_what_differs_is_an_entry_of_its_own(ledger, path, other):
    enter(ledger, batch(1, 5))
    enter(ledger, other)
    assert [row[:2] for row in rows(path, ENTRIES)] == [(1, 5), (other.first, other.last)]


def test_batches_in_flight_are_remembered_until_they_are_settled(path, clock):
    with closing(Ledger.open(path, clock)) as first:
        assert first.start("core", Lane.TELEMETRY, 4)[:3] == (4, 0, 0)
        enter(first, batch(5, 9), batch(10, 12), batch(13, 20))
        enter(first, settled=[Settled("core", Lane.TELEMETRY, EPOCH, 9)])
    with closing(Ledger.open(path, clock)) as again:
        assert again.unsettled("core", Lane.TELEMETRY) == [
            (EPOCH, 10, 12, "p1"),
            (EPOCH, 13, 20, "p1"),
        ]
        assert again.unsettled("core", Lane.ALARMS) == []
        # The start that was made first stands; the mark is what was released.
        assert again.start("core", Lane.TELEMETRY, 20)[:3] == (4, EPOCH, 20)


def test_a_destination_that_comes_back_starts_at_its_new_cursor(ledger):
    enter(ledger, batch(1, 9))
    assert ledger.start("core", Lane.TELEMETRY, 9).start_seq == 0
    assert ledger.start("core", Lane.TELEMETRY, 50).start_seq == 50
    assert ledger.start("core", Lane.TELEMETRY, 50).start_seq == 50


def test_settling_counts_epochs_before_numbers(ledger):
    enter(ledger, batch(90, 99), batch(5, 9, epoch=EPOCH + 1))
    enter(ledger, settled=[Settled("core", Lane.TELEMETRY, EPOCH + 1, 4)])
    assert ledger.unsettled("core", Lane.TELEMETRY) == [(EPOCH + 1, 5, 9, "p1")]


def test_tables_of_policies_survive(path, clock):
    rows_then = {"core": {VITALS: Treatment.PASS, NOTES: Treatment.WITHHOLD}, "vendor": {}}
    with closing(Ledger.open(path, clock)) as first:
        first.remember("p1", rows_then)
        first.remember("p1", {})
        assert first.table("p2") is None
    with closing(Ledger.open(path, clock)) as again:
        assert again.table("p1") == rows_then
        found = again.table("p1")
        assert found is not None
        assert isinstance(next(iter(found["core"])), Label)


def test_a_rejected_batch_is_kept_and_not_sent_again(ledger, path):
    enter(ledger, rejected=[Rejected("core", batch(5, 9), "label", "key-1", b"sealed")])
    assert ledger.start("core", Lane.TELEMETRY, 0).set_aside_seq == 9
    assert rows(path, "SELECT first_seq, last_seq, reason, key_id, body FROM rejected") == [
        (5, 9, "label", "key-1", b"sealed")
    ]


def test_bodies_of_rejected_batches_are_limited(ledger, path, monkeypatch):
    monkeypatch.setattr("gateway.uplink.entering.SET_ASIDE_BYTES_MAX", 10)
    for first in (1, 2):
        enter(ledger, rejected=[Rejected("core", batch(first, first), "x", "key-1", b"1234567")])
    assert rows(path, "SELECT first_seq, key_id, body FROM rejected") == [
        (1, "key-1", b"1234567"),
        (2, None, None),
    ]


def test_totals_are_by_destination_and_treatment(ledger):
    enter(ledger, batch(1, 5))
    enter(ledger, batch(1, 3), destination="vendor")
    assert list(ledger.totals()) == [("core", "pass", 5), ("vendor", "pass", 3)]


def test_a_write_that_fails_enters_nothing_and_the_next_one_works(ledger, path):
    enter(ledger, batch(1, 5))
    ledger._db.execute("PRAGMA max_page_count=1")
    with pytest.raises(LedgerError):
        enter(ledger, *(batch(n, n, policy=f"p{n}" + "x" * 3000) for n in range(6, 60)))
    ledger._db.execute("PRAGMA max_page_count=100000")
    enter(ledger, batch(6, 9))
    assert [row[:2] for row in rows(path, ENTRIES)] == [(1, 5), (6, 9)]


def test_the_file_is_the_gateways_alone_and_synced(ledger, path):
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ledger._db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_an_unknown_schema_is_refused(path, clock):
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version=9")
    with pytest.raises(LedgerError, match="schema 9"):
        Ledger.open(path, clock)


async def test_the_writer_groups_what_comes_together(ledger, path):
    writer = LedgerWriter(ledger, FakeCounters())
    groups: list[int] = []
    write = ledger.write

    def counted(batches, *others):
        groups.append(len(batches))
        write(batches, *others)

    ledger.write = counted
    await asyncio.gather(*(writer.record("core", batch(n, n)) for n in range(1, 30)))
    await writer.close()
    assert sum(groups) == 29
    assert len(groups) <= 2
    assert rows(path, "SELECT sum(records) FROM entries") == [(29,)]


async def test_a_batch_that_is_not_entered_raises_for_its_sender_alone(ledger, path):
    writer = LedgerWriter(ledger, FakeCounters())
    ledger._db.execute("PRAGMA query_only=1")
    with pytest.raises(LedgerError):
        await writer.record("core", batch(1, 1))
    ledger._db.execute("PRAGMA query_only=0")
    await writer.record("core", batch(2, 2))
    writer.settle(Settled("core", Lane.TELEMETRY, EPOCH, 2))
    await writer.record("core", batch(3, 3))
    await writer.close()
    assert [row[0] for row in rows(path, ENTRIES)] == [2]
    assert ledger.unsettled("core", Lane.TELEMETRY) == [(EPOCH, 3, 3, "p1")]


def fill(ledger):
    """Leave no page for another entry."""
    pages = ledger._db.execute("PRAGMA page_count").fetchone()[0]
    ledger._db.execute(f"PRAGMA max_page_count = {pages}")


def many(lane, first):
    """Batches that need more pages than there are."""
    return [
        batch(n, n, lane=lane, entries={KEY._replace(collected_under=f"{n}" * 200): (1, 1)})
        for n in range(first, first + 40)
    ]


RELEASES = (
    "SELECT destination, lane, epoch, class, level, treatment, policy, collected_under,"
    " sum(entries), min(first_seq), max(last_seq), sum(records), sum(bytes), min(begun_us),"
    " max(written_us) FROM releases GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 ORDER BY 1, 2, 3, 4, 5, 6, 7, 8"
)


def busy(ledger, clock, seconds):
    """One batch a second to each of two destinations, every third record withheld from one."""
    withheld = {KEY: (2, 20), EntryKey(NOTES, Treatment.WITHHOLD, "p0"): (1, 0)}
    for n in range(seconds):
        first = 3 * n + 1
        enter(ledger, batch(first, first + 2))
        enter(ledger, batch(first, first + 2, entries=withheld), destination="vendor")
        clock.advance(1)


def test_old_entries_are_added_up_by_day_and_no_count_changes(ledger, path, clock, monkeypatch):
    monkeypatch.setattr(days, "SLICE_ROWS", 7)
    busy(ledger, clock, 200)
    ended = ledger.end_period(clock.now_us())
    cutoff = clock.now_us() + 1
    busy(ledger, clock, 100)
    before, totals = rows(path, RELEASES), list(ledger.totals())
    assert ledger.compact(cutoff) == 0  # not before the audit log knows
    ledger.told(ended)
    assert ledger.compact(cutoff - 1) == 0  # nor a period that is not old enough
    gone = []
    while count := ledger.compact(cutoff):
        assert rows(path, RELEASES) == before  # at each moment
        gone.append(count)
    # Twenty spans of ten seconds, three kinds of entries each, seven to a slice.
    assert gone == [1] + [7] * 8 + [4]
    assert rows(path, "SELECT count(*), min(id) FROM entries") == [(30, 61)]
    assert rows(path, RELEASES) == before
    assert list(ledger.totals()) == totals
    day = cutoff // days.DAY_US
    select = "SELECT day, destination, treatment, entries, records, bytes FROM days"
    assert rows(path, select) == [
        (day, "core", "pass", 20, 600, 20_000),
        (day, "vendor", "pass", 20, 400, 4_000),
        (day, "vendor", "withhold", 20, 200, 0),
    ]


def test_days_epochs_and_policies_stay_apart(ledger, path, clock):
    enter(ledger, batch(1, 3))
    clock.advance(days.DAY_US / 1e6)
    enter(ledger, batch(4, 6))
    enter(ledger, batch(7, 9, policy="p2"))
    enter(ledger, batch(1, 2, epoch=EPOCH + 1))
    enter(ledger, batch(1, 1), destination="vendor")  # the newest stays
    account(ledger, clock)
    while ledger.compact(clock.now_us() + 1):
        pass
    assert rows(path, "SELECT count(*) FROM entries") == [(1,)]  # so that no id comes again
    select = "SELECT epoch, policy, first_seq, last_seq, records FROM days ORDER BY day, epoch"
    assert rows(path, select + ", destination, policy") == [
        (EPOCH, "p1", 1, 3, 3),
        (EPOCH, "p1", 4, 6, 3),
        (EPOCH, "p2", 7, 9, 3),
        (EPOCH, "p1", 1, 1, 1),
        (EPOCH + 1, "p1", 1, 2, 2),
    ]


def test_an_entry_that_was_added_up_grows_no_more(ledger, path, clock):
    enter(ledger, batch(1, 3))
    enter(ledger, batch(1, 1), destination="vendor")
    account(ledger, clock)
    # Only a clock that jumps can make a growing entry old.
    while ledger.compact(clock.now_us() + 1):
        pass
    enter(ledger, batch(4, 6))
    assert list(ledger.totals()) == [("core", "pass", 6), ("vendor", "pass", 1)]
    assert [row[:2] for row in rows(path, ENTRIES)] == [(1, 1), (4, 6)]


def test_a_period_that_can_not_be_added_up_changes_nothing(ledger, path, clock, monkeypatch):
    busy(ledger, clock, 30)
    account(ledger, clock)
    before = rows(path, "SELECT * FROM entries")
    ledger._db.execute(
        "CREATE TEMP TRIGGER refused BEFORE DELETE ON periods BEGIN SELECT raise(FAIL, 'full'); END"
    )
    with pytest.raises(LedgerError, match="full"):
        ledger.compact(clock.now_us() + 1)
    assert rows(path, "SELECT * FROM entries") == before
    assert rows(path, "SELECT count(*) FROM days") == [(0,)]


def test_a_ledger_of_the_first_schema_is_carried_over(path, clock):
    with closing(sqlite3.connect(path)) as db:
        db.executescript(ledger_file.SCHEMA)
        db.execute(
            "INSERT INTO entries VALUES (1, 'core', 'telemetry', 5, 1, 9, 'health_status', 3,"
            " 'pass', 9, 90, 'p1', 'p1', 1000, 2000), (2, 'core', 'telemetry', 5, 10, 10,"
            " 'health_status', 3, 'pass', 1, 9, 'p1', 'p1', 1000, 2000)"
        )
        db.commit()
    with closing(Ledger.open(path, clock)) as opened:
        assert list(opened.totals()) == [("core", "pass", 10)]
        account(opened, clock)
        assert opened.compact(clock.now_us() + 1) == 1
        assert list(opened.totals()) == [("core", "pass", 10)]
        assert rows(path, "PRAGMA user_version") == [(ledger_file.SCHEMA_VERSION,)]


@pytest.mark.parametrize("lane", Lane)
def test_on_a_full_disk_an_alarm_is_entered_in_the_space_held_for_it(path, clock, lane):
    asked: list[int] = []

    def make_room():
        asked.append(len(asked))
        opened._db.execute("PRAGMA max_page_count = 10000")
        return True

    with closing(Ledger.open(path, clock, make_room)) as opened:
        opened.start("core", lane, 0)
        fill(opened)
        if lane is Lane.ALARMS:
            enter(opened, *many(lane, 1))
            assert asked == [0]
            assert len(rows(path, ENTRIES)) == 40
            assert len(opened.unsettled("core", lane)) == 40
        else:
            with pytest.raises(LedgerError):
                enter(opened, *many(lane, 1))
            assert asked == []
            assert rows(path, ENTRIES) == []


@pytest.mark.parametrize("helps", [True, False])
def test_when_no_space_is_left_nothing_leaves(path, clock, helps):
    asked = []

    def make_room():
        asked.append(1)
        return helps

    with closing(Ledger.open(path, clock, make_room)) as opened:
        fill(opened)
        with pytest.raises(LedgerError):
            enter(opened, *many(Lane.ALARMS, 1))
        assert asked == [1]
        assert rows(path, ENTRIES) == []
        opened._db.execute("PRAGMA max_page_count = 10000")
        enter(opened, *many(Lane.ALARMS, 1))
        assert len(rows(path, ENTRIES)) == 40


def test_closing_waits_for_the_write_that_is_under_way(path):
    """SQLite's connection must not go from under another thread: the process would die of it."""
    began, go_on = threading.Event(), threading.Event()

    class SlowClock(FakeClock):
        def now_us(self):
            if threading.current_thread() is writing:
                began.set()
                assert go_on.wait(60)
            return super().now_us()

    opened = Ledger.open(path, SlowClock())
    opened.start("core", Lane.TELEMETRY, 0)
    writing = threading.Thread(target=enter, args=(opened, batch(1, 2)))
    closing_it = threading.Thread(target=opened.close)
    writing.start()
    assert began.wait(60)
    closing_it.start()
    closing_it.join(0.2)
    under_way = closing_it.is_alive()
    go_on.set()
    writing.join()
    closing_it.join()
    assert under_way
    assert len(rows(path, ENTRIES)) == 1
    with pytest.raises(LedgerError):
        enter(opened, batch(3, 4))
