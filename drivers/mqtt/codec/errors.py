"""What a peer can do wrong: one rule for each malformed case of the specifications.

A rule names the reason code that MQTT 5.0 gives the case and, for each version, the
normative statement (``MQTT-x.y.z-n``) or, where the text has no numbered statement, the
section. A rule without a clause for a version does not exist there.
"""

from __future__ import annotations

from typing import NamedTuple

from drivers.mqtt.codec.reasons import ReasonCode
from gateway.domain.errors import MalformedError, WardgateError

_MALFORMED = ReasonCode.MALFORMED_PACKET
_PROTOCOL = ReasonCode.PROTOCOL_ERROR
_V5 = 5


class MqttError(MalformedError):
    """The peer broke the protocol: answer ``code`` if the version can, then close.

    Attributes:
        code: the reason code for CONNACK or DISCONNECT of MQTT 5.0.
        clause: the statement or section of the version in use.
        reason: one of the words of :data:`RULES`, safe as a metric label.
        version: 4 or 5 as far as CONNECT told it, else 0: then close without an answer.
    """

    def __init__(self, rule: Rule, version: int, detail: str = "") -> None:
        super().__init__(rule.reason, detail)
        self.rule = rule
        self.code = rule.code
        self.version = version
        self.clause = rule.v5 if version == _V5 else rule.v311


class EncodeError(WardgateError, ValueError):
    """A packet that has no encoding in this version: a fault of ours, never of a peer."""

    reason = "encode"


class Rule(NamedTuple):
    """One way to break the protocol."""

    reason: str
    code: ReasonCode
    v311: str
    v5: str

    def error(self, version: int, detail: str = "") -> MqttError:
        """The exception for this rule; a ``version`` of 0 (not known yet) reads as 3.1.1."""
        return MqttError(self, version, detail)


