"""The MQTT endpoint over real TLS, spoken to by mosquitto's clients, paho and raw sockets."""

import asyncio
import contextlib
import json
import shutil
import ssl
import threading
from asyncio.subprocess import PIPE, STDOUT

import paho.mqtt.client as paho
import pytest
import uvloop
from paho.mqtt.enums import CallbackAPIVersion

from drivers.mqtt.codec.decoder import Decoder
from drivers.mqtt.codec.encoder import encode
from drivers.mqtt.codec.packets import Connack, Connect, Disconnect, Puback, Publish, Role, Version
from drivers.mqtt.codec.reasons import ReasonCode
from drivers.mqtt.config import MqttConfig
from drivers.mqtt.driver import FACTORY
from gateway.clock import SystemClock
from gateway.domain import terms
from gateway.domain.devices import CertificateCredential
from gateway.domain.errors import RefusedError
from gateway.domain.ports import Command, Outcome, Ports
from gateway.domain.records import Alarm, DeviceState, DeviceStatus, Report
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

pytestmark = pytest.mark.skipif(
    shutil.which("mosquitto_pub") is None, reason="needs mosquitto-clients"
)

VITALS = '{"v":1,"boot":"5f3a","n":%d,"hr":72,"spo2":98}'
TOPIC = "devices/mon-1/vitals"
VERSIONS = ("mqttv311", "mqttv5")


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return WardPki(tmp_path_factory.mktemp("pki"))


class Ward:
    """A running endpoint, with everything that it was given."""

    def __init__(self, pki):
        self.pki = pki
        self.device = pki.device("mon-1")
        self.context = server_context(pki.gateway.files)
        self.changed = asyncio.Event()
        self.sink = WatchedSink(self.changed)
        self.admission = FakeAdmission({self.device.der: self.device.device})
        self.counters = FakeCounters()
        self.aside = FakeAside()
        self.commands = WatchedCommands(self.changed)
        self.config = MqttConfig(listen=("127.0.0.1:0", "[::1]:0"))

    async def __aenter__(self):
        ports = Ports(
            self.admission,
            self.sink,
            self.counters,
            SystemClock(),
            self.aside,
            FakeState(),
            self.commands,
            server_tls=lambda: self.context,
            server_dtls=lambda: None,
            client_tls=lambda: None,
        )
        self.driver = FACTORY.create("mqtt", self.config, ports)
        await self.driver.start()
        self.host, self.port = self.driver.addresses()["mqtt"]
        return self

    async def __aexit__(self, *_):
        await self.driver.stop(5)

    def identity(self, holder):
        files = holder.files
        return ("--cert", files.cert, "--key", files.key)

    async def mosquitto(self, *arguments, holder=None, program="mosquitto_pub", identity=None):
        """Run a client to its end; its exit code and what it printed."""
        identity = self.identity(holder or self.device) if identity is None else identity
        trust = self.pki.gateway.files.trust
        command = (program, "-h", "localhost", "-p", self.port, "--cafile", trust, *identity)
        process = await asyncio.create_subprocess_exec(
            *map(str, (*command, *arguments)), stdout=PIPE, stderr=STDOUT
        )
        out, _ = await process.communicate()
        return process.returncode, out.decode()

    async def publish(self, version, qos, payload=VITALS % 1, topic=TOPIC, **options):
        return await self.mosquitto(
            "-V", version, "-q", qos, "-t", topic, "-m", payload, "-d", **options
        )

    async def connect(self, connect, source="127.0.0.1"):
        """A raw client, for what no well-behaved client does."""
        context = ssl.create_default_context(cafile=str(self.pki.gateway.files.trust))
        context.load_cert_chain(self.device.files.cert, self.device.files.key)
        reader, writer = await asyncio.open_connection(
            self.host, self.port, ssl=context, server_hostname="localhost", local_addr=(source, 0)
        )
        client = Raw(reader, writer, connect.version)
        client.send(connect)
        return client

    async def until(self, condition):
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    def reports(self):
        return [record for record in self.sink.records if isinstance(record, Report)]

    def statuses(self):
        return [
            (record.state, record.reason)
            for record in self.sink.records
            if isinstance(record, DeviceStatus)
        ]

    def alarms(self):
        return [record for record in self.sink.records if isinstance(record, Alarm)]


class WatchedSink(FakeSink):
    """Commits at once and tells that something changed."""

    def __init__(self, changed):
        super().__init__(Outcome.COMMITTED)
        self.changed = changed

    def submit(self, submission):
        super().submit(submission)
        self.changed.set()


class WatchedCommands(FakeCommands):
    def __init__(self, changed):
        super().__init__()
        self.changed = changed

    def subscribe(self, device_id, deliver):
        super().subscribe(device_id, deliver)
        self.changed.set()

    def answered(self, device_id, command_id, result):
        super().answered(device_id, command_id, result)
        self.changed.set()


