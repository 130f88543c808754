"""Commands on their way to one connected device: QoS 0 or 1, now or never.

Rules:

- A device may subscribe to its own command topic, and to nothing else.
- A command that can't be written now (too many unanswered ones, larger than the client takes,
  a client that doesn't read) is not kept: whoever sent it is told.
- A QoS 1 command that was written is not repeated on a later connection: it may be wrong by
  then. Commands are no session state; the subscription is.
"""

from __future__ import annotations

from typing import NamedTuple

from drivers.bedside.commands import encode_command
from drivers.mqtt.codec.encoder import encode
from drivers.mqtt.codec.packets import (
    Connect,
    Puback,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Version,
)
from drivers.mqtt.codec.properties import NO_PROPERTIES, Properties
from drivers.mqtt.codec.reasons import ReasonCode
from drivers.mqtt.codec.topics import is_shared
from drivers.mqtt.mapping import Topics
from drivers.mqtt.replies import Batch
from drivers.mqtt.roles import Host
from drivers.mqtt.store import Memory
from gateway.domain.errors import RefusalReason
from gateway.domain.ports import Command, Ports

COMMANDS_UNANSWERED_MAX = 16
COMMAND_QOS_MAX = 1
PACKET_ID_MAX = 0xFFFF
INTERVAL_S_MAX = 0xFFFF_FFFF
MICROSECONDS = 1_000_000
UNDELIVERABLE = "undeliverable"
"""The result of a command that could not be written."""

_GRANTED = (ReasonCode.SUCCESS, ReasonCode.GRANTED_QOS_1)


class Verdict(NamedTuple):
    """The answer to one topic filter."""

    code: ReasonCode
    qos: int | None = None
    """Granted for the command topic."""
    foreign: bool = False
    """It reaches for another device's topics: audited."""


def judge(subscription: Subscription, topics: Topics) -> Verdict:
    """Answer one topic filter (3.9.3)."""
    wanted = subscription.topic_filter
    if wanted == topics.command:
        qos = min(subscription.qos, COMMAND_QOS_MAX)
        return Verdict(_GRANTED[qos], qos)
    if is_shared(wanted):
        return Verdict(ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED)
    foreign = not wanted.startswith(topics.prefix)
    if "+" in wanted or "#" in wanted:
        return Verdict(ReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED, foreign=foreign)
    return Verdict(ReasonCode.NOT_AUTHORIZED, foreign=foreign)


class Downlink:
    """Handles SUBSCRIBE, UNSUBSCRIBE and outgoing PUBLISHes of one connection."""

    __slots__ = (
        "_host",
        "_last_id",
        "_memory",
        "_ports",
        "_size_max",
        "_subscribed",
        "_topics",
        "_unanswered",
        "_unanswered_max",
        "_version",
        "reads",
    )

    def __init__(self, host: Host, device_id: str, topics: Topics, ports: Ports) -> None:
        """Keep the parts; ``open`` comes before the first packet."""
        self._host = host
        self._topics = topics
        self._ports = ports
        self._memory = Memory(device_id)
        self._version = Version.V311
        self._size_max: int | None = None
        self._unanswered: set[int] = set()
        self._unanswered_max = COMMANDS_UNANSWERED_MAX
        self._last_id = 0
        self._subscribed = False
        self.reads = True
        """Whether the client takes what is written."""

    def open(self, connect: Connect, memory: Memory) -> None:
        """CONNECT was accepted; a session that goes on keeps its subscription."""
        self._version = connect.version
        self._memory = memory
        self._size_max = connect.properties.maximum_packet_size
        wanted_max = connect.properties.receive_maximum or PACKET_ID_MAX
        self._unanswered_max = min(COMMANDS_UNANSWERED_MAX, wanted_max)
        self._follow()

    def close(self) -> None:
        """The connection ended."""
        if self._subscribed:
            self._subscribed = False
            self._ports.commands.unsubscribe(self._memory.device_id, self.deliver)

    def subscribe(self, packet: Subscribe, batch: Batch) -> None:
        """3.8: one answer for each topic filter."""
        if packet.properties.subscription_identifier:
            code = ReasonCode.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED
            self._host.disconnect(code, "protocol_error")
            return
        verdicts = [judge(each, self._topics) for each in packet.subscriptions]
        if any(verdict.foreign for verdict in verdicts):
            self._host.refuse(RefusalReason.IDENTITY_MISMATCH)
        for verdict in verdicts:
            if verdict.qos is not None:
                self._grant(verdict.qos)
        codes = tuple(verdict.code for verdict in verdicts)
        batch.say(encode(Suback(packet.packet_id, codes), self._version))

    def unsubscribe(self, packet: Unsubscribe, batch: Batch) -> None:
        """3.10: one answer for each topic filter."""
        codes = []
        for topic_filter in packet.topic_filters:
            if topic_filter == self._topics.command and self._memory.command_qos is not None:
                self._grant(None)
                codes.append(ReasonCode.SUCCESS)
            else:
                codes.append(ReasonCode.NO_SUBSCRIPTION_EXISTED)
        batch.say(encode(Unsuback(packet.packet_id, tuple(codes)), self._version))

    def puback(self, packet: Puback, batch: Batch) -> None:
        """3.4: a command arrived, which makes room for another."""
        del batch
        self._unanswered.discard(packet.packet_id)

    def pubrec(self, packet: Pubrec, batch: Batch) -> None:
        """3.5: nothing is sent at QoS 2, so there is nothing to release."""
        if self._version == Version.V5 and packet.reason_code < ReasonCode.UNSPECIFIED_ERROR:
            code = ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
            batch.say(encode(Pubrel(packet.packet_id, code), self._version))

    def deliver(self, command: Command) -> None:
        """Write a command now, or tell its sender that it was not."""
        data = self._publish(command)
        if data is None:
            self._ports.commands.answered(command.device_id, command.command_id, UNDELIVERABLE)
        else:
            self._host.write(data)

    def _grant(self, qos: int | None) -> None:
        if self._memory.command_qos != qos:
            self._memory.command_qos = qos
            self._memory.save()
        self._follow()

    def _follow(self) -> None:
        """Be subscribed to the device's commands if, and only if, the session is."""
        wanted = self._memory.command_qos is not None
        if wanted is self._subscribed:
            return
        self._subscribed = wanted
        commands = self._ports.commands
        change = commands.subscribe if wanted else commands.unsubscribe
        change(self._memory.device_id, self.deliver)

    def _publish(self, command: Command) -> bytes | None:
        qos = self._memory.command_qos or 0
        left_s = (command.expires_us - self._ports.clock.now_us()) // MICROSECONDS
        full = qos and len(self._unanswered) >= self._unanswered_max
        if left_s < 0 or full or not self.reads or self._memory.command_qos is None:
            return None
        properties = NO_PROPERTIES
        if self._version == Version.V5:
            properties = Properties(
                message_expiry_interval=min(left_s, INTERVAL_S_MAX),
                response_topic=self._topics.result,
                correlation_data=command.command_id.encode(),
            )
        packet_id = self._free_id() if qos else 0
        payload = encode_command(command)
        publish = Publish(self._topics.command, payload, qos, packet_id, properties=properties)
        data = encode(publish, self._version)
        if self._size_max is not None and len(data) > self._size_max:
            return None  # [MQTT-3.1.2-24]
        if qos:
            self._unanswered.add(packet_id)
            self._last_id = packet_id
        return data

    def _free_id(self) -> int:
        packet_id = self._last_id % PACKET_ID_MAX + 1
        while packet_id in self._unanswered:
            packet_id = packet_id % PACKET_ID_MAX + 1
        return packet_id
