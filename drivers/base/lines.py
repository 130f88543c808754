"""Serial drivers: devices on ports that the configuration binds to them, and nothing else.

A driver is its configuration (a :class:`BoundPort` per device), its :class:`Dialogue`, and a
:class:`LineFactory` that joins the two; see drivers/README.md.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import msgspec

from drivers.base.attachment import Attachment, Binding, DialogueFactory, Link
from drivers.base.shared import Bus, SharedLine
from drivers.transport.serial import LinkListener, SerialLimits, SerialLink, SerialSettings
from gateway.domain.devices import PortCredential
from gateway.domain.ports import Driver, Ports
from gateway.domain.records import Attestation, Provenance

LEAVE_GRACE_S = 3.0
"""For a device's answer to our goodbye, and its port's end, when it is no longer configured."""


class BoundPort(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One serial port and the device that the gateway attests behind it.

    A driver derives its own, with its defaults and with what else it has to know; who adds a
    ``__post_init__`` calls :meth:`check` there.
    """

    device_id: str
    port: str
    """An absolute device path (best one under ``/dev/serial/by-path``), ``socket://host:port``
    or ``rfc2217://host:port``."""
    baud_rate: int = 9600

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """What a configuration must keep to.

        Raises:
            ValueError: it doesn't.
        """
        if not self.device_id:
            raise ValueError("device_id must not be empty")
        self.settings()

    def settings(self) -> SerialSettings:
        """How to open the port: eight data bits, no parity, one stop bit unless overridden.

        Raises:
            ValueError: the port or the baud rate can't be.
        """
        return SerialSettings(port=self.port, baud_rate=self.baud_rate)

    @property
    def station(self) -> Hashable:
        """Which device of several on the port it is; None: the port is its own."""
        return None

    @property
    def place(self) -> str:
        """What the gateway attests: the port, and the station where there are several."""
        return self.port if self.station is None else f"{self.port}#{self.station}"


class LinesConfig(Protocol):
    """A driver's configuration."""

    @property
    def bound(self) -> Sequence[BoundPort]:
        """All that is configured."""


