"""What the fleet wants of this gateway's configuration, laid over the file's.

A desired configuration is a TOML document with a version. Rules:

* It may set alarm limits and the other rules of ``[pipeline]``, and those keys of a configured
  driver that the driver itself offers to the fleet (``fleet_settings``). It can't add a driver,
  open a listener, name a destination, touch the policy, or reach anything else.
* Tables are merged key by key over the file's, defaults included; the limits of one metric are a
  unit and replaced whole, so that ``{}`` takes them away.
* It is checked as a whole with the file, applied, and only then kept on disk: what lies there
  was in force once. A start that can't use it any more goes on without it, and says so.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from gateway import plugins, tomlfile
from gateway.config import GatewayConfig, Source, build
from gateway.domain.decoding import UNDECODABLE
from gateway.domain.errors import ConfigError
from security.files import write_atomic

log = logging.getLogger(__name__)

FILE: Final = "desired.json"
DOCUMENT_BYTES_MAX: Final = 64 * 1024
"""Limits for every metric of every kind of device have 20 KiB."""
PIPELINE_SETTINGS: Final = frozenset(
    ("kinds", "default_interval_s", "limits", "drip", "infusion", "silence", "time")
)
_UNITS: Final = frozenset(("limits",))
"""Tables whose entries are replaced whole."""


class Desired(NamedTuple):
    """The fleet's word; version 0 for none."""

    version: int = 0
    document: bytes = b""


NOTHING: Final = Desired()


class _Kept(msgspec.Struct, frozen=True):
    version: int
    document: str


def load(state_dir: Path) -> Desired:
    """What was in force last; nothing when the file is missing, or can't be read."""
    try:
        kept = msgspec.json.decode((state_dir / FILE).read_bytes(), type=_Kept)
    except FileNotFoundError:
        return NOTHING
    except (OSError, *UNDECODABLE) as error:
        log.error("the fleet's configuration on disk can't be used: %s", error)  # noqa: TRY400  # the cause is told
        return NOTHING
    return Desired(kept.version, kept.document.encode())


def save(state_dir: Path, desired: Desired) -> None:
    """Keep what is in force; blocks.

    Raises:
        OSError: it can't be written.
    """
    kept = _Kept(desired.version, desired.document.decode())
    write_atomic(state_dir / FILE, msgspec.json.encode(kept))


def effective(source: Source, desired: Desired) -> GatewayConfig:
    """The configuration to run: the file, and what the fleet wants over it.

    Raises:
        ConfigError: the file is wrong, or the fleet's document is or does not fit it; says which.
    """
    config = build(source)
    if not desired.document.strip():
        return config
    where = f"the fleet's configuration {desired.version}"
    wanted = _read(desired.document, where)
    raw = dict(source.raw)
    if "pipeline" in wanted:
        _require_only(wanted["pipeline"], PIPELINE_SETTINGS, f"{where}: pipeline")
        raw["pipeline"] = merged(msgspec.to_builtins(config.pipeline), wanted["pipeline"])
    if "drivers" in wanted:
        raw["drivers"] = _drivers(config.drivers, wanted["drivers"], where)
    try:
        return build(source, raw)
    except ConfigError as error:
        raise ConfigError(f"{where}, over {error}") from error


def merged(base: Mapping[str, Any], over: Mapping[str, Any], *, units: bool = False) -> Any:
    """``over`` laid over ``base``, key by key; with ``units`` each value is replaced whole."""
    result = dict(base)
    for key, value in over.items():
        present = result.get(key)
        if units or not isinstance(value, Mapping) or not isinstance(present, Mapping):
            result[key] = value
        else:
            result[key] = merged(present, value, units=key in _UNITS)
    return result


def _read(document: bytes, where: str) -> dict[str, Any]:
    if len(document) > DOCUMENT_BYTES_MAX:
        raise ConfigError(f"{where}: longer than {DOCUMENT_BYTES_MAX} bytes")
    wanted = tomlfile.decode(document, where)
    _require_only(wanted, frozenset(("pipeline", "drivers")), where)
    return wanted


def _drivers(
    configured: Mapping[str, dict[str, Any]], wanted: Any, where: str
) -> dict[str, dict[str, Any]]:
    _require_only(wanted, frozenset(configured), f"{where}: drivers")
    result = dict(configured)
    for name, table in wanted.items():
        factory = plugins.factory(str(configured[name].get("driver", name)))
        offered: frozenset[str] = getattr(factory, "fleet_settings", frozenset())
        _require_only(table, offered, f"{where}: drivers.{name}")
        result[name] = {**configured[name], **table}
    return result


def _require_only(table: Any, allowed: frozenset[str], where: str) -> None:
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where}: not a table")
    for key in table:
        if key not in allowed:
            can = ", ".join(sorted(allowed)) or "nothing"
            raise ConfigError(f"{where}.{key}: the fleet can't set this; it can set: {can}")
