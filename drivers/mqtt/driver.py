"""The MQTT device endpoint as a driver; see README.md beside this file."""

from __future__ import annotations

from drivers.base.served import ServedDriver
from drivers.mqtt.config import MqttConfig
from drivers.mqtt.hub import Hub
from drivers.mqtt.mapping import DRIVER
from gateway.domain.ports import Driver, Ports


class MqttFactory:
    """The entry point ``mqtt`` of the group ``wardgate.drivers``."""

    name = DRIVER
    config_type: type = MqttConfig

    def create(self, name: str, config: MqttConfig, ports: Ports) -> Driver:
        """Make one endpoint; does no I/O.

        Raises:
            ConfigError: an address can't be used.
        """
        return ServedDriver(name, DRIVER, config, ports, Hub)


FACTORY = MqttFactory()
