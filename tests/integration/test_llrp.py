"""Readers over real sockets and TLS: outages, other clients, identities, a killed gateway."""

from __future__ import annotations

import asyncio
import random
import re
import signal
import urllib.request
from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509

from drivers.llrp.config import LlrpConfig, Reader
from drivers.llrp.driver import LlrpDriver
from drivers.transport.dialled import DialLimits
from firmware_sim.llrp.reader import Reader as SimulatedReader
from firmware_sim.llrp.server import ReaderServer
from gateway.clock import SystemClock
from gateway.domain.devices import Device
from gateway.domain.records import Attestation, DeviceStatus, Gap
from gateway.domain.tags import InputChange, ReaderCondition, ReaderState, TagReads
from security import pki, tls
from security.identity import IdentityConfig, IdentityService
from security.names import Role
from security.pki.profiles import PROFILES
from tests.fakes import FakeAdmission
from tests.integration.llrp_ward import Emulated, beside
from tests.integration.serial_bed import WaitingSink, ports
from tests.integration.supervised import WAIT_S, Supervised, Ward
from tests.unit.security.test_security_identity import Audit
from tests.ward_pki import TRUST_DOMAIN, WardPki

PATIENCE_S = 30.0
LIMITS = DialLimits(rest_min_s=0.02, rest_max_s=0.1)
A, B, C = (f"3034257BF7194E40000000{n:02X}" for n in (1, 2, 3))
LOOPBACK = ("127.0.0.0/8",)


class Bed:
    """A driver with one reader, and what it submitted."""

    def __init__(self, driver: LlrpDriver, sink: Any) -> None:
        self.driver, self.sink = driver, sink

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.sink.until(lambda _: condition())

    def of(self, condition: ReaderCondition) -> list[ReaderState]:
        return [each for each in self.sink.of(ReaderState) if each.condition is condition]

    def reads(self) -> list[TagReads]:
        found: list[TagReads] = self.sink.of(TagReads)
        return found

    def epcs(self) -> set[str]:
        return {read.epc for said in self.reads() for read in said.reads}


@asynccontextmanager
async def bed(port: int, *, given: Any = None, **settings: Any):
    sink = given.sink if given is not None else WaitingSink()
    given = given or ports(sink, known=("reader-1",))
    host = "localhost" if settings.get("tls") else "127.0.0.1"
    # Nobody falls silent here: a test whose machine stands still must lose no reader by it.
    values = {"keepalive_s": 10.0, "report_ms": 100, "answer_s": 30.0, **settings}
    reader = Reader(device_id="reader-1", address=f"{host}:{port}", **values)
    config = LlrpConfig(readers=(reader,), networks=LOOPBACK)
    driver = LlrpDriver(config, given, random.Random(1), LIMITS)
    await driver.start()
    try:
        yield Bed(driver, sink)
    finally:
        await driver.stop(3.0)


