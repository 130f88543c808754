"""The broker driver against a real mosquitto with certificates on every side."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random
from typing import Any

import cbor2
import pytest

from demo.plan import free_ports
from drivers.bedside.codec import Message
from drivers.bedside.mapping import to_records
from drivers.mqtt_broker.driver import NAME, BrokerConfig, BrokerDriver
from gateway.domain.devices import Device
from gateway.domain.errors import MalformedError, NotSentError
from gateway.domain.ports import Outcome, Ports
from gateway.domain.records import Attestation, Provenance, Report
from gateway.domain.statements import Statement
from security import tls
from tests.fakes import (
    FakeAdmission,
    FakeAside,
    FakeCommands,
    FakeCounters,
    FakeSink,
    FakeState,
)
from tests.ward_pki import Holder, WardPki

MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
pytestmark = pytest.mark.skipif(
    not Path(MOSQUITTO).exists() or shutil.which("mosquitto_pub") is None,
    reason="needs mosquitto and mosquitto-clients",
)
CONF = """\
listener {port} 127.0.0.1
cafile {trust}
certfile {cert}
keyfile {key}
require_certificate true
use_identity_as_username true
allow_anonymous false
acl_file {acl}
user root
log_dest none
"""
ACL = """\
user gw-1
topic read devices/#
topic readwrite wards/#

pattern write devices/%u/#
"""
PAYLOAD = b'{"v":1,"boot":"b","n":%d,"hr":72}'


class RealClock:
    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        return time.monotonic()


class Broker:
    """A mosquitto of our own."""

    def __init__(self, ward: WardPki, directory: Path) -> None:
        (self.port,) = free_ports(1)
        holder = ward.broker()
        acl = directory / "acl"
        acl.write_text(ACL)
        acl.chmod(0o600)
        self._conf = directory / "mosquitto.conf"
        self._conf.write_text(CONF.format(port=self.port, acl=acl, **holder.files._asdict()))
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            MOSQUITTO, "-c", str(self._conf), stderr=asyncio.subprocess.DEVNULL
        )
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return
            assert self._process.returncode is None
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()

    async def publish(
        self, holder: Holder, topic: str, payload: bytes, qos: int = 1, *more: str
    ) -> None:
        process = await asyncio.create_subprocess_exec(
            "mosquitto_pub",
            *("-h", "localhost", "-p", str(self.port), "-q", str(qos), "-t", topic, "-s", *more),
            *("--cert", str(holder.files.cert), "--key", str(holder.files.key)),
            *("--cafile", str(holder.files.trust)),
            stdin=asyncio.subprocess.PIPE,
        )
        await process.communicate(payload)
        assert process.returncode == 0


class Gateway:
    """Drivers one after the other, as a gateway that restarts; fakes stay."""

    def __init__(self, ward: WardPki, broker: Broker, version: str, *devices: Holder) -> None:
        self.sink = FakeSink(Outcome.COMMITTED)
        self.admission = FakeAdmission({each.device.device_id: each.device for each in devices})
        self.counters = FakeCounters()
        self.aside = FakeAside()
        context = tls.client_context(ward.gateway.files)
        self._ports = Ports(
            self.admission,
            self.sink,
            self.counters,
            RealClock(),
            self.aside,
            FakeState(),
            FakeCommands(),
            lambda: None,
            lambda: None,
            lambda: context,
        )
        self._config = BrokerConfig(
            "localhost",
            client_id="wardgate-gw-1",
            port=broker.port,
            version=version,  # type: ignore[arg-type]
        )
        self.driver = self._new()

    def _new(self) -> BrokerDriver:
        return BrokerDriver(NAME, self._config, self._ports, Random(1))

    async def start(self) -> None:
        await self.driver.start()
        await until(lambda: self.driver.connections > 0)

    async def crash(self) -> None:
        """End without acknowledging what waits, and start again."""
        await self.driver.stop(0.0)
        self.sink.waiting.clear()
        self.driver = self._new()
        await self.start()

    def ids(self) -> list[str]:
        return [each.message_id for each in self.reports()]

    def reports(self) -> list[Report]:
        return [record for record in self.sink.records if isinstance(record, Report)]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another process does; pytest's timeout is the bound."""
    while not condition():  # noqa: ASYNC110 - another process has no event of ours
        await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> WardPki:
    return WardPki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def monitor(ward: WardPki) -> Holder:
    return ward.device("monitor-1")


