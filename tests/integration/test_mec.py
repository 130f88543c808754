"""A gateway's place on a MEC platform, each call held against the published interfaces."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from demo.plan import free_ports
from firmware_sim.mec.platform import (
    APPS,
    BANDWIDTH,
    MOBILITY,
    SERVICES,
    Platform,
    dns_rule,
    second_release,
    traffic_rule,
)
from gateway.clock import SystemClock
from gateway.mec.agent import CONDITION, Agent, Around
from gateway.mec.config import BandwidthTable, BreakoutTable, CallbackTable, MecConfig, TokenTable
from gateway.mec.life import HOLD, State
from gateway.mec.making import OnPlatform
from security.files import SECRET_MODE, TlsFiles, write_atomic
from tests.fakes import FakeCounters
from tests.openapi import SHARED_FILES, Specification, needs_openapi, watching

pytestmark = [pytest.mark.shared, needs_openapi]

PATIENCE_S = 30
INSTANCE = "instance-1"
CLIENT = ("wardgate", "not much of a secret")
FIRST = {
    APPS: "etsi-forge/MEC011_MecAppSupportApi.yaml",
    SERVICES: "etsi-forge/MEC011_MecServiceMgmtApi.yaml",
    BANDWIDTH: "etsi-forge/MEC015_BwManagementApi.yaml",
    MOBILITY: "advantedge/MEC021_ams.yaml",
}
SECOND = {
    APPS: "advantedge/MEC011_app-support.yaml",
    SERVICES: "advantedge/MEC011_service-mgmt.yaml",
}
NOBODY = TlsFiles(Path("none"), Path("none"), Path("none"))


class Gateway:
    """What the agent does to the gateway."""

    def __init__(self) -> None:
        self.held = True
        self.holds = 0
        self.conditions: dict[str, bool] = {}
        self.entries: list[tuple[str, dict[str, Any]]] = []
        self.drained: list[float] = []
        self.stopped = False
        self.moved: list[tuple[frozenset[str], str]] = []
        self.times: list[Any] = []
        self.counters = FakeCounters()

    def around(self) -> Around:
        return Around(
            SystemClock(),
            self.counters,
            self,
            self,  # type: ignore[arg-type]
            self._hold,
            self._free,
            self._drain,
            self._stop,
            self._move,
            self.times.append,
        )

    def record(self, event: str, **fields: str | int) -> None:
        self.entries.append((event, fields))

    def refused(self, reason: str, transport: str, peer: str, device_id: str) -> None:
        raise AssertionError("nothing is refused here")

    def condition(self, condition: str, text: str, *, active: bool, about: str = "") -> None:
        self.conditions[condition] = active

    def _hold(self, reason: str) -> None:
        assert reason == HOLD
        self.held = True
        self.holds += 1

    def _free(self, reason: str) -> None:
        assert reason == HOLD
        self.held = False

    async def _drain(self, seconds: float) -> None:
        await asyncio.sleep(0.3)  # longer than the pause between two looks
        self.drained.append(seconds)

    def _stop(self) -> None:
        self.stopped = True

    def _move(self, addresses: frozenset[str], place: str) -> int:
        self.moved.append((addresses, place))
        return len(addresses)


class Site:
    """A platform that listens, and a gateway's agent on it."""

    def __init__(self, folder: Path, specifications: dict[str, str]) -> None:
        self.folder = folder
        self.faults: list[str] = []
        self.specifications = {
            base: Specification(SHARED_FILES / name, base) for base, name in specifications.items()
        }
        self.platform = Platform(INSTANCE, CLIENT)
        self.platform.traffic_rules["breakout"] = traffic_rule("breakout")
        self.platform.dns_rules["core"] = dns_rule("core")
        self.gateway = Gateway()
        self._runner: web.AppRunner | None = None
        (self.port,) = free_ports(1)

    async def open(self) -> None:
        watch = watching(*self.specifications.values(), faults=self.faults)
        self._runner = web.AppRunner(self.platform.application(watch), access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def agent(self, **changed: Any) -> OnPlatform:
        base = f"http://127.0.0.1:{self.port}"
        (port,) = free_ports(1)
        secret = self.folder / "secret"
        write_atomic(secret, CLIENT[1].encode(), SECRET_MODE)
        settings: dict[str, Any] = {
            "platform": "etsi",
            "app_instance": INSTANCE,
            "app_support": base + APPS,
            "service_mgmt": base + SERVICES,
            "bandwidth_mgmt": base + BANDWIDTH,
            "mobility": base + MOBILITY,
            "plain": True,
            "token": TokenTable(f"{base}/token", CLIENT[0], secret),
            "callback": CallbackTable(f"127.0.0.1:{port}", f"http://127.0.0.1:{port}", plain=True),
            "breakout": BreakoutTable(("breakout",), ("10.1.0.0/16",), ("core",)),
            "bandwidth": BandwidthTable(1_000_000, destination="core"),
            "look_s": 0.05,
            "unknown_s": 60.0,
            "drain_margin_s": 1.0,
        } | changed
        config = MecConfig(**settings)
        assert config.callback is not None
        assert config.breakout is not None
        return OnPlatform(
            config,
            config.callback,
            config.breakout,
            NOBODY,
            {"core": "10.1.2.3:7443"},
            self.gateway.around(),
        )


@contextlib.asynccontextmanager
async def site(folder: Path, specifications: dict[str, str] = FIRST) -> AsyncIterator[Site]:
    made = Site(folder, specifications)
    await made.open()
    try:
        yield made
    finally:
        await made.close()
    assert not made.faults, "\n".join(made.faults)


@contextlib.asynccontextmanager
async def living(made: Site, **changed: Any) -> AsyncIterator[Agent]:
    on_platform = made.agent(**changed)
    await on_platform.start()
    task = asyncio.create_task(on_platform.agent.run())
    try:
        yield on_platform.agent
    finally:
        await on_platform.stop()  # as the daemon does: parts are cancelled behind it
        task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled():
            task.result()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is taken back at the end may take its time: the platform is there."""
    for name in ("LOOK_ENDS_S", "LEAVING_S"):
        monkeypatch.setattr(f"gateway.mec.agent.{name}", PATIENCE_S)


def is_held(gateway: Gateway) -> bool:
    return gateway.held


def state_of(agent: Agent) -> State:
    return agent.state


async def until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  # it happens in another task
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("specifications", [FIRST, SECOND], ids=["2.1.1", "2.2.1"])
async def test_ready_is_said_once_the_breakout_is_in_force(tmp_path, specifications):
    async with site(tmp_path, specifications) as made:
        platform, gateway = made.platform, made.gateway
        if specifications is SECOND:
            rule = platform.traffic_rules["breakout"]
            platform.traffic_rules["breakout"] = second_release(rule)
        platform.traffic_rules["breakout"]["state"] = "INACTIVE"
        breakout = BreakoutTable(("breakout",), ("10.1.0.0/16",), activate=False)
        async with living(made, breakout=breakout) as agent:
            await until(lambda: gateway.conditions.get(CONDITION))
            assert state_of(agent) is State.UNSURE
            assert is_held(gateway)
            assert not platform.ready
            platform.traffic_rules["breakout"]["state"] = "ACTIVE"
            await until(lambda: platform.ready)
            await until(lambda: platform.services and platform.allocations)
            await until(lambda: platform.mobility_services and gateway.times)
            assert not is_held(gateway)
            assert not gateway.conditions.get(CONDITION)
            (service,) = platform.services.values()
            assert service["consumedLocalOnly"]
            assert service["transportInfo"]["type"] == "RPC_STREAMING"
            (allocation,) = platform.allocations.values()
            assert allocation["sessionFilter"] == [
                {"dstAddress": "10.1.2.3", "dstPort": ["7443"], "protocol": "6"}
            ]
            assert gateway.times[0].traceable
        # It ends by itself: what was announced is taken back.
        assert not platform.services
        assert not platform.allocations
        assert not platform.mobility_services
        assert not platform.subscriptions
        assert all(each.held for each in made.specifications.values())


async def test_what_sleeps_is_switched_on(tmp_path):
    async with site(tmp_path) as made:
        made.platform.traffic_rules["breakout"]["state"] = "INACTIVE"
        made.platform.dns_rules["core"]["state"] = "INACTIVE"
        async with living(made):
            await until(lambda: made.platform.ready)
        assert made.platform.traffic_rules["breakout"]["state"] == "ACTIVE"
        assert made.platform.dns_rules["core"]["state"] == "ACTIVE"


@pytest.mark.parametrize(
    "rule",
    [
        None,
        traffic_rule("breakout", action="DUPLICATE_ENCAPSULATED"),
        traffic_rule("breakout", address="203.0.113.9"),
        traffic_rule("breakout", action="DROP"),
    ],
    ids=["gone", "duplicates", "off_campus", "drops"],
)
async def test_nothing_leaves_while_the_breakout_is_lost(tmp_path, rule):
    async with site(tmp_path) as made:
        platform, gateway = made.platform, made.gateway
        async with living(made) as agent:
            await until(lambda: not is_held(gateway))
            good = platform.traffic_rules.pop("breakout")
            if rule is not None:
                platform.traffic_rules["breakout"] = rule
            await until(lambda: is_held(gateway))
            assert state_of(agent) is State.WITHHELD
            assert gateway.conditions[CONDITION]
            platform.traffic_rules["breakout"] = good
            await until(lambda: not is_held(gateway))
            assert state_of(agent) is State.READY
            assert not gateway.conditions.get(CONDITION)
            await until(lambda: platform.ready == 1)
        told = [fields["state"] for event, fields in gateway.entries if event == "breakout"]
        assert told == ["good", "bad", "good"]


async def test_a_platform_that_is_away_counts_for_a_while_and_then_no_more(tmp_path):
    async with site(tmp_path) as made:
        gateway = made.gateway
        async with living(made, unknown_s=2.0) as agent:
            await until(lambda: made.platform.ready)
            await made.close()
            await until(lambda: is_held(gateway))
            assert state_of(agent) is State.WITHHELD
            made.platform.restart()  # and it has forgotten everything
            await made.open()
            await until(lambda: not is_held(gateway) and made.platform.ready == 2)
            await until(lambda: made.platform.subscriptions and made.platform.services)
            await until(lambda: made.platform.allocations and made.platform.mobility_services)


async def test_what_a_gateway_that_was_killed_left_is_there_once(tmp_path):
    async with site(tmp_path) as made:
        platform = made.platform
        on_platform = made.agent()
        await on_platform.start()
        task = asyncio.create_task(on_platform.agent.run())
        await until(lambda: platform.ready and platform.services and platform.allocations)
        task.cancel()
        await asyncio.wait((task,))
        await on_platform._callbacks.stop()  # and takes nothing back
        await on_platform._platform.close()
        stores = (platform.subscriptions, platform.services, platform.allocations)
        before = {name for store in stores for name in store}
        assert len(before) == 3
        other = {"serName": "of another kind", "serInstanceId": "id-other"}
        platform.services["id-other"] = next(iter(platform.services.values())) | other
        async with living(made):
            await until(lambda: platform.ready == 2)
            await until(lambda: len(platform.services) == 2 and len(platform.allocations) == 1)
            now = {name for store in stores for name in store}
            await until(lambda: not before & {name for store in stores for name in store})
            assert "id-other" in now
            assert len(platform.subscriptions) == 1
            assert await platform.terminate(20) == 1
            await until(lambda: made.gateway.stopped)


async def test_what_was_made_and_not_heard_of_is_there_once(tmp_path):
    async with site(tmp_path) as made:
        platform = made.platform
        platform.lose_answers = 4
        own = f"GET {APPS}/applications/{INSTANCE}/subscriptions"
        async with living(made):
            await until(lambda: platform.services and platform.allocations)
            await until(lambda: platform.mobility_services)
            # Until the agent knows the one that it looks at.
            await until(lambda: any(f"{own}/{n}" in platform.calls for n in platform.subscriptions))
            assert not platform.lose_answers
            assert len(platform.subscriptions) == 1
            assert len(platform.services) == len(platform.allocations) == 1


async def test_busy_answers_and_spent_tokens_are_borne(tmp_path):
    async with site(tmp_path) as made:
        made.platform.busy = 2
        made.platform.token_life_s = 0.3
        async with living(made):
            await until(lambda: made.platform.ready)
            await until(lambda: made.platform.calls.count("POST /token") > 2)
            made.platform._tokens.clear()  # as if it had revoked them
            before = made.platform.calls.count("POST /token")
            await until(lambda: made.platform.calls.count("POST /token") > before)
            assert not is_held(made.gateway)


async def test_a_termination_is_drained_and_confirmed(tmp_path):
    async with site(tmp_path) as made:
        platform, gateway = made.platform, made.gateway
        async with living(made) as agent:
            await until(lambda: platform.ready and platform.services)
            assert await platform.terminate(20, "STOPPING") == 1
            await until(lambda: gateway.stopped)
            assert state_of(agent) is State.ENDED
        assert gateway.drained == [19.0]
        assert platform.terminated == ["STOPPING"]
        assert not platform.services
        ended = [fields for event, fields in gateway.entries if event == "mec_ended"]
        assert ended == [{"operation": "STOPPING", "result": "confirmed"}]


async def test_devices_that_move_are_sent_on(tmp_path):
    async with site(tmp_path) as made:
        async with living(made):
            await until(lambda: made.platform.mobility_subscriptions)
            assert await made.platform.move(["10.1.7.7", "fd00::7"], ("gw-9.campus", 8883)) == 1
            await until(lambda: made.gateway.moved)
        assert made.gateway.moved == [(frozenset(("10.1.7.7", "fd00::7")), "gw-9.campus:8883")]


async def test_who_does_not_know_the_path_tells_nothing(tmp_path):
    async with site(tmp_path) as made, living(made):
        await until(lambda: made.platform.subscriptions)
        (subscription,) = made.platform.subscriptions.values()
        url = subscription["callbackReference"]
        secret = url.split("/")[-2]
        guessed = "".join(random.Random(7).sample(secret, len(secret)))
        notice = {
            "notificationType": "AppTerminationNotification",
            "operationAction": "TERMINATING",
            "maxGracefulTimeout": 1,
        }
        async with aiohttp.ClientSession() as session:
            for path, body, status in (
                (url.replace(secret, guessed), notice, 404),
                (url.rsplit("/", 1)[0], notice, 404),
                (url, {"notificationType": "SomethingElse"}, 400),
                (url, notice | {"maxGracefulTimeout": -1}, 400),
                (url, "x" * (300 << 10), 413),
            ):
                async with session.post(path, json=body) as answer:
                    assert answer.status == status
            async with session.get(url) as answer:
                assert answer.status == 404
        assert not made.gateway.drained


async def test_what_the_platform_tells_is_as_the_files_say(tmp_path):
    """The fake's own notifications are of the published types."""
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
    platform = Platform(INSTANCE)
    platform.subscriptions["a"] = {"callbackReference": f"{base}/end"}
    platform.mobility_subscriptions["b"] = {"callbackReference": f"{base}/move"}
    await platform.terminate(5)
    await platform.move(["10.1.7.7"], ("elsewhere", 1))
    await runner.cleanup()
    for specifications in (FIRST, SECOND):
        support = Specification(SHARED_FILES / specifications[APPS], APPS)
        support.check("AppTerminationNotification", heard[0][1])
    mobility = Specification(SHARED_FILES / FIRST[MOBILITY], MOBILITY)
    mobility.check("MobilityProcedureNotification", heard[1][1])
