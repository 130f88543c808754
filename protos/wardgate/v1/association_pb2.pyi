from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AssociationEntry(_message.Message):
    __slots__ = ("association_id", "subject", "device_id", "bed", "patient_id", "from_us", "to_us", "state", "reason", "claims")
    ASSOCIATION_ID_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    BED_FIELD_NUMBER: _ClassVar[int]
    PATIENT_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_US_FIELD_NUMBER: _ClassVar[int]
    TO_US_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    association_id: str
    subject: str
    device_id: str
    bed: str
    patient_id: str
    from_us: int
    to_us: int
    state: str
    reason: str
    claims: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, association_id: _Optional[str] = ..., subject: _Optional[str] = ..., device_id: _Optional[str] = ..., bed: _Optional[str] = ..., patient_id: _Optional[str] = ..., from_us: _Optional[int] = ..., to_us: _Optional[int] = ..., state: _Optional[str] = ..., reason: _Optional[str] = ..., claims: _Optional[_Iterable[str]] = ...) -> None: ...

class AssociationEvent(_message.Message):
    __slots__ = ("kind", "patient_id", "occurred_us", "recorded_us", "bed", "prior_bed", "visit", "other", "until_us", "by")
    KIND_FIELD_NUMBER: _ClassVar[int]
    PATIENT_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_US_FIELD_NUMBER: _ClassVar[int]
    RECORDED_US_FIELD_NUMBER: _ClassVar[int]
    BED_FIELD_NUMBER: _ClassVar[int]
    PRIOR_BED_FIELD_NUMBER: _ClassVar[int]
    VISIT_FIELD_NUMBER: _ClassVar[int]
    OTHER_FIELD_NUMBER: _ClassVar[int]
    UNTIL_US_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    kind: str
    patient_id: str
    occurred_us: int
    recorded_us: int
    bed: str
    prior_bed: str
    visit: str
    other: str
    until_us: int
    by: str
    def __init__(self, kind: _Optional[str] = ..., patient_id: _Optional[str] = ..., occurred_us: _Optional[int] = ..., recorded_us: _Optional[int] = ..., bed: _Optional[str] = ..., prior_bed: _Optional[str] = ..., visit: _Optional[str] = ..., other: _Optional[str] = ..., until_us: _Optional[int] = ..., by: _Optional[str] = ...) -> None: ...

class ListAssociationsRequest(_message.Message):
    __slots__ = ("at_us", "conflicts")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    CONFLICTS_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    conflicts: bool
    def __init__(self, at_us: _Optional[int] = ..., conflicts: _Optional[bool] = ...) -> None: ...

class ListAssociationsResponse(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[AssociationEntry]
    def __init__(self, entries: _Optional[_Iterable[_Union[AssociationEntry, _Mapping]]] = ...) -> None: ...

class ShowAssociationRequest(_message.Message):
    __slots__ = ("association_id", "bed", "patient_id", "device_id")
    ASSOCIATION_ID_FIELD_NUMBER: _ClassVar[int]
    BED_FIELD_NUMBER: _ClassVar[int]
    PATIENT_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    association_id: str
    bed: str
    patient_id: str
    device_id: str
    def __init__(self, association_id: _Optional[str] = ..., bed: _Optional[str] = ..., patient_id: _Optional[str] = ..., device_id: _Optional[str] = ...) -> None: ...

class ShowAssociationResponse(_message.Message):
    __slots__ = ("entries", "events")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[AssociationEntry]
    events: _containers.RepeatedCompositeFieldContainer[AssociationEvent]
    def __init__(self, entries: _Optional[_Iterable[_Union[AssociationEntry, _Mapping]]] = ..., events: _Optional[_Iterable[_Union[AssociationEvent, _Mapping]]] = ...) -> None: ...

class BindAssociationRequest(_message.Message):
    __slots__ = ("patient_id", "device_id", "bed", "at_us")
    PATIENT_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    BED_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    patient_id: str
    device_id: str
    bed: str
    at_us: int
    def __init__(self, patient_id: _Optional[str] = ..., device_id: _Optional[str] = ..., bed: _Optional[str] = ..., at_us: _Optional[int] = ...) -> None: ...

class BindAssociationResponse(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[AssociationEntry]
    def __init__(self, entries: _Optional[_Iterable[_Union[AssociationEntry, _Mapping]]] = ...) -> None: ...

class UnbindAssociationRequest(_message.Message):
    __slots__ = ("patient_id", "device_id", "at_us")
    PATIENT_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    patient_id: str
    device_id: str
    at_us: int
    def __init__(self, patient_id: _Optional[str] = ..., device_id: _Optional[str] = ..., at_us: _Optional[int] = ...) -> None: ...

class UnbindAssociationResponse(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[AssociationEntry]
    def __init__(self, entries: _Optional[_Iterable[_Union[AssociationEntry, _Mapping]]] = ...) -> None: ...

class MoveAssociationRequest(_message.Message):
    __slots__ = ("patient_id", "device_id", "bed", "at_us")
    PATIENT_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    BED_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    patient_id: str
    device_id: str
    bed: str
    at_us: int
    def __init__(self, patient_id: _Optional[str] = ..., device_id: _Optional[str] = ..., bed: _Optional[str] = ..., at_us: _Optional[int] = ...) -> None: ...

class MoveAssociationResponse(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[AssociationEntry]
    def __init__(self, entries: _Optional[_Iterable[_Union[AssociationEntry, _Mapping]]] = ...) -> None: ...

class CorrectAssociationRequest(_message.Message):
    __slots__ = ("bed", "patient_id", "device_id", "from_us", "until_us")
    BED_FIELD_NUMBER: _ClassVar[int]
    PATIENT_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_US_FIELD_NUMBER: _ClassVar[int]
    UNTIL_US_FIELD_NUMBER: _ClassVar[int]
    bed: str
    patient_id: str
    device_id: str
    from_us: int
    until_us: int
    def __init__(self, bed: _Optional[str] = ..., patient_id: _Optional[str] = ..., device_id: _Optional[str] = ..., from_us: _Optional[int] = ..., until_us: _Optional[int] = ...) -> None: ...

class CorrectAssociationResponse(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[AssociationEntry]
    def __init__(self, entries: _Optional[_Iterable[_Union[AssociationEntry, _Mapping]]] = ...) -> None: ...

class ResolveAssociationRequest(_message.Message):
    __slots__ = ("association_id", "patient_id")
    ASSOCIATION_ID_FIELD_NUMBER: _ClassVar[int]
    PATIENT_ID_FIELD_NUMBER: _ClassVar[int]
    association_id: str
    patient_id: str
    def __init__(self, association_id: _Optional[str] = ..., patient_id: _Optional[str] = ...) -> None: ...

class ResolveAssociationResponse(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[AssociationEntry]
    def __init__(self, entries: _Optional[_Iterable[_Union[AssociationEntry, _Mapping]]] = ...) -> None: ...
