"""The I/O around the alarm manager: a fault of one way out, or of ours, ends nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from gateway.domain.labels import Lane
from gateway.domain.ports import Outcome, Submission
from gateway.domain.records import Alarm
from gateway.notification import fanout
from gateway.notification.fanout import HOLD, Around, FanOut
from gateway.notification.outlets.sender import Letter
from gateway.notification.story import Committed
from tests.unit.notification.manager import Manager


class Journal:
    """One whose alarms the test told the desk already: nothing is read."""

    epoch = 5

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self.holds: dict[str, int] = {}
        self.told: list[Callable[[], None]] = []

    def last_seq(self, _lane: Lane) -> int:
        return self._manager.seq

    def subscribe(self, callback: Callable[[], None]) -> None:
        self.told.append(callback)

    def unsubscribe(self, callback: Callable[[], None]) -> None:
        self.told = [each for each in self.told if each != callback]

    def hold(self, name: str, _lane: Lane, seq: int) -> None:
        self.holds[name] = seq

    def release(self, name: str) -> None:
        self.holds.pop(name, None)


class Sink:
    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    def submit(self, submission: Submission) -> None:
        for statement in submission.records:
            self._manager.say(statement)
        if submission.done is not None:
            submission.done(Outcome.COMMITTED)


class Releases:
    """Everything leaves."""

    async def release(self, _name: str, told: Committed) -> Alarm:
        return told.alarm

    def settle(self, _epoch: int, _seq: int) -> None:
        pass


class Way:
    """A way out that can be broken in any way."""

    every_s = 0.01

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []
        self.fault: Exception | None = None
        self.looks = 0
        self.closed = False

    async def send(self, letter: Letter) -> None:
        if self.fault is not None:
            raise self.fault
        self.sent.append((letter.alarm_id, letter.n))

    async def look(self) -> None:
        self.looks += 1
        if self.fault is not None:
            raise self.fault

    async def close(self) -> None:
        self.closed = True


class Site:
    def __init__(self) -> None:
        self.manager = Manager()
        self.ways = {each.name: Way() for each in self.manager.config.outlets}
        self.journal = Journal(self.manager)
        around: Any = Around(
            "gw-1",
            self.journal,  # type: ignore[arg-type]
            Sink(self.manager),  # type: ignore[arg-type]
            self.manager.clock,
            Releases(),  # type: ignore[arg-type]
            lambda outlet: self.ways[outlet.name],
        )
        self.fanout = FanOut(self.manager.desk, around)


@pytest.fixture
async def site(monkeypatch):
    monkeypatch.setattr(fanout, "READ_PAUSE_S", 0.01)
    made = Site()
    made.fanout.follow(made.manager.config)
    yield made
    await made.fanout.stop()
    assert all(way.closed for way in made.ways.values())


async def until(what: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not what():  # noqa: ASYNC110 - tasks of its own have no event for us
            await asyncio.sleep(0.005)


async def test_an_alarm_is_told_and_the_journal_let_go(site):
    await until(lambda: site.manager.desk.position == 0)
    site.manager.alarm()
    await until(lambda: site.ways["screen"].sent == [("a1", 1)])
    assert site.journal.holds == {HOLD: 0}


async def test_a_way_out_that_breaks_harms_no_other_and_is_tried_again(site):
    site.ways["screen"].fault = ValueError("a fault of ours")
    site.manager.alarm()
    await until(lambda: site.ways["screen"].looks > 3)
    site.manager.tick(31)
    await until(lambda: site.ways["pager"].sent == [("a1", 2)])
    site.ways["screen"].fault = None
    site.manager.tick(1)
    await until(lambda: ("a1", 1) in site.ways["screen"].sent)


async def test_an_outlet_that_changes_begins_again_with_what_waits(site):
    hang = asyncio.Event()

    async def send(_letter: Letter) -> None:
        await hang.wait()

    site.ways["screen"].send = send
    site.manager.alarm()
    await asyncio.sleep(0.02)
    old = site.ways["screen"]
    site.ways["screen"] = Way()
    config = site.manager.config
    screen, *others = config.outlets
    changed = msgspec.structs.replace(
        config, outlets=(msgspec.structs.replace(screen, window=3), *others)
    )
    site.manager.desk.follow(changed)
    site.fanout.follow(changed)
    await until(lambda: site.ways["screen"].sent == [("a1", 1)])
    await until(lambda: old.closed)


async def test_without_outlets_nothing_is_read_or_kept(site):
    await until(lambda: site.journal.holds)
    empty = type(site.manager.config)()
    site.manager.desk.follow(empty)
    site.fanout.follow(empty)
    assert site.journal.holds == {}
    assert site.journal.told == []
