"""Group commit: order, exactly once, alarms first, back-pressure, failure."""

import asyncio
import errno
import threading

import pytest

from gateway.domain.labels import Lane
from gateway.domain.ports import Outcome, StateDelta
from gateway.journal.committer import Committer
from gateway.journal.config import CommitterConfig
from tests.fakes import FakeCounters
from tests.unit.journal.helpers import group, open_journal, read_all, texts_of
from tests.unit.journal.sim import SimFiles

A, T = Lane.ALARMS, Lane.TELEMETRY


def items(*texts):
    return group(T, texts).items


@pytest.fixture
async def make(tmp_path):
    made = []

    async def build(journal_config=None, **config):
        journal = open_journal(tmp_path, **(journal_config or {}))
        committer = Committer(
            journal, asyncio.get_running_loop(), FakeCounters(), CommitterConfig(**config)
        )
        committer.policy_version = "p1"
        made.append((journal, committer))
        await committer.start()
        return journal, committer

    yield build
    for journal, committer in made:
        await committer.stop()
        journal.close()


async def test_outcomes_come_once_in_order_and_after_the_commit(make):
    journal, committer = await make()
    seen = []
    for n in range(500):
        alarms = items(f"a{n}") if n % 7 == 0 else []
        telemetry = items(f"t{n}") if n % 5 else []

        def done(outcome, n=n, telemetry=telemetry):
            held = texts_of(read_all(journal, T, max(0, journal.last_seq(T) - 1100)))
            assert not telemetry or f"t{n}" in held.values()
            seen.append((n, outcome))

        committer.add(alarms, telemetry, [], [], done)
        if n % 50 == 0:
            await asyncio.sleep(0.001)
    await committer.stop()
    assert seen == [(n, Outcome.COMMITTED) for n in range(500)]
    assert list(texts_of(read_all(journal, T)).values()) == [f"t{n}" for n in range(500) if n % 5]
    assert list(texts_of(read_all(journal, A)).values()) == [f"a{n}" for n in range(0, 500, 7)]
    assert len(read_all(journal, T)) < 400


async def test_an_empty_add_is_answered_in_its_turn(make):
    _, committer = await make()
    seen = []
    committer.add([], items("x"), [], [], lambda _: seen.append(1))
    committer.add([], [], [], [], lambda _: seen.append(2))
    committer.add([], items("y"), [], [], lambda _: seen.append(3))
    await committer.stop()
    assert seen == [1, 2, 3]


async def test_full_for_telemetry_still_commits_alarms(make):
    journal, committer = await make({"limit_bytes": 20_000, "alarm_reserve_bytes": 10_000})
    outcomes: list[Outcome] = []
    committer.add([], items("x" * 9_000), [], [], outcomes.append)
    await asyncio.sleep(0.05)
    committer.add(
        items("alarm"), items("y" * 5_000), [StateDelta("s", "k", b"v")], [], outcomes.append
    )
    committer.add(items("only"), [], [], [], outcomes.append)
    await committer.stop()
    assert outcomes == [Outcome.COMMITTED, Outcome.FULL, Outcome.COMMITTED]
    assert list(texts_of(read_all(journal, A)).values()) == ["alarm", "only"]
    assert journal.state.items("s") == {"k": b"v"}
    assert journal.last_seq(T) == 1


async def test_a_disk_that_fails_acknowledges_nothing_and_recovers(make):
    files = SimFiles()
    journal, committer = await make({"files": files})
    outcomes: list[Outcome] = []
    settled = asyncio.Event()

    def done(outcome):
        outcomes.append(outcome)
        settled.set()

    def fail_in(lane):
        return lambda call, path, _: (
            errno.EIO if call == "fdatasync" and f"/{lane}/" in path else None
        )

    async def add(alarms, telemetry):
        settled.clear()
        committer.add(items(*alarms), items(*telemetry), [], [], done)
        await asyncio.wait_for(settled.wait(), 60)

    files.fail = fail_in("alarms")
    await add(["a1"], ["t1"])
    # The alarm could not be kept, so neither was the report: it will come again.
    assert journal.last_seq(T) == journal.last_seq(A) == 0
    files.fail = fail_in("telemetry")
    await add(["a2"], ["t2"])
    files.fail = lambda *_: None
    await add(["a3"], ["t3"])
    assert outcomes == [Outcome.FAILED, Outcome.FAILED, Outcome.COMMITTED]
    assert list(texts_of(read_all(journal, A)).values()) == ["a2", "a3"]
    assert list(texts_of(read_all(journal, T)).values()) == ["t3"]


