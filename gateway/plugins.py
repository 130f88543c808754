"""Finds drivers by entry point: ours and third parties' alike (group ``wardgate.drivers``)."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast

from gateway import tomlfile
from gateway.domain.errors import ConfigError
from gateway.domain.ports import Driver, DriverFactory, Ports

GROUP = "wardgate.drivers"


def factory(name: str) -> DriverFactory:
    """Load the driver's factory.

    Raises:
        ConfigError: no installed package provides it, or it can't be imported.
    """
    found = entry_points(group=GROUP, name=name)
    if not found:
        known = ", ".join(sorted({each.name for each in entry_points(group=GROUP)}))
        raise ConfigError(f"no driver {name!r} is installed; there are: {known or 'none'}")
    try:
        return cast("DriverFactory", next(iter(found)).load())
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"driver {name!r} can't be loaded: {error}") from error


def check(
    tables: Mapping[str, Mapping[str, Any]], base: Path, where: str
) -> list[tuple[str, DriverFactory, Any]]:
    """Find and check every ``[drivers.<name>]``; nothing is opened.

    Returns:
        (name, factory, its checked configuration) per table.

    Raises:
        ConfigError: an unknown driver, or a table that its driver refuses.
    """
    checked = []
    for name, table in tables.items():
        made = factory(str(table.get("driver", name)))
        own = {key: value for key, value in table.items() if key != "driver"}
        config: Any = tomlfile.convert(
            own, made.config_type, base=base, where=f"{where}: [drivers.{name}]"
        )
        checked.append((name, made, config))
    return checked


def create(
    tables: Mapping[str, Mapping[str, Any]], base: Path, where: str, ports: Ports
) -> list[Driver]:
    """Make every configured driver.

    Raises:
        ConfigError: as :func:`check`.
    """
    return [made.create(name, config, ports) for name, made, config in check(tables, base, where)]
