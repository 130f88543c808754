"""The properties of MQTT 5.0 (section 2.2.2), driven by one table (table 2-4)."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

import msgspec

from drivers.mqtt.codec import errors, writer
from drivers.mqtt.codec.reader import Reader

U16_MAX = 0xFFFF
U32_MAX = 0xFFFF_FFFF
VARINT_MAX = 268_435_455


class Properties(msgspec.Struct, frozen=True, omit_defaults=True, repr_omit_defaults=True):
    """Every property that a packet can carry; None or empty means absent.

    Intervals are in seconds, sizes in bytes. ``user_property`` keeps order and repeats;
    ``subscription_identifier`` repeats in a server's PUBLISH only.
    """

    payload_format_indicator: int | None = None
    message_expiry_interval: int | None = None
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    subscription_identifier: tuple[int, ...] = ()
    session_expiry_interval: int | None = None
    assigned_client_identifier: str | None = None
    server_keep_alive: int | None = None
    authentication_method: str | None = None
    authentication_data: bytes | None = None
    request_problem_information: int | None = None
    will_delay_interval: int | None = None
    request_response_information: int | None = None
    response_information: str | None = None
    server_reference: str | None = None
    reason_string: str | None = None
    receive_maximum: int | None = None
    topic_alias_maximum: int | None = None
    topic_alias: int | None = None
    maximum_qos: int | None = None
    retain_available: int | None = None
    user_property: tuple[tuple[str, str], ...] = ()
    maximum_packet_size: int | None = None
    wildcard_subscription_available: int | None = None
    subscription_identifiers_available: int | None = None
    shared_subscription_available: int | None = None


NO_PROPERTIES = Properties()


class Place(Enum):
    """Where a list of properties stands: a packet type, or the will inside CONNECT."""

    WILL = 0
    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    DISCONNECT = 14
    AUTH = 15


class Wire(NamedTuple):
    """How a data type is read and written."""

    read: Callable[[Reader], Any]
    write: Callable[[Any], bytes]


BYTE = Wire(Reader.byte, writer.byte)
U16 = Wire(Reader.u16, writer.u16)
U32 = Wire(Reader.u32, writer.u32)
VARINT = Wire(Reader.varint, writer.varint)
STRING = Wire(Reader.string, writer.string)
BINARY = Wire(Reader.binary, writer.binary)
PAIR = Wire(Reader.string_pair, writer.string_pair)


class Row(NamedTuple):
    """One line of table 2-4."""

    identifier: int
    name: str
    wire: Wire
    places: frozenset[Place]
    low: int = 0
    high: int = 0
    """The range of a number; 0, 0 for what is no number."""
    repeats: frozenset[Place] = frozenset()


_MESSAGE = frozenset({Place.PUBLISH, Place.WILL})
_CONNECT = frozenset({Place.CONNECT})
_CONNACK = frozenset({Place.CONNACK})
_BOTH = _CONNECT | _CONNACK
_AUTH = _BOTH | {Place.AUTH}
_ALL = frozenset(Place)
_REASON = _ALL - {
    Place.CONNECT,
    Place.PUBLISH,
    Place.WILL,
    Place.SUBSCRIBE,
    Place.UNSUBSCRIBE,
}

ROWS = (
    Row(1, "payload_format_indicator", BYTE, _MESSAGE, 0, 1),
    Row(2, "message_expiry_interval", U32, _MESSAGE, 0, U32_MAX),
    Row(3, "content_type", STRING, _MESSAGE),
    Row(8, "response_topic", STRING, _MESSAGE),
    Row(9, "correlation_data", BINARY, _MESSAGE),
    Row(
        11,
        "subscription_identifier",
        VARINT,
        frozenset({Place.PUBLISH, Place.SUBSCRIBE}),
        1,
        VARINT_MAX,
        frozenset({Place.PUBLISH}),
    ),
    Row(17, "session_expiry_interval", U32, _BOTH | {Place.DISCONNECT}, 0, U32_MAX),
    Row(18, "assigned_client_identifier", STRING, _CONNACK),
    Row(19, "server_keep_alive", U16, _CONNACK, 0, U16_MAX),
    Row(21, "authentication_method", STRING, _AUTH),
    Row(22, "authentication_data", BINARY, _AUTH),
    Row(23, "request_problem_information", BYTE, _CONNECT, 0, 1),
    Row(24, "will_delay_interval", U32, frozenset({Place.WILL}), 0, U32_MAX),
    Row(25, "request_response_information", BYTE, _CONNECT, 0, 1),
    Row(26, "response_information", STRING, _CONNACK),
    Row(28, "server_reference", STRING, _CONNACK | {Place.DISCONNECT}),
    Row(31, "reason_string", STRING, _REASON),
    Row(33, "receive_maximum", U16, _BOTH, 1, U16_MAX),
    Row(34, "topic_alias_maximum", U16, _BOTH, 0, U16_MAX),
    Row(35, "topic_alias", U16, frozenset({Place.PUBLISH}), 1, U16_MAX),
    Row(36, "maximum_qos", BYTE, _CONNACK, 0, 1),
    Row(37, "retain_available", BYTE, _CONNACK, 0, 1),
    Row(38, "user_property", PAIR, _ALL, repeats=_ALL),
    Row(39, "maximum_packet_size", U32, _BOTH, 1, U32_MAX),
    Row(40, "wildcard_subscription_available", BYTE, _CONNACK, 0, 1),
    Row(41, "subscription_identifiers_available", BYTE, _CONNACK, 0, 1),
    Row(42, "shared_subscription_available", BYTE, _CONNACK, 0, 1),
)
BY_IDENTIFIER = {row.identifier: row for row in ROWS}
_MANY = frozenset({"user_property", "subscription_identifier"})


def read_properties(reader: Reader, place: Place) -> Properties:
    """Read a property length and the properties it covers.

    Raises:
        MqttError: unknown, misplaced, repeated, out of range, or cut off.
    """
    length = reader.varint()
    if length == 0:
        return NO_PROPERTIES
    inner = reader.slice(length)
    found: dict[str, Any] = {}
    while not inner.done():
        # An identifier is a variable byte integer, of which one byte is used (2.2.2.2).
        identifier = inner.varint()
        row = BY_IDENTIFIER.get(identifier)
        if row is None:
            raise errors.PROPERTY_UNKNOWN.error(inner.version, f"identifier {identifier}")
        if place not in row.places:
            raise errors.PROPERTY_MISPLACED.error(inner.version, f"{row.name} in {place.name}")
        _store(found, row, place, _checked(row, row.wire.read(inner), inner.version))
    _check_whole(found, inner.version)
    return Properties(**found)


def _store(found: dict[str, Any], row: Row, place: Place, value: Any) -> None:
    name = row.name
    if name in found and place not in row.repeats:
        raise errors.PROPERTY_TWICE.error(5, name)
    found[name] = (*found.get(name, ()), value) if name in _MANY else value


def _checked(row: Row, value: Any, version: int) -> Any:
    if row.high and not row.low <= value <= row.high:
        if row.name == "topic_alias":
            raise errors.TOPIC_ALIAS_ZERO.error(version)
        raise errors.PROPERTY_VALUE.error(version, row.name)
    return value


def _check_whole(found: dict[str, Any], version: int) -> None:
    if "authentication_data" in found and "authentication_method" not in found:
        raise errors.AUTH_DATA_WITHOUT_METHOD.error(version)
    topic = found.get("response_topic")
    if topic is not None and ("+" in topic or "#" in topic):
        raise errors.RESPONSE_TOPIC_WILDCARD.error(version)


def write_properties(properties: Properties, place: Place) -> bytes:
    """Property length and properties, in the order of their identifiers.

    Raises:
        EncodeError: a property that may not stand here, or out of range.
    """
    if properties is NO_PROPERTIES:
        return b"\0"
    parts: list[bytes] = []
    for row in ROWS:
        value = getattr(properties, row.name)
        if value is None or value == ():
            continue
        if place not in row.places:
            raise errors.EncodeError(f"{row.name} may not stand in {place.name}")
        values = value if row.name in _MANY else (value,)
        if len(values) > 1 and place not in row.repeats:
            raise errors.EncodeError(f"{row.name} may not repeat in {place.name}")
        for each in values:
            if row.high and not row.low <= each <= row.high:
                raise errors.EncodeError(f"{row.name} is out of range")
            parts += (writer.byte(row.identifier), row.wire.write(each))
    body = b"".join(parts)
    return writer.varint(len(body)) + body
