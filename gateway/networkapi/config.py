"""``[network_apis]``: an operator's network that can be asked, if any."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.domain.errors import ConfigError
from gateway.mec.config import TokenTable, check_url, place_of
from gateway.networkapi.interface import Circle, Flow

_Name = Annotated[str, Meta(min_length=3, max_length=256, pattern=r"\A[a-zA-Z0-9_.-]+\Z")]
_Port = Annotated[int, Meta(ge=1, le=65_535)]


class AreaTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[network_apis.area]``: the campus, for a second opinion on where a device is."""

    latitude: Annotated[float, Meta(ge=-90, le=90)]
    longitude: Annotated[float, Meta(ge=-180, le=180)]
    radius_m: Annotated[float, Meta(ge=1, le=100_000)] = 2000.0
    """Operators may want 1000 and more."""
    age_s: Annotated[int, Meta(ge=0, le=86_400)] = 120
    """So old may be what the network knows; 0: it looks anew."""

    @property
    def circle(self) -> Circle:
        """As the interface takes it."""
        return Circle(self.latitude, self.longitude, self.radius_m)


class QualityTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[network_apis.quality]``: whose flow is put first while an alarm stands."""

    kinds: tuple[str, ...]
    """Of the registry."""
    profile: _Name
    """As agreed with the operator."""
    server: str
    """The gateway's address, or network, as devices reach it."""
    ports: tuple[_Port, ...] = ()
    """Of the gateway; none: all."""
    priority: Literal["low", "medium", "high"] = "high"
    """Of an alarm, at least."""
    session_s: Annotated[int, Meta(ge=60, le=86_400)] = 300
    """One session, and each extension; what is forgotten ends by itself after it."""
    total_s: Annotated[int, Meta(ge=60, le=86_400)] = 3600
    """Of one alarm, with every extension."""
    linger_s: Annotated[float, Meta(ge=0, le=3600)] = 30.0
    """So long the need outlasts an alarm: those that come and go keep one session."""
    devices_max: Annotated[int, Meta(ge=1, le=1024)] = 64
    """At the same time; further ones go without."""

    def __post_init__(self) -> None:
        """Refuse what can't be meant.

        Raises:
            ConfigError: naming the key.
        """
        if not self.kinds:
            raise ConfigError("network_apis.quality.kinds: at least one")
        if self.total_s < self.session_s:
            raise ConfigError("network_apis.quality.total_s: less than session_s")
        try:
            ipaddress.ip_network(self.server)
        except ValueError as error:
            raise ConfigError(f"network_apis.quality.server: {error}") from error

    @property
    def flow(self) -> Flow:
        """As the interface takes it."""
        return Flow(self.server, self.ports)


class NetworkApisConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole table."""

    provider: Literal["none", "camara"] = "none"
    location_verification: str = ""
    """As ``https://api.operator.example/location-verification/v3``; empty: not asked."""
    quality_on_demand: str = ""
    """As ``https://api.operator.example/quality-on-demand/v1``."""
    trust: Path | None = None
    """PEM: the operator's root, where it is not the gateway's own."""
    plain: bool = False
    """HTTP is allowed: for a network on loopback alone."""
    by_address: bool = False
    """A device without a number is named by its address: no NAT stands between network and us."""
    token: TokenTable | None = None
    area: AreaTable | None = None
    quality: QualityTable | None = None
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 5.0

    def __post_init__(self) -> None:
        """Refuse what can't be meant.

        Raises:
            ConfigError: naming the key.
        """
        if not self:
            return
        for key in ("location_verification", "quality_on_demand"):
            check_url(f"network_apis.{key}", getattr(self, key), plain=self.plain)
        if self.token is not None:
            check_url("network_apis.token.endpoint", self.token.endpoint, plain=self.plain)
        if bool(self.location_verification) != (self.area is not None):
            raise ConfigError("network_apis.area: it goes with location_verification")
        if bool(self.quality_on_demand) != (self.quality is not None):
            raise ConfigError("network_apis.quality: it goes with quality_on_demand")

    def __bool__(self) -> bool:
        return self.provider != "none"

    @property
    def addresses(self) -> dict[str, str]:
        """Whom the gateway calls, by a name for it: ``host:port``."""
        if not self:
            return {}
        urls = {
            "network-location": self.location_verification,
            "network-quality": self.quality_on_demand,
            "network-token": self.token.endpoint if self.token else "",
        }
        return {name: place_of(url) for name, url in urls.items() if url}
