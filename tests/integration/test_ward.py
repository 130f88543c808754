"""The simulated ward against the drivers, both whole: MQTT over TLS, CoAP over DTLS, serial."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from drivers.base.lines import LineDriver
from drivers.coap.driver import CoapConfig, CoapDriver
from drivers.intellivue.config import IntellivueConfig, MonitorPort
from drivers.intellivue.driver import FACTORY as INTELLIVUE
from drivers.mqtt.config import MqttConfig
from drivers.mqtt.driver import FACTORY as MQTT
from drivers.transport.serial import SerialLimits
from firmware_sim import coap, device, faults, mqtt
from firmware_sim.endpoints import Address, Endpoints, KeyPair
from firmware_sim.links import link_maker
from firmware_sim.log import Log
from firmware_sim.scenario import devices, parse
from firmware_sim.ward import Ward
from gateway.clock import SystemClock
from gateway.domain.devices import Device
from gateway.domain.ports import Driver, Outcome, Ports, Submission
from gateway.domain.records import Report
from security.tls import dtls_server_context, server_context
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
OTHERS = """
[[group]]
name = "pod"
kind = "monitor"
transport = "coap"
count = 2
interval_s = 0.05
[[group]]
name = "pump"
kind = "drip"
transport = "coap"
cbor = true
interval_s = 0.05
[[group]]
name = "line"
kind = "monitor"
transport = "serial"
interval_s = 0.05
"""
FAULT = '[[fault]]\nkind = "{}"\n{} = "{}"\nevery_s = {}\nfor_s = 60\n'


class WatchedSink(FakeSink):
    """Commits at once, and tells."""

    def __init__(self) -> None:
        super().__init__(Outcome.COMMITTED)
        self.changed = asyncio.Event()
        self.heard: Counter[str] = Counter()
        """Reports by device."""

    def submit(self, submission: Submission) -> None:
        super().submit(submission)
        for record in submission.records:
            if isinstance(record, Report):
                self.heard[record.device_id] += 1
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
        known: dict[bytes | str, Device] = {each.der: each.device for each in holders}
        known |= {each.device.device_id: each.device for each in holders}  # serial ports
        self.admission = FakeAdmission(known)
        self.aside = FakeAside()
        self.tls = server_context(self.pki.gateway.files)
        self.dtls = dtls_server_context(self.pki.gateway.files)
        self.lines = {
            each.device_id: str(folder / each.device_id)
            for each in devices(self.scenario)
            if each.group.transport == "serial"
        }
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
            server_dtls=lambda: self.dtls,
            client_tls=lambda: None,
        )
        mqtt_driver = MQTT.create("mqtt", MqttConfig(listen=("127.0.0.1:0",)), ports)
        coap_driver = CoapDriver("coap", CoapConfig(listen=("127.0.0.1:0",)), ports)
        monitors = tuple(
            MonitorPort(port=path, device_id=device_id) for device_id, path in self.lines.items()
        )
        serial_driver = LineDriver(
            INTELLIVUE.protocol,
            IntellivueConfig(monitors=monitors),
            ports,
            Random(1),
            SerialLimits(rest_min_s=0.05, rest_max_s=0.2),
        )
        drivers: list[Driver] = [mqtt_driver, coap_driver, serial_driver]
        for driver in drivers:
            await driver.start()
        where = msgspec.structs.replace(
            self.where,
            mqtt=Address(*mqtt_driver.addresses()["mqtt"]),
            coaps=Address(*coap_driver.addresses()["coaps"]),
            serial=self.lines,
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
                for driver in drivers:
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
    for module in (mqtt, coap):
        monkeypatch.setattr(module, "BACKOFF_S_MIN", 0.001)
        monkeypatch.setattr(module, "BACKOFF_S_MAX", 0.01)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that is held up no attempt goes unanswered, and no message is given up."""
    monkeypatch.setattr(faults, "ATTACK_S_MAX", 60.0)
    monkeypatch.setattr(device, "GRACE_S", 60.0)


