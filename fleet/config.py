"""The fleet service's configuration: TOML -> frozen models; paths are relative to the file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from fleet.health import HealthConfig
from fleet.radius.config import RadiusTable
from gateway import tomlfile
from gateway.metrics_http import MetricsConfig
from security import pki
from security.audit import AuditConfig
from security.files import TlsFiles
from security.pki import hierarchy
from security.renewal import RenewalTable

OCSP_PATH = "/ocsp"
CRL_PATH = "/crl/"
CRL_SUFFIX = ".crl"

Positive = Annotated[float, msgspec.Meta(gt=0)]
DeviceDays = Annotated[float, msgspec.Meta(gt=0, le=pki.PROFILES[pki.Role.DEVICE].days_max)]


class TlsTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[tls]``: the service's own certificate, and whom it trusts."""

    cert: Path
    key: Path
    trust: Path

    @property
    def files(self) -> TlsFiles:
        return TlsFiles(self.cert, self.key, self.trust)


class EnrolmentTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[enrolment]``: what certificates are issued for."""

    device_days: DeviceDays = 365
    days_max: DeviceDays = 1095
    """The longest that an operator may ask for."""
    token_hours: Positive = 24
    """How long a one-time token is good."""
    token_hours_max: Positive = 720
    renew_expired_days: Annotated[float, msgspec.Meta(ge=0)] = 0
    """For how long after its end a certificate may still be renewed; 0: not at all."""
    manufacturers_max: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 64
    claims_max: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1000
    claim_days: Positive = 7
    """A claim that nobody repeats for so long is forgotten."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[limits]``: what a caller may cost."""

    message_bytes_max: Annotated[int, msgspec.Meta(ge=65536, le=64 << 20)] = 16 << 20
    """A report on 20,000 devices has about 3 MB."""
    streams_max: Annotated[int, msgspec.Meta(ge=1)] = 512
    hello_timeout_s: Positive = 10
    keepalive_s: Annotated[int, msgspec.Meta(ge=5)] = 20
    devices_max: Annotated[int, msgspec.Meta(ge=1)] = 100_000
    revoke_devices_above: Annotated[int, msgspec.Meta(ge=0)] = 10
    """More devices than this are revoked at once by two operators only."""
    approval_hours: Annotated[float, msgspec.Meta(gt=0, le=720)] = 24
    """How long a call waits for a second operator."""


class WebTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[web]``: the HTTPS listener for enrolment and renewal (EST), and what it may cost."""

    listen: str
    """``host:port``; a literal address. Port 0 takes a free one (see ``announce``)."""
    url: str = ""
    """How devices reach it, such as ``https://fleet.ward.example:8443``, for tokens and QR codes;
    by default the address that it listens on."""
    connections_max: Annotated[int, msgspec.Meta(ge=8)] = 1024
    connections_per_address_max: Annotated[int, msgspec.Meta(ge=1)] = 128
    """Devices behind one translating router share an address."""
    handshakes_max: Annotated[int, msgspec.Meta(ge=1)] = 64
    """Half-open connections."""
    connection_s: Positive = 30
    """A connection is ended after so long, whatever it does."""
    idle_s: Positive = 10
    """For a request's head to arrive."""
    body_s: Positive = 10
    requests_per_address_per_minute: Positive = 1200
    """Five hundred pumps behind one address enrol within a minute, with two requests each."""
    failures_per_address_per_minute: Positive = 30
    """Wrong tokens; then the address waits, with right ones too."""
    requests_per_identity_per_minute: Positive = 6
    """Of one holder, after it proved who it is."""


class RevocationTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[revocation]``: OCSP and CRLs for whoever is not ours."""

    listen: str = ""
    """``host:port`` for plain HTTP; empty: on the listener of ``[web]`` alone."""
    url: str = ""
    """How others reach it, such as ``http://fleet.ward.example:7480``; then certificates name it
    (authority information access, CRL distribution point)."""
    crl_hours: Positive = 24
    """How long a list is good."""
    ocsp_minutes: Positive = 60
    """How long an answer is good."""
    connections_max: Annotated[int, msgspec.Meta(ge=1)] = 256
    requests_per_address_per_minute: Positive = 600
    body_s: Positive = 10

    def pointers(self, authority_id: str) -> pki.Pointers:
        """What certificates of an authority say of where revocation can be asked for."""
        base = self.url.rstrip("/")
        if not base:
            return pki.Pointers()
        return pki.Pointers(f"{base}{OCSP_PATH}", f"{base}{CRL_PATH}{authority_id}{CRL_SUFFIX}")


class FleetConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that ``fleet run`` needs."""

    listen: str
    """``host:port``; port 0 takes a free one (see ``announce``)."""
    state: Path
    """A directory: the store and the audit log."""
    authority: Path
    """The directory of the issuing CA (``ca.pem``, ``ca.key``, ``root.pem``)."""
    tls: TlsTable
    enrolment: EnrolmentTable = EnrolmentTable()
    health: HealthConfig = HealthConfig()
    limits: Limits = Limits()
    web: WebTable | None = None
    """Enrolment by the devices themselves; absent: operators alone issue certificates."""
    revocation: RevocationTable = RevocationTable()
    metrics: MetricsConfig | None = None
    """Where Prometheus scrapes; absent: nowhere."""
    announce: Path | None = None
    """A JSON file with the bound addresses and the process id, written when the service answers."""
    audit: AuditConfig = AuditConfig()
    """How long the audit log is kept."""
    renewal: RenewalTable = RenewalTable()
    """Of the service's own certificate, by its own authority; ``est`` is not needed."""
    radius: RadiusTable | None = None
    """Secondary authentication of a 5G network (docs/secondary-authentication.md); absent: none."""
    revocations_refresh_s: Positive = 600
    """How often the list is signed anew, so that gateways know that it is not stale."""

    def load_site(self) -> pki.Hierarchy:
        """The issuing CAs, with what their certificates say of revocation.

        Raises:
            ConfigError: as :func:`security.pki.hierarchy.load`.
        """
        return hierarchy.load(self.authority).pointing(self.revocation.pointers)

    @property
    def database(self) -> Path:
        return self.state / "fleet.db"


def load(path: Path) -> FleetConfig:
    """Read a configuration file.

    Raises:
        ConfigError: it can't be read, isn't TOML, or breaks the model; names the key's path.
    """
    return tomlfile.load(path, FleetConfig)
