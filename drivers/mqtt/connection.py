"""One TLS connection: asyncio's callbacks on one side, a session on the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from drivers.mqtt.hub import Hub
from drivers.mqtt.session import Session
from drivers.transport.tls import peer_of
from gateway.domain.errors import RefusedError

CLOSE_GRACE_S = 2.0
"""How long a peer may take what is left to write before the connection is cut."""
WRITE_BUFFER_BYTES_HIGH = 64 * 1024
"""Acknowledgements that a peer doesn't take; beyond it, it isn't read either."""


class Connection(asyncio.Protocol):
    """A :class:`drivers.mqtt.roles.Wire` over an asyncio transport."""

    __slots__ = ("_hub", "_release", "_session", "_transport")

    def __init__(self, hub: Hub, release: Callable[[], None]) -> None:
        self._hub = hub
        self._release = release
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast(asyncio.Transport, transport)  # uvloop's are no subclasses
        self._transport = stream
        stream.set_write_buffer_limits(high=WRITE_BUFFER_BYTES_HIGH)
        peer = peer_of(transport)
        try:
            self._session = self._hub.connect(peer.certificate, peer.name, self)
        except RefusedError:
            self.close()

    def data_received(self, data: bytes) -> None:
        if self._session is not None:
            self._session.receive(data)

    def pause_writing(self) -> None:
        if self._session is not None:
            self._session.peer_reads(reads=False)

    def resume_writing(self) -> None:
        if self._session is not None:
            self._session.peer_reads(reads=True)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._release()
        session, self._session, self._transport = self._session, None, None
        if session is not None:
            session.lost()

    # The session's side

    def send(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.close()
            asyncio.get_running_loop().call_later(CLOSE_GRACE_S, transport.abort)

    def abort(self, last_words: bytes = b"") -> None:
        transport = self._transport
        if transport is None:
            return
        if not last_words or transport.is_closing():
            transport.abort()
            return
        transport.write(last_words)
        # uvloop writes at the end of a turn; what the kernel hasn't taken then is dropped.
        asyncio.get_running_loop().call_soon(transport.abort)

    def pause_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
