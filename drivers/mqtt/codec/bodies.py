"""The body of every control packet but PUBLISH: variable header and payload to a packet.

Each function reads to the end of what it knows; the decoder refuses what is left over.
``READ`` maps the packet type (2.2.1 of 3.1.1, 2.1.2 of 5.0) to its function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from drivers.mqtt.codec import errors
from drivers.mqtt.codec.errors import Rule
from drivers.mqtt.codec.packets import (
    PINGREQ,
    PINGRESP,
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Pubrec,
    Pubrel,
    Role,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Version,
    Will,
)
from drivers.mqtt.codec.properties import NO_PROPERTIES, Place, Properties, read_properties
from drivers.mqtt.codec.reader import Reader
from drivers.mqtt.codec.reasons import (
    AUTH_CLIENT_CODES,
    AUTH_SERVER_CODES,
    CONNACK_CODES,
    CONNACK_RETURN_CODES,
    DISCONNECT_CLIENT_CODES,
    DISCONNECT_SERVER_CODES,
    PUBACK_CODES,
    PUBREL_CODES,
    SUBACK_CODES,
    SUBACK_RETURN_CODES,
    UNSUBACK_CODES,
    ReasonCode,
)
from drivers.mqtt.codec.topics import broken_filter, broken_name, is_shared

PROTOCOL_NAME = b"MQTT"
_V5 = Version.V5
_VERSIONS = {int(version): version for version in Version}
# CONNECT flags (3.1.2.3)
_RESERVED, _CLEAN, _WILL, _WILL_RETAIN, _PASSWORD, _USER = 0x01, 0x02, 0x04, 0x20, 0x40, 0x80


def _properties(reader: Reader, place: Place) -> Properties:
    return read_properties(reader, place) if reader.version == _V5 else NO_PROPERTIES


def _code(reader: Reader, codes: Mapping[int, ReasonCode], rule: Rule) -> ReasonCode:
    number = reader.byte()
    code = codes.get(number)
    if code is None:
        raise rule.error(reader.version, f"0x{number:02x}")
    return code


def read_connect(reader: Reader, _role: Role) -> Connect:
    """3.1. The version that CONNECT names holds for the rest of the packet."""
    if reader.binary() != PROTOCOL_NAME:
        raise errors.PROTOCOL_NAME.error(0)
    level = reader.byte()
    version = _VERSIONS.get(level)
    if version is None:
        # The answer goes out in the nearest version that the client can read.
        nearest = Version.V5 if level > Version.V5 else Version.V311
        raise errors.PROTOCOL_VERSION.error(nearest, f"level {level}")
    reader.version = version
    flags = reader.byte()
    _check_connect_flags(flags, version)
    keep_alive_s = reader.u16()
    properties = _properties(reader, Place.CONNECT)
    client_id = reader.string()
    if not client_id and version == Version.V311 and not flags & _CLEAN:
        raise errors.CLIENT_ID_EMPTY.error(version)
    will = _read_will(reader, flags) if flags & _WILL else None
    return Connect(
        client_id=client_id,
        version=version,
        clean_start=bool(flags & _CLEAN),
        keep_alive_s=keep_alive_s,
        will=will,
        user_name=reader.string() if flags & _USER else None,
        password=reader.binary() if flags & _PASSWORD else None,
        properties=properties,
    )


def _check_connect_flags(flags: int, version: Version) -> None:
    rule: Rule | None = None
    will_qos = flags >> 3 & 3
    if flags & _RESERVED:
        rule = errors.CONNECT_FLAG_RESERVED
    elif not flags & _WILL and will_qos:
        rule = errors.WILL_QOS_WITHOUT_WILL
    elif not flags & _WILL and flags & _WILL_RETAIN:
        rule = errors.WILL_RETAIN_WITHOUT_WILL
    elif will_qos == 3:
        rule = errors.WILL_QOS
    elif version == Version.V311 and flags & _PASSWORD and not flags & _USER:
        rule = errors.PASSWORD_WITHOUT_USER
    if rule is not None:
        raise rule.error(version)


def _read_will(reader: Reader, flags: int) -> Will:
    properties = _properties(reader, Place.WILL)
    topic = reader.string()
    rule = broken_name(topic) if topic else errors.TOPIC_EMPTY
    if rule is not None:
        raise rule.error(reader.version, "will topic")
    return Will(
        topic=topic,
        payload=reader.binary(),
        qos=flags >> 3 & 3,
        retain=bool(flags & _WILL_RETAIN),
        properties=properties,
    )


def read_connack(reader: Reader, _role: Role) -> Connack:
    """3.2."""
    flags = reader.byte()
    if flags > 1:
        raise errors.CONNACK_FLAGS.error(reader.version)
    codes = CONNACK_CODES if reader.version == _V5 else CONNACK_RETURN_CODES
    code = _code(reader, codes, errors.CONNACK_CODE)
    if flags and code is not ReasonCode.SUCCESS:
        raise errors.CONNACK_SESSION_PRESENT.error(reader.version)
    return Connack(bool(flags), code, _properties(reader, Place.CONNACK))


def _reason_and_properties(
    reader: Reader, codes: Mapping[int, ReasonCode], rule: Rule, place: Place
) -> tuple[ReasonCode, Properties]:
    """The tail of 3.4 to 3.7 and 3.14 in 5.0, of which each part may be left out."""
    if reader.version != _V5 or reader.done():
        return ReasonCode.SUCCESS, NO_PROPERTIES
    code = _code(reader, codes, rule)
    return code, NO_PROPERTIES if reader.done() else read_properties(reader, place)


def read_puback(reader: Reader, _role: Role) -> Puback:
    """3.4."""
    packet_id = reader.packet_id()
    return Puback(
        packet_id,
        *_reason_and_properties(reader, PUBACK_CODES, errors.PUBACK_CODE, Place.PUBACK),
    )


def read_pubrec(reader: Reader, _role: Role) -> Pubrec:
    """3.5."""
    packet_id = reader.packet_id()
    return Pubrec(
        packet_id,
        *_reason_and_properties(reader, PUBACK_CODES, errors.PUBREC_CODE, Place.PUBREC),
    )


def read_pubrel(reader: Reader, _role: Role) -> Pubrel:
    """3.6."""
    packet_id = reader.packet_id()
    return Pubrel(
        packet_id,
        *_reason_and_properties(reader, PUBREL_CODES, errors.PUBREL_CODE, Place.PUBREL),
    )


def read_pubcomp(reader: Reader, _role: Role) -> Pubcomp:
    """3.7."""
    packet_id = reader.packet_id()
    return Pubcomp(
        packet_id,
        *_reason_and_properties(reader, PUBREL_CODES, errors.PUBCOMP_CODE, Place.PUBCOMP),
    )


def read_subscribe(reader: Reader, _role: Role) -> Subscribe:
    """3.8."""
    packet_id = reader.packet_id()
    properties = _properties(reader, Place.SUBSCRIBE)
    subscriptions: list[Subscription] = []
    while not reader.done():
        topic_filter = _filter(reader)
        subscriptions.append(_subscription(topic_filter, reader.byte(), reader.version))
    if not subscriptions:
        raise errors.SUBSCRIBE_EMPTY.error(reader.version)
    return Subscribe(packet_id, tuple(subscriptions), properties)


def _filter(reader: Reader) -> str:
    topic_filter = reader.string()
    rule = broken_filter(topic_filter, reader.version)
    if rule is not None:
        raise rule.error(reader.version)
    return topic_filter


def _subscription(topic_filter: str, options: int, version: int) -> Subscription:
    rule: Rule | None = None
    if options & (0xC0 if version == _V5 else 0xFC):
        rule = errors.SUBSCRIBE_OPTIONS_RESERVED
    elif options & 3 == 3:
        rule = errors.SUBSCRIBE_QOS
    elif options >> 4 & 3 == 3:
        rule = errors.SUBSCRIBE_RETAIN_HANDLING
    elif options & 4 and is_shared(topic_filter):
        rule = errors.SUBSCRIBE_NO_LOCAL_SHARED
    if rule is not None:
        raise rule.error(version)
    return Subscription(
        topic_filter, options & 3, options & 4 != 0, options & 8 != 0, options >> 4 & 3
    )


def read_suback(reader: Reader, _role: Role) -> Suback:
    """3.9."""
    packet_id = reader.packet_id()
    properties = _properties(reader, Place.SUBACK)
    codes = SUBACK_CODES if reader.version == _V5 else SUBACK_RETURN_CODES
    found: list[ReasonCode] = []
    while not reader.done():
        found.append(_code(reader, codes, errors.SUBACK_CODE))
    if not found:
        raise errors.SUBACK_EMPTY.error(reader.version)
    return Suback(packet_id, tuple(found), properties)


def read_unsubscribe(reader: Reader, _role: Role) -> Unsubscribe:
    """3.10."""
    packet_id = reader.packet_id()
    properties = _properties(reader, Place.UNSUBSCRIBE)
    filters: list[str] = []
    while not reader.done():
        filters.append(_filter(reader))
    if not filters:
        raise errors.UNSUBSCRIBE_EMPTY.error(reader.version)
    return Unsubscribe(packet_id, tuple(filters), properties)


def read_unsuback(reader: Reader, _role: Role) -> Unsuback:
    """3.11."""
    packet_id = reader.packet_id()
    if reader.version != _V5:
        return Unsuback(packet_id)
    properties = read_properties(reader, Place.UNSUBACK)
    found: list[ReasonCode] = []
    while not reader.done():
        found.append(_code(reader, UNSUBACK_CODES, errors.UNSUBACK_CODE))
    if not found:
        raise errors.UNSUBACK_EMPTY.error(reader.version)
    return Unsuback(packet_id, tuple(found), properties)


def read_pingreq(_reader: Reader, _role: Role) -> Pingreq:
    """3.12: no body."""
    return PINGREQ


def read_pingresp(_reader: Reader, _role: Role) -> Pingresp:
    """3.13: no body."""
    return PINGRESP


def read_disconnect(reader: Reader, role: Role) -> Disconnect:
    """3.14; ``role`` is the receiver's, the codes are the sender's."""
    codes = DISCONNECT_CLIENT_CODES if role is Role.SERVER else DISCONNECT_SERVER_CODES
    return Disconnect(
        *_reason_and_properties(reader, codes, errors.DISCONNECT_CODE, Place.DISCONNECT)
    )


def read_auth(reader: Reader, role: Role) -> Auth:
    """3.15; an empty body means success, which only a server may say."""
    codes = AUTH_CLIENT_CODES if role is Role.SERVER else AUTH_SERVER_CODES
    if reader.done():
        if ReasonCode.SUCCESS not in codes:
            raise errors.AUTH_CODE.error(_V5, "0x00")
        return Auth()
    code = _code(reader, codes, errors.AUTH_CODE)
    properties = NO_PROPERTIES if reader.done() else read_properties(reader, Place.AUTH)
    if properties.authentication_method is None:
        raise errors.AUTH_METHOD_MISSING.error(_V5)
    return Auth(code, properties)


READ: dict[int, Callable[[Reader, Role], Packet]] = {
    1: read_connect,
    2: read_connack,
    4: read_puback,
    5: read_pubrec,
    6: read_pubrel,
    7: read_pubcomp,
    8: read_subscribe,
    9: read_suback,
    10: read_unsubscribe,
    11: read_unsuback,
    12: read_pingreq,
    13: read_pingresp,
    14: read_disconnect,
    15: read_auth,
}
