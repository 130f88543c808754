"""The incremental decoder: a stream of bytes in, control packets out.

Rules:

* ``feed`` returns the packets that are complete and good. At the first that is not, the
  packets before it are returned, ``failed`` says what was wrong, and nothing is read any more:
  a stream that was malformed once has no frame boundaries to trust.
* At most one incomplete packet is kept, of at most ``packet_size_bytes_max``; a longer one is
  refused when its header is read. Each byte is copied a fixed number of times, however the
  stream is cut.
* PUBLISH is decoded in one walk over the buffer; everything else goes through ``bodies``.
* What the order of packets on one connection forbids whatever the session's state (CONNECT
  first and once, no AUTH without a method) is refused here; the rest is the driver's.

Clauses: sections 2 and 3 of both specifications, and 3.3.2.3.4 (topic aliases) of 5.0.
"""

from __future__ import annotations

from drivers.mqtt.codec import bodies, errors
from drivers.mqtt.codec.errors import MqttError, Rule
from drivers.mqtt.codec.packets import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Publish,
    Role,
    Version,
)
from drivers.mqtt.codec.properties import NO_PROPERTIES, Place, Properties, read_properties
from drivers.mqtt.codec.reader import Reader, decode_string

TOPICS_CACHED_MAX = 16
"""Topic names remembered per connection: a device uses a handful."""
TOPIC_CACHED_BYTES_MAX = 256
"""Longer topic names are not worth remembering."""
LENGTH_BYTES_MAX = 4
"""Bytes of a remaining length (2.2.3 of 3.1.1, 2.1.4 of 5.0)."""

_CONNECT, _CONNACK, _PUBLISH, _PUBREL, _SUBSCRIBE, _UNSUBSCRIBE = 1, 2, 3, 6, 8, 10
_DISCONNECT, _AUTH = 14, 15
_NO_SESSION_EXPIRY = 0

_FROM_CLIENT = frozenset({1, 3, 4, 5, 6, 7, 8, 10, 12, 14, 15})
_FROM_SERVER = frozenset({2, 3, 4, 5, 6, 7, 9, 11, 13, 14, 15})
_PUBLISH_FIRST = {
    first: (first >> 1 & 3, first & 8 != 0, first & 1 != 0)
    for first in set(range(0x30, 0x40)) - {0x36, 0x37, 0x3E, 0x3F, 0x38, 0x39}
}
"""First bytes of a PUBLISH, neither QoS 3 nor DUP at QoS 0 -> QoS, DUP, RETAIN."""
_FLAGS = {_PUBREL: 2, _SUBSCRIBE: 2, _UNSUBSCRIBE: 2}
_FLAGS_RULES = {
    _PUBREL: errors.PUBREL_FLAGS,
    _SUBSCRIBE: errors.SUBSCRIBE_FLAGS,
    _UNSUBSCRIBE: errors.UNSUBSCRIBE_FLAGS,
    _DISCONNECT: errors.DISCONNECT_FLAGS,
    _AUTH: errors.AUTH_FLAGS,
}


