"""What one connected device publishes: topics, payloads, quality of service.

Rules:

- A device publishes below its own prefix alone. A foreign topic closes a 3.1.1 session; in 5.0
  it is answered by 0x87, and by DISCONNECT at QoS 0, which has no answer, or when it goes on.
- A malformed payload is set aside and answered (5.0: 0x99), so that it doesn't come for ever.
- A QoS 2 message that was received and not released is not taken again; see
  :mod:`drivers.mqtt.store` for how that survives a crash.
- A 5.0 client that has more than ``receive_maximum`` messages unanswered breaks the protocol
  ([MQTT-3.3.4-7]); the same bound holds for a 3.1.1 client's unreleased QoS 2 messages.
"""

from __future__ import annotations

from hashlib import blake2b

from drivers.bedside import reading
from drivers.bedside.commands import decode_result
from drivers.mqtt.codec.encoder import encode
from drivers.mqtt.codec.packets import Puback, Publish, Pubrec, Pubrel, Version
from drivers.mqtt.codec.reasons import ReasonCode
from drivers.mqtt.mapping import ATTESTED, DRIVER, Topics
from drivers.mqtt.replies import Batch, Kind
from drivers.mqtt.roles import Host
from drivers.mqtt.store import Memory
from gateway.domain.devices import Device
from gateway.domain.errors import MalformedError, RefusalReason
from gateway.domain.ports import Ports

FOREIGN_TOPICS_MAX = 16
"""Refused topics on one 5.0 connection before it is closed: each is audited."""
DIGEST_BYTES = 8

_PAYLOAD_FORMAT_INVALID = ReasonCode.PAYLOAD_FORMAT_INVALID


