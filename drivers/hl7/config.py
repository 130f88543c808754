"""The driver's configuration: where it listens, and for whom each certificate may speak."""

from __future__ import annotations

from datetime import tzinfo
from typing import Annotated

import msgspec
from msgspec import Meta

from drivers.base.zones import zone_named
from drivers.transport.tls import ListenerLimits

_PerSecond = Annotated[float, Meta(gt=0, le=100_000)]
_Seconds = Annotated[float, Meta(gt=0, le=3600)]
_Id = Annotated[str, Meta(min_length=1, max_length=64)]
_Name = Annotated[str, Meta(min_length=1, max_length=256)]
DEVICES_MAX = 10_000
"""Of one sender."""


class Sender(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who a certificate's device is in HL7, and for which devices it may speak.

    A device without an entry speaks for itself alone, and its own id has to stand in MSH-3, and in
    OBX-18 where that names any equipment.
    """

    device_id: _Id
    """Whom the certificate names."""
    application: str = ""
    """MSH-3 as it is sent, or its first or second component; empty: the device id."""
    facility: str = ""
    """MSH-4, likewise; empty: any."""
    devices: Annotated[dict[_Name, _Id], Meta(max_length=DEVICES_MAX)] = {}
    """Equipment (OBX-18: all of it, its entity identifier, or its universal id) -> device id."""
    orders: Annotated[dict[_Name, _Id], Meta(max_length=DEVICES_MAX)] = {}
    """Pumps that this sender tells infusion orders for (PCD-03), named as in ``devices``: context,
    which makes it nobody's voice. Empty: its orders are refused."""
    adt: bool = False
    """Whether it may say who lies where (ADT)."""
    patient_authority: str = ""
    """CX.4 of the identifier in PID-3 that counts; empty: any."""
    patient_identifier_type: str = "MR"
    """CX.5 of it (HL7 table 0203)."""
    places: Annotated[dict[_Name, _Name], Meta(max_length=DEVICES_MAX)] = {}
    """PV1-3, ``ward^room^bed`` -> the bed as the registry has it, ``ward/bed``."""
    time_zone: str = "UTC"
    """Of times without an offset, in messages whose MSH-7 has none either."""

    def __post_init__(self) -> None:
        self.zone()
        for name, table in (("devices", self.devices), ("orders", self.orders)):
            if len({folded(each) for each in table}) != len(table):
                raise ValueError(f"{name}: two keys differ in upper and lower case alone")

    def zone(self) -> tzinfo:
        """The zone of times that name none.

        Raises:
            ValueError: this machine does not know it.
        """
        return zone_named(self.time_zone)


class Hl7Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One MLLP listener with its senders and limits."""

    listen: Annotated[tuple[str, ...], Meta(min_length=1, max_length=16)]
    """Literal addresses: ``"10.0.0.1:2575"``, ``"[::1]:2575"`` (2575 is registered for HL7); port 0
    takes a free one."""
    senders: tuple[Sender, ...] = ()
    connections_max: Annotated[int, Meta(ge=1, le=100_000)] = 2048
    """At a time, those that are still shaking hands included."""
    connections_per_device: Annotated[int, Meta(ge=1, le=4096)] = 8
    """Of one certificate: a gateway may use several."""
    message_size_bytes_max: Annotated[int, Meta(ge=4096, le=1_048_576)] = 131_072
    """Of one message: some 1000 observations."""
    pending_max: Annotated[int, Meta(ge=1, le=1024)] = 32
    """Messages of one connection that wait for the journal; then it is not read."""
    frame_timeout_s: _Seconds = 30.0
    """From the beginning of a message to its end."""
    repeats: Annotated[int, Meta(ge=1, le=10_000)] = 64
    """Of a sender's messages that came before, answered at once after a rest …"""
    repeats_per_s: _PerSecond = 4.0
    """… and then per second."""
    handshakes_max: Annotated[int, Meta(ge=4, le=4096)] = 128
    """Under way at a time; one address may have three quarters of them."""

    def __post_init__(self) -> None:
        names = [each.device_id for each in self.senders]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"senders: {min(twice)!r} is configured twice")
        speaks: dict[str, str] = {}
        for sender in self.senders:
            for device_id in set(sender.devices.values()):
                if speaks.setdefault(device_id, sender.device_id) != sender.device_id:
                    raise ValueError(
                        f"senders: {device_id!r} is spoken for by {speaks[device_id]!r} already"
                    )

    def limits(self) -> ListenerLimits:
        """What the listener spends at most."""
        return ListenerLimits(self.connections_max, self.handshakes_max)


def folded(name: str) -> str:
    """A name as it is compared."""
    return name.strip().casefold()
