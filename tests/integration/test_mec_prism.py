"""Every call of a MEC platform against prism, which serves the published files and judges requests.

It serves them as they are, but for alternatives that are the same twice (``oneOf``), which no body
can match once; and it makes answers of the types, since some of the files' own examples are of
others. prism is a mock: it knows no state. What follows from one call for the next, the simulated
platform of :mod:`firmware_sim.mec` has, whose answers are held against the same files.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from demo.plan import free_ports
from gateway.clock import SystemClock
from gateway.dial import knock
from gateway.fence.config import AreaTable, ZoneTable
from gateway.mec.apps import AppSupport, Operation
from gateway.mec.bandwidth import Bandwidth, bw_info
from gateway.mec.config import BandwidthTable, ServiceTable, TokenTable
from gateway.mec.http import Answer, Platform, PlatformError
from gateway.mec.kept import Kept
from gateway.mec.location import Location, Wanted
from gateway.mec.mobility import Mobility
from gateway.mec.radio import Radio
from gateway.mec.rules import DnsRule, TrafficRule, Unread
from gateway.mec.services import Services
from tests.fakes import FakeCounters
from tests.openapi import SHARED_FILES, lenient, needs_openapi

ROOT = Path(__file__).resolve().parents[2]
PRISM = shutil.which("prism") or str(ROOT / ".prism" / "node_modules" / ".bin" / "prism")
START_S_MAX = 120.0
INSTANCE = "5abe4782-2c70-4e47-9a4e-0ee3a1a0fd1f"

pytestmark = [
    pytest.mark.shared,
    needs_openapi,
    pytest.mark.skipif(not Path(PRISM).exists(), reason="needs prism (`make prism`, with npm)"),
    pytest.mark.timeout(300),
]


@contextlib.asynccontextmanager
async def mocked(
    name: str,
    folder: Path,
    token: TokenTable | None = None,
    flags: tuple[str, ...] = ("--errors", "--dynamic"),
) -> AsyncIterator[tuple[str, Platform]]:
    """The interface of one file, and a client."""
    (port,) = free_ports(1)
    served = folder / "served.json"
    # The safe loader that is written in C.
    document = yaml.load((SHARED_FILES / name).read_text(), yaml.CSafeLoader)
    served.write_text(json.dumps(lenient(document), default=str))
    process = await asyncio.create_subprocess_exec(
        *(PRISM, "mock", *flags),
        *("--port", str(port), str(served)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env=os.environ | {"CI": "1"},
    )
    clock = SystemClock()
    platform = Platform(lambda: None, token, 20.0, clock, FakeCounters(), random.Random(1))
    try:
        async with asyncio.timeout(START_S_MAX):
            while not await knock(f"127.0.0.1:{port}"):
                assert process.returncode is None
                await asyncio.sleep(0.1)
        yield f"http://127.0.0.1:{port}", platform
    finally:
        await platform.close()
        if process.returncode is None:
            process.kill()
        await process.wait()


class Remembering:
    """A client for which everything that is asked for is the same."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self.answer = Answer(0, b"")

    async def call(self, method: str, *words: Any, **facts: Any) -> Answer:
        return (
            self.answer if method == "GET" else await self._platform.call(method, *words, **facts)
        )


def as_uris(kept: Kept, **changed: Any) -> None:
    """The file wants a subscription's id to be a URI of its own."""
    for name, one in kept._of.items():
        url = f"{one.url.rpartition('/')[0]}/urn%3Asubscription"
        kept._of[name] = one._replace(url=url, **changed)


