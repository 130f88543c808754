"""A connection to a receiver, what arrives on it, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from gateway import dial
from gateway.domain.errors import WardgateError
from gateway.uplink.link import Link
from protos.wardgate.v1 import ingest_pb2 as pb

METHOD = "/wardgate.v1.IngestService/Stream"
KEEPALIVE_MS = 10_000
KEEPALIVE_TIMEOUT_MS = 5_000
_TOO_LARGE = "larger than max"
"""gRPC's words, in the details of RESOURCE_EXHAUSTED; without them it means an overload."""


class StreamLostError(WardgateError):
    """The stream ended; ``reason`` is a metric label."""

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s


class ClosedError(StreamLostError):
    """The receiver ended the stream; the call's status says why."""


class UnreadableError(StreamLostError):
    """The receiver could not read something of what is in flight."""


def open_channel(link: Link, way: dial.Route) -> grpc.aio.Channel:
    """A channel with a connection of its own; to be used as a context manager."""
    options: list[tuple[str, Any]] = [
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.enable_retries", 0),
        # A connection of its own: alarms must not queue behind telemetry's bytes.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    credentials = link.credentials(way.anchor) if way.anchor else link.credentials()
    return dial.open_channel(way, credentials, options)


def open_call(channel: grpc.aio.Channel) -> Any:
    """A stream of raw bytes both ways."""
    return channel.stream_stream(METHOD)()


def parse(raw: object) -> pb.StreamResponse:
    """What was read from a call.

    Raises:
        ClosedError: nothing, for the stream ended.
        StreamLostError: nothing that we understand.
    """
    if not isinstance(raw, bytes):
        raise ClosedError("closed")
    try:
        return pb.StreamResponse.FromString(raw)
    except DecodeError as error:
        raise StreamLostError("bad_answer") from error


def loss_of(code: grpc.StatusCode, details: str | None, *, in_flight: bool) -> StreamLostError:
    """Why a call ended, by its status."""
    reason = code.name.lower()
    unreadable = in_flight and (
        code is grpc.StatusCode.INVALID_ARGUMENT
        or (code is grpc.StatusCode.RESOURCE_EXHAUSTED and _TOO_LARGE in (details or ""))
    )
    return UnreadableError(reason) if unreadable else StreamLostError(reason)


async def both(*jobs: Coroutine[Any, Any, None]) -> None:
    """Run jobs until the first one fails; cancel the others, and raise what it raised."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task in done:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