class Decoder:
    """One connection's decoder.

    Args:
        role: SERVER reads a client's packets, CLIENT a server's.
        packet_size_bytes_max: of a whole packet, header included.
        version: needed in the CLIENT role; a SERVER learns it from CONNECT.
        topic_alias_max: the Topic Alias Maximum that this side announced; 0 for none.

    Attributes:
        version: None until CONNECT was read.
        failed: what was wrong with the stream, once something was.
    """

    __slots__ = (
        "_alias_max",
        "_aliases",
        "_auth_method",
        "_expiry_fixed",
        "_is_v5",
        "_kept",
        "_needed",
        "_open",
        "_role",
        "_size_max",
        "_topics",
        "failed",
        "version",
    )

    def __init__(
        self,
        role: Role,
        packet_size_bytes_max: int,
        version: Version | None = None,
        topic_alias_max: int = 0,
    ) -> None:
        self.version = version if role is Role.CLIENT else None
        self.failed: MqttError | None = None
        self._role = role
        self._size_max = packet_size_bytes_max
        self._alias_max = topic_alias_max
        self._is_v5 = self.version == Version.V5
        self._open = False  # CONNECT (or CONNACK) was read
        self._kept = bytearray()
        self._needed = 2
        self._topics: dict[bytes, str] = {}
        self._aliases: dict[int, str] = {}
        self._auth_method: str | None = None
        self._expiry_fixed = False  # CONNECT asked for no session expiry interval

    def expect_auth(self, method: str) -> None:
        """CLIENT role: the CONNECT that was sent names this authentication method."""
        self._auth_method = method

    def feed(self, data: bytes) -> list[Packet]:
        """Take what the connection delivered, in any chunking."""
        if self.failed is not None:
            return []
        kept = self._kept
        if kept:
            kept += data
            if len(kept) < self._needed:
                return []
            data = bytes(kept)
            kept.clear()
        packets: list[Packet] = []
        try:
            consumed = self._walk(data, packets)
        except MqttError as error:
            self.failed = error
            return packets
        if consumed < len(data):
            kept += data[consumed:] if consumed else data
        return packets

    def _walk(self, data: bytes, packets: list[Packet]) -> int:
        """Decode every whole packet of ``data``; return where the first incomplete one begins.

        Sets ``_needed``, the size at which that one is worth looking at again.
        """
        end = len(data)
        pos = 0
        append = packets.append
        publish = self._publish
        size_max = self._size_max
        while pos + 1 < end:
            first = data[pos]
            size = data[pos + 1]
            body = pos + 2
            if size > 0x7F and body < end and 0 < data[body] < 0x80:
                size += (data[body] - 1) << 7  # two bytes: the usual length of a report
                body += 1
            elif size > 0x7F:
                size, body = self._length(data, pos + 1)
                if not body:
                    self._needed = end - pos + 1
                    return pos
            stop = body + size
            if stop - pos > size_max:
                raise errors.PACKET_TOO_LARGE.error(self.version or 0, f"{stop - pos} bytes")
            if stop > end:
                self._check_header(first)
                self._needed = stop - pos
                return pos
            if first in _PUBLISH_FIRST and self._open:
                append(publish(first, data, body, stop))
            else:
                append(self._other(first, data, body, stop))
            pos = stop
        self._needed = 2
        return pos

    def _length(self, data: bytes, pos: int) -> tuple[int, int]:
        """Remaining length of several bytes, and where the body begins (0: not all here)."""
        size = 0
        for index in range(LENGTH_BYTES_MAX):
            if pos + index >= len(data):
                return 0, 0
            byte = data[pos + index]
            size |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                if not byte and index:
                    raise errors.LENGTH_OVERLONG.error(self.version or 0)
                return size, pos + index + 1
        raise errors.LENGTH_UNENDING.error(self.version or 0)

    def _publish(self, first: int, data: bytes, pos: int, stop: int) -> Publish:
        """3.3, in one walk."""
        if pos + 2 > stop:
            raise errors.TRUNCATED.error(self.version or 0, "topic length")
        cut = pos + 2 + (data[pos] << 8 | data[pos + 1])
        if cut > stop:
            raise errors.TRUNCATED.error(self.version or 0, "topic")
        raw = data[pos + 2 : cut]
        topic = self._topics.get(raw)
        if topic is None:
            topic = self._topic(raw)
        packet_id = 0
        qos, dup, retain = _PUBLISH_FIRST[first]
        if qos:
            if cut + 2 > stop:
                raise errors.TRUNCATED.error(self.version or 0, "packet identifier")
            packet_id = data[cut] << 8 | data[cut + 1]
            if not packet_id:
                raise errors.PACKET_ID_ZERO.error(self.version or 0)
            cut += 2
        properties = NO_PROPERTIES
        if self._is_v5:
            if cut < stop and not data[cut]:
                cut += 1
            else:
                reader = Reader(data, cut, stop, Version.V5)
                properties = read_properties(reader, Place.PUBLISH)
                cut = reader.pos
            if not topic or properties is not NO_PROPERTIES:
                topic = self._aliased(topic, properties)
        return Publish(topic, data[cut:stop], qos, packet_id, dup, retain, properties)

    def _topic(self, raw: bytes) -> str:
        version = self.version or 0
        topic = decode_string(raw, version)
        if "+" in topic or "#" in topic:
            raise errors.TOPIC_WILDCARD.error(version)
        if not topic and not self._is_v5:
            raise errors.TOPIC_EMPTY.error(version)
        if len(self._topics) < TOPICS_CACHED_MAX and len(raw) <= TOPIC_CACHED_BYTES_MAX:
            self._topics[raw] = topic
        return topic

    def _aliased(self, topic: str, properties: Properties) -> str:
        """Apply a topic alias (3.3.2.3.4); what a client may not send goes here too."""
        if properties.subscription_identifier and self._role is Role.SERVER:
            raise errors.SUBSCRIPTION_ID_FROM_CLIENT.error(Version.V5)
        alias = properties.topic_alias
        if alias is None:
            if not topic:
                raise errors.TOPIC_EMPTY.error(Version.V5)
            return topic
        if alias > self._alias_max:
            raise errors.TOPIC_ALIAS_TOO_HIGH.error(Version.V5, f"alias {alias}")
        if topic:
            self._aliases[alias] = topic
            return topic
        known = self._aliases.get(alias)
        if known is None:
            raise errors.TOPIC_ALIAS_UNKNOWN.error(Version.V5, f"alias {alias}")
        return known

    def _other(self, first: int, data: bytes, pos: int, stop: int) -> Packet:
        self._check_header(first)
        kind = first >> 4
        version = self.version or 0
        reader = Reader(data, pos, stop, version)
        packet = bodies.READ[kind](reader, self._role)
        reader.finish()
        match packet:
            case Connect():
                self._connected(packet)
            case Connack():
                self._open = True
            case Auth():
                self._check_auth(packet)
            case Disconnect():
                self._check_disconnect(packet)
            case _:
                pass
        return packet

    def _connected(self, packet: Connect) -> None:
        self.version = packet.version
        self._is_v5 = packet.version == Version.V5
        self._open = True
        self._auth_method = packet.properties.authentication_method
        self._expiry_fixed = not packet.properties.session_expiry_interval

    def _check_header(self, first: int) -> None:
        """Refuse a type, flags or an order of packets that no body could mend."""
        kind = first >> 4
        version = self.version or 0
        rule: Rule | None = None
        if kind == 0 or (kind == _AUTH and self.version == Version.V311):
            rule = errors.TYPE_RESERVED
        elif kind == _PUBLISH:
            rule = None if first in _PUBLISH_FIRST else self._flags_rule(first)
        elif first & 0x0F != _FLAGS.get(kind, 0):
            rule = self._flags_rule(first)
        if rule is None:
            rule = self._order_rule(kind)
        if rule is not None:
            raise rule.error(version, f"type {kind}")

    def _order_rule(self, kind: int) -> Rule | None:
        if self._role is Role.SERVER:
            if not self._open:
                return None if kind == _CONNECT else errors.FIRST_NOT_CONNECT
            if kind == _CONNECT:
                return errors.SECOND_CONNECT
            return None if kind in _FROM_CLIENT else errors.DIRECTION
        if kind not in _FROM_SERVER or (kind == _DISCONNECT and not self._is_v5):
            return errors.DIRECTION
        if not self._open and kind not in (_CONNACK, _AUTH):
            return errors.FIRST_NOT_CONNACK
        return errors.SECOND_CONNACK if self._open and kind == _CONNACK else None

    @staticmethod
    def _flags_rule(first: int) -> Rule:
        kind = first >> 4
        if kind == _PUBLISH:
            return errors.PUBLISH_QOS if first & 6 == 6 else errors.PUBLISH_DUP
        return _FLAGS_RULES.get(kind, errors.FLAGS_RESERVED)

    def _check_auth(self, packet: Auth) -> None:
        method = packet.properties.authentication_method
        if self._auth_method is None:
            raise errors.AUTH_WITHOUT_METHOD.error(Version.V5)
        if method is not None and method != self._auth_method:
            raise errors.AUTH_METHOD_CHANGED.error(Version.V5)

    def _check_disconnect(self, packet: Disconnect) -> None:
        interval = packet.properties.session_expiry_interval
        if interval is None:
            return
        if self._role is Role.CLIENT:
            raise errors.DISCONNECT_EXPIRY_BY_SERVER.error(Version.V5)
        if self._expiry_fixed and interval != _NO_SESSION_EXPIRY:
            raise errors.DISCONNECT_EXPIRY_RAISED.error(Version.V5)
