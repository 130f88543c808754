"""What every stream of ours to the fleet service has in common: how it is made, and kept up.

The service must show a certificate below our roots for the name that is dialled. Ours is read for
every attempt, so that a renewal applies.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from gateway.backoff import Backoff
from gateway.domain.errors import WardgateError
from gateway.domain.ports import Clock
from security.files import TlsFiles
from security.tls import grpc_channel_credentials

BACKOFF_S_MIN = 0.25
BACKOFF_S_MAX = 15.0
"""Within a ward's patience, and a thousand gateways still knock only 70 times a second."""
SETTLED_AFTER_S = 30.0
"""A stream that stood so long has recovered: the back-off starts anew."""
MESSAGE_BYTES_MAX = 32 << 20
"""A million revocations are 20 MB."""

CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
)

log = logging.getLogger(__name__)


def fleet_channel(address: str, server_name: str, files: TlsFiles) -> grpc.aio.Channel:
    """A channel to the fleet service, to be closed by the caller.

    Args:
        address: ``host:port``.
        server_name: the name in the service's certificate; empty: the host that is dialled.
        files: our certificate.

    Raises:
        ConfigError: the files can't be used.
    """
    options: list[tuple[str, str | int]] = list(CHANNEL_OPTIONS)
    if server_name:
        options.append(("grpc.ssl_target_name_override", server_name))
    return grpc.aio.secure_channel(address, grpc_channel_credentials(files), options)


async def let_in(call: Any) -> bool:
    """Wait until the service has let us in; False when it has ended the stream already.

    Raises:
        grpc.aio.AioRpcError: why it has not.
    """
    await call.initial_metadata()  # sent once we are in
    if not call.done():
        return True
    async for _ in call:  # raises why
        pass
    return False


async def keep_up(
    attempt: Callable[[], Awaitable[bool]], lost: Callable[[], None], clock: Clock
) -> None:
    """Make a stream again and again, with jittered back-off, until cancelled.

    Args:
        attempt: a stream from its beginning to its end; True to make another one at once.
        lost: called after each attempt that ended otherwise, before the pause.
        clock: tells how long a stream stood.
    """
    backoff = Backoff(BACKOFF_S_MIN, BACKOFF_S_MAX, random.SystemRandom())
    while True:
        began = clock.monotonic()
        try:
            if await attempt():
                backoff.reset()
                continue
            reason = "the service ended the stream"
        except grpc.aio.AioRpcError as error:
            reason = f"{error.code().name.lower()}: {error.details()}"
        except WardgateError as error:  # our own files, or who is reached
            reason = str(error)
        if clock.monotonic() - began > SETTLED_AFTER_S:
            backoff.reset()
        log.warning("no link to the fleet: %s", reason)
        lost()
        await asyncio.sleep(backoff.delay())
