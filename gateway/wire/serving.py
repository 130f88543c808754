"""What every gRPC server of ours has in common: bounds on what a peer may cost."""

from __future__ import annotations

LOOKAHEAD_BYTES = 65536
"""With bdp_probe off this is what a stalled stream may push into memory."""
CONNECTION_AGE_MS = 3_600_000
"""Peers reconnect hourly at least, so that certificates are looked at again."""
HANDSHAKE_TIMEOUT_MS = 10_000
"""The library's own is two minutes."""
STREAMS_PER_CONNECTION_MAX = 16
METADATA_BYTES_MAX = 8192


def server_options(message_bytes_max: int, keepalive_s: int) -> list[tuple[str, int]]:
    """Channel arguments for ``grpc.aio.server``."""
    return [
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", LOOKAHEAD_BYTES),
        ("grpc.max_receive_message_length", message_bytes_max),
        ("grpc.max_concurrent_streams", STREAMS_PER_CONNECTION_MAX),
        ("grpc.max_metadata_size", METADATA_BYTES_MAX),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_TIMEOUT_MS),
        ("grpc.keepalive_time_ms", keepalive_s * 1000),
        ("grpc.keepalive_timeout_ms", keepalive_s * 500),
        ("grpc.http2.min_ping_interval_without_data_ms", 5000),
        ("grpc.max_connection_age_ms", CONNECTION_AGE_MS),
        ("grpc.max_connection_age_grace_ms", 5000),
        ("grpc.so_reuseport", 0),
    ]