@contextlib.asynccontextmanager
async def running(
    ward: WardPki, directory: Path, *devices: Holder, version: str = "5.0"
) -> AsyncIterator[tuple[Broker, Gateway]]:
    broker = Broker(ward, directory)
    await broker.start()
    gateway = Gateway(ward, broker, version, *devices)
    try:
        await gateway.start()
        yield broker, gateway
    finally:
        try:
            await gateway.driver.stop(0.0)
        finally:
            await broker.stop()


@pytest.mark.parametrize("version", ["3.1.1", "5.0"])
async def test_a_report_through_the_broker_says_so(
    ward: WardPki, monitor: Holder, tmp_path: Path, version: str
) -> None:
    async with running(ward, tmp_path, monitor, version=version) as (broker, gateway):
        await broker.publish(monitor, "devices/monitor-1/vitals", PAYLOAD % 1)
        cbor = cbor2.dumps({"v": 1, "boot": "b", "n": 2, "hr": 73})
        await broker.publish(monitor, "devices/monitor-1/vitals", cbor, 2)
        await until(lambda: len(gateway.reports()) == 2)
        first, second = gateway.reports()
        assert (first.device_id, first.bed, first.message_id) == ("monitor-1", "3A-07", "b:1")
        assert first.provenance.attestation is Attestation.BROKER
        assert first.provenance.attested_by == f"localhost:{broker.port}"
        assert second.values == (73.0,)
        assert gateway.counters.counts[("acknowledged", NAME)] == 2


async def test_the_brokers_word_is_what_counts(
    ward: WardPki, monitor: Holder, tmp_path: Path
) -> None:
    """A device that publishes under another's name does not get past the broker's rules."""
    async with running(ward, tmp_path, monitor) as (broker, gateway):
        await broker.publish(ward.device("monitor-2"), "devices/monitor-1/vitals", PAYLOAD % 1)
        await broker.publish(monitor, "devices/monitor-1/vitals", PAYLOAD % 2)
        await until(lambda: bool(gateway.reports()))
        assert gateway.ids() == ["b:2"]


@pytest.mark.parametrize("version", ["3.1.1", "5.0"])
async def test_nothing_is_acknowledged_before_the_commit(
    ward: WardPki, monitor: Holder, tmp_path: Path, version: str
) -> None:
    async with running(ward, tmp_path, monitor, version=version) as (broker, gateway):
        gateway.sink.automatic = None
        await broker.publish(monitor, "devices/monitor-1/vitals", PAYLOAD % 1)
        await until(lambda: gateway.ids() == ["b:1"])
        await gateway.crash()
        await until(lambda: gateway.ids() == ["b:1", "b:1"])  # the broker still has it
        gateway.sink.settle(Outcome.COMMITTED)
        assert gateway.counters.counts[("acknowledged", NAME)] == 1
        await asyncio.sleep(0.1)
        await gateway.crash()
        gateway.sink.automatic = Outcome.COMMITTED
        await broker.publish(monitor, "devices/monitor-1/vitals", PAYLOAD % 2)
        await until(lambda: gateway.ids()[-1] == "b:2")
        assert gateway.ids() == ["b:1", "b:1", "b:2"]  # and now it has not


async def test_what_was_published_while_we_were_away_comes_later(
    ward: WardPki, monitor: Holder, tmp_path: Path
) -> None:
    async with running(ward, tmp_path, monitor) as (broker, gateway):
        await gateway.driver.stop(1.0)
        for n in range(3):
            await broker.publish(monitor, "devices/monitor-1/vitals", PAYLOAD % n)
        assert not gateway.reports()
        await gateway.crash()
        await until(lambda: gateway.ids() == ["b:0", "b:1", "b:2"])


async def test_a_full_journal_makes_the_broker_keep_it(
    ward: WardPki, monitor: Holder, tmp_path: Path
) -> None:
    async with running(ward, tmp_path, monitor) as (broker, gateway):
        gateway.sink.automatic = Outcome.FULL
        await broker.publish(monitor, "devices/monitor-1/vitals", PAYLOAD % 1)
        await until(lambda: bool(gateway.sink.submissions))
        gateway.sink.automatic = Outcome.COMMITTED
        await until(lambda: gateway.counters.counts[("acknowledged", NAME)] == 1)
        assert gateway.driver.connections > 1


