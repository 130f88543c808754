"""Configuration of the MQTT endpoint."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from drivers.transport.tls import ListenerLimits

_PerSecond = Annotated[float, Meta(gt=0, le=100_000)]
_Seconds = Annotated[float, Meta(gt=0, le=3600)]


class MqttConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One MQTT listener with its limits."""

    listen: Annotated[tuple[str, ...], Meta(min_length=1, max_length=16)]
    """Literal addresses: ``"10.0.0.1:8883"``, ``"[::1]:8883"``; port 0 takes a free one."""
    sessions_max: Annotated[int, Meta(ge=1, le=100_000)] = 10_000
    """Connections at a time, those that are still shaking hands included."""
    handshakes_max: Annotated[int, Meta(ge=4, le=4096)] = 128
    """Under way at a time; one address may have three quarters of them."""
    handshakes_waiting_max: Annotated[int, Meta(ge=0, le=100_000)] = 8192
    """In line for one; a socket each."""
    handshakes_per_host: Annotated[int, Meta(ge=1, le=1_000_000)] = 1000
    """That one address may begin at once, after a rest; a whole ward may be behind it."""
    handshakes_per_host_s: _PerSecond = 200.0
    """After that, per second: half a core. The others wait in line."""
    connects_per_device: Annotated[int, Meta(ge=1, le=1_000_000)] = 60
    """Connections of one device at once, after a rest; what is more is closed."""
    connects_per_device_s: _PerSecond = 1.0
    """After that, per second."""
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

    def limits(self) -> ListenerLimits:
        """The listener's."""
        return ListenerLimits(
            self.sessions_max,
            self.handshakes_max,
            waiting_max=self.handshakes_waiting_max,
            per_host_burst=self.handshakes_per_host,
            per_host_per_s=self.handshakes_per_host_s,
        )
