"""The simulated ward against the MQTT endpoint, both whole, over mTLS."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drivers.mqtt.config import MqttConfig
from drivers.mqtt.driver import FACTORY
from firmware_sim import mqtt
from firmware_sim.endpoints import Address, Endpoints, KeyPair
from firmware_sim.links import link_maker
from firmware_sim.log import Log
from firmware_sim.scenario import devices, parse
from firmware_sim.ward import Ward
from gateway.clock import SystemClock
from gateway.domain.ports import Outcome, Ports, Submission
from gateway.domain.records import Report
from security.tls import server_context
from tests.fakes import (
    FakeAdmission,
    FakeAside,
    FakeCommands,
    FakeCounters,
    FakeSink,
    FakeState,
)
from tests.ward_pki import WardPki

SCENARIO = """
[[group]]
name = "new"
kind = "monitor"
transport = "mqtt"
count = 2
interval_s = 0.05
[[group]]
name = "old"
kind = "monitor"
transport = "mqtt"
mqtt = "3.1.1"
qos = 2
count = 2
interval_s = 0.05
[[group]]
name = "drip"
kind = "drip"
transport = "mqtt"
interval_s = 0.05
"""
FAULT = '[[fault]]\nkind = "{}"\n{} = "{}"\nevery_s = {}\nfor_s = 60\n'


class WatchedSink(FakeSink):
    """Commits at once, and tells."""

    def __init__(self) -> None:
        super().__init__(Outcome.COMMITTED)
        self.changed = asyncio.Event()

    def submit(self, submission: Submission) -> None:
        super().submit(submission)
        self.changed.set()

    def reports(self, device_id: str = "") -> list[Report]:
        return [
            record
            for record in self.records
            if isinstance(record, Report) and device_id in ("", record.device_id)
        ]


class Run:
    """One run of a ward on an endpoint."""

    def __init__(self, folder: Path, text: str) -> None:
        self.scenario = parse(text.encode())
        self.path = folder / "sim.jsonl"
        self.pki = WardPki(folder / "devices")
        self.sink = WatchedSink()
        holders = [self.pki.device(each.device_id) for each in devices(self.scenario)]
        self.admission = FakeAdmission({each.der: each.device for each in holders})
        self.aside = FakeAside()
        self.tls = server_context(self.pki.gateway.files)
        stranger = self.pki.stranger("old-001").files
        expired = self.pki.expired("old-001").files
        self.where = Endpoints(
            ca=self.pki.gateway.files.trust,
            devices=folder / "devices",
            stranger=KeyPair(stranger.cert, stranger.key),
            expired=KeyPair(expired.cert, expired.key),
        )

    async def until(self, *conditions: Callable[[], object]) -> None:
        ports = Ports(
            self.admission,
            self.sink,
            FakeCounters(),
            SystemClock(),
            self.aside,
            FakeState(),
            FakeCommands(),
            server_tls=lambda: self.tls,
            server_dtls=lambda: None,
            client_tls=lambda: None,
        )
        driver = FACTORY.create("mqtt", MqttConfig(listen=("127.0.0.1:0",)), ports)
        await driver.start()
        host, port = driver.addresses()["mqtt"]
        where = Endpoints(
            self.where.ca,
            self.where.devices,
            Address(host, port),
            stranger=self.where.stranger,
            expired=self.where.expired,
        )
        with Log(self.path) as log:
            ward = Ward(self.scenario, link_maker(where), log, SystemClock().now_us)
            running = asyncio.ensure_future(ward.run())
            try:
                while not all(condition() for condition in conditions):
                    self.sink.changed.clear()
                    await self.sink.changed.wait()
            finally:
                ward.stop()
                await running
                await driver.stop(5)

    def log(self, name: str = "sim.jsonl") -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.with_name(name).read_text().splitlines()]

    def acknowledged(self) -> set[tuple[str, str]]:
        return {
            (line["device"], line["message_id"]) for line in self.log() if line["acknowledged_us"]
        }

    def stored(self) -> set[tuple[str, str]]:
        return {(report.device_id, report.message_id) for report in self.sink.reports()}


@pytest.fixture(autouse=True)
def fast_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "BACKOFF_S_MIN", 0.001)
    monkeypatch.setattr(mqtt, "BACKOFF_S_MAX", 0.01)


async def test_every_device_is_heard_and_every_message_acknowledged(tmp_path: Path) -> None:
    run = Run(tmp_path, SCENARIO)
    await run.until(
        *(
            lambda device_id=each.device_id: len(run.sink.reports(device_id)) >= 5
            for each in devices(run.scenario)
        )
    )
    assert run.acknowledged() == run.stored()
    assert {line["outcome"] for line in run.log()} == {"sent", "acknowledged"}
    assert run.admission.refusals == []


async def test_a_storm_of_reconnects_loses_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path, SCENARIO + FAULT.format("reconnect_storm", "group", "old", 0.1))
    await run.until(lambda: len(run.sink.reports("old-001")) >= 30)
    last = {(line["device"], line["message_id"]): line["outcome"] for line in run.log()}
    assert set(last.values()) == {"acknowledged"}
    assert run.acknowledged() <= run.stored()


@pytest.mark.parametrize("thief", ["new-001", "old-001"])
async def test_a_trespass_is_refused_and_never_stored(tmp_path: Path, thief: str) -> None:
    run = Run(tmp_path, SCENARIO + FAULT.format("foreign_topic", "device", thief, 0.2))
    await run.until(
        lambda: ("identity_mismatch", "mqtt", thief) in run.admission.refusals,
        lambda: len(run.sink.reports(thief)) >= 10,
    )
    tried = [line for line in run.log("sim.faults.jsonl") if line["detail"]]
    assert tried
    assert "admitted" not in {line["outcome"] for line in tried}
    stolen = {line["detail"].split()[1] for line in tried}
    assert stolen.isdisjoint(report.message_id for report in run.sink.reports())
    assert run.acknowledged() <= run.stored()


async def test_garbage_is_set_aside_and_harms_nobody(tmp_path: Path) -> None:
    run = Run(tmp_path, SCENARIO + FAULT.format("garbage", "device", "new-002", 0.05))
    await run.until(
        lambda: len(run.aside.kept) >= 3, lambda: len(run.sink.reports("new-002")) >= 10
    )
    assert {kept[0] for kept in run.aside.kept} == {"new-002"}
    answers = [line for line in run.log("sim.faults.jsonl") if line["outcome"] == "refused"]
    assert answers
    assert run.acknowledged() == run.stored()


async def test_wrong_certificates_stay_out(tmp_path: Path) -> None:
    kinds = ("stranger", "expired", "no_certificate")
    faults = "".join(FAULT.format(kind, "device", "old-001", 0.2) for kind in kinds)
    run = Run(tmp_path, SCENARIO + faults)
    reasons = {"untrusted", "expired", "no_certificate"}
    await run.until(
        lambda: reasons <= {refusal[0] for refusal in run.admission.refusals},
        lambda: len(run.sink.reports("old-001")) >= 10,
    )
    outcomes = {
        line["outcome"] for line in run.log("sim.faults.jsonl") if line["fault"] in kinds
    } - {"begins", "ends"}
    assert outcomes == {"refused"}
