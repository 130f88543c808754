"""The HL7 receiver as a driver; see README.md beside this file."""

from __future__ import annotations

from typing import Any

from drivers.base.served import ServedDriver
from drivers.hl7.config import Hl7Config
from drivers.hl7.hub import Hub
from drivers.hl7.senders import NAME
from gateway.domain.ports import Driver, Ports


class Hl7Factory:
    """The entry point ``hl7`` of the group ``wardgate.drivers``."""

    name = NAME
    config_type: type = Hl7Config
    fleet_settings = frozenset(("senders",))

    def create(self, name: str, config: Any, ports: Ports) -> Driver:
        """Make one receiver; does no I/O.

        Raises:
            ConfigError: an address can't be used.
        """
        return ServedDriver(name, NAME, config, ports, Hub)


FACTORY = Hl7Factory()
