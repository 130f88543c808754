"""Alarms: as devices show them, as they are recorded, and what became of them among people."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from gateway.domain.records.common import AssociationState, Provenance


class AlarmPriority(IntEnum):
    """IEC 60601-1-8."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3


class AlarmPhase(IntEnum):
    START = 1
    UPDATE = 2
    END = 3


class AlarmKind(IntEnum):
    PHYSIOLOGICAL = 1
    TECHNICAL = 2
    ADVISORY = 3


class AlarmSource(IntEnum):
    DEVICE = 1
    GATEWAY = 2


class Alarm(msgspec.Struct, frozen=True, gc=False):
    """One phase of one alarm condition; ``alarm_id`` is the same from start to end."""

    alarm_id: str
    device_id: str
    provenance: Provenance
    priority: AlarmPriority
    phase: AlarmPhase
    kind: AlarmKind
    source: AlarmSource
    code: int
    """MDC event code where the standard has one, else a private code."""
    condition: str
    """A stable name such as ``"hr_high"`` or ``"drip_stopped"``."""
    text: str
    onset_us: int
    at_us: int
    bed: str = ""
    message_id: str = ""
    codes: tuple[int, ...] = ()
    values: tuple[float, ...] = ()
    limit: float = 0.0
    ward: str = ""
    patient_id: str = ""
    """Who was in the bed when it began; the pipeline knows, a driver leaves it empty."""
    association_id: str = ""
    association_state: AssociationState = AssociationState.NONE


class DeviceAlarm(msgspec.Struct, frozen=True, gc=False):
    """One alarm condition that a device shows at the moment."""

    condition: str
    code: int
    priority: AlarmPriority
    kind: AlarmKind
    text: str
    codes: tuple[int, ...] = ()
    """The values that caused it and the limit that they crossed, where the device says so."""
    values: tuple[float, ...] = ()
    limit: float = 0.0


class AlarmSnapshot(msgspec.Struct, frozen=True, gc=False):
    """All alarm conditions that a device shows at the moment, as its driver read them.

    Not a record: the pipeline compares it with the last one and makes the Alarm records
    (START, UPDATE, END) of the difference. Conditions that are missing here have ended.
    """

    device_id: str
    provenance: Provenance
    received_us: int
    alarms: tuple[DeviceAlarm, ...]
    bed: str = ""
    message_id: str = ""


class AlarmChange(msgspec.Struct, frozen=True, gc=False):
    """One alarm condition that a device says began, changed, goes on or ended.

    Not a record either, and no snapshot: it says nothing of the device's other conditions. A driver
    uses the one or the other, as its protocol tells.
    """

    device_id: str
    provenance: Provenance
    received_us: int
    alarm: DeviceAlarm
    present: bool
    """False: it has ended. An end of what did not stand is no news."""
    onset_us: int = 0
    """When the device says that it began; 0: it does not say."""
    bed: str = ""
    message_id: str = ""
    """Several changes side by side may be one message's."""


class NotificationAction(IntEnum):
    """What happened to an alarm on its way to people (docs/notification.md)."""

    RECEIVED = 1
    """The outlet has it: the ward's broker, the service, who watches."""
    DISPLAYED = 2
    READ = 3
    FAILED = 4
    """Given up for this outlet."""
    WITHHELD = 5
    """The policy does not release it to this outlet."""
    SUMMARISED = 6
    """The outlet was told how many there are, instead of each."""
    ESCALATED = 7
    """The next level was told."""
    ACKNOWLEDGED = 8
    REOPENED = 9
    """It is told anew: it got worse, or its acknowledgement or silence has ended."""
    SILENCED = 10
    UNSILENCED = 11


class AlarmNotification(msgspec.Struct, frozen=True, gc=False):
    """What happened to an alarm on its way to people, or that somebody silenced some."""

    device_id: str
    """The alarm's; of a silence, the device or else the gateway."""
    provenance: Provenance
    at_us: int
    action: NotificationAction
    alarm_id: str = ""
    condition: str = ""
    priority: AlarmPriority | None = None
    phase: AlarmPhase | None = None
    n: int = 0
    """Which notification of the alarm it is about, from 1."""
    level: int = 0
    """Whom: the level of escalation, from 1."""
    bed: str = ""
    ward: str = ""
    outlet: str = ""
    by: str = ""
    """A person, as the outlet or the service names them."""
    reason: str = ""
    since_us: int = 0
    """Of a receipt: when the notification was decided. Of a silence: when it began."""
    until_us: int = 0
    """Until when an acknowledgement or a silence counts; 0: it has no end of its own."""
    count: int = 0
    """How many alarms, where it is about several."""
    message_id: str = ""
