"""What the agent says and does while a platform fails it in one way or another."""

import asyncio
import contextlib
import time
from typing import Any, cast

import pytest

from firmware_sim.mec.platform import traffic_rule
from gateway.clock import SystemClock
from gateway.mec import agent as agent_module
from gateway.mec.agent import Agent, Around, Interfaces
from gateway.mec.apps import Operation, Termination
from gateway.mec.callbacks import Place
from gateway.mec.config import BreakoutTable, CallbackTable, MecConfig
from gateway.mec.http import PlatformError, ProblemError
from gateway.mec.life import Input, State
from gateway.mec.seeing import Seeing, Watchers
from tests.fakes import FakeCounters
from tests.unit.mec.fakes import Book, FakeApps

AWAY = PlatformError("away")
PATIENCE_S = 30
CONFIG = MecConfig(
    "etsi",
    "instance-1",
    "https://mep/apps",
    callback=CallbackTable("127.0.0.1:1", "https://gw:1"),
    breakout=BreakoutTable(("breakout",), ("10.1.0.0/16",)),
    look_s=0.01,
    unknown_s=60.0,
    timeout_s=0.2,
    drain_margin_s=0.0,
)


class Callbacks:
    def __init__(self):
        self.place = Place("https://gw:1/mec/secret")
        self.told: asyncio.Queue[Any] = asyncio.Queue()
        self.missed = False


class Announced:
    """Stands for a service or an allocation."""

    def __init__(self, *, hangs=False, error=None):
        self.hangs, self.error = hangs, error
        self.there = False

    async def ensure(self):
        self.there = True
        return True

    async def withdraw(self):
        if self.hangs:
            await asyncio.Event().wait()
        if self.error:
            raise self.error
        self.there = False

    give_back = withdraw


class Bench:
    def __init__(self, services=None, bandwidth=None):
        self.apps = cast("Any", FakeApps())
        self.callbacks = cast("Any", Callbacks())
        self.book = Book()
        bell = cast("Any", self)
        self.counters = FakeCounters()
        self.held, self.stopped = True, False
        self.draining = asyncio.Event()
        self.drained = asyncio.Event()
        clock = SystemClock()
        around = Around(
            clock,
            self.counters,
            self.book,
            bell,
            lambda _reason: setattr(self, "held", True),
            lambda _reason: setattr(self, "held", False),
            self._drain,
            lambda: setattr(self, "stopped", True),
            lambda _addresses, _place: 0,
            lambda _time: None,
        )
        self.unheard: list[float] = []
        watchers = Watchers(on_unheard=self.unheard.append)
        seeing = Seeing(None, None, watchers, clock, 60.0)
        assert CONFIG.breakout is not None
        self.agent = Agent(
            CONFIG,
            CONFIG.breakout,
            Interfaces(self.apps, services, bandwidth, None, seeing),
            self.callbacks,
            around,
        )

    def condition(self, *words, **facts):
        """An alarm begins or ends."""

    async def _drain(self, _seconds):
        self.draining.set()
        await self.drained.wait()

    def terminate(self, grace_s=600):
        notice = Termination("AppTerminationNotification", Operation.TERMINATING, grace_s)
        self.callbacks.told.put_nowait(notice)