class Raw:
    def __init__(self, reader, writer, version):
        self.reader, self.writer, self.version = reader, writer, version
        self.decoder = Decoder(Role.CLIENT, 65536, version)
        self.packets = []

    def send(self, *packets):
        self.writer.write(b"".join(encode(packet, self.version) for packet in packets))

    async def receive(self):
        """The next packet, or None at the end."""
        while not self.packets:
            try:
                data = await self.reader.read(65536)
            except (OSError, ssl.SSLError):
                return None
            if not data:
                return None
            self.packets += self.decoder.feed(data)
            assert self.decoder.failed is None
        return self.packets.pop(0)

    def drop(self):
        self.writer.transport.abort()


@pytest.fixture
async def ward(pki):
    async with Ward(pki) as running:
        yield running


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_mosquitto_publishes(ward, version, qos):
    code, out = await ward.publish(version, qos)
    assert code == 0, out
    await ward.until(ward.reports)  # at QoS 0 mosquitto_pub may be gone before it is read
    [report] = ward.reports()
    assert report.device_id == "mon-1"
    assert report.codes == (terms.HEART_RATE, terms.SPO2)
    assert report.message_id == "5f3a:1"
    assert report.bed == "3A-07"
    await ward.until(lambda: len(ward.statuses()) == 2)
    assert ward.statuses() == [
        (DeviceState.ONLINE, "connected"),
        (DeviceState.OFFLINE, "disconnected"),
    ]
    assert ward.counters.counts[("acknowledged", "mqtt")] == (1 if qos else 0)
    assert ("PUBACK" in out) is (qos == 1)
    assert ("PUBCOMP" in out) is (qos == 2)


@pytest.mark.parametrize("version", VERSIONS)
async def test_nothing_is_acknowledged_before_its_commit(ward, version):
    ward.sink.automatic = None
    sending = asyncio.create_task(ward.publish(version, 1))
    await ward.until(lambda: ward.sink.waiting)
    ward.sink.settle()  # the connection itself
    await ward.until(ward.reports)
    assert ward.counters.counts[("acknowledged", "mqtt")] == 0
    assert not sending.done()
    ward.sink.automatic = Outcome.COMMITTED
    ward.sink.settle()
    code, out = await sending
    assert code == 0, out
    assert ward.counters.counts[("acknowledged", "mqtt")] == 1


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_a_foreign_topic_closes_3_1_1(ward, qos):
    topic = "devices/mon-2/vitals"
    code, out = await ward.publish("mqttv311", qos, topic=topic, holder=ward.device)
    assert code != 0 or qos == 0, out  # at QoS 0 mosquitto_pub is gone before the answer
    await ward.until(lambda: (DeviceState.OFFLINE, "foreign_topic") in ward.statuses())
    assert ward.reports() == []
    assert ward.admission.refusals == [("identity_mismatch", "mqtt", "mon-1")]


@pytest.mark.parametrize("qos", [1, 2])
async def test_a_foreign_topic_is_answered_in_5_0(ward, qos):
    _, out = await ward.publish("mqttv5", qos, topic="devices/mon-2/vitals")
    assert "Not authorized" in out or "RC:135" in out
    assert ward.reports() == []
    assert ward.admission.refusals == [("identity_mismatch", "mqtt", "mon-1")]


async def test_a_foreign_topic_at_qos_0_disconnects_in_5_0(ward):
    client = await ward.connect(Connect("mon-1"))
    assert isinstance(await client.receive(), Connack)
    client.send(Publish("devices/mon-2/vitals", b"{}"))
    assert await client.receive() == Disconnect(ReasonCode.NOT_AUTHORIZED)
    assert await client.receive() is None
    client.drop()


async def test_another_client_id_is_refused(ward):
    code, out = await ward.publish("mqttv5", 1, holder=ward.device, topic=TOPIC)
    assert code == 0, out
    code, out = await ward.mosquitto("-i", "mon-2", "-t", TOPIC, "-m", "x", "-q", "1")
    assert code != 0
    assert "identifier rejected" in out
    assert ward.admission.refusals == [("identity_mismatch", "mqtt", "mon-1")]


@pytest.mark.parametrize("who", ["nobody", "stranger", "expired"])
async def test_bad_certificates_get_nothing(ward, pki, who):
    identity = {
        "nobody": lambda: (),
        "stranger": lambda: ward.identity(pki.stranger("mon-1")),
        "expired": lambda: ward.identity(pki.expired("mon-1")),
    }[who]()
    code, out = await ward.mosquitto("-t", TOPIC, "-m", VITALS % 1, "-d", identity=identity)
    assert code != 0
    assert "CONNACK" not in out
    assert "alert" in out
    assert ward.sink.records == []
    reason = {"nobody": "no_certificate", "stranger": "untrusted"}.get(who, who)
    assert ward.admission.refusals == [(reason, "mqtt", "")]


