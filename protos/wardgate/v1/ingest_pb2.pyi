from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Lane(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LANE_UNSPECIFIED: _ClassVar[Lane]
    LANE_ALARMS: _ClassVar[Lane]
    LANE_TELEMETRY: _ClassVar[Lane]
    LANE_WAVES: _ClassVar[Lane]

class RejectKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REJECT_KIND_UNSPECIFIED: _ClassVar[RejectKind]
    REJECT_KIND_PERMANENT: _ClassVar[RejectKind]
    REJECT_KIND_TRANSIENT: _ClassVar[RejectKind]

class DataClass(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DATA_CLASS_UNSPECIFIED: _ClassVar[DataClass]
    DATA_CLASS_PERSONAL_ATTRIBUTES: _ClassVar[DataClass]
    DATA_CLASS_HEALTH_STATUS: _ClassVar[DataClass]
    DATA_CLASS_MEDICAL_APPLICATION: _ClassVar[DataClass]
    DATA_CLASS_MEDICAL_PAYMENT: _ClassVar[DataClass]
    DATA_CLASS_HEALTH_RESOURCES: _ClassVar[DataClass]
    DATA_CLASS_PUBLIC_HEALTH: _ClassVar[DataClass]

class Treatment(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TREATMENT_UNSPECIFIED: _ClassVar[Treatment]
    TREATMENT_PASS: _ClassVar[Treatment]
    TREATMENT_AGGREGATE: _ClassVar[Treatment]
    TREATMENT_PSEUDONYMISE: _ClassVar[Treatment]
    TREATMENT_MASK: _ClassVar[Treatment]
    TREATMENT_WITHHOLD: _ClassVar[Treatment]
    TREATMENT_GENERALISE: _ClassVar[Treatment]

class TimeQuality(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TIME_QUALITY_UNSPECIFIED: _ClassVar[TimeQuality]
    TIME_QUALITY_GOOD: _ClassVar[TimeQuality]
    TIME_QUALITY_OFFSET: _ClassVar[TimeQuality]
    TIME_QUALITY_IMPLAUSIBLE: _ClassVar[TimeQuality]

class Quality(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUALITY_UNSPECIFIED: _ClassVar[Quality]
    QUALITY_VALID: _ClassVar[Quality]
    QUALITY_QUESTIONABLE: _ClassVar[Quality]
    QUALITY_CALIBRATING: _ClassVar[Quality]
    QUALITY_INVALID: _ClassVar[Quality]
    QUALITY_OVERFLOW: _ClassVar[Quality]
    QUALITY_UNDERFLOW: _ClassVar[Quality]
    QUALITY_UNAVAILABLE: _ClassVar[Quality]
    QUALITY_DEMO: _ClassVar[Quality]

class Attestation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ATTESTATION_UNSPECIFIED: _ClassVar[Attestation]
    ATTESTATION_CERTIFICATE: _ClassVar[Attestation]
    ATTESTATION_PORT: _ClassVar[Attestation]
    ATTESTATION_BROKER: _ClassVar[Attestation]
    ATTESTATION_GATEWAY: _ClassVar[Attestation]
    ATTESTATION_ADDRESS: _ClassVar[Attestation]

class MarkKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MARK_KIND_UNSPECIFIED: _ClassVar[MarkKind]
    MARK_KIND_INVALID: _ClassVar[MarkKind]
    MARK_KIND_LEAD_OFF: _ClassVar[MarkKind]
    MARK_KIND_MISSING: _ClassVar[MarkKind]
    MARK_KIND_SATURATED: _ClassVar[MarkKind]
    MARK_KIND_PACED: _ClassVar[MarkKind]
    MARK_KIND_CALIBRATING: _ClassVar[MarkKind]
    MARK_KIND_DEFIBRILLATED: _ClassVar[MarkKind]

class AlarmPriority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALARM_PRIORITY_UNSPECIFIED: _ClassVar[AlarmPriority]
    ALARM_PRIORITY_LOW: _ClassVar[AlarmPriority]
    ALARM_PRIORITY_MEDIUM: _ClassVar[AlarmPriority]
    ALARM_PRIORITY_HIGH: _ClassVar[AlarmPriority]

class AlarmPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALARM_PHASE_UNSPECIFIED: _ClassVar[AlarmPhase]
    ALARM_PHASE_START: _ClassVar[AlarmPhase]
    ALARM_PHASE_UPDATE: _ClassVar[AlarmPhase]
    ALARM_PHASE_END: _ClassVar[AlarmPhase]

class AlarmKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALARM_KIND_UNSPECIFIED: _ClassVar[AlarmKind]
    ALARM_KIND_PHYSIOLOGICAL: _ClassVar[AlarmKind]
    ALARM_KIND_TECHNICAL: _ClassVar[AlarmKind]
    ALARM_KIND_ADVISORY: _ClassVar[AlarmKind]

class AlarmSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALARM_SOURCE_UNSPECIFIED: _ClassVar[AlarmSource]
    ALARM_SOURCE_DEVICE: _ClassVar[AlarmSource]
    ALARM_SOURCE_GATEWAY: _ClassVar[AlarmSource]

class AssociationState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ASSOCIATION_STATE_UNSPECIFIED: _ClassVar[AssociationState]
    ASSOCIATION_STATE_CURRENT: _ClassVar[AssociationState]
    ASSOCIATION_STATE_QUARANTINED: _ClassVar[AssociationState]
    ASSOCIATION_STATE_WITHDRAWN: _ClassVar[AssociationState]

class AssociationSubject(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ASSOCIATION_SUBJECT_UNSPECIFIED: _ClassVar[AssociationSubject]
    ASSOCIATION_SUBJECT_BED: _ClassVar[AssociationSubject]
    ASSOCIATION_SUBJECT_DEVICE: _ClassVar[AssociationSubject]

class NotificationAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NOTIFICATION_ACTION_UNSPECIFIED: _ClassVar[NotificationAction]
    NOTIFICATION_ACTION_RECEIVED: _ClassVar[NotificationAction]
    NOTIFICATION_ACTION_DISPLAYED: _ClassVar[NotificationAction]
    NOTIFICATION_ACTION_READ: _ClassVar[NotificationAction]
    NOTIFICATION_ACTION_FAILED: _ClassVar[NotificationAction]
    NOTIFICATION_ACTION_WITHHELD: _ClassVar[NotificationAction]
    NOTIFICATION_ACTION_SUMMARISED: _ClassVar[NotificationAction]
    NOTIFICATION_ACTION_ESCALATED: _ClassVar[NotificationAction]
    NOTIFICATION_ACTION_ACKNOWLEDGED: _ClassVar[NotificationAction]
    NOTIFICATION_ACTION_REOPENED: _ClassVar[NotificationAction]
    NOTIFICATION_ACTION_SILENCED: _ClassVar[NotificationAction]
    NOTIFICATION_ACTION_UNSILENCED: _ClassVar[NotificationAction]

class InventoryAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INVENTORY_ACTION_UNSPECIFIED: _ClassVar[InventoryAction]
    INVENTORY_ACTION_ARRIVED: _ClassVar[InventoryAction]
    INVENTORY_ACTION_MOVED: _ClassVar[InventoryAction]
    INVENTORY_ACTION_DEPARTED: _ClassVar[InventoryAction]
    INVENTORY_ACTION_DOUBTED: _ClassVar[InventoryAction]
    INVENTORY_ACTION_CONFIRMED: _ClassVar[InventoryAction]
    INVENTORY_ACTION_ISSUED: _ClassVar[InventoryAction]
    INVENTORY_ACTION_RETURNED: _ClassVar[InventoryAction]

class CabinetEventKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CABINET_EVENT_KIND_UNSPECIFIED: _ClassVar[CabinetEventKind]
    CABINET_EVENT_KIND_ACCESS: _ClassVar[CabinetEventKind]
    CABINET_EVENT_KIND_RECONCILIATION: _ClassVar[CabinetEventKind]

class AccessVerdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACCESS_VERDICT_UNSPECIFIED: _ClassVar[AccessVerdict]
    ACCESS_VERDICT_AUTHORISED: _ClassVar[AccessVerdict]
    ACCESS_VERDICT_NO_BADGE: _ClassVar[AccessVerdict]
    ACCESS_VERDICT_ONE_PERSON: _ClassVar[AccessVerdict]
    ACCESS_VERDICT_UNSEEN: _ClassVar[AccessVerdict]

class LeapStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LEAP_STATUS_UNSPECIFIED: _ClassVar[LeapStatus]
    LEAP_STATUS_NORMAL: _ClassVar[LeapStatus]
    LEAP_STATUS_INSERT: _ClassVar[LeapStatus]
    LEAP_STATUS_DELETE: _ClassVar[LeapStatus]
    LEAP_STATUS_UNSYNCHRONISED: _ClassVar[LeapStatus]

class InfusionOrderAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INFUSION_ORDER_ACTION_UNSPECIFIED: _ClassVar[InfusionOrderAction]
    INFUSION_ORDER_ACTION_ORDERED: _ClassVar[InfusionOrderAction]
    INFUSION_ORDER_ACTION_CHANGED: _ClassVar[InfusionOrderAction]
    INFUSION_ORDER_ACTION_CANCELLED: _ClassVar[InfusionOrderAction]

class DeviceState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEVICE_STATE_UNSPECIFIED: _ClassVar[DeviceState]
    DEVICE_STATE_ONLINE: _ClassVar[DeviceState]
    DEVICE_STATE_OFFLINE: _ClassVar[DeviceState]
    DEVICE_STATE_SILENT: _ClassVar[DeviceState]
LANE_UNSPECIFIED: Lane
LANE_ALARMS: Lane
LANE_TELEMETRY: Lane
LANE_WAVES: Lane
REJECT_KIND_UNSPECIFIED: RejectKind
REJECT_KIND_PERMANENT: RejectKind
REJECT_KIND_TRANSIENT: RejectKind
DATA_CLASS_UNSPECIFIED: DataClass
DATA_CLASS_PERSONAL_ATTRIBUTES: DataClass
DATA_CLASS_HEALTH_STATUS: DataClass
DATA_CLASS_MEDICAL_APPLICATION: DataClass
DATA_CLASS_MEDICAL_PAYMENT: DataClass
DATA_CLASS_HEALTH_RESOURCES: DataClass
DATA_CLASS_PUBLIC_HEALTH: DataClass
TREATMENT_UNSPECIFIED: Treatment
TREATMENT_PASS: Treatment
TREATMENT_AGGREGATE: Treatment
TREATMENT_PSEUDONYMISE: Treatment
TREATMENT_MASK: Treatment
TREATMENT_WITHHOLD: Treatment
TREATMENT_GENERALISE: Treatment
TIME_QUALITY_UNSPECIFIED: TimeQuality
TIME_QUALITY_GOOD: TimeQuality
TIME_QUALITY_OFFSET: TimeQuality
TIME_QUALITY_IMPLAUSIBLE: TimeQuality
QUALITY_UNSPECIFIED: Quality
QUALITY_VALID: Quality
QUALITY_QUESTIONABLE: Quality
QUALITY_CALIBRATING: Quality
QUALITY_INVALID: Quality
QUALITY_OVERFLOW: Quality
QUALITY_UNDERFLOW: Quality
QUALITY_UNAVAILABLE: Quality
QUALITY_DEMO: Quality
ATTESTATION_UNSPECIFIED: Attestation
ATTESTATION_CERTIFICATE: Attestation
ATTESTATION_PORT: Attestation
ATTESTATION_BROKER: Attestation
ATTESTATION_GATEWAY: Attestation
ATTESTATION_ADDRESS: Attestation
MARK_KIND_UNSPECIFIED: MarkKind
MARK_KIND_INVALID: MarkKind
MARK_KIND_LEAD_OFF: MarkKind
MARK_KIND_MISSING: MarkKind
MARK_KIND_SATURATED: MarkKind
MARK_KIND_PACED: MarkKind
MARK_KIND_CALIBRATING: MarkKind
MARK_KIND_DEFIBRILLATED: MarkKind
ALARM_PRIORITY_UNSPECIFIED: AlarmPriority
ALARM_PRIORITY_LOW: AlarmPriority
ALARM_PRIORITY_MEDIUM: AlarmPriority
ALARM_PRIORITY_HIGH: AlarmPriority
ALARM_PHASE_UNSPECIFIED: AlarmPhase
ALARM_PHASE_START: AlarmPhase
ALARM_PHASE_UPDATE: AlarmPhase
ALARM_PHASE_END: AlarmPhase
ALARM_KIND_UNSPECIFIED: AlarmKind
ALARM_KIND_PHYSIOLOGICAL: AlarmKind
ALARM_KIND_TECHNICAL: AlarmKind
ALARM_KIND_ADVISORY: AlarmKind
ALARM_SOURCE_UNSPECIFIED: AlarmSource
ALARM_SOURCE_DEVICE: AlarmSource
ALARM_SOURCE_GATEWAY: AlarmSource
ASSOCIATION_STATE_UNSPECIFIED: AssociationState
ASSOCIATION_STATE_CURRENT: AssociationState
ASSOCIATION_STATE_QUARANTINED: AssociationState
ASSOCIATION_STATE_WITHDRAWN: AssociationState
ASSOCIATION_SUBJECT_UNSPECIFIED: AssociationSubject
ASSOCIATION_SUBJECT_BED: AssociationSubject
ASSOCIATION_SUBJECT_DEVICE: AssociationSubject
NOTIFICATION_ACTION_UNSPECIFIED: NotificationAction
NOTIFICATION_ACTION_RECEIVED: NotificationAction
NOTIFICATION_ACTION_DISPLAYED: NotificationAction
NOTIFICATION_ACTION_READ: NotificationAction
NOTIFICATION_ACTION_FAILED: NotificationAction
NOTIFICATION_ACTION_WITHHELD: NotificationAction
NOTIFICATION_ACTION_SUMMARISED: NotificationAction
NOTIFICATION_ACTION_ESCALATED: NotificationAction
NOTIFICATION_ACTION_ACKNOWLEDGED: NotificationAction
NOTIFICATION_ACTION_REOPENED: NotificationAction
NOTIFICATION_ACTION_SILENCED: NotificationAction
NOTIFICATION_ACTION_UNSILENCED: NotificationAction
INVENTORY_ACTION_UNSPECIFIED: InventoryAction
INVENTORY_ACTION_ARRIVED: InventoryAction
INVENTORY_ACTION_MOVED: InventoryAction
INVENTORY_ACTION_DEPARTED: InventoryAction
INVENTORY_ACTION_DOUBTED: InventoryAction
INVENTORY_ACTION_CONFIRMED: InventoryAction
INVENTORY_ACTION_ISSUED: InventoryAction
INVENTORY_ACTION_RETURNED: InventoryAction
CABINET_EVENT_KIND_UNSPECIFIED: CabinetEventKind
CABINET_EVENT_KIND_ACCESS: CabinetEventKind
CABINET_EVENT_KIND_RECONCILIATION: CabinetEventKind
ACCESS_VERDICT_UNSPECIFIED: AccessVerdict
ACCESS_VERDICT_AUTHORISED: AccessVerdict
ACCESS_VERDICT_NO_BADGE: AccessVerdict
ACCESS_VERDICT_ONE_PERSON: AccessVerdict
ACCESS_VERDICT_UNSEEN: AccessVerdict
LEAP_STATUS_UNSPECIFIED: LeapStatus
LEAP_STATUS_NORMAL: LeapStatus
LEAP_STATUS_INSERT: LeapStatus
LEAP_STATUS_DELETE: LeapStatus
LEAP_STATUS_UNSYNCHRONISED: LeapStatus
INFUSION_ORDER_ACTION_UNSPECIFIED: InfusionOrderAction
INFUSION_ORDER_ACTION_ORDERED: InfusionOrderAction
INFUSION_ORDER_ACTION_CHANGED: InfusionOrderAction
INFUSION_ORDER_ACTION_CANCELLED: InfusionOrderAction
DEVICE_STATE_UNSPECIFIED: DeviceState
DEVICE_STATE_ONLINE: DeviceState
DEVICE_STATE_OFFLINE: DeviceState
DEVICE_STATE_SILENT: DeviceState

class StreamRequest(_message.Message):
    __slots__ = ("hello", "batch", "audit_head")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    AUDIT_HEAD_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    batch: Batch
    audit_head: AuditHead
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., batch: _Optional[_Union[Batch, _Mapping]] = ..., audit_head: _Optional[_Union[AuditHead, _Mapping]] = ...) -> None: ...

class StreamResponse(_message.Message):
    __slots__ = ("welcome", "ack", "reject")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    REJECT_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    ack: Ack
    reject: Reject
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., ack: _Optional[_Union[Ack, _Mapping]] = ..., reject: _Optional[_Union[Reject, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("gateway", "destination", "software_version", "lanes")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_VERSION_FIELD_NUMBER: _ClassVar[int]
    LANES_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    destination: str
    software_version: str
    lanes: _containers.RepeatedCompositeFieldContainer[LaneOffer]
    def __init__(self, gateway: _Optional[str] = ..., destination: _Optional[str] = ..., software_version: _Optional[str] = ..., lanes: _Optional[_Iterable[_Union[LaneOffer, _Mapping]]] = ...) -> None: ...

class LaneOffer(_message.Message):
    __slots__ = ("lane", "epoch", "first_seq", "last_seq")
    LANE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQ_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    lane: Lane
    epoch: int
    first_seq: int
    last_seq: int
    def __init__(self, lane: _Optional[_Union[Lane, str]] = ..., epoch: _Optional[int] = ..., first_seq: _Optional[int] = ..., last_seq: _Optional[int] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("resume_points", "audit")
    RESUME_POINTS_FIELD_NUMBER: _ClassVar[int]
    AUDIT_FIELD_NUMBER: _ClassVar[int]
    resume_points: _containers.RepeatedCompositeFieldContainer[ResumePoint]
    audit: AuditHeld
    def __init__(self, resume_points: _Optional[_Iterable[_Union[ResumePoint, _Mapping]]] = ..., audit: _Optional[_Union[AuditHeld, _Mapping]] = ...) -> None: ...

class AuditHeld(_message.Message):
    __slots__ = ("log", "size")
    LOG_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    log: str
    size: int
    def __init__(self, log: _Optional[str] = ..., size: _Optional[int] = ...) -> None: ...

class AuditHead(_message.Message):
    __slots__ = ("name", "log", "size", "root", "time_us", "public_key", "signature", "since", "consistency")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LOG_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_FIELD_NUMBER: _ClassVar[int]
    name: str
    log: str
    size: int
    root: bytes
    time_us: int
    public_key: bytes
    signature: bytes
    since: int
    consistency: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, name: _Optional[str] = ..., log: _Optional[str] = ..., size: _Optional[int] = ..., root: _Optional[bytes] = ..., time_us: _Optional[int] = ..., public_key: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., since: _Optional[int] = ..., consistency: _Optional[_Iterable[bytes]] = ...) -> None: ...

class ResumePoint(_message.Message):
    __slots__ = ("lane", "epoch", "seq")
    LANE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    lane: Lane
    epoch: int
    seq: int
    def __init__(self, lane: _Optional[_Union[Lane, str]] = ..., epoch: _Optional[int] = ..., seq: _Optional[int] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("lane", "epoch", "seq")
    LANE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    lane: Lane
    epoch: int
    seq: int
    def __init__(self, lane: _Optional[_Union[Lane, str]] = ..., epoch: _Optional[int] = ..., seq: _Optional[int] = ...) -> None: ...

class Reject(_message.Message):
    __slots__ = ("lane", "epoch", "first_seq", "last_seq", "kind", "reason", "retry_after_ms")
    LANE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQ_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    lane: Lane
    epoch: int
    first_seq: int
    last_seq: int
    kind: RejectKind
    reason: str
    retry_after_ms: int
    def __init__(self, lane: _Optional[_Union[Lane, str]] = ..., epoch: _Optional[int] = ..., first_seq: _Optional[int] = ..., last_seq: _Optional[int] = ..., kind: _Optional[_Union[RejectKind, str]] = ..., reason: _Optional[str] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("lane", "epoch", "first_seq", "last_seq", "sections", "withheld", "lost")
    LANE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQ_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    SECTIONS_FIELD_NUMBER: _ClassVar[int]
    WITHHELD_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    lane: Lane
    epoch: int
    first_seq: int
    last_seq: int
    sections: _containers.RepeatedCompositeFieldContainer[Section]
    withheld: int
    lost: _containers.RepeatedCompositeFieldContainer[LostRange]
    def __init__(self, lane: _Optional[_Union[Lane, str]] = ..., epoch: _Optional[int] = ..., first_seq: _Optional[int] = ..., last_seq: _Optional[int] = ..., sections: _Optional[_Iterable[_Union[Section, _Mapping]]] = ..., withheld: _Optional[int] = ..., lost: _Optional[_Iterable[_Union[LostRange, _Mapping]]] = ...) -> None: ...

class LostRange(_message.Message):
    __slots__ = ("first_seq", "last_seq", "reason")
    FIRST_SEQ_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    first_seq: int
    last_seq: int
    reason: str
    def __init__(self, first_seq: _Optional[int] = ..., last_seq: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class Section(_message.Message):
    __slots__ = ("data_class", "level", "treatment", "first_seq", "seq_offsets", "metrics", "records")
    DATA_CLASS_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    TREATMENT_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQ_FIELD_NUMBER: _ClassVar[int]
    SEQ_OFFSETS_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    data_class: DataClass
    level: int
    treatment: Treatment
    first_seq: int
    seq_offsets: _containers.RepeatedScalarFieldContainer[int]
    metrics: _containers.RepeatedCompositeFieldContainer[Metric]
    records: _containers.RepeatedCompositeFieldContainer[Record]
    def __init__(self, data_class: _Optional[_Union[DataClass, str]] = ..., level: _Optional[int] = ..., treatment: _Optional[_Union[Treatment, str]] = ..., first_seq: _Optional[int] = ..., seq_offsets: _Optional[_Iterable[int]] = ..., metrics: _Optional[_Iterable[_Union[Metric, _Mapping]]] = ..., records: _Optional[_Iterable[_Union[Record, _Mapping]]] = ...) -> None: ...

class Metric(_message.Message):
    __slots__ = ("code", "refid", "unit")
    CODE_FIELD_NUMBER: _ClassVar[int]
    REFID_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    code: int
    refid: str
    unit: str
    def __init__(self, code: _Optional[int] = ..., refid: _Optional[str] = ..., unit: _Optional[str] = ...) -> None: ...

class Record(_message.Message):
    __slots__ = ("report", "alarm", "inventory_event", "device_status", "gap", "aggregate", "alarm_notification", "association_change", "infusion_order", "cabinet_event", "gateway_clock", "link_state")
    REPORT_FIELD_NUMBER: _ClassVar[int]
    ALARM_FIELD_NUMBER: _ClassVar[int]
    INVENTORY_EVENT_FIELD_NUMBER: _ClassVar[int]
    DEVICE_STATUS_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    AGGREGATE_FIELD_NUMBER: _ClassVar[int]
    ALARM_NOTIFICATION_FIELD_NUMBER: _ClassVar[int]
    ASSOCIATION_CHANGE_FIELD_NUMBER: _ClassVar[int]
    INFUSION_ORDER_FIELD_NUMBER: _ClassVar[int]
    CABINET_EVENT_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_CLOCK_FIELD_NUMBER: _ClassVar[int]
    LINK_STATE_FIELD_NUMBER: _ClassVar[int]
    report: Report
    alarm: Alarm
    inventory_event: InventoryEvent
    device_status: DeviceStatus
    gap: Gap
    aggregate: Aggregate
    alarm_notification: AlarmNotification
    association_change: AssociationChange
    infusion_order: InfusionOrder
    cabinet_event: CabinetEvent
    gateway_clock: GatewayClock
    link_state: LinkState
    def __init__(self, report: _Optional[_Union[Report, _Mapping]] = ..., alarm: _Optional[_Union[Alarm, _Mapping]] = ..., inventory_event: _Optional[_Union[InventoryEvent, _Mapping]] = ..., device_status: _Optional[_Union[DeviceStatus, _Mapping]] = ..., gap: _Optional[_Union[Gap, _Mapping]] = ..., aggregate: _Optional[_Union[Aggregate, _Mapping]] = ..., alarm_notification: _Optional[_Union[AlarmNotification, _Mapping]] = ..., association_change: _Optional[_Union[AssociationChange, _Mapping]] = ..., infusion_order: _Optional[_Union[InfusionOrder, _Mapping]] = ..., cabinet_event: _Optional[_Union[CabinetEvent, _Mapping]] = ..., gateway_clock: _Optional[_Union[GatewayClock, _Mapping]] = ..., link_state: _Optional[_Union[LinkState, _Mapping]] = ...) -> None: ...

class Report(_message.Message):
    __slots__ = ("device_id", "kind", "received_us", "device_us", "time_quality", "offset_us", "message_id", "bed", "driver", "attestation", "attested_by", "codes", "values", "qualities", "enumerations", "texts", "waveforms", "ward", "patient_id", "association_id", "association_state", "measured_us", "uncertainty_us", "time_marks", "order_us")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_US_FIELD_NUMBER: _ClassVar[int]
    DEVICE_US_FIELD_NUMBER: _ClassVar[int]
    TIME_QUALITY_FIELD_NUMBER: _ClassVar[int]
    OFFSET_US_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    BED_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    ATTESTATION_FIELD_NUMBER: _ClassVar[int]
    ATTESTED_BY_FIELD_NUMBER: _ClassVar[int]
    CODES_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    QUALITIES_FIELD_NUMBER: _ClassVar[int]
    ENUMERATIONS_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    WAVEFORMS_FIELD_NUMBER: _ClassVar[int]
    WARD_FIELD_NUMBER: _ClassVar[int]
    PATIENT_ID_FIELD_NUMBER: _ClassVar[int]
    ASSOCIATION_ID_FIELD_NUMBER: _ClassVar[int]
    ASSOCIATION_STATE_FIELD_NUMBER: _ClassVar[int]
    MEASURED_US_FIELD_NUMBER: _ClassVar[int]
    UNCERTAINTY_US_FIELD_NUMBER: _ClassVar[int]
    TIME_MARKS_FIELD_NUMBER: _ClassVar[int]
    ORDER_US_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    kind: str
    received_us: int
    device_us: int
    time_quality: TimeQuality
    offset_us: int
    message_id: str
    bed: str
    driver: str
    attestation: Attestation
    attested_by: str
    codes: _containers.RepeatedScalarFieldContainer[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    qualities: _containers.RepeatedScalarFieldContainer[Quality]
    enumerations: _containers.RepeatedCompositeFieldContainer[Enumeration]
    texts: _containers.RepeatedCompositeFieldContainer[Text]
    waveforms: _containers.RepeatedCompositeFieldContainer[Waveform]
    ward: str
    patient_id: str
    association_id: str
    association_state: AssociationState
    measured_us: int
    uncertainty_us: int
    time_marks: int
    order_us: int
    def __init__(self, device_id: _Optional[str] = ..., kind: _Optional[str] = ..., received_us: _Optional[int] = ..., device_us: _Optional[int] = ..., time_quality: _Optional[_Union[TimeQuality, str]] = ..., offset_us: _Optional[int] = ..., message_id: _Optional[str] = ..., bed: _Optional[str] = ..., driver: _Optional[str] = ..., attestation: _Optional[_Union[Attestation, str]] = ..., attested_by: _Optional[str] = ..., codes: _Optional[_Iterable[int]] = ..., values: _Optional[_Iterable[float]] = ..., qualities: _Optional[_Iterable[_Union[Quality, str]]] = ..., enumerations: _Optional[_Iterable[_Union[Enumeration, _Mapping]]] = ..., texts: _Optional[_Iterable[_Union[Text, _Mapping]]] = ..., waveforms: _Optional[_Iterable[_Union[Waveform, _Mapping]]] = ..., ward: _Optional[str] = ..., patient_id: _Optional[str] = ..., association_id: _Optional[str] = ..., association_state: _Optional[_Union[AssociationState, str]] = ..., measured_us: _Optional[int] = ..., uncertainty_us: _Optional[int] = ..., time_marks: _Optional[int] = ..., order_us: _Optional[int] = ...) -> None: ...

class Enumeration(_message.Message):
    __slots__ = ("code", "value", "name", "quality")
    CODE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    code: int
    value: int
    name: str
    quality: Quality
    def __init__(self, code: _Optional[int] = ..., value: _Optional[int] = ..., name: _Optional[str] = ..., quality: _Optional[_Union[Quality, str]] = ...) -> None: ...

class Text(_message.Message):
    __slots__ = ("code", "value")
    CODE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    code: int
    value: str
    def __init__(self, code: _Optional[int] = ..., value: _Optional[str] = ...) -> None: ...

class Waveform(_message.Message):
    __slots__ = ("code", "start_us", "sample_rate_hz", "scale", "offset", "samples", "quality", "deltas", "missing_before", "marks")
    CODE_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    DELTAS_FIELD_NUMBER: _ClassVar[int]
    MISSING_BEFORE_FIELD_NUMBER: _ClassVar[int]
    MARKS_FIELD_NUMBER: _ClassVar[int]
    code: int
    start_us: int
    sample_rate_hz: float
    scale: float
    offset: float
    samples: _containers.RepeatedScalarFieldContainer[int]
    quality: Quality
    deltas: _containers.RepeatedScalarFieldContainer[int]
    missing_before: int
    marks: _containers.RepeatedCompositeFieldContainer[SampleMark]
    def __init__(self, code: _Optional[int] = ..., start_us: _Optional[int] = ..., sample_rate_hz: _Optional[float] = ..., scale: _Optional[float] = ..., offset: _Optional[float] = ..., samples: _Optional[_Iterable[int]] = ..., quality: _Optional[_Union[Quality, str]] = ..., deltas: _Optional[_Iterable[int]] = ..., missing_before: _Optional[int] = ..., marks: _Optional[_Iterable[_Union[SampleMark, _Mapping]]] = ...) -> None: ...

class SampleMark(_message.Message):
    __slots__ = ("first", "count", "kind")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    first: int
    count: int
    kind: MarkKind
    def __init__(self, first: _Optional[int] = ..., count: _Optional[int] = ..., kind: _Optional[_Union[MarkKind, str]] = ...) -> None: ...

class Alarm(_message.Message):
    __slots__ = ("alarm_id", "device_id", "bed", "priority", "phase", "kind", "source", "code", "condition", "text", "onset_us", "at_us", "message_id", "codes", "values", "limit", "driver", "attestation", "attested_by", "ward", "patient_id", "association_id", "association_state")
    ALARM_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    BED_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ONSET_US_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    CODES_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    ATTESTATION_FIELD_NUMBER: _ClassVar[int]
    ATTESTED_BY_FIELD_NUMBER: _ClassVar[int]
    WARD_FIELD_NUMBER: _ClassVar[int]
    PATIENT_ID_FIELD_NUMBER: _ClassVar[int]
    ASSOCIATION_ID_FIELD_NUMBER: _ClassVar[int]
    ASSOCIATION_STATE_FIELD_NUMBER: _ClassVar[int]
    alarm_id: str
    device_id: str
    bed: str
    priority: AlarmPriority
    phase: AlarmPhase
    kind: AlarmKind
    source: AlarmSource
    code: int
    condition: str
    text: str
    onset_us: int
    at_us: int
    message_id: str
    codes: _containers.RepeatedScalarFieldContainer[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    limit: float
    driver: str
    attestation: Attestation
    attested_by: str
    ward: str
    patient_id: str
    association_id: str
    association_state: AssociationState
    def __init__(self, alarm_id: _Optional[str] = ..., device_id: _Optional[str] = ..., bed: _Optional[str] = ..., priority: _Optional[_Union[AlarmPriority, str]] = ..., phase: _Optional[_Union[AlarmPhase, str]] = ..., kind: _Optional[_Union[AlarmKind, str]] = ..., source: _Optional[_Union[AlarmSource, str]] = ..., code: _Optional[int] = ..., condition: _Optional[str] = ..., text: _Optional[str] = ..., onset_us: _Optional[int] = ..., at_us: _Optional[int] = ..., message_id: _Optional[str] = ..., codes: _Optional[_Iterable[int]] = ..., values: _Optional[_Iterable[float]] = ..., limit: _Optional[float] = ..., driver: _Optional[str] = ..., attestation: _Optional[_Union[Attestation, str]] = ..., attested_by: _Optional[str] = ..., ward: _Optional[str] = ..., patient_id: _Optional[str] = ..., association_id: _Optional[str] = ..., association_state: _Optional[_Union[AssociationState, str]] = ...) -> None: ...

class AssociationChange(_message.Message):
    __slots__ = ("association_id", "subject", "device_id", "ward", "bed", "patient_id", "from_us", "to_us", "state", "reason", "cause", "revision", "at_us", "driver", "attestation", "attested_by")
    ASSOCIATION_ID_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    WARD_FIELD_NUMBER: _ClassVar[int]
    BED_FIELD_NUMBER: _ClassVar[int]
    PATIENT_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_US_FIELD_NUMBER: _ClassVar[int]
    TO_US_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    ATTESTATION_FIELD_NUMBER: _ClassVar[int]
    ATTESTED_BY_FIELD_NUMBER: _ClassVar[int]
    association_id: str
    subject: AssociationSubject
    device_id: str
    ward: str
    bed: str
    patient_id: str
    from_us: int
    to_us: int
    state: AssociationState
    reason: str
    cause: str
    revision: int
    at_us: int
    driver: str
    attestation: Attestation
    attested_by: str
    def __init__(self, association_id: _Optional[str] = ..., subject: _Optional[_Union[AssociationSubject, str]] = ..., device_id: _Optional[str] = ..., ward: _Optional[str] = ..., bed: _Optional[str] = ..., patient_id: _Optional[str] = ..., from_us: _Optional[int] = ..., to_us: _Optional[int] = ..., state: _Optional[_Union[AssociationState, str]] = ..., reason: _Optional[str] = ..., cause: _Optional[str] = ..., revision: _Optional[int] = ..., at_us: _Optional[int] = ..., driver: _Optional[str] = ..., attestation: _Optional[_Union[Attestation, str]] = ..., attested_by: _Optional[str] = ...) -> None: ...

class AlarmNotification(_message.Message):
    __slots__ = ("device_id", "at_us", "action", "alarm_id", "condition", "priority", "phase", "n", "level", "bed", "ward", "outlet", "by", "reason", "since_us", "until_us", "count", "message_id", "driver", "attestation", "attested_by")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    ALARM_ID_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    BED_FIELD_NUMBER: _ClassVar[int]
    WARD_FIELD_NUMBER: _ClassVar[int]
    OUTLET_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SINCE_US_FIELD_NUMBER: _ClassVar[int]
    UNTIL_US_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    ATTESTATION_FIELD_NUMBER: _ClassVar[int]
    ATTESTED_BY_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    at_us: int
    action: NotificationAction
    alarm_id: str
    condition: str
    priority: AlarmPriority
    phase: AlarmPhase
    n: int
    level: int
    bed: str
    ward: str
    outlet: str
    by: str
    reason: str
    since_us: int
    until_us: int
    count: int
    message_id: str
    driver: str
    attestation: Attestation
    attested_by: str
    def __init__(self, device_id: _Optional[str] = ..., at_us: _Optional[int] = ..., action: _Optional[_Union[NotificationAction, str]] = ..., alarm_id: _Optional[str] = ..., condition: _Optional[str] = ..., priority: _Optional[_Union[AlarmPriority, str]] = ..., phase: _Optional[_Union[AlarmPhase, str]] = ..., n: _Optional[int] = ..., level: _Optional[int] = ..., bed: _Optional[str] = ..., ward: _Optional[str] = ..., outlet: _Optional[str] = ..., by: _Optional[str] = ..., reason: _Optional[str] = ..., since_us: _Optional[int] = ..., until_us: _Optional[int] = ..., count: _Optional[int] = ..., message_id: _Optional[str] = ..., driver: _Optional[str] = ..., attestation: _Optional[_Union[Attestation, str]] = ..., attested_by: _Optional[str] = ...) -> None: ...

class InventoryEvent(_message.Message):
    __slots__ = ("device_id", "received_us", "device_us", "action", "epc", "place", "from_place", "badge", "message_id", "driver", "attestation", "attested_by", "session", "item_class", "lot", "expiry", "badges", "reason")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_US_FIELD_NUMBER: _ClassVar[int]
    DEVICE_US_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    EPC_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    FROM_PLACE_FIELD_NUMBER: _ClassVar[int]
    BADGE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    ATTESTATION_FIELD_NUMBER: _ClassVar[int]
    ATTESTED_BY_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    ITEM_CLASS_FIELD_NUMBER: _ClassVar[int]
    LOT_FIELD_NUMBER: _ClassVar[int]
    EXPIRY_FIELD_NUMBER: _ClassVar[int]
    BADGES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    received_us: int
    device_us: int
    action: InventoryAction
    epc: str
    place: str
    from_place: str
    badge: str
    message_id: str
    driver: str
    attestation: Attestation
    attested_by: str
    session: str
    item_class: str
    lot: str
    expiry: str
    badges: _containers.RepeatedScalarFieldContainer[str]
    reason: str
    def __init__(self, device_id: _Optional[str] = ..., received_us: _Optional[int] = ..., device_us: _Optional[int] = ..., action: _Optional[_Union[InventoryAction, str]] = ..., epc: _Optional[str] = ..., place: _Optional[str] = ..., from_place: _Optional[str] = ..., badge: _Optional[str] = ..., message_id: _Optional[str] = ..., driver: _Optional[str] = ..., attestation: _Optional[_Union[Attestation, str]] = ..., attested_by: _Optional[str] = ..., session: _Optional[str] = ..., item_class: _Optional[str] = ..., lot: _Optional[str] = ..., expiry: _Optional[str] = ..., badges: _Optional[_Iterable[str]] = ..., reason: _Optional[str] = ...) -> None: ...

class CabinetEvent(_message.Message):
    __slots__ = ("device_id", "received_us", "kind", "door", "session", "opened_us", "closed_us", "unseen_close", "verdict", "badges", "counts", "reason", "driver", "attestation", "attested_by", "message_id")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_US_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DOOR_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    OPENED_US_FIELD_NUMBER: _ClassVar[int]
    CLOSED_US_FIELD_NUMBER: _ClassVar[int]
    UNSEEN_CLOSE_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    BADGES_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    ATTESTATION_FIELD_NUMBER: _ClassVar[int]
    ATTESTED_BY_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    received_us: int
    kind: CabinetEventKind
    door: str
    session: str
    opened_us: int
    closed_us: int
    unseen_close: bool
    verdict: AccessVerdict
    badges: _containers.RepeatedScalarFieldContainer[str]
    counts: _containers.RepeatedCompositeFieldContainer[ItemCount]
    reason: str
    driver: str
    attestation: Attestation
    attested_by: str
    message_id: str
    def __init__(self, device_id: _Optional[str] = ..., received_us: _Optional[int] = ..., kind: _Optional[_Union[CabinetEventKind, str]] = ..., door: _Optional[str] = ..., session: _Optional[str] = ..., opened_us: _Optional[int] = ..., closed_us: _Optional[int] = ..., unseen_close: _Optional[bool] = ..., verdict: _Optional[_Union[AccessVerdict, str]] = ..., badges: _Optional[_Iterable[str]] = ..., counts: _Optional[_Iterable[_Union[ItemCount, _Mapping]]] = ..., reason: _Optional[str] = ..., driver: _Optional[str] = ..., attestation: _Optional[_Union[Attestation, str]] = ..., attested_by: _Optional[str] = ..., message_id: _Optional[str] = ...) -> None: ...

class ItemCount(_message.Message):
    __slots__ = ("item_class", "expected", "found", "doubted", "counted")
    ITEM_CLASS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    DOUBTED_FIELD_NUMBER: _ClassVar[int]
    COUNTED_FIELD_NUMBER: _ClassVar[int]
    item_class: str
    expected: int
    found: int
    doubted: int
    counted: int
    def __init__(self, item_class: _Optional[str] = ..., expected: _Optional[int] = ..., found: _Optional[int] = ..., doubted: _Optional[int] = ..., counted: _Optional[int] = ...) -> None: ...

class GatewayClock(_message.Message):
    __slots__ = ("device_id", "at_us", "cause", "source", "synchronised", "error_us", "offset_us", "stratum", "reference", "root_delay_us", "root_dispersion_us", "frequency_ppb", "leap", "step_us", "driver", "attestation", "attested_by")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SYNCHRONISED_FIELD_NUMBER: _ClassVar[int]
    ERROR_US_FIELD_NUMBER: _ClassVar[int]
    OFFSET_US_FIELD_NUMBER: _ClassVar[int]
    STRATUM_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    ROOT_DELAY_US_FIELD_NUMBER: _ClassVar[int]
    ROOT_DISPERSION_US_FIELD_NUMBER: _ClassVar[int]
    FREQUENCY_PPB_FIELD_NUMBER: _ClassVar[int]
    LEAP_FIELD_NUMBER: _ClassVar[int]
    STEP_US_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    ATTESTATION_FIELD_NUMBER: _ClassVar[int]
    ATTESTED_BY_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    at_us: int
    cause: str
    source: str
    synchronised: bool
    error_us: int
    offset_us: int
    stratum: int
    reference: str
    root_delay_us: int
    root_dispersion_us: int
    frequency_ppb: int
    leap: LeapStatus
    step_us: int
    driver: str
    attestation: Attestation
    attested_by: str
    def __init__(self, device_id: _Optional[str] = ..., at_us: _Optional[int] = ..., cause: _Optional[str] = ..., source: _Optional[str] = ..., synchronised: _Optional[bool] = ..., error_us: _Optional[int] = ..., offset_us: _Optional[int] = ..., stratum: _Optional[int] = ..., reference: _Optional[str] = ..., root_delay_us: _Optional[int] = ..., root_dispersion_us: _Optional[int] = ..., frequency_ppb: _Optional[int] = ..., leap: _Optional[_Union[LeapStatus, str]] = ..., step_us: _Optional[int] = ..., driver: _Optional[str] = ..., attestation: _Optional[_Union[Attestation, str]] = ..., attested_by: _Optional[str] = ...) -> None: ...

class LinkState(_message.Message):
    __slots__ = ("device_id", "at_us", "cause", "network_us", "cell", "zones", "rsrp_dbm", "rsrq_db", "sinr_db", "driver", "attestation", "attested_by")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    NETWORK_US_FIELD_NUMBER: _ClassVar[int]
    CELL_FIELD_NUMBER: _ClassVar[int]
    ZONES_FIELD_NUMBER: _ClassVar[int]
    RSRP_DBM_FIELD_NUMBER: _ClassVar[int]
    RSRQ_DB_FIELD_NUMBER: _ClassVar[int]
    SINR_DB_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    ATTESTATION_FIELD_NUMBER: _ClassVar[int]
    ATTESTED_BY_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    at_us: int
    cause: str
    network_us: int
    cell: str
    zones: _containers.RepeatedScalarFieldContainer[str]
    rsrp_dbm: float
    rsrq_db: float
    sinr_db: float
    driver: str
    attestation: Attestation
    attested_by: str
    def __init__(self, device_id: _Optional[str] = ..., at_us: _Optional[int] = ..., cause: _Optional[str] = ..., network_us: _Optional[int] = ..., cell: _Optional[str] = ..., zones: _Optional[_Iterable[str]] = ..., rsrp_dbm: _Optional[float] = ..., rsrq_db: _Optional[float] = ..., sinr_db: _Optional[float] = ..., driver: _Optional[str] = ..., attestation: _Optional[_Union[Attestation, str]] = ..., attested_by: _Optional[str] = ...) -> None: ...

class InfusionOrder(_message.Message):
    __slots__ = ("device_id", "received_us", "ordered_us", "action", "order_id", "drug", "drug_code", "volume_ml", "rate_ml_h", "dose", "dose_unit", "route", "bed", "ward", "message_id", "driver", "attestation", "attested_by")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_US_FIELD_NUMBER: _ClassVar[int]
    ORDERED_US_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    DRUG_FIELD_NUMBER: _ClassVar[int]
    DRUG_CODE_FIELD_NUMBER: _ClassVar[int]
    VOLUME_ML_FIELD_NUMBER: _ClassVar[int]
    RATE_ML_H_FIELD_NUMBER: _ClassVar[int]
    DOSE_FIELD_NUMBER: _ClassVar[int]
    DOSE_UNIT_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    BED_FIELD_NUMBER: _ClassVar[int]
    WARD_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    ATTESTATION_FIELD_NUMBER: _ClassVar[int]
    ATTESTED_BY_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    received_us: int
    ordered_us: int
    action: InfusionOrderAction
    order_id: str
    drug: str
    drug_code: str
    volume_ml: float
    rate_ml_h: float
    dose: float
    dose_unit: str
    route: str
    bed: str
    ward: str
    message_id: str
    driver: str
    attestation: Attestation
    attested_by: str
    def __init__(self, device_id: _Optional[str] = ..., received_us: _Optional[int] = ..., ordered_us: _Optional[int] = ..., action: _Optional[_Union[InfusionOrderAction, str]] = ..., order_id: _Optional[str] = ..., drug: _Optional[str] = ..., drug_code: _Optional[str] = ..., volume_ml: _Optional[float] = ..., rate_ml_h: _Optional[float] = ..., dose: _Optional[float] = ..., dose_unit: _Optional[str] = ..., route: _Optional[str] = ..., bed: _Optional[str] = ..., ward: _Optional[str] = ..., message_id: _Optional[str] = ..., driver: _Optional[str] = ..., attestation: _Optional[_Union[Attestation, str]] = ..., attested_by: _Optional[str] = ...) -> None: ...

class DeviceStatus(_message.Message):
    __slots__ = ("device_id", "kind", "received_us", "device_us", "state", "reason", "firmware", "battery_percent", "message_id", "driver", "attestation", "detail", "attested_by")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_US_FIELD_NUMBER: _ClassVar[int]
    DEVICE_US_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FIRMWARE_FIELD_NUMBER: _ClassVar[int]
    BATTERY_PERCENT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    ATTESTATION_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    ATTESTED_BY_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    kind: str
    received_us: int
    device_us: int
    state: DeviceState
    reason: str
    firmware: str
    battery_percent: float
    message_id: str
    driver: str
    attestation: Attestation
    detail: str
    attested_by: str
    def __init__(self, device_id: _Optional[str] = ..., kind: _Optional[str] = ..., received_us: _Optional[int] = ..., device_us: _Optional[int] = ..., state: _Optional[_Union[DeviceState, str]] = ..., reason: _Optional[str] = ..., firmware: _Optional[str] = ..., battery_percent: _Optional[float] = ..., message_id: _Optional[str] = ..., driver: _Optional[str] = ..., attestation: _Optional[_Union[Attestation, str]] = ..., detail: _Optional[str] = ..., attested_by: _Optional[str] = ...) -> None: ...

class Gap(_message.Message):
    __slots__ = ("device_id", "reason", "lane", "epoch", "first_seq", "last_seq", "from_us", "to_us", "reports")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQ_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    FROM_US_FIELD_NUMBER: _ClassVar[int]
    TO_US_FIELD_NUMBER: _ClassVar[int]
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    reason: str
    lane: Lane
    epoch: int
    first_seq: int
    last_seq: int
    from_us: int
    to_us: int
    reports: int
    def __init__(self, device_id: _Optional[str] = ..., reason: _Optional[str] = ..., lane: _Optional[_Union[Lane, str]] = ..., epoch: _Optional[int] = ..., first_seq: _Optional[int] = ..., last_seq: _Optional[int] = ..., from_us: _Optional[int] = ..., to_us: _Optional[int] = ..., reports: _Optional[int] = ...) -> None: ...

class Aggregate(_message.Message):
    __slots__ = ("from_us", "to_us", "epoch", "first_seq", "last_seq", "devices_min", "records", "statistics", "alarm_counts")
    FROM_US_FIELD_NUMBER: _ClassVar[int]
    TO_US_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQ_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    DEVICES_MIN_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    STATISTICS_FIELD_NUMBER: _ClassVar[int]
    ALARM_COUNTS_FIELD_NUMBER: _ClassVar[int]
    from_us: int
    to_us: int
    epoch: int
    first_seq: int
    last_seq: int
    devices_min: int
    records: int
    statistics: _containers.RepeatedCompositeFieldContainer[Statistic]
    alarm_counts: _containers.RepeatedCompositeFieldContainer[AlarmCount]
    def __init__(self, from_us: _Optional[int] = ..., to_us: _Optional[int] = ..., epoch: _Optional[int] = ..., first_seq: _Optional[int] = ..., last_seq: _Optional[int] = ..., devices_min: _Optional[int] = ..., records: _Optional[int] = ..., statistics: _Optional[_Iterable[_Union[Statistic, _Mapping]]] = ..., alarm_counts: _Optional[_Iterable[_Union[AlarmCount, _Mapping]]] = ...) -> None: ...

class Statistic(_message.Message):
    __slots__ = ("kind", "code", "devices", "values", "mean", "standard_deviation")
    KIND_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    STANDARD_DEVIATION_FIELD_NUMBER: _ClassVar[int]
    kind: str
    code: int
    devices: int
    values: int
    mean: float
    standard_deviation: float
    def __init__(self, kind: _Optional[str] = ..., code: _Optional[int] = ..., devices: _Optional[int] = ..., values: _Optional[int] = ..., mean: _Optional[float] = ..., standard_deviation: _Optional[float] = ...) -> None: ...

class AlarmCount(_message.Message):
    __slots__ = ("condition", "priority", "devices", "alarms")
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    ALARMS_FIELD_NUMBER: _ClassVar[int]
    condition: str
    priority: AlarmPriority
    devices: int
    alarms: int
    def __init__(self, condition: _Optional[str] = ..., priority: _Optional[_Union[AlarmPriority, str]] = ..., devices: _Optional[int] = ..., alarms: _Optional[int] = ...) -> None: ...
