"""Which drivers are installed, and by whom."""

from __future__ import annotations

import socket
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple

from gateway import plugins
from gateway.domain.errors import ConfigError


class Installed(NamedTuple):
    """One driver."""

    name: str
    transport: str
    """``serial``, ``listens (…)`` or ``connects (…)``, ``tcp`` or ``udp``; else ``?``."""
    distribution: str
    version: str
    fault: str
    """Why it can't be loaded; empty when it can."""


def installed() -> list[Installed]:
    """All of them, by name."""
    found = entry_points(group=plugins.GROUP)
    return [_describe(each) for each in sorted(found, key=lambda each: each.name)]


def _describe(entry: EntryPoint) -> Installed:
    distribution = ("?", "?") if entry.dist is None else (entry.dist.name, entry.dist.version)
    try:
        transport, fault = _transport(plugins.factory(entry.name).config_type), ""
    except ConfigError as error:
        transport, fault = "?", str(error)
    return Installed(entry.name, transport, *distribution, fault)


def _transport(config_type: Any) -> str:
    """As the configuration shows it; see :class:`gateway.domain.ports.DriverFactory`."""
    datagrams = socket.SOCK_DGRAM
    if hasattr(config_type, "bound") and not hasattr(config_type, "dials_over"):
        return "serial"
    if hasattr(config_type, "dials"):
        over = getattr(config_type, "dials_over", socket.SOCK_STREAM)
        return "connects (udp)" if over is datagrams else "connects (tcp)"
    if "listen" in getattr(config_type, "__struct_fields__", ()):
        over = getattr(config_type, "listens_over", socket.SOCK_STREAM)
        return "listens (udp)" if over is datagrams else "listens (tcp)"
    return "?"
