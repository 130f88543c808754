"""A network with a memory: each call and answer is held against CAMARA's files, over HTTP."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from gateway.domain.devices import Device
from gateway.domain.network import parse_binding
from gateway.domain.records import AlarmPriority
from gateway.fence.config import FenceConfig
from gateway.local.access import ENGINEER, Caller
from gateway.local.calls import CallError, Unary, UnknownError
from gateway.networkapi.config import AreaTable, NetworkApisConfig, QualityTable
from gateway.networkapi.keeper import LINGER_S, RETRY_S, Around
from gateway.networkapi.making import OnNetwork
from gateway.networkapi.quality import State
from protos.wardgate.v1 import network_pb2 as pb
from security.files import TlsFiles
from tests.fakes import FakeClock, FakeCounters
from tests.openapi import SHARED_FILES, Specification, needs_openapi, watching
from tests.unit.fence.test_fence import bench as fence_bench

LOCATION, QUALITY = "/location-verification/v3", "/quality-on-demand/v1"
pytestmark = pytest.mark.timeout(120)


class Operator:
    """Grants what is asked for, one session per device, and knows where each is."""

    def __init__(self) -> None:
        self.sessions: dict[str, dict[str, object]] = {}
        self.inside: dict[str, str] = {}
        self.lose_answer = False
        self.faults: list[str] = []

    @property
    def granted(self) -> list[tuple[object, object]]:
        """Device and duration of each session."""
        return [(each["device"], each["duration"]) for each in self.sessions.values()]

    def application(self) -> web.Application:
        """Its two interfaces; whatever the files do not allow is among ``faults``."""
        folder = SHARED_FILES / "camara"
        watched = watching(
            Specification(folder / "location-verification.yaml", LOCATION),
            Specification(folder / "quality-on-demand.yaml", QUALITY),
            faults=self.faults,
        )
        application = web.Application(middlewares=[watched])
        post = application.router.add_post
        post(f"{LOCATION}/verify", self._verify)
        post(f"{QUALITY}/sessions", self._create)
        post(f"{QUALITY}/retrieve-sessions", self._retrieve)
        post(f"{QUALITY}/sessions/{{name}}/extend", self._extend)
        application.router.add_get(f"{QUALITY}/sessions/{{name}}", self._show)
        application.router.add_delete(f"{QUALITY}/sessions/{{name}}", self._delete)
        return application

    async def _verify(self, request: web.Request) -> web.Response:
        said = await request.json()
        verdict = self.inside.get(said["device"]["phoneNumber"])
        if verdict is None:
            return _error(422, "LOCATION_VERIFICATION.UNABLE_TO_LOCATE", "not seen")
        found = {"verificationResult": verdict, "lastLocationTime": "2026-01-01T00:00:00Z"}
        return web.json_response(found | ({"matchRate": 74} if verdict == "PARTIAL" else {}))

    async def _create(self, request: web.Request) -> web.Response:
        said = await request.json()
        if any(each["device"] == said["device"] for each in self.sessions.values()):
            return _error(409, "CONFLICT", "there is one")
        name = str(uuid.uuid4())
        self.sessions[name] = said | {"sessionId": name, "qosStatus": "AVAILABLE"}
        if self.lose_answer:
            self.lose_answer = False
            return web.Response(status=503)
        return web.json_response(self.sessions[name], status=201)

    async def _retrieve(self, request: web.Request) -> web.Response:
        said = await request.json()
        found = [each for each in self.sessions.values() if each["device"] == said["device"]]
        return web.json_response(found)

    async def _extend(self, request: web.Request) -> web.Response:
        session = self.sessions[request.match_info["name"]]
        more = (await request.json())["requestedAdditionalDuration"]
        session["duration"] = int(str(session["duration"])) + more
        return web.json_response(session)

    async def _show(self, request: web.Request) -> web.Response:
        found = self.sessions.get(request.match_info["name"])
        return web.json_response(found) if found else _error(404, "NOT_FOUND", "none")

    async def _delete(self, request: web.Request) -> web.Response:
        found = self.sessions.pop(request.match_info["name"], None)
        return web.Response(status=204) if found else _error(404, "NOT_FOUND", "none")


def _error(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"status": status, "code": code, "message": message}, status=status)


class Log:
    """What was audited."""

    def __init__(self) -> None:
        self.states: list[str] = []

    def record(self, event: str, **fields: str | int) -> None:
        assert event == "network_quality"
        self.states.append(str(fields["state"]))


class Bench:
    """A gateway's part, and the operator that it asks."""

    def __init__(self, port: int, operator: Operator) -> None:
        self.operator = operator
        self.clock = FakeClock()
        self.log = Log()
        self.grave: list[str] = []
        base = f"http://127.0.0.1:{port}"
        config = NetworkApisConfig(
            provider="camara",
            location_verification=base + LOCATION,
            quality_on_demand=base + QUALITY,
            plain=True,
            area=AreaTable(31.23, 121.47),
            quality=QualityTable(("monitor",), "QOS_E", "10.20.0.1", (8883,), session_s=100),
        )
        devices = {
            "mon-1": Device("mon-1", "monitor", network=parse_binding(gpsi="+8613800000001")),
            "wired-1": Device("wired-1", "monitor"),
        }
        around = Around(
            lambda least: self.grave if least is AlarmPriority.HIGH else [],
            devices.get,
            lambda _device: frozenset(("10.1.2.3",)),
            self.clock,
            FakeCounters(),
            self.log,
        )
        nowhere = TlsFiles(Path("cert"), Path("key"), Path("trust"))
        self.part = OnNetwork(config, nowhere, around)
        assert self.part.keeper is not None
        self.keeper = self.part.keeper

    async def goes_on(self, seconds: float) -> None:
        """Time passes, and the keeper looks."""
        self.clock.advance(seconds)
        await self.keeper.look()

    async def verify(self, device_id: str) -> pb.VerifyLocationResponse:
        """As somebody on site asks."""
        fence = fence_bench().fence
        fence.follow(FenceConfig())
        method = self.part.service(fence).methods[0]
        assert isinstance(method, Unary)
        assert method.allowed == ENGINEER
        assert method.changes
        request = pb.VerifyLocationRequest(device_id=device_id)
        answer = await method.answer(Caller("operator/anna", ENGINEER), request)
        assert isinstance(answer, pb.VerifyLocationResponse)
        return answer