class BoundLines(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration whose first field holds the ports: what a driver of a line has of its own."""

    def __post_init__(self) -> None:
        check_bound(self.bound)

    @property
    def bound(self) -> tuple[BoundPort, ...]:
        """All that is configured."""
        ports: tuple[BoundPort, ...] = getattr(self, self.__struct_fields__[0])
        return ports

    @property
    def dials(self) -> tuple[str, ...]:
        """The serial servers: the packet filter lets these through."""
        return serial_servers(self.bound)


def check_bound(bound: Sequence[BoundPort]) -> None:
    """Check that no place and no device stands twice, and that a port is opened in one way.

    Raises:
        ValueError: one does, or it isn't.
    """
    for what, names in (
        ("port", [each.place for each in bound]),
        ("device_id", [each.device_id for each in bound]),
    ):
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"{what} {min(twice)!r} is configured twice")
    ways: dict[str, BoundPort] = {}
    for each in bound:
        first = ways.setdefault(each.port, each)
        if first.settings() != each.settings() or (first.station is None) != (each.station is None):
            raise ValueError(f"port {each.port!r} is configured in two ways")


def serial_servers(bound: Sequence[BoundPort]) -> tuple[str, ...]:
    """``host:port`` of each serial server: what ``dials`` of the configuration is."""
    ports = (urlsplit(each.port) for each in bound if "://" in each.port)
    return tuple(dict.fromkeys(each.netloc for each in ports))


class LineProtocol(NamedTuple):
    """What makes one serial driver different from another."""

    name: str
    """Of the driver: in metrics, samples, state and provenance."""
    kind: str
    """See :class:`drivers.base.attachment.Binding`."""
    dialogues: Callable[[Any, Provenance, random.Random], DialogueFactory]
    """Called once per configured port, with the driver's own kind of BoundPort; what it returns
    makes the dialogue of each opening. What outlives a link loss may be kept between the two."""
    bus: Callable[[], Bus] | None = None
    """Of a protocol that has several devices on one port: makes the arbiter of a port."""


class LineDriver:
    """Reads the devices of one configuration; see :class:`gateway.domain.ports.Driver`.

    It starts and stays healthy without its devices: an unplugged cable is the device's status,
    not the gateway's.
    """

    def __init__(
        self,
        protocol: LineProtocol,
        config: LinesConfig,
        ports: Ports,
        rng: random.Random,
        limits: SerialLimits = SerialLimits(),  # noqa: B008 - an immutable tuple
    ) -> None:
        self._protocol = protocol
        self._ports = ports
        self._rng = rng
        self._limits = limits
        self._started = False
        self._shared: dict[SerialSettings, SharedLine] = {}
        self._attached = {each: self._attachment(each) for each in config.bound}

    async def start(self) -> None:
        """Begin to open the ports."""
        self._started = True
        for attachment in self._attached.values():
            attachment.start()

    async def stop(self, grace_s: float) -> None:
        """Say goodbye to every device and close every port, side by side."""
        if self._started:
            self._started = False
            await asyncio.gather(*(each.stop(grace_s) for each in self._attached.values()))

    async def reconfigure(self, config: LinesConfig) -> bool:
        """Follow changed devices; the others' dialogues go on."""
        if not self._started:
            return False
        before = self._attached
        leaving = [before[each] for each in before.keys() - set(config.bound)]
        await asyncio.gather(*(each.stop(LEAVE_GRACE_S) for each in leaving))
        self._attached = {each: before.get(each) or self._attachment(each) for each in config.bound}
        for each in self._attached.keys() - before.keys():
            self._attached[each].start()
        self._changed()
        return True

    def addresses(self) -> Mapping[str, tuple[str, int]]:
        """None: nothing listens."""
        return {}

    def healthy(self) -> bool:
        """Whether it runs."""
        return self._started

    def _attachment(self, bound: BoundPort) -> Attachment:
        protocol = self._protocol
        provenance = Provenance(protocol.name, Attestation.PORT, bound.place)
        settings = bound.settings()

        def serial(listener: LinkListener) -> SerialLink:
            return SerialLink(settings, listener, self._rng, self._limits)

        def link(listener: LinkListener) -> Link:
            if protocol.bus is None:
                return serial(listener)
            line = self._shared.get(settings)
            if line is None:
                ended = partial(self._shared.pop, settings, None)
                line = SharedLine(serial, protocol.bus(), self._ports.clock.monotonic, ended)
                self._shared[settings] = line
            return line.member(bound.station, listener)

        credential = PortCredential(bound.device_id, bound.place)
        binding = Binding(bound.device_id, protocol.kind, credential, provenance)
        dialogues = protocol.dialogues(bound, provenance, self._rng)
        return Attachment(binding, link, dialogues, self._ports, self._changed)

    def _changed(self) -> None:
        online = sum(each.online for each in self._attached.values())
        self._ports.counters.set("sessions", online, self._protocol.name)


class LineFactory:
    """What the entry point of a serial driver names."""

    def __init__(
        self,
        protocol: LineProtocol,
        config_type: type,
        fleet_settings: frozenset[str] = frozenset(),
    ) -> None:
        """Keep the parts.

        Args:
            protocol: see there.
            config_type: a frozen Struct that is a :class:`LinesConfig`.
            fleet_settings: see :class:`gateway.domain.ports.DriverFactory`.
        """
        self.protocol = protocol
        self.name = protocol.name
        self.config_type = config_type
        self.fleet_settings = fleet_settings

    def create(self, name: str, config: Any, ports: Ports) -> Driver:
        """Make a driver; opens nothing."""
        del name
        return LineDriver(self.protocol, config, ports, random.SystemRandom())
