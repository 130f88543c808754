from protos.wardgate.v1 import ingest_pb2 as _ingest_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AlarmStanding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALARM_STANDING_UNSPECIFIED: _ClassVar[AlarmStanding]
    ALARM_STANDING_OPEN: _ClassVar[AlarmStanding]
    ALARM_STANDING_ACKNOWLEDGED: _ClassVar[AlarmStanding]
    ALARM_STANDING_MUTED: _ClassVar[AlarmStanding]
ALARM_STANDING_UNSPECIFIED: AlarmStanding
ALARM_STANDING_OPEN: AlarmStanding
ALARM_STANDING_ACKNOWLEDGED: AlarmStanding
ALARM_STANDING_MUTED: AlarmStanding

class StandingAlarm(_message.Message):
    __slots__ = ("alarm", "ward", "standing", "n", "level", "next_level_us", "acknowledged_by", "acknowledged_us", "acknowledged_until_us", "muted_until_us", "receipts", "refids", "units")
    ALARM_FIELD_NUMBER: _ClassVar[int]
    WARD_FIELD_NUMBER: _ClassVar[int]
    STANDING_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    NEXT_LEVEL_US_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_BY_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_US_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_UNTIL_US_FIELD_NUMBER: _ClassVar[int]
    MUTED_UNTIL_US_FIELD_NUMBER: _ClassVar[int]
    RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    REFIDS_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    alarm: _ingest_pb2.Alarm
    ward: str
    standing: AlarmStanding
    n: int
    level: int
    next_level_us: int
    acknowledged_by: str
    acknowledged_us: int
    acknowledged_until_us: int
    muted_until_us: int
    receipts: _containers.RepeatedCompositeFieldContainer[OutletReceipt]
    refids: _containers.RepeatedScalarFieldContainer[str]
    units: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, alarm: _Optional[_Union[_ingest_pb2.Alarm, _Mapping]] = ..., ward: _Optional[str] = ..., standing: _Optional[_Union[AlarmStanding, str]] = ..., n: _Optional[int] = ..., level: _Optional[int] = ..., next_level_us: _Optional[int] = ..., acknowledged_by: _Optional[str] = ..., acknowledged_us: _Optional[int] = ..., acknowledged_until_us: _Optional[int] = ..., muted_until_us: _Optional[int] = ..., receipts: _Optional[_Iterable[_Union[OutletReceipt, _Mapping]]] = ..., refids: _Optional[_Iterable[str]] = ..., units: _Optional[_Iterable[str]] = ...) -> None: ...

class OutletReceipt(_message.Message):
    __slots__ = ("outlet", "state", "level")
    OUTLET_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    outlet: str
    state: str
    level: int
    def __init__(self, outlet: _Optional[str] = ..., state: _Optional[str] = ..., level: _Optional[int] = ...) -> None: ...