@contextlib.asynccontextmanager
async def asked() -> AsyncIterator[Bench]:
    """An operator on loopback, and who asks it."""
    operator = Operator()
    runner = web.AppRunner(operator.application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    bench = Bench(runner.addresses[0][1], operator)
    try:
        yield bench
    finally:
        await bench.part.stop()
        await runner.cleanup()
        assert operator.faults == []


@needs_openapi
async def test_a_session_is_asked_for_extended_and_given_back() -> None:
    async with asked() as bench:
        bench.grave = ["mon-1", "wired-1"]  # by_address is not said: nothing to call that one
        await bench.goes_on(1)
        assert bench.operator.granted == [({"phoneNumber": "+8613800000001"}, 100)]
        await bench.goes_on(80)
        assert bench.operator.granted == [({"phoneNumber": "+8613800000001"}, 200)]
        bench.grave = []
        await bench.goes_on(LINGER_S + 1)
        assert bench.operator.sessions == {}
        assert bench.log.states == ["granted", "none"]


@needs_openapi
async def test_a_request_whose_answer_is_lost_makes_no_second_session() -> None:
    async with asked() as bench:
        bench.operator.lose_answer = True
        bench.grave = ["mon-1"]
        await bench.goes_on(1)
        (name,) = bench.operator.sessions
        assert [each.state for each in bench.keeper.shown()] == [State.GRANTED]
        await bench.part.stop()
        assert name not in bench.operator.sessions


@needs_openapi
async def test_a_session_that_the_network_ended_is_asked_for_again() -> None:
    async with asked() as bench:
        bench.grave = ["mon-1"]
        await bench.goes_on(1)
        (before,) = bench.operator.sessions
        bench.operator.sessions.clear()
        await bench.goes_on(31)
        await bench.goes_on(RETRY_S)
        (after,) = bench.operator.sessions
        assert after != before


@needs_openapi
async def test_the_network_gives_a_second_opinion() -> None:
    async with asked() as bench:
        bench.operator.inside["+8613800000001"] = "PARTIAL"
        told = await bench.verify("mon-1")
        assert (told.verdict, told.match_percent) == ("PARTIAL", 74)
        assert told.located_us == 1_767_225_600_000_000
        bench.operator.inside.clear()
        told = await bench.verify("mon-1")
        assert (told.verdict, told.why, told.located_us) == ("UNKNOWN", "422: not seen", 0)
        with pytest.raises(UnknownError):
            await bench.verify("mon-9")
        with pytest.raises(CallError, match="by nothing"):
            await bench.verify("wired-1")
