"""Real recordings, played against a gateway of real processes; what the core has says the rest."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from bench.site import Identities, make_identities
from demo.plan import free_ports
from firmware_sim.wfdb import read_record
from tests.crash.site import CrashSite, until
from tests.integration.test_at_rest import wardgate
from tests.unit.intellivue.capture import SHARED, needs_capture

pytestmark = [needs_capture, pytest.mark.shared, pytest.mark.timeout(900)]
CAPTURE = SHARED / "intellivue_enumeration.pcapng"
RECORD = SHARED.parent / "wfdb_mimic" / "s25047-2704-05-04-10-44n"
HEART_RATE = 147842


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> Identities:
    return make_identities(tmp_path_factory.mktemp("pki"), 2)


(LAN,) = free_ports(1)
EXTRA = """
[drivers.intellivue]
monitors = [{{device_id = "m1", port = "{line}"}}]
[drivers.intellivue_lan]
monitors = [{{device_id = "m2", address = "127.0.0.1:{lan}"}}]
[drivers.ivy450c]
monitors = [{{device_id = "ivy", port = "{line}-ivy"}}]
[[drivers.hl7.senders]]
device_id = "bench-0001"
application = "PAT_DEVICE_PHILIPS_C"
[drivers.hl7.senders.devices]
"e86c094f-f751-4acf-92b2-38f11c1f6f57-Device" = "bench-0001"
"0600dc750001" = "bench-0001"
"""


class LanSite(CrashSite):
    """One with a monitor on its network."""

    monitor: asyncio.Task[tuple[int, str]]

    async def start(self, name: str) -> None:
        """The monitor is on before the gateway is: it is asked at once, and not after a rest.

        But not long before, for it waits for a minute only.
        """
        if name == "gateway":
            played = ("sim", "replay", CAPTURE, "--conversation", "5", "--speed", "max", "--json")
            to = ("--to", f"udp-listen://127.0.0.1:{LAN}")
            self.monitor = asyncio.create_task(wardgate(*played, *to))
            listening = f":{LAN:04X} "
            await until(lambda: listening in Path("/proc/net/udp").read_text(), 120.0)
        await super().start(name)


@pytest.fixture
async def site(tmp_path: Path, identities: Identities) -> AsyncIterator[CrashSite]:
    extra = EXTRA.format(line=tmp_path / "m1", lan=LAN)
    async with LanSite(tmp_path / "site", identities, extra=extra) as running:
        code, said = await running.monitor
        assert code == 0, said
        yield running


def readings(site: CrashSite, device: str) -> list[tuple[str, int, float]]:
    with closing(sqlite3.connect(f"file:{site.core_db}?mode=ro", uri=True)) as db:
        query = "SELECT message_id, code, value FROM readings WHERE device_id = ?"
        return db.execute(query, (device,)).fetchall()


def heart_rates(site: CrashSite, device: str) -> int:
    return sum(code == HEART_RATE for _, code, _ in readings(site, device))


async def test_a_lan_capture_on_a_line_an_hl7_file_and_a_patient(
    site: CrashSite, tmp_path: Path
) -> None:
    code, said = await wardgate(
        *("sim", "replay", CAPTURE, "--conversation", "5", "--frame", "intellivue"),
        *("--to", f"pty:{tmp_path}/m1", "--speed", "max", "--json"),
    )
    assert code == 0, said
    done = json.loads(said)
    assert (done["device"], done["pieces"]) == ("10.0.42.9:24105", 124)
    assert done["turns_taken"] >= 2
    await until(lambda: heart_rates(site, "m1") == 18, 120.0)
    await until(lambda: heart_rates(site, "m2") == 18, 120.0)

    code, said = await wardgate(
        *("sim", "replay", SHARED.parent / "ivy450c" / "Ivy450C.1.data", "--json"),
        *("--to", f"pty:{tmp_path}/m1-ivy", "--speed", "max"),
    )
    assert code == 0, said
    assert json.loads(said)["sent_bytes"] == 15426
    await until(lambda: heart_rates(site, "ivy") >= 26, 120.0)
    ivy = {(code, value) for _, code, value in readings(site, "ivy")}
    assert {(HEART_RATE, 80.0), (150456, 100.0)} <= ivy  # SpO2, and the rate

    device, sender = json.loads(site.identities.devices.read_text())
    code, said = await wardgate(
        *("sim", "replay", SHARED.parent / "hl7_ihe_pcd" / "pcd01_physio_monitor_philips.hl7"),
        *("--frame", "mllp", "--to", f"tls://localhost:{site.mllp}", "--speed", "max", "--json"),
        *("--identity", Path(sender["cert"]).parent),
    )
    assert code == 0, said
    assert json.loads(said)["turns_taken"] == 1  # it was acknowledged, so it is on disk
    await until(lambda: readings(site, "bench-0001"), 120.0)
    ids = {message_id.split("#")[0] for message_id, _, _ in readings(site, "bench-0001")}
    assert ids == {"HP0122182658686QQ000CND119C0WS61"}

    who = ("--identity", Path(device["cert"]).parent, "--device", device["device_id"])
    play = ("sim", "replay", RECORD, "--to", f"mqtts://localhost:{site.mqtt}", *who, "--json")
    code, said = await wardgate(*play, "--speed", "max")
    assert code == 0, said
    done = json.loads(said)
    assert (done["samples"], done["outcomes"]["acknowledged"]) == (72, 72)
    signal = next(each for each in read_record(RECORD).signals if each.name == "HR")
    shown = [signal.value(n) for n in range(72)]
    known = [value for value in shown if value is not None]
    await until(lambda: heart_rates(site, device["device_id"]) == len(known), 120.0)
    found = readings(site, device["device_id"])
    assert sorted(value for _, code, value in found if code == HEART_RATE) == sorted(known)