async def test_every_device_is_heard_and_every_message_acknowledged(tmp_path: Path) -> None:
    run = Run(tmp_path, SCENARIO + OTHERS)
    await run.until(
        *(
            lambda device_id=each.device_id: run.sink.heard[device_id] >= 5
            for each in devices(run.scenario)
        )
    )
    numbered = {(device_id, message) for device_id, message in run.stored() if message}
    assert run.acknowledged() == numbered
    outcomes = {(line["transport"], line["outcome"]) for line in run.log()}
    assert outcomes == {
        ("mqtt", "sent"),
        ("mqtt", "acknowledged"),
        ("coap", "sent"),
        ("coap", "acknowledged"),
        ("serial", "sent"),
        ("serial", "unconfirmed"),
    }
    said = [line for line in run.log() if line["transport"] == "serial"]
    shown = [line for line in said if line["outcome"] == "unconfirmed"]
    heard = [report for report in run.sink.reports("line-001") if report.codes]
    assert len(shown) - len(heard) in (0, 1)
    assert {line["message_id"] for line in said} == {""}
    assert run.admission.refusals == []


@pytest.mark.parametrize("group", ["new", "old", "pod"])
async def test_a_storm_of_reconnects_loses_nothing(tmp_path: Path, group: str) -> None:
    run = Run(tmp_path, SCENARIO + OTHERS + FAULT.format("reconnect_storm", "group", group, 0.1))
    await run.until(lambda: run.sink.heard[f"{group}-001"] >= 20)
    last = {
        (line["device"], line["message_id"]): line["outcome"]
        for line in run.log()
        if line["transport"] != "serial"
    }
    assert set(last.values()) == {"acknowledged"}
    assert run.acknowledged() <= run.stored()


@pytest.mark.parametrize(
    ("thief", "transport"), [("new-001", "mqtt"), ("old-001", "mqtt"), ("pod-001", "coap")]
)
async def test_a_trespass_is_refused_and_never_stored(
    tmp_path: Path, thief: str, transport: str
) -> None:
    run = Run(tmp_path, SCENARIO + OTHERS + FAULT.format("foreign_topic", "device", thief, 0.2))
    await run.until(
        lambda: ("identity_mismatch", transport, thief) in run.admission.refusals,
        lambda: run.sink.heard[thief] >= 10,
    )
    tried = [line for line in run.log("sim.faults.jsonl") if line["detail"]]
    assert tried
    assert "admitted" not in {line["outcome"] for line in tried}
    stolen = {line["detail"].split()[1] for line in tried}
    assert stolen.isdisjoint(report.message_id for report in run.sink.reports())
    assert run.acknowledged() <= run.stored()


@pytest.mark.parametrize("device_id", ["new-002", "pod-002"])
async def test_garbage_is_set_aside_and_harms_nobody(tmp_path: Path, device_id: str) -> None:
    run = Run(tmp_path, SCENARIO + OTHERS + FAULT.format("garbage", "device", device_id, 0.05))
    await run.until(lambda: len(run.aside.kept) >= 3, lambda: run.sink.heard[device_id] >= 10)
    assert {kept[0] for kept in run.aside.kept} == {device_id}
    answers = [line for line in run.log("sim.faults.jsonl") if line["outcome"] == "refused"]
    assert answers
    assert run.acknowledged() == {each for each in run.stored() if each[1]}


@pytest.mark.parametrize(("device_id", "transport"), [("old-001", "mqtt"), ("pod-001", "coap")])
async def test_wrong_certificates_stay_out(tmp_path: Path, device_id: str, transport: str) -> None:
    kinds = ("stranger", "expired", "no_certificate")
    faults = "".join(FAULT.format(kind, "device", device_id, 0.2) for kind in kinds)
    run = Run(tmp_path, SCENARIO + OTHERS + faults)
    reasons = {(reason, transport) for reason in ("untrusted", "expired", "no_certificate")}
    await run.until(
        lambda: reasons <= {refusal[:2] for refusal in run.admission.refusals},
        lambda: run.sink.heard[device_id] >= 10,
    )
    outcomes = {
        line["outcome"] for line in run.log("sim.faults.jsonl") if line["fault"] in kinds
    } - {"begins", "ends"}
    assert outcomes == {"refused"}
