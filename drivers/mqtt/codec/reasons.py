"""Reason codes of MQTT 5.0 (section 2.4), and which packet may carry which.

Packets carry these codes in both versions: the codec translates the return codes of 3.1.1
(section 3.2.2.3 and 3.9.3) where they stand on the wire.
"""

from __future__ import annotations

from enum import IntEnum


class ReasonCode(IntEnum):
    """Table 2-6 of MQTT 5.0; 0x80 and above are failures."""

    SUCCESS = 0x00
    """Also "normal disconnection" and "granted QoS 0"."""
    GRANTED_QOS_1 = 0x01
    GRANTED_QOS_2 = 0x02
    DISCONNECT_WITH_WILL = 0x04
    NO_MATCHING_SUBSCRIBERS = 0x10
    NO_SUBSCRIPTION_EXISTED = 0x11
    CONTINUE_AUTHENTICATION = 0x18
    REAUTHENTICATE = 0x19
    UNSPECIFIED_ERROR = 0x80
    MALFORMED_PACKET = 0x81
    PROTOCOL_ERROR = 0x82
    IMPLEMENTATION_SPECIFIC_ERROR = 0x83
    UNSUPPORTED_PROTOCOL_VERSION = 0x84
    CLIENT_IDENTIFIER_NOT_VALID = 0x85
    BAD_USER_NAME_OR_PASSWORD = 0x86
    NOT_AUTHORIZED = 0x87
    SERVER_UNAVAILABLE = 0x88
    SERVER_BUSY = 0x89
    BANNED = 0x8A
    SERVER_SHUTTING_DOWN = 0x8B
    BAD_AUTHENTICATION_METHOD = 0x8C
    KEEP_ALIVE_TIMEOUT = 0x8D
    SESSION_TAKEN_OVER = 0x8E
    TOPIC_FILTER_INVALID = 0x8F
    TOPIC_NAME_INVALID = 0x90
    PACKET_IDENTIFIER_IN_USE = 0x91
    PACKET_IDENTIFIER_NOT_FOUND = 0x92
    RECEIVE_MAXIMUM_EXCEEDED = 0x93
    TOPIC_ALIAS_INVALID = 0x94
    PACKET_TOO_LARGE = 0x95
    MESSAGE_RATE_TOO_HIGH = 0x96
    QUOTA_EXCEEDED = 0x97
    ADMINISTRATIVE_ACTION = 0x98
    PAYLOAD_FORMAT_INVALID = 0x99
    RETAIN_NOT_SUPPORTED = 0x9A
    QOS_NOT_SUPPORTED = 0x9B
    USE_ANOTHER_SERVER = 0x9C
    SERVER_MOVED = 0x9D
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E
    CONNECTION_RATE_EXCEEDED = 0x9F
    MAXIMUM_CONNECT_TIME = 0xA0
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2


def _codes(text: str) -> dict[int, ReasonCode]:
    return {int(word, 16): ReasonCode(int(word, 16)) for word in text.split()}


# Number -> member; a number that is missing here may not stand in that packet.
CONNACK_CODES = _codes(
    "00 80 81 82 83 84 85 86 87 88 89 8A 8C 90 95 97 99 9A 9B 9C 9D 9F"
)  # table 3-1
PUBACK_CODES = _codes("00 10 80 83 87 90 91 97 99")  # tables 3-4 and 3-5
PUBREL_CODES = _codes("00 92")  # tables 3-6 and 3-7
SUBACK_CODES = _codes("00 01 02 80 83 87 8F 91 97 9E A1 A2")  # table 3-8
UNSUBACK_CODES = _codes("00 11 80 83 87 8F 91")  # table 3-9
DISCONNECT_CLIENT_CODES = _codes(
    "00 04 80 81 82 83 90 93 94 95 96 97 98 99"
)  # table 3-10, "sent by client"
DISCONNECT_SERVER_CODES = _codes(
    "00 80 81 82 83 87 89 8B 8D 8E 8F 90 93 94 95 96 97 98 99 9A 9B 9C 9D 9E 9F A0 A1 A2"
)  # table 3-10, "sent by server"
AUTH_CLIENT_CODES = _codes("18 19")  # table 3-11
AUTH_SERVER_CODES = _codes("00 18")  # table 3-11

CONNACK_RETURN_CODES = {
    0: ReasonCode.SUCCESS,
    1: ReasonCode.UNSUPPORTED_PROTOCOL_VERSION,
    2: ReasonCode.CLIENT_IDENTIFIER_NOT_VALID,
    3: ReasonCode.SERVER_UNAVAILABLE,
    4: ReasonCode.BAD_USER_NAME_OR_PASSWORD,
    5: ReasonCode.NOT_AUTHORIZED,
}
"""MQTT 3.1.1, table 3.1, in the words of 5.0."""

CONNACK_TO_RETURN_CODE = {code: number for number, code in CONNACK_RETURN_CODES.items()} | {
    ReasonCode.SERVER_BUSY: 3,
    ReasonCode.QUOTA_EXCEEDED: 3,
    ReasonCode.CONNECTION_RATE_EXCEEDED: 3,
    ReasonCode.USE_ANOTHER_SERVER: 3,
    ReasonCode.SERVER_MOVED: 3,
    ReasonCode.BANNED: 5,
    ReasonCode.BAD_AUTHENTICATION_METHOD: 5,
}
"""What 3.1.1 can say; a code that is missing closes without CONNACK [MQTT-3.2.2-6]."""

SUBACK_RETURN_CODES = {
    0x00: ReasonCode.SUCCESS,
    0x01: ReasonCode.GRANTED_QOS_1,
    0x02: ReasonCode.GRANTED_QOS_2,
    0x80: ReasonCode.UNSPECIFIED_ERROR,
}
"""MQTT 3.1.1, section 3.9.3."""
