"""Drivers that listen: one TLS listener, a session per connection, and time.

A driver is its session (:class:`drivers.base.connection.StreamSession`), a :class:`Hub` that
makes and knows them, and a :class:`ServedDriver`. Who may connect, how fast and how many is the
listener's (:mod:`drivers.transport.tls`); who it is, admission's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from drivers.base.connection import Connection, StreamSession, Wire
from drivers.transport.addresses import parse_address
from drivers.transport.tls import ListenerLimits, Peer, TlsListener
from gateway.domain.ports import Ports

log = logging.getLogger(__name__)

TICK_S = 1.0
GATEWAY_STOPPED = "gateway_stopped"
"""Why a session is killed that did not end in time: nothing is said about its device."""


class Ending(Protocol):
    """A session, as far as the driver ends it."""

    def stop(self) -> None:
        """The gateway stops: read no more, answer what is under way, then close."""

    def kill(self, reason: str) -> None:
        """Drop the connection now; idempotent."""


class Hub(Protocol):
    """All sessions of one listener; made by ``start``, when committed state may be read."""

    config: Any
    """For sessions to come; set when the configuration has changed."""

    @property
    def sessions(self) -> Collection[Ending]:
        """All that have not ended."""

    def connect(self, peer: Peer, wire: Wire) -> StreamSession:
        """A connection was made.

        Raises:
            RefusedError: the peer is not let in; audited and counted.
        """

    def tick(self) -> None:
        """Called once a second."""


class ServedConfig(Protocol):
    """What the configuration of such a driver has to say."""

    @property
    def listen(self) -> Sequence[str]:
        """Addresses."""

    def limits(self) -> ListenerLimits:
        """What the listener spends at most."""


class ServedDriver:
    """One listener with its sessions; a :class:`gateway.domain.ports.Driver`."""

    def __init__(
        self,
        name: str,
        label: str,
        config: ServedConfig,
        ports: Ports,
        make_hub: Callable[[Ports, Any], Hub],
    ) -> None:
        """Check the addresses; does no I/O.

        Args:
            name: the instance's, in its configuration.
            label: the driver's, in metrics and audit.
            config: the driver's own.
            ports: the gateway's.
            make_hub: called with ports and configuration at the start.

        Raises:
            ConfigError: an address can't be used.
        """
        self._name = name
        self._ports = ports
        self._config = config
        self._make_hub = make_hub
        self._listen = [parse_address(text) for text in config.listen]
        self._hub: Hub | None = None
        self._gone = asyncio.Event()
        self._ticking: asyncio.Task[None] | None = None
        self._listener = TlsListener(
            label,
            self._connection,
            ports.server_tls,
            ports.admission,
            ports.counters,
            config.limits(),
        )

    async def start(self) -> None:
        """Restore what was committed, and listen.

        Raises:
            OSError: an address can't be bound; nothing is left open.
        """
        self._hub = self._make_hub(self._ports, self._config)
        await self._listener.start(self._listen)
        self._ticking = asyncio.create_task(self._tick(self._hub), name=f"{self._name} clock")
        log.info("%s listens at %s", self._name, self._listener.addresses())

    async def stop(self, grace_s: float) -> None:
        """Answer what is in flight, say goodbye, and close; idempotent."""
        await self._listener.stop()  # handshakes under way need the hub until they have ended
        hub, self._hub = self._hub, None
        if hub is None:
            return
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.wait([self._ticking])
        for session in tuple(hub.sessions):
            session.stop()
        try:
            async with asyncio.timeout(grace_s):
                while self._listener.connections:
                    self._gone.clear()
                    await self._gone.wait()
        except TimeoutError:
            log.warning("%s: %d connections are cut", self._name, len(hub.sessions))
        for session in tuple(hub.sessions):
            session.kill(GATEWAY_STOPPED)

    async def reconfigure(self, config: ServedConfig) -> bool:
        """Follow changed addresses and limits; sessions stay, new ones get the new limits.

        Raises:
            ConfigError, OSError: an added address can't be used; nothing has changed.
        """
        listen = [parse_address(text) for text in config.listen]
        before, changed = set(self._listen), set(listen) != set(self._listen)
        hub = self._hub
        drawn = any(port == 0 for _, port in (*listen, *before))
        if hub is None or (changed and (drawn or before.isdisjoint(listen))):
            return False
        await self._listener.move(
            [each for each in listen if each not in before],
            [each for each in before if each not in listen],
            config.limits(),
        )
        self._listen, self._config, hub.config = listen, config, config
        return True

    def addresses(self) -> Mapping[str, tuple[str, int]]:
        """The first address by the driver's name, further ones with their number."""
        found = self._listener.addresses()
        return {
            self._name if not index else f"{self._name}_{index}": address
            for index, address in enumerate(found)
        }

    def healthy(self) -> bool:
        """Whether it accepts and its clock runs."""
        ticks = self._ticking is not None and not self._ticking.done()
        return ticks and self._listener.healthy()

    def _connection(self, release: Callable[[], None]) -> asyncio.Protocol:
        assert self._hub is not None  # start() made it before the listener accepts

        def gone() -> None:
            release()
            self._gone.set()

        return Connection(self._hub.connect, gone)

    async def _tick(self, hub: Hub) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            hub.tick()
