"""Topics and payloads of devices <-> records.

A device owns the topics below ``devices/<its id>/``: ``vitals``, ``drip`` and ``status`` carry
the bedside payload (``drivers/bedside/README.md``), ``command`` is its downlink and
``command/result`` takes its answers. A payload that begins like a CBOR map is CBOR (no JSON
text begins so), everything else is JSON.
"""

from __future__ import annotations

from typing import NamedTuple

from drivers.bedside import codec
from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.records import (
    Alarm,
    AlarmKind,
    AlarmPhase,
    AlarmPriority,
    AlarmSource,
    Attestation,
    DeviceState,
    DeviceStatus,
    Provenance,
)

DRIVER = "mqtt"
ATTESTED = Provenance(DRIVER, Attestation.CERTIFICATE)
"""Who says it: the holder of the certificate. One object for all sessions."""
OURSELVES = Provenance(DRIVER, Attestation.GATEWAY)
DETAIL_CHARACTERS_MAX = 256
"""What is kept of a last will."""


class Topics(NamedTuple):
    """The topics of one device."""

    prefix: str
    kinds: dict[str, str]
    """Topic -> kind of payload."""
    command: str
    result: str

    @classmethod
    def of(cls, device_id: str) -> Topics:
        """Make them from the id that the certificate proved."""
        prefix = f"devices/{device_id}/"
        return cls(
            prefix,
            {prefix + kind: kind for kind in codec.KINDS},
            f"{prefix}command",
            f"{prefix}command/result",
        )


def online(device: Device, received_us: int, reason: str) -> DeviceStatus:
    """The device has a session."""
    return DeviceStatus(
        device.device_id, device.kind, ATTESTED, received_us, DeviceState.ONLINE, reason
    )


def offline(device: Device, received_us: int, reason: str, will: bytes = b"") -> DeviceStatus:
    """The device's session has no connection any more."""
    words = will.decode("utf-8", "replace")[:DETAIL_CHARACTERS_MAX]
    return DeviceStatus(
        device.device_id,
        device.kind,
        ATTESTED,
        received_us,
        DeviceState.OFFLINE,
        reason,
        detail="".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in words),
    )


def clone_alarm(
    device: Device, alarm_id: str, phase: AlarmPhase, onset_us: int, at_us: int
) -> Alarm:
    """Two places use one device's certificate."""
    return Alarm(
        alarm_id=alarm_id,
        device_id=device.device_id,
        provenance=OURSELVES,
        priority=AlarmPriority.MEDIUM,
        phase=phase,
        kind=AlarmKind.TECHNICAL,
        source=AlarmSource.GATEWAY,
        code=terms.DEVICE_ALARM,
        condition="clone_suspected",
        text="One certificate is used from two addresses; the device is kept out",
        onset_us=onset_us,
        at_us=at_us,
        bed=device.bed,
    )
