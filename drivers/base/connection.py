"""One TLS connection: asyncio's callbacks on one side, a session on the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from drivers.transport.tls import Peer, peer_of
from gateway.domain.errors import RefusedError
from gateway.domain.ports import Carrier, Tap, Tapped

CLOSE_GRACE_S = 2.0
"""How long a peer may take what is left to write before the connection is cut."""
WRITE_BUFFER_BYTES_HIGH = 64 * 1024
"""Answers that a peer doesn't take; beyond it, it isn't read either."""


class Wire(Protocol):
    """The connection as a session sees it."""

    def send(self, data: bytes) -> None:
        """Write; ignored once the connection is closing."""

    def close(self) -> None:
        """Write what is left, then close."""

    def abort(self, last_words: bytes = b"") -> None:
        """Close at once; last words are written as far as that needs no waiting."""

    def pause_reading(self) -> None:
        """Deliver no more bytes."""

    def resume_reading(self) -> None:
        """Deliver bytes again."""

    def use_tap(self, tap: Tap | None) -> Tapped:
        """See :class:`gateway.domain.ports.Tappable`: a session passes it on to here."""


class StreamSession(Protocol):
    """What a device says and is told over one connection; sans-I/O but for its Wire."""

    def receive(self, data: bytes) -> None:
        """Bytes as they came; they may still come for a moment after ``pause_reading``."""

    def peer_reads(self, *, reads: bool) -> None:
        """Whether the peer takes what we write; while it doesn't, more should not be read."""

    def lost(self) -> None:
        """The connection has ended; the last call."""


class Connection(asyncio.Protocol):
    """A :class:`Wire` over an asyncio transport.

    Args:
        begin: makes the session, or raises RefusedError, which closes the connection.
        release: called once when the connection has ended.
    """

    __slots__ = ("_begin", "_release", "_session", "_tap", "_transport")

    def __init__(
        self, begin: Callable[[Peer, Wire], StreamSession], release: Callable[[], None]
    ) -> None:
        self._begin = begin
        self._release = release
        self._transport: asyncio.Transport | None = None
        self._session: StreamSession | None = None
        self._tap: Tap | None = None

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast(asyncio.Transport, transport)  # uvloop's are no subclasses
        self._transport = stream
        stream.set_write_buffer_limits(high=WRITE_BUFFER_BYTES_HIGH)
        try:
            self._session = self._begin(peer_of(transport), self)
        except RefusedError:
            self.close()

    def data_received(self, data: bytes) -> None:
        if self._tap is not None:
            self._tap.received(data)
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
            if self._tap is not None:
                self._tap.sent(data)
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
        if self._tap is not None:
            self._tap.sent(last_words)
        transport.write(last_words)
        # uvloop writes at the end of a turn; what the kernel hasn't taken then is dropped.
        asyncio.get_running_loop().call_soon(transport.abort)

    def pause_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def use_tap(self, tap: Tap | None) -> Tapped:
        self._tap = tap
        return Tapped(Carrier.STREAM, asked=False)

    def resume_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
