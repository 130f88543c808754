"""QoS 1 and 2 between a device that keeps the specification and an endpoint that crashes.

The device repeats what is unanswered after each reconnect (4.4), the gateway is killed and its
disk fails at any point, connections break at any point. At the end everything settles, and:
every message is stored; a QoS 2 message is stored once; no identifier is left behind.
"""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from drivers.mqtt.codec.packets import (
    Connack,
    Connect,
    Disconnect,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
)
from drivers.mqtt.codec.properties import NO_PROPERTIES, Properties
from gateway.domain.ports import Outcome
from tests.unit.mqtt.endpoint import V4, V5, VITALS, Client, Endpoint

FAILURES = (Outcome.FULL, Outcome.FAILED)


def unnumbered(number: int) -> bytes:
    """Without a message id: only the QoS tells that it was stored before."""
    return b'{"v":1,"hr":%d}' % number


class Device:
    """Keeps its session state over connections, as 4.1 and 4.4 want it."""

    def __init__(self, endpoint: Endpoint, version: Any) -> None:
        self.endpoint = endpoint
        self.version = version
        self.client: Client | None = None
        self.unanswered: dict[int, Publish] = {}
        self.released: dict[int, None] = {}
        self.sent: dict[int, int] = {}
        self.confirmed: set[int] = set()
        self.greeted = False  # CONNACK came: what is unanswered was repeated

    def connect(self) -> None:
        expiry = Properties(session_expiry_interval=1000)
        properties = expiry if self.version == V5 else NO_PROPERTIES
        self.greeted = False
        self.client = self.endpoint.plug()
        self.client.send(Connect("mon-1", self.version, clean_start=False, properties=properties))

    def publish(self, qos: int) -> None:
        number = len(self.sent) + 1
        self.sent[number] = qos
        packet_id = next(n for n in range(1, 99) if n not in self.unanswered | self.released)
        message = Publish(VITALS, unnumbered(number), qos, packet_id)
        self.unanswered[packet_id] = message
        if self.client is not None and self.greeted:
            self.client.send(message)

    def listen(self) -> None:
        """Take what has arrived, and do what the specification wants."""
        client = self.client
        if client is None:
            return
        for packet in client.take():
            self._hear(packet, client)
        if client.ended():
            self.client = None

    def _hear(self, packet: Any, client: Client) -> None:
        if isinstance(packet, Connack):
            self.greeted = True
            for packet_id in self.released:
                client.send(Pubrel(packet_id))
            for message in list(self.unanswered.values()):
                client.send(Publish(message.topic, message.payload, message.qos,
                                    message.packet_id, dup=True))  # fmt: skip
        elif isinstance(packet, Puback | Pubrec) and packet.reason_code >= 0x80:
            # Refused: the device keeps its report and sends it as a new message.
            message = self.unanswered.pop(packet.packet_id)
            self.unanswered[packet.packet_id] = message
            client.send(message)
        elif isinstance(packet, Puback):
            self._confirm(packet.packet_id)
        elif isinstance(packet, Pubrec):
            if packet.packet_id in self.unanswered:
                self._confirm(packet.packet_id)
                self.released[packet.packet_id] = None
            client.send(Pubrel(packet.packet_id))
        elif isinstance(packet, Pubcomp):
            self.released.pop(packet.packet_id, None)
        else:
            assert isinstance(packet, Disconnect)

    def _confirm(self, packet_id: int) -> None:
        message = self.unanswered.pop(packet_id, None)
        if message is not None:
            number = int(message.payload[12:-1])
            assert number in stored(self.endpoint), "acknowledged and not durable"
            self.confirmed.add(number)


def stored(endpoint: Endpoint) -> list[int]:
    return [int(r.values[0]) for r in endpoint.sink.stored if hasattr(r, "values")]


class Exchanges(RuleBasedStateMachine):
    @initialize(version=st.sampled_from([V4, V5]))
    def begin(self, version):
        self.endpoint = Endpoint(automatic=None)
        self.device = Device(self.endpoint, version)

    @rule()
    @precondition(lambda self: self.device.client is None)
    def connect(self):
        self.device.connect()

    @rule(qos=st.sampled_from([1, 2, 2]))
    @precondition(lambda self: len(self.device.unanswered) + len(self.device.released) < 8)
    def publish(self, qos):
        self.device.publish(qos)

    @rule(count=st.integers(1, 3))
    def commit(self, count):
        self.endpoint.sink.settle(count=count)

    @rule(outcome=st.sampled_from(FAILURES), count=st.integers(1, 2))
    def fail(self, outcome, count):
        self.endpoint.sink.settle(outcome, count)

    @rule()
    def listen(self):
        self.device.listen()

    @rule()
    def break_connection(self):
        if self.device.client is not None:
            self.device.client.lose()
            self.device.client = None

    @rule()
    def crash(self):
        self.endpoint.crash()
        self.device.client = None

    @rule()
    def tick(self):
        self.endpoint.tick(1)

    def teardown(self):
        if not hasattr(self, "device"):
            return
        device, endpoint = self.device, self.endpoint
        for _ in range(40):
            if device.client is None:
                device.connect()
            endpoint.sink.settle()
            device.listen()
            endpoint.tick(1)
            if not (device.unanswered or device.released or endpoint.sink.waiting):
                break
        endpoint.sink.settle()
        assert not device.unanswered
        assert not device.released
        found = stored(endpoint)
        assert device.confirmed == set(device.sent) == set(found)
        for number, qos in device.sent.items():
            if qos == 2:
                assert found.count(number) == 1, f"message {number} is stored twice"
        assert endpoint.state("mqtt.qos2") == {}


def test_exchanges():
    run_state_machine_as_test(
        Exchanges, settings=settings(max_examples=200, stateful_step_count=40, deadline=None)
    )