@pytest.mark.parametrize(
    "name",
    ["etsi-forge/MEC011_MecAppSupportApi.yaml", "advantedge/MEC011_app-support.yaml"],
    ids=["2.1.1", "2.2.1"],
)
async def test_application_support(name: str, tmp_path: Path) -> None:
    async with mocked(name, tmp_path) as (base, platform):
        apps = AppSupport(platform, base, INSTANCE)
        await apps.confirm_ready()
        for operation in Operation:
            await apps.confirm_termination(operation)
        place = await apps.subscribe("https://gateway.campus:7448/mec/secret/termination")
        assert place.startswith(f"{base}/applications/{INSTANCE}/subscriptions/")
        assert await apps.subscribed(place)
        await apps.unsubscribe(place)
        assert not [each for each in await apps.traffic_rules() if isinstance(each, Unread)]
        assert not [each for each in await apps.dns_rules() if isinstance(each, Unread)]
        with contextlib.suppress(PlatformError):  # of any numbers, few are a time
            assert (await apps.current_time()).time_source_status in ("TRACEABLE", "NONTRACEABLE")
        # What is switched on is what was judged, and prism makes up another at each call.
        same: Any = Remembering(platform)
        apps = AppSupport(same, base, INSTANCE)
        kinds: Any = (
            ("traffic_rules", TrafficRule, apps.activate_traffic_rule),
            ("dns_rules", DnsRule, apps.activate_dns_rule),
        )
        for path, kind, activate in kinds:
            url = f"{base}/applications/{INSTANCE}/{path}/one"
            same.answer = answer = await platform.call("GET", url)
            await activate(msgspec.json.decode(answer.body, type=kind))
        assert await apps.time_sources() >= 0


@pytest.mark.parametrize(
    "name",
    ["etsi-forge/MEC011_MecServiceMgmtApi.yaml", "advantedge/MEC011_service-mgmt.yaml"],
    ids=["2.1.1", "2.2.1"],
)
async def test_services(name: str, tmp_path: Path) -> None:
    async with mocked(name, tmp_path) as (base, platform):
        table = ServiceTable(uri="https://gateway.campus:7447")
        services = Services(platform, base, INSTANCE, table, "https://mep.campus/token")
        assert await services.ensure()
        assert services.instance_id
        assert not await services.ensure()
        await services.withdraw()


async def test_bandwidth(tmp_path: Path) -> None:
    async with mocked("etsi-forge/MEC015_BwManagementApi.yaml", tmp_path) as (base, platform):
        for address in ("", "10.1.2.3:7443"):
            info: Any = bw_info(BandwidthTable(1_000_000), INSTANCE, address)
            allocation = Bandwidth(platform, base, info)
            with pytest.raises(PlatformError, match="where it is"):
                await allocation.ensure()  # the file forgets the Location that the text asks for
            allocation.allocation_id = "allocation-1"
            assert not await allocation.ensure()
            await allocation.give_back()


async def test_mobility(tmp_path: Path) -> None:
    async with mocked("advantedge/MEC021_ams.yaml", tmp_path) as (base, platform):
        mobility = Mobility(platform, base, INSTANCE, "https://gateway.campus:7448/mec/secret/m")
        assert await mobility.ensure()
        assert not await mobility.ensure()
        await mobility.withdraw()


@pytest.mark.parametrize(
    "name",
    ["etsi-forge/MEC013_LocationAPI.yaml", "advantedge/MEC013_location.yaml"],
    ids=["etsi", "advantedge"],
)
async def test_location(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with mocked(name, tmp_path) as (base, platform):
        wanted = Wanted(
            (ZoneTable("zone01"),),
            (AreaTable("helipad", 31.2, 121.5, 40.0),),
            lambda: ("tel:+8613800000001",),
            "https://gateway.campus:7448/mec/secret/zone",
            "https://gateway.campus:7448/mec/secret/area",
        )
        location = Location(platform, base, INSTANCE, wanted, SystemClock())
        assert await location.ensure()
        assert set(await location.users()) == {"zone01"}
        as_uris(location._kept)
        assert not await location.ensure()
        monkeypatch.setattr("gateway.mec.kept.DURATION_S", 60)  # others: they are changed
        assert not await location.ensure()
        await location.withdraw()


@pytest.mark.parametrize(
    "name",
    ["etsi-forge/MEC012_RniAPI.yaml", "advantedge/MEC012_rnis.yaml"],
    ids=["etsi", "advantedge"],
)
async def test_radio(name: str, tmp_path: Path) -> None:
    async with mocked(name, tmp_path) as (base, platform):
        callback = "https://gateway.campus:7448/mec/secret/radio"
        radio = Radio(platform, base, callback, SystemClock())
        assert await radio.ensure()
        as_uris(radio._kept)
        assert not await radio.ensure()
        as_uris(radio._kept, renew_at=0.0)
        assert not await radio.ensure()
        await radio.withdraw()