async def soon(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - what it waits for tells nobody
            await asyncio.sleep(0.01)


def simulated(**field: int) -> SimulatedReader:
    reader = SimulatedReader(SystemClock())
    for epc, antenna in field.items():
        reader.field.put(epc, antenna)
    return reader


async def test_an_outage_is_told_and_what_was_seen_meanwhile() -> None:
    reader = simulated(**{A: 1})
    async with ReaderServer(reader) as server, bed(server.port) as ward:
        await ward.until(ward.reads)
        server.outage()
        await ward.until(lambda: ward.of(ReaderCondition.LOST))
        reader.set_input(1, high=True)
        reader.field.put(B, 2)
        await asyncio.sleep(0.3)
        reader.field.take(B)
        reader.set_input(1, high=False)
        await asyncio.sleep(0.2)
        await server.restore()

        def told() -> list[InputChange]:
            return [each for each in ward.sink.of(InputChange) if not each.asked]

        await ward.until(lambda: B in ward.epcs() and len(told()) == 2)
        (resumed,) = ward.of(ReaderCondition.RESUMED)
        (lost,) = ward.of(ReaderCondition.LOST)
        assert resumed.held
        assert resumed.from_us == lost.from_us
        (gap,) = ward.sink.of(Gap)
        assert gap.from_us <= resumed.from_us
        assert gap.to_us == resumed.to_us
        assert [each.high for each in told()] == [True, False]
        times = [each.placed_us(each.at_us) for each in told()]
        assert resumed.from_us < times[0] < times[1] < resumed.to_us
        held = [s for s in ward.reads() for read in s.reads if read.epc == B]
        placed = [s.placed_us(r.last_us) for s in held for r in s.reads if r.epc == B]
        assert all(resumed.from_us < each < resumed.to_us for each in placed)
        assert reader.written_to == 0


async def test_a_reader_that_was_switched_off_is_set_up_again() -> None:
    reader = simulated(**{A: 1})
    async with ReaderServer(reader) as server, bed(server.port) as ward:
        await ward.until(ward.reads)
        server.restart()
        await ward.until(lambda: ward.of(ReaderCondition.RESUMED))
        assert not ward.of(ReaderCondition.RESUMED)[0].held
        before = len(ward.reads())
        await ward.until(lambda: len(ward.reads()) > before)


async def test_a_reader_with_another_client_is_had_when_that_is_gone() -> None:
    reader = simulated(**{A: 1})
    async with ReaderServer(reader) as server:
        _, other = await asyncio.open_connection("127.0.0.1", server.port)
        await soon(lambda: server.connected)
        async with bed(server.port) as ward:
            await asyncio.sleep(0.3)
            assert not ward.sink.records
            other.close()
            await ward.until(ward.reads)


async def test_another_start_begins_where_the_last_one_heard() -> None:
    """The gateway was away, and says from when on."""
    reader = simulated(**{A: 1})
    async with ReaderServer(reader) as server:
        async with bed(server.port) as ward:
            await ward.until(ward.reads)
        deltas = [delta for each in ward.sink.submissions for delta in each.deltas]
        heard = deltas[-1].value
        state = {"llrp.heard": {"reader-1": heard}}
        sink = WaitingSink()
        given = ports(sink, known=("reader-1",), state=state)
        async with bed(server.port, given=given) as again:
            await again.until(lambda: again.of(ReaderCondition.RESUMED))
            (resumed,) = again.of(ReaderCondition.RESUMED)
            assert resumed.from_us == int.from_bytes(heard, "big")
            assert resumed.held  # it went on for us
            assert not again.of(ReaderCondition.CONNECTED)
            assert sink.of(Gap)[0].reason == "gateway_stopped"


async def test_a_changed_reader_is_followed_and_the_other_goes_on() -> None:
    one, other = simulated(**{A: 1}), simulated(**{B: 1})
    async with ReaderServer(one) as first, ReaderServer(other) as second:
        sink = WaitingSink()
        given = ports(sink, known=("r1", "r2"))
        readers = [
            Reader(device_id=f"r{n}", address=f"127.0.0.1:{each.port}", report_ms=100)
            for n, each in enumerate((first, second), 1)
        ]
        config = LlrpConfig(readers=tuple(readers), networks=LOOPBACK)
        driver = LlrpDriver(config, given, random.Random(1), LIMITS)
        await driver.start()
        ward = Bed(driver, sink)
        await ward.until(lambda: ward.epcs() == {A, B})
        readers[1] = Reader(
            device_id="r2", address=f"127.0.0.1:{second.port}", report_ms=200, antennas=(1,)
        )
        assert await driver.reconfigure(LlrpConfig(readers=tuple(readers), networks=LOOPBACK))
        await ward.until(lambda: second.connections == 2)
        await ward.until(lambda: "DELETE_ROSPEC" in other.asked)
        before = len(ward.reads())
        await ward.until(lambda: {r.epc for s in ward.reads()[before:] for r in s.reads} == {A, B})
        assert first.connections == 1
        await driver.stop(3.0)


# Identities


@pytest.fixture
def ward_pki(tmp_path) -> WardPki:
    return WardPki(tmp_path / "pki")


def reader_certificate(ward: WardPki, monkeypatch: pytest.MonkeyPatch, device_id: str):
    """A device's certificate that may serve, as a hospital's own authority would make it."""
    serving = PROFILES[Role.SERVICE]
    monkeypatch.setitem(PROFILES, Role.DEVICE, serving)
    subject = pki.Subject(Role.DEVICE, device_id, ("localhost", "127.0.0.1"))
    return ward._make(f"reader-{device_id}", subject, device_id)


def identity_of(ward: WardPki) -> tuple[IdentityService, Audit]:
    audit = Audit()
    given = ports(WaitingSink())
    config = IdentityConfig(TRUST_DOMAIN)
    return IdentityService(config, SystemClock(), given.counters, audit), audit


async def test_a_reader_that_shows_its_own_identity(ward_pki, monkeypatch) -> None:
    holder = reader_certificate(ward_pki, monkeypatch, "reader-1")
    identity, audit = identity_of(ward_pki)
    identity.apply_directory([Device("reader-1", "reader", transport="llrp")])
    client = tls.client_context(ward_pki.gateway.files)
    given = ports(WaitingSink())._replace(admission=identity, client_tls=lambda: client)
    reader = simulated(**{A: 1})
    context = tls.server_context(holder.files)
    async with (
        ReaderServer(reader, context) as server,
        bed(server.port, given=given, tls=True) as ward,
    ):
        await ward.until(ward.reads)
        assert ward.reads()[0].provenance.attestation is Attestation.CERTIFICATE
        assert audit.admissions[0][:2] == ("reader-1", "llrp")
        serial = x509.load_der_x509_certificate(holder.der).serial_number
        assert identity.set_revocations([serial]) == 1
        await ward.until(lambda: ward.of(ReaderCondition.LOST))
        said = len(ward.reads())
        await soon(lambda: ("revoked", "llrp", "reader-1") in audit.refusals)
        await asyncio.sleep(0.3)
        assert len(ward.reads()) == said


async def test_a_reader_that_shows_anothers_identity(ward_pki, monkeypatch) -> None:
    holder = reader_certificate(ward_pki, monkeypatch, "reader-2")
    identity, audit = identity_of(ward_pki)
    client = tls.client_context(ward_pki.gateway.files)
    given = ports(WaitingSink())._replace(admission=identity, client_tls=lambda: client)
    reader = simulated(**{A: 1})
    async with (
        ReaderServer(reader, tls.server_context(holder.files)) as server,
        bed(server.port, given=given, tls=True) as ward,
    ):
        await soon(lambda: audit.refusals)
        assert set(audit.refusals) == {("identity_mismatch", "llrp", "reader-1")}
        assert not ward.sink.records
        assert not reader.asked


# Another implementation


async def test_llrpkits_emulator_over_tls(ward_pki) -> None:
    """Door, badge, missed reads, an outage: what is told, by a reader that nobody here has made."""
    client = tls.client_context(ward_pki.gateway.files)
    sink = WaitingSink()
    given = ports(sink, known=("reader-1",))._replace(client_tls=lambda: client)
    context = tls.server_context(ward_pki.broker().files)
    async with (
        Emulated(context, {A: 1, B: 2}) as reader,
        bed(reader.front.port, given=given, tls=True, keepalive_s=3.0) as ward,
    ):
        await ward.until(lambda: ward.epcs() == {A, B})
        first = ward.reads()[0]
        assert first.provenance.attestation is Attestation.CERTIFICATE
        assert first.provenance.attested_by == f"tls://localhost:{reader.front.port}"
        assert {r.antenna for s in ward.reads() for r in s.reads if r.epc == A} == {1}
        emulator = reader.emulator
        await emulator.set_gpi(3, True)
        await ward.until(lambda: any(c.port == 3 and c.high for c in sink.of(InputChange)))
        await emulator.set_antenna_connected(2, False)
        await ward.until(lambda: ward.of(ReaderCondition.ANTENNA_DOWN))
        assert ward.of(ReaderCondition.ANTENNA_DOWN)[-1].antenna == 2
        await reader.front.close()
        await ward.until(lambda: ward.of(ReaderCondition.LOST))
        await reader.front.open()
        await ward.until(lambda: ward.of(ReaderCondition.RESUMED))
        (resumed,) = ward.of(ReaderCondition.RESUMED)
        assert not resumed.held  # it forgets its ROSpecs with the connection
        before = len(ward.reads())
        await ward.until(lambda: len(ward.reads()) > before)
        states = [each.reason for each in sink.of(DeviceStatus)]
        assert states == ["connected", "hung_up", "connected"]
        await soon(lambda: emulator.keepalive_acks)
    assert not given.aside.kept
    assert isinstance(given.admission, FakeAdmission)


# A whole gateway


def metric(ward: Ward, name: str) -> float:
    url = f"http://127.0.0.1:{ward.plan.ports.gateway_metrics}/metrics"
    with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
        found = re.search(
            rf"^wardgate_{re.escape(name)} (\S+)$", answer.read().decode(), re.MULTILINE
        )
    return float(found[1]) if found else 0.0


def test_a_gateway_that_is_killed_finds_what_its_reader_held(tmp_path) -> None:
    ward = Ward(tmp_path / "ward")
    authority = pki.load_authority(ward.plan.fleet / "authority")
    subject = pki.Subject(Role.SERVICE, "reader-1", ("localhost", "127.0.0.1"))
    files, _ = pki.make_identity(
        authority, subject, tmp_path / "reader", pki.Validity.days(datetime.now(UTC), 1)
    )
    emulated, _ = pki.make_identity(
        authority, subject, tmp_path / "emulated", pki.Validity.days(datetime.now(UTC), 1)
    )
    config = ward.plan.gateway_config
    reader = simulated(**{A: 1})
    server = ReaderServer(reader, tls.server_context(files))
    other = Emulated(tls.server_context(emulated), {B: 1, C: 2})
    with beside() as thread:
        thread.run(server.__aenter__())
        thread.run(other.__aenter__())
        config.write_text(
            config.read_text()
            + "".join(
                f'\n[[drivers.llrp.readers]]\ndevice_id = "{name}"\ntls = true\n'
                f'address = "localhost:{port}"\nreport_ms = 100\n'
                for name, port in (("reader-1", server.port), ("reader-2", other.front.port))
            )
        )
        gateway = Supervised(config, tmp_path, ward.plan.ports.mqtt)
        try:
            gateway.wait_for("READY=1")
            gateway.until(lambda: metric(ward, 'sessions{transport="llrp"}') == 2)
            gateway.until(lambda: metric(ward, "rfid_reads_total") > 10)
            assert "ADD_ROSPEC" in reader.asked
            gateway.process.send_signal(signal.SIGKILL)
            gateway.process.wait(WAIT_S)
        finally:
            gateway.end()
        thread.call(lambda: reader.field.put(C, 2))
        (tmp_path / "again").mkdir()
        gateway = Supervised(config, tmp_path / "again", ward.plan.ports.mqtt)
        try:
            gateway.wait_for("READY=1")
            gateway.until(lambda: metric(ward, 'sessions{transport="llrp"}') == 2)
            gateway.until(lambda: metric(ward, "rfid_reads_total") > 10)
            asked = thread.call(lambda: list(reader.asked))
            assert "ENABLE_EVENTS_AND_REPORTS" in asked
            assert "ADD_ROSPEC" not in asked
            assert metric(ward, 'malformed_total{driver="llrp",reason="parameter"}') == 0
        finally:
            assert gateway.end() == 0
        assert "reader-1 is online" in gateway.log()
        assert thread.call(lambda: reader.written_to) == 0
        thread.run(other.__aexit__())
        thread.run(server.__aexit__())
