"""Serial lines on pyserial: device paths, ptys, ``rfc2217://`` and ``socket://``.

One thread per port opens it, reads, writes and opens it again (docs/decisions/0005). Rules:

- The event loop never waits for a port. What the thread reads goes through a queue of at most
  ``received_bytes_max``; a loop that pauses fills it, and when it is full the link is reset and
  reported lost: a UART can't be slowed down, so the loss must be seen instead of happening in
  the kernel's buffer.
- Up, data and down reach the listener on the loop, in the order in which they happened.
- A link that is lost is opened again after a jittered back-off, for ever, until ``stop``.
- ``stop`` returns within its grace; a thread that hangs in a driver's ``open`` is abandoned.
- pyserial opens and configures; bytes are moved with ``poll`` on the descriptor, because
  pyserial's own reads use ``select``, which fails beyond descriptor 1023. ``rfc2217://`` has no
  descriptor (pyserial speaks Telnet in a thread of its own) and is read with a time-out.

``socket://`` and ``rfc2217://`` are neither encrypted nor authenticated: for a terminal server
on a segment of its own.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from typing import ClassVar, Protocol

from drivers.transport.serial_settings import SerialLimits, SerialSettings
from drivers.transport.serial_thread import Kind, Mailbox, PortThread
from gateway.domain.ports import Carrier

__all__ = ["LinkListener", "SerialLimits", "SerialLink", "SerialSettings"]

log = logging.getLogger(__name__)

ITEMS_PER_TURN_MAX = 2
"""Handed over before other work of the loop gets its turn: at most 8 KiB, which a driver decodes
in a few milliseconds, so that a peer that floods a ``socket://`` delays nobody."""


class LinkListener(Protocol):
    """Who uses a link; called on the event loop."""

    def link_up(self) -> None:
        """The port is open; what was sent to an earlier opening is gone."""

    def data_received(self, data: bytes) -> None:
        """Bytes as they came, never empty."""

    def link_lost(self, reason: str) -> None:
        """The port is closed; it will be opened again.

        ``reason`` is ``hung_up``, ``read_failed``, ``write_failed``, ``write_stuck``,
        ``overflow``, or what was given to :meth:`SerialLink.reset`.
        """


class SerialLink:
    """One port, kept open. Everything here is called on the event loop."""

    carrier: ClassVar = Carrier.STREAM

    def __init__(
        self,
        settings: SerialSettings,
        listener: LinkListener,
        rng: random.Random,
        limits: SerialLimits = SerialLimits(),  # noqa: B008 - an immutable tuple
    ) -> None:
        self.settings = settings
        self._listener = listener
        self._rng = rng
        self._limits = limits
        self._paused = False
        self._up = False
        self._mailbox: Mailbox | None = None
        self._ended = asyncio.Event()

    @property
    def up(self) -> bool:
        """Whether the listener was told that the link is up."""
        return self._up

    def start(self) -> None:
        """Begin to open the port; once."""
        loop = asyncio.get_running_loop()
        self._mailbox = mailbox = Mailbox(
            self._limits, lambda: loop.call_soon_threadsafe(self._drain)
        )

        def ended() -> None:
            loop.call_soon_threadsafe(self._on_ended)

        thread = PortThread(self.settings, self._limits, mailbox, self._rng, ended)
        threading.Thread(
            target=thread.run, name=f"serial {self.settings.port}", daemon=True
        ).start()

    def write(self, data: bytes) -> bool:
        """Queue ``data``; False when the link is down or too much is queued already."""
        return self._mailbox is not None and self._mailbox.send(data)

    def pause(self) -> None:
        """Stop calling the listener; what arrives is kept up to the bound."""
        self._paused = True

    def resume(self) -> None:
        """Go on calling the listener, soon."""
        if self._paused:
            self._paused = False
            asyncio.get_running_loop().call_soon(self._drain)

    def reset(self, reason: str) -> None:
        """Close the port now, forget what it said, and open it again after a rest.

        The listener hears of it before this returns, if it knew the link as up.
        """
        if self._mailbox is not None:
            self._mailbox.discard()
        if self._up:
            self._up = False
            self._listener.link_lost(reason)

    async def stop(self, grace_s: float) -> None:
        """Write what is queued, close the port, end the thread; idempotent.

        The listener is not called any more. Returns within ``grace_s``.
        """
        if self._mailbox is None:
            return
        self._up = False
        self._mailbox.stop()
        try:
            async with asyncio.timeout(grace_s):
                await self._ended.wait()
        except TimeoutError:
            log.warning("port %s: its thread did not end in time", self.settings.port)

    def _on_ended(self) -> None:
        assert self._mailbox is not None
        self._mailbox.close()
        self._ended.set()

    def _drain(self) -> None:
        """Hand over what the thread left, a bounded part at a time."""
        mailbox = self._mailbox
        assert mailbox is not None
        for _ in range(ITEMS_PER_TURN_MAX):
            item = None if self._paused else mailbox.take()
            if item is None:
                mailbox.handed_over()
                return
            kind, content = item
            if kind is Kind.DATA:
                self._listener.data_received(content)
            elif kind is Kind.UP:
                self._up = True
                self._listener.link_up()
            else:
                self._up = False
                self._listener.link_lost(content.decode())
        asyncio.get_running_loop().call_soon(self._drain)
