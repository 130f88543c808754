"""Control packets to bytes, for both versions and both sides.

``encode`` takes any packet; what the version can't say raises EncodeError rather than being
dropped in silence. Acknowledgements, the hot path of a server, have a form of their own that
writes many at once.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from drivers.mqtt.codec import writer
from drivers.mqtt.codec.errors import EncodeError
from drivers.mqtt.codec.packets import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
    Version,
)
from drivers.mqtt.codec.properties import NO_PROPERTIES, Place, Properties, write_properties
from drivers.mqtt.codec.reasons import (
    AUTH_CLIENT_CODES,
    AUTH_SERVER_CODES,
    CONNACK_CODES,
    CONNACK_TO_RETURN_CODE,
    DISCONNECT_CLIENT_CODES,
    DISCONNECT_SERVER_CODES,
    PUBACK_CODES,
    PUBREL_CODES,
    SUBACK_CODES,
    UNSUBACK_CODES,
    ReasonCode,
)
from drivers.mqtt.codec.topics import broken_filter, broken_name, is_shared

_V5 = Version.V5
_QOS_MAX = 2
_RETAIN_HANDLING_MAX = 2
_DISCONNECT_CODES = DISCONNECT_CLIENT_CODES | DISCONNECT_SERVER_CODES
_AUTH_CODES = AUTH_CLIENT_CODES | AUTH_SERVER_CODES

Codes = Mapping[int, ReasonCode]


def encode(packet: Packet, version: Version) -> bytes:
    """The packet as bytes.

    Raises:
        EncodeError: the version has no such packet, code or property, or a field is too long.
    """
    return _WRITE[type(packet)](packet, version)


def encode_pubacks(packet_ids: Sequence[int]) -> bytes:
    """PUBACKs that say success, in order; the same bytes in both versions."""
    return _acknowledgements(0x4002_0000, packet_ids)


def encode_pubrecs(packet_ids: Sequence[int]) -> bytes:
    """PUBRECs that say success, in order; the same bytes in both versions."""
    return _acknowledgements(0x5002_0000, packet_ids)


def encode_pubcomps(packet_ids: Sequence[int]) -> bytes:
    """PUBCOMPs that say success, in order; the same bytes in both versions."""
    return _acknowledgements(0x7002_0000, packet_ids)


def _acknowledgements(head: int, packet_ids: Sequence[int]) -> bytes:
    return struct.pack(f">{len(packet_ids)}I", *[head | packet_id for packet_id in packet_ids])


def _frame(first: int, body: bytes) -> bytes:
    return bytes((first,)) + writer.varint(len(body)) + body


def _properties(properties: Properties, place: Place, version: Version) -> bytes:
    if version == _V5:
        return write_properties(properties, place)
    if properties is not NO_PROPERTIES and properties != NO_PROPERTIES:
        raise EncodeError("MQTT 3.1.1 has no properties")
    return b""


def _qos(qos: int) -> int:
    if not 0 <= qos <= _QOS_MAX:
        raise EncodeError("QoS is 0, 1 or 2")
    return qos


def _topic(topic: str) -> bytes:
    if broken_name(topic) is not None:
        raise EncodeError("a topic name holds a wildcard")
    return writer.string(topic)


def _connect(packet: Connect, version: Version) -> bytes:
    if packet.version != version:
        raise EncodeError("CONNECT names another version")
    will = packet.will
    if version == Version.V311 and packet.password is not None and packet.user_name is None:
        raise EncodeError("MQTT 3.1.1 has no password without a user name [MQTT-3.1.2-22]")
    flags = packet.clean_start << 1
    flags |= (packet.user_name is not None) << 7 | (packet.password is not None) << 6
    payload = [writer.string(packet.client_id)]
    if will is not None:
        if not will.topic:
            raise EncodeError("a will needs a topic")
        flags |= 4 | _qos(will.qos) << 3 | will.retain << 5
        payload += (
            _properties(will.properties, Place.WILL, version),
            _topic(will.topic),
            writer.binary(will.payload),
        )
    if packet.user_name is not None:
        payload.append(writer.string(packet.user_name))
    if packet.password is not None:
        payload.append(writer.binary(packet.password))
    head = b"\0\4MQTT" + bytes((version, flags)) + writer.u16(packet.keep_alive_s)
    properties = _properties(packet.properties, Place.CONNECT, version)
    return _frame(0x10, head + properties + b"".join(payload))


def _connack(packet: Connack, version: Version) -> bytes:
    if packet.session_present and packet.reason_code is not ReasonCode.SUCCESS:
        raise EncodeError("a refusal has no session [MQTT-3.2.2-4], [MQTT-3.2.2-6]")
    code: int | None = packet.reason_code
    _check_codes((packet.reason_code,), CONNACK_CODES)
    if version != _V5:
        code = CONNACK_TO_RETURN_CODE.get(packet.reason_code)
        if code is None:
            raise EncodeError("MQTT 3.1.1 closes without CONNACK here [MQTT-3.2.2-6]")
    properties = _properties(packet.properties, Place.CONNACK, version)
    return _frame(0x20, bytes((packet.session_present, code or 0)) + properties)


def encode_publish_head(packet: Publish, version: Version) -> bytes:
    """Everything of a PUBLISH before its payload."""
    qos = _qos(packet.qos)
    if not qos and (packet.dup or packet.packet_id):
        raise EncodeError("QoS 0 has neither DUP nor a packet identifier")
    if not packet.topic and (version != _V5 or packet.properties.topic_alias is None):
        raise EncodeError("a PUBLISH needs a topic or an alias")
    head = _topic(packet.topic)
    if qos:
        head += writer.packet_id(packet.packet_id)
    head += _properties(packet.properties, Place.PUBLISH, version)
    first = 0x30 | packet.dup << 3 | qos << 1 | packet.retain
    return bytes((first,)) + writer.varint(len(head) + len(packet.payload)) + head


def _publish(packet: Publish, version: Version) -> bytes:
    return encode_publish_head(packet, version) + packet.payload


def _acknowledgement(
    first: int, place: Place, codes: Codes
) -> Callable[[Puback | Pubrec | Pubrel | Pubcomp, Version], bytes]:
    def write(packet: Puback | Pubrec | Pubrel | Pubcomp, version: Version) -> bytes:
        _check_codes((packet.reason_code,), codes)
        body = writer.packet_id(packet.packet_id)
        return _frame(first, body + _tail(packet.reason_code, packet.properties, place, version))

    return write


def _check_codes(codes: Iterable[int], allowed: Codes) -> None:
    """A sender uses its packet's reason codes alone ([MQTT-3.4.2-1] and its like)."""
    for code in codes:
        if code not in allowed:
            raise EncodeError(f"reason code 0x{code:02x} may not stand in this packet")


