from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ShowCabinetsRequest(_message.Message):
    __slots__ = ("cabinet",)
    CABINET_FIELD_NUMBER: _ClassVar[int]
    cabinet: str
    def __init__(self, cabinet: _Optional[str] = ...) -> None: ...

class ShowCabinetsResponse(_message.Message):
    __slots__ = ("now_us", "cabinets")
    NOW_US_FIELD_NUMBER: _ClassVar[int]
    CABINETS_FIELD_NUMBER: _ClassVar[int]
    now_us: int
    cabinets: _containers.RepeatedCompositeFieldContainer[CabinetState]
    def __init__(self, now_us: _Optional[int] = ..., cabinets: _Optional[_Iterable[_Union[CabinetState, _Mapping]]] = ...) -> None: ...

class CabinetState(_message.Message):
    __slots__ = ("name", "kind", "unseen_since_us", "seen", "doors", "conditions", "counted", "classes", "items")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    UNSEEN_SINCE_US_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    DOORS_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    COUNTED_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    unseen_since_us: int
    seen: bool
    doors: _containers.RepeatedCompositeFieldContainer[DoorState]
    conditions: _containers.RepeatedScalarFieldContainer[str]
    counted: bool
    classes: _containers.RepeatedCompositeFieldContainer[ClassState]
    items: _containers.RepeatedCompositeFieldContainer[ItemState]
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., unseen_since_us: _Optional[int] = ..., seen: _Optional[bool] = ..., doors: _Optional[_Iterable[_Union[DoorState, _Mapping]]] = ..., conditions: _Optional[_Iterable[str]] = ..., counted: _Optional[bool] = ..., classes: _Optional[_Iterable[_Union[ClassState, _Mapping]]] = ..., items: _Optional[_Iterable[_Union[ItemState, _Mapping]]] = ...) -> None: ...

class DoorState(_message.Message):
    __slots__ = ("name", "state", "opened_us", "badges")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OPENED_US_FIELD_NUMBER: _ClassVar[int]
    BADGES_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: str
    opened_us: int
    badges: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., state: _Optional[str] = ..., opened_us: _Optional[int] = ..., badges: _Optional[_Iterable[str]] = ...) -> None: ...

class ClassState(_message.Message):
    __slots__ = ("item_class", "name", "expected", "found", "doubted", "differs")
    ITEM_CLASS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    DOUBTED_FIELD_NUMBER: _ClassVar[int]
    DIFFERS_FIELD_NUMBER: _ClassVar[int]
    item_class: str
    name: str
    expected: int
    found: int
    doubted: int
    differs: bool
    def __init__(self, item_class: _Optional[str] = ..., name: _Optional[str] = ..., expected: _Optional[int] = ..., found: _Optional[int] = ..., doubted: _Optional[int] = ..., differs: _Optional[bool] = ...) -> None: ...

class ItemState(_message.Message):
    __slots__ = ("epc", "item_class", "name", "lot", "expiry", "place", "state", "since_us", "seen_us", "marks")
    EPC_FIELD_NUMBER: _ClassVar[int]
    ITEM_CLASS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LOT_FIELD_NUMBER: _ClassVar[int]
    EXPIRY_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SINCE_US_FIELD_NUMBER: _ClassVar[int]
    SEEN_US_FIELD_NUMBER: _ClassVar[int]
    MARKS_FIELD_NUMBER: _ClassVar[int]
    epc: str
    item_class: str
    name: str
    lot: str
    expiry: str
    place: str
    state: str
    since_us: int
    seen_us: int
    marks: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, epc: _Optional[str] = ..., item_class: _Optional[str] = ..., name: _Optional[str] = ..., lot: _Optional[str] = ..., expiry: _Optional[str] = ..., place: _Optional[str] = ..., state: _Optional[str] = ..., since_us: _Optional[int] = ..., seen_us: _Optional[int] = ..., marks: _Optional[_Iterable[str]] = ...) -> None: ...

class GetCabinetHistoryRequest(_message.Message):
    __slots__ = ("cabinet", "lines_max")
    CABINET_FIELD_NUMBER: _ClassVar[int]
    LINES_MAX_FIELD_NUMBER: _ClassVar[int]
    cabinet: str
    lines_max: int
    def __init__(self, cabinet: _Optional[str] = ..., lines_max: _Optional[int] = ...) -> None: ...

class GetCabinetHistoryResponse(_message.Message):
    __slots__ = ("lines",)
    LINES_FIELD_NUMBER: _ClassVar[int]
    lines: _containers.RepeatedCompositeFieldContainer[HistoryLine]
    def __init__(self, lines: _Optional[_Iterable[_Union[HistoryLine, _Mapping]]] = ...) -> None: ...

