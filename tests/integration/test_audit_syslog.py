"""The audit log's way to a real syslog daemon with TLS; nothing is lost on it."""

import asyncio
import base64
import contextlib
import signal
from xml.etree import ElementTree as ET

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.clock import SystemClock
from gateway.domain.labels import Zone
from security.audit import AuditConfig, AuditLog, syslog
from security.audit.config import SyslogConfig
from security.audit.syslog import Shipper
from tests.fakes import FakeCounters
from tests.rsyslog import Rsyslog, rsyslogd
from tests.ward_pki import WardPki

PATIENCE_S = 60
CONFIRM_S = syslog.CONFIRM_S
"""As it is: longer than a collector takes to refuse somebody, and to write what it has read."""
QUICK_S = 0.3
"""Where nobody refuses, and nobody is killed."""


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    rsyslogd()
    return WardPki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def collector(pki, tmp_path):
    files = pki.broker().files
    made = Rsyslog(tmp_path / "rsyslog", files, files.trust)
    made.start()
    yield made
    made.stop()


class Edge:
    """A gateway's log, and what ships it."""

    def __init__(self, folder, files, config):
        self.folder, self.files, self.config = folder, files, config
        self.key = Ed25519PrivateKey.generate()
        self.counters = FakeCounters()
        self.log = AuditLog(
            folder / "audit",
            self.key,
            SystemClock(),
            AuditConfig(file_bytes_max=20_000),
            "gateway/edge-1",
        )

    @contextlib.asynccontextmanager
    async def shipping(self, **changes):
        made = Shipper(
            self.folder / "audit",
            "gateway/edge-1",
            self.folder / "cursor.json",
            self.files,
            SystemClock(),
            self.counters,
        )
        made.follow(SyslogConfig(**(self.config | changes)))
        task = asyncio.create_task(made.run())
        try:
            yield made
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def say(self, count, begin=0):
        for number in range(begin, begin + count):
            self.log.record("policy", result="in force", version=f"v{number}")


@pytest.fixture
def edge(pki, tmp_path, collector, monkeypatch):
    monkeypatch.setattr(syslog, "POLL_S", 0.02)
    monkeypatch.setattr(syslog, "PACE_S", 0.0)
    monkeypatch.setattr(syslog, "CONFIRM_S", QUICK_S)
    monkeypatch.setattr(syslog, "BACKOFF_S_MIN", 0.05)
    monkeypatch.setattr(syslog, "BACKOFF_S_MAX", 0.2)
    config = {"address": f"127.0.0.1:{collector.port}", "zone": Zone.CAMPUS}
    made = Edge(tmp_path, pki.gateway.files, config)
    yield made
    made.log.close()


async def until(condition):
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  # another process' doing
            await asyncio.sleep(0.05)


def versions(collector):
    """The details ``version`` of what was received, in order."""
    found = []
    for message in collector.messages():
        for detail in document(message).iter("ParticipantObjectDetail"):
            if detail.get("type") == "version":
                found.append(base64.b64decode(detail.get("value", "")).decode())
    return found


def document(message):
    return ET.fromstring(message["msg"].lstrip(" \ufeff"))


async def test_what_arrives_is_what_the_standards_say(edge, collector):
    edge.log.refused("untrusted", "mqtt", "10.0.0.9:4711", "mon-7")
    edge.log.record("revoked", by="ada+eve", role="device", id="mon-9", reason="stolen <&> \x01")
    edge.log.checkpoint()
    async with edge.shipping() as shipper:
        await until(lambda: len(collector.messages()) >= 3)
        await until(lambda: shipper.confirmed >= 3)
    opened, refused, revoked = collector.messages()
    assert (refused["syslogfacility"], refused["syslogseverity"]) == ("10", "4")
    assert revoked["syslogseverity"] == "5"
    assert (refused["hostname"], refused["app-name"], refused["msgid"], refused["procid"]) == (
        "edge-1",
        "wardgate",
        "DICOM+RFC3881",
        "-",
    )
    assert refused["structured-data"] == '[meta sequenceId="2"]'
    assert opened["protocol-version"] == "1"
    told = document(refused)
    assert told.find("EventIdentification/EventID").get("csd-code") == "110113"
    who = told.find("ActiveParticipant")
    assert (who.get("UserID"), who.get("NetworkAccessPointID")) == ("mon-7", "10.0.0.9")
    both = [each.get("UserID") for each in document(revoked).findall("ActiveParticipant")]
    assert both == ["ada", "eve", "gateway/edge-1"]


async def test_an_outage_and_a_killed_collector_lose_nothing(edge, collector, monkeypatch):
    """Over rotations of the log, restarts of the sender, and a collector that is killed."""
    edge.say(50)
    monkeypatch.setattr(syslog, "CONFIRM_S", CONFIRM_S)
    async with edge.shipping() as shipper:
        await until(lambda: len(collector.messages()) >= 40)
        collector.stop(signal.SIGKILL)
        edge.say(300, 50)
        await until(lambda: edge.counters.gauges[("audit_syslog_connected",)] == 0)
    monkeypatch.setattr(syslog, "CONFIRM_S", QUICK_S)
    # Away while nothing ships, too.
    edge.say(50, 350)
    assert len(list((edge.folder / "audit").iterdir())) > 3
    async with edge.shipping() as shipper:
        await asyncio.sleep(0.3)
        collector.start()
        edge.say(100, 400)
        await until(lambda: shipper.confirmed >= edge.log.standing().entries)
    await until(lambda: {f"v{number}" for number in range(500)} == set(versions(collector)))
    found = versions(collector)
    # Repeats are what was under way when the connection broke, and in order.
    assert len(found) < 700
    assert list(dict.fromkeys(found)) == [f"v{number}" for number in range(500)]
    before = len(found)
    async with edge.shipping() as shipper:
        edge.say(1, 500)
        await until(lambda: "v500" in versions(collector))
    assert len(versions(collector)) == before + 1


async def test_no_certificate_and_no_name_no_message(
    edge, collector, pki, tmp_path, caplog, monkeypatch
):
    edge.say(3)
    monkeypatch.setattr(syslog, "CONFIRM_S", CONFIRM_S)
    stranger = WardPki(tmp_path / "stranger").gateway.files
    for changes in (
        {"trust": stranger.trust, "cert": edge.files.cert, "key": edge.files.key},
        {"cert": stranger.cert, "key": stranger.key, "trust": edge.files.trust},
        {"server_name": "elsewhere.example"},
    ):
        caplog.clear()
        async with edge.shipping(**changes) as shipper:
            await until(lambda: "audit syslog" in caplog.text)  # a try has failed
            assert shipper.confirmed == 0
    assert collector.messages() == []


async def test_another_collector_is_followed_and_an_entry_that_was_dropped_is_no_end(
    edge, collector
):
    async with edge.shipping(address="127.0.0.1:9") as shipper:
        edge.log.follow(AuditConfig(file_bytes_max=20_000, bytes_max=60_000))
        edge.say(1000)
        assert edge.log.standing().dropped_early
        shipper.follow(SyslogConfig(**edge.config))
        await until(lambda: "v999" in versions(collector))
        first = int(versions(collector)[0][1:])
        assert first > 0
        assert versions(collector) == [f"v{number}" for number in range(first, 1000)]
