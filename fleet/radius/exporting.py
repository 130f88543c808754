"""The configuration made once, beside the running service or without it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from fleet import config as fleet_config
from fleet.radius.making import Maker
from fleet.radius.publish import publish
from fleet.radius.raddb import render
from fleet.registry import Registry
from fleet.store import Store
from gateway.clock import SystemClock
from gateway.domain.errors import ConfigError


class Exported(NamedTuple):
    """What was written."""

    directory: Path
    certificates: int


class _Silent:
    """Nothing is changed here, so there is nothing to audit."""

    def record(self, event: str, **fields: str | int) -> None:
        """Forget it."""

    def refused(self, reason: str, transport: str, peer: str, device_id: str) -> None:
        """Forget it."""


async def export(path: Path, directory: Path) -> Exported:
    """Write what the store says now to ``directory``.

    Raises:
        ConfigError, TokenError, OSError: it can't be made.
    """
    config = fleet_config.load(path)
    if config.radius is None:
        raise ConfigError(f"{path}: there is no table [radius]")
    clock = SystemClock()
    store = Store.open(config.database, clock.now_us)
    try:
        with ThreadPoolExecutor(1, "store") as threads:
            registry = Registry(store, threads, config.load_site(), config, clock, _Silent())
            await registry.look()
            facts = await Maker(config.radius, store, registry, clock).facts()
    finally:
        store.close()
    publish(directory, render(config.radius, facts))
    return Exported(directory, len(facts.entries))
