"""Monitors on a network: the entry point ``intellivue_lan`` of the group ``wardgate.drivers``.

The gateway speaks to each configured address on UDP 24105, from a port of its own. What monitors
broadcast on 24005 while nobody has an association with them (connect indications) is a hint and
nothing else: it ends a rest early for a monitor that is configured, and one that is not is named in
the log. Nothing that such a datagram says is believed.

A monitor has no certificate, and a LAN has no cable that somebody could follow: the gateway takes
the monitor to be at its address (``Attestation.ADDRESS``). Reports say so.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping
from typing import Any

from drivers.base.attachment import Attachment, Binding
from drivers.base.lines import LEAVE_GRACE_S
from drivers.intellivue import messages
from drivers.intellivue.config import IntellivueLanConfig, MonitorAddress, joined
from drivers.intellivue.dialogue import lan_dialogues
from drivers.transport.datagram import DatagramLimits, DatagramLink
from drivers.transport.serial import LinkListener
from gateway.domain.devices import AddressCredential
from gateway.domain.errors import ConfigError, MalformedError, RefusalReason
from gateway.domain.ports import Driver, Ports
from gateway.domain.records import Attestation, Provenance

log = logging.getLogger(__name__)

NAME = "intellivue_lan"
QUIET_S = 1.5
"""A hint counts when nothing was said to the monitor for so long: a monitor that hears a request
answers in milliseconds, and one that still announces itself did not hear it."""
HINTS_PER_S_MAX = 50
"""Connect indications looked at; a monitor sends one every few seconds."""
STRANGERS_MAX = 256
"""Addresses remembered as told of."""


class _Place:
    """One configured monitor."""

    def __init__(
        self, bound: MonitorAddress, driver: IntellivueLanDriver, rng: random.Random
    ) -> None:
        self._loop = asyncio.get_running_loop()
        host, port = bound.place()
        address = joined(host, port)
        provenance = Provenance(NAME, Attestation.ADDRESS, f"udp://{address}")
        binding = Binding(
            bound.device_id, "monitor", AddressCredential(bound.device_id, address), provenance
        )
        self.host = host

        def link(listener: LinkListener) -> DatagramLink:
            self.link = DatagramLink((host, port), listener, driver.limits)
            return self.link

        self.attachment = Attachment(
            binding, link, lan_dialogues(bound, provenance, rng), driver.ports, driver.changed
        )

    def hint(self) -> None:
        """The monitor says that it is there and that nobody speaks with it."""
        link = self.link
        if self.attachment.online:
            return  # anybody can say so in its name: that must not cost an association
        if link.up and self._loop.time() - link.said_at > QUIET_S:
            log.info("the monitor at %s announces itself", self.host)
            link.reset("announced")


class IntellivueLanDriver:
    """See :class:`gateway.domain.ports.Driver`."""

    def __init__(
        self,
        config: IntellivueLanConfig,
        ports: Ports,
        rng: random.Random,
        limits: DatagramLimits = DatagramLimits(),  # noqa: B008 - an immutable tuple
    ) -> None:
        self.ports = ports
        self.limits = limits
        self._config = config
        self._rng = rng
        self._places: dict[MonitorAddress, _Place] = {}
        self._heard: list[asyncio.DatagramTransport] = []
        self._strangers: set[str] = set()
        self._second = self._in_second = 0
        self._started = False

    async def start(self) -> None:
        """Listen for connect indications, and begin to speak to the monitors."""
        loop = asyncio.get_running_loop()
        try:
            for address in self._config.listen:
                host, _, port = address.rpartition(":")
                made, _ = await loop.create_datagram_endpoint(
                    lambda: _Indications(self), local_addr=(host.strip("[]"), int(port))
                )
                self._heard.append(made)
        except (OSError, ValueError) as error:
            self._deaf()
            raise ConfigError(f"{NAME}: listen: {error}") from error
        self._started = True
        self._follow(self._config)

    async def stop(self, grace_s: float) -> None:
        """Release every association, side by side."""
        self._deaf()
        if self._started:
            self._started = False
            places = self._places.values()
            await asyncio.gather(*(each.attachment.stop(grace_s) for each in places))

    async def reconfigure(self, config: IntellivueLanConfig) -> bool:
        """Follow changed monitors; the others' associations go on."""
        if not self._started or config.listen != self._config.listen:
            return False
        gone = [self._places.pop(each) for each in set(self._places) - set(config.monitors)]
        await asyncio.gather(*(each.attachment.stop(LEAVE_GRACE_S) for each in gone))
        self._follow(config)
        self.changed()
        return True

    def _follow(self, config: IntellivueLanConfig) -> None:
        self._config = config
        for each in config.monitors:
            if each not in self._places:
                place = self._places[each] = _Place(each, self, self._rng)
                place.attachment.start()

    def addresses(self) -> Mapping[str, tuple[str, int]]:
        """Where connect indications are heard."""
        names = (f"{NAME}-{number}" for number in range(len(self._heard)))
        found = (each.get_extra_info("sockname")[:2] for each in self._heard)
        return dict(zip(names, found, strict=True))

    def healthy(self) -> bool:
        """Whether it runs: a monitor that is off is the monitor's status."""
        return self._started

    def changed(self) -> None:
        """A monitor came or went."""
        online = sum(each.attachment.online for each in self._places.values())
        self.ports.counters.set("sessions", online, NAME)

    def indicated(self, datagram: bytes, host: str) -> None:
        """Somebody broadcast something on the port of connect indications."""
        second = int(asyncio.get_running_loop().time())
        self._in_second = self._in_second + 1 if second == self._second else 1
        self._second = second
        if self._in_second > HINTS_PER_S_MAX:
            return
        try:
            messages.decode_connect_indication(datagram)
        except MalformedError as error:
            self.ports.counters.add("malformed", NAME, error.reason)
            return
        place = next((each for each in self._places.values() if each.host == host), None)
        if place is not None:
            place.hint()
        elif host not in self._strangers and len(self._strangers) < STRANGERS_MAX:
            self._strangers.add(host)
            log.warning("a monitor at %s announces itself, and none is configured there", host)
            self.ports.admission.refuse(RefusalReason.UNKNOWN_DEVICE, "lan", host)

    def _deaf(self) -> None:
        for transport in self._heard:
            transport.close()
        self._heard.clear()


class _Indications(asyncio.DatagramProtocol):
    def __init__(self, driver: IntellivueLanDriver) -> None:
        self._driver = driver

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._driver.indicated(data, str(addr[0]))


class IntellivueLanFactory:
    """What the entry point names."""

    name = NAME
    config_type: type = IntellivueLanConfig
    fleet_settings = frozenset(("monitors",))

    def create(self, name: str, config: Any, ports: Ports) -> Driver:
        """Make a driver; opens nothing."""
        del name
        return IntellivueLanDriver(config, ports, random.SystemRandom())


FACTORY = IntellivueLanFactory()
