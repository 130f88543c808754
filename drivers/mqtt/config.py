"""Configuration of the MQTT endpoint."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

_Seconds = Annotated[float, Meta(gt=0, le=3600)]


class MqttConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One MQTT listener with its limits."""

    listen: Annotated[tuple[str, ...], Meta(min_length=1, max_length=16)]
    """Literal addresses: ``"10.0.0.1:8883"``, ``"[::1]:8883"``; port 0 takes a free one."""
    sessions_max: Annotated[int, Meta(ge=1, le=100_000)] = 10_000
    """Connections at a time, those that are still shaking hands included."""
    packet_size_bytes_max: Annotated[int, Meta(ge=1024, le=1_048_576)] = 16_384
    """Four times the longest payload: room for topic and properties."""
    receive_maximum: Annotated[int, Meta(ge=1, le=65_535)] = 256
    """QoS 1 and 2 messages of one device that may await their acknowledgement."""
    topic_alias_maximum: Annotated[int, Meta(ge=0, le=255)] = 16
    keep_alive_s_max: Annotated[int, Meta(ge=5, le=65_535)] = 300
    """A 5.0 client that asks for more, or for none, is given this."""
    connect_timeout_s: _Seconds = 10.0
    """From the end of the TLS handshake to CONNECT."""
    session_expiry_s_max: Annotated[int, Meta(ge=0, le=31_536_000)] = 604_800
    """How long a session outlives its connection at most; 3.1.1 sessions get just this."""
    clone_suspension_s: Annotated[float, Meta(ge=1, le=86_400)] = 600.0
    """How long a device whose certificate seems to be used twice is kept out."""
