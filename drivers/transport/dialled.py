"""A TCP connection to a device that listens, plain or over TLS, as a link that opens itself again.

Rules:

- TLS is finished, and the certificate looked at, before the listener hears of the link: a device
  that is not who it should be is told nothing.
- What arrives is handed over in pieces of ``piece_bytes_max``, one per turn of the loop, so that a
  device that says much at once delays nobody. While that much is kept and more waits, or the link
  is paused, the socket is not read: TCP holds the device back.
- A connection that is lost or refused is made anew after a rest that doubles from ``rest_min_s`` to
  ``rest_max_s``, with jitter, for ever, until ``stop``; the rests begin anew after one that lasted
  ``steady_s``. A device that accepts and hangs up at once is not asked in a hurry.
- A device that does not take what it is told loses its link at ``queued_bytes_max``.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections import deque
from collections.abc import Callable
from typing import ClassVar, NamedTuple, cast

from drivers.transport.serial import LinkListener
from drivers.transport.sockets import set_options
from gateway.domain.errors import RefusalReason
from gateway.domain.ports import Carrier
from security import tls

log = logging.getLogger(__name__)


class DialLimits(NamedTuple):
    """The bounds of one link."""

    connect_s: float = 10.0
    """For the connection, and again for the handshake of TLS."""
    piece_bytes_max: int = 16 * 1024
    kept_bytes_max: int = 512 * 1024
    """Received, and not handed over: two reads of the event loop, which may still come after the
    socket is not read any more."""
    queued_bytes_max: int = 64 * 1024
    """To be written; questions are a few hundred bytes."""
    rest_min_s: float = 0.5
    rest_max_s: float = 30.0
    steady_s: float = 5.0


class Secured(NamedTuple):
    """How a TLS link finds out who is there."""

    context: Callable[[], ssl.SSLContext]
    """Asked for each connection: fresh after a change of certificates."""
    server_name: str
    """That the certificate must have; means nothing with a pin."""
    refused: Callable[[str], None]
    """Told why somebody was not let in, by a reason of RefusalReason."""
    pin: str = ""
    """Of its key (:func:`security.tls.pin_of_peer`): nothing else of the certificate is asked for
    then, and :func:`security.tls.pinned_context` takes the place of ``context``."""


class DialledLink:
    """See :class:`drivers.base.attachment.Link`. Everything is called on the event loop.

    Args:
        peer: host and port.
        listener: told of everything that happens, on the loop.
        secured: None: plain TCP, which proves nothing.
        rng: for the jitter.
        limits: see there.
    """

    carrier: ClassVar = Carrier.STREAM

    def __init__(
        self,
        peer: tuple[str, int],
        listener: LinkListener,
        secured: Secured | None,
        rng: random.Random,
        limits: DialLimits = DialLimits(),  # noqa: B008 - an immutable tuple
    ) -> None:
        self.peer = peer
        self.certificate = b""
        """DER, of who is at the other end; empty without TLS."""
        self._listener = listener
        self._secured = secured
        self._rng = rng
        self._limits = limits
        self._transport: asyncio.Transport | None = None
        self._opened_at = 0.0
        self._rest_s = limits.rest_min_s
        self._kept: deque[bytes] = deque()
        self._kept_bytes = 0
        self._paused = self._halted = self._scheduled = self._stopped = False
        self._opening: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        """Whether the listener was told that the link is up."""
        return self._transport is not None

    def start(self) -> None:
        """Begin to connect; once."""
        self._open_after(0.0)

    def write(self, data: bytes) -> bool:
        """See :class:`drivers.base.attachment.Link`."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        if transport.get_write_buffer_size() + len(data) > self._limits.queued_bytes_max:
            asyncio.get_running_loop().call_soon(self._lose, transport, "write_stuck")
            return False
        transport.write(data)
        return True

    def pause(self) -> None:
        """Stop calling the listener; the device is held back."""
        self._paused = True
        self._halt()

    def resume(self) -> None:
        """Go on calling the listener, soon."""
        self._paused = False
        self._schedule()

    def reset(self, reason: str) -> None:
        """Close now, tell the listener, and connect again after a rest."""
        if self._transport is not None:
            self._lose(self._transport, reason)

    async def stop(self, grace_s: float) -> None:
        """Write what is queued and close within ``grace_s``; idempotent.

        The listener is not called any more.
        """
        self._stopped = True
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()
            asyncio.get_running_loop().call_later(grace_s, transport.abort)

    # Opening

    def _open_after(self, delay_s: float) -> None:
        if not self._stopped:
            self._opening = asyncio.get_running_loop().create_task(self._open(delay_s))

    async def _open(self, delay_s: float) -> None:
        while True:
            await asyncio.sleep(delay_s)
            try:
                async with asyncio.timeout(2 * self._limits.connect_s):
                    await self._connect()
            except (OSError, TimeoutError) as error:  # SSLError is an OSError
                log.info("no connection to %s: %s", self.peer[0], error or type(error).__name__)
                if isinstance(error, ssl.SSLError) and self._secured is not None:
                    self._secured.refused(tls.refusal_of(error))
                delay_s = self._rest()
            else:
                return

    async def _connect(self) -> None:
        """One connection, with whoever it should be.

        Raises:
            OSError, TimeoutError: it could not be made.
        """
        loop, secured = asyncio.get_running_loop(), self._secured
        self._forget()  # what an attempt before left
        context = None
        if secured is not None:
            context = tls.pinned_context() if secured.pin else secured.context()
        made, _ = await loop.create_connection(
            lambda: _Stream(self),
            *self.peer,
            ssl=context,
            server_hostname=None if secured is None else secured.server_name,
            ssl_handshake_timeout=None if secured is None else self._limits.connect_s,
        )
        transport = made
        if secured is not None:
            object_ = transport.get_extra_info("ssl_object")
            self.certificate = object_.getpeercert(binary_form=True) or b""
            if secured.pin and tls.pin_of_peer(self.certificate) != secured.pin:
                transport.abort()
                secured.refused(RefusalReason.IDENTITY_MISMATCH)
                raise OSError("another key than the pinned one")
        if transport.is_closing():
            raise ConnectionResetError("hung up at once")
        if (sock := transport.get_extra_info("socket")) is not None:
            set_options(sock)
        self._opened_at = loop.time()
        self._transport = transport
        self._opening = None
        self._listener.link_up()
        self._schedule()

    def _rest(self) -> float:
        rest_s = self._rest_s
        self._rest_s = min(2 * rest_s, self._limits.rest_max_s)
        return rest_s * (0.5 + self._rng.random() / 2)

    # One connection

    def received(self, transport: asyncio.Transport | None, data: bytes) -> None:
        """From the socket; what comes before the certificate was looked at waits with the rest."""
        if self._stopped or (self._transport is not None and transport is not self._transport):
            return  # of a connection that was given up meanwhile
        self._kept.append(data)
        self._kept_bytes += len(data)
        if self._transport is None:
            return
        if self._kept_bytes > self._limits.kept_bytes_max:
            self.reset("overflow")
            return
        if self._kept_bytes > self._limits.piece_bytes_max:
            self._halt()
        self._schedule()

    def ended(self, transport: asyncio.Transport | None, error: Exception | None) -> None:
        """The socket is closed."""
        if self._transport is not None and transport is self._transport:
            self._drain()  # what it said before it went
            if self._transport is transport:
                self._lose(transport, "hung_up" if error is None else "read_failed")

    def _lose(self, transport: asyncio.Transport, reason: str) -> None:
        if transport is not self._transport:
            return
        self._transport = None
        transport.abort()
        self._forget()
        self.certificate = b""
        if asyncio.get_running_loop().time() - self._opened_at >= self._limits.steady_s:
            self._rest_s = self._limits.rest_min_s
        self._listener.link_lost(reason)
        self._open_after(self._rest())

    def _forget(self) -> None:
        self._kept.clear()
        self._kept_bytes = 0
        self._halted = False

    # Handing over

    def _schedule(self) -> None:
        if not self._scheduled and not self._paused:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """Hand over one piece, and let others have their turn."""
        self._scheduled = False
        if self._paused or self._transport is None:
            return
        self._piece()
        if self._kept:
            self._schedule()
        elif self._halted and self._transport is not None:
            self._halted = False
            self._transport.resume_reading()

    def _drain(self) -> None:
        while self._kept and self._transport is not None and not self._paused:
            self._piece()

    def _piece(self) -> None:
        if not self._kept:
            return
        data = self._kept.popleft()
        if len(data) > self._limits.piece_bytes_max:
            self._kept.appendleft(data[self._limits.piece_bytes_max :])
            data = data[: self._limits.piece_bytes_max]
        self._kept_bytes -= len(data)
        self._listener.data_received(data)

    def _halt(self) -> None:
        transport = self._transport
        if transport is not None and not self._halted and not transport.is_closing():
            self._halted = True
            transport.pause_reading()


class _Stream(asyncio.Protocol):
    """One connection's."""

    def __init__(self, link: DialledLink) -> None:
        self._link = link
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclasses

    def data_received(self, data: bytes) -> None:
        self._link.received(self._transport, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._link.ended(self._transport, exc)
