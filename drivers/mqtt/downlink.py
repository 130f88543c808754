"""Commands on their way to a device: QoS 0 or 1, now or never.

A command that can't be written now (too many unanswered ones, larger than the client takes) is
not kept: whoever sent it is told. A QoS 1 command that was written is not repeated on a later
connection: it may be wrong by then, and commands are no session state.
"""

from __future__ import annotations

from drivers.bedside.commands import encode_command
from drivers.mqtt.codec.encoder import encode
from drivers.mqtt.codec.packets import Publish, Version
from drivers.mqtt.codec.properties import NO_PROPERTIES, Properties
from gateway.domain.ports import Command

COMMANDS_UNANSWERED_MAX = 16
PACKET_ID_MAX = 0xFFFF
MICROSECONDS = 1_000_000


class Downlink:
    """One connection's outgoing PUBLISHes."""

    __slots__ = ("_last_id", "_result", "_size_max", "_topic", "_unanswered", "_unanswered_max")

    def __init__(self, topic: str, result: str, client: Properties) -> None:
        """Keep what the client's CONNECT allows.

        Args:
            topic: the device's command topic.
            result: where it answers.
            client: properties of its CONNECT (receive maximum, maximum packet size).
        """
        self._topic = topic
        self._result = result
        self._size_max = client.maximum_packet_size
        self._unanswered: set[int] = set()
        self._unanswered_max = min(COMMANDS_UNANSWERED_MAX, client.receive_maximum or PACKET_ID_MAX)
        self._last_id = 0

    def publish(self, command: Command, qos: int, version: Version, now_us: int) -> bytes | None:
        """The PUBLISH to write, or None when the command can't be delivered."""
        left_s = (command.expires_us - now_us) // MICROSECONDS
        if left_s < 0 or (qos and len(self._unanswered) >= self._unanswered_max):
            return None
        properties = NO_PROPERTIES
        if version == Version.V5:
            properties = Properties(
                message_expiry_interval=min(left_s, 0xFFFF_FFFF),
                response_topic=self._result,
                correlation_data=command.command_id.encode(),
            )
        packet_id = self._free_id() if qos else 0
        data = encode(
            Publish(self._topic, encode_command(command), qos, packet_id, properties=properties),
            version,
        )
        if self._size_max is not None and len(data) > self._size_max:
            return None  # [MQTT-3.1.2-24]
        if qos:
            self._unanswered.add(packet_id)
            self._last_id = packet_id
        return data

    def acknowledged(self, packet_id: int) -> bool:
        """PUBACK came; False when nothing waited for it."""
        if packet_id not in self._unanswered:
            return False
        self._unanswered.remove(packet_id)
        return True

    def _free_id(self) -> int:
        packet_id = self._last_id
        while True:
            packet_id = packet_id % PACKET_ID_MAX + 1
            if packet_id not in self._unanswered:
                return packet_id
