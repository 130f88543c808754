"""The lane of waves: the first that goes when space is short, and that says so."""

import asyncio
import errno
import shutil
import sqlite3
from contextlib import closing

import pytest

from gateway.domain.errors import JournalFullError
from gateway.domain.labels import Lane
from gateway.domain.ports import Outcome
from gateway.journal.committer import Committer
from gateway.journal.config import CommitterConfig
from gateway.journal.lane import DROPPED
from tests.fakes import FakeCounters
from tests.unit.journal.helpers import group, lost_of, open_journal, read_all, texts_of
from tests.unit.journal.sim import SimFiles

A, T, W = Lane.ALARMS, Lane.TELEMETRY, Lane.WAVES
SMALL = {"limit_bytes": 300_000, "alarm_reserve_bytes": 50_000, "waves_bytes": 80_000}
BLOCK = "w" * 4000


def filled(journal, lane, size=BLOCK):
    """Append until it is refused; how many were taken."""
    for n in range(1000):
        try:
            journal.append([group(lane, [size])])
        except JournalFullError:
            return n
    raise AssertionError("never full")


def test_at_their_own_limit_the_oldest_go_and_are_told(tmp_path):
    counters = FakeCounters()
    journal = open_journal(tmp_path, counters=counters, **SMALL)
    journal.set_destinations(["core"])
    for _ in range(60):
        journal.append([group(W, [BLOCK])])
    assert journal.bytes_of(W) <= 80_000
    groups = read_all(journal, W)
    lost = lost_of(groups)
    assert {reason for _, _, reason in lost} == {DROPPED}
    dropped = sum(last - first + 1 for first, last, _ in lost)
    assert dropped + len(texts_of(groups)) == 60
    # A segment at a time, not everything.
    assert 10 <= len(texts_of(groups)) < 20
    gaps = journal.discovered_gaps()
    assert (
        sum(gap.reports for gap in gaps) == dropped == counters.counts["journal_dropped", "waves"]
    )
    assert {gap.lane for gap in gaps} == {int(W)}
    journal.close()


def test_telemetry_and_alarms_take_their_space(tmp_path):
    journal = open_journal(tmp_path, **SMALL)
    journal.set_destinations(["core"])
    for _ in range(18):
        journal.append([group(W, [BLOCK])])
    held = journal.bytes_of(W)
    assert held > 70_000
    taken = filled(journal, T)
    assert taken * len(BLOCK) > 230_000
    assert journal.bytes_of(W) == 0
    with pytest.raises(JournalFullError):
        journal.append([group(W, ["even the smallest" + BLOCK])])
    journal.append([group(A, [BLOCK])])
    assert len(texts_of(read_all(journal, T))) == taken
    journal.close()


def test_what_was_delivered_is_no_loss(tmp_path):
    journal = open_journal(tmp_path, **SMALL)
    journal.set_destinations(["core"])
    for n in range(60):
        journal.append([group(W, [BLOCK])])
        journal.cursors.advance("core", W, n + 1)
    assert journal.discovered_gaps() == []
    journal.close()


@pytest.mark.parametrize("lane", [A, T])
def test_on_a_disk_that_others_filled_they_make_way_first(tmp_path, lane):
    files = SimFiles()
    journal = open_journal(tmp_path, files=files, **SMALL)
    journal.set_destinations(["core"])
    for _ in range(18):
        journal.append([group(W, [BLOCK])])
    before = journal.bytes_of(W)
    full = [True]

    def fail(call, path, _):
        if call == "unlink" and "/waves/" in path:
            full[0] = False
        return errno.ENOSPC if full[0] and call == "pwrite" and path.endswith(".seg") else None

    files.fail = fail
    with pytest.raises(JournalFullError):
        journal.append([group(W, ["wave"])])
    journal.append([group(lane, ["first"])])
    assert 0 < journal.bytes_of(W) < before
    assert "first" in texts_of(read_all(journal, lane)).values()
    journal.close()


def test_an_older_journal_gets_the_lane(tmp_path):
    journal = open_journal(tmp_path)
    journal.set_destinations(["core"])
    journal.append([group(T, ["a"])])
    journal.close()
    shutil.rmtree(tmp_path / "waves")
    with closing(sqlite3.connect(tmp_path / "state.sqlite")) as db, db:
        db.execute("DELETE FROM cursor WHERE lane = 3")
    journal = open_journal(tmp_path)
    journal.set_destinations(["core"])
    journal.append([group(W, ["w"])])
    assert journal.cursors.get("core", W) == 0
    assert texts_of(read_all(journal, W)) == {1: "w"}
    assert journal.discovered_gaps() == []
    journal.close()


async def committed(journal, adds, **config):
    """The outcomes of adds that wait together."""
    loop = asyncio.get_running_loop()
    committer = Committer(journal, loop, FakeCounters(), CommitterConfig(**config))
    outcomes: list[Outcome] = []
    for alarms, telemetry, waves in adds:
        parts = [group(T, texts).items for texts in (alarms, telemetry, waves)]
        committer.add(parts[0], parts[1], (), (), outcomes.append, parts[2])
    assert committer.writable()
    await committer.start()
    await committer.stop()
    return outcomes


async def test_waves_that_wait_are_bounded_and_hold_up_nobody(tmp_path):
    journal = open_journal(tmp_path)
    adds = [((), (), [BLOCK]), ((), (), [BLOCK]), (["a"], ["t"], ())]
    limits = {"pending_wave_bytes_max": 5000, "pending_bytes_max": 1000}
    assert await committed(journal, adds, **limits) == [
        Outcome.COMMITTED,
        Outcome.FULL,
        Outcome.COMMITTED,
    ]
    assert [journal.last_seq(lane) for lane in (A, T, W)] == [1, 1, 1]
    journal.close()


async def test_refused_waves_take_nothing_with_them(tmp_path):
    files = SimFiles()
    journal = open_journal(tmp_path, files=files)
    files.fail = lambda call, path, _: (
        errno.EIO if call == "fdatasync" and "/waves/" in path else None
    )
    adds = [(["a"], ["t"], ["w"]), ((), ["u"], ()), ((), (), ["x"])]
    assert await committed(journal, adds) == [Outcome.FAILED, Outcome.COMMITTED, Outcome.FAILED]
    assert [journal.last_seq(lane) for lane in (A, T, W)] == [1, 2, 0]
    journal.close()
