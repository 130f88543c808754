"""QoS 2 through the real pipeline and journal, over a gateway that dies.

Dying is a copy of the journal's directory while it is in use, opened by another gateway: what a
``kill -9`` at that moment leaves behind.
"""

import asyncio
import os
import shutil

from drivers.mqtt.codec.packets import Connack, Connect, Pubcomp, Publish, Pubrec, Pubrel
from drivers.mqtt.codec.properties import Properties
from drivers.mqtt.codec.reasons import ReasonCode
from drivers.mqtt.config import MqttConfig
from drivers.mqtt.hub import Hub
from gateway.clock import SystemClock
from gateway.domain.devices import Device
from gateway.domain.labels import Lane
from gateway.domain.ports import Ports
from gateway.journal.committer import Committer
from gateway.journal.config import CommitterConfig, JournalConfig
from gateway.journal.journal import Journal
from gateway.pipeline.config import PipelineConfig
from gateway.pipeline.intake import Intake
from protos.wardgate.v1 import ingest_pb2 as pb
from security.sealing import KeyRing, Sealer
from tests.fakes import FakeAdmission, FakeAside, FakeCommands, FakeCounters
from tests.unit.mqtt.endpoint import VITALS, Client

RESUME = Connect("mon-1", clean_start=False, properties=Properties(session_expiry_interval=1000))
MESSAGE = b'{"v":1,"hr":%d}'
"""Without a message id: nothing but the QoS 2 state tells a repetition."""


class Gateway:
    """Hub, pipeline, committer and journal, as the daemon puts them together."""

    def __init__(self, folder, sealer):
        self.folder = folder
        self.sealer = sealer

    async def __aenter__(self):
        clock, counters = SystemClock(), FakeCounters()
        self.journal = Journal.open(self.folder, JournalConfig(), self.sealer, clock, counters)
        # Its upkeep would write beside the commits, into what is just being copied.
        config = CommitterConfig(maintain_s=3600)
        self.committer = Committer(self.journal, asyncio.get_running_loop(), counters, config)
        intake = Intake(PipelineConfig(), self.committer, clock, counters, os.urandom)
        intake.restore(self.journal.state)
        await self.committer.start()
        ports = Ports(
            FakeAdmission({b"mon-1": Device("mon-1")}),
            intake,
            counters,
            clock,
            FakeAside(),
            self.journal.state,
            FakeCommands(),
            lambda: None,
            lambda: None,
            lambda: None,
        )
        self.hub = Hub(ports, MqttConfig(listen=("127.0.0.1:0",)))
        return self

    async def __aexit__(self, *_):
        await self.committer.stop()
        self.journal.close()

    def dies(self, to):
        """The gateway that starts from what this one has on disk now."""
        shutil.copytree(self.folder, to)
        return Gateway(to, self.sealer)

    def values(self):
        """Every heart rate that the journal holds."""
        found = []
        seq = 0
        while groups := self.journal.read(Lane.TELEMETRY, seq, 1000, 1 << 20):
            seq = groups[-1].last_seq
            for section in (section for group in groups for section in group.sections):
                for record in pb.Section.FromString(section.body).records:
                    found += list(record.report.values)
        return found


class PatientClient(Client):
    """Waits for what needs a commit."""

    def __init__(self, gateway):
        self.came = asyncio.Event()
        super().__init__(gateway, "mon-1", "10.0.0.1:1000")

    def arrived(self, data):
        super().arrived(data)
        self.came.set()


async def answer(client):
    """The next packet."""
    async with asyncio.timeout(30):
        while not client.packets:
            client.came.clear()
            await client.came.wait()
    return client.packets.pop(0)


async def resumed(gateway):
    client = PatientClient(gateway)
    client.send(RESUME)
    connack = await answer(client)
    assert isinstance(connack, Connack)
    return client, connack.session_present


async def test_an_exchange_goes_on_after_the_gateway_died(tmp_path):
    gateway = Gateway(tmp_path / "0", Sealer(KeyRing.generate()))
    async with gateway:
        client, present = await resumed(gateway)
        assert not present
        client.send(Publish(VITALS, MESSAGE % 71, 2, 1))
        assert await answer(client) == Pubrec(1)
        successor = gateway.dies(tmp_path / "1")
    async with successor as gateway:
        client, present = await resumed(gateway)
        assert present
        client.send(Publish(VITALS, MESSAGE % 71, 2, 1, dup=True))
        assert await answer(client) == Pubrec(1)
        client.send(Pubrel(1))
        assert await answer(client) == Pubcomp(1)
        successor = gateway.dies(tmp_path / "2")
    async with successor as gateway:
        client, present = await resumed(gateway)
        assert present
        client.send(Pubrel(1))
        assert await answer(client) == Pubcomp(1, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND)
        client.send(Publish(VITALS, MESSAGE % 72, 2, 1))
        assert await answer(client) == Pubrec(1)
        assert gateway.values() == [71.0, 72.0]
        successor = gateway.dies(tmp_path / "3")
    async with successor as gateway:
        client, _ = await resumed(gateway)
        client.send(Publish(VITALS, MESSAGE % 73, 2, 1))  # it lost its memory
        assert await answer(client) == Pubrec(1)
        assert gateway.values() == [71.0, 72.0, 73.0]
