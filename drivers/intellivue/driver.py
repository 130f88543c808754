"""The driver: one connection per configured monitor."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

from drivers.intellivue.config import IntellivueConfig, MonitorPort
from drivers.intellivue.connection import NAME, MonitorConnection
from drivers.transport.serial import SerialLimits
from gateway.domain.ports import Driver, Ports

TRANSPORT = "serial"
LEAVE_GRACE_S = 3.0
"""For a monitor's answer to the release, and its port's end, when it is no longer configured."""


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
        self._rng = rng
        self._limits = limits
        self._started = False
        self.connections = tuple(map(self._connection, config.monitors))

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

    async def reconfigure(self, config: IntellivueConfig) -> bool:
        """Follow changed monitors; the others' associations stay."""
        if not self._started:
            return False
        present = {each.config: each for each in self.connections}
        leaving = [each for each in self.connections if each.config not in config.monitors]
        await asyncio.gather(*(each.stop(LEAVE_GRACE_S) for each in leaving))
        fresh = {
            monitor: self._connection(monitor)
            for monitor in config.monitors
            if monitor not in present
        }
        self.connections = tuple({**present, **fresh}[each] for each in config.monitors)
        for each in fresh.values():
            each.start()
        self._changed()
        return True

    def addresses(self) -> Mapping[str, tuple[str, int]]:
        """None: nothing listens."""
        return {}

    def healthy(self) -> bool:
        """Whether it runs."""
        return self._started

    def _connection(self, monitor: MonitorPort) -> MonitorConnection:
        return MonitorConnection(monitor, self._ports, self._rng, self._changed, self._limits)

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