async def test_a_group_has_one_policy_version(make):
    journal, committer = await make()
    done: list[Outcome] = []
    for n, version in enumerate(["p1", "p1", "p2", "p1"]):
        committer.policy_version = version
        committer.add([], items(str(n)), [], [], done.append)
    await committer.stop()
    groups = read_all(journal, T)
    assert [(g.policy_version, g.last_seq - g.first_seq + 1) for g in groups] == [
        ("p1", 2),
        ("p2", 1),
        ("p1", 1),
    ]


async def test_too_much_waiting_pauses_drivers_and_far_too_much_is_refused(make):
    _, committer = await make(pending_records_max=100, group_records_max=10)
    outcomes: list[Outcome] = []
    resumed: list[int] = []
    for n in range(100):
        assert committer.writable()
        committer.add([], items(str(n)), [], [], outcomes.append)
    assert not committer.writable()
    committer.when_writable(lambda: resumed.append(len(outcomes)))
    for n in range(400):
        committer.add([], items(str(n)), [], [], outcomes.append)
    assert resumed == []
    await committer.stop()
    await asyncio.sleep(0)
    assert outcomes == [Outcome.COMMITTED] * 400 + [Outcome.FULL] * 100
    assert len(resumed) == 1
    assert 350 <= resumed[0] <= 370
    assert committer.writable()


async def test_subscribers_hear_of_commits(make):
    journal, committer = await make()
    heard = asyncio.Event()
    journal.subscribe(heard.set)
    committer.add([], items("x"), [], [], lambda _: None)
    await asyncio.wait_for(heard.wait(), 60)
    assert journal.last_seq(T) == 1


async def test_gaps_are_handed_out_until_they_are_recorded(make):
    journal, committer = await make(
        {
            "limit_bytes": 40_000,
            "alarm_reserve_bytes": 10_000,
            "segment_bytes": 8192,
            "drop_oldest": True,
        }
    )
    got = []

    def listener(gaps):
        got.extend(gaps)
        journal.gaps_recorded(gaps)

    committer.on_gaps(listener)
    for _ in range(60):  # one by one: many at once may be more than the journal ever has room for
        committed = asyncio.Event()
        committer.add([], items("x" * 1000), [], [], lambda _, each=committed: each.set())
        await committed.wait()
    await committer.stop()
    assert sum(gap.reports for gap in got) == min(texts_of(read_all(journal, T))) - 1 > 0


async def test_a_submitter_that_fails_leaves_the_others_answered(make):
    _, committer = await make()
    outcomes: list[Outcome] = []

    def bad(_):
        raise RuntimeError("mine")

    committer.add([], items("x"), [], [], bad)
    committer.add([], items("y"), [], [], outcomes.append)
    await committer.stop()
    assert outcomes == [Outcome.COMMITTED]
    with pytest.raises(RuntimeError, match="stopped"):
        committer.add([], [], [], [], outcomes.append)


async def test_stop_waits_for_upkeep_so_that_nothing_works_on_closed_files(make, monkeypatch):
    journal, committer = await make(maintain_s=0.001)
    begun, go_on, ended = asyncio.Event(), threading.Event(), []
    loop = asyncio.get_running_loop()

    def maintain():
        loop.call_soon_threadsafe(begun.set)
        go_on.wait()
        ended.append(True)

    monkeypatch.setattr(journal, "maintain", maintain)
    await begun.wait()
    stopping = asyncio.create_task(committer.stop())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not stopping.done()
    go_on.set()
    await stopping
    assert ended == [True]
