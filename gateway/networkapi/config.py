"""``[network_apis]``: an operator's network that can be asked, if any."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from gateway.domain.errors import ConfigError
from gateway.mec.config import CallbackTable, TokenTable, check_callback, check_url, place_of
from gateway.networkapi.interface import Circle, Flow

_Name = Annotated[str, Meta(min_length=3, max_length=256, pattern=r"\A[a-zA-Z0-9_.-]+\Z")]
_Port = Annotated[int, Meta(ge=1, le=65_535)]


_INTERFACES: Final = {
    "network-location": "location_verification",
    "network-quality": "quality_on_demand",
    "network-sim-swap": "sim_swap",
    "network-device-swap": "device_swap",
}
"""A name for whom the gateway calls -> the setting that says where."""


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


class RoundsTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[network_apis.rounds]``: how often the network is asked about every device."""

    every_s: Annotated[float, Meta(ge=1, le=86_400)] = 900.0
    """About one device, at most."""
    calls_per_minute: Annotated[float, Meta(gt=0, le=6000)] = 60.0
    """About all of them together, at most."""
    fence: bool = False
    """Whether it is asked about the areas of ``[fence]``, too."""
    age_s: Annotated[int, Meta(ge=0, le=86_400)] = 120
    """Of a place: so old may be what the network knows; 0: it looks anew."""
    unknown_s: Annotated[float, Meta(gt=0, le=86_400)] = 1800.0
    """After so long without an answer, where devices are is not known."""


class NefTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[network_apis.nef]``: for provider ``nef``."""

    af: _Name
    """By which name the network knows us (``scsAsId``)."""
    notify: str
    """A URI that is this gateway's alone: the interface wants one, and nobody listens there."""
    callback: CallbackTable | None = None
    """Where the network tells of changed modems; left out: it is not asked to."""


class NetworkApisConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole table."""

    provider: Literal["none", "camara", "nef"] = "none"
    location_verification: str = ""
    """As ``https://api.operator.example/location-verification/v3``, or
    ``https://nef.example/3gpp-monitoring-event/v1``; empty: not asked."""
    quality_on_demand: str = ""
    """As ``https://api.operator.example/quality-on-demand/v1``, or
    ``https://nef.example/3gpp-as-session-with-qos/v1``."""
    sim_swap: str = ""
    """As ``https://api.operator.example/sim-swap/v2``."""
    device_swap: str = ""
    """As ``https://api.operator.example/device-swap/v1``."""
    trust: Path | None = None
    """PEM: the operator's root, where it is not the gateway's own."""
    plain: bool = False
    """HTTP is allowed: for a network on loopback alone."""
    by_address: bool = False
    """A device without a number is named by its address: no NAT stands between network and us."""
    token: TokenTable | None = None
    nef: NefTable | None = None
    area: AreaTable | None = None
    quality: QualityTable | None = None
    rounds: RoundsTable = RoundsTable()
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 5.0

    def __post_init__(self) -> None:
        """Refuse what can't be meant.

        Raises:
            ConfigError: naming the key.
        """
        if not self:
            return
        for key in _INTERFACES.values():
            check_url(f"network_apis.{key}", getattr(self, key), plain=self.plain)
        if self.token is not None:
            check_url("network_apis.token.endpoint", self.token.endpoint, plain=self.plain)
        listens = self.nef is not None and self.nef.callback is not None
        used = self.area is not None or self.rounds.fence or listens
        if bool(self.location_verification) != used:
            raise ConfigError(
                "network_apis.location_verification: it goes with area, rounds.fence or"
                " nef.callback"
            )
        self._check_nef()
        if bool(self.quality_on_demand) != (self.quality is not None):
            raise ConfigError("network_apis.quality: it goes with quality_on_demand")

    def _check_nef(self) -> None:
        if (self.provider == "nef") != (self.nef is not None):
            raise ConfigError("network_apis.nef: it goes with provider nef")
        if self.nef is None:
            return
        check_url("network_apis.nef.notify", self.nef.notify, plain=self.plain)
        if self.nef.callback is not None:
            check_callback("network_apis.nef.callback", self.nef.callback)
        if self.sim_swap or self.device_swap:
            raise ConfigError("network_apis.sim_swap: a NEF has no such interface")
        if self.quality is not None and not self.by_address:
            raise ConfigError("network_apis.by_address: a NEF gives quality to an address alone")

    def __bool__(self) -> bool:
        return self.provider != "none"

    @property
    def in_rounds(self) -> bool:
        """Whether the network is asked about every device in turn."""
        return bool(self) and (self.asks_swaps or self.rounds.fence)

    @property
    def asks_swaps(self) -> bool:
        """Whether it is asked whose SIM or modem was changed."""
        listens = self.nef is not None and self.nef.callback is not None
        return bool(self) and bool(self.sim_swap or self.device_swap or listens)

    @property
    def addresses(self) -> dict[str, str]:
        """Whom the gateway calls, by a name for it: ``host:port``."""
        if not self:
            return {}
        urls = {name: getattr(self, key) for name, key in _INTERFACES.items()}
        urls["network-token"] = self.token.endpoint if self.token else ""
        return {name: place_of(url) for name, url in urls.items() if url}
