"""The MQTT device endpoint as a driver; see README.md beside this file."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from drivers.mqtt.config import MqttConfig
from drivers.mqtt.connection import Connection
from drivers.mqtt.hub import Hub
from drivers.mqtt.mapping import DRIVER
from drivers.mqtt.roles import GATEWAY_STOPPED
from drivers.transport.addresses import parse_address
from drivers.transport.tls import ListenerLimits, TlsListener
from gateway.domain.ports import Driver, Ports

log = logging.getLogger(__name__)

TICK_S = 1.0


class MqttDriver:
    """One listener with its sessions; a :class:`gateway.domain.ports.Driver`."""

    def __init__(self, name: str, config: MqttConfig, ports: Ports) -> None:
        """Check the addresses; does no I/O.

        Raises:
            ConfigError: an address can't be used.
        """
        self._name = name
        self._config = config
        self._ports = ports
        self._listen = [parse_address(text) for text in config.listen]
        self._hub: Hub | None = None
        self._gone = asyncio.Event()
        self._ticking: asyncio.Task[None] | None = None
        self._listener = TlsListener(
            DRIVER,
            self._connection,
            ports.server_tls,
            ports.admission,
            ports.counters,
            _limits(config),
        )

    async def start(self) -> None:
        """Restore sessions, and listen.

        Raises:
            OSError: an address can't be bound; nothing is left open.
        """
        self._hub = Hub(self._ports, self._config)
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
        for session in hub.sessions:
            session.stop()
        try:
            async with asyncio.timeout(grace_s):
                while self._listener.connections:
                    self._gone.clear()
                    await self._gone.wait()
        except TimeoutError:
            log.warning("%s: %d connections are cut", self._name, len(hub.sessions))
        for session in hub.sessions:
            session.kill(GATEWAY_STOPPED)

    async def reconfigure(self, config: MqttConfig) -> bool:
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
            _limits(config),
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

        return Connection(self._hub, gone)

    async def _tick(self, hub: Hub) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            hub.tick()


def _limits(config: MqttConfig) -> ListenerLimits:
    return ListenerLimits(
        config.sessions_max,
        config.handshakes_max,
        waiting_max=config.handshakes_waiting_max,
        per_host_burst=config.handshakes_per_host,
        per_host_per_s=config.handshakes_per_host_s,
    )


class MqttFactory:
    """The entry point ``mqtt`` of the group ``wardgate.drivers``."""

    name = DRIVER
    config_type = MqttConfig

    def create(self, name: str, config: MqttConfig, ports: Ports) -> Driver:
        """Make one endpoint; does no I/O.

        Raises:
            ConfigError: an address can't be used.
        """
        return MqttDriver(name, config, ports)


FACTORY = MqttFactory()
