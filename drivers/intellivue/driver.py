"""The driver: one connection per configured monitor."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

from drivers.intellivue.config import IntellivueConfig
from drivers.intellivue.connection import NAME, MonitorConnection
from drivers.transport.serial import SerialLimits
from gateway.domain.ports import Driver, Ports

TRANSPORT = "serial"


class IntellivueDriver:
    """Reads the monitors of one configuration; see :class:`gateway.domain.ports.Driver`.

    It starts and stays healthy without its monitors: an unplugged cable is the monitor's
    status, not the gateway's.
    """

    def __init__(
        self,
        config: IntellivueConfig,
        ports: Ports,
        rng: random.Random,
        limits: SerialLimits = SerialLimits(),  # noqa: B008 - an immutable tuple
    ) -> None:
        self._ports = ports
        self._started = False
        self.connections = tuple(
            MonitorConnection(monitor, ports, rng, self._changed, limits)
            for monitor in config.monitors
        )

    async def start(self) -> None:
        """Begin to open the ports."""
        self._started = True
        for connection in self.connections:
            connection.start()

    async def stop(self, grace_s: float) -> None:
        """Release every association and close every port, side by side."""
        if self._started:
            self._started = False
            await asyncio.gather(*(c.stop(grace_s) for c in self.connections))

    def addresses(self) -> Mapping[str, tuple[str, int]]:
        """None: nothing listens."""
        return {}

    def healthy(self) -> bool:
        """Whether it runs."""
        return self._started

    def _changed(self) -> None:
        attached = sum(connection.attached for connection in self.connections)
        self._ports.counters.set("sessions", attached, TRANSPORT)


class IntellivueFactory:
    """Entry point ``intellivue`` of the group ``wardgate.drivers``."""

    name = NAME
    config_type: type = IntellivueConfig
    fleet_settings = frozenset(("monitors",))

    def create(self, name: str, config: Any, ports: Ports) -> Driver:
        """Make a driver; opens nothing."""
        del name
        return IntellivueDriver(config, ports, random.SystemRandom())


FACTORY = IntellivueFactory()
