"""Who may say what: a certificate's device, its name in MSH-3 and MSH-4, and whom it speaks for.

Rules:

- The certificate says who connects. A message that names another application or facility than is
  configured for that certificate is refused.
- What a sender says of itself is attested by its certificate. A gateway (an IHE *Device Observation
  Reporter*) that speaks for other devices is believed for those that its configuration lists, and
  what it says of them is attested by it: ``attestation = broker``, and which.
- Equipment is compared as a whole EI, then by its entity identifier, then by its universal id:
  the universal id is often that of all pumps of a maker.
- An order system is believed for the pumps of its ``orders``; what it says of them is context, and
  it speaks for none.
- A listed device that the registry does not admit is left out; what is said of one that is not
  listed costs the whole message.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import tzinfo
from typing import Final

from drivers.hl7.adt import Feed
from drivers.hl7.config import Hl7Config, Sender, folded
from drivers.hl7.mapping import Whose
from gateway.domain.devices import BrokerCredential, Device
from gateway.domain.errors import RefusalReason, RefusedError
from gateway.domain.ports import Admission
from gateway.domain.records import Attestation, Provenance

NAME: Final = "hl7"
VOUCHED_MAX: Final = 20_000
"""Devices that are remembered as admitted."""


class Vouched:
    """A device that a sender vouches for; a LiveSession of the identity service."""

    def __init__(self, devices: VouchedDevices, device_id: str, sender_id: str) -> None:
        self._devices = devices
        self.device_id = device_id
        self.sender_id = sender_id
        self.device = Device(device_id)

    def kill(self, reason: str) -> None:
        """Take nothing more of it before it is admitted anew; idempotent."""
        del reason
        self._devices.forget(self)


class VouchedDevices:
    """Those that were admitted on a sender's word, each once."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._admitted: OrderedDict[str, Vouched] = OrderedDict()

    def admit(self, device_id: str, sender_id: str) -> Device:
        """The device as the identity service knows it.

        Raises:
            RefusedError: it is not admitted; already audited.
        """
        known = self._admitted.get(device_id)
        if known is not None:
            return known.device
        if len(self._admitted) >= VOUCHED_MAX:
            self.forget(next(iter(self._admitted.values())))
        session = Vouched(self, device_id, sender_id)
        session.device = self._admission.admit(BrokerCredential(device_id, sender_id), session)
        self._admitted[device_id] = session
        return session.device

    def forget(self, session: Vouched) -> None:
        """It must be admitted anew."""
        if self._admitted.get(session.device_id) is session:
            del self._admitted[session.device_id]
        self._admission.leave(session)

    def forget_of(self, sender_id: str) -> None:
        """All that a sender vouched for: it is gone."""
        for session in [s for s in self._admitted.values() if s.sender_id == sender_id]:
            self.forget(session)

    def clear(self) -> None:
        """All of them."""
        for session in list(self._admitted.values()):
            self.forget(session)


class Senders:
    """The configured senders, by the device that their certificates name."""

    def __init__(self, config: Hl7Config) -> None:
        self._senders = {each.device_id: Voice(each) for each in config.senders}

    def of(self, device_id: str) -> Voice:
        """How a certificate's device speaks."""
        return self._senders.get(device_id) or Voice(Sender(device_id=device_id))


class Voice:
    """One sender: what it is called, and whom it may speak for."""

    def __init__(self, sender: Sender) -> None:
        self.device_id = sender.device_id
        self.zone: tzinfo = sender.zone()
        self.feed = Feed(sender)
        self._application = folded(sender.application or sender.device_id)
        self._facility = folded(sender.facility)
        self._devices = {folded(name): device for name, device in sender.devices.items()}
        self._pumps = {folded(name): device for name, device in sender.orders.items()}

    @property
    def orders(self) -> bool:
        """Whether it may tell orders."""
        return bool(self._pumps)

    def pump_of(self, equipment: tuple[str, ...]) -> str:
        """Which pump an order is for.

        Raises:
            RefusedError: ``identity_mismatch``, one that it may not tell orders for.
        """
        for name in _equipment_names(equipment):
            found = self._pumps.get(name)
            if found is not None:
                return found
        raise RefusedError(RefusalReason.IDENTITY_MISMATCH, "an order for another's pump")

    def is_called(self, application: str, facility: str, component: str) -> bool:
        """Whether MSH-3 and MSH-4 are this sender's."""
        return self._application in _names(application, component) and (
            not self._facility or self._facility in _names(facility, component)
        )

    def device_of(self, equipment: tuple[str, ...]) -> str:
        """Which device an EI names; the sender's own where it names none.

        Raises:
            RefusedError: ``identity_mismatch``, one that it must not speak for.
        """
        names = _equipment_names(equipment)
        if not names:
            if self._devices and self.device_id not in self._devices.values():
                raise RefusedError(RefusalReason.IDENTITY_MISMATCH, "names no equipment")
            return self.device_id
        for name in names:
            found = self._devices.get(name)
            if found is not None:
                return found
        if not self._devices and folded(self.device_id) in names:
            return self.device_id
        raise RefusedError(RefusalReason.IDENTITY_MISMATCH, "speaks for another device")

    def whose(
        self, equipment: tuple[str, ...], sender: Device, vouched: VouchedDevices
    ) -> Whose | None:
        """Whose the equipment's values are; None when that device is not admitted.

        Raises:
            RefusedError: ``identity_mismatch``, one that the sender must not speak for.
        """
        device_id = self.device_of(equipment)
        if device_id == sender.device_id:
            return Whose(sender, Provenance(NAME, Attestation.CERTIFICATE))
        try:
            device = vouched.admit(device_id, sender.device_id)
        except RefusedError:
            return None
        return Whose(device, Provenance(NAME, Attestation.BROKER, sender.device_id))


def _names(field: str, component: str) -> set[str]:
    """An HD as a whole, its namespace and its universal id, as far as they say something."""
    parts = [folded(each) for each in field.split(component)]
    return {each for each in (folded(field), *parts[:2]) if each}


def _equipment_names(equipment: tuple[str, ...]) -> list[str]:
    """An EI as a whole, its entity identifier and its universal id."""
    parts = [*map(folded, equipment), "", "", ""]
    whole = "^".join(parts).rstrip("^")
    return list(dict.fromkeys(each for each in (whole, parts[0], parts[2]) if each))
