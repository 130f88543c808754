"""The core's configuration: TOML -> frozen models; relative paths are relative to the file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from gateway import tomlfile
from gateway.metrics_http import MetricsConfig
from security.files import TlsFiles
from security.renewal import RenewalTable


class TlsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The core's own certificate, and whom it trusts."""

    certificate: Path
    """PEM: the leaf and its issuers."""
    key: Path
    client_ca: Path
    """PEM: the root of the gateways' certificates."""
    trust_domain: str
    """A gateway is ``spiffe://<trust_domain>/gateway/<id>``."""

    @property
    def files(self) -> TlsFiles:
        return TlsFiles(self.certificate, self.key, self.client_ca)


class FleetTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[fleet]``: who tells which gateways are revoked."""

    address: str
    """``host:port`` of the fleet service."""
    server_name: str = ""
    """The name in its certificate, where it is not the host that is dialled."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a gateway may cost."""

    message_bytes_max: Annotated[int, msgspec.Meta(ge=65536, le=64 << 20)] = 16 << 20
    batches_in_flight_max: Annotated[int, msgspec.Meta(ge=1, le=64)] = 8
    """Per stream: taken from the network and not yet stored."""
    group_bytes_max: Annotated[int, msgspec.Meta(ge=1024)] = 512 << 10
    """Batch bytes in one transaction."""
    streams_max: Annotated[int, msgspec.Meta(ge=1)] = 512
    keepalive_s: Annotated[int, msgspec.Meta(ge=5)] = 20
    hello_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0


class Retention(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the store may forget; nothing unless it says so (see :mod:`core.retention`)."""

    days: Annotated[float, msgspec.Meta(ge=1)] | None = None
    """Delete what was stored longer ago."""
    waves_days: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """Delete waveforms that were stored longer ago; they are nearly all of a store that has any."""
    bytes_max: Annotated[int, msgspec.Meta(ge=16 << 20)] | None = None
    """Delete the oldest waveforms, then reports, while more of the file is in use."""

    @property
    def on(self) -> bool:
        """True when anything is to be deleted at all."""
        return not self.days is self.waves_days is self.bytes_max is None


class StoreTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[store]``: what is sealed in the database (see :mod:`core.columns`)."""

    seal_keys: Path | None = None
    """The hospital's key ring, one key a line; absent: nothing is sealed."""


class CoreConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that ``core run`` needs."""

    listen: str
    """``host:port``; port 0 takes a free one (see ``announce``)."""
    database: Path
    tls: TlsConfig
    metrics: MetricsConfig | None = None
    """Where Prometheus scrapes; absent: nowhere."""
    announce: Path | None = None
    """A JSON file with the bound addresses and the process id, written when the core answers."""
    limits: Limits = Limits()
    retention: Retention = Retention()
    renewal: RenewalTable = RenewalTable()
    store: StoreTable = StoreTable()
    fleet: FleetTable | None = None
    """Absent: revocations come by ``core apply-revocations`` alone."""

    @property
    def revocations(self) -> Path:
        """Where the list of revocations is kept, signed."""
        return self.database.with_name(f"{self.database.name}.revocations")


def load(path: Path) -> CoreConfig:
    """Read a configuration file.

    Raises:
        ConfigError: it can't be read, isn't TOML, or breaks the model; names the key's path.
    """
    return tomlfile.load(path, CoreConfig)
