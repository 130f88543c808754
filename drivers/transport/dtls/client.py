"""A DTLS client on one connected UDP socket: the device's end.

Rules:

- The server's certificate must verify, and ``trusts`` decides on whom it names: the library
  checks chain, time and usage, but no name.
- A handshake ends within its time, whatever the network does with its datagrams.
- Nothing is reconnected here: who lost a session makes a new client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from OpenSSL import SSL

from drivers.transport.dtls.association import TIMEOUT, Association, HandshakeError, State
from drivers.transport.dtls.records import read_headers
from gateway.domain.errors import MalformedError, RefusalReason

HANDSHAKE_S_MAX: Final = 30.0
TIMER_S_MIN: Final = 0.01
UNREACHABLE: Final = "unreachable"
PEER_CLOSED: Final = "closed"


class DtlsClient(asyncio.DatagramProtocol):
    """One association with a server.

    Args:
        context: a client's, from ``security.tls``.
        trusts: whether the server's verified certificate (DER) names whom we mean.
        received: called with each plaintext.
        closed: called once with a reason when an established association ended by the peer.
    """

    def __init__(
        self,
        context: SSL.Context,
        trusts: Callable[[bytes], bool],
        received: Callable[[bytes], None],
        closed: Callable[[str], None],
    ) -> None:
        self._association = Association(context, server=False)
        self._trusts = trusts
        self._received = received
        self._closed = closed
        self._transport: asyncio.DatagramTransport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._done: asyncio.Future[None] | None = None

    async def connect(self, host: str, port: int, timeout_s: float = HANDSHAKE_S_MAX) -> None:
        """Complete the handshake.

        Raises:
            HandshakeError: it failed; ``reason`` says how.
            OSError: there is no way to the address.
        """
        loop = self._loop = asyncio.get_running_loop()
        done = self._done = loop.create_future()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, remote_addr=(host, port)
        )
        try:
            self._association.start()
            self._after([])
            async with asyncio.timeout(timeout_s):
                await done
        except TimeoutError as error:
            self.close()
            raise HandshakeError(TIMEOUT) from error
        except BaseException:
            self.close()
            raise

    @property
    def established(self) -> bool:
        """Whether data can be sent."""
        return self._association.established and self._transport is not None

    @property
    def plaintext_bytes_max(self) -> int:
        """The longest plaintext that ``send`` takes."""
        return self._association.plaintext_bytes_max

    def local(self) -> tuple[str, int]:
        """Our own address."""
        address = ("", 0) if self._transport is None else self._transport.get_extra_info("sockname")
        return address[0], address[1]

    def send(self, plaintext: bytes) -> None:
        """Send one plaintext; nothing happens when the association has ended.

        Raises:
            ValueError: it is longer than ``plaintext_bytes_max``.
        """
        if self.established and self._transport is not None:
            self._transport.sendto(self._association.seal(plaintext))

    def close(self) -> None:
        """Say close_notify and close the socket; idempotent."""
        self._association.close()
        self._flush()
        self.abort()

    def abort(self) -> None:
        """Close the socket without a word; idempotent."""
        self._disarm()
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    # -- for the loop

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        del exc
        self._transport = None

    def error_received(self, exc: Exception) -> None:
        """An ICMP error: nobody listens there. Only a handshake gives up for it."""
        self._fail(HandshakeError(UNREACHABLE, str(exc)))

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """One datagram from the server, or from who pretends to be it."""
        del addr
        try:
            records = len(read_headers(data))
            plaintexts = self._association.receive(data, records)
        except MalformedError:
            return
        except HandshakeError as error:
            self._flush()
            self._fail(error)
            return
        self._after(plaintexts)

    # -- the handshake

    def _after(self, plaintexts: list[bytes]) -> None:
        self._flush()
        done = self._done
        if done is None or done.done():
            self._deliver(plaintexts)
            return
        match self._association.state:
            case State.HANDSHAKING:
                self._arm()
            case State.ESTABLISHED:
                if self._trusts(self._association.peer_certificate()):
                    self._disarm()
                    done.set_result(None)
                    self._deliver(plaintexts)
                else:
                    self._fail(HandshakeError(RefusalReason.IDENTITY_MISMATCH))
            case State.CLOSED:
                self._fail(HandshakeError(PEER_CLOSED))

    def _deliver(self, plaintexts: list[bytes]) -> None:
        for plaintext in plaintexts:
            self._received(plaintext)
        if not self._association.established and self._transport is not None:
            self.close()
            self._closed(PEER_CLOSED)

    def _arm(self) -> None:
        self._disarm()
        wait_s = self._association.timeout_s()
        if wait_s is not None and self._loop is not None:
            self._timer = self._loop.call_later(max(wait_s, TIMER_S_MIN), self._on_timer)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _on_timer(self) -> None:
        try:
            self._association.on_timeout()
        except HandshakeError as error:
            self._fail(error)
            return
        self._after([])

    def _fail(self, error: HandshakeError) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)

    def _flush(self) -> None:
        for datagram in self._association.outgoing():
            if self._transport is not None:
                self._transport.sendto(datagram)
