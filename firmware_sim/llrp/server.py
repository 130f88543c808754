"""A simulated reader on a TCP port, plain or over TLS, that can be cut off from the network."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Final, Self

from firmware_sim.llrp.reader import Reader

TICK_S: Final = 0.02


class ReaderServer:
    """Use it as a context. The port stays the same over outages.

    Args:
        reader: the reader.
        tls: the context of its certificate; None: plain TCP.
        host: where it listens.
        port: 0: a free one.
    """

    def __init__(
        self,
        reader: Reader,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.reader = reader
        self.host, self.port = host, port
        self.connections = 0
        """How often a client was taken."""
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._client: _Client | None = None
        self._ticking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.restore()
        self._ticking = asyncio.create_task(self._tick())
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.wait([self._ticking])
        self.outage()

    @property
    def connected(self) -> bool:
        """Whether it has a client."""
        return self._client is not None

    def outage(self) -> None:
        """Nobody reaches it any more; it goes on reading."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    async def restore(self) -> None:
        """It can be reached again."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(
                lambda: _Client(self), self.host, self.port, ssl=self._tls
            )
            self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Break its connection off without a word."""
        if self._client is not None and self._client.transport is not None:
            self._client.transport.abort()
            self.left(self._client)

    def restart(self) -> None:
        """Switch it off and on."""
        self.cut()
        self.reader.restart()

    def flush(self) -> None:
        """Send what the reader has to say after something was done to it."""
        if self._client is not None:
            self._client.send(self.reader.said())

    # Its clients

    def came(self, client: _Client) -> None:
        """Somebody has connected."""
        if self._client is not None:
            client.send(self.reader.busy())
            client.close()
            return
        self._client = client
        self.connections += 1
        client.send(self.reader.connect())

    def heard(self, client: _Client, data: bytes) -> None:
        """Somebody has said something."""
        if client is self._client:
            client.send(self.reader.receive(data))
            if self.reader.asked and self.reader.asked[-1] == "CLOSE_CONNECTION":
                client.close()

    def left(self, client: _Client) -> None:
        """Somebody is gone."""
        if client is self._client:
            self._client = None
            self.reader.gone()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            said = self.reader.tick()
            if self._client is not None:
                self._client.send(said)


class _Client(asyncio.Protocol):
    def __init__(self, server: ReaderServer) -> None:
        self._server = server
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # uvloop's are no subclasses
        self._server.came(self)

    def data_received(self, data: bytes) -> None:
        self._server.heard(self, data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._server.left(self)

    def send(self, frames: Sequence[bytes]) -> None:
        if frames and self.transport is not None and not self.transport.is_closing():
            self.transport.write(b"".join(frames))

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()