# Framing
TYPE_RESERVED = Rule("type_reserved", _MALFORMED, "2.2.1", "2.1.2")
FLAGS_RESERVED = Rule("flags_reserved", _MALFORMED, "MQTT-2.2.2-2", "MQTT-2.1.3-1")
LENGTH_OVERLONG = Rule("length_overlong", _MALFORMED, "2.2.3", "MQTT-1.5.5-1")
LENGTH_UNENDING = Rule("length_unending", _MALFORMED, "2.2.3", "1.5.5")
PACKET_TOO_LARGE = Rule("packet_too_large", ReasonCode.PACKET_TOO_LARGE, "2.2.3", "MQTT-3.2.2-15")
TRUNCATED = Rule("truncated", _MALFORMED, "2.2.3", "2.1.4")
TRAILING = Rule("trailing", _MALFORMED, "2.2.3", "2.1.4")
DIRECTION = Rule("direction", _PROTOCOL, "2.2.1", "2.1.2")
# Data types
STRING_UTF8 = Rule("string_utf8", _MALFORMED, "MQTT-1.5.3-1", "MQTT-1.5.4-1")
STRING_NUL = Rule("string_nul", _MALFORMED, "MQTT-1.5.3-2", "MQTT-1.5.4-2")
PACKET_ID_ZERO = Rule("packet_id_zero", _PROTOCOL, "MQTT-2.3.1-1", "MQTT-2.2.1-3")
TOPIC_WILDCARD = Rule("topic_wildcard", _MALFORMED, "MQTT-3.3.2-2", "MQTT-3.3.2-2")
TOPIC_EMPTY = Rule("topic_empty", _PROTOCOL, "MQTT-4.7.3-1", "3.3.2.1")
FILTER_EMPTY = Rule("filter_empty", _MALFORMED, "MQTT-4.7.3-1", "MQTT-4.7.3-1")
FILTER_MULTI_LEVEL = Rule("filter_multi_level", _MALFORMED, "MQTT-4.7.1-2", "MQTT-4.7.1-1")
FILTER_SINGLE_LEVEL = Rule("filter_single_level", _MALFORMED, "MQTT-4.7.1-3", "MQTT-4.7.1-2")
SHARE_NAME_EMPTY = Rule("share_name_empty", _MALFORMED, "", "MQTT-4.8.2-1")
SHARE_NAME_INVALID = Rule("share_name_invalid", _MALFORMED, "", "MQTT-4.8.2-2")
# Properties
PROPERTY_UNKNOWN = Rule("property_unknown", _MALFORMED, "", "2.2.2.2")
PROPERTY_MISPLACED = Rule("property_misplaced", _MALFORMED, "", "2.2.2.2")
PROPERTY_TWICE = Rule("property_twice", _PROTOCOL, "", "2.2.2.2")
PROPERTY_VALUE = Rule("property_value", _PROTOCOL, "", "2.2.2.2")
SUBSCRIPTION_ID_FROM_CLIENT = Rule("subscription_id_from_client", _PROTOCOL, "", "MQTT-3.3.4-6")
TOPIC_ALIAS_ZERO = Rule("topic_alias_zero", ReasonCode.TOPIC_ALIAS_INVALID, "", "MQTT-3.3.2-8")
TOPIC_ALIAS_TOO_HIGH = Rule(
    "topic_alias_too_high", ReasonCode.TOPIC_ALIAS_INVALID, "", "MQTT-3.3.2-9"
)
TOPIC_ALIAS_UNKNOWN = Rule("topic_alias_unknown", _PROTOCOL, "", "3.3.2.3.4")
RESPONSE_TOPIC_WILDCARD = Rule("response_topic_wildcard", _MALFORMED, "", "MQTT-3.3.2-14")
AUTH_DATA_WITHOUT_METHOD = Rule("auth_data_without_method", _PROTOCOL, "", "3.1.2.11.10")
# CONNECT and CONNACK
FIRST_NOT_CONNECT = Rule("first_not_connect", _PROTOCOL, "MQTT-3.1.0-1", "MQTT-3.1.0-1")
SECOND_CONNECT = Rule("second_connect", _PROTOCOL, "MQTT-3.1.0-2", "MQTT-3.1.0-2")
PROTOCOL_NAME = Rule(
    "protocol_name", ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, "MQTT-3.1.2-1", "MQTT-3.1.2-1"
)
PROTOCOL_VERSION = Rule(
    "protocol_version", ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, "MQTT-3.1.2-2", "MQTT-3.1.2-2"
)
CONNECT_FLAG_RESERVED = Rule("connect_flag_reserved", _MALFORMED, "MQTT-3.1.2-3", "MQTT-3.1.2-3")
WILL_QOS = Rule("will_qos", _MALFORMED, "MQTT-3.1.2-14", "MQTT-3.1.2-12")
WILL_QOS_WITHOUT_WILL = Rule("will_qos_without_will", _MALFORMED, "MQTT-3.1.2-13", "MQTT-3.1.2-11")
WILL_RETAIN_WITHOUT_WILL = Rule(
    "will_retain_without_will", _MALFORMED, "MQTT-3.1.2-15", "MQTT-3.1.2-13"
)
PASSWORD_WITHOUT_USER = Rule("password_without_user", _MALFORMED, "MQTT-3.1.2-22", "")
CLIENT_ID_EMPTY = Rule(
    "client_id_empty", ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, "MQTT-3.1.3-8", ""
)
FIRST_NOT_CONNACK = Rule("first_not_connack", _PROTOCOL, "MQTT-3.2.0-1", "MQTT-3.2.0-1")
SECOND_CONNACK = Rule("second_connack", _PROTOCOL, "3.2", "MQTT-3.2.0-2")
CONNACK_FLAGS = Rule("connack_flags", _MALFORMED, "3.2.2.1", "MQTT-3.2.2-1")
CONNACK_SESSION_PRESENT = Rule("connack_session_present", _PROTOCOL, "MQTT-3.2.2-4", "MQTT-3.2.2-6")
CONNACK_CODE = Rule("connack_code", _PROTOCOL, "3.2.2.3", "MQTT-3.2.2-8")
# PUBLISH and its acknowledgements
PUBLISH_QOS = Rule("publish_qos", _MALFORMED, "MQTT-3.3.1-4", "MQTT-3.3.1-4")
PUBLISH_DUP = Rule("publish_dup", _MALFORMED, "MQTT-3.3.1-2", "MQTT-3.3.1-2")
PUBACK_CODE = Rule("puback_code", _PROTOCOL, "", "MQTT-3.4.2-1")
PUBREC_CODE = Rule("pubrec_code", _PROTOCOL, "", "MQTT-3.5.2-1")
PUBREL_FLAGS = Rule("pubrel_flags", _MALFORMED, "MQTT-3.6.1-1", "MQTT-3.6.1-1")
PUBREL_CODE = Rule("pubrel_code", _PROTOCOL, "", "MQTT-3.6.2-1")
PUBCOMP_CODE = Rule("pubcomp_code", _PROTOCOL, "", "MQTT-3.7.2-1")
# SUBSCRIBE and UNSUBSCRIBE
SUBSCRIBE_FLAGS = Rule("subscribe_flags", _MALFORMED, "MQTT-3.8.1-1", "MQTT-3.8.1-1")
SUBSCRIBE_EMPTY = Rule("subscribe_empty", _PROTOCOL, "MQTT-3.8.3-3", "MQTT-3.8.3-2")
SUBSCRIBE_OPTIONS_RESERVED = Rule(
    "subscribe_options_reserved", _MALFORMED, "MQTT-3-8.3-4", "MQTT-3.8.3-5"
)
SUBSCRIBE_QOS = Rule("subscribe_qos", _PROTOCOL, "MQTT-3-8.3-4", "3.8.3.1")
SUBSCRIBE_RETAIN_HANDLING = Rule("subscribe_retain_handling", _PROTOCOL, "", "3.8.3.1")
SUBSCRIBE_NO_LOCAL_SHARED = Rule("subscribe_no_local_shared", _PROTOCOL, "", "MQTT-3.8.3-4")
SUBACK_CODE = Rule("suback_code", _PROTOCOL, "MQTT-3.9.3-2", "MQTT-3.9.3-2")
SUBACK_EMPTY = Rule("suback_empty", _PROTOCOL, "3.9.3", "3.9.3")
UNSUBSCRIBE_FLAGS = Rule("unsubscribe_flags", _MALFORMED, "MQTT-3.10.1-1", "MQTT-3.10.1-1")
UNSUBSCRIBE_EMPTY = Rule("unsubscribe_empty", _PROTOCOL, "MQTT-3.10.3-2", "MQTT-3.10.3-2")
UNSUBACK_CODE = Rule("unsuback_code", _PROTOCOL, "", "MQTT-3.11.3-2")
UNSUBACK_EMPTY = Rule("unsuback_empty", _PROTOCOL, "", "3.11.3")
# DISCONNECT and AUTH
DISCONNECT_FLAGS = Rule("disconnect_flags", _MALFORMED, "MQTT-3.14.1-1", "MQTT-3.14.1-1")
DISCONNECT_CODE = Rule("disconnect_code", _PROTOCOL, "", "MQTT-3.14.2-1")
DISCONNECT_EXPIRY_BY_SERVER = Rule("disconnect_expiry_by_server", _PROTOCOL, "", "MQTT-3.14.2-2")
DISCONNECT_EXPIRY_RAISED = Rule("disconnect_expiry_raised", _PROTOCOL, "", "3.14.2.2.2")
AUTH_FLAGS = Rule("auth_flags", _MALFORMED, "", "MQTT-3.15.1-1")
AUTH_CODE = Rule("auth_code", _PROTOCOL, "", "MQTT-3.15.2-1")
AUTH_METHOD_MISSING = Rule("auth_method_missing", _PROTOCOL, "", "3.15.2.2.2")
AUTH_WITHOUT_METHOD = Rule("auth_without_method", _PROTOCOL, "", "MQTT-4.12.0-7")
AUTH_METHOD_CHANGED = Rule("auth_method_changed", _PROTOCOL, "", "MQTT-4.12.0-5")

RULES: tuple[Rule, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Rule)
)
"""Every rule of the codec; the tests hold a vector for each clause of each."""
