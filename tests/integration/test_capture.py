"""From a device in the field to the same reports at home: recorded, exported, played."""

from __future__ import annotations

import asyncio
import io
import json
import sqlite3
from contextlib import closing
from itertools import count
from pathlib import Path
from random import Random

import msgspec
import pytest

from bench.site import Identities, make_identities
from drivers.mqtt.config import MqttConfig
from drivers.mqtt.driver import FACTORY
from firmware_sim.endpoints import KeyPair, device_tls
from firmware_sim.intellivue.line import SerialMonitor
from firmware_sim.intellivue.screen import Screen
from firmware_sim.link import Outcome as LinkOutcome
from firmware_sim.mqtt import MqttLink, Settings
from firmware_sim.playback import loading, player, target
from gateway.capture.form import FrameMaker, Head
from gateway.capture.opening import seal_for
from gateway.capture.recording import Recording
from gateway.clock import SystemClock
from gateway.domain import terms
from gateway.domain.ports import Outcome, Ports
from gateway.domain.records import Report
from security.sealing import KeyRing, Sealer
from security.tls import server_context
from tests.crash.site import CrashSite, until
from tests.fakes import FakeAdmission, FakeAside, FakeCommands, FakeCounters, FakeSink, FakeState
from tests.integration.serial_bed import VALUES
from tests.integration.test_at_rest import wardgate
from tests.ward_pki import Holder, WardPki

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> Identities:
    return make_identities(tmp_path_factory.mktemp("pki"), 1)


def heart_rates(site: CrashSite, device: str) -> list[float]:
    with closing(sqlite3.connect(f"file:{site.core_db}?mode=ro", uri=True)) as db:
        query = "SELECT value FROM readings WHERE device_id = ? AND code = ? ORDER BY seq"
        return [value for (value,) in db.execute(query, (device, terms.HEART_RATE))]


def audited(site: CrashSite) -> list[dict[str, str]]:
    log = site.state / "gateway" / "audit" / "audit.log"
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    return [each for each in entries if each["event"] == "capture"]


async def test_a_field_problem_is_brought_home(tmp_path: Path, identities: Identities) -> None:
    lines = ", ".join(f'{{device_id = "m{n}", port = "{tmp_path}/m{n}"}}' for n in (1, 2))
    extra = f"[drivers.intellivue]\nmonitors = [{lines}]\n"
    rates = count(40)
    monitor = SerialMonitor(
        tmp_path / "m1",
        lambda: Screen(VALUES | {terms.HEART_RATE: float(next(rates) % 200)}),
        SystemClock(),
    )
    monitor.monitor.reply_every_s = 0.1
    KeyRing.generate().save(tmp_path / "home.keys")
    async with CrashSite(tmp_path / "site", identities, extra=extra) as site:
        capture = ("gateway", "capture", "--config", site.state / "gateway.toml")
        monitor.start()
        await until(lambda: heart_rates(site, "m1"), 120.0)
        code, said = await wardgate(
            *(*capture, "--device", "m1", "--reason", "odd rates", "--restart"),
            *("--seconds", "300", "--bytes", str(12 << 10), "--json"),
        )
        assert code == 0, said
        (note,) = json.loads(said)
        assert (note["why"], note["device"], note["sessions"]) == ("bytes", "m1", 1)
        name, sealed, plain = note["recording"], tmp_path / "case", tmp_path / "case.pcapng"
        for out, how in ((sealed, ("--for", tmp_path / "home.keys")), (plain, ("--plain",))):
            code, said = await wardgate(
                *capture, "export", name, "--out", out, *how, "--reason", "for the maker"
            )
            assert code == 0, said
        monitor.close()

        code, said = await wardgate(
            *("sim", "replay", sealed, "--keys", tmp_path / "home.keys", "--speed", "max"),
            *("--to", f"pty:{tmp_path}/m2", "--json"),
        )
        assert code == 0, said
        done = json.loads(said)
        assert (done["sent_bytes"], done["turns_taken"] >= 2) == (note["received_bytes"], True)
        await until(lambda: len(heart_rates(site, "m2")) >= 5, 120.0)
        await site.drained()
        shown, again = heart_rates(site, "m1"), heart_rates(site, "m2")
        # The same readings, in the same order, and nothing else. They begin anew after a while.
        assert any(again == shown[n : n + len(again)] for n in range(len(shown)))

        steps = [(each["result"], each.get("how", "")) for each in audited(site)]
        assert steps == [
            ("begun", ""),
            ("ended", ""),
            ("exported", "sealed"),
            ("exported", "plain"),
        ]
        assert audited(site)[0]["reason"] == "odd rates"
    listed = loading.load(plain, plain.read_bytes(), 9600)
    (conversation,) = loading.choose(plain, listed, 0)
    line = target.parse("pty:/run/line")
    assert target.fitting(conversation, line, "").device.startswith("192.0.2.1:")


