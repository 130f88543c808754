"""A core network tells of changed modems: subscribed to, told, renewed, forgotten, cancelled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from demo.plan import free_ports
from gateway.domain.devices import Device
from gateway.domain.errors import MalformedError
from gateway.domain.network import Swapped, parse_binding
from gateway.mec.config import CallbackTable
from gateway.mec.http import PlatformError, ProblemError
from gateway.network.judge import Mismatch
from gateway.network.swaps import Swaps
from gateway.networkapi.config import NefTable, NetworkApisConfig, RoundsTable
from gateway.networkapi.interface import Whose
from gateway.networkapi.keeper import Around
from gateway.networkapi.making import Hearers, OnNetwork
from gateway.networkapi.modems import EXPIRY_S, ModemChanges, read_changed
from security.files import TlsFiles
from tests.fakes import FakeCounters
from tests.integration.alarm_ward import until
from tests.integration.core_network import CHANGED, MONITORING
from tests.integration.test_nef import NOTIFY, NUMBER, Site, network
from tests.integration.test_network_apis import Log
from tests.unit.fence.test_fence import bench as fence_bench

pytestmark = pytest.mark.timeout(120)

PUMP = Device("pump-1", "pump", network=parse_binding(gpsi=NUMBER))


class Gateway:
    """The part of one that listens, and who hears it."""

    def __init__(self, site: Site, port: int) -> None:
        fenced = fence_bench()
        self.watch = fenced.watch
        self.swaps = Swaps(self.watch, fenced.sink)
        self.swaps.directory([PUMP])
        self.url = f"http://127.0.0.1:{port}"
        config = NetworkApisConfig(
            provider="nef",
            location_verification=site.base + MONITORING,
            plain=True,
            rounds=RoundsTable(every_s=1, calls_per_minute=6000),
            nef=NefTable(
                "hospital-1",
                NOTIFY,
                CallbackTable(f"127.0.0.1:{port}", self.url, plain=True),
            ),
        )
        self.counters = FakeCounters()
        around = Around(
            lambda _least: (),
            {"pump-1": PUMP}.get,
            lambda _device: frozenset(),
            site.clock,
            self.counters,
            Log(),
        )
        hearers = Hearers(lambda: [PUMP], self.swaps, fenced.fence)
        nowhere = TlsFiles(Path("cert"), Path("key"), Path("trust"))
        self.part = OnNetwork(config, nowhere, around, hearers)

    @contextlib.asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        await self.part.start()
        task = asyncio.create_task(self.part.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            await self.part.stop()

    def changed(self) -> bool:
        return bool(self.watch.standing("pump-1") == {Mismatch.MODEM_CHANGED})


async def test_a_changed_modem_is_told_and_what_is_lost_is_subscribed_to_again() -> None:
    (port,) = free_ports(1)
    async with network() as site:
        core, gateway = site.core, Gateway(site, port)
        async with gateway.living():
            await until(lambda: bool(core.waiting) and bool(gateway.swaps.list()))
            assert not gateway.changed()
            (name,) = core.waiting
            assert await core.tell(monitoringEventReports=[CHANGED]) == [204]
            await until(gateway.changed)
            assert await gateway.swaps.confirm("pump-1") == {Mismatch.MODEM_CHANGED}

            assert await core.tell(cancelInd=True) == [204]
            core.waiting.clear()
            await until(lambda: bool(core.waiting))
            assert name not in core.waiting
            site.clock.advance(1)
            assert await core.tell(monitoringEventReports=[CHANGED]) == [204]
            await until(gateway.changed)

            guess = f"{gateway.url}/nef/guess/changes"
            async with aiohttp.ClientSession() as client, client.post(guess, json={}) as answer:
                assert answer.status == 404
            assert gateway.counters.counts["network_told", "changes"] == 3
            assert gateway.counters.counts["network_told", "unknown"] == 1


def listener(
    site: Site, place: str, heard: list[tuple[str, Swapped]], url: str = "http://gw-1.campus"
) -> ModemChanges:
    """One on the network of a site, of a gateway that is reached at one URL."""
    nef = site.client()
    return ModemChanges(
        site.platforms[-1],
        nef.collection,
        url,
        f"{url}/nef/{place}/changes",
        lambda phone, swapped: heard.append((phone, swapped)),
        site.clock,
    )


async def test_it_is_renewed_before_it_ends_and_what_a_process_before_left_is_ended() -> None:
    heard: list[tuple[str, Swapped]] = []
    async with network() as site:
        core = site.core
        before = listener(site, "first", heard)
        await before.swapped(Whose(NUMBER))
        changes = listener(site, "second", heard)
        assert await changes.swapped(Whose(NUMBER)) == Swapped(None, 0)
        assert len(core.waiting) == 2
        await changes.tidy()
        ((name, made),) = core.waiting.items()
        assert made["notificationDestination"] == "http://gw-1.campus/nef/second/changes"
        assert made["msisdn"] == NUMBER[1:]

        told = {"subscription": made["self"], "monitoringEventReports": [CHANGED]}
        at_us = site.clock.now_us()
        assert changes.told(read_changed(_json(told)))
        stranger = told | {"subscription": "https://nef.example/x"}
        assert not changes.told(read_changed(_json(stranger)))
        assert heard == [(NUMBER, Swapped(None, at_us))]

        site.clock.advance(EXPIRY_S / 2 - 1)
        await changes.swapped(Whose(NUMBER))
        assert set(core.waiting) == {name}
        site.clock.advance(1)
        assert await changes.swapped(Whose(NUMBER)) == Swapped(None, at_us)
        (renewed,) = core.waiting
        assert renewed != name


async def test_a_gateway_ends_what_one_before_left_and_when_it_stops_its_own() -> None:
    (port,) = free_ports(1)
    async with network() as site:
        before = listener(site, "before", [], f"http://127.0.0.1:{port}")
        for number in ("+8613800000009", NUMBER):
            await before.swapped(Whose(number))
        refused, left = site.core.waiting
        site.core.barred.add(refused)
        gateway = Gateway(site, port)
        async with gateway.living():
            await until(lambda: bool(gateway.swaps.list()))
            nef = gateway.part.nef
            assert nef is not None
            assert nef.changes is not None
            await nef.changes.tidy()
            assert left not in site.core.waiting
            assert len(site.core.waiting) == 2
        assert set(site.core.waiting) == {refused}


async def test_one_of_which_nobody_heard_is_taken_up() -> None:
    heard: list[tuple[str, Swapped]] = []
    async with network() as site:
        changes = listener(site, "ours", heard)
        site.core.lose_answers = 1
        with pytest.raises(PlatformError):
            await changes.swapped(Whose(NUMBER))
        await changes.swapped(Whose(NUMBER))
        (made,) = site.core.waiting.values()
        told = {"subscription": made["self"], "monitoringEventReports": [CHANGED]}
        assert changes.told(read_changed(_json(told)))
        assert [phone for phone, _ in heard] == [NUMBER]

        # The renewed one, too; and not the one before, which ends soon.
        site.clock.advance(EXPIRY_S / 2)
        site.core.lose_answers = 1
        with pytest.raises(PlatformError):
            await changes.swapped(Whose(NUMBER))
        await changes.swapped(Whose(NUMBER))
        (renewed,) = site.core.waiting.values()
        assert renewed != made


async def test_a_name_that_is_given_anew_is_no_subscription_of_ours() -> None:
    async with network() as site:
        changes, other = listener(site, "ours", []), "+8613800000002"
        for number in (NUMBER, other):
            await changes.swapped(Whose(number))
        site.core.forget()
        for number in (other, NUMBER) * 2:
            await changes.swapped(Whose(number))
        assert {each["msisdn"] for each in site.core.waiting.values()} == {NUMBER[1:], other[1:]}
        assert (len(site.core.waiting), site.core.made) == (2, 4)


async def test_that_a_network_will_not_tell_of_a_number_is_said() -> None:
    async with network() as site:
        site.core.barred.add(NUMBER[1:])
        with pytest.raises(ProblemError):
            await listener(site, "ours", []).swapped(Whose(NUMBER))


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[",
        b"\xff",
        b"[" * 100_000,
        b'{"subscription": 1}',
        b'{"subscription": "s", "monitoringEventReports": [{}]}',
        b'{"subscription": "s", "monitoringEventReports": [{"eventTime": 1}]}',
    ],
    ids=["empty", "cut", "no UTF-8", "nested", "no link", "no type", "no time"],
)
def test_what_is_no_notification_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedError):
        read_changed(body)


def test_a_time_without_a_zone_is_no_time() -> None:
    report = CHANGED | {"eventTime": "2026-01-01T00:00:00"}
    with pytest.raises(MalformedError, match="zone"):
        read_changed(_json({"subscription": "s", "monitoringEventReports": [report]}))


def test_times_are_at_most_now_and_other_events_are_left() -> None:
    told = {
        "subscription": "https://nef.example/s-1",
        "monitoringEventReports": [
            CHANGED | {"eventTime": "1970-01-01T00:00:01Z"},
            CHANGED | {"eventTime": "2999-01-01T00:00:00+01:00"},
            CHANGED,
            {"monitoringType": "LOSS_OF_CONNECTIVITY"},
        ],
    }
    assert read_changed(_json(told)).times_us(5_000_000) == [1_000_000, 5_000_000, 5_000_000]


def _json(told: object) -> bytes:
    return msgspec.json.encode(told)
