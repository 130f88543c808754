from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListInfusionsRequest(_message.Message):
    __slots__ = ("ward",)
    WARD_FIELD_NUMBER: _ClassVar[int]
    ward: str
    def __init__(self, ward: _Optional[str] = ...) -> None: ...

class ListInfusionsResponse(_message.Message):
    __slots__ = ("infusions", "now_us")
    INFUSIONS_FIELD_NUMBER: _ClassVar[int]
    NOW_US_FIELD_NUMBER: _ClassVar[int]
    infusions: _containers.RepeatedCompositeFieldContainer[Infusion]
    now_us: int
    def __init__(self, infusions: _Optional[_Iterable[_Union[Infusion, _Mapping]]] = ..., now_us: _Optional[int] = ...) -> None: ...

class GetInfusionRequest(_message.Message):
    __slots__ = ("device_id",)
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    def __init__(self, device_id: _Optional[str] = ...) -> None: ...

class GetInfusionResponse(_message.Message):
    __slots__ = ("infusion", "now_us", "values", "words")
    INFUSION_FIELD_NUMBER: _ClassVar[int]
    NOW_US_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    infusion: Infusion
    now_us: int
    values: _containers.RepeatedCompositeFieldContainer[InfusionValue]
    words: _containers.RepeatedCompositeFieldContainer[InfusionWord]
    def __init__(self, infusion: _Optional[_Union[Infusion, _Mapping]] = ..., now_us: _Optional[int] = ..., values: _Optional[_Iterable[_Union[InfusionValue, _Mapping]]] = ..., words: _Optional[_Iterable[_Union[InfusionWord, _Mapping]]] = ...) -> None: ...

class WatchInfusionsRequest(_message.Message):
    __slots__ = ("ward",)
    WARD_FIELD_NUMBER: _ClassVar[int]
    ward: str
    def __init__(self, ward: _Optional[str] = ...) -> None: ...

class WatchInfusionsResponse(_message.Message):
    __slots__ = ("infusions", "now_us")
    INFUSIONS_FIELD_NUMBER: _ClassVar[int]
    NOW_US_FIELD_NUMBER: _ClassVar[int]
    infusions: _containers.RepeatedCompositeFieldContainer[Infusion]
    now_us: int
    def __init__(self, infusions: _Optional[_Iterable[_Union[Infusion, _Mapping]]] = ..., now_us: _Optional[int] = ...) -> None: ...

class Infusion(_message.Message):
    __slots__ = ("device_id", "kind", "driver", "ward", "bed", "drug", "state", "offline", "heard_us", "rate_ml_h", "programmed_ml_h", "volume_ml", "infused_ml", "remaining_ml", "minutes_left", "minutes_left_early", "minutes_left_late", "battery_percent", "event", "event_us", "alarms", "order")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    WARD_FIELD_NUMBER: _ClassVar[int]
    BED_FIELD_NUMBER: _ClassVar[int]
    DRUG_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OFFLINE_FIELD_NUMBER: _ClassVar[int]
    HEARD_US_FIELD_NUMBER: _ClassVar[int]
    RATE_ML_H_FIELD_NUMBER: _ClassVar[int]
    PROGRAMMED_ML_H_FIELD_NUMBER: _ClassVar[int]
    VOLUME_ML_FIELD_NUMBER: _ClassVar[int]
    INFUSED_ML_FIELD_NUMBER: _ClassVar[int]
    REMAINING_ML_FIELD_NUMBER: _ClassVar[int]
    MINUTES_LEFT_FIELD_NUMBER: _ClassVar[int]
    MINUTES_LEFT_EARLY_FIELD_NUMBER: _ClassVar[int]
    MINUTES_LEFT_LATE_FIELD_NUMBER: _ClassVar[int]
    BATTERY_PERCENT_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    EVENT_US_FIELD_NUMBER: _ClassVar[int]
    ALARMS_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    kind: str
    driver: str
    ward: str
    bed: str
    drug: str
    state: str
    offline: bool
    heard_us: int
    rate_ml_h: float
    programmed_ml_h: float
    volume_ml: float
    infused_ml: float
    remaining_ml: float
    minutes_left: float
    minutes_left_early: float
    minutes_left_late: float
    battery_percent: float
    event: str
    event_us: int
    alarms: _containers.RepeatedCompositeFieldContainer[InfusionAlarm]
    order: InfusionOrderContext
    def __init__(self, device_id: _Optional[str] = ..., kind: _Optional[str] = ..., driver: _Optional[str] = ..., ward: _Optional[str] = ..., bed: _Optional[str] = ..., drug: _Optional[str] = ..., state: _Optional[str] = ..., offline: _Optional[bool] = ..., heard_us: _Optional[int] = ..., rate_ml_h: _Optional[float] = ..., programmed_ml_h: _Optional[float] = ..., volume_ml: _Optional[float] = ..., infused_ml: _Optional[float] = ..., remaining_ml: _Optional[float] = ..., minutes_left: _Optional[float] = ..., minutes_left_early: _Optional[float] = ..., minutes_left_late: _Optional[float] = ..., battery_percent: _Optional[float] = ..., event: _Optional[str] = ..., event_us: _Optional[int] = ..., alarms: _Optional[_Iterable[_Union[InfusionAlarm, _Mapping]]] = ..., order: _Optional[_Union[InfusionOrderContext, _Mapping]] = ...) -> None: ...

