"""A whole gateway on a MEC platform: what leaves follows the breakout, and the end is drained."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import struct
import subprocess
import sys
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import cast

import pytest
from aiohttp import web

from bench.site import Identities, make_identities
from demo.plan import free_ports
from demo.scrape import total
from firmware_sim.mec.location import LOCATION
from firmware_sim.mec.platform import APPS, RADIO, Platform, traffic_rule
from gateway.local.client import LocalClient
from gateway.local.config import SOCKET_NAME
from protos.wardgate.v1 import association_pb2
from security.files import SECRET_MODE, write_atomic
from security.tls import server_context
from tests.crash.device import HABITS
from tests.crash.site import CrashSite, until
from tests.unit.ownclock.test_chrony import reply

pytestmark = pytest.mark.timeout(300)
INSTANCE = "instance-1"
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> Identities:
    return make_identities(tmp_path_factory.mktemp("pki"), 1)


@asynccontextmanager
async def listening(platform: Platform, identities: Identities):
    """The platform over mutual TLS; its port."""
    runner = web.AppRunner(platform.application(), access_log=None)
    await runner.setup()
    context = server_context(identities.core)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def table(folder: Path, port: int) -> str:
    """``[mec]`` of the gateway."""
    (callback,) = free_ports(1)
    write_atomic(folder / "mec.secret", b"hidden", SECRET_MODE)
    base = f"https://localhost:{port}"
    return f"""
[mec]
platform = "etsi"
app_instance = "{INSTANCE}"
app_support = "{base}{APPS}"
look_s = 0.1
unknown_s = 60.0
drain_margin_s = 1.0

[mec.token]
endpoint = "{base}/token"
client_id = "wardgate"
secret = "{folder}/mec.secret"

[mec.callback]
listen = "127.0.0.1:{callback}"
url = "https://localhost:{callback}"

[mec.breakout]
rules = ["breakout"]
campus = ["10.1.0.0/16"]
"""


async def counted(site: CrashSite, name: str, **labels: str) -> float:
    """What a metric of the gateway says, once it answers."""
    async with asyncio.timeout(PATIENCE_S):
        while not (samples := await site.samples("gateway")):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return total(samples, f"wardgate_{name}", **labels)


async def becomes(site: CrashSite, value: float, name: str, **labels: str) -> None:
    """Until a metric of the gateway says so."""
    async with asyncio.timeout(PATIENCE_S):
        while await counted(site, name, **labels) != value:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def there(site: CrashSite) -> set[str]:
    """Messages at the core."""
    with closing(sqlite3.connect(f"file:{site.core_db}?mode=ro", uri=True)) as db:
        return {name for (name,) in db.execute("SELECT message_id FROM reports")}


async def test_nothing_leaves_without_the_breakout_and_everything_before_the_end(
    tmp_path: Path, identities: Identities
) -> None:
    platform = Platform(INSTANCE, ("wardgate", "hidden"))
    async with listening(platform, identities) as port:
        extra = table(tmp_path, port)
        async with CrashSite(tmp_path / "site", identities, extra=extra) as site:
            (device,) = site.devices([replace(HABITS[3], rate=50.0, repeats=0.0)], Random(7))
            running = asyncio.create_task(device.run())

            # The rule is not there: what devices say is collected, and stays.
            await until(lambda: len(device.diary.acknowledged) > 30, PATIENCE_S)
            assert await counted(site, "held", reason="breakout") == 1
            assert not there(site)
            assert not platform.ready

            platform.traffic_rules["breakout"] = traffic_rule("breakout")
            await until(lambda: platform.ready == 1 and len(there(site)) > 30, PATIENCE_S)

            # It points elsewhere: what was on its way may arrive yet, and nothing that came later.
            platform.traffic_rules["breakout"] = traffic_rule("breakout", address="203.0.113.9")
            await becomes(site, 1, "held", reason="breakout")
            since, kept = set(device.diary.sent), device.diary.acknowledged
            await until(lambda: len(kept - since) > 30, PATIENCE_S)
            assert not (kept - since) & there(site)
            assert await counted(site, "alarms_active", priority="medium") >= 0

            platform.traffic_rules["breakout"] = traffic_rule("breakout")
            assert await platform.terminate(50) == 1
            await until(lambda: platform.terminated == ["TERMINATING"], PATIENCE_S)
            assert await site.processes["gateway"].ended(PATIENCE_S)
            assert site.processes["gateway"].exit_code == 0
            running.cancel()
            await asyncio.wait((running,))
            with closing(sqlite3.connect(f"file:{site.core_db}?mode=ro", uri=True)) as db:
                alarms = db.execute(
                    "SELECT phase FROM alarms WHERE condition = 'breakout_lost' ORDER BY id"
                ).fetchall()
            assert kept <= there(site)
            assert [phase for (phase,) in alarms][:2] == ["start", "end"]


FENCE = """
[fence]
grace_s = 0.2
settle_s = 0.2
roaming = "follow"

