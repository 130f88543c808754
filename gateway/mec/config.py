"""``[mec]``: the platform that the gateway runs on, if any.

Base paths are configuration: vendors differ in them, and in the versions of the interfaces.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from gateway import tomlfile
from gateway.domain.errors import ConfigError

_Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
RULES_MAX = 32
_SEEING = ("location", "radio")


class TokenTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[mec.token]``, ``[network_apis.token]``: OAuth 2.0 client credentials.

    RFC 6749, 4.4; GS MEC 009, 6.16.
    """

    endpoint: str
    client_id: str
    secret: Path
    """A secret file."""
    scope: str = ""


class CallbackTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[mec.callback]``: where the platform tells the gateway of what happens."""

    listen: str
    """``host:port``."""
    url: str
    """As the platform reaches it, without a path."""
    networks: tuple[str, ...] = ()
    """Where the platform calls from, for the packet filter."""
    plain: bool = False
    """HTTP, for a platform that speaks to its applications on the same host alone."""


class BreakoutTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[mec.breakout]``: what must hold of the data plane, so that data stays on campus."""

    rules: tuple[str, ...]
    """Traffic rules of the application's descriptor that must be there and ACTIVE."""
    campus: tuple[str, ...]
    """Networks of the campus: no rule may send traffic elsewhere."""
    dns_rules: tuple[str, ...] = ()
    """DNS rules that must be there, ACTIVE, and name addresses of the campus."""
    activate: bool = True
    """Activate what is there but INACTIVE."""

    def __post_init__(self) -> None:
        """Refuse what can't be meant.

        Raises:
            ConfigError: naming the key.
        """
        if not self.rules or len(self.rules) + len(self.dns_rules) > RULES_MAX:
            raise ConfigError(f"mec.breakout.rules: 1 to {RULES_MAX}, with dns_rules")
        if not self.campus:
            raise ConfigError("mec.breakout.campus: at least one network")
        _check_networks("mec.breakout.campus", self.campus)


class ServiceTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[mec.service]``: how the gateway is announced to other applications of the host."""

    name: str = "wardgate"
    uri: str = ""
    """Where it is reached; empty: by the platform's choice."""


class BandwidthTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[mec.bandwidth]``: what is guaranteed to the alarms (GS MEC 015)."""

    bits_per_s: Annotated[int, msgspec.Meta(ge=1)]
    direction: Literal["00", "01", "10"] = "10"
    """00 to the UE, 01 from it, 10 both."""
    destination: str = ""
    """The destination whose address and port are meant; empty: the application as a whole."""
    priority: str = ""
    """``fixedBWPriority``, whose values the standard leaves to the platform."""


class MecConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole table."""

    platform: Literal["none", "etsi"] = "none"
    app_instance: str = ""
    """``appInstanceId``, as the orchestrator gave it."""
    app_support: str = ""
    """MEC 011, as ``https://mep.campus/mec_app_support/v1``."""
    service_mgmt: str = ""
    """MEC 011; empty: the gateway is not announced."""
    bandwidth_mgmt: str = ""
    """MEC 015; empty: none is asked for."""
    mobility: str = ""
    """MEC 021; empty: the gateway is not moved with its devices."""
    location: str = ""
    """MEC 013, as ``https://mep.campus/location/v2``; it tells the fence (``[fence]``)."""
    radio: str = ""
    """MEC 012, as ``https://mep.campus/rni/v2``; empty: nothing is known of devices' links."""
    trust: Path | None = None
    """PEM: the platform's root, where it is not the gateway's own."""
    cert: Path | None = None
    key: Path | None = None
    """What the gateway shows the platform; left out: its usual certificate."""
    plain: bool = False
    """HTTP is allowed: for a platform on loopback alone."""
    token: TokenTable | None = None
    callback: CallbackTable | None = None
    breakout: BreakoutTable | None = None
    service: ServiceTable = ServiceTable()
    bandwidth: BandwidthTable | None = None
    look_s: _Seconds = 2.0
    """How often rules and subscriptions are looked at."""
    time_s: _Seconds = 60.0
    """How often the platform's clock is."""
    unknown_s: _Seconds = 30.0
    """So long the platform may be away, or not tell; then what it last said counts no longer."""
    drain_margin_s: Annotated[float, msgspec.Meta(ge=0, le=600)] = 2.0
    """Of the grace time, left for the end."""
    timeout_s: _Seconds = 5.0

    def __post_init__(self) -> None:
        """Refuse what can't be meant.

        Raises:
            ConfigError: naming the key.
        """
        if self.platform == "none":
            return
        for key in ("app_instance", "app_support", "callback", "breakout"):
            if not getattr(self, key):
                raise ConfigError(f"mec.{key}: a platform takes it")
        if self.look_s >= self.unknown_s:
            raise ConfigError("mec.look_s: less than unknown_s")
        if (self.cert is None) != (self.key is None):
            raise ConfigError("mec.cert: cert and key go together")
        for key in ("app_support", "service_mgmt", "bandwidth_mgmt", "mobility", *_SEEING):
            check_url(f"mec.{key}", getattr(self, key), plain=self.plain)
        if self.token is not None:
            check_url("mec.token.endpoint", self.token.endpoint, plain=self.plain)
        if self.callback is not None:
            check_callback("mec.callback", self.callback)
        if self.bandwidth is not None and not self.bandwidth_mgmt:
            raise ConfigError("mec.bandwidth: bandwidth_mgmt says whom to ask")

    @property
    def addresses(self) -> dict[str, str]:
        """Whom the gateway calls, by a name for it: ``host:port``."""
        if self.platform == "none":
            return {}
        urls: dict[str, Any] = {
            "mec-apps": self.app_support,
            "mec-services": self.service_mgmt,
            "mec-bandwidth": self.bandwidth_mgmt,
            "mec-mobility": self.mobility,
            "mec-location": self.location,
            "mec-radio": self.radio,
            "mec-token": self.token.endpoint if self.token else "",
        }
        return {name: place_of(url) for name, url in urls.items() if url}


def check_callback(key: str, table: CallbackTable) -> None:
    """Refuse a listener that can't be meant.

    Raises:
        ConfigError: naming the key.
    """
    tomlfile.address(table.listen, f"{key}.listen")
    _check_networks(f"{key}.networks", table.networks)
    check_url(f"{key}.url", table.url, plain=table.plain)


def place_of(url: str) -> str:
    """Whom a URL calls: ``host:port``."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _check_networks(key: str, texts: tuple[str, ...]) -> None:
    for text in texts:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            raise ConfigError(f"{key}: {error}") from error


def check_url(key: str, url: str, *, plain: bool) -> None:
    """Refuse what is no URL, or none of HTTPS; empty is fine.

    Raises:
        ConfigError: naming the key.
    """
    if not url:
        return
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("https", "http") and parts.hostname and (parts.port or True)
    except ValueError:
        known = False
    if not known:
        raise ConfigError(f"{key}: {url!r} is no URL")
    if parts.scheme == "http" and not (plain and _is_loopback(parts.hostname or "")):
        raise ConfigError(f"{key}: https, or plain = true for a platform on loopback")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