@contextlib.asynccontextmanager
async def living(bench):
    task = asyncio.create_task(bench.agent.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def until(condition):
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  # it happens in another task
            await asyncio.sleep(0.005)


async def looks(bench, count=3):
    """Return when the path and everything else was looked at some more."""
    calls = bench.apps.calls
    for name in ("subscribed", "traffic_rules"):
        before = calls.count(name)
        await until(lambda name=name, before=before: calls.count(name) >= before + count)


async def test_ready_that_is_owed_is_not_said_while_the_breakout_is_lost():
    one = Bench()
    one.apps.failing["confirm_ready"] = ProblemError(403, "later")
    async with living(one):
        await until(lambda: one.apps.calls.count("confirm_ready") > 1)
        one.apps.rules = []
        await until(lambda: one.held)
        await looks(one)
        one.apps.failing.clear()
        before = one.apps.calls.count("confirm_ready")
        await looks(one)
        assert one.apps.calls.count("confirm_ready") == before
        assert not one.apps.confirmed
        one.apps.rules = [traffic_rule("breakout")]
        await until(lambda: one.apps.confirmed == ["READY"])


async def test_a_service_is_announced_once_ready_was_heard():
    services = Announced()
    one = Bench(services)
    one.apps.failing["confirm_ready"] = ProblemError(403, "later")
    async with living(one):
        await looks(one, 20)
        assert not services.there
        one.apps.failing["confirm_ready"] = ProblemError(409, "it is in that state")
        await until(lambda: services.there)


async def test_a_platform_that_hangs_is_still_heard():
    one = Bench()
    one.apps.failing["subscribe"] = None
    one.drained.set()
    async with living(one):
        await until(lambda: not one.held)
        one.terminate()
        await until(lambda: one.stopped)
    assert one.apps.confirmed == ["TERMINATING"]
    assert one.agent.state is State.ENDED


@pytest.mark.parametrize(
    "service", [Announced(hangs=True), Announced(error=AWAY)], ids=["hangs", "away"]
)
async def test_what_can_not_be_taken_back_keeps_nobody_from_confirming(service):
    bandwidth = Announced()
    one = Bench(service, bandwidth)
    one.drained.set()
    async with living(one):
        await until(lambda: service.there)
        one.terminate(grace_s=1 if service.hangs else 600)  # half of it is waited for who hangs
        await until(lambda: one.stopped)
    assert one.apps.confirmed == ["READY", "TERMINATING"]
    assert one.book.of("mec_ended") == [{"operation": "TERMINATING", "result": "confirmed"}]
    assert bandwidth.there == service.hangs


async def test_the_path_counts_until_the_end_is_confirmed(monkeypatch):
    monkeypatch.setattr(agent_module, "END_TRIES", 1_000_000)
    one = Bench()
    one.apps.failing["confirm_termination"] = AWAY
    async with living(one):
        await until(lambda: one.apps.confirmed)
        one.terminate()
        await one.draining.wait()
        one.apps.rules = []
        await until(lambda: one.held)
        one.apps.rules = [traffic_rule("breakout")]
        await until(lambda: not one.held)
        one.drained.set()
        await until(lambda: one.apps.calls.count("confirm_termination"))
        one.apps.rules = []
        await until(lambda: one.held)


async def test_nothing_is_announced_anew_behind_the_end(monkeypatch):
    monkeypatch.setattr(agent_module, "LEAVING_S", PATIENCE_S)
    services = Announced()
    one = Bench(services)
    async with living(one):
        await until(lambda: services.there)
        await one.agent.leave()
        one.agent._looks = 0
        calls = one.apps.calls
        before = calls.count("traffic_rules")
        await until(lambda: calls.count("traffic_rules") > before + 3)
        assert not services.there


async def test_what_found_no_room_is_asked_for():
    one = Bench()
    asked = []

    async def look():
        asked.append(1)
        one.agent._interfaces.seeing.owed = False

    seeing: Any = one.agent._interfaces.seeing
    seeing.look = look
    async with living(one):
        await until(lambda: one.agent._looks > 2)
        count = len(asked)
        one.callbacks.missed = True
        await until(lambda: len(asked) > count)
        assert not one.callbacks.missed
    assert len(one.unheard) == 1  # of links, too


async def test_a_platform_that_answers_no_more_counts_for_what_it_still_tells():
    one = Bench()
    one.agent._feed(Input.GATEWAY_READY)
    one.agent._feed(Input.PATH_UNKNOWN)
    (until_s,) = one.unheard
    assert until_s == pytest.approx(time.monotonic() - 60.0, abs=30.0)


async def test_a_fault_is_told_as_itself():
    one = Bench()
    one.apps.failing["traffic_rules"] = ZeroDivisionError("a fault of ours")
    with pytest.raises(ZeroDivisionError):
        await one.agent.run()
    assert one.held