class Inbound:
    """Handles PUBLISH and PUBREL of one connection."""

    __slots__ = (
        "_device",
        "_foreign",
        "_host",
        "_is_v5",
        "_kinds",
        "_memory",
        "_ports",
        "_receive_maximum",
        "_topics",
        "_used",
    )

    def __init__(
        self, host: Host, device: Device, topics: Topics, ports: Ports, receive_maximum: int
    ) -> None:
        """Keep the parts; ``open`` comes before the first packet."""
        self._host = host
        self._device = device
        self._topics = topics
        self._kinds = topics.kinds
        self._ports = ports
        self._receive_maximum = receive_maximum
        self._is_v5 = False
        self._memory = Memory(device.device_id)
        self._used = 0
        self._foreign = 0

    def open(self, version: Version, memory: Memory) -> None:
        """CONNECT was accepted."""
        self._is_v5 = version == Version.V5
        self._memory = memory

    def answered(self, freed: int) -> None:
        """So many places of the receive maximum are free again."""
        self._used = max(0, self._used - freed)

    def publish(self, packet: Publish, batch: Batch, now_us: int) -> None:
        """3.3: take a message, or say why not."""
        qos = packet.qos
        if self._is_v5:
            if packet.retain:  # [MQTT-3.2.2-14]
                self._host.disconnect(ReasonCode.RETAIN_NOT_SUPPORTED, "protocol_error")
                return
            if qos:
                self._used += 1
                if self._used > self._receive_maximum:
                    self._exceeded()
                    return
        kind = self._kinds.get(packet.topic)
        if kind is None:
            self._on_other_topic(packet, batch)
            return
        if qos == 2 and self._is_repetition(packet, batch):
            return
        try:
            records = reading.read(kind, packet.payload, self._device, ATTESTED, now_us)
        except MalformedError as error:
            self._on_malformed(packet, batch, error, _PAYLOAD_FORMAT_INVALID)
            return
        if qos == 1:
            batch.messages += 1
            batch.acknowledge(Kind.PUBACK, packet.packet_id)
        elif qos == 2 and not self._begin(packet, batch):
            return
        batch.records += records

    def pubrel(self, packet: Pubrel, batch: Batch) -> None:
        """3.6: the client knows that the message was received."""
        known = self._memory.release(packet.packet_id)
        batch.acknowledge(Kind.PUBCOMP if known else Kind.PUBCOMP_UNKNOWN, packet.packet_id)

    def _is_repetition(self, packet: Publish, batch: Batch) -> bool:
        """Whether the QoS 2 message is one that was received and not released."""
        known = self._memory.exchanges.get(packet.packet_id)
        if known is None or known.digest != digest(packet):
            return False
        batch.messages += 1
        batch.acknowledge(Kind.PUBREC_AGAIN, packet.packet_id)
        self._ports.counters.add("duplicates", DRIVER)
        return True

    def _begin(self, packet: Publish, batch: Batch) -> bool:
        """Remember a QoS 2 message that isn't known."""
        memory = self._memory
        packet_id = packet.packet_id
        if len(memory.exchanges) >= self._receive_maximum and packet_id not in memory.exchanges:
            self._exceeded()
            return False
        exchange = memory.begin(packet_id, digest(packet))
        batch.began.append((packet_id, exchange))
        batch.messages += 1
        batch.acknowledge(Kind.PUBREC, packet_id)
        return True

    def _exceeded(self) -> None:
        self._host.disconnect(ReasonCode.RECEIVE_MAXIMUM_EXCEEDED, "protocol_error")

    def _on_other_topic(self, packet: Publish, batch: Batch) -> None:
        if packet.topic == self._topics.result:
            self._on_result(packet, batch)
        elif packet.topic.startswith(self._topics.prefix):
            error = MalformedError("unknown_kind")
            self._on_malformed(packet, batch, error, ReasonCode.TOPIC_NAME_INVALID)
        else:
            self._on_foreign(packet, batch)

    def _on_foreign(self, packet: Publish, batch: Batch) -> None:
        self._host.refuse(RefusalReason.IDENTITY_MISMATCH)
        self._foreign += 1
        if self._is_v5 and packet.qos and self._foreign < FOREIGN_TOPICS_MAX:
            self._deny(packet, batch, ReasonCode.NOT_AUTHORIZED)
        else:
            self._host.disconnect(ReasonCode.NOT_AUTHORIZED, "foreign_topic")

    def _on_result(self, packet: Publish, batch: Batch) -> None:
        """The answer to a command: passed on, not recorded."""
        if packet.qos == 2 and self._is_repetition(packet, batch):
            return
        try:
            result = decode_result(packet.payload)
        except MalformedError as error:
            self._on_malformed(packet, batch, error, _PAYLOAD_FORMAT_INVALID)
            return
        self._take_nothing(packet, batch)
        self._ports.commands.answered(self._device.device_id, result.id, result.result)

    def _on_malformed(
        self, packet: Publish, batch: Batch, error: MalformedError, code: ReasonCode
    ) -> None:
        self._ports.aside.keep(self._device.device_id, DRIVER, error.reason, packet.payload)
        self._ports.counters.add("malformed", DRIVER, error.reason)
        if self._is_v5:
            self._deny(packet, batch, code)
        else:
            self._take_nothing(packet, batch)

    def _take_nothing(self, packet: Publish, batch: Batch) -> None:
        """Acknowledge a message that holds no record."""
        if packet.qos == 1:
            batch.messages += 1
            batch.acknowledge(Kind.PUBACK, packet.packet_id)
        elif packet.qos == 2 and not self._begin(packet, batch):
            return
        if packet.qos:
            batch.unkept += 1

    def _deny(self, packet: Publish, batch: Batch, code: ReasonCode) -> None:
        """5.0: answer by a reason code that ends the exchange."""
        if packet.qos == 1:
            batch.say(encode(Puback(packet.packet_id, code), Version.V5))
        elif packet.qos == 2:
            batch.say(encode(Pubrec(packet.packet_id, code), Version.V5))
        if packet.qos:
            self._used -= 1


def digest(packet: Publish) -> bytes:
    """Tells a message from another one that uses its identifier again."""
    content = packet.topic.encode() + b"\0" + packet.payload
    return blake2b(content, digest_size=DIGEST_BYTES).digest()
