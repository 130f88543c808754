"""Infusions on site: a real gateway, a drip over MQTT and a pump over HL7, orders, a kill -9."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from firmware_sim.endpoints import Address, Endpoints
from firmware_sim.links import link_maker
from firmware_sim.log import Log
from firmware_sim.messages import DripSource
from firmware_sim.scenario import parse
from firmware_sim.ward import Ward as SimWard
from gateway.clock import SystemClock
from gateway.config import load
from gateway.infusion.table import COLUMNS, width
from gateway.local.client import LocalClient, LocalError
from protos.wardgate.v1 import infusion_pb2 as pb
from security import pki
from security.names import Role
from tests.integration.supervised import Supervised, Ward

pytestmark = pytest.mark.timeout(480)
WAIT_S = 90.0
SCENARIO = b"""
[[group]]
name = "drip"
kind = "drip"
transport = "mqtt"
device = "drip-1"
ward = "icu"
bed = "12"
interval_s = 0.2
[group.infusion]
drug = "NaCl 0.9 %"
volume_ml = 9.0
rate_ml_h = 120.0

[[group]]
name = "pump"
kind = "pump"
transport = "mllp"
device = "pump-1"
ward = "icu"
interval_s = 0.2
[group.infusion]
drug = "Dopamine"
volume_ml = 50.0
rate_ml_h = 15.4
concentration_mg_ml = 1.6
weight_kg = 82.0
syringe = true

[[fault]]
kind = "occlusion"
device = "pump-1"
at_s = 3.0
for_s = 3600.0
"""
SETTINGS = """
[pipeline.infusion]
lead_s = 600.0

[[drivers.hl7.senders]]
device_id = "orders-1"
application = "IOPVENDOR"
orders = { "A0001" = "pump-1" }
"""
ORDER = (
    "MSH|^~\\&|IOPVENDOR^1234560000000001^EUI-64|IOPVENDOR|GW|Ward|20260901100000+0000||"
    "RGV^O15^RGV_O15|order-7|P|2.5|||AL|NE||ASCII\r"
    "PID|||98765^^^IHE^PI||Doe^John^^^^^L\r"
    "ORC|RE|12345\r"
    "RXG|1|||2222^Dopamine|50||263762^MDC_DIM_MILLI_L^MDC||||||||14.0|"
    "265266^MDC_DIM_MILLI_L_PER_HR^MDC\r"
    "RXR|IV\r"
    "OBX|1||69986^MDC_DEV_PUMP_INFUS_VMD^MDC||||||||X|||||||^^A0001^PUMPVENDOR\r"
)


class Site(Ward):
    """A gateway's files, the devices' certificates, and a simulated ward."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        path = self.plan.gateway_config
        path.write_text(path.read_text() + SETTINGS)
        self.socket = load(path).local.socket_in(self.plan.gateway_state)
        self.certificates = directory / "devices"
        authority = pki.load_authority(self.plan.fleet / "authority")
        for name in ("drip-1", "pump-1", "orders-1"):
            pki.make_identity(
                authority,
                pki.Subject(Role.DEVICE, name),
                self.certificates / name,
                pki.Validity.days(datetime.now(UTC), 1),
            )
        self.sim_log = directory / "sim.jsonl"

    @contextlib.asynccontextmanager
    async def ward(self) -> AsyncIterator[SimWard]:
        ports = self.plan.ports
        endpoints = Endpoints(
            ca=self.device.trust,
            devices=self.certificates,
            mqtt=Address("localhost", ports.mqtt),
            mllp=Address("localhost", ports.mllp),
        )
        with Log(self.sim_log) as log:
            ward = SimWard(parse(SCENARIO), link_maker(endpoints), log, SystemClock().now_us)
            running = asyncio.create_task(ward.run())
            try:
                yield ward
            finally:
                ward.stop()
                await running

    async def order(self) -> str:
        """Tell the order, as the hospital's order system; the answer."""
        home = self.certificates / "orders-1"
        context = ssl.create_default_context(cafile=str(self.device.trust))
        context.load_cert_chain(home / "cert.pem", home / "key.pem")
        reader, writer = await asyncio.open_connection(
            "localhost", self.plan.ports.mllp, ssl=context
        )
        writer.write(b"\x0b" + ORDER.encode() + b"\x1c\r")
        answer = await reader.readuntil(b"\x1c\r")
        writer.close()
        return answer.decode()

    def ask(self, device_id: str) -> pb.GetInfusionResponse:
        with LocalClient.at_socket(self.socket) as client:
            return client.call(
                "InfusionService",
                "GetInfusion",
                pb.GetInfusionRequest(device_id=device_id),
                pb.GetInfusionResponse,
            )

    async def until(
        self, device_id: str, what: Callable[[pb.Infusion], bool]
    ) -> pb.GetInfusionResponse:
        """Ask until it is so."""
        deadline = time.monotonic() + WAIT_S
        found = pb.GetInfusionResponse()
        while time.monotonic() < deadline:
            with contextlib.suppress(LocalError):
                found = await asyncio.to_thread(self.ask, device_id)
                if what(found.infusion):
                    return found
            await asyncio.sleep(0.1)
        raise AssertionError(f"waited in vain; {found}")

    def cli(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *(sys.executable, "-m", "wardgate", "infusion", *words),
                *("--config", str(self.plan.gateway_config)),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )


