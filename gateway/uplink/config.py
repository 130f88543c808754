"""Where records may go: one table per destination in the gateway's configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from gateway.dial import Receiver, check_receiver
from gateway.domain.errors import ConfigError
from gateway.domain.labels import DestinationInfo, Zone
from gateway.uplink.generalise import GeneraliseConfig
from gateway.uplink.windows import AggregateConfig
from security.files import TlsFiles

Name = Annotated[str, msgspec.Meta(pattern=r"\A[a-z][a-z0-9_-]{0,31}\Z")]
_Positive = Annotated[float, msgspec.Meta(gt=0)]


class DestinationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One receiving end, and what the release policy may know of it."""

    name: Name
    """Also a metric label."""
    zone: Zone
    purpose: str
    tenant: str
    address: str
    """``host:port``."""
    server_name: str = ""
    """The name in the receiver's certificate, where it is not the host of ``address``."""
    networks: tuple[str, ...] = ()
    """Where the receiver may be, as ``"10.2.0.0/16"``; an address outside is never dialled."""
    pins: tuple[str, ...] = ()
    """Its public key's, or its CA's (:mod:`security.pins`); empty: whom ``trust`` vouches for."""
    trust: Path | None = None
    """PEM: the receiver's root, where it is not the gateway's own."""
    cert: Path | None = None
    key: Path | None = None
    """The gateway's certificate and key for this receiver, where they are not its usual ones."""
    pseudonym_key: Path | None = None
    """A secret file of at least 32 bytes; needed where the policy pseudonymises or generalises."""
    project: str = ""
    """Pseudonyms of different projects can't be joined, even under the same key."""
    generalise: GeneraliseConfig = GeneraliseConfig()
    aggregate: AggregateConfig = AggregateConfig()
    batch_records: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 500
    batch_bytes: Annotated[int, msgspec.Meta(ge=1024, le=4 << 20)] = 1 << 20
    window: Annotated[int, msgspec.Meta(ge=1, le=64)] = 8
    """Batches in flight per lane."""
    linger_ms: Annotated[float, msgspec.Meta(ge=0, le=1000)] = 0.0
    """How long a small batch of telemetry waits for more while others are in flight: for a link
    that is paid by the message. Group commit makes batches already."""
    backoff_s_min: _Positive = 0.2
    backoff_s_max: _Positive = 30.0
    answer_timeout_s: _Positive = 20.0
    """Without any answer for so long while batches are in flight, the stream is given up."""

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise ConfigError(f"destination {self.name}: cert and key go together")
        if self.backoff_s_max < self.backoff_s_min:
            raise ConfigError(f"destination {self.name}: backoff_s_max is below backoff_s_min")
        host, colon, port = self.address.rpartition(":")
        if not host or not colon or not port.isdigit() or not 0 < int(port) < 65536:
            raise ConfigError(f"destination {self.name}: address {self.address!r} is no host:port")
        try:
            check_receiver(self.receiver, f"destination {self.name}")
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def files(self, own: TlsFiles) -> TlsFiles:
        """The certificate for this receiver and whom to trust there; what isn't said is ``own``."""
        return TlsFiles(self.cert or own.cert, self.key or own.key, self.trust or own.trust)

    @property
    def receiver(self) -> Receiver:
        """How it is reached."""
        return Receiver(self.address, self.server_name, self.networks, self.pins)

    @property
    def info(self) -> DestinationInfo:
        """What the policy may know."""
        return DestinationInfo(self.name, self.zone, self.purpose, self.tenant)


class LedgerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[ledger]``: the account of what left."""

    detail_days: Annotated[float, msgspec.Meta(ge=1)] = 7.0
    """Entries of ten seconds are kept so long, then added up by day; days are kept for ever."""


def check_names(destinations: list[DestinationConfig]) -> None:
    """Refuse two destinations of one name.

    Raises:
        ConfigError: names the destination.
    """
    names = [destination.name for destination in destinations]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"destination {name}: there are two of this name")
