"""Ways over the network: TCP with and without TLS, UDP, DTLS; dialled, or waited for.

A device that is asked (a monitor on a LAN, a terminal server) waits for the gateway; the other
kind dials it. TLS and DTLS show the certificate of the device whose part is played, and check the
gateway's: chain and name with TLS, the chain with DTLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Any, Final

from drivers.transport.dtls.association import HandshakeError
from drivers.transport.dtls.client import DtlsClient
from firmware_sim.endpoints import KeyPair, device_dtls
from firmware_sim.playback.network import Address
from firmware_sim.playback.way import GoneError, Way
from gateway.domain.errors import words

READ_BYTES: Final = 64 * 1024
CONNECT_S_MAX: Final = 15.0
CLOSE_S_MAX: Final = 2.0
DATAGRAM_BYTES_MAX: Final = 65_507
DATAGRAM_PAUSE_S: Final = 0.0005
"""Between two datagrams that go "as fast as possible": UDP has no back-pressure, and what a socket
can't hold is lost without a word."""


class StreamWay(Way):
    """A TCP connection.

    Args:
        address: the gateway's, or ours when it is waited for.
        tls: how to speak TLS; None for plain TCP.
        listen_s: 0 to dial; else how long the gateway may take to connect.
    """

    def __init__(self, address: Address, tls: ssl.SSLContext | None, listen_s: float = 0) -> None:
        super().__init__()
        self._address = address
        self._tls = tls
        self._listen_s = listen_s
        self._server: asyncio.Server | None = None
        self._streams: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """See :meth:`Way.open`."""
        host, port = self._address
        self._streams = asyncio.get_running_loop().create_future()
        try:
            if self._listen_s:
                self._server = await asyncio.start_server(self._accepted, host, port)
                async with asyncio.timeout(self._listen_s):
                    reader, self._writer = await self._streams
            else:
                async with asyncio.timeout(CONNECT_S_MAX):
                    reader, self._writer = await asyncio.open_connection(host, port, ssl=self._tls)
        except TimeoutError as error:
            what = "nobody connected to" if self._listen_s else "no answer from"
            raise GoneError(f"{what} {self._address} in time") from error
        except OSError as error:  # ssl.SSLError is one
            raise GoneError(f"{self._address}: {words(error)}") from error
        self._reading = asyncio.create_task(self._read(reader))

    async def send(self, data: bytes) -> None:
        """See :meth:`Way.send`."""
        self.check()
        assert self._writer is not None
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            self.ended(_gone(error))
            self.check()

    async def close(self) -> None:
        """See :meth:`Way.close`."""
        if self._server is not None:
            self._server.close()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(CLOSE_S_MAX):
                    await self._writer.wait_closed()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._streams.done():
            writer.close()  # one conversation is played to one gateway
        else:
            self._streams.set_result((reader, writer))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while data := await reader.read(READ_BYTES):
                self.heard(data)
        except OSError as error:
            self.ended(_gone(error))
        else:
            self.ended("the gateway closed the connection")


class DatagramWay(Way, asyncio.DatagramProtocol):
    """A UDP socket.

    Args:
        address: the gateway's, or ours when it speaks first.
        listen_s: 0 to send to the gateway; else how long it may take to speak.
    """

    def __init__(self, address: Address, listen_s: float = 0) -> None:
        super().__init__()
        self._address = address
        self._listen_s = listen_s
        self._gateway: Any = None
        self._transport: asyncio.DatagramTransport | None = None

    async def open(self) -> None:
        """See :meth:`Way.open`."""
        where = tuple(self._address)
        place: dict[str, Any] = {"local_addr" if self._listen_s else "remote_addr": where}
        try:
            self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: self, **place
            )
        except OSError as error:
            raise GoneError(f"{self._address}: {words(error)}") from error
        if self._listen_s and not await self.said_since(0, self._listen_s):
            raise GoneError(f"nobody spoke to {self._address} within {self._listen_s:g} s")

    async def send(self, data: bytes) -> None:
        """See :meth:`Way.send`."""
        self.check()
        if len(data) > DATAGRAM_BYTES_MAX:
            raise GoneError(f"{len(data)} bytes are no datagram")
        assert self._transport is not None
        self._transport.sendto(data, self._gateway)
        await asyncio.sleep(DATAGRAM_PAUSE_S)

    async def close(self) -> None:
        """See :meth:`Way.close`."""
        if self._transport is not None:
            self._transport.close()

    # For the loop.

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """The gateway said something."""
        if self._listen_s:
            self._gateway = addr
        self.heard(data or b"\0")  # an empty datagram is a word, too

    def error_received(self, exc: Exception) -> None:
        """An ICMP error: nobody listens there."""
        self.ended(f"{self._address}: {exc}")


class DtlsWay(Way):
    """A DTLS association with the gateway."""

    def __init__(self, address: Address, ca: Any, pair: KeyPair | None) -> None:
        super().__init__()
        self._address = address
        self._client = DtlsClient(
            device_dtls(ca, pair),
            lambda _certificate: True,  # the chain is checked by the context
            self.heard,
            lambda reason: self.ended(f"the gateway ended the session: {reason}"),
        )

    async def open(self) -> None:
        """See :meth:`Way.open`."""
        try:
            await self._client.connect(*self._address, timeout_s=CONNECT_S_MAX)
        except (HandshakeError, OSError) as error:
            raise GoneError(f"{self._address}: {words(error)}") from error

    async def send(self, data: bytes) -> None:
        """See :meth:`Way.send`."""
        self.check()
        if len(data) > self._client.plaintext_bytes_max:
            raise GoneError(f"{len(data)} bytes are too many for a DTLS record")
        self._client.send(data)
        await asyncio.sleep(DATAGRAM_PAUSE_S)

    async def close(self) -> None:
        """See :meth:`Way.close`."""
        self._client.close()


def _gone(error: OSError) -> str:
    return f"the gateway ended the connection: {words(error)}"