def _tail(code: ReasonCode, properties: Properties, place: Place, version: Version) -> bytes:
    """Reason code and properties, left out where the specification lets us."""
    if version != _V5 and code is not ReasonCode.SUCCESS:
        raise EncodeError("MQTT 3.1.1 has no reason code here")
    tail = _properties(properties, place, version)
    if tail in (b"", b"\0"):
        return b"" if code is ReasonCode.SUCCESS else bytes((code,))
    return bytes((code,)) + tail


def _subscribe(packet: Subscribe, version: Version) -> bytes:
    if not packet.subscriptions:
        raise EncodeError("a SUBSCRIBE needs a topic filter")
    body = [
        writer.packet_id(packet.packet_id),
        _properties(packet.properties, Place.SUBSCRIBE, version),
    ]
    for each in packet.subscriptions:
        if not 0 <= each.retain_handling <= _RETAIN_HANDLING_MAX:
            raise EncodeError("Retain Handling is 0, 1 or 2")
        if each.no_local and is_shared(each.topic_filter):
            raise EncodeError("No Local may not stand with a shared subscription [MQTT-3.8.3-4]")
        options = each.no_local << 2 | each.retain_as_published << 3 | each.retain_handling << 4
        if options and version != _V5:
            raise EncodeError("MQTT 3.1.1 has no subscription options but QoS")
        body += (_filter(each.topic_filter, version), bytes((_qos(each.qos) | options,)))
    return _frame(0x82, b"".join(body))


def _filter(topic_filter: str, version: Version) -> bytes:
    rule = broken_filter(topic_filter, version)
    if rule is not None:
        raise EncodeError(f"a topic filter breaks {rule.reason}")
    return writer.string(topic_filter)


def _suback(packet: Suback, version: Version) -> bytes:
    codes = packet.reason_codes
    _check_codes(codes, SUBACK_CODES)
    if version != _V5:
        codes = tuple(min(ReasonCode.UNSPECIFIED_ERROR, code) for code in codes)
    return _frame(
        0x90,
        writer.packet_id(packet.packet_id)
        + _properties(packet.properties, Place.SUBACK, version)
        + bytes(codes),
    )


def _unsubscribe(packet: Unsubscribe, version: Version) -> bytes:
    if not packet.topic_filters:
        raise EncodeError("an UNSUBSCRIBE needs a topic filter")
    return _frame(
        0xA2,
        writer.packet_id(packet.packet_id)
        + _properties(packet.properties, Place.UNSUBSCRIBE, version)
        + b"".join(_filter(each, version) for each in packet.topic_filters),
    )


def _unsuback(packet: Unsuback, version: Version) -> bytes:
    """In 3.1.1 without the reason codes, which it has no room for."""
    _check_codes(packet.reason_codes, UNSUBACK_CODES)
    body = writer.packet_id(packet.packet_id)
    body += _properties(packet.properties, Place.UNSUBACK, version)
    return _frame(0xB0, body + bytes(packet.reason_codes) if version == _V5 else body)


def _disconnect(packet: Disconnect, version: Version) -> bytes:
    _check_codes((packet.reason_code,), _DISCONNECT_CODES)
    tail = _tail(packet.reason_code, packet.properties, Place.DISCONNECT, version)
    return _frame(0xE0, tail)


def _auth(packet: Auth, version: Version) -> bytes:
    if version != _V5:
        raise EncodeError("MQTT 3.1.1 has no AUTH")
    _check_codes((packet.reason_code,), _AUTH_CODES)
    return _frame(0xF0, _tail(packet.reason_code, packet.properties, Place.AUTH, version))


_WRITE: dict[type, Callable[[Any, Version], bytes]] = {
    Connect: _connect,
    Connack: _connack,
    Publish: _publish,
    Puback: _acknowledgement(0x40, Place.PUBACK, PUBACK_CODES),
    Pubrec: _acknowledgement(0x50, Place.PUBREC, PUBACK_CODES),
    Pubrel: _acknowledgement(0x62, Place.PUBREL, PUBREL_CODES),
    Pubcomp: _acknowledgement(0x70, Place.PUBCOMP, PUBREL_CODES),
    Subscribe: _subscribe,
    Suback: _suback,
    Unsubscribe: _unsubscribe,
    Unsuback: _unsuback,
    Pingreq: lambda _packet, _version: b"\xc0\0",
    Pingresp: lambda _packet, _version: b"\xd0\0",
    Disconnect: _disconnect,
    Auth: _auth,
}
