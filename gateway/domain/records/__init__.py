"""What the journal holds: see ``Record``.

Times are microseconds since 1970-01-01T00:00:00Z (nanoseconds overflow 64 bits in 2262, and
recorded patients are dated beyond that). Enumerations have the numbers of
``protos/wardgate/v1/ingest.proto``. Records are immutable; ``msgspec.structs.replace`` makes
a changed copy.
"""

from __future__ import annotations

from gateway.domain.records.alarms import (
    Alarm,
    AlarmChange,
    AlarmKind,
    AlarmNotification,
    AlarmPhase,
    AlarmPriority,
    AlarmSnapshot,
    AlarmSource,
    DeviceAlarm,
    NotificationAction,
)
from gateway.domain.records.cabinets import (
    AccessVerdict,
    CabinetEvent,
    CabinetEventKind,
    InventoryAction,
    InventoryEvent,
    ItemCount,
)
from gateway.domain.records.common import (
    AssociationState,
    Attestation,
    Provenance,
    Quality,
    TimeMark,
    TimeQuality,
    Whose,
)
from gateway.domain.records.patients import (
    AssociationChange,
    AssociationSubject,
    InfusionOrder,
    InfusionOrderAction,
)
from gateway.domain.records.reports import (
    MARKS_MAX,
    SAMPLES_MAX,
    Enumeration,
    Mark,
    Marked,
    Report,
    Text,
    Waveform,
)
from gateway.domain.records.states import (
    DeviceState,
    DeviceStatus,
    Gap,
    GatewayClock,
    LeapStatus,
    LinkState,
)

Record = (
    Report
    | Alarm
    | InventoryEvent
    | CabinetEvent
    | DeviceStatus
    | Gap
    | AlarmNotification
    | AssociationChange
    | InfusionOrder
    | GatewayClock
    | LinkState
)

__all__ = [
    "MARKS_MAX",
    "SAMPLES_MAX",
    "AccessVerdict",
    "Alarm",
    "AlarmChange",
    "AlarmKind",
    "AlarmNotification",
    "AlarmPhase",
    "AlarmPriority",
    "AlarmSnapshot",
    "AlarmSource",
    "AssociationChange",
    "AssociationState",
    "AssociationSubject",
    "Attestation",
    "CabinetEvent",
    "CabinetEventKind",
    "DeviceAlarm",
    "DeviceState",
    "DeviceStatus",
    "Enumeration",
    "Gap",
    "GatewayClock",
    "InfusionOrder",
    "InfusionOrderAction",
    "InventoryAction",
    "InventoryEvent",
    "ItemCount",
    "LeapStatus",
    "LinkState",
    "Mark",
    "Marked",
    "NotificationAction",
    "Provenance",
    "Quality",
    "Record",
    "Report",
    "Text",
    "TimeMark",
    "TimeQuality",
    "Waveform",
    "Whose",
]
