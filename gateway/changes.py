"""What differs between two configurations, and whether a running gateway can follow.

Everything is applied live but what :data:`RESTART` lists: who the gateway is, where its state
lies, and what memory was laid out for at the start. ``docs/configuration.md`` has the same list
in words.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from gateway.config import GatewayConfig
from gateway.domain.errors import ConfigError
from gateway.mec.config import MecConfig
from gateway.networkapi.config import NetworkApisConfig

RESTART: Final[Mapping[str, str]] = {
    "gateway.name": "it is the gateway's identity",
    "gateway.tenant": "metrics carry it",
    "gateway.state_dir": "journal and audit log lie there",
    "gateway.seal_keys": "renew the file in its place instead",
    "tls.cert": "renew the files in their place instead",
    "tls.key": "renew the files in their place instead",
    "tls.trust": "renew the files in their place instead",
    "renewal.est": "a renewal may be under way",
    "renewal.server_name": "a renewal may be under way",
    "renewal.look_s": "a renewal may be under way",
    "renewal.rest_s": "a renewal may be under way",
    "identity.trust_domain": "every session's identity depends on it",
    "journal.cache_bytes": "memory is laid out at the start",
    "journal.quarantine_bytes_max": "it is read while the journal opens",
    "association.events_max": "memory is laid out at the start",
    "local.socket": "it is bound at the start",
    "local.listen": "it is bound at the start",
    "local.calls_max": "it is bound at the start",
    "cabinets": "what lies in them is followed from the start",
    **{f"mec.{key}": "a platform is told once" for key in MecConfig.__struct_fields__},
    **{
        f"network_apis.{key}": "sessions may stand at the network"
        for key in NetworkApisConfig.__struct_fields__
    },
    **{
        f"fence.{key}": "a platform is told once"
        for key in ("zones", "areas", "scheme", "addresses")
    },
    "pipeline.duplicates": "memory is laid out at the start",
    "pipeline.devices_max": "memory is laid out at the start",
    "fleet": "beginning or ending to obey a fleet is a start of its own",
}
"""Setting -> why it can't change while the gateway runs. ``fleet`` is the table as a whole."""

_OPAQUE: Final = frozenset(("drivers", "destinations"))
"""Their entries have names of their own."""
_NAMED_MAX: Final = 8
"""Settings named in one error."""


class Difference(NamedTuple):
    """What changed, by the path of each setting."""

    settings: tuple[str, ...]
    added: tuple[str, ...]
    """Drivers, by name."""
    removed: tuple[str, ...]
    changed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.settings)

    def touches(self, table: str) -> bool:
        """Whether anything in a table changed."""
        return any(path == table or path.startswith(f"{table}.") for path in self.settings)


def difference(running: GatewayConfig, wanted: GatewayConfig) -> Difference:
    """Compare two configurations, setting by setting."""
    settings: list[str] = []
    for table in GatewayConfig.__struct_fields__:
        was, now = getattr(running, table), getattr(wanted, table)
        if was == now:
            continue
        if table in _OPAQUE:
            settings += [f"{table}.{name}" for name in _differing(_by_name(was), _by_name(now))]
        elif isinstance(was, msgspec.Struct) and isinstance(now, msgspec.Struct):
            fields = was.__struct_fields__
            settings += [
                f"{table}.{each}" for each in fields if getattr(was, each) != getattr(now, each)
            ]
        else:  # an optional table that came or went
            settings.append(table)
    old, new = running.drivers, wanted.drivers
    return Difference(
        tuple(settings),
        added=tuple(name for name in new if name not in old),
        removed=tuple(name for name in old if name not in new),
        changed=tuple(name for name in new if name in old and new[name] != old[name]),
    )


def require_live(found: Difference) -> None:
    """Refuse what only a restart can apply.

    Raises:
        ConfigError: naming each such setting, and why.
    """
    stuck = [f"{path} ({RESTART[path]})" for path in found.settings if path in RESTART]
    if stuck:
        raise ConfigError(f"only a restart can change {', '.join(stuck[:_NAMED_MAX])}")


def digest(document: bytes) -> str:
    """A configuration's fingerprint for logs and audit: what ``sha256sum`` says of the file."""
    return hashlib.sha256(document).hexdigest()


def _by_name(entries: Any) -> Mapping[str, Any]:
    return entries if isinstance(entries, Mapping) else {each.name: each for each in entries}


def _differing(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterable[str]:
    names = {**was, **now}
    # The same entries in another order count as a change of each.
    return [name for name in names if was.get(name) != now.get(name)] or names