async def test_a_slow_journal_pauses_it(ward: WardPki, monitor: Holder, tmp_path: Path) -> None:
    async with running(ward, tmp_path, monitor) as (broker, gateway):
        gateway.sink.is_writable = False
        for n in range(3):
            await broker.publish(monitor, "devices/monitor-1/vitals", PAYLOAD % n)
        assert not gateway.reports()
        gateway.sink.become_writable()
        await until(lambda: gateway.ids() == ["b:0", "b:1", "b:2"])


@pytest.mark.parametrize(
    ("payload", "reason"),
    [(b'{"v":1,"hr":"high"}', "wrong_type"), (b'{"hr":' + b"[" * 8000, "not_json")],
    ids=["wrong_type", "nested"],
)
async def test_what_is_malformed_or_not_admitted_is_not_repeated(
    ward: WardPki, monitor: Holder, tmp_path: Path, payload: bytes, reason: str
) -> None:
    stranger = ward.device("monitor-9")
    async with running(ward, tmp_path, monitor) as (broker, gateway):
        await broker.publish(monitor, "devices/monitor-1/vitals", payload)
        await broker.publish(stranger, "devices/monitor-9/vitals", PAYLOAD % 1)
        await until(lambda: bool(gateway.admission.refusals))
        assert gateway.aside.kept == [("monitor-1", NAME, reason, payload)]
        assert gateway.counters.counts[("malformed", NAME, reason)] == 1
        await asyncio.sleep(0.1)
        await gateway.crash()
        await broker.publish(monitor, "devices/monitor-1/vitals", PAYLOAD % 2)
        await until(lambda: gateway.ids() == ["b:2"])
        assert len(gateway.aside.kept) == 1
        assert len(gateway.admission.refusals) == 1