class Recorded(FakeAdmission):
    """Admission that lets a recording join who comes."""

    def __init__(self, holder: Holder, recording: Recording | None) -> None:
        super().__init__({holder.der: holder.device})
        self._recording = recording

    def admit(self, credential, session):
        device = super().admit(credential, session)
        if self._recording is not None:
            self._recording.join(session, before=False)
        return device


async def endpoint(pki: WardPki, holder: Holder, recording: Recording | None):
    """A fresh MQTT endpoint; where it listens and what it took."""
    context, sink = server_context(pki.gateway.files), FakeSink(Outcome.COMMITTED)
    ports = Ports(
        Recorded(holder, recording),
        sink,
        FakeCounters(),
        SystemClock(),
        FakeAside(),
        FakeState(),
        FakeCommands(),
        server_tls=lambda: context,
        server_dtls=lambda: None,
        client_tls=lambda: None,
    )
    driver = FACTORY.create("mqtt", MqttConfig(listen=("127.0.0.1:0",)), ports)
    await driver.start()
    return driver, driver.addresses()["mqtt"][1], sink


def reports(sink: FakeSink) -> list[Report]:
    found = [each for each in sink.records if isinstance(each, Report)]
    return [msgspec.structs.replace(each, received_us=0, offset_us=0) for each in found]


async def test_an_mqtt_device_played_to_another_gateway_gives_the_same_reports(
    tmp_path: Path,
) -> None:
    pki = WardPki(tmp_path / "pki")
    holder, ring = pki.device("mon-1"), KeyRing.generate()
    ring.save(tmp_path / "home.keys")
    head = Head("0123456789abcdef", "gw", "mon-1", 1, "ada", "why")
    recording = Recording(
        head,
        FrameMaker(head.recording, Sealer(ring)),
        tmp_path / "case",
        (60.0, 1 << 20),
        SystemClock(),
    )
    writing = asyncio.create_task(recording.run())
    first, port, sink = await endpoint(pki, holder, recording)
    pair = KeyPair(holder.files.cert, holder.files.key)
    tls = device_tls(pki.gateway.files.trust, pair)
    link = MqttLink(Settings("mon-1", "localhost", port, tls), Random(1))
    await link.connect()
    for number in range(20):
        payload = msgspec.json.encode({"v": 1, "boot": "b", "n": number, "hr": 60 + number})
        assert await link.send("vitals", payload, f"b:{number}") is LinkOutcome.ACKNOWLEDGED
    await link.close()
    await first.stop(5)
    recording.end("stopped")
    await writing
    assert len(reports(sink)) == 20

    second, port, other = await endpoint(pki, holder, None)
    loaded = loading.load(
        tmp_path / "case", (tmp_path / "case").read_bytes(), 9600, tmp_path / "home.keys"
    )
    where = target.parse(f"tls://localhost:{port}")
    identity = target.Identity(pki.gateway.files.trust, pair)
    subject = player.Player(target.way_maker(where, identity, 20.0), 0.0)
    done = await subject.play(loading.choose(tmp_path / "case", loaded, 0))
    await second.stop(5)
    assert done.turns_taken == done.turns > 0
    assert reports(other) == reports(sink)
    assert b"vitals" not in (tmp_path / "case").read_bytes()
    sealed_again = io.BytesIO()
    with (tmp_path / "case").open("rb") as source:
        seal_for(source, Sealer(ring).open, KeyRing.generate(), sealed_again)
    assert len(sealed_again.getvalue()) == (tmp_path / "case").stat().st_size
