from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class VerifyLocationRequest(_message.Message):
    __slots__ = ("device_id",)
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    def __init__(self, device_id: _Optional[str] = ...) -> None: ...

class VerifyLocationResponse(_message.Message):
    __slots__ = ("verdict", "located_us", "match_percent", "why", "fence_state")
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    LOCATED_US_FIELD_NUMBER: _ClassVar[int]
    MATCH_PERCENT_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    FENCE_STATE_FIELD_NUMBER: _ClassVar[int]
    verdict: str
    located_us: int
    match_percent: int
    why: str
    fence_state: str
    def __init__(self, verdict: _Optional[str] = ..., located_us: _Optional[int] = ..., match_percent: _Optional[int] = ..., why: _Optional[str] = ..., fence_state: _Optional[str] = ...) -> None: ...

class ListQualityRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListQualityResponse(_message.Message):
    __slots__ = ("sessions",)
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedCompositeFieldContainer[QualitySession]
    def __init__(self, sessions: _Optional[_Iterable[_Union[QualitySession, _Mapping]]] = ...) -> None: ...

class QualitySession(_message.Message):
    __slots__ = ("device_id", "state", "left_seconds", "needs")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LEFT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    state: str
    left_seconds: float
    needs: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, device_id: _Optional[str] = ..., state: _Optional[str] = ..., left_seconds: _Optional[float] = ..., needs: _Optional[_Iterable[str]] = ...) -> None: ...

class AskQualityRequest(_message.Message):
    __slots__ = ("device_id", "minutes", "reason")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    MINUTES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    minutes: int
    reason: str
    def __init__(self, device_id: _Optional[str] = ..., minutes: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class AskQualityResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: QualitySession
    def __init__(self, session: _Optional[_Union[QualitySession, _Mapping]] = ...) -> None: ...

class GiveBackQualityRequest(_message.Message):
    __slots__ = ("device_id",)
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    def __init__(self, device_id: _Optional[str] = ...) -> None: ...

class GiveBackQualityResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListSwapsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListSwapsResponse(_message.Message):
    __slots__ = ("devices",)
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    devices: _containers.RepeatedCompositeFieldContainer[DeviceSwaps]
    def __init__(self, devices: _Optional[_Iterable[_Union[DeviceSwaps, _Mapping]]] = ...) -> None: ...

class DeviceSwaps(_message.Message):
    __slots__ = ("device_id", "sim_us", "modem_us", "standing")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    SIM_US_FIELD_NUMBER: _ClassVar[int]
    MODEM_US_FIELD_NUMBER: _ClassVar[int]
    STANDING_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    sim_us: int
    modem_us: int
    standing: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, device_id: _Optional[str] = ..., sim_us: _Optional[int] = ..., modem_us: _Optional[int] = ..., standing: _Optional[_Iterable[str]] = ...) -> None: ...

class ConfirmSwapsRequest(_message.Message):
    __slots__ = ("device_id", "reason")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    reason: str
    def __init__(self, device_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ConfirmSwapsResponse(_message.Message):
    __slots__ = ("ended",)
    ENDED_FIELD_NUMBER: _ClassVar[int]
    ended: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, ended: _Optional[_Iterable[str]] = ...) -> None: ...
