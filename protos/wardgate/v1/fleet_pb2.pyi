from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Standing(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STANDING_UNSPECIFIED: _ClassVar[Standing]
    STANDING_EXPECTED: _ClassVar[Standing]
    STANDING_ENROLLED: _ClassVar[Standing]
    STANDING_ACTIVE: _ClassVar[Standing]
    STANDING_SUSPENDED: _ClassVar[Standing]
    STANDING_RETIRED: _ClassVar[Standing]

class Health(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HEALTH_UNSPECIFIED: _ClassVar[Health]
    HEALTH_UNKNOWN: _ClassVar[Health]
    HEALTH_HEALTHY: _ClassVar[Health]
    HEALTH_DEGRADED: _ClassVar[Health]
    HEALTH_SILENT: _ClassVar[Health]
    HEALTH_LOST: _ClassVar[Health]

class CommandKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMMAND_KIND_UNSPECIFIED: _ClassVar[CommandKind]
    COMMAND_KIND_IDENTIFY: _ClassVar[CommandKind]
    COMMAND_KIND_REPORT: _ClassVar[CommandKind]
    COMMAND_KIND_SYNC_TIME: _ClassVar[CommandKind]

class CommandState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMMAND_STATE_UNSPECIFIED: _ClassVar[CommandState]
    COMMAND_STATE_NO_GATEWAY: _ClassVar[CommandState]
    COMMAND_STATE_NOT_CONNECTED: _ClassVar[CommandState]
    COMMAND_STATE_DELIVERED: _ClassVar[CommandState]
    COMMAND_STATE_ANSWERED: _ClassVar[CommandState]

class RolloutAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLLOUT_ACTION_UNSPECIFIED: _ClassVar[RolloutAction]
    ROLLOUT_ACTION_PAUSE: _ClassVar[RolloutAction]
    ROLLOUT_ACTION_RESUME: _ClassVar[RolloutAction]
    ROLLOUT_ACTION_ABORT: _ClassVar[RolloutAction]
    ROLLOUT_ACTION_SKIP: _ClassVar[RolloutAction]
STANDING_UNSPECIFIED: Standing
STANDING_EXPECTED: Standing
STANDING_ENROLLED: Standing
STANDING_ACTIVE: Standing
STANDING_SUSPENDED: Standing
STANDING_RETIRED: Standing
HEALTH_UNSPECIFIED: Health
HEALTH_UNKNOWN: Health
HEALTH_HEALTHY: Health
HEALTH_DEGRADED: Health
HEALTH_SILENT: Health
HEALTH_LOST: Health
COMMAND_KIND_UNSPECIFIED: CommandKind
COMMAND_KIND_IDENTIFY: CommandKind
COMMAND_KIND_REPORT: CommandKind
COMMAND_KIND_SYNC_TIME: CommandKind
COMMAND_STATE_UNSPECIFIED: CommandState
COMMAND_STATE_NO_GATEWAY: CommandState
COMMAND_STATE_NOT_CONNECTED: CommandState
COMMAND_STATE_DELIVERED: CommandState
COMMAND_STATE_ANSWERED: CommandState
ROLLOUT_ACTION_UNSPECIFIED: RolloutAction
ROLLOUT_ACTION_PAUSE: RolloutAction
ROLLOUT_ACTION_RESUME: RolloutAction
ROLLOUT_ACTION_ABORT: RolloutAction
ROLLOUT_ACTION_SKIP: RolloutAction

class AttachRequest(_message.Message):
    __slots__ = ("hello", "health", "command_outcome")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    COMMAND_OUTCOME_FIELD_NUMBER: _ClassVar[int]
    hello: GatewayHello
    health: HealthReport
    command_outcome: CommandOutcome
    def __init__(self, hello: _Optional[_Union[GatewayHello, _Mapping]] = ..., health: _Optional[_Union[HealthReport, _Mapping]] = ..., command_outcome: _Optional[_Union[CommandOutcome, _Mapping]] = ...) -> None: ...

class AttachResponse(_message.Message):
    __slots__ = ("directory", "revocations", "command", "configuration", "policy", "attachment")
    DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    REVOCATIONS_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    CONFIGURATION_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENT_FIELD_NUMBER: _ClassVar[int]
    directory: Directory
    revocations: RevocationUpdate
    command: DeviceCommand
    configuration: DesiredConfiguration
    policy: PolicyUpdate
    attachment: NetworkAttachment
    def __init__(self, directory: _Optional[_Union[Directory, _Mapping]] = ..., revocations: _Optional[_Union[RevocationUpdate, _Mapping]] = ..., command: _Optional[_Union[DeviceCommand, _Mapping]] = ..., configuration: _Optional[_Union[DesiredConfiguration, _Mapping]] = ..., policy: _Optional[_Union[PolicyUpdate, _Mapping]] = ..., attachment: _Optional[_Union[NetworkAttachment, _Mapping]] = ...) -> None: ...

class NetworkAttachment(_message.Message):
    __slots__ = ("at_us", "device_id", "supi", "imei", "dnn", "snssai", "tac")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    SUPI_FIELD_NUMBER: _ClassVar[int]
    IMEI_FIELD_NUMBER: _ClassVar[int]
    DNN_FIELD_NUMBER: _ClassVar[int]
    SNSSAI_FIELD_NUMBER: _ClassVar[int]
    TAC_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    device_id: str
    supi: str
    imei: str
    dnn: str
    snssai: str
    tac: str
    def __init__(self, at_us: _Optional[int] = ..., device_id: _Optional[str] = ..., supi: _Optional[str] = ..., imei: _Optional[str] = ..., dnn: _Optional[str] = ..., snssai: _Optional[str] = ..., tac: _Optional[str] = ...) -> None: ...

class GatewayHello(_message.Message):
    __slots__ = ("software_version", "directory_version", "revocations_number", "revocations_issued_us", "configuration_version", "policy_number", "policy_issued_us")
    SOFTWARE_VERSION_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_VERSION_FIELD_NUMBER: _ClassVar[int]
    REVOCATIONS_NUMBER_FIELD_NUMBER: _ClassVar[int]
    REVOCATIONS_ISSUED_US_FIELD_NUMBER: _ClassVar[int]
    CONFIGURATION_VERSION_FIELD_NUMBER: _ClassVar[int]
    POLICY_NUMBER_FIELD_NUMBER: _ClassVar[int]
    POLICY_ISSUED_US_FIELD_NUMBER: _ClassVar[int]
    software_version: str
    directory_version: int
    revocations_number: int
    revocations_issued_us: int
    configuration_version: int
    policy_number: int
    policy_issued_us: int
    def __init__(self, software_version: _Optional[str] = ..., directory_version: _Optional[int] = ..., revocations_number: _Optional[int] = ..., revocations_issued_us: _Optional[int] = ..., configuration_version: _Optional[int] = ..., policy_number: _Optional[int] = ..., policy_issued_us: _Optional[int] = ...) -> None: ...

class PolicyUpdate(_message.Message):
    __slots__ = ("number", "signed_policy")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SIGNED_POLICY_FIELD_NUMBER: _ClassVar[int]
    number: int
    signed_policy: bytes
    def __init__(self, number: _Optional[int] = ..., signed_policy: _Optional[bytes] = ...) -> None: ...

class PolicyFacts(_message.Message):
    __slots__ = ("number", "issued_us", "substance", "table_version", "refused_number", "refused_reason", "schema_sha256", "released", "withheld", "destinations", "unproved", "refusals")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ISSUED_US_FIELD_NUMBER: _ClassVar[int]
    SUBSTANCE_FIELD_NUMBER: _ClassVar[int]
    TABLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    REFUSED_NUMBER_FIELD_NUMBER: _ClassVar[int]
    REFUSED_REASON_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_SHA256_FIELD_NUMBER: _ClassVar[int]
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    WITHHELD_FIELD_NUMBER: _ClassVar[int]
    DESTINATIONS_FIELD_NUMBER: _ClassVar[int]
    UNPROVED_FIELD_NUMBER: _ClassVar[int]
    REFUSALS_FIELD_NUMBER: _ClassVar[int]
    number: int
    issued_us: int
    substance: str
    table_version: str
    refused_number: int
    refused_reason: str
    schema_sha256: bytes
    released: int
    withheld: int
    destinations: _containers.RepeatedCompositeFieldContainer[PolicyDestination]
    unproved: _containers.RepeatedScalarFieldContainer[str]
    refusals: int
    def __init__(self, number: _Optional[int] = ..., issued_us: _Optional[int] = ..., substance: _Optional[str] = ..., table_version: _Optional[str] = ..., refused_number: _Optional[int] = ..., refused_reason: _Optional[str] = ..., schema_sha256: _Optional[bytes] = ..., released: _Optional[int] = ..., withheld: _Optional[int] = ..., destinations: _Optional[_Iterable[_Union[PolicyDestination, _Mapping]]] = ..., unproved: _Optional[_Iterable[str]] = ..., refusals: _Optional[int] = ...) -> None: ...

class PolicyDestination(_message.Message):
    __slots__ = ("name", "zone", "purpose", "tenant")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    name: str
    zone: str
    purpose: str
    tenant: str
    def __init__(self, name: _Optional[str] = ..., zone: _Optional[str] = ..., purpose: _Optional[str] = ..., tenant: _Optional[str] = ...) -> None: ...

class DesiredConfiguration(_message.Message):
    __slots__ = ("version", "document")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    version: int
    document: bytes
    def __init__(self, version: _Optional[int] = ..., document: _Optional[bytes] = ...) -> None: ...

class ConfigurationFacts(_message.Message):
    __slots__ = ("version", "file_sha256", "refused_version", "refused_reason")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FILE_SHA256_FIELD_NUMBER: _ClassVar[int]
    REFUSED_VERSION_FIELD_NUMBER: _ClassVar[int]
    REFUSED_REASON_FIELD_NUMBER: _ClassVar[int]
    version: int
    file_sha256: str
    refused_version: int
    refused_reason: str
    def __init__(self, version: _Optional[int] = ..., file_sha256: _Optional[str] = ..., refused_version: _Optional[int] = ..., refused_reason: _Optional[str] = ...) -> None: ...

class Directory(_message.Message):
    __slots__ = ("version", "devices")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    version: int
    devices: _containers.RepeatedCompositeFieldContainer[DirectoryEntry]
    def __init__(self, version: _Optional[int] = ..., devices: _Optional[_Iterable[_Union[DirectoryEntry, _Mapping]]] = ...) -> None: ...

class DirectoryEntry(_message.Message):
    __slots__ = ("device_id", "kind", "ward", "bed", "standing", "revoked", "transport", "network")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    WARD_FIELD_NUMBER: _ClassVar[int]
    BED_FIELD_NUMBER: _ClassVar[int]
    STANDING_FIELD_NUMBER: _ClassVar[int]
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    kind: str
    ward: str
    bed: str
    standing: Standing
    revoked: bool
    transport: str
    network: NetworkIdentity
    def __init__(self, device_id: _Optional[str] = ..., kind: _Optional[str] = ..., ward: _Optional[str] = ..., bed: _Optional[str] = ..., standing: _Optional[_Union[Standing, str]] = ..., revoked: _Optional[bool] = ..., transport: _Optional[str] = ..., network: _Optional[_Union[NetworkIdentity, _Mapping]] = ...) -> None: ...

class NetworkIdentity(_message.Message):
    __slots__ = ("supi", "gpsi", "imei", "dnn", "snssai", "tacs")
    SUPI_FIELD_NUMBER: _ClassVar[int]
    GPSI_FIELD_NUMBER: _ClassVar[int]
    IMEI_FIELD_NUMBER: _ClassVar[int]
    DNN_FIELD_NUMBER: _ClassVar[int]
    SNSSAI_FIELD_NUMBER: _ClassVar[int]
    TACS_FIELD_NUMBER: _ClassVar[int]
    supi: str
    gpsi: str
    imei: str
    dnn: str
    snssai: str
    tacs: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, supi: _Optional[str] = ..., gpsi: _Optional[str] = ..., imei: _Optional[str] = ..., dnn: _Optional[str] = ..., snssai: _Optional[str] = ..., tacs: _Optional[_Iterable[str]] = ...) -> None: ...

class NetworkChange(_message.Message):
    __slots__ = ("supi", "gpsi", "imei", "dnn", "snssai", "tacs")
    SUPI_FIELD_NUMBER: _ClassVar[int]
    GPSI_FIELD_NUMBER: _ClassVar[int]
    IMEI_FIELD_NUMBER: _ClassVar[int]
    DNN_FIELD_NUMBER: _ClassVar[int]
    SNSSAI_FIELD_NUMBER: _ClassVar[int]
    TACS_FIELD_NUMBER: _ClassVar[int]
    supi: str
    gpsi: str
    imei: str
    dnn: str
    snssai: str
    tacs: str
    def __init__(self, supi: _Optional[str] = ..., gpsi: _Optional[str] = ..., imei: _Optional[str] = ..., dnn: _Optional[str] = ..., snssai: _Optional[str] = ..., tacs: _Optional[str] = ...) -> None: ...

class RevocationUpdate(_message.Message):
    __slots__ = ("signed_list",)
    SIGNED_LIST_FIELD_NUMBER: _ClassVar[int]
    signed_list: bytes
    def __init__(self, signed_list: _Optional[bytes] = ...) -> None: ...

class GetRevocationsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetRevocationsResponse(_message.Message):
    __slots__ = ("signed_list", "number", "issued_us", "entries")
    SIGNED_LIST_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ISSUED_US_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    signed_list: bytes
    number: int
    issued_us: int
    entries: int
    def __init__(self, signed_list: _Optional[bytes] = ..., number: _Optional[int] = ..., issued_us: _Optional[int] = ..., entries: _Optional[int] = ...) -> None: ...

class WatchRevocationsRequest(_message.Message):
    __slots__ = ("number", "issued_us")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ISSUED_US_FIELD_NUMBER: _ClassVar[int]
    number: int
    issued_us: int
    def __init__(self, number: _Optional[int] = ..., issued_us: _Optional[int] = ...) -> None: ...

class WatchRevocationsResponse(_message.Message):
    __slots__ = ("signed_list",)
    SIGNED_LIST_FIELD_NUMBER: _ClassVar[int]
    signed_list: bytes
    def __init__(self, signed_list: _Optional[bytes] = ...) -> None: ...

class HealthReport(_message.Message):
    __slots__ = ("sent_us", "devices", "gateway")
    SENT_US_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    sent_us: int
    devices: _containers.RepeatedCompositeFieldContainer[DeviceFacts]
    gateway: GatewayFacts
    def __init__(self, sent_us: _Optional[int] = ..., devices: _Optional[_Iterable[_Union[DeviceFacts, _Mapping]]] = ..., gateway: _Optional[_Union[GatewayFacts, _Mapping]] = ...) -> None: ...

class DeviceFacts(_message.Message):
    __slots__ = ("device_id", "driver", "last_seen_us", "connected", "messages", "marked_values", "errors", "clock_offset_us", "battery_percent", "firmware", "certificate_end_us")
    class ErrorsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_US_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    MARKED_VALUES_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    CLOCK_OFFSET_US_FIELD_NUMBER: _ClassVar[int]
    BATTERY_PERCENT_FIELD_NUMBER: _ClassVar[int]
    FIRMWARE_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_END_US_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    driver: str
    last_seen_us: int
    connected: bool
    messages: int
    marked_values: int
    errors: _containers.ScalarMap[str, int]
    clock_offset_us: int
    battery_percent: float
    firmware: str
    certificate_end_us: int
    def __init__(self, device_id: _Optional[str] = ..., driver: _Optional[str] = ..., last_seen_us: _Optional[int] = ..., connected: _Optional[bool] = ..., messages: _Optional[int] = ..., marked_values: _Optional[int] = ..., errors: _Optional[_Mapping[str, int]] = ..., clock_offset_us: _Optional[int] = ..., battery_percent: _Optional[float] = ..., firmware: _Optional[str] = ..., certificate_end_us: _Optional[int] = ...) -> None: ...

class GatewayFacts(_message.Message):
    __slots__ = ("started_us", "sessions", "directory_version", "revocations_number", "certificate_end_us", "audit", "configuration", "policy")
    STARTED_US_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_VERSION_FIELD_NUMBER: _ClassVar[int]
    REVOCATIONS_NUMBER_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_END_US_FIELD_NUMBER: _ClassVar[int]
    AUDIT_FIELD_NUMBER: _ClassVar[int]
    CONFIGURATION_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    started_us: int
    sessions: int
    directory_version: int
    revocations_number: int
    certificate_end_us: int
    audit: AuditCheckpoint
    configuration: ConfigurationFacts
    policy: PolicyFacts
    def __init__(self, started_us: _Optional[int] = ..., sessions: _Optional[int] = ..., directory_version: _Optional[int] = ..., revocations_number: _Optional[int] = ..., certificate_end_us: _Optional[int] = ..., audit: _Optional[_Union[AuditCheckpoint, _Mapping]] = ..., configuration: _Optional[_Union[ConfigurationFacts, _Mapping]] = ..., policy: _Optional[_Union[PolicyFacts, _Mapping]] = ...) -> None: ...

class AuditCheckpoint(_message.Message):
    __slots__ = ("number", "chain", "signature", "name", "log", "root", "time_us", "public_key")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LOG_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    number: int
    chain: bytes
    signature: bytes
    name: str
    log: str
    root: bytes
    time_us: int
    public_key: bytes
    def __init__(self, number: _Optional[int] = ..., chain: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., name: _Optional[str] = ..., log: _Optional[str] = ..., root: _Optional[bytes] = ..., time_us: _Optional[int] = ..., public_key: _Optional[bytes] = ...) -> None: ...

class Device(_message.Message):
    __slots__ = ("device_id", "kind", "ward", "bed", "transport", "standing", "expected_firmware", "added_us", "health", "health_since_us", "faults", "gateway", "rate_per_second", "facts", "credentials", "revoked", "network")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    WARD_FIELD_NUMBER: _ClassVar[int]
    BED_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    STANDING_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIRMWARE_FIELD_NUMBER: _ClassVar[int]
    ADDED_US_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    HEALTH_SINCE_US_FIELD_NUMBER: _ClassVar[int]
    FAULTS_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    RATE_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    CREDENTIALS_FIELD_NUMBER: _ClassVar[int]
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    kind: str
    ward: str
    bed: str
    transport: str
    standing: Standing
    expected_firmware: str
    added_us: int
    health: Health
    health_since_us: int
    faults: _containers.RepeatedScalarFieldContainer[str]
    gateway: str
    rate_per_second: float
    facts: DeviceFacts
    credentials: _containers.RepeatedCompositeFieldContainer[Credential]
    revoked: bool
    network: NetworkIdentity
    def __init__(self, device_id: _Optional[str] = ..., kind: _Optional[str] = ..., ward: _Optional[str] = ..., bed: _Optional[str] = ..., transport: _Optional[str] = ..., standing: _Optional[_Union[Standing, str]] = ..., expected_firmware: _Optional[str] = ..., added_us: _Optional[int] = ..., health: _Optional[_Union[Health, str]] = ..., health_since_us: _Optional[int] = ..., faults: _Optional[_Iterable[str]] = ..., gateway: _Optional[str] = ..., rate_per_second: _Optional[float] = ..., facts: _Optional[_Union[DeviceFacts, _Mapping]] = ..., credentials: _Optional[_Iterable[_Union[Credential, _Mapping]]] = ..., revoked: _Optional[bool] = ..., network: _Optional[_Union[NetworkIdentity, _Mapping]] = ...) -> None: ...

class Credential(_message.Message):
    __slots__ = ("serial", "issued_us", "not_after_us", "revoked_us", "revoked_reason")
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    ISSUED_US_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_US_FIELD_NUMBER: _ClassVar[int]
    REVOKED_US_FIELD_NUMBER: _ClassVar[int]
    REVOKED_REASON_FIELD_NUMBER: _ClassVar[int]
    serial: str
    issued_us: int
    not_after_us: int
    revoked_us: int
    revoked_reason: str
    def __init__(self, serial: _Optional[str] = ..., issued_us: _Optional[int] = ..., not_after_us: _Optional[int] = ..., revoked_us: _Optional[int] = ..., revoked_reason: _Optional[str] = ...) -> None: ...

class AddDeviceRequest(_message.Message):
    __slots__ = ("device_id", "kind", "ward", "bed", "transport", "expected_firmware", "csr", "days", "renew", "token", "token_hours", "manufacturer", "serial_number", "resume", "network")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    WARD_FIELD_NUMBER: _ClassVar[int]
    BED_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIRMWARE_FIELD_NUMBER: _ClassVar[int]
    CSR_FIELD_NUMBER: _ClassVar[int]
    DAYS_FIELD_NUMBER: _ClassVar[int]
    RENEW_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOKEN_HOURS_FIELD_NUMBER: _ClassVar[int]
    MANUFACTURER_FIELD_NUMBER: _ClassVar[int]
    SERIAL_NUMBER_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    kind: str
    ward: str
    bed: str
    transport: str
    expected_firmware: str
    csr: bytes
    days: int
    renew: bool
    token: bool
    token_hours: int
    manufacturer: str
    serial_number: str
    resume: bool
    network: NetworkIdentity
    def __init__(self, device_id: _Optional[str] = ..., kind: _Optional[str] = ..., ward: _Optional[str] = ..., bed: _Optional[str] = ..., transport: _Optional[str] = ..., expected_firmware: _Optional[str] = ..., csr: _Optional[bytes] = ..., days: _Optional[int] = ..., renew: _Optional[bool] = ..., token: _Optional[bool] = ..., token_hours: _Optional[int] = ..., manufacturer: _Optional[str] = ..., serial_number: _Optional[str] = ..., resume: _Optional[bool] = ..., network: _Optional[_Union[NetworkIdentity, _Mapping]] = ...) -> None: ...

class AddDeviceResponse(_message.Message):
    __slots__ = ("device", "certificate_pem", "root_pem", "token", "token_expires_us", "est_url")
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_PEM_FIELD_NUMBER: _ClassVar[int]
    ROOT_PEM_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOKEN_EXPIRES_US_FIELD_NUMBER: _ClassVar[int]
    EST_URL_FIELD_NUMBER: _ClassVar[int]
    device: Device
    certificate_pem: bytes
    root_pem: bytes
    token: str
    token_expires_us: int
    est_url: str
    def __init__(self, device: _Optional[_Union[Device, _Mapping]] = ..., certificate_pem: _Optional[bytes] = ..., root_pem: _Optional[bytes] = ..., token: _Optional[str] = ..., token_expires_us: _Optional[int] = ..., est_url: _Optional[str] = ...) -> None: ...

class UpdateDeviceRequest(_message.Message):
    __slots__ = ("device_id", "kind", "ward", "bed", "expected_firmware", "standing", "transport", "network")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    WARD_FIELD_NUMBER: _ClassVar[int]
    BED_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIRMWARE_FIELD_NUMBER: _ClassVar[int]
    STANDING_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    kind: str
    ward: str
    bed: str
    expected_firmware: str
    standing: Standing
    transport: str
    network: NetworkChange
    def __init__(self, device_id: _Optional[str] = ..., kind: _Optional[str] = ..., ward: _Optional[str] = ..., bed: _Optional[str] = ..., expected_firmware: _Optional[str] = ..., standing: _Optional[_Union[Standing, str]] = ..., transport: _Optional[str] = ..., network: _Optional[_Union[NetworkChange, _Mapping]] = ...) -> None: ...

class UpdateDeviceResponse(_message.Message):
    __slots__ = ("device",)
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    device: Device
    def __init__(self, device: _Optional[_Union[Device, _Mapping]] = ...) -> None: ...

class ListDevicesRequest(_message.Message):
    __slots__ = ("ward", "health", "page_after", "page_size")
    WARD_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    PAGE_AFTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    ward: str
    health: Health
    page_after: str
    page_size: int
    def __init__(self, ward: _Optional[str] = ..., health: _Optional[_Union[Health, str]] = ..., page_after: _Optional[str] = ..., page_size: _Optional[int] = ...) -> None: ...

class ListDevicesResponse(_message.Message):
    __slots__ = ("devices", "next_page_after")
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_AFTER_FIELD_NUMBER: _ClassVar[int]
    devices: _containers.RepeatedCompositeFieldContainer[Device]
    next_page_after: str
    def __init__(self, devices: _Optional[_Iterable[_Union[Device, _Mapping]]] = ..., next_page_after: _Optional[str] = ...) -> None: ...

class GetDeviceRequest(_message.Message):
    __slots__ = ("device_id",)
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    def __init__(self, device_id: _Optional[str] = ...) -> None: ...

class GetDeviceResponse(_message.Message):
    __slots__ = ("device",)
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    device: Device
    def __init__(self, device: _Optional[_Union[Device, _Mapping]] = ...) -> None: ...

class RevokeRequest(_message.Message):
    __slots__ = ("role", "id", "serial", "reason")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    role: str
    id: str
    serial: str
    reason: str
    def __init__(self, role: _Optional[str] = ..., id: _Optional[str] = ..., serial: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class RevokeResponse(_message.Message):
    __slots__ = ("serials", "revocations_number", "gateways", "suspended", "pending")
    SERIALS_FIELD_NUMBER: _ClassVar[int]
    REVOCATIONS_NUMBER_FIELD_NUMBER: _ClassVar[int]
    GATEWAYS_FIELD_NUMBER: _ClassVar[int]
    SUSPENDED_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    serials: _containers.RepeatedScalarFieldContainer[str]
    revocations_number: int
    gateways: _containers.RepeatedScalarFieldContainer[str]
    suspended: bool
    pending: Pending
    def __init__(self, serials: _Optional[_Iterable[str]] = ..., revocations_number: _Optional[int] = ..., gateways: _Optional[_Iterable[str]] = ..., suspended: _Optional[bool] = ..., pending: _Optional[_Union[Pending, _Mapping]] = ...) -> None: ...

class DeviceCommand(_message.Message):
    __slots__ = ("command_id", "device_id", "kind", "valid_ms")
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    VALID_MS_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    device_id: str
    kind: CommandKind
    valid_ms: int
    def __init__(self, command_id: _Optional[str] = ..., device_id: _Optional[str] = ..., kind: _Optional[_Union[CommandKind, str]] = ..., valid_ms: _Optional[int] = ...) -> None: ...

class CommandOutcome(_message.Message):
    __slots__ = ("command_id", "state", "result")
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    state: CommandState
    result: str
    def __init__(self, command_id: _Optional[str] = ..., state: _Optional[_Union[CommandState, str]] = ..., result: _Optional[str] = ...) -> None: ...

class SendCommandRequest(_message.Message):
    __slots__ = ("device_id", "kind", "valid_ms")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    VALID_MS_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    kind: CommandKind
    valid_ms: int
    def __init__(self, device_id: _Optional[str] = ..., kind: _Optional[_Union[CommandKind, str]] = ..., valid_ms: _Optional[int] = ...) -> None: ...

class SendCommandResponse(_message.Message):
    __slots__ = ("state", "result", "gateway")
    STATE_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    state: CommandState
    result: str
    gateway: str
    def __init__(self, state: _Optional[_Union[CommandState, str]] = ..., result: _Optional[str] = ..., gateway: _Optional[str] = ...) -> None: ...

class SetConfigurationRequest(_message.Message):
    __slots__ = ("gateway", "document")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    document: bytes
    def __init__(self, gateway: _Optional[str] = ..., document: _Optional[bytes] = ...) -> None: ...

class SetConfigurationResponse(_message.Message):
    __slots__ = ("version", "attached")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ATTACHED_FIELD_NUMBER: _ClassVar[int]
    version: int
    attached: bool
    def __init__(self, version: _Optional[int] = ..., attached: _Optional[bool] = ...) -> None: ...

class GetConfigurationRequest(_message.Message):
    __slots__ = ("gateway",)
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    def __init__(self, gateway: _Optional[str] = ...) -> None: ...

class GetConfigurationResponse(_message.Message):
    __slots__ = ("configuration", "set_by", "set_us")
    CONFIGURATION_FIELD_NUMBER: _ClassVar[int]
    SET_BY_FIELD_NUMBER: _ClassVar[int]
    SET_US_FIELD_NUMBER: _ClassVar[int]
    configuration: DesiredConfiguration
    set_by: str
    set_us: int
    def __init__(self, configuration: _Optional[_Union[DesiredConfiguration, _Mapping]] = ..., set_by: _Optional[str] = ..., set_us: _Optional[int] = ...) -> None: ...

class GetFleetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetFleetStatusResponse(_message.Message):
    __slots__ = ("gateways", "devices", "directory_version", "revocations_number", "revocations")
    GATEWAYS_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_VERSION_FIELD_NUMBER: _ClassVar[int]
    REVOCATIONS_NUMBER_FIELD_NUMBER: _ClassVar[int]
    REVOCATIONS_FIELD_NUMBER: _ClassVar[int]
    gateways: _containers.RepeatedCompositeFieldContainer[GatewayStatus]
    devices: _containers.RepeatedCompositeFieldContainer[HealthCount]
    directory_version: int
    revocations_number: int
    revocations: int
    def __init__(self, gateways: _Optional[_Iterable[_Union[GatewayStatus, _Mapping]]] = ..., devices: _Optional[_Iterable[_Union[HealthCount, _Mapping]]] = ..., directory_version: _Optional[int] = ..., revocations_number: _Optional[int] = ..., revocations: _Optional[int] = ...) -> None: ...

class HealthCount(_message.Message):
    __slots__ = ("health", "devices")
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    health: Health
    devices: int
    def __init__(self, health: _Optional[_Union[Health, str]] = ..., devices: _Optional[int] = ...) -> None: ...

class GatewayStatus(_message.Message):
    __slots__ = ("gateway", "attached", "last_report_us", "software_version", "devices", "facts", "configuration_version")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    ATTACHED_FIELD_NUMBER: _ClassVar[int]
    LAST_REPORT_US_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_VERSION_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    CONFIGURATION_VERSION_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    attached: bool
    last_report_us: int
    software_version: str
    devices: int
    facts: GatewayFacts
    configuration_version: int
    def __init__(self, gateway: _Optional[str] = ..., attached: _Optional[bool] = ..., last_report_us: _Optional[int] = ..., software_version: _Optional[str] = ..., devices: _Optional[int] = ..., facts: _Optional[_Union[GatewayFacts, _Mapping]] = ..., configuration_version: _Optional[int] = ...) -> None: ...

class Manufacturer(_message.Message):
    __slots__ = ("name", "root_sha256", "root_subject", "root_end_us", "added_us", "added_by")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROOT_SHA256_FIELD_NUMBER: _ClassVar[int]
    ROOT_SUBJECT_FIELD_NUMBER: _ClassVar[int]
    ROOT_END_US_FIELD_NUMBER: _ClassVar[int]
    ADDED_US_FIELD_NUMBER: _ClassVar[int]
    ADDED_BY_FIELD_NUMBER: _ClassVar[int]
    name: str
    root_sha256: bytes
    root_subject: str
    root_end_us: int
    added_us: int
    added_by: str
    def __init__(self, name: _Optional[str] = ..., root_sha256: _Optional[bytes] = ..., root_subject: _Optional[str] = ..., root_end_us: _Optional[int] = ..., added_us: _Optional[int] = ..., added_by: _Optional[str] = ...) -> None: ...

class AddManufacturerRequest(_message.Message):
    __slots__ = ("name", "root_pem")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROOT_PEM_FIELD_NUMBER: _ClassVar[int]
    name: str
    root_pem: bytes
    def __init__(self, name: _Optional[str] = ..., root_pem: _Optional[bytes] = ...) -> None: ...

class AddManufacturerResponse(_message.Message):
    __slots__ = ("manufacturer", "pending")
    MANUFACTURER_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    manufacturer: Manufacturer
    pending: Pending
    def __init__(self, manufacturer: _Optional[_Union[Manufacturer, _Mapping]] = ..., pending: _Optional[_Union[Pending, _Mapping]] = ...) -> None: ...

class ListManufacturersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListManufacturersResponse(_message.Message):
    __slots__ = ("manufacturers",)
    MANUFACTURERS_FIELD_NUMBER: _ClassVar[int]
    manufacturers: _containers.RepeatedCompositeFieldContainer[Manufacturer]
    def __init__(self, manufacturers: _Optional[_Iterable[_Union[Manufacturer, _Mapping]]] = ...) -> None: ...

class RemoveManufacturerRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class RemoveManufacturerResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Claim(_message.Message):
    __slots__ = ("claim_id", "manufacturer", "serial_number", "subject", "peer", "first_us", "last_us", "rejected_by")
    CLAIM_ID_FIELD_NUMBER: _ClassVar[int]
    MANUFACTURER_FIELD_NUMBER: _ClassVar[int]
    SERIAL_NUMBER_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    FIRST_US_FIELD_NUMBER: _ClassVar[int]
    LAST_US_FIELD_NUMBER: _ClassVar[int]
    REJECTED_BY_FIELD_NUMBER: _ClassVar[int]
    claim_id: int
    manufacturer: str
    serial_number: str
    subject: str
    peer: str
    first_us: int
    last_us: int
    rejected_by: str
    def __init__(self, claim_id: _Optional[int] = ..., manufacturer: _Optional[str] = ..., serial_number: _Optional[str] = ..., subject: _Optional[str] = ..., peer: _Optional[str] = ..., first_us: _Optional[int] = ..., last_us: _Optional[int] = ..., rejected_by: _Optional[str] = ...) -> None: ...

class ListClaimsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListClaimsResponse(_message.Message):
    __slots__ = ("claims",)
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    claims: _containers.RepeatedCompositeFieldContainer[Claim]
    def __init__(self, claims: _Optional[_Iterable[_Union[Claim, _Mapping]]] = ...) -> None: ...

class DecideClaimRequest(_message.Message):
    __slots__ = ("claim_id", "accept_as")
    CLAIM_ID_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_AS_FIELD_NUMBER: _ClassVar[int]
    claim_id: int
    accept_as: AddDeviceRequest
    def __init__(self, claim_id: _Optional[int] = ..., accept_as: _Optional[_Union[AddDeviceRequest, _Mapping]] = ...) -> None: ...

class DecideClaimResponse(_message.Message):
    __slots__ = ("claim", "device")
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    claim: Claim
    device: Device
    def __init__(self, claim: _Optional[_Union[Claim, _Mapping]] = ..., device: _Optional[_Union[Device, _Mapping]] = ...) -> None: ...

class Operator(_message.Message):
    __slots__ = ("name", "roles", "added_us", "added_by", "credentials")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    ADDED_US_FIELD_NUMBER: _ClassVar[int]
    ADDED_BY_FIELD_NUMBER: _ClassVar[int]
    CREDENTIALS_FIELD_NUMBER: _ClassVar[int]
    name: str
    roles: _containers.RepeatedScalarFieldContainer[str]
    added_us: int
    added_by: str
    credentials: _containers.RepeatedCompositeFieldContainer[Credential]
    def __init__(self, name: _Optional[str] = ..., roles: _Optional[_Iterable[str]] = ..., added_us: _Optional[int] = ..., added_by: _Optional[str] = ..., credentials: _Optional[_Iterable[_Union[Credential, _Mapping]]] = ...) -> None: ...

class AddOperatorRequest(_message.Message):
    __slots__ = ("name", "roles", "csr", "days")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    CSR_FIELD_NUMBER: _ClassVar[int]
    DAYS_FIELD_NUMBER: _ClassVar[int]
    name: str
    roles: _containers.RepeatedScalarFieldContainer[str]
    csr: bytes
    days: int
    def __init__(self, name: _Optional[str] = ..., roles: _Optional[_Iterable[str]] = ..., csr: _Optional[bytes] = ..., days: _Optional[int] = ...) -> None: ...

class AddOperatorResponse(_message.Message):
    __slots__ = ("operator", "certificate_pem", "root_pem")
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_PEM_FIELD_NUMBER: _ClassVar[int]
    ROOT_PEM_FIELD_NUMBER: _ClassVar[int]
    operator: Operator
    certificate_pem: bytes
    root_pem: bytes
    def __init__(self, operator: _Optional[_Union[Operator, _Mapping]] = ..., certificate_pem: _Optional[bytes] = ..., root_pem: _Optional[bytes] = ...) -> None: ...

class ListOperatorsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListOperatorsResponse(_message.Message):
    __slots__ = ("operators",)
    OPERATORS_FIELD_NUMBER: _ClassVar[int]
    operators: _containers.RepeatedCompositeFieldContainer[Operator]
    def __init__(self, operators: _Optional[_Iterable[_Union[Operator, _Mapping]]] = ...) -> None: ...

class SetOperatorRolesRequest(_message.Message):
    __slots__ = ("name", "roles")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    name: str
    roles: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., roles: _Optional[_Iterable[str]] = ...) -> None: ...

class SetOperatorRolesResponse(_message.Message):
    __slots__ = ("operator", "pending")
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    operator: Operator
    pending: Pending
    def __init__(self, operator: _Optional[_Union[Operator, _Mapping]] = ..., pending: _Optional[_Union[Pending, _Mapping]] = ...) -> None: ...

class RemoveOperatorRequest(_message.Message):
    __slots__ = ("name", "reason")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    name: str
    reason: str
    def __init__(self, name: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class RemoveOperatorResponse(_message.Message):
    __slots__ = ("serials", "pending")
    SERIALS_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    serials: _containers.RepeatedScalarFieldContainer[str]
    pending: Pending
    def __init__(self, serials: _Optional[_Iterable[str]] = ..., pending: _Optional[_Union[Pending, _Mapping]] = ...) -> None: ...

class Pending(_message.Message):
    __slots__ = ("approval_id", "kind", "expires_us")
    APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_US_FIELD_NUMBER: _ClassVar[int]
    approval_id: int
    kind: str
    expires_us: int
    def __init__(self, approval_id: _Optional[int] = ..., kind: _Optional[str] = ..., expires_us: _Optional[int] = ...) -> None: ...

class RevokeDevicesRequest(_message.Message):
    __slots__ = ("device_ids", "ward", "all", "reason")
    DEVICE_IDS_FIELD_NUMBER: _ClassVar[int]
    WARD_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    device_ids: _containers.RepeatedScalarFieldContainer[str]
    ward: str
    all: bool
    reason: str
    def __init__(self, device_ids: _Optional[_Iterable[str]] = ..., ward: _Optional[str] = ..., all: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class RevokeDevicesResponse(_message.Message):
    __slots__ = ("devices", "revocations_number", "gateways", "pending")
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    REVOCATIONS_NUMBER_FIELD_NUMBER: _ClassVar[int]
    GATEWAYS_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    devices: int
    revocations_number: int
    gateways: _containers.RepeatedScalarFieldContainer[str]
    pending: Pending
    def __init__(self, devices: _Optional[int] = ..., revocations_number: _Optional[int] = ..., gateways: _Optional[_Iterable[str]] = ..., pending: _Optional[_Union[Pending, _Mapping]] = ...) -> None: ...

class Approval(_message.Message):
    __slots__ = ("approval_id", "kind", "parameters", "digest", "requested_by", "requested_us", "expires_us", "state", "decided_by", "decided_us", "detail")
    APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_BY_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_US_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_US_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    DECIDED_US_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    approval_id: int
    kind: str
    parameters: str
    digest: str
    requested_by: str
    requested_us: int
    expires_us: int
    state: str
    decided_by: str
    decided_us: int
    detail: str
    def __init__(self, approval_id: _Optional[int] = ..., kind: _Optional[str] = ..., parameters: _Optional[str] = ..., digest: _Optional[str] = ..., requested_by: _Optional[str] = ..., requested_us: _Optional[int] = ..., expires_us: _Optional[int] = ..., state: _Optional[str] = ..., decided_by: _Optional[str] = ..., decided_us: _Optional[int] = ..., detail: _Optional[str] = ...) -> None: ...

class ListApprovalsRequest(_message.Message):
    __slots__ = ("all",)
    ALL_FIELD_NUMBER: _ClassVar[int]
    all: bool
    def __init__(self, all: _Optional[bool] = ...) -> None: ...

class ListApprovalsResponse(_message.Message):
    __slots__ = ("approvals",)
    APPROVALS_FIELD_NUMBER: _ClassVar[int]
    approvals: _containers.RepeatedCompositeFieldContainer[Approval]
    def __init__(self, approvals: _Optional[_Iterable[_Union[Approval, _Mapping]]] = ...) -> None: ...

class GetApprovalRequest(_message.Message):
    __slots__ = ("approval_id",)
    APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    approval_id: int
    def __init__(self, approval_id: _Optional[int] = ...) -> None: ...

class GetApprovalResponse(_message.Message):
    __slots__ = ("approval",)
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    approval: Approval
    def __init__(self, approval: _Optional[_Union[Approval, _Mapping]] = ...) -> None: ...

class DecideApprovalRequest(_message.Message):
    __slots__ = ("approval_id", "approve", "digest", "reason")
    APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    APPROVE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    approval_id: int
    approve: bool
    digest: str
    reason: str
    def __init__(self, approval_id: _Optional[int] = ..., approve: _Optional[bool] = ..., digest: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class DecideApprovalResponse(_message.Message):
    __slots__ = ("approval",)
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    approval: Approval
    def __init__(self, approval: _Optional[_Union[Approval, _Mapping]] = ...) -> None: ...

class ReidentifyRequest(_message.Message):
    __slots__ = ("destination", "project", "pseudonyms", "reason")
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    PSEUDONYMS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    destination: str
    project: str
    pseudonyms: _containers.RepeatedScalarFieldContainer[str]
    reason: str
    def __init__(self, destination: _Optional[str] = ..., project: _Optional[str] = ..., pseudonyms: _Optional[_Iterable[str]] = ..., reason: _Optional[str] = ...) -> None: ...

class ReidentifyResponse(_message.Message):
    __slots__ = ("pending",)
    PENDING_FIELD_NUMBER: _ClassVar[int]
    pending: Pending
    def __init__(self, pending: _Optional[_Union[Pending, _Mapping]] = ...) -> None: ...

class TakeReidentificationRequest(_message.Message):
    __slots__ = ("approval_id", "digest")
    APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    approval_id: int
    digest: str
    def __init__(self, approval_id: _Optional[int] = ..., digest: _Optional[str] = ...) -> None: ...

class TakeReidentificationResponse(_message.Message):
    __slots__ = ("approval",)
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    approval: Approval
    def __init__(self, approval: _Optional[_Union[Approval, _Mapping]] = ...) -> None: ...

class Policy(_message.Message):
    __slots__ = ("number", "targets", "signed_us", "proposed_by", "approved_by", "sha256", "text", "invariants")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    SIGNED_US_FIELD_NUMBER: _ClassVar[int]
    PROPOSED_BY_FIELD_NUMBER: _ClassVar[int]
    APPROVED_BY_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    INVARIANTS_FIELD_NUMBER: _ClassVar[int]
    number: int
    targets: _containers.RepeatedCompositeFieldContainer[PolicyTarget]
    signed_us: int
    proposed_by: str
    approved_by: str
    sha256: str
    text: str
    invariants: str
    def __init__(self, number: _Optional[int] = ..., targets: _Optional[_Iterable[_Union[PolicyTarget, _Mapping]]] = ..., signed_us: _Optional[int] = ..., proposed_by: _Optional[str] = ..., approved_by: _Optional[str] = ..., sha256: _Optional[str] = ..., text: _Optional[str] = ..., invariants: _Optional[str] = ...) -> None: ...

class PolicyTarget(_message.Message):
    __slots__ = ("gateway", "compared_with", "destinations", "widened")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    COMPARED_WITH_FIELD_NUMBER: _ClassVar[int]
    DESTINATIONS_FIELD_NUMBER: _ClassVar[int]
    WIDENED_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    compared_with: int
    destinations: _containers.RepeatedCompositeFieldContainer[PolicyDestination]
    widened: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, gateway: _Optional[str] = ..., compared_with: _Optional[int] = ..., destinations: _Optional[_Iterable[_Union[PolicyDestination, _Mapping]]] = ..., widened: _Optional[_Iterable[str]] = ...) -> None: ...

class ProposePolicyRequest(_message.Message):
    __slots__ = ("text", "invariants", "gateways")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    INVARIANTS_FIELD_NUMBER: _ClassVar[int]
    GATEWAYS_FIELD_NUMBER: _ClassVar[int]
    text: str
    invariants: str
    gateways: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, text: _Optional[str] = ..., invariants: _Optional[str] = ..., gateways: _Optional[_Iterable[str]] = ...) -> None: ...

class ProposePolicyResponse(_message.Message):
    __slots__ = ("policy", "pending")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    policy: Policy
    pending: Pending
    def __init__(self, policy: _Optional[_Union[Policy, _Mapping]] = ..., pending: _Optional[_Union[Pending, _Mapping]] = ...) -> None: ...

class ListPoliciesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListPoliciesResponse(_message.Message):
    __slots__ = ("policies",)
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    policies: _containers.RepeatedCompositeFieldContainer[Policy]
    def __init__(self, policies: _Optional[_Iterable[_Union[Policy, _Mapping]]] = ...) -> None: ...

class GetPolicyRequest(_message.Message):
    __slots__ = ("number", "gateway")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    number: int
    gateway: str
    def __init__(self, number: _Optional[int] = ..., gateway: _Optional[str] = ...) -> None: ...

class GetPolicyResponse(_message.Message):
    __slots__ = ("policy", "signed_policy")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    SIGNED_POLICY_FIELD_NUMBER: _ClassVar[int]
    policy: Policy
    signed_policy: bytes
    def __init__(self, policy: _Optional[_Union[Policy, _Mapping]] = ..., signed_policy: _Optional[bytes] = ...) -> None: ...

class StartPolicyRolloutRequest(_message.Message):
    __slots__ = ("number", "stages", "soak_s", "wait_s", "manual")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    SOAK_S_FIELD_NUMBER: _ClassVar[int]
    WAIT_S_FIELD_NUMBER: _ClassVar[int]
    MANUAL_FIELD_NUMBER: _ClassVar[int]
    number: int
    stages: _containers.RepeatedCompositeFieldContainer[RolloutStage]
    soak_s: float
    wait_s: float
    manual: bool
    def __init__(self, number: _Optional[int] = ..., stages: _Optional[_Iterable[_Union[RolloutStage, _Mapping]]] = ..., soak_s: _Optional[float] = ..., wait_s: _Optional[float] = ..., manual: _Optional[bool] = ...) -> None: ...

class RolloutStage(_message.Message):
    __slots__ = ("gateways", "percent", "ward")
    GATEWAYS_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    WARD_FIELD_NUMBER: _ClassVar[int]
    gateways: _containers.RepeatedScalarFieldContainer[str]
    percent: int
    ward: str
    def __init__(self, gateways: _Optional[_Iterable[str]] = ..., percent: _Optional[int] = ..., ward: _Optional[str] = ...) -> None: ...

class StartPolicyRolloutResponse(_message.Message):
    __slots__ = ("rollout",)
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    rollout: PolicyRollout
    def __init__(self, rollout: _Optional[_Union[PolicyRollout, _Mapping]] = ...) -> None: ...

class GetPolicyRolloutRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetPolicyRolloutResponse(_message.Message):
    __slots__ = ("rollout",)
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    rollout: PolicyRollout
    def __init__(self, rollout: _Optional[_Union[PolicyRollout, _Mapping]] = ...) -> None: ...

class ControlPolicyRolloutRequest(_message.Message):
    __slots__ = ("action", "gateway")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    action: RolloutAction
    gateway: str
    def __init__(self, action: _Optional[_Union[RolloutAction, str]] = ..., gateway: _Optional[str] = ...) -> None: ...

class ControlPolicyRolloutResponse(_message.Message):
    __slots__ = ("rollout",)
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    rollout: PolicyRollout
    def __init__(self, rollout: _Optional[_Union[PolicyRollout, _Mapping]] = ...) -> None: ...

class PolicyRollout(_message.Message):
    __slots__ = ("rollout_id", "number", "state", "reason", "stage", "stages", "since_us", "started_by", "started_us", "manual")
    ROLLOUT_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    SINCE_US_FIELD_NUMBER: _ClassVar[int]
    STARTED_BY_FIELD_NUMBER: _ClassVar[int]
    STARTED_US_FIELD_NUMBER: _ClassVar[int]
    MANUAL_FIELD_NUMBER: _ClassVar[int]
    rollout_id: int
    number: int
    state: str
    reason: str
    stage: int
    stages: _containers.RepeatedCompositeFieldContainer[RolloutStageStatus]
    since_us: int
    started_by: str
    started_us: int
    manual: bool
    def __init__(self, rollout_id: _Optional[int] = ..., number: _Optional[int] = ..., state: _Optional[str] = ..., reason: _Optional[str] = ..., stage: _Optional[int] = ..., stages: _Optional[_Iterable[_Union[RolloutStageStatus, _Mapping]]] = ..., since_us: _Optional[int] = ..., started_by: _Optional[str] = ..., started_us: _Optional[int] = ..., manual: _Optional[bool] = ...) -> None: ...

class RolloutStageStatus(_message.Message):
    __slots__ = ("gateways", "in_force", "skipped")
    GATEWAYS_FIELD_NUMBER: _ClassVar[int]
    IN_FORCE_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    gateways: _containers.RepeatedScalarFieldContainer[str]
    in_force: _containers.RepeatedScalarFieldContainer[str]
    skipped: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, gateways: _Optional[_Iterable[str]] = ..., in_force: _Optional[_Iterable[str]] = ..., skipped: _Optional[_Iterable[str]] = ...) -> None: ...
