from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("gateway", "software_version", "started_us", "now_us", "healthy", "devices", "devices_heard_lately", "alarms", "destinations")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_VERSION_FIELD_NUMBER: _ClassVar[int]
    STARTED_US_FIELD_NUMBER: _ClassVar[int]
    NOW_US_FIELD_NUMBER: _ClassVar[int]
    HEALTHY_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    DEVICES_HEARD_LATELY_FIELD_NUMBER: _ClassVar[int]
    ALARMS_FIELD_NUMBER: _ClassVar[int]
    DESTINATIONS_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    software_version: str
    started_us: int
    now_us: int
    healthy: bool
    devices: int
    devices_heard_lately: int
    alarms: _containers.RepeatedCompositeFieldContainer[ActiveAlarms]
    destinations: _containers.RepeatedCompositeFieldContainer[DestinationStanding]
    def __init__(self, gateway: _Optional[str] = ..., software_version: _Optional[str] = ..., started_us: _Optional[int] = ..., now_us: _Optional[int] = ..., healthy: _Optional[bool] = ..., devices: _Optional[int] = ..., devices_heard_lately: _Optional[int] = ..., alarms: _Optional[_Iterable[_Union[ActiveAlarms, _Mapping]]] = ..., destinations: _Optional[_Iterable[_Union[DestinationStanding, _Mapping]]] = ...) -> None: ...

class ActiveAlarms(_message.Message):
    __slots__ = ("priority", "count")
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    priority: str
    count: int
    def __init__(self, priority: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class DestinationStanding(_message.Message):
    __slots__ = ("name", "connected", "lag")
    class LagEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    connected: bool
    lag: _containers.ScalarMap[str, int]
    def __init__(self, name: _Optional[str] = ..., connected: _Optional[bool] = ..., lag: _Optional[_Mapping[str, int]] = ...) -> None: ...