def conditions(infusion: pb.Infusion) -> set[str]:
    return {each.condition for each in infusion.alarms}


def hang(ward: SimWard, device_id: str, volume_ml: float) -> None:
    """Another bag, by hand: a fault's time may come before anybody has seen what was before."""
    (source,) = [each.source for each in ward._devices if each.spec.device_id == device_id]
    assert isinstance(source, DripSource)
    source.drip.hang(volume_ml)


async def listing(site: Site, begins: str) -> list[str]:
    """Ask until it begins so; the ward goes on meanwhile, since who is quiet does not run."""
    deadline = time.monotonic() + WAIT_S
    while True:
        listed = await asyncio.to_thread(site.cli, "list")
        assert listed.returncode == 0, listed.stderr
        lines = listed.stdout.splitlines()
        if lines[0].startswith(begins):
            return lines
        assert time.monotonic() < deadline, lines


def start(site: Site, directory: Path) -> Supervised:
    directory.mkdir()
    gateway = Supervised(site.plan.gateway_config, directory, site.plan.ports.mqtt)
    gateway.wait_for("READY=1")
    return gateway


async def test_infusions_from_the_bedside_to_the_table(tmp_path):
    site = Site(tmp_path / "ward")
    gateway = start(site, tmp_path / "first")
    try:
        async with site.ward() as ward:
            # Nine millilitres last four and a half minutes, and the nurse wants ten.
            await site.until("drip-1", lambda each: "infusion_ends_soon" in conditions(each))
            assert "MSA|CA|order-7" in await site.order()
            stopped = await site.until(
                "pump-1",
                lambda each: "hl7_fluid_line_occl" in conditions(each) and each.HasField("order"),
            )
            pump = stopped.infusion
            assert (pump.state, pump.drug, pump.ward) == ("stopped", "Dopamine", "")
            assert pump.event == "MDC_EVT_PUMP_DELIV_STOP"
            assert pump.order.deviation_percent == pytest.approx(10.0)
            assert (pump.order.told_by, pump.order.other_drug) == ("orders-1", False)
            refids = {each.refid for each in stopped.values}
            assert {"MDC_RATE_DOSE", "MDC_VOL_FLUID_TBI_REMAIN"} <= refids
            # Another bag hangs: nobody has to come.
            hang(ward, "drip-1", 500.0)
            hung = await site.until(
                "drip-1",
                lambda each: (
                    each.remaining_ml > 400 and "infusion_ends_soon" not in conditions(each)
                ),
            )
            assert hung.infusion.minutes_left > 200
            lines = await listing(site, "2 infusions, 1 running, ")
            assert max(map(width, lines)) <= COLUMNS
            assert any("pump-1" in line and "+10 %" in line for line in lines)
            assert any(": Occlusion downstream (" in line for line in lines)
            gateway.process.kill()
            gateway.end()
        # The ward is away, too: what is shown now was on disk.
        gateway = start(site, tmp_path / "second")
        kept = (await site.until("pump-1", lambda each: bool(each.drug))).infusion
        assert "hl7_fluid_line_occl" in conditions(kept)
        assert kept.order.order_id == "12345"
        assert kept.state == "stopped"
        assert (await site.until("drip-1", lambda each: bool(each.drug))).infusion.bed == "12"
        missing = site.cli("show", "drip-9")
        assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)
        shown = site.cli("show", "pump-1")
        assert "order       12345 ordered" in shown.stdout
    finally:
        gateway.end()
