"""``gateway.toml``: everything that a gateway can be told, in one frozen model.

Each part's table is declared beside the part; this file puts them together, checks what concerns
several of them, and resolves paths relative to the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from gateway import tomlfile
from gateway.association.config import AssociationConfig
from gateway.cabinet.config import CabinetTable, check_cabinets
from gateway.capture.config import CaptureConfig
from gateway.dial import Receiver, check_receiver
from gateway.domain.errors import ConfigError
from gateway.domain.labels import DestinationInfo
from gateway.fence.config import FenceConfig
from gateway.journal.aside import AsideConfig
from gateway.journal.config import CommitterConfig, JournalConfig
from gateway.local.config import LocalConfig
from gateway.mec.config import MecConfig
from gateway.metrics_http import MetricsConfig
from gateway.network.config import SimConfig
from gateway.networkapi.config import NetworkApisConfig
from gateway.notification.config import MqttOutlet, NotificationConfig
from gateway.ownclock.config import ClockTable
from gateway.packetfilter.config import PacketFilterTable
from gateway.pipeline.classification import ClassificationTable
from gateway.pipeline.config import PipelineConfig
from gateway.uplink.config import DestinationConfig, LedgerConfig
from security.audit import AuditConfig
from security.files import TlsFiles
from security.identity import IdentityConfig
from security.renewal import RenewalTable

Tenant = Annotated[str, msgspec.Meta(pattern=r"\A([a-z][a-z0-9-]{0,31})?\Z")]
"""Also a metric label, and part of a unit's and a user's name."""


class GatewayTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[gateway]``: who it is and where it keeps its state."""

    name: str
    """As in its certificate: ``spiffe://<trust-domain>/gateway/<name>``."""
    state_dir: Path
    seal_keys: Path
    """The key ring that seals journal and samples, one key per line."""
    tenant: Tenant = ""
    """Whose gateway this is, where several hospitals share a host (docs/tenants.md): every metric
    carries it, and a destination of another tenant is refused. Empty: nobody's in particular."""
    ward_networks: tuple[str, ...] = ()
    """Where the devices are, for the limits that systemd puts on the gateway's addresses."""
    stop_grace_s: float = 10.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class TlsTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[tls]``: the gateway's own certificate, and whom it trusts."""

    cert: Path
    key: Path
    trust: Path

    @property
    def files(self) -> TlsFiles:
        return TlsFiles(self.cert, self.key, self.trust)


class PolicyTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[policy]``: what may leave."""

    file: Path | None = None
    """A signed policy (`wardgate policy sign`); without one the fleet brings it, see
    docs/policy.md."""
    invariants: Path | None = None
    """What must hold here besides the invariants that were signed with it."""


class FleetTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[fleet]``: the control plane to attach to."""

    address: str
    server_name: str = ""
    networks: tuple[str, ...] = ()
    """Where the fleet may be; as a destination's."""
    pins: tuple[str, ...] = ()
    """As a destination's."""
    report_interval_s: float = 2.0

    @property
    def receiver(self) -> Receiver:
        """How it is reached."""
        return Receiver(self.address, self.server_name, self.networks, self.pins)


class GatewayConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    gateway: GatewayTable
    tls: TlsTable
    identity: IdentityConfig
    drivers: dict[str, dict[str, Any]]
    """By name; the key ``driver`` names the entry point where it isn't the table's name."""
    policy: PolicyTable = PolicyTable()
    audit: AuditConfig = AuditConfig()
    journal: JournalConfig = JournalConfig()
    commit: CommitterConfig = CommitterConfig()
    aside: AsideConfig = AsideConfig()
    capture: CaptureConfig = CaptureConfig()
    classification: ClassificationTable = ClassificationTable()
    pipeline: PipelineConfig = msgspec.field(default_factory=PipelineConfig)
    destinations: tuple[DestinationConfig, ...] = ()
    ledger: LedgerConfig = LedgerConfig()
    notification: NotificationConfig = NotificationConfig()
    fleet: FleetTable | None = None
    metrics: MetricsConfig = MetricsConfig()
    association: AssociationConfig = AssociationConfig()
    local: LocalConfig = LocalConfig()
    mec: MecConfig = MecConfig()
    packet_filter: PacketFilterTable = PacketFilterTable()
    sim: SimConfig = SimConfig()
    """What is done about devices that the mobile network knows by other words than the registry."""
    fence: FenceConfig = FenceConfig()
    network_apis: NetworkApisConfig = NetworkApisConfig()
    renewal: RenewalTable = RenewalTable()
    clock: ClockTable = ClockTable()
    cabinets: tuple[CabinetTable, ...] = ()

    @property
    def receivers(self) -> list[DestinationInfo]:
        """All that the release policy decides about: destinations, and outlets of alarms."""
        every = (*self.destinations, *self.notification.outlets)
        return [each.info for each in every]


class Source(NamedTuple):
    """A configuration file as it was read: what is parsed is what is audited."""

    path: Path
    document: bytes
    raw: dict[str, Any]


def read(path: Path) -> Source:
    """Read ``gateway.toml`` without understanding it.

    Raises:
        ConfigError: it can't be read, or is not TOML.
    """
    document = tomlfile.read(path)
    return Source(path, document, tomlfile.decode(document, str(path)))


def build(source: Source, raw: dict[str, Any] | None = None) -> GatewayConfig:
    """Check a configuration; drivers' tables are checked when they are made.

    Args:
        source: the file.
        raw: its content with what the fleet wants laid over it; None: as it is.

    Raises:
        ConfigError: with file and key.
    """
    path = source.path
    content = source.raw if raw is None else raw
    base = path.resolve().parent
    config = tomlfile.convert(content, GatewayConfig, base=base, where=str(path))
    tenant = config.gateway.tenant
    foreign = [each.name for each in config.receivers if tenant and each.tenant != tenant]
    if foreign:
        raise ConfigError(
            f"{path}: destination {foreign[0]}: tenant is not {tenant!r}, whose gateway this is"
        )
    if config.fleet is not None:
        try:
            check_receiver(config.fleet.receiver, "fleet")
        except ValueError as error:
            raise ConfigError(f"{path}: {error}") from error
    try:
        check_cabinets(config.cabinets)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    try:
        _check_fence(config)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    names = [each.name for each in config.receivers]
    bandwidth = config.mec.bandwidth
    wanted = bandwidth.destination if bandwidth is not None else ""
    if wanted and wanted not in {each.name for each in config.destinations}:
        raise ConfigError(f"{path}: mec.bandwidth.destination: there is no destination {wanted}")
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigError(f"{path}: destinations named twice: {', '.join(sorted(twice))}")
    for outlet in config.notification.outlets:
        if isinstance(outlet, MqttOutlet) and outlet.driver not in config.drivers:
            raise ConfigError(f"{path}: outlet {outlet.name}: there is no driver {outlet.driver}")
    return config


def _check_fence(config: GatewayConfig) -> None:
    """Refuse a fence of which nobody tells, or two do.

    Raises:
        ConfigError: naming the key.
    """
    platform = config.mec.platform != "none" and bool(config.mec.location)
    circles = bool(config.network_apis) and config.network_apis.rounds.fence
    if config.fence and not (platform or circles):
        raise ConfigError("fence: mec.location, or network_apis.rounds.fence, says who tells of it")
    if circles and platform:
        raise ConfigError("network_apis.rounds.fence: mec.location tells of the fence already")
    if circles and (config.fence.zones or not config.fence.areas):
        raise ConfigError("network_apis.rounds.fence: the network knows fence.areas, and no zones")


def load(path: Path) -> GatewayConfig:
    """Read and check ``gateway.toml``.

    Raises:
        ConfigError: with file and key.
    """
    return build(read(path))
