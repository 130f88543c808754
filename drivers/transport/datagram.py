"""Datagrams to and from one peer, as a link that opens itself again.

Rules:

- The socket is connected: the kernel drops what other addresses send. That is no proof of who the
  peer is; whoever can take its address, or stand between, can speak for it.
- There is no connection that could be lost. The link is up as soon as it has a socket, and whether
  anybody is there is for whoever uses it to find out; what the network says of it (nobody listens,
  no route) is only noted, since anybody can make it say so.
- While it is paused it keeps at most ``received_bytes_max``; more is a loss that must be seen, and
  so is a peer that sends more than ``datagrams_per_s_max``: the link is reset, and rests.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import ClassVar, NamedTuple

from drivers.transport.serial import LinkListener
from gateway.domain.ports import Carrier

log = logging.getLogger(__name__)

DATAGRAM_BYTES_MAX = 1500
"""What is longer than an Ethernet frame does not come from a device in one piece."""


class DatagramLimits(NamedTuple):
    """The bounds of one link."""

    received_bytes_max: int = 256 * 1024
    datagrams_per_s_max: int = 1000
    """A patient monitor with eleven waves sends about 20."""
    rest_s: float = 1.0
    """Before it is opened again."""


class DatagramLink:
    """See :class:`drivers.base.attachment.Link`. Everything is called on the event loop.

    Args:
        peer: address and port.
        listener: told of everything that happens, on the loop.
        limits: see there.
    """

    carrier: ClassVar = Carrier.DATAGRAMS

    def __init__(
        self,
        peer: tuple[str, int],
        listener: LinkListener,
        limits: DatagramLimits = DatagramLimits(),  # noqa: B008 - an immutable tuple
    ) -> None:
        self.peer = peer
        self._listener = listener
        self._limits = limits
        self._transport: asyncio.DatagramTransport | None = None
        self._kept: deque[bytes] = deque()
        self._kept_bytes = 0
        self._paused = False
        self._stopped = False
        self._second = self._in_second = 0
        self._opening: asyncio.Task[None] | None = None
        self.said_at = float("-inf")
        """When something was sent last, by the loop's clock."""

    @property
    def up(self) -> bool:
        """Whether it has a socket."""
        return self._transport is not None

    def start(self) -> None:
        """Begin to open; once."""
        self._open_after(0.0)

    def write(self, data: bytes) -> bool:
        """Send a datagram; False when there is no socket, or it is too long."""
        transport = self._transport
        if transport is None or len(data) > DATAGRAM_BYTES_MAX:
            return False
        self.said_at = asyncio.get_running_loop().time()
        transport.sendto(data)
        return True

    def pause(self) -> None:
        """Stop calling the listener; what arrives is kept up to the bound."""
        self._paused = True

    def resume(self) -> None:
        """Go on calling the listener, soon."""
        if self._paused:
            self._paused = False
            asyncio.get_running_loop().call_soon(self._hand_over)

    def reset(self, reason: str) -> None:
        """Close now, tell the listener, and open again after a rest."""
        self._close()
        self._listener.link_lost(reason)
        if not self._stopped:
            self._open_after(self._limits.rest_s)

    async def stop(self, grace_s: float) -> None:
        """Close; idempotent. The listener is not called any more."""
        del grace_s  # there is nothing to wait for
        self._stopped = True
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
        self._close()

    def _open_after(self, delay_s: float) -> None:
        self._opening = asyncio.get_running_loop().create_task(self._open(delay_s))

    async def _open(self, delay_s: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(delay_s)
            try:
                made, _ = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(self), remote_addr=self.peer
                )
            except OSError as error:
                log.info("no socket to %s: %s", self.peer[0], error.strerror)
                delay_s = self._limits.rest_s
                continue
            self._transport = made
            self._opening = None
            self._listener.link_up()
            return

    def _close(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        self._kept.clear()
        self._kept_bytes = 0

    def _received(self, transport: asyncio.BaseTransport | None, data: bytes) -> None:
        if self._transport is None or transport is not self._transport:
            return  # of a socket that was closed meanwhile
        second = int(asyncio.get_running_loop().time())
        self._in_second = self._in_second + 1 if second == self._second else 1
        self._second = second
        if self._in_second > self._limits.datagrams_per_s_max:
            self.reset("flood")
        elif not self._paused and not self._kept:
            self._listener.data_received(data)
        elif self._kept_bytes + len(data) > self._limits.received_bytes_max:
            self.reset("overflow")
        else:
            self._kept.append(data)
            self._kept_bytes += len(data)

    def _hand_over(self) -> None:
        """One of what was kept, and then the next turn of the loop."""
        if self._paused or not self._kept:
            return
        data = self._kept.popleft()
        self._kept_bytes -= len(data)
        self._listener.data_received(data)
        asyncio.get_running_loop().call_soon(self._hand_over)


class _Datagrams(asyncio.DatagramProtocol):
    """One socket's."""

    def __init__(self, link: DatagramLink) -> None:
        self._link = link
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: object) -> None:
        del addr  # the kernel let nobody else's through
        if data:
            self._link._received(self._transport, data)  # noqa: SLF001  # a part of it

    def error_received(self, exc: Exception) -> None:
        log.debug("datagram to %s: %s", self._link.peer[0], exc)
