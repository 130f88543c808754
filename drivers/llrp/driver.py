"""RFID readers: the entry point ``llrp`` of the group ``wardgate.drivers``.

The gateway is the readers' only client. How a reader is known:

- over TLS by its certificate: one of ours, for the reader's host; or by its key alone, which the
  configuration pins;
- without TLS by its address (``Attestation.ADDRESS``), in networks that are configured for it.

Admission is asked in each case before a word is said.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from drivers.base.attachment import Attachment, Binding, DialogueFactory
from drivers.base.lines import LEAVE_GRACE_S
from drivers.llrp.config import LlrpConfig, Reader
from drivers.llrp.dialogue import Past, ReaderDialogue
from drivers.llrp.mapping import Mapper
from drivers.transport.dialled import DialledLink, DialLimits, Secured
from drivers.transport.serial import LinkListener
from gateway.domain.devices import AddressCredential, Credential, HostCredential
from gateway.domain.ports import Driver, Ports
from gateway.domain.records import Attestation, Provenance

NAME = "llrp"
KIND = "reader"
FIRST_ID_MAX = 0x7FFFFFFF


def dialogues(
    reader: Reader,
    provenance: Provenance,
    rng: random.Random,
    heard_us: int = 0,
    counted: Callable[[int], object] = bool,
) -> DialogueFactory:
    """Make the dialogues of one reader.

    ``heard_us`` is until when an earlier run heard it; ``counted``: see :class:`Mapper`.
    """
    past = Past(heard_us)
    return lambda device: ReaderDialogue(
        reader, Mapper(device.device_id, provenance, counted), past, rng.randint(1, FIRST_ID_MAX)
    )


class _Place:
    """One configured reader."""

    def __init__(self, reader: Reader, driver: LlrpDriver, rng: random.Random) -> None:
        self.reader = reader
        self._ports = driver.ports
        self._address = str(reader.place())
        provenance = self._provenance()
        binding = Binding(reader.device_id, KIND, self._credential(), provenance, exclusive=True)
        heard = driver.ports.state.items(f"{NAME}.heard").get(reader.device_id, b"")
        past_us = int.from_bytes(heard, "big")

        def link(listener: LinkListener) -> DialledLink:
            self._link = DialledLink(reader.place(), listener, self._secured(), rng, driver.limits)
            return self._link

        self.attachment = Attachment(
            binding,
            link,
            dialogues(reader, provenance, rng, past_us, self._count),
            driver.ports,
            driver.changed,
        )

    def _provenance(self) -> Provenance:
        if not self.reader.tls:
            return Provenance(NAME, Attestation.ADDRESS, f"tcp://{self._address}")
        by = self.reader.pin or f"tls://{self._address}"
        return Provenance(NAME, Attestation.CERTIFICATE, by)

    def _credential(self) -> Credential | Callable[[], Credential]:
        device_id = self.reader.device_id
        if self.reader.tls and not self.reader.pin:
            return lambda: HostCredential(device_id, self._link.certificate, NAME, self._address)
        return AddressCredential(device_id, self._address)

    def _secured(self) -> Secured | None:
        reader = self.reader
        if not reader.tls:
            return None
        return Secured(self._ports.client_tls, reader.place().host, self._refused, reader.pin)

    def _count(self, reads: int) -> None:
        self._ports.counters.add("rfid_reports")
        self._ports.counters.add("rfid_reads", n=reads)

    def _refused(self, reason: str) -> None:
        self._ports.admission.refuse(reason, NAME, self._address, self.reader.device_id)


class LlrpDriver:
    """See :class:`gateway.domain.ports.Driver`.

    It starts and stays healthy without its readers: a reader that is off is the reader's status.
    """

    def __init__(
        self,
        config: LlrpConfig,
        ports: Ports,
        rng: random.Random,
        limits: DialLimits = DialLimits(),  # noqa: B008 - an immutable tuple
    ) -> None:
        self.ports = ports
        self.limits = limits
        self._rng = rng
        self._config = config
        self._places: dict[str, _Place] = {}
        self._started = False

    async def start(self) -> None:
        """Begin to connect."""
        self._started = True
        self._follow(self._config)

    async def stop(self, grace_s: float) -> None:
        """Close every connection, side by side; idempotent."""
        if self._started:
            self._started = False
            places = self._places.values()
            await asyncio.gather(*(each.attachment.stop(grace_s) for each in places))

    async def reconfigure(self, config: LlrpConfig) -> bool:
        """Follow changed readers; the others' connections go on."""
        if not self._started:
            return False
        wanted = {each.device_id: each for each in config.readers}
        gone = [place for name, place in self._places.items() if wanted.get(name) != place.reader]
        for place in gone:
            del self._places[place.reader.device_id]
        await asyncio.gather(*(each.attachment.stop(LEAVE_GRACE_S) for each in gone))
        self._follow(config)
        self.changed()
        return True

    def _follow(self, config: LlrpConfig) -> None:
        self._config = config
        for each in config.readers:
            if each.device_id not in self._places:
                place = self._places[each.device_id] = _Place(each, self, self._rng)
                place.attachment.start()

    def addresses(self) -> Mapping[str, tuple[str, int]]:
        """None: it connects out."""
        return {}

    def healthy(self) -> bool:
        """Whether it runs."""
        return self._started

    def changed(self) -> None:
        """A reader came or went."""
        online = sum(each.attachment.online for each in self._places.values())
        self.ports.counters.set("sessions", online, NAME)


class _Protocol(NamedTuple):
    """What fuzzing asks of a driver with dialogues."""

    dialogues: Callable[[Any, Provenance, random.Random], DialogueFactory] = dialogues


class LlrpFactory:
    """What the entry point names."""

    name = NAME
    config_type: type = LlrpConfig
    fleet_settings = frozenset(("readers",))
    protocol = _Protocol()

    def create(self, name: str, config: Any, ports: Ports) -> Driver:
        """Make a driver; opens nothing."""
        del name
        return LlrpDriver(config, ports, random.SystemRandom())


FACTORY = LlrpFactory()
