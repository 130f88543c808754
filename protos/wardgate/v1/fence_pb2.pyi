from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListFencedRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListFencedResponse(_message.Message):
    __slots__ = ("devices", "now_us")
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    NOW_US_FIELD_NUMBER: _ClassVar[int]
    devices: _containers.RepeatedCompositeFieldContainer[FencedDevice]
    now_us: int
    def __init__(self, devices: _Optional[_Iterable[_Union[FencedDevice, _Mapping]]] = ..., now_us: _Optional[int] = ...) -> None: ...

class FencedDevice(_message.Message):
    __slots__ = ("device_id", "state", "zones", "ward", "seen_us", "link")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    CLASS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ZONES_FIELD_NUMBER: _ClassVar[int]
    WARD_FIELD_NUMBER: _ClassVar[int]
    SEEN_US_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    state: str
    zones: _containers.RepeatedScalarFieldContainer[str]
    ward: str
    seen_us: int
    link: RadioLink
    def __init__(self, device_id: _Optional[str] = ..., state: _Optional[str] = ..., zones: _Optional[_Iterable[str]] = ..., ward: _Optional[str] = ..., seen_us: _Optional[int] = ..., link: _Optional[_Union[RadioLink, _Mapping]] = ..., **kwargs) -> None: ...

class RadioLink(_message.Message):
    __slots__ = ("cell", "rsrp_dbm", "rsrq_db", "sinr_db", "at_us")
    CELL_FIELD_NUMBER: _ClassVar[int]
    RSRP_DBM_FIELD_NUMBER: _ClassVar[int]
    RSRQ_DB_FIELD_NUMBER: _ClassVar[int]
    SINR_DB_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    cell: str
    rsrp_dbm: float
    rsrq_db: float
    sinr_db: float
    at_us: int
    def __init__(self, cell: _Optional[str] = ..., rsrp_dbm: _Optional[float] = ..., rsrq_db: _Optional[float] = ..., sinr_db: _Optional[float] = ..., at_us: _Optional[int] = ...) -> None: ...
