"""An endpoint without a network: real hub and sessions, with a device's side to drive them."""

from __future__ import annotations

from drivers.mqtt.codec.decoder import Decoder
from drivers.mqtt.codec.encoder import encode
from drivers.mqtt.codec.packets import Connack, Connect, Packet, Publish, Role, Version
from drivers.mqtt.config import MqttConfig
from drivers.mqtt.hub import Hub
from drivers.transport.tls import Peer
from gateway.domain.devices import Device
from gateway.domain.ports import Carrier, Outcome, Ports, StateDelta, Submission, Tap, Tapped
from gateway.domain.records import Alarm, DeviceStatus, Report
from tests.fakes import (
    FakeAdmission,
    FakeAside,
    FakeClock,
    FakeCommands,
    FakeCounters,
    FakeSink,
    FakeState,
)

V4, V5 = Version.V311, Version.V5
VITALS = "devices/mon-1/vitals"
COMMAND = "devices/mon-1/command"


def vitals(n: int = 1, hr: float = 72) -> bytes:
    return b'{"v":1,"boot":"5f3a","n":%d,"hr":%g}' % (n, hr)


class DurableSink(FakeSink):
    """Keeps what was committed, as a journal would: records, and the state of the deltas."""

    def __init__(self, automatic: Outcome | None = Outcome.COMMITTED) -> None:
        super().__init__(automatic)
        self.state = FakeState()
        self.stored: list[object] = []

    def settle(self, outcome: Outcome = Outcome.COMMITTED, count: int | None = None) -> None:
        for submission in self.waiting[:count]:
            if outcome is Outcome.COMMITTED:
                self.stored += submission.records
                self._apply(submission)
        super().settle(outcome, count)

    def _apply(self, submission: Submission) -> None:
        delta: StateDelta
        for delta in (*submission.deltas, *submission.alarm_deltas):
            space = self.state.spaces.setdefault(delta.space, {})
            if delta.value is None:
                space.pop(delta.key, None)
            else:
                space[delta.key] = delta.value


class Endpoint:
    """A hub with fakes around it; ``crash`` starts it again from what was committed."""

    def __init__(self, automatic: Outcome | None = Outcome.COMMITTED, **config: object) -> None:
        self.config = MqttConfig(listen=("127.0.0.1:0",), **config)  # type: ignore[arg-type]
        self.clock = FakeClock()
        self.counters = FakeCounters()
        self.aside = FakeAside()
        self.sink = DurableSink(automatic)
        self.start()

    def start(self) -> None:
        self.admission = FakeAdmission(
            {name.encode(): Device(name, "monitor", bed="B1") for name in ("mon-1", "mon-2")}
        )
        self.commands = FakeCommands()
        ports = Ports(
            self.admission,
            self.sink,
            self.counters,
            self.clock,
            self.aside,
            self.sink.state,
            self.commands,
            lambda: None,
            lambda: None,
            lambda: None,
        )
        self.hub = Hub(ports, self.config)

    def crash(self) -> None:
        """kill -9: what was not committed is gone, and nobody says a word."""
        self.sink.waiting = []
        self.start()

    def plug(self, name: str = "mon-1", peer: str = "10.0.0.1:1000") -> Client:
        """A TLS connection, before CONNECT."""
        return Client(self, name, peer)

    def connected(
        self, connect: Connect | None = None, version: Version = V5, peer: str = "10.0.0.1:1000"
    ) -> Client:
        """A connection that was accepted."""
        client = self.plug(peer=peer)
        client.send(connect or Connect("mon-1", version))
        client.greeted()
        return client

    def reports(self) -> list[str]:
        return [record.message_id for record in self.sink.stored if isinstance(record, Report)]

    def statuses(self) -> list[tuple[str, str]]:
        return [
            (record.state.name.lower(), record.reason)
            for record in self.sink.stored
            if isinstance(record, DeviceStatus)
        ]

    def alarms(self) -> list[Alarm]:
        return [record for record in self.sink.stored if isinstance(record, Alarm)]

    def state(self, space: str) -> dict[str, bytes]:
        return self.sink.state.spaces.get(space, {})

    def count(self, *key: str) -> int:
        return self.counters.counts[key]

    def tick(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.hub.tick()


class FakeWire:
    """The gateway's end of the connection; remembers what became of it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.closed = False
        self.aborted = False
        self.reading = True

    def send(self, data: bytes) -> None:
        if not self.closed:
            self._client.arrived(data)

    def close(self) -> None:
        self.closed = True

    def abort(self, last_words: bytes = b"") -> None:
        self.send(last_words)
        self.closed = self.aborted = True

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def use_tap(self, tap: Tap | None) -> Tapped:
        del tap
        return Tapped(Carrier.STREAM, asked=False)


class Client:
    """The device's side."""

    def __init__(self, endpoint: Endpoint, name: str, peer: str) -> None:
        self.version = V5
        self.packets: list[Packet] = []
        self._decoder: Decoder | None = None
        self.wire = FakeWire(self)
        self.session = endpoint.hub.connect(Peer(name.encode(), peer), self.wire)

    def arrived(self, data: bytes) -> None:
        if self._decoder is None:
            self._decoder = Decoder(Role.CLIENT, 1 << 20, self.version)
        self.packets += self._decoder.feed(data)
        assert self._decoder.failed is None, self._decoder.failed

    def send(self, *packets: Packet) -> None:
        """Send packets in one piece."""
        for packet in packets:
            if isinstance(packet, Connect):
                self.version = packet.version
        self.session.receive(b"".join(encode(packet, self.version) for packet in packets))

    def publish(
        self, payload: bytes, qos: int = 0, packet_id: int = 0, topic: str = VITALS
    ) -> None:
        self.send(Publish(topic, payload, qos, packet_id))

    def take(self) -> list[Packet]:
        """What came since the last call."""
        packets, self.packets = self.packets, []
        return packets

    def greeted(self) -> Connack:
        connack, *rest = self.take()
        assert isinstance(connack, Connack)
        assert not rest
        return connack

    def lose(self) -> None:
        """The connection breaks."""
        self.wire.closed = True
        self.session.lost()

    def ended(self) -> bool:
        """Whether the gateway closed the connection."""
        return self.wire.closed

    def is_read(self) -> bool:
        """Whether the gateway reads."""
        return self.wire.reading