async def test_a_fault_of_ours_costs_one_message_and_not_the_broker(
    ward: WardPki, monitor: Holder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(message: Message, *around: Any) -> Any:
        if message.n == 1:
            raise ZeroDivisionError
        return to_records(message, *around)

    monkeypatch.setattr("drivers.bedside.reading.to_records", fails)
    async with running(ward, tmp_path, monitor) as (broker, gateway):
        for number in (1, 2):
            await broker.publish(monitor, "devices/monitor-1/vitals", PAYLOAD % number)
        await until(lambda: gateway.ids() == ["b:2"])
        assert gateway.aside.kept == [("monitor-1", NAME, "fault", PAYLOAD % 1)]
        assert gateway.counters.counts[("malformed", NAME, "fault")] == 1


async def test_a_revoked_device_is_not_heard_any_more(
    ward: WardPki, monitor: Holder, tmp_path: Path
) -> None:
    async with running(ward, tmp_path, monitor) as (broker, gateway):
        await broker.publish(monitor, "devices/monitor-1/vitals", PAYLOAD % 1)
        await until(lambda: gateway.ids() == ["b:1"])
        gateway.admission.devices.clear()
        (session,) = gateway.admission.live
        session.kill("revoked")
        await broker.publish(monitor, "devices/monitor-1/vitals", PAYLOAD % 2)
        await until(lambda: bool(gateway.admission.refusals))
        gateway.admission.devices["monitor-1"] = Device("monitor-1")
        await broker.publish(monitor, "devices/monitor-1/vitals", PAYLOAD % 3)
        await until(lambda: gateway.ids() == ["b:1", "b:3"])


async def test_retained_messages_are_old_news(
    ward: WardPki, monitor: Holder, tmp_path: Path
) -> None:
    async with running(ward, tmp_path, monitor, version="3.1.1") as (broker, gateway):
        await gateway.driver.stop(1.0)
        await broker.publish(monitor, "devices/monitor-1/status", b'{"v":1}', 1, "-r")
        # The session got it live; a new subscription gets it again, marked as retained.
        await gateway.crash()
        await broker.publish(monitor, "devices/monitor-1/vitals", PAYLOAD % 1)
        await until(lambda: gateway.ids() == ["b:1"])
        assert len([each for each in gateway.sink.records if not isinstance(each, Report)]) == 1


async def test_the_broker_goes_away_and_comes_back(
    ward: WardPki, monitor: Holder, tmp_path: Path
) -> None:
    async with running(ward, tmp_path, monitor) as (broker, gateway):
        await broker.stop()
        await until(lambda: gateway.counters.counts[("link_losses", NAME)] == 1)
        assert gateway.driver.healthy()
        await broker.start()
        await until(lambda: gateway.driver.connections == 2)
        await broker.publish(monitor, "devices/monitor-1/vitals", PAYLOAD % 1)
        await until(lambda: gateway.ids() == ["b:1"])


async def test_a_broker_that_we_do_not_trust_gets_nothing(
    ward: WardPki, monitor: Holder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    async with running(ward, tmp_path, monitor) as (_, gateway):
        impostor = Broker(WardPki(elsewhere), elsewhere)
        await impostor.start()
        try:
            fooled = Gateway(ward, impostor, "5.0", monitor)
            await fooled.driver.start()
            await until(lambda: f"broker localhost:{impostor.port}: " in caplog.text)
            await fooled.driver.stop(0.0)
            assert fooled.driver.connections == 0
        finally:
            await impostor.stop()
        assert gateway.driver.connections == 1


class Answer(Statement, frozen=True, kw_only=True):
    text: str


def read_answer(topic: str, payload: bytes) -> Answer:
    if payload == b"nonsense":
        raise MalformedError("not_an_answer")
    source = Provenance("test", Attestation.BROKER, topic)
    return Answer(device_id="gw-1", provenance=source, received_us=1, text=payload.decode())


@pytest.mark.parametrize("version", ["3.1.1", "5.0"])
async def test_what_we_send_has_a_receipt_and_answers_are_acknowledged_when_stored(
    ward: WardPki, tmp_path: Path, version: str
) -> None:
    gateway_holder = Holder(ward.gateway.files, b"", Device("gw-1"))
    async with running(ward, tmp_path, version=version) as (broker, gateway):
        driver = gateway.driver
        driver.listen("wards/+/answers/+", read_answer)
        driver.listen("wards/3a/alarms", read_answer)  # so that somebody listens
        gateway.sink.automatic = None

        async def heard() -> bool:
            with contextlib.suppress(NotSentError):
                await driver.send("wards/3a/alarms", b"look", 60, 5.0)
            return bool(gateway.sink.records)

        while not await heard():  # noqa: ASYNC110 - another process has no event of ours
            await asyncio.sleep(0.05)
        if version == "5.0":
            with pytest.raises(NotSentError) as nobody:
                await driver.send("wards/3b/alarms", b"{}", 60, 30.0)
            assert nobody.value.reason == "nobody_listens"
            with pytest.raises(NotSentError) as refused:
                await driver.send("elsewhere", b"{}", 60, 30.0)
            assert refused.value.reason == "refused"
        gateway.sink.settle(Outcome.COMMITTED)
        await broker.publish(gateway_holder, "wards/3a/answers/s1", b"seen")
        await broker.publish(gateway_holder, "wards/3a/answers/s1", b"nonsense")

        def answers() -> list[str]:
            return [e.text for e in gateway.sink.records if isinstance(e, Answer)]

        await until(lambda: "seen" in answers())
        await until(lambda: [kept[2] for kept in gateway.aside.kept] == ["not_an_answer"])
        # Not stored: the broker says it again, to the next connection.
        await gateway.driver.stop(0.0)
        gateway.sink.waiting.clear()
        before = answers().count("seen")
        gateway.driver = gateway._new()
        gateway.driver.listen("wards/+/answers/+", read_answer)
        gateway.sink.automatic = Outcome.COMMITTED
        await gateway.start()
        await until(lambda: answers().count("seen") > before)


async def test_without_a_connection_nothing_is_sent(ward: WardPki, tmp_path: Path) -> None:
    async with running(ward, tmp_path) as (broker, gateway):
        await broker.stop()

        async def lost() -> bool:
            try:
                await gateway.driver.send("wards/3a/alarms", b"{}", 60, 1.0)
            except NotSentError as error:
                return error.reason == "not_connected"
            return False

        while not await lost():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.05)