class HistoryLine(_message.Message):
    __slots__ = ("at_us", "event", "epc", "item_class", "name", "place", "from_place", "badges", "session", "text")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    EPC_FIELD_NUMBER: _ClassVar[int]
    ITEM_CLASS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    FROM_PLACE_FIELD_NUMBER: _ClassVar[int]
    BADGES_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    event: str
    epc: str
    item_class: str
    name: str
    place: str
    from_place: str
    badges: _containers.RepeatedScalarFieldContainer[str]
    session: str
    text: str
    def __init__(self, at_us: _Optional[int] = ..., event: _Optional[str] = ..., epc: _Optional[str] = ..., item_class: _Optional[str] = ..., name: _Optional[str] = ..., place: _Optional[str] = ..., from_place: _Optional[str] = ..., badges: _Optional[_Iterable[str]] = ..., session: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class ReconcileCabinetRequest(_message.Message):
    __slots__ = ("cabinet", "persons", "counted", "reason")
    class CountedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    CABINET_FIELD_NUMBER: _ClassVar[int]
    PERSONS_FIELD_NUMBER: _ClassVar[int]
    COUNTED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    cabinet: str
    persons: _containers.RepeatedScalarFieldContainer[str]
    counted: _containers.ScalarMap[str, int]
    reason: str
    def __init__(self, cabinet: _Optional[str] = ..., persons: _Optional[_Iterable[str]] = ..., counted: _Optional[_Mapping[str, int]] = ..., reason: _Optional[str] = ...) -> None: ...

class ReconcileCabinetResponse(_message.Message):
    __slots__ = ("classes", "written_off")
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    WRITTEN_OFF_FIELD_NUMBER: _ClassVar[int]
    classes: _containers.RepeatedCompositeFieldContainer[CountedClass]
    written_off: int
    def __init__(self, classes: _Optional[_Iterable[_Union[CountedClass, _Mapping]]] = ..., written_off: _Optional[int] = ...) -> None: ...

class CountedClass(_message.Message):
    __slots__ = ("item_class", "name", "expected", "found", "doubted", "counted", "differs")
    ITEM_CLASS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    DOUBTED_FIELD_NUMBER: _ClassVar[int]
    COUNTED_FIELD_NUMBER: _ClassVar[int]
    DIFFERS_FIELD_NUMBER: _ClassVar[int]
    item_class: str
    name: str
    expected: int
    found: int
    doubted: int
    counted: int
    differs: bool
    def __init__(self, item_class: _Optional[str] = ..., name: _Optional[str] = ..., expected: _Optional[int] = ..., found: _Optional[int] = ..., doubted: _Optional[int] = ..., counted: _Optional[int] = ..., differs: _Optional[bool] = ...) -> None: ...

class ListIssuedRequest(_message.Message):
    __slots__ = ("staff",)
    STAFF_FIELD_NUMBER: _ClassVar[int]
    staff: str
    def __init__(self, staff: _Optional[str] = ...) -> None: ...

class ListIssuedResponse(_message.Message):
    __slots__ = ("now_us", "garments")
    NOW_US_FIELD_NUMBER: _ClassVar[int]
    GARMENTS_FIELD_NUMBER: _ClassVar[int]
    now_us: int
    garments: _containers.RepeatedCompositeFieldContainer[IssuedGarment]
    def __init__(self, now_us: _Optional[int] = ..., garments: _Optional[_Iterable[_Union[IssuedGarment, _Mapping]]] = ...) -> None: ...

class IssuedGarment(_message.Message):
    __slots__ = ("epc", "name", "staff", "cabinet", "since_us", "overdue")
    EPC_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STAFF_FIELD_NUMBER: _ClassVar[int]
    CABINET_FIELD_NUMBER: _ClassVar[int]
    SINCE_US_FIELD_NUMBER: _ClassVar[int]
    OVERDUE_FIELD_NUMBER: _ClassVar[int]
    epc: str
    name: str
    staff: str
    cabinet: str
    since_us: int
    overdue: bool
    def __init__(self, epc: _Optional[str] = ..., name: _Optional[str] = ..., staff: _Optional[str] = ..., cabinet: _Optional[str] = ..., since_us: _Optional[int] = ..., overdue: _Optional[bool] = ...) -> None: ...

class ImportListRequest(_message.Message):
    __slots__ = ("kind", "document", "dry_run")
    KIND_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    kind: str
    document: bytes
    dry_run: bool
    def __init__(self, kind: _Optional[str] = ..., document: _Optional[bytes] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class ImportListResponse(_message.Message):
    __slots__ = ("entries", "changed", "removed")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    entries: int
    changed: int
    removed: int
    def __init__(self, entries: _Optional[int] = ..., changed: _Optional[int] = ..., removed: _Optional[int] = ...) -> None: ...
