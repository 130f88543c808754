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
from gateway.network.judge import Mismatch
from gateway.network.swaps import Swaps
from gateway.networkapi.config import NefTable, NetworkApisConfig, RoundsTable
from gateway.networkapi.interface import Whose
from gateway.networkapi.keeper import Around
from gateway.networkapi.making import Hearers, OnNetwork
from gateway.networkapi.modems import EVENT, EXPIRY_S, ModemChanges, read_changed
from gateway.networkapi.nef import LEFT_S
from security.files import TlsFiles
from tests.fakes import FakeCounters
from tests.integration.alarm_ward import until
from tests.integration.test_nef import MONITORING, NOTIFY, NUMBER, Site, network
from tests.integration.test_network_apis import Log
from tests.unit.fence.test_fence import bench as fence_bench

pytestmark = pytest.mark.timeout(120)

PUMP = Device("pump-1", "pump", network=parse_binding(gpsi=NUMBER))
REPORT = {"monitoringType": EVENT, "imeiChange": "IMEI"}


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
            assert await core.tell(monitoringEventReports=[REPORT]) == [204]
            await until(gateway.changed)
            assert await gateway.swaps.confirm("pump-1") == {Mismatch.MODEM_CHANGED}

            assert await core.tell(cancelInd=True) == [204]
            core.waiting.clear()
            await until(lambda: bool(core.waiting))
            assert name not in core.waiting
            site.clock.advance(1)
            assert await core.tell(monitoringEventReports=[REPORT]) == [204]
            await until(gateway.changed)

            guess = f"{gateway.url}/nef/guess/changes"
            async with aiohttp.ClientSession() as client, client.post(guess, json={}) as answer:
                assert answer.status == 404
            assert gateway.counters.counts["network_told", "changes"] == 3
            assert gateway.counters.counts["network_told", "unknown"] == 1


def listener(site: Site, place: str, heard: list[tuple[str, Swapped]]) -> ModemChanges:
    """One on the network of a site, of a gateway that is reached at one URL."""
    nef = site.client()
    return ModemChanges(
        site.platforms[-1],
        nef.collection,
        "http://gw-1.campus",
        f"http://gw-1.campus/nef/{place}/changes",
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

        told = {"subscription": made["self"], "monitoringEventReports": [REPORT]}
        at_us = site.clock.now_us()
        changes.told(read_changed(_json(told)))
        changes.told(read_changed(_json(told | {"subscription": "https://nef.example/x"})))
        assert heard == [(NUMBER, Swapped(None, at_us))]

        site.clock.advance(EXPIRY_S / 2 - 1)
        await changes.swapped(Whose(NUMBER))
        assert set(core.waiting) == {name}
        site.clock.advance(1)
        assert await changes.swapped(Whose(NUMBER)) == Swapped(None, at_us)
        (renewed,) = core.waiting
        assert renewed != name


async def test_a_gateway_ends_what_one_before_left_once_it_has_its_own() -> None:
    (port,) = free_ports(1)
    async with network() as site:
        first = Gateway(site, port)
        async with first.living():
            await until(lambda: bool(site.core.waiting))
        (left,) = site.core.waiting
        again = Gateway(site, port)
        async with again.living():
            await until(lambda: len(site.core.waiting) == 2)
            site.clock.advance(LEFT_S)
            nef = again.part.nef
            assert nef is not None
            await nef.tidy()
            assert left not in site.core.waiting
            assert len(site.core.waiting) == 1


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
    report = REPORT | {"eventTime": "2026-01-01T00:00:00"}
    with pytest.raises(MalformedError, match="zone"):
        read_changed(_json({"subscription": "s", "monitoringEventReports": [report]}))


def test_times_are_at_most_now_and_other_events_are_left() -> None:
    told = {
        "subscription": "https://nef.example/s-1",
        "monitoringEventReports": [
            REPORT | {"eventTime": "1970-01-01T00:00:01Z"},
            REPORT | {"eventTime": "2999-01-01T00:00:00+01:00"},
            REPORT,
            {"monitoringType": "LOSS_OF_CONNECTIVITY"},
        ],
    }
    assert read_changed(_json(told)).times_us(5_000_000) == [1_000_000, 5_000_000, 5_000_000]


def _json(told: object) -> bytes:
    return msgspec.json.encode(told)
