"""A network with a memory: each call and answer is held against CAMARA's files, over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from gateway.domain.devices import Device
from gateway.domain.network import Swapped, parse_binding
from gateway.domain.records import AlarmPriority
from gateway.fence.config import FenceConfig
from gateway.local.access import ENGINEER, Caller
from gateway.local.calls import CallError, InvalidError, Unary, UnknownError
from gateway.network.judge import Mismatch
from gateway.network.swaps import Swaps
from gateway.networkapi.config import AreaTable, NetworkApisConfig, QualityTable
from gateway.networkapi.interface import Whose
from gateway.networkapi.keeper import RETRY_S, Around
from gateway.networkapi.making import Hearers, OnNetwork
from gateway.networkapi.quality import State
from protos.wardgate.v1 import network_pb2 as pb
from security.files import TlsFiles
from tests.fakes import FakeClock, FakeCounters
from tests.integration.operator_network import (
    DEVICE_SWAP,
    LOCATION,
    QUALITY,
    SIM_SWAP,
    Operator,
)
from tests.openapi import needs_openapi
from tests.unit.fence.test_fence import bench as fence_bench

pytestmark = pytest.mark.timeout(120)
NUMBER = "+8613800000001"


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
            sim_swap=base + SIM_SWAP,
            device_swap=base + DEVICE_SWAP,
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
        fenced = fence_bench()
        fenced.fence.follow(FenceConfig())
        self.watch = fenced.watch
        self.swaps = Swaps(self.watch, fenced.sink)
        self.swaps.directory(devices.values())
        hearers = Hearers(devices.values, self.swaps, fenced.fence)
        self.part = OnNetwork(config, nowhere, around, hearers)
        assert self.part.keeper is not None
        self.keeper = self.part.keeper

    async def goes_on(self, seconds: float) -> None:
        """Time passes, and the keeper looks."""
        self.clock.advance(seconds)
        await self.keeper.look()

    async def call(self, name: str, request: Message) -> Any:
        """As somebody on site asks: whatever an operator hears of is an engineer's, and audited."""
        (method,) = [each for each in self.part.service().methods if each.name == name]
        assert isinstance(method, Unary)
        assert method.changes == (not name.startswith("List"))
        assert not method.changes or method.allowed == ENGINEER
        return await method.answer(Caller("operator/anna", ENGINEER), request)

    async def verify(self, device_id: str) -> pb.VerifyLocationResponse:
        """Where a device is."""
        request = pb.VerifyLocationRequest(device_id=device_id)
        answer = await self.call("VerifyLocation", request)
        assert isinstance(answer, pb.VerifyLocationResponse)
        return answer


@contextlib.asynccontextmanager
async def asked() -> AsyncIterator[Bench]:
    """An operator on loopback, and who asks it."""
    operator = Operator()
    async with operator.listening() as port:
        bench = Bench(port, operator)
        try:
            yield bench
        finally:
            await bench.part.stop()


@needs_openapi
async def test_a_session_is_asked_for_extended_and_given_back() -> None:
    async with asked() as bench:
        bench.grave = ["mon-1", "wired-1"]  # by_address is not said: nothing to call that one
        await bench.goes_on(1)
        assert bench.operator.granted == [({"phoneNumber": "+8613800000001"}, 100)]
        await bench.goes_on(80)
        assert bench.operator.granted == [({"phoneNumber": "+8613800000001"}, 200)]
        bench.grave = []
        await bench.goes_on(31)
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


@needs_openapi
async def test_an_engineer_asks_for_a_device_and_gives_it_back() -> None:
    async with asked() as bench:
        request = pb.AskQualityRequest(device_id="mon-1", minutes=2, reason="remote session")
        asking = asyncio.create_task(bench.call("AskQuality", request))
        await asyncio.sleep(0)
        await bench.goes_on(1)
        session = (await asking).session
        assert (session.state, list(session.needs)) == ("granted", ["person"])
        assert bench.operator.granted == [({"phoneNumber": NUMBER}, 100)]
        listed = await bench.call("ListQuality", pb.ListQualityRequest())
        assert [each.device_id for each in listed.sessions] == ["mon-1"]
        await bench.call("GiveBackQuality", pb.GiveBackQualityRequest(device_id="mon-1"))
        await bench.goes_on(1)
        assert bench.operator.sessions == {}
        with pytest.raises(CallError, match="nobody"):
            await bench.call("GiveBackQuality", pb.GiveBackQualityRequest(device_id="mon-1"))
        request = pb.AskQualityRequest(device_id="wired-1", minutes=2, reason="remote session")
        with pytest.raises(CallError, match="by nothing"):
            await bench.call("AskQuality", request)
        for wrong in (
            pb.AskQualityRequest(device_id="mon-1", minutes=2),
            pb.AskQualityRequest(device_id="mon-1", reason="remote session"),
        ):
            with pytest.raises(InvalidError):
                await bench.call("AskQuality", wrong)


@needs_openapi
async def test_the_network_says_when_sim_and_modem_were_changed() -> None:
    async with asked() as bench:
        whose = Whose(NUMBER)
        assert await bench.part.apis.swapped(whose) == Swapped()
        bench.operator.sims[NUMBER] = "2026-01-01T01:00:00.5+01:00"
        bench.operator.modems[NUMBER] = None
        told = await bench.part.apis.swapped(whose)
        assert told == Swapped(1_767_225_600_500_000, 0)

        request = pb.ConfirmSwapsRequest(device_id="mon-1", reason="new SIM, ticket 7")
        with pytest.raises(UnknownError):
            await bench.call("ConfirmSwaps", request)
        bench.swaps.told("mon-1", told)
        bench.swaps.told("mon-1", Swapped(told.sim_us, 5))
        (listed,) = (await bench.call("ListSwaps", pb.ListSwapsRequest())).devices
        assert (listed.sim_us, listed.modem_us) == (told.sim_us, 5)
        assert list(listed.standing) == ["modem_changed"]
        assert bench.watch.standing("mon-1") == {Mismatch.MODEM_CHANGED}
        assert list((await bench.call("ConfirmSwaps", request)).ended) == ["modem_changed"]
        assert not bench.watch.standing("mon-1")
