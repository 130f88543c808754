from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListClocksRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListClocksResponse(_message.Message):
    __slots__ = ("own", "clocks")
    OWN_FIELD_NUMBER: _ClassVar[int]
    CLOCKS_FIELD_NUMBER: _ClassVar[int]
    own: OwnClock
    clocks: _containers.RepeatedCompositeFieldContainer[DeviceClock]
    def __init__(self, own: _Optional[_Union[OwnClock, _Mapping]] = ..., clocks: _Optional[_Iterable[_Union[DeviceClock, _Mapping]]] = ...) -> None: ...

class OwnClock(_message.Message):
    __slots__ = ("now_us", "source", "synchronised", "error_us", "offset_us", "stratum", "reference", "steps", "step_us", "stepped_at_us")
    NOW_US_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SYNCHRONISED_FIELD_NUMBER: _ClassVar[int]
    ERROR_US_FIELD_NUMBER: _ClassVar[int]
    OFFSET_US_FIELD_NUMBER: _ClassVar[int]
    STRATUM_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    STEP_US_FIELD_NUMBER: _ClassVar[int]
    STEPPED_AT_US_FIELD_NUMBER: _ClassVar[int]
    now_us: int
    source: str
    synchronised: bool
    error_us: int
    offset_us: int
    stratum: int
    reference: str
    steps: int
    step_us: int
    stepped_at_us: int
    def __init__(self, now_us: _Optional[int] = ..., source: _Optional[str] = ..., synchronised: _Optional[bool] = ..., error_us: _Optional[int] = ..., offset_us: _Optional[int] = ..., stratum: _Optional[int] = ..., reference: _Optional[str] = ..., steps: _Optional[int] = ..., step_us: _Optional[int] = ..., stepped_at_us: _Optional[int] = ...) -> None: ...

class DeviceClock(_message.Message):
    __slots__ = ("device_id", "offset_us", "uncertainty_us", "drift_ppm", "drift_uncertainty_ppm", "resolution_us", "steps", "step_us", "stepped_at_us", "report_uncertainty_us")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    OFFSET_US_FIELD_NUMBER: _ClassVar[int]
    UNCERTAINTY_US_FIELD_NUMBER: _ClassVar[int]
    DRIFT_PPM_FIELD_NUMBER: _ClassVar[int]
    DRIFT_UNCERTAINTY_PPM_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_US_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    STEP_US_FIELD_NUMBER: _ClassVar[int]
    STEPPED_AT_US_FIELD_NUMBER: _ClassVar[int]
    REPORT_UNCERTAINTY_US_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    offset_us: int
    uncertainty_us: int
    drift_ppm: float
    drift_uncertainty_ppm: float
    resolution_us: int
    steps: int
    step_us: int
    stepped_at_us: int
    report_uncertainty_us: int
    def __init__(self, device_id: _Optional[str] = ..., offset_us: _Optional[int] = ..., uncertainty_us: _Optional[int] = ..., drift_ppm: _Optional[float] = ..., drift_uncertainty_ppm: _Optional[float] = ..., resolution_us: _Optional[int] = ..., steps: _Optional[int] = ..., step_us: _Optional[int] = ..., stepped_at_us: _Optional[int] = ..., report_uncertainty_us: _Optional[int] = ...) -> None: ...
