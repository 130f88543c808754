"""Zones of a platform and the fence, through the agent: each call held against published files."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from demo.plan import free_ports
from firmware_sim.mec.location import LOCATION, Whereabouts
from firmware_sim.mec.platform import APPS, RADIO, Platform, traffic_rule
from gateway.clock import SystemClock
from gateway.domain.devices import Device
from gateway.domain.network import parse_binding
from gateway.domain.ports import Outcome
from gateway.domain.records import Alarm, LinkState
from gateway.fence.config import AreaTable, ClassTable, FenceConfig, ZoneTable
from gateway.fence.fence import Fence
from gateway.fence.following import Following
from gateway.fence.links import Links
from gateway.fence.machine import State
from gateway.fence.ports import Around, Move, Place
from gateway.fence.telling import LinkTelling
from gateway.mec import kept
from gateway.mec.config import BreakoutTable, CallbackTable, MecConfig
from gateway.mec.making import OnPlatform
from gateway.mec.seeing import Watchers
from gateway.network import watch
from gateway.network.config import Answer, SimConfig
from gateway.network.holds import Holds
from gateway.notices import Notices
from security.identity import IdentityConfig, IdentityService
from tests.fakes import FakeCounters, FakeSink
from tests.integration.test_mec import INSTANCE, NOBODY, Gateway, until
from tests.openapi import SHARED_FILES, Specification, needs_openapi, watching

pytestmark = [pytest.mark.shared, needs_openapi]

PUMP = Device("pump-1", ward="icu", network=parse_binding(gpsi="msisdn-8613800000001"))
PUMP_AT = "tel:+8613800000001"
Files = tuple[str, str]
FILES: dict[str, Files] = {
    "etsi": ("etsi-forge/MEC013_LocationAPI.yaml", "etsi-forge/MEC012_RniAPI.yaml"),
    "advantedge": ("advantedge/MEC013_location.yaml", "advantedge/MEC012_rnis.yaml"),
}
PUMP_IP = "10.1.7.7"
ZONES = (ZoneTable("z-icu", "icu"), ZoneTable("z-er", "er"))
ORDINARY = FenceConfig(ZONES, grace_s=0.2)
DURATION_S = 10
"""Of a subscription; it is renewed when half of it has passed, and lost if we stand still then."""
HELIPAD = AreaTable("helipad", 31.2, 121.5, 40.0)


class Auditing(Gateway):
    """What the agent does to the gateway, and who is let in."""

    def admitted(self, *_words: object) -> None:
        raise AssertionError("nobody connects here")

    def left(self, *_words: object) -> None:
        raise AssertionError("nobody connects here")


class Nowhere:
    """Nobody asks the associations here."""

    def stands(self, device_id: str) -> Place:
        raise AssertionError(device_id)

    def is_kept(self, device_id: str) -> bool:
        raise AssertionError(device_id)

    def move(self, move: Move, done: Callable[[Outcome], None]) -> None:
        raise AssertionError(move, done)


class Site:
    """A platform, and a gateway's agent on it with a fence and what enforces it."""

    def __init__(self, names: Files, config: FenceConfig) -> None:
        self.faults: list[str] = []
        self.specifications = [
            Specification(SHARED_FILES / name, base)
            for name, base in zip(names, (LOCATION, RADIO), strict=True)
        ]
        self.platform = Platform(INSTANCE)
        self.platform.traffic_rules["breakout"] = traffic_rule("breakout")
        self.gateway = Auditing()
        self.clock = SystemClock()
        self.counters, self.holds = FakeCounters(), Holds()
        self.sink = FakeSink(Outcome.COMMITTED)
        self.notices = Notices("gw-1", self.sink, self.clock)
        self.identity = IdentityService(
            IdentityConfig("ward.example"), self.clock, self.counters, self.gateway
        )
        around = watch.Around(
            self.identity,
            self.holds,
            self.sink,
            self.notices,
            self.gateway,
            self.clock,
            self.counters,
        )
        self.watch = watch.SimWatch(SimConfig(outside_fence=Answer.QUARANTINE), around)
        live = self.identity.live
        self.telling = LinkTelling(self.sink, live, self.clock, self.counters, active=True)
        following = Following(Nowhere(), self.sink, self.gateway, self.clock)
        self.fence = Fence(
            config,
            Around(
                self.watch,
                following,
                self.notices,
                self.gateway,
                self.clock,
                self.counters,
                self.telling.stands,
            ),
        )
        self.links = Links(
            lambda found: ["pump-1"] if PUMP_IP in found else [], self.clock, self.telling.heard
        )
        self.fence.directory([PUMP])
        self.watch.directory([PUMP])
        self._runner: web.AppRunner | None = None
        (self.port,) = free_ports(1)

    @property
    def users(self) -> Whereabouts:
        return self.platform.whereabouts

    def is_(self, state: State) -> bool:
        """Where the pump is."""
        return any(each.state is state for each in self.fence.list() if each.device_id == "pump-1")

    @property
    def alarms(self) -> list[str]:
        return [
            f"{each.condition} {each.phase.name}"
            for each in self.sink.records
            if isinstance(each, Alarm)
        ]

    @property
    def told(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """Cause, cell and zones of each record of a link."""
        return [
            (each.cause, each.cell, each.zones)
            for each in self.sink.records
            if isinstance(each, LinkState)
        ]

    async def open(self) -> None:
        seen = watching(*self.specifications, faults=self.faults)
        self._runner = web.AppRunner(self.platform.application(seen), access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def agent(self, unknown_s: float) -> OnPlatform:
        base = f"http://127.0.0.1:{self.port}"
        (port,) = free_ports(1)
        callback = CallbackTable(f"127.0.0.1:{port}", f"http://127.0.0.1:{port}", plain=True)
        breakout = BreakoutTable(("breakout",), ("10.1.0.0/16",))
        config = MecConfig(
            platform="etsi",
            app_instance=INSTANCE,
            app_support=base + APPS,
            location=base + LOCATION,
            radio=base + RADIO,
            plain=True,
            callback=callback,
            breakout=breakout,
            look_s=0.02,
            unknown_s=unknown_s,
        )
        watchers = Watchers(self.fence, self.links.told, self.telling.unheard)
        around = self.gateway.around()._replace(watchers=watchers)
        return OnPlatform(config, callback, breakout, NOBODY, {}, around)


@contextlib.asynccontextmanager
async def living(
    names: Files = FILES["etsi"], config: FenceConfig = ORDINARY, unknown_s: float = 60.0
) -> AsyncIterator[Site]:
    made = Site(names, config)
    await made.open()
    on_platform = made.agent(unknown_s)
    await on_platform.start()

    async def tick() -> None:
        while True:
            await asyncio.sleep(0.02)
            made.fence.tick()
            made.watch.tick()

    tasks = [asyncio.create_task(on_platform.agent.run()), asyncio.create_task(tick())]
    try:
        yield made
    finally:
        await on_platform.stop()  # as the daemon does: parts are cancelled behind it
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await made.close()
    for task in tasks:
        if not task.cancelled():
            task.result()
    assert not made.faults, "\n".join(made.faults)


@pytest.mark.parametrize("names", FILES.values(), ids=FILES)
async def test_who_leaves_is_held_and_who_returns_is_freed(names: Files) -> None:
    async with living(names) as site:
        site.users._put(PUMP_AT, "z-icu", "ap-1")  # before the gateway came
        await until(lambda: len(site.users.zonal) == 2)
        await until(lambda: site.is_(State.INSIDE))
        assert await site.users.transfer(PUMP_AT, "z-icu", "ap-2") == 1
        assert await site.users.leave(PUMP_AT, "z-icu") == 1
        await until(lambda: site.is_(State.OUTSIDE))
        assert list(site.holds.devices) == ["pump-1"]
        assert site.alarms == ["outside_fence START"]
        assert await site.users.enter(PUMP_AT, "z-er") == 1
        await until(lambda: site.is_(State.INSIDE))
        assert not site.holds.devices
        assert site.alarms == ["outside_fence START", "outside_fence END"]
    # It ends by itself: the platform is to tell it no more.
    assert not site.users.zonal
    assert all(each.held for each in site.specifications)
    words = [event for event, _ in site.gateway.entries if event.startswith("sim_")]
    assert words == ["sim_mismatch", "sim_agrees"]


async def test_a_platform_that_was_started_anew_is_asked_and_tells_anew() -> None:
    async with living() as site:
        await site.users.enter(PUMP_AT, "z-icu")
        await until(lambda: site.is_(State.INSIDE))
        before = set(site.users.zonal)
        site.platform.restart()
        await until(lambda: len(site.users.zonal) == 2)
        assert before.isdisjoint(site.users.zonal)
        assert site.is_(State.INSIDE)
        assert await site.users.leave(PUMP_AT, "z-icu") == 1
        await until(lambda: site.is_(State.OUTSIDE))


async def test_a_platform_that_is_silent_is_one_alarm_and_knows_what_happened_meanwhile() -> None:
    async with living(unknown_s=0.5) as site:
        await site.users.enter(PUMP_AT, "z-icu")
        await until(lambda: site.is_(State.INSIDE))
        await site.close()
        await until(lambda: site.is_(State.UNKNOWN))
        assert site.alarms == ["fence_unknown START"]
        assert not site.holds.devices
        await site.open()
        await until(lambda: site.is_(State.INSIDE))
        assert site.alarms == ["fence_unknown START", "fence_unknown END"]


async def test_subscriptions_are_renewed_before_they_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "DURATION_S", DURATION_S)
    async with living() as site:
        await until(lambda: len(site.users.zonal) == 2)
        names = set(site.users.zonal)

        def renewed() -> int:
            return sum(call.startswith("PUT") and LOCATION in call for call in site.platform.calls)

        await until(lambda: renewed() >= 4)
        assert set(site.users.zonal) == names


@pytest.mark.parametrize("names", FILES.values(), ids=FILES)
async def test_areas_are_entered_and_left_and_say_at_once_who_is_there(
    names: Files,
) -> None:
    classes = {"air": ClassTable(devices=("pump-1",), zones=("helipad",))}
    config = FenceConfig(ZONES, (HELIPAD,), classes, grace_s=0.2)
    async with living(names, config) as site:
        await site.users.enter(PUMP_AT, "z-icu")
        site.users.circled["helipad"] = {PUMP_AT}
        await until(lambda: len(site.users.circles) == 2)
        await until(lambda: not site.is_(State.UNKNOWN))
        await site.users.cross(PUMP_AT, "helipad", inwards=False)
        await until(lambda: site.is_(State.OUTSIDE))
        await site.users.cross(PUMP_AT, "helipad", inwards=True)
        await until(lambda: site.is_(State.INSIDE))
        other = Device("pump-2", network=parse_binding(gpsi="msisdn-8613800000002"))
        site.fence.directory([PUMP, other])
        await until(lambda: all(len(each["address"]) == 2 for each in site.users.circles.values()))


async def test_what_is_told_of_zones_is_as_the_files_say() -> None:
    heard: list[tuple[str, Any]] = []

    async def hear(request: web.Request) -> web.Response:
        heard.append((request.path, await request.json()))
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/{kind}", hear)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    users = Whereabouts()
    users.zonal["a"] = {"callbackReference": {"notifyURL": f"{base}/zone"}, "zoneId": "z"}
    users.circles["b"] = {
        "callbackReference": {"notifyURL": f"{base}/area", "callbackData": "Entering/helipad"},
        "enteringLeavingCriteria": "Entering",
        "address": [PUMP_AT],
    }
    await users.enter(PUMP_AT, "z")
    await users.transfer(PUMP_AT, "z", "ap-2")
    await users.leave(PUMP_AT, "z")
    await users.cross(PUMP_AT, "helipad", inwards=True)
    await runner.cleanup()
    assert len(heard) == 4
    for name, _ in FILES.values():
        specification = Specification(Path(SHARED_FILES / name), LOCATION)
        for _, notice in heard[:3]:
            specification.check("ZonalPresenceNotification", notice["zonalPresenceNotification"])
        specification.check("SubscriptionNotification", heard[3][1]["subscriptionNotification"])


@pytest.mark.parametrize("names", FILES.values(), ids=FILES)
async def test_the_radio_network_is_heard_and_asked_anew(
    names: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "DURATION_S", DURATION_S)
    async with living(names) as site:
        told = site.platform.radio_subscriptions
        await until(lambda: len(told) == 2)
        assert await site.platform.hand_over(PUMP_IP, "0000002") == 1
        await until(site.links.all)
        assert site.links.all()["pump-1"].cell == "001-01-0000002"
        assert await site.platform.hand_over("10.9.9.9", "0000003") == 1
        calls = site.platform.calls
        await until(lambda: any(each.startswith(f"PUT {RADIO}") for each in calls))
        assert await site.users.enter(PUMP_AT, "z-icu") == 1
        await until(lambda: len(site.told) == 2)
        site.platform.restart()
        await until(lambda: len(site.platform.radio_subscriptions) == 2)
        await until(lambda: ("unheard", "", ("z-icu",)) in site.told)
        assert await site.platform.hand_over(PUMP_IP, "0000004") == 1
        await until(lambda: site.links.all()["pump-1"].cell == "001-01-0000004")
        assert site.told[0] == ("cell", "001-01-0000002", ())
        assert site.told[1] == ("zone", "001-01-0000002", ("z-icu",))
    assert not site.platform.radio_subscriptions


async def test_what_is_told_of_links_is_as_the_files_say() -> None:
    said: list[Any] = []

    class Listening(Platform):
        async def _tell(self, subscriptions: Any, words: Any) -> int:
            said.extend(words(name) for name in subscriptions)
            return len(said)

    platform = Listening(INSTANCE)
    platform.radio_subscriptions["a"] = {"subscriptionType": "CellChangeSubscription"}
    platform.radio_subscriptions["b"] = {"subscriptionType": "NrMeasRepUeSubscription"}
    assert await platform.hand_over(PUMP_IP, "0000002") == 1
    assert await platform.measure(PUMP_IP, "000000003", 60, 65, 66) == 2
    for _, name in FILES.values():
        specification = Specification(SHARED_FILES / name, RADIO)
        specification.check("CellChangeNotification", said[0])
        specification.check("NrMeasRepUeNotification", said[1])