class InfusionAlarm(_message.Message):
    __slots__ = ("condition", "priority", "text", "onset_us", "source")
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ONSET_US_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    condition: str
    priority: str
    text: str
    onset_us: int
    source: str
    def __init__(self, condition: _Optional[str] = ..., priority: _Optional[str] = ..., text: _Optional[str] = ..., onset_us: _Optional[int] = ..., source: _Optional[str] = ...) -> None: ...

class InfusionOrderContext(_message.Message):
    __slots__ = ("order_id", "action", "ordered_us", "drug", "volume_ml", "rate_ml_h", "dose", "dose_unit", "route", "told_by", "deviation_percent", "other_drug")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    ORDERED_US_FIELD_NUMBER: _ClassVar[int]
    DRUG_FIELD_NUMBER: _ClassVar[int]
    VOLUME_ML_FIELD_NUMBER: _ClassVar[int]
    RATE_ML_H_FIELD_NUMBER: _ClassVar[int]
    DOSE_FIELD_NUMBER: _ClassVar[int]
    DOSE_UNIT_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    TOLD_BY_FIELD_NUMBER: _ClassVar[int]
    DEVIATION_PERCENT_FIELD_NUMBER: _ClassVar[int]
    OTHER_DRUG_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    action: str
    ordered_us: int
    drug: str
    volume_ml: float
    rate_ml_h: float
    dose: float
    dose_unit: str
    route: str
    told_by: str
    deviation_percent: float
    other_drug: bool
    def __init__(self, order_id: _Optional[str] = ..., action: _Optional[str] = ..., ordered_us: _Optional[int] = ..., drug: _Optional[str] = ..., volume_ml: _Optional[float] = ..., rate_ml_h: _Optional[float] = ..., dose: _Optional[float] = ..., dose_unit: _Optional[str] = ..., route: _Optional[str] = ..., told_by: _Optional[str] = ..., deviation_percent: _Optional[float] = ..., other_drug: _Optional[bool] = ...) -> None: ...

class InfusionValue(_message.Message):
    __slots__ = ("code", "refid", "value", "unit")
    CODE_FIELD_NUMBER: _ClassVar[int]
    REFID_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    code: int
    refid: str
    value: float
    unit: str
    def __init__(self, code: _Optional[int] = ..., refid: _Optional[str] = ..., value: _Optional[float] = ..., unit: _Optional[str] = ...) -> None: ...

class InfusionWord(_message.Message):
    __slots__ = ("code", "refid", "word")
    CODE_FIELD_NUMBER: _ClassVar[int]
    REFID_FIELD_NUMBER: _ClassVar[int]
    WORD_FIELD_NUMBER: _ClassVar[int]
    code: int
    refid: str
    word: str
    def __init__(self, code: _Optional[int] = ..., refid: _Optional[str] = ..., word: _Optional[str] = ...) -> None: ...