async def test_an_unknown_device_gets_nothing(ward, pki):
    code, out = await ward.mosquitto(
        "-t", TOPIC, "-m", VITALS % 1, "-d", holder=pki.device("mon-9")
    )
    assert code != 0
    assert "CONNACK" not in out
    assert ward.sink.records == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("payload", "reason"),
    [('{"v":1,"hr":"high"}', "wrong_type"), ('{"hr":' + "[" * 8000, "not_json")],
    ids=["wrong_type", "nested"],
)
async def test_a_malformed_payload_is_set_aside(ward, version, payload, reason):
    code, out = await ward.publish(version, 1, payload=payload)
    assert code == 0, out
    assert ward.aside.kept == [("mon-1", "mqtt", reason, payload.encode())]
    assert ward.counters.counts[("malformed", "mqtt", reason)] == 1
    assert ward.counters.counts[("acknowledged", "mqtt")] == 0
    assert ("RC:153" in out) is (version == "mqttv5")
    assert ward.reports() == []


@pytest.mark.parametrize("version", VERSIONS)
async def test_commands_reach_mosquitto_sub_and_are_answered(ward, version):
    waiting = asyncio.create_task(
        ward.mosquitto(
            "-V", version, "-q", "1", "-t", "devices/mon-1/command", "-C", "1", "-W", "90",
            program="mosquitto_sub",
        )
    )  # fmt: skip
    await ward.until(lambda: ward.commands.subscribed.get("mon-1"))
    expires_us = SystemClock().now_us() + 60_000_000
    ward.commands.send(Command("mon-1", "c-1", b'{"do":"identify"}', expires_us))
    code, out = await waiting
    assert code == 0, out
    assert json.loads(out) == {
        "v": 1,
        "id": "c-1",
        "expires": expires_us // 1000,
        "body": {"do": "identify"},
    }
    answer = '{"v":1,"id":"c-1","result":"done"}'
    code, out = await ward.publish(version, 1, payload=answer, topic="devices/mon-1/command/result")
    assert code == 0, out
    assert ward.commands.answers == [("mon-1", "c-1", "done")]
    assert ward.reports() == []


@pytest.mark.parametrize("version", VERSIONS)
async def test_nobody_subscribes_to_others(ward, version):
    code, out = await ward.mosquitto(
        "-V", version, "-t", "devices/mon-2/command", "-W", "90", program="mosquitto_sub"
    )
    assert "denied" in out or "rejected" in out or code != 0
    assert ward.commands.subscribed == {}
    assert ("identity_mismatch", "mqtt", "mon-1") in ward.admission.refusals


async def test_a_last_will_is_published(ward):
    subscribe = ("-t", "devices/mon-1/command")
    will = ("--will-topic", "devices/mon-1/status", "--will-payload", "power lost")
    trust = ward.pki.gateway.files.trust
    reach = ("-h", "localhost", "-p", ward.port, "--cafile", trust, *ward.identity(ward.device))
    process = await asyncio.create_subprocess_exec(
        *map(str, ("mosquitto_sub", *reach, *subscribe, *will)), stdout=PIPE, stderr=STDOUT
    )
    await ward.until(lambda: ward.commands.subscribed.get("mon-1"))
    process.kill()
    await process.wait()
    await ward.until(lambda: (DeviceState.OFFLINE, "last_will") in ward.statuses())
    assert ward.sink.records[-1].detail == "power lost"


async def test_take_over(ward):
    first = await ward.connect(Connect("mon-1"))
    assert isinstance(await first.receive(), Connack)
    second = await ward.connect(Connect("mon-1"))
    assert isinstance(await second.receive(), Connack)
    assert await first.receive() == Disconnect(ReasonCode.SESSION_TAKEN_OVER)
    assert await first.receive() is None
    second.send(Publish(TOPIC, VITALS.encode() % 2, qos=1, packet_id=7))
    assert await second.receive() == Puback(7)
    assert ward.statuses() == [
        (DeviceState.ONLINE, "connected"),
        (DeviceState.ONLINE, "taken_over"),
    ]
    first.drop()
    second.drop()