class StandingSilence(_message.Message):
    __slots__ = ("silence_id", "ward", "bed", "device_id", "condition", "begun_us", "until_us", "by", "reason")
    SILENCE_ID_FIELD_NUMBER: _ClassVar[int]
    WARD_FIELD_NUMBER: _ClassVar[int]
    BED_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    BEGUN_US_FIELD_NUMBER: _ClassVar[int]
    UNTIL_US_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    silence_id: str
    ward: str
    bed: str
    device_id: str
    condition: str
    begun_us: int
    until_us: int
    by: str
    reason: str
    def __init__(self, silence_id: _Optional[str] = ..., ward: _Optional[str] = ..., bed: _Optional[str] = ..., device_id: _Optional[str] = ..., condition: _Optional[str] = ..., begun_us: _Optional[int] = ..., until_us: _Optional[int] = ..., by: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class OutletStanding(_message.Message):
    __slots__ = ("outlet", "failing", "reason", "waiting")
    OUTLET_FIELD_NUMBER: _ClassVar[int]
    FAILING_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    outlet: str
    failing: bool
    reason: str
    waiting: int
    def __init__(self, outlet: _Optional[str] = ..., failing: _Optional[bool] = ..., reason: _Optional[str] = ..., waiting: _Optional[int] = ...) -> None: ...

class ListAlarmsRequest(_message.Message):
    __slots__ = ("ward",)
    WARD_FIELD_NUMBER: _ClassVar[int]
    ward: str
    def __init__(self, ward: _Optional[str] = ...) -> None: ...

class ListAlarmsResponse(_message.Message):
    __slots__ = ("gateway", "now_us", "alarms", "silences", "outlets")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    NOW_US_FIELD_NUMBER: _ClassVar[int]
    ALARMS_FIELD_NUMBER: _ClassVar[int]
    SILENCES_FIELD_NUMBER: _ClassVar[int]
    OUTLETS_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    now_us: int
    alarms: _containers.RepeatedCompositeFieldContainer[StandingAlarm]
    silences: _containers.RepeatedCompositeFieldContainer[StandingSilence]
    outlets: _containers.RepeatedCompositeFieldContainer[OutletStanding]
    def __init__(self, gateway: _Optional[str] = ..., now_us: _Optional[int] = ..., alarms: _Optional[_Iterable[_Union[StandingAlarm, _Mapping]]] = ..., silences: _Optional[_Iterable[_Union[StandingSilence, _Mapping]]] = ..., outlets: _Optional[_Iterable[_Union[OutletStanding, _Mapping]]] = ...) -> None: ...

class WatchAlarmsRequest(_message.Message):
    __slots__ = ("ward",)
    WARD_FIELD_NUMBER: _ClassVar[int]
    ward: str
    def __init__(self, ward: _Optional[str] = ...) -> None: ...

class WatchAlarmsResponse(_message.Message):
    __slots__ = ("gateway", "now_us", "complete", "alarms", "ended", "silences", "outlets")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    NOW_US_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    ALARMS_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    SILENCES_FIELD_NUMBER: _ClassVar[int]
    OUTLETS_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    now_us: int
    complete: bool
    alarms: _containers.RepeatedCompositeFieldContainer[StandingAlarm]
    ended: _containers.RepeatedScalarFieldContainer[str]
    silences: _containers.RepeatedCompositeFieldContainer[StandingSilence]
    outlets: _containers.RepeatedCompositeFieldContainer[OutletStanding]
    def __init__(self, gateway: _Optional[str] = ..., now_us: _Optional[int] = ..., complete: _Optional[bool] = ..., alarms: _Optional[_Iterable[_Union[StandingAlarm, _Mapping]]] = ..., ended: _Optional[_Iterable[str]] = ..., silences: _Optional[_Iterable[_Union[StandingSilence, _Mapping]]] = ..., outlets: _Optional[_Iterable[_Union[OutletStanding, _Mapping]]] = ...) -> None: ...

class AcknowledgeAlarmRequest(_message.Message):
    __slots__ = ("alarm_id", "n", "by")
    ALARM_ID_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    alarm_id: str
    n: int
    by: str
    def __init__(self, alarm_id: _Optional[str] = ..., n: _Optional[int] = ..., by: _Optional[str] = ...) -> None: ...

class AcknowledgeAlarmResponse(_message.Message):
    __slots__ = ("by",)
    BY_FIELD_NUMBER: _ClassVar[int]
    by: str
    def __init__(self, by: _Optional[str] = ...) -> None: ...

class SilenceAlarmsRequest(_message.Message):
    __slots__ = ("ward", "bed", "device_id", "condition", "seconds", "reason", "by")
    WARD_FIELD_NUMBER: _ClassVar[int]
    BED_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    ward: str
    bed: str
    device_id: str
    condition: str
    seconds: int
    reason: str
    by: str
    def __init__(self, ward: _Optional[str] = ..., bed: _Optional[str] = ..., device_id: _Optional[str] = ..., condition: _Optional[str] = ..., seconds: _Optional[int] = ..., reason: _Optional[str] = ..., by: _Optional[str] = ...) -> None: ...

class SilenceAlarmsResponse(_message.Message):
    __slots__ = ("silence",)
    SILENCE_FIELD_NUMBER: _ClassVar[int]
    silence: StandingSilence
    def __init__(self, silence: _Optional[_Union[StandingSilence, _Mapping]] = ...) -> None: ...

class UnsilenceAlarmsRequest(_message.Message):
    __slots__ = ("silence_id", "by")
    SILENCE_ID_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    silence_id: str
    by: str
    def __init__(self, silence_id: _Optional[str] = ..., by: _Optional[str] = ...) -> None: ...

class UnsilenceAlarmsResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