[[fence.zones]]
zone = "z-ward"
ward = "icu"

[[fence.zones]]
zone = "z-er"
ward = "er"

[fence.addresses]
"acr:10.1.7.7" = "DEVICE"
"acr:10.1.7.8" = "roamer-1"

[sim]
outside_fence = "quarantine"
"""


NETWORK = """
[network_apis]
provider = "camara"
plain = true
location_verification = "http://127.0.0.1:9/location-verification/v3"
quality_on_demand = "http://127.0.0.1:9/quality-on-demand/v1"
area = { latitude = 31.23, longitude = 121.47 }
quality = { kinds = ["monitor"], profile = "QOS_E", server = "10.20.0.1" }
"""


async def test_what_leaves_the_campus_is_collected_and_not_released(
    tmp_path: Path, identities: Identities
) -> None:
    platform = Platform(INSTANCE, ("wardgate", "hidden"))
    platform.traffic_rules["breakout"] = traffic_rule("breakout")
    (listed,) = json.loads(identities.devices.read_text())
    async with listening(platform, identities) as port:
        told = table(tmp_path, port).replace(
            "look_s",
            f'location = "https://localhost:{port}{LOCATION}"\n'
            f'radio = "https://localhost:{port}{RADIO}"\nlook_s',
            1,
        )
        extra = told + NETWORK + FENCE.replace("DEVICE", listed["device_id"])
        async with CrashSite(tmp_path / "site", identities, extra=extra) as site:
            (device,) = site.devices([replace(HABITS[3], rate=50.0, repeats=0.0)], Random(7))
            running = asyncio.create_task(device.run())
            users, kept = platform.whereabouts, device.diary.acknowledged
            await until(lambda: users.zonal and len(there(site)) > 10, PATIENCE_S)
            await users.enter("acr:10.1.7.7", "z-ward")

            def links(where: str) -> list[tuple[object, ...]]:
                with closing(sqlite3.connect(f"file:{site.core_db}?mode=ro", uri=True)) as db:
                    columns = "cell, zones, rsrp_dbm, rsrq_db, sinr_db"
                    return db.execute(
                        f"SELECT DISTINCT {columns} FROM report_links WHERE {where}"
                    ).fetchall()

            # How it is heard reaches the core, and the reports that follow are told of it.
            await until(lambda: len(platform.radio_subscriptions) == 2, PATIENCE_S)
            assert await platform.hand_over("127.0.0.1", "0000002") == 1
            found: tuple[object, ...] = ("001-01-0000002", '["z-ward"]', None, None, None)
            await until(lambda: links("link_cause = 'cell'") == [found], PATIENCE_S)
            assert await platform.measure("127.0.0.1", "000000003", 60, 65, 66) == 1
            found = ("001-01-000000003", '["z-ward"]', -96.0, -11.0, 10.0)
            await until(lambda: found in links("link_cause = 'cell'"), PATIENCE_S)
            await users.leave("acr:10.1.7.7", "z-ward")

            await becomes(site, 1, "devices_held")
            assert await counted(site, "fence_devices", state="outside") == 1
            since = set(device.diary.sent)
            await until(lambda: len(kept - since) > 30, PATIENCE_S)
            meanwhile = kept - since
            await users.enter("acr:10.1.7.7", "z-ward")
            await becomes(site, 0, "devices_held")
            after = set(kept)

            # What came behind it arrives, so what was held has been passed over for good.
            await until(lambda: len(there(site) - after) > 10, PATIENCE_S)
            assert not meanwhile & there(site)
            running.cancel()
            await asyncio.wait((running,))
            config = str(site.state / "gateway.toml")
            shown = await asyncio.to_thread(
                subprocess.run,
                (sys.executable, "-m", "wardgate", "fence", "list", "--config", config),
                capture_output=True,
                text=True,
                check=True,
            )
            assert listed["device_id"] in shown.stdout
            assert "inside" in shown.stdout
            assert "z-ward" in shown.stdout
            refused = await asyncio.to_thread(
                subprocess.run,
                (
                    sys.executable,
                    "-m",
                    "wardgate",
                    "network",
                    "verify",
                    "mon-9",
                    "--config",
                    config,
                ),
                capture_output=True,
                text=True,
                check=False,
            )
            assert "there is no device mon-9" in refused.stderr

            # Its place follows it; a person's word stands over it, through a restart, too.
            device_id, box = listed["device_id"], site.state / "gateway" / SOCKET_NAME

            def wards(name: str) -> list[str]:
                with closing(sqlite3.connect(f"file:{site.core_db}?mode=ro", uri=True)) as db:
                    told = db.execute(
                        "SELECT ward FROM association_changes WHERE device_id = ? AND ward <> ''"
                        " ORDER BY id",
                        (name,),
                    )
                    return list(dict.fromkeys(ward for (ward,) in told))

            def bind() -> None:
                asked = association_pb2.BindAssociationRequest(device_id=device_id, bed="er/9")
                with LocalClient.at_socket(box) as client:
                    client.call(
                        "AssociationService",
                        "BindAssociation",
                        asked,
                        association_pb2.BindAssociationResponse,
                    )

            await until(lambda: wards(device_id) == ["icu"], PATIENCE_S)
            await asyncio.to_thread(bind)
            await until(lambda: wards(device_id) == ["icu", "er"], PATIENCE_S)
            with closing(sqlite3.connect(f"file:{site.core_db}?mode=ro", uri=True)) as db:
                before = db.execute("SELECT count(*) FROM association_changes").fetchone()
            await site.end("gateway", signal.SIGKILL)
            await site.start("gateway")
            of_links = f"SELECT DISTINCT epoch FROM link_states WHERE device_id = '{device_id}'"

            def lives() -> int:
                with closing(sqlite3.connect(f"file:{site.core_db}?mode=ro", uri=True)) as db:
                    return len(db.execute(of_links).fetchall())

            await until(lambda: lives() == 2, PATIENCE_S)  # what was told before counts no more
            await becomes(site, 1, "fence_devices", state="inside")
            await users.enter("acr:10.1.7.8", "z-er")
            await until(lambda: wards("roamer-1") == ["er"], PATIENCE_S)  # the first would be there
            with closing(sqlite3.connect(f"file:{site.core_db}?mode=ro", uri=True)) as db:
                of_roamer = "SELECT count(*) FROM association_changes WHERE device_id <> 'roamer-1'"
                assert db.execute(of_roamer).fetchone() == before


class Chronyd(asyncio.DatagramProtocol):
    """Answers as chronyd does, at once; ``leap`` 3: it follows nothing."""

    def __init__(self) -> None:
        self.leap = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        (sequence,) = struct.unpack("!I", data[8:12])
        dispersion_s = (0.0,) * 7 + (0.001, 64.0)
        self.transport.sendto(reply(sequence, leap=self.leap, floats=dispersion_s), addr)


async def test_the_platforms_time_is_a_second_opinion(
    tmp_path: Path, identities: Identities
) -> None:
    platform = Platform(INSTANCE, ("wardgate", "hidden"))
    platform.traffic_rules["breakout"] = traffic_rule("breakout")
    loop = asyncio.get_running_loop()
    transport, chronyd = await loop.create_datagram_endpoint(Chronyd, local_addr=("127.0.0.1", 0))
    asked = transport.get_extra_info("sockname")[1]
    async with listening(platform, identities) as port:
        extra = table(tmp_path, port).replace("look_s", "time_s = 0.2\nlook_s", 1)
        extra += f'[clock]\nchrony = "127.0.0.1:{asked}"\npoll_s = 0.5\n'
        async with CrashSite(tmp_path / "site", identities, extra=extra) as site:

            async def is_worth(error_s: float, **gauges: float) -> None:
                """Until the gauges say so, and the clock may be off by hardly more than that."""
                async with asyncio.timeout(PATIENCE_S):
                    while True:
                        samples = await site.samples("gateway")
                        found = {name: total(samples, f"wardgate_{name}") for name in gauges}
                        error = total(samples, "wardgate_clock_error_seconds")
                        if samples and found == gauges and error_s <= error < error_s + 0.5:
                            return
                        await asyncio.sleep(0.05)

            def sources() -> list[str]:
                with closing(sqlite3.connect(f"file:{site.core_db}?mode=ro", uri=True)) as db:
                    rows = db.execute("SELECT source FROM gateway_clocks ORDER BY seq").fetchall()
                return [source for (source,) in rows]

            await is_worth(0.0, clock_synchronised=1, mec_clock_traceable=1, clock_contradicted=0)
            platform.clock_offset_s = 5.0
            await is_worth(5.0, clock_synchronised=1, clock_contradicted=1)
            platform.traceable = False
            await is_worth(0.0, clock_synchronised=1, clock_contradicted=0)
            chronyd.leap = 3
            await is_worth(0.0, clock_synchronised=0, clock_contradicted=0)
            platform.traceable, platform.clock_offset_s = True, -2.0
            await is_worth(2.0, clock_synchronised=1, clock_contradicted=0)
            told = ["chrony", "disputed", "chrony", "chrony", "platform"]
            await until(lambda: sources() == told, PATIENCE_S)
            log = (site.state / "gateway" / "audit" / "audit.log").read_text().splitlines()
        entries = [each for each in map(json.loads, log) if each["event"] == "clock_opinion"]
        assert [each["verdict"] for each in entries] == ["contradicts", "silent", "vouches"]
    transport.close()