async def test_one_certificate_in_two_places_is_a_clone(ward):
    clients = []
    for source in ("127.0.0.1", "127.0.0.2", "127.0.0.1"):
        client = await ward.connect(Connect("mon-1"), source)
        assert isinstance(await client.receive(), Connack)
        clients.append(client)
    last = await ward.connect(Connect("mon-1"), "127.0.0.2")
    assert await last.receive() == Connack(reason_code=ReasonCode.BANNED)
    assert await clients[-1].receive() == Disconnect(ReasonCode.ADMINISTRATIVE_ACTION)
    assert await clients[-1].receive() is None
    [alarm] = ward.alarms()
    assert (alarm.condition, alarm.device_id) == ("clone_suspected", "mon-1")
    again = await ward.connect(Connect("mon-1", Version.V311))
    assert await again.receive() == Connack(reason_code=ReasonCode.NOT_AUTHORIZED)
    assert ward.admission.refusals == [
        ("clone", "mqtt", "mon-1"),
        ("suspended", "mqtt", "mon-1"),
    ]
    for client in (*clients, last, again):
        client.drop()


async def test_kill_drops_the_live_session(ward):
    for version in (Version.V311, Version.V5):
        client = await ward.connect(Connect("mon-1", version))
        assert isinstance(await client.receive(), Connack)
        [session] = ward.admission.live
        session.kill("revoked")
        if version == Version.V5:
            assert await client.receive() == Disconnect(ReasonCode.NOT_AUTHORIZED)
        assert await client.receive() is None
        assert ward.statuses()[-1] == (DeviceState.OFFLINE, "revoked")
        assert ward.admission.live == {}
        session.kill("revoked")
        client.drop()


async def test_revoked_on_admission_gets_nothing(pki):
    async with Ward(pki) as ward:

        def refuse(credential, session):
            assert isinstance(credential, CertificateCredential)
            ward.admission.refuse("revoked", "mqtt", credential.peer)
            raise RefusedError("revoked")

        ward.admission.admit = refuse
        code, out = await ward.publish("mqttv5", 1)
        assert code != 0
        assert "CONNACK" not in out
        assert ward.admission.refusals == [("revoked", "mqtt", "")]


async def test_plaintext_is_not_answered(ward):
    reader, writer = await asyncio.open_connection(ward.host, ward.port)
    writer.write(encode(Connect("mon-1", Version.V311), Version.V311))
    answer = b""
    with contextlib.suppress(ConnectionError):
        answer = await reader.read()
    assert not answer.startswith(b"\x20")  # at most an alert, never a CONNACK
    assert ward.sink.records == []
    writer.close()


async def test_stop_answers_what_is_under_way(pki):
    async with Ward(pki) as ward:
        client = await ward.connect(Connect("mon-1"))
        assert isinstance(await client.receive(), Connack)
        ward.sink.automatic = None
        client.send(Publish(TOPIC, VITALS.encode() % 1, qos=1, packet_id=1))
        await ward.until(lambda: ward.sink.waiting)
        stopping = asyncio.create_task(ward.driver.stop(5))
        await asyncio.sleep(0)
        ward.sink.settle()
        assert await client.receive() == Puback(1)
        assert await client.receive() == Disconnect(ReasonCode.SERVER_SHUTTING_DOWN)
        client.drop()
        await stopping
        assert ward.statuses() == [(DeviceState.ONLINE, "connected")]
        await ward.driver.stop(1)


async def test_a_handshake_that_ends_while_the_driver_stops_is_no_fault(pki, monkeypatch):
    async with Ward(pki) as ward:
        listener = ward.driver._listener
        stop = listener.stop

        async def stop_late():
            ward.driver._connection(lambda: None)
            await stop()

        monkeypatch.setattr(listener, "stop", stop_late)


async def test_paho_publishes_a_burst_in_order(ward):
    """Two hundred QoS 1 and 2 messages over one session, each acknowledged once."""
    count = 200
    acknowledged = []
    done = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="mon-1", protocol=paho.MQTTv5)
    files = ward.device.files
    client.tls_set(str(files.trust), str(files.cert), str(files.key))

    def on_publish(_client, _userdata, mid, reason_code, _properties):
        acknowledged.append((mid, reason_code.value))
        if len(acknowledged) == count:
            done.set()

    client.on_publish = on_publish

    def work():
        client.connect("localhost", ward.port)
        client.loop_start()
        try:
            for n in range(count):
                client.publish(TOPIC, VITALS % n, qos=1 + n % 2)
            return done.wait(30)
        finally:
            client.disconnect()
            client.loop_stop()

    assert await asyncio.to_thread(work)
    assert {code for _, code in acknowledged} <= {0}
    assert sorted(report.message_id for report in ward.reports()) == sorted(
        f"5f3a:{n}" for n in range(count)
    )


@pytest.mark.parametrize(
    "scenario",
    [
        test_take_over,
        test_kill_drops_the_live_session,
        test_a_last_will_is_published,
        test_a_foreign_topic_at_qos_0_disconnects_in_5_0,
        test_paho_publishes_a_burst_in_order,
    ],
)
def test_on_the_daemons_loop(pki, scenario):
    async def main():
        async with Ward(pki) as ward:
            await scenario(ward)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
