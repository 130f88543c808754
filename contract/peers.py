"""The device's end of each kind of link, for bytes that were made elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from contract.exhibit import Reach
from contract.pki import Certificates
from drivers.transport.dtls.client import DtlsClient
from gateway.domain.errors import WardgateError
from security import tls

RETRY_S = 0.05
"""Between a device's attempts to connect."""


class Peer(Protocol):
    """The device's end. ``up`` and ``received`` of its owner are called on the loop."""

    port: int
    """Where the driver finds the device; 0 where the device finds the driver."""

    async def start(self, find: Callable[[], Mapping[str, tuple[str, int]]]) -> None:
        """Begin, once the driver has started; ``find`` gives the driver's addresses."""

    def send(self, data: bytes) -> None:
        """Put bytes, or a datagram, on the link; ignored while there is none."""

    async def drain(self) -> None:
        """Wait until the link takes more."""

    def cut(self) -> None:
        """Break the link off without a word; it is made again."""

    def read(self, *, reads: bool) -> None:
        """Stop taking what the driver says, or go on."""

    async def close(self) -> None:
        """End for good."""


class Owner(Protocol):
    """Whose link it is."""

    def up(self) -> None:
        """There is a link, a new one."""

    def down(self) -> None:
        """There is none any more."""

    def received(self, data: bytes) -> None:
        """The driver said something."""


class _Stream(asyncio.Protocol):
    """The link of a stream; the newest connection counts."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._transport is not None:
            self._transport.abort()
        self._transport = transport  # type: ignore[assignment]  # uvloop's are no subclasses
        self._owner.up()

    def data_received(self, data: bytes) -> None:
        self._owner.received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._transport = None
        self._writable.set()
        self._owner.down()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def send(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def drain(self) -> None:
        await self._writable.wait()

    def cut(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def read(self, *, reads: bool) -> None:
        if self._transport is not None and not self._transport.is_closing():
            (self._transport.resume_reading if reads else self._transport.pause_reading)()


class DialledPeer(_Stream):
    """Listens for the driver."""

    def __init__(self, owner: Owner, context: ssl.SSLContext | None) -> None:
        super().__init__(owner)
        self._context = context
        self._server: asyncio.Server | None = None
        self.port = 0

    async def listen(self) -> None:
        """Bind, before the driver is configured."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: self, "127.0.0.1", 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def start(self, find: Callable[[], Mapping[str, tuple[str, int]]]) -> None:
        del find

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()


class _Dialling:
    """Connects to the driver, again and again."""

    port = 0

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    async def start(self, find: Callable[[], Mapping[str, tuple[str, int]]]) -> None:
        """See :class:`Peer`."""
        self._task = asyncio.create_task(self._run(find))

    async def close(self) -> None:
        """See :class:`Peer`."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self.cut()

    def cut(self) -> None:
        """See :class:`Peer`."""
        raise NotImplementedError

    async def once(self, address: tuple[str, int]) -> None:
        """Make one connection, and return when it has ended."""
        raise NotImplementedError

    async def _run(self, find: Callable[[], Mapping[str, tuple[str, int]]]) -> None:
        while True:
            with contextlib.suppress(OSError, WardgateError, IndexError):
                await self.once(next(iter(find().values())))
            await asyncio.sleep(RETRY_S)


class TlsPeer(_Stream, _Dialling):
    """A device that connects over TLS."""

    def __init__(self, owner: Owner, context: ssl.SSLContext) -> None:
        _Stream.__init__(self, owner)
        _Dialling.__init__(self)
        self._context = context
        self._ended = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._ended.set()

    async def once(self, address: tuple[str, int]) -> None:
        self._ended.clear()
        host, port = address
        await asyncio.get_running_loop().create_connection(
            lambda: self, host, port, ssl=self._context, server_hostname="localhost"
        )
        await self._ended.wait()


class DtlsPeer(_Dialling):
    """A device that connects over DTLS."""

    def __init__(self, owner: Owner, context: Any) -> None:
        super().__init__()
        self._owner = owner
        self._context = context
        self._client: DtlsClient | None = None
        self._ended = asyncio.Event()
        self._reads = True

    async def once(self, address: tuple[str, int]) -> None:
        self._ended.clear()
        client = DtlsClient(self._context, bool, self._received, lambda _: self._ended.set())
        await client.connect(*address, timeout_s=5.0)
        self._client = client
        self._owner.up()
        try:
            await self._ended.wait()
        finally:
            self._client = None
            client.abort()
            self._owner.down()

    def _received(self, data: bytes) -> None:
        if self._reads:
            self._owner.received(data)

    def send(self, data: bytes) -> None:
        if self._client is not None:
            self._client.send(data[: self._client.plaintext_bytes_max])

    async def drain(self) -> None:
        await asyncio.sleep(0)

    def cut(self) -> None:
        self._ended.set()

    def read(self, *, reads: bool) -> None:
        self._reads = reads


class UdpPeer(asyncio.DatagramProtocol):
    """A device that answers whoever spoke to it last."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._transport: asyncio.DatagramTransport | None = None
        self._address: Any = None
        self._reads = True
        self._cut_until = 0.0
        self.port = 0

    async def listen(self) -> None:
        """Bind, before the driver is configured."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", self.port)
        )
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    async def start(self, find: Callable[[], Mapping[str, tuple[str, int]]]) -> None:
        del find
        self._owner.up()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._address = addr
        if self._reads:
            self._owner.received(data)

    def send(self, data: bytes) -> None:
        if self._transport is not None and self._address is not None:
            self._transport.sendto(data, self._address)

    async def drain(self) -> None:
        await asyncio.sleep(0)

    def cut(self) -> None:
        """The device was switched off and on: it knows nobody."""
        self._address = None
        self._owner.down()
        self._owner.up()

    def read(self, *, reads: bool) -> None:
        self._reads = reads

    async def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def peer_of(reach: Reach, owner: Owner, certificates: Certificates) -> Peer:
    """The device's end; it listens if it is the driver that connects."""
    match reach:
        case Reach.DIALLED | Reach.DIALLED_TLS:
            secure = reach is Reach.DIALLED_TLS
            files = certificates.service
            dialled = DialledPeer(owner, tls.server_context(files) if secure else None)
            await dialled.listen()
            return dialled
        case Reach.TLS:
            return TlsPeer(owner, tls.client_context(certificates.device))
        case Reach.DTLS:
            return DtlsPeer(owner, tls.dtls_client_context(certificates.device))
        case Reach.UDP:
            udp = UdpPeer(owner)
            await udp.listen()
            return udp
