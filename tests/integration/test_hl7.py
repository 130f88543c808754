"""HL7 over real TLS: clients that are not ours, and many at once."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from random import Random

import hl7
import pytest
from hl7.mllp import open_hl7_connection

from drivers.base.served import ServedDriver
from drivers.hl7.config import Hl7Config
from drivers.hl7.driver import FACTORY
from drivers.hl7.mllp import frame
from firmware_sim.hl7.link import Hl7Link, Settings
from firmware_sim.hl7.messages import Sender as SimSender
from firmware_sim.hl7.pump import Program, Pump
from firmware_sim.link import Outcome as Sent
from firmware_sim.messages import PumpSource, encode
from gateway.domain import terms
from gateway.domain.ports import Outcome, Ports
from gateway.domain.records import AlarmChange, Report, Text
from security import tls
from tests.fakes import (
    FakeAdmission,
    FakeAside,
    FakeCommands,
    FakeCounters,
    FakeSink,
    FakeState,
)
from tests.unit.hl7.messages import MDS, message, obx
from tests.ward_pki import Holder, WardPki

CROWD = 60
"""Connections at once; `make bench` has 500."""


class RealClock:
    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        return time.monotonic()


class Receiver:
    """The driver on a loopback socket, with fakes where the gateway would be."""

    def __init__(self, ward: WardPki, *devices: Holder) -> None:
        self.sink = FakeSink(Outcome.COMMITTED)
        self.admission = FakeAdmission({each.der: each.device for each in devices})
        context = tls.server_context(ward.gateway.files)
        ports = Ports(
            self.admission,
            self.sink,
            FakeCounters(),
            RealClock(),
            FakeAside(),
            FakeState(),
            FakeCommands(),
            lambda: context,
            lambda: None,
            lambda: None,
        )
        config = Hl7Config(listen=("127.0.0.1:0",), connections_per_device=4096)
        driver = FACTORY.create("hl7", config, ports)
        assert isinstance(driver, ServedDriver)
        self.driver = driver

    @property
    def port(self) -> int:
        return self.driver.addresses()["hl7"][1]

    def ids(self) -> list[str]:
        return [each.message_id for each in self.sink.records if isinstance(each, Report)]


@contextlib.asynccontextmanager
async def receiving(ward: WardPki, *devices: Holder) -> AsyncIterator[Receiver]:
    receiver = Receiver(ward, *devices)
    await receiver.driver.start()
    try:
        yield receiver
    finally:
        await receiver.driver.stop(1.0)


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> WardPki:
    return WardPki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def monitor(ward: WardPki) -> Holder:
    return ward.device("mon-1")


def client_tls(holder: Holder) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(holder.files.trust))
    context.load_cert_chain(holder.files.cert, holder.files.key)
    return context


async def test_the_library_s_own_client(ward, monitor):
    async with receiving(ward, monitor) as receiver:
        reader, writer = await open_hl7_connection(
            "127.0.0.1", receiver.port, ssl=client_tls(monitor)
        )
        for number in range(3):
            content = message(MDS, obx(value=str(70 + number)), control_id=f"m-{number}")
            writer.writemessage(hl7.parse(content.decode()))
            await writer.drain()
            answer = await reader.readmessage()
            assert str(answer["MSA"][0][1]) == "CA"
            assert str(answer["MSA"][0][2]) == f"m-{number}"
        writer.close()
        assert receiver.ids() == ["m-0", "m-1", "m-2"]


async def test_openssl_s_client(ward, monitor):
    async with receiving(ward, monitor) as receiver:
        files = monitor.files
        command = ["openssl", "s_client", "-quiet", "-connect", f"127.0.0.1:{receiver.port}"]
        command += ["-cert", str(files.cert), "-key", str(files.key), "-CAfile", str(files.trust)]
        process = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"\x0bnot HL7\x1c\r" + frame(message(MDS, obx(), control_id="by-hand")))
        await process.stdin.drain()
        heard = await asyncio.wait_for(process.stdout.readuntil(b"MSA|CA|by-hand\r\x1c\r"), 30)
        assert b"MSA|AR\r" in heard
        process.stdin.close()
        process.terminate()
        await process.wait()


async def test_a_certificate_of_nobody_s_gets_nothing(ward, monitor):
    stranger = client_tls(ward.stranger("mon-1"))
    async with receiving(ward, monitor) as receiver:
        heard = b""
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", receiver.port, ssl=stranger, server_hostname="localhost"
            )
            writer.write(frame(message(MDS, obx())))
            heard = await reader.read(1)
        assert heard == b""
        assert receiver.ids() == []
        assert receiver.admission.refusals[0][:2] == ("untrusted", "hl7")


def vitals(n: int, hr: float = 72.0) -> bytes:
    return b'{"v":1,"boot":"5f3a","n":%d,"t":1790000000000,"hr":%g,"nibp_sys":121}' % (n, hr)


async def test_the_simulated_monitor(ward, monitor):
    async with receiving(ward, monitor) as receiver:
        settings = Settings(
            SimSender("mon-1", "mon-1"),
            "localhost",
            receiver.port,
            client_tls(monitor),
            RealClock().now_us,
        )
        link = Hl7Link(settings, Random(7))
        await link.connect()
        assert await link.send("vitals", vitals(1), "5f3a:1") is Sent.ACKNOWLEDGED
        for noise in (b"\xff\x0bnoise", b"", b'{"v":1,"mood":"good"}', b"\r\n"):
            assert await link.send("vitals", noise, "") is Sent.REFUSED
        assert await link.trespass("mon-2", "vitals", vitals(2)) is Sent.REFUSED
        link.drop()
        assert await link.send("vitals", vitals(3, hr=171), "5f3a:3") is Sent.ACKNOWLEDGED
        assert await link.send("vitals", vitals(4), "5f3a:4") is Sent.ACKNOWLEDGED
        assert link.connects == 2
        await link.close()
        said = [each for each in receiver.ids() if "hello-" not in each and "#" not in each]
        assert said == ["5f3a:1", "5f3a:3", "5f3a:3.start", "5f3a:4", "5f3a:4.end"]
        changes = [each for each in receiver.sink.records if isinstance(each, AlarmChange)]
        assert [each.present for each in changes] == [True, False]
        assert changes[0].alarm.condition == changes[1].alarm.condition
        assert receiver.driver.healthy()


async def test_the_simulated_pump(ward, monitor):
    async with receiving(ward, monitor) as receiver:
        settings = Settings(
            SimSender("mon-1", "mon-1"),
            "localhost",
            receiver.port,
            client_tls(monitor),
            RealClock().now_us,
        )
        link = Hl7Link(settings, Random(7))
        source = PumpSource(Pump(Program("Dopamine", 5.0, 60.0, 1.6, 80.0), Random(7)))
        for n in range(9):  # 270 s of a programme of 300 s, with the line pressed off for a while
            source.pump.occlude(occluded=n in (2, 3))
            told = source.next("5f3a", n, RealClock().now_us() // 1000, 30.0)
            assert told is not None
            sent = await link.send("pump", encode(told, cbor=False), f"5f3a:{n}")
            assert sent is Sent.ACKNOWLEDGED
        await link.close()
        reports = [each for each in receiver.sink.records if isinstance(each, Report)]
        first = next(each for each in reports if each.message_id == "5f3a:0")
        numbers = dict(zip(first.codes, first.values, strict=True))
        assert numbers[terms.VOLUME_REMAINING] == 4.5
        assert numbers[terms.code("MDC_RATE_DOSE")] == 20.0
        assert Text(terms.DRUG_NAME, "Dopamine") in [t for each in reports for t in each.texts]
        events = [
            said.name
            for each in reports
            if each.kind == "event"
            for said in each.enumerations
            if said.code == terms.INFUSION_EVENT
        ]
        assert events == [f"MDC_EVT_PUMP_DELIV_{word}" for word in ("START", "STOP", "START")]
        changes = [each for each in receiver.sink.records if isinstance(each, AlarmChange)]
        assert [(each.alarm.code, each.alarm.priority.name, each.present) for each in changes] == [
            (196940, "MEDIUM", True),
            (196940, "HIGH", True),
            (196940, "HIGH", False),
            (197334, "LOW", True),
        ]
        assert receiver.driver.healthy()


async def test_a_simulated_thief_is_not_let_in(ward, monitor):
    async with receiving(ward) as receiver:
        settings = Settings(
            SimSender("mon-1", "mon-1"),
            "localhost",
            receiver.port,
            client_tls(monitor),
            RealClock().now_us,
        )
        with pytest.raises(OSError, match="closed"):
            await Hl7Link(settings, Random(7)).connect()


async def test_a_crowd_with_a_slow_one_and_a_broken_one_among_it(ward, monitor):
    """Everybody else is answered, while one never ends its message and one sends rubbish."""

    async def connect(context):
        return await asyncio.open_connection(
            "127.0.0.1", receiver.port, ssl=context, server_hostname="localhost"
        )

    async def exchange(stream, number):
        reader, writer = stream
        writer.write(frame(message(MDS, obx(), control_id=f"c-{number}")))
        heard = await reader.readuntil(b"\x1c\r")
        assert f"MSA|CA|c-{number}\r".encode() in heard

    async with receiving(ward, monitor) as receiver, asyncio.timeout(60):
        context = client_tls(monitor)
        streams = await asyncio.gather(*(connect(context) for _ in range(CROWD)))
        slow, broken, *others = streams
        slow[1].write(frame(message(MDS, obx()))[:-2])
        broken[1].write(b"\x0brubbish\x1c\r" * 500)
        await asyncio.gather(*(exchange(each, n) for n, each in enumerate(others)))
        assert sorted(receiver.ids()) == sorted(f"c-{n}" for n in range(CROWD - 2))
        for _, writer in streams:
            writer.transport.abort()
