"""Whether a CONNECT is accepted, and what CONNACK says.

Who the device is was settled by its certificate before; CONNECT may only repeat it. A client
identifier, user name or will topic that claims somebody else is refused and audited.
"""

from __future__ import annotations

from typing import NamedTuple

from drivers.mqtt.codec.packets import Connack, Connect, Version, Will
from drivers.mqtt.codec.properties import NO_PROPERTIES, Properties
from drivers.mqtt.codec.reasons import ReasonCode
from drivers.mqtt.config import MqttConfig
from drivers.mqtt.mapping import Topics

WILL_BYTES_MAX = 4096
NEVER = 0xFFFF_FFFF
"""A session expiry interval that asks for no end (3.1.2.11.2)."""


class Refusal(NamedTuple):
    """Why a CONNECT is not accepted."""

    code: ReasonCode
    mismatch: bool = False
    """It claims another identity than the certificate's: audited."""


def refusal(connect: Connect, device_id: str, topics: Topics) -> Refusal | None:
    """The first thing that is wrong with it, or None."""
    if connect.properties.authentication_method is not None:
        return Refusal(ReasonCode.BAD_AUTHENTICATION_METHOD)
    if connect.client_id not in ("", device_id):
        return Refusal(ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, mismatch=True)
    if connect.user_name not in (None, "", device_id):
        return Refusal(ReasonCode.BAD_USER_NAME_OR_PASSWORD, mismatch=True)
    return _will_refusal(connect.will, connect.version, topics) if connect.will else None


def _will_refusal(will: Will, version: Version, topics: Topics) -> Refusal | None:
    if not will.topic.startswith(topics.prefix):
        return Refusal(ReasonCode.NOT_AUTHORIZED, mismatch=True)
    if will.retain and version == Version.V5:
        return Refusal(ReasonCode.RETAIN_NOT_SUPPORTED)  # [MQTT-3.2.2-13]
    if len(will.payload) > WILL_BYTES_MAX:
        return Refusal(ReasonCode.PACKET_TOO_LARGE)
    return None


def expiry_s(connect: Connect, config: MqttConfig) -> int:
    """How long the session outlives the connection."""
    if connect.version == Version.V311:
        return 0 if connect.clean_start else config.session_expiry_s_max
    return min(connect.properties.session_expiry_interval or 0, config.session_expiry_s_max)


def keep_alive_s(connect: Connect, config: MqttConfig) -> int:
    """The keep-alive in force; 0 for none, which only a 3.1.1 client can have."""
    asked = connect.keep_alive_s
    if connect.version == Version.V311:
        return asked
    return min(asked or config.keep_alive_s_max, config.keep_alive_s_max)


def accepted(connect: Connect, device_id: str, config: MqttConfig, *, present: bool) -> Connack:
    """The CONNACK of success: in 5.0 with all that the client has to know about us."""
    if connect.version == Version.V311:
        return Connack(session_present=present, properties=NO_PROPERTIES)
    expiry = expiry_s(connect, config)
    keep_alive = keep_alive_s(connect, config)
    return Connack(
        session_present=present,
        properties=Properties(
            session_expiry_interval=(
                None if expiry == (connect.properties.session_expiry_interval or 0) else expiry
            ),
            receive_maximum=config.receive_maximum,
            retain_available=0,
            maximum_packet_size=config.packet_size_bytes_max,
            assigned_client_identifier=None if connect.client_id else device_id,
            topic_alias_maximum=config.topic_alias_maximum,
            wildcard_subscription_available=0,
            subscription_identifiers_available=0,
            shared_subscription_available=0,
            server_keep_alive=None if keep_alive == connect.keep_alive_s else keep_alive,
        ),
    )
