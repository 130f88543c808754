"""A core network's NEF with a memory: each call is held against our contract of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from gateway.domain.devices import Device
from gateway.domain.errors import MalformedError
from gateway.domain.network import Swapped, parse_binding
from gateway.domain.records import AlarmPriority
from gateway.mec.http import Platform, PlatformError, ProblemError
from gateway.network.swaps import Swaps
from gateway.networkapi.config import AreaTable, NefTable, NetworkApisConfig, QualityTable
from gateway.networkapi.interface import Circle, Flow, Located, Session, Status, Verdict, Whose
from gateway.networkapi.keeper import Around, QualityKeeper
from gateway.networkapi.making import Hearers, OnNetwork
from gateway.networkapi.nef import LEFT_S, Bases, Nef
from gateway.networkapi.quality import State
from security.files import TlsFiles
from tests.fakes import FakeClock, FakeCounters
from tests.integration.alarm_ward import until
from tests.integration.core_network import MONITORING, QUALITY, Core
from tests.integration.test_network_apis import Log
from tests.unit.fence.test_fence import bench as fence_bench

pytestmark = pytest.mark.timeout(120)

NOTIFY = "https://gw-1.campus.example/network"
NUMBER, ADDRESS = "+8613800000001", "10.1.2.3"
WHOSE = Whose(NUMBER, ADDRESS)
FLOW = Flow("10.20.0.1", (8883, 5684))
CAMPUS = Circle(31.2304, 121.4737, 2000.0)
HERE = {"shape": "POINT", "point": {"lat": CAMPUS.latitude, "lon": CAMPUS.longitude}}


class Site:
    """The network, and clients of it by one clock."""

    def __init__(self, core: Core, port: int) -> None:
        self.core = core
        self.clock = FakeClock()
        self.base = f"http://127.0.0.1:{port}"
        self.platforms: list[Platform] = []
        self.nef = self.client()

    def client(self, notify: str = NOTIFY) -> Nef:
        """As another process, or another gateway."""
        platform = Platform(
            lambda: None, None, 20.0, self.clock, FakeCounters(), Random(1), "network_calls"
        )
        self.platforms.append(platform)
        bases = Bases(self.base + MONITORING, self.base + QUALITY)
        return Nef(platform, bases, "hospital-1", notify, self.clock)

    async def where(self, age_s: int = 120, whose: Whose = WHOSE) -> Located:
        return await self.nef.verify_location(whose, CAMPUS, age_s)


@contextlib.asynccontextmanager
async def network() -> AsyncIterator[Site]:
    core = Core()
    async with core.listening() as port:
        site = Site(core, port)
        try:
            yield site
        finally:
            for each in site.platforms:
                await each.close()


def name_of(session: Session) -> str:
    """What the core calls it."""
    return session.session_id.rpartition("/")[2]


async def test_a_session_is_for_an_address_and_both_ways() -> None:
    async with network() as site:
        session = await site.nef.request_quality(WHOSE, FLOW, "gold", 300)
        assert (session.status, session.duration_s) == (Status.AVAILABLE, 300.0)
        (made,) = site.core.sessions.values()
        assert made["ueIpv4Addr"] == ADDRESS
        assert made["flowInfo"][0]["flowDescriptions"] == [
            f"permit out ip from 10.20.0.1 8883,5684 to {ADDRESS}",
            f"permit in ip from {ADDRESS} to 10.20.0.1 8883,5684",
        ]
        site.clock.advance(100)
        assert (await site.nef.extend_quality(session.session_id, 300)).duration_s == 600.0
        assert await site.nef.quality(session.session_id) == session._replace(duration_s=600.0)
        await site.nef.end_quality(session.session_id)
        await site.nef.end_quality(session.session_id)
        assert site.core.sessions == {}
        assert await site.nef.quality(session.session_id) is None
        with pytest.raises(ProblemError):
            await site.nef.extend_quality(session.session_id, 300)
        with pytest.raises(ProblemError):
            await site.nef.request_quality(WHOSE, FLOW, "platinum", 300)
        with pytest.raises(MalformedError):
            await site.nef.request_quality(Whose(NUMBER), FLOW, "gold", 300)


async def test_what_has_no_end_there_is_ended_when_its_time_is_over() -> None:
    async with network() as site:
        session = await site.nef.request_quality(WHOSE, FLOW, "gold", 300)
        site.clock.advance(299)
        await site.nef.tidy()
        assert len(site.core.sessions) == 1
        await site.nef.extend_quality(session.session_id, 60)
        site.clock.advance(60)
        await site.nef.tidy()
        assert len(site.core.sessions) == 1
        site.clock.advance(1)
        await site.nef.tidy()
        assert site.core.sessions == {}


async def test_what_a_killed_gateway_left_is_taken_up_or_ended_and_anothers_is_left() -> None:
    async with network() as site:
        other = site.client("https://gw-2.campus.example/network")
        theirs = await other.request_quality(WHOSE, FLOW, "gold", 300)
        first = await site.nef.request_quality(WHOSE, FLOW, "gold", 300)
        await site.nef.request_quality(Whose(ipv4="10.1.2.4"), FLOW, "gold", 300)
        again = site.client()
        taken_up = await again.request_quality(WHOSE, FLOW, "gold", 200)
        assert taken_up.session_id == first.session_id
        await again.tidy()
        assert len(site.core.sessions) == 3
        site.clock.advance(LEFT_S)
        await again.tidy()
        assert set(site.core.sessions) == {name_of(first), name_of(theirs)}


@pytest.mark.parametrize("lists", [False, True], ids=["report", "reports"])
async def test_a_place_is_held_against_the_circle(lists: bool) -> None:
    async with network() as site:
        site.core.lists = lists
        site.core.places[NUMBER[1:]] = {"ageOfLocationInfo": 1, "geographicArea": HERE}
        minute_ago = site.clock.now_us() - 60_000_000
        assert await site.where() == Located(Verdict.TRUE, minute_ago)
        assert site.core.asked[-1]["locationType"] == "LAST_KNOWN_LOCATION"
        assert (await site.where(0)).verdict is Verdict.TRUE
        assert site.core.asked[-1]["locationType"] == "CURRENT_LOCATION"
        site.core.places[NUMBER[1:]]["geographicArea"] = HERE | {"point": {"lat": 31.4, "lon": 121}}
        assert (await site.where()).verdict is Verdict.FALSE


async def test_what_the_network_can_not_say_is_unknown_with_its_reason() -> None:
    async with network() as site:
        assert (await site.where()).why == "404: none of ours"
        assert (await site.where(whose=Whose(ipv4=ADDRESS))).verdict is Verdict.UNKNOWN
        site.core.places[NUMBER[1:]] = {"ageOfLocationInfo": 3, "geographicArea": HERE}
        assert (await site.where()).why == "what the network knows is too old"
        site.core.places[NUMBER[1:]] = {"cellId": "460-00-1-1"}
        assert (await site.where()).why == "the network draws no area that is known"
        site.core.later = True
        assert (await site.where()).why == "the network would tell later"
        assert site.core.waiting == {}
        assert await site.nef.swapped(WHOSE) == Swapped()


async def test_an_alarm_has_quality_by_the_address_that_the_device_has_now() -> None:
    async with network() as site:
        grave, addresses = ["mon-1"], {ADDRESS}
        device = Device("mon-1", "monitor", network=parse_binding(gpsi=NUMBER))
        around = Around(
            lambda least: grave if least is AlarmPriority.HIGH else [],
            {"mon-1": device}.get,
            lambda _device: frozenset(addresses),
            site.clock,
            FakeCounters(),
            Log(),
        )
        table = QualityTable(("monitor",), "gold", "10.20.0.1", session_s=100, total_s=150)
        keeper = QualityKeeper(site.nef, table, around)
        for _ in range(2):
            site.clock.advance(1)
            await keeper.look()
        assert [each.state for each in keeper.shown()] == [State.GRANTED]
        # The device comes from another address by now: the session is for nobody's flow.
        addresses = {"10.1.2.9"}
        for _ in range(50):
            site.clock.advance(1)
            await keeper.look()
        (made,) = site.core.sessions.values()
        assert made["ueIpv4Addr"] == "10.1.2.9"
        for _ in range(150):
            site.clock.advance(1)
            await keeper.look()
            await site.nef.tidy()
        assert [each.state for each in keeper.shown()] == [State.SPENT]
        assert site.core.sessions == {}


async def test_a_session_of_which_nobody_heard_is_taken_up_or_ended_and_not_made_twice() -> None:
    async with network() as site:
        site.core.lose_answers = 1
        with pytest.raises(PlatformError):
            await site.nef.request_quality(WHOSE, FLOW, "gold", 300)
        session = await site.nef.request_quality(WHOSE, FLOW, "gold", 300)
        assert list(site.core.sessions) == [name_of(session)]
        await site.nef.end_quality(session.session_id)
        await site.nef.tidy()
        site.clock.advance(LEFT_S)
        await site.nef.tidy()

        site.core.lose_answers = 1
        with pytest.raises(PlatformError):
            await site.nef.request_quality(WHOSE, FLOW, "gold", 300)
        assert len(site.core.sessions) == 1
        site.clock.advance(LEFT_S)
        await site.nef.tidy()
        assert site.core.sessions == {}


async def test_a_name_that_is_given_anew_is_no_session_of_ours() -> None:
    async with network() as site:
        session = await site.nef.request_quality(WHOSE, FLOW, "gold", 300)
        site.core.forget()
        other = site.client("https://gw-2.campus.example/network")
        theirs = await other.request_quality(WHOSE, FLOW, "gold", 300)
        assert theirs.session_id == session.session_id
        with pytest.raises(ProblemError):
            await site.nef.extend_quality(session.session_id, 300)
        await site.nef.end_quality(session.session_id)
        assert list(site.core.sessions) == [name_of(theirs)]

        site.core.forget()
        lost = await site.nef.request_quality(WHOSE, FLOW, "gold", 300)
        site.core.forget()
        ours = await site.nef.request_quality(Whose(ipv4="10.1.2.9"), FLOW, "gold", 300)
        assert name_of(ours) == name_of(lost)
        await site.nef.end_quality(lost.session_id)
        assert await site.nef.quality(lost.session_id) is None
        assert await site.nef.quality(ours.session_id) == ours


async def test_one_that_can_not_be_ended_keeps_no_other_from_its_end() -> None:
    async with network() as site:
        first = await site.nef.request_quality(WHOSE, FLOW, "gold", 300)
        await site.nef.request_quality(Whose(ipv4="10.1.2.4"), FLOW, "gold", 300)
        site.core.barred.add(name_of(first))
        site.clock.advance(300)
        await site.nef.tidy()
        assert list(site.core.sessions) == [name_of(first)]
        site.core.barred.clear()
        site.clock.advance(LEFT_S)
        await site.nef.tidy()
        assert site.core.sessions == {}


async def test_who_stops_leaves_nothing_and_touches_nothing_of_others() -> None:
    async with network() as site:
        other = site.client("https://gw-2.campus.example/network")
        theirs = await other.request_quality(WHOSE, FLOW, "gold", 300)
        await site.nef.request_quality(WHOSE, FLOW, "gold", 300)
        site.core.lose_answers = 1
        with pytest.raises(PlatformError):
            await site.nef.request_quality(Whose(ipv4="10.1.2.4"), FLOW, "gold", 300)
        await site.nef.stop()
        assert list(site.core.sessions) == [name_of(theirs)]


async def test_the_configuration_says_that_it_is_one() -> None:
    async with network() as site:
        config = NetworkApisConfig(
            provider="nef",
            location_verification=site.base + MONITORING,
            quality_on_demand=site.base + QUALITY,
            plain=True,
            by_address=True,
            nef=NefTable("hospital-1", NOTIFY),
            area=AreaTable(CAMPUS.latitude, CAMPUS.longitude),
            quality=QualityTable(("monitor",), "gold", "10.20.0.1"),
        )
        grave = ["mon-1"]
        device = Device("mon-1", "monitor")
        around = Around(
            lambda _least: grave,
            {"mon-1": device}.get,
            lambda _device: frozenset((ADDRESS,)),
            site.clock,
            FakeCounters(),
            Log(),
        )
        fenced = fence_bench()
        hearers = Hearers(lambda: [device], Swaps(fenced.watch, fenced.sink), fenced.fence)
        part = OnNetwork(
            config, TlsFiles(Path("cert"), Path("key"), Path("trust")), around, hearers
        )
        living = asyncio.create_task(part.run())
        await until(lambda: bool(site.core.sessions))
        living.cancel()
        await asyncio.wait([living])
        await part.stop()
        assert site.core.sessions == {}
