"""The drivers that run, and how they are exchanged while the others go on.

A change is a transaction: either every driver runs as wanted, or all run as before. A driver that
can follow its changed table by itself (``Reconfigurable``) keeps its sessions; any other that
changed is stopped and made anew, which ends its sessions and no one else's. What cannot be put
back (a port that another process took meanwhile) makes the set unhealthy, and is logged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from gateway import plugins
from gateway.domain.errors import ConfigError, WardgateError
from gateway.domain.ports import Driver, DriverFactory, Messenger, Ports, Reconfigurable

log = logging.getLogger(__name__)

Tables = Mapping[str, Mapping[str, Any]]
"""``[drivers]``: name -> table."""
_Undo = Callable[[], Awaitable[None]]


class _Spec(NamedTuple):
    table: Mapping[str, Any]
    factory: DriverFactory
    config: Any


class _Running(NamedTuple):
    spec: _Spec
    driver: Driver


class DriverSet:
    """All drivers of one gateway.

    Args:
        ports: for every driver.
        path: the configuration file, for errors and relative paths.
        settled: returns when everything submitted before has its outcome: a driver that is made
            anew reads the state that the one before it left.
    """

    def __init__(self, ports: Ports, path: Path, settled: Callable[[], Awaitable[None]]) -> None:
        self._ports = ports
        self._path = path
        self._settled = settled
        self._running: dict[str, _Running] = {}
        self._missing: set[str] = set()

    async def start(self, tables: Tables) -> None:
        """Make and start every driver.

        Raises:
            ConfigError, OSError: one can't start; those before it run, ``stop`` ends them.
        """
        for name, spec in self.check(tables).items():
            await self._begin(name, spec)

    def check(self, tables: Tables) -> dict[str, Any]:
        """Find every driver and check its table; nothing is opened.

        Raises:
            ConfigError: an unknown driver, or a table that it refuses.
        """
        base = self._path.resolve().parent
        checked = plugins.check(tables, base, str(self._path))
        return {name: _Spec(tables[name], factory, config) for name, factory, config in checked}

    async def change(self, tables: Tables, grace_s: float) -> None:
        """Run exactly the drivers of ``tables``; those whose table is the same are not touched.

        Raises:
            ConfigError: all run as before.
        """
        specs = self.check(tables)
        for name, spec in specs.items():
            if name not in self._running or self._running[name].spec.table != spec.table:
                self._create(name, spec)  # what it refuses, it refuses before anything is touched
        undo: list[_Undo] = []
        try:
            await self._exchange(specs, grace_s, undo)
        except Exception as error:
            # Whatever a third party's driver raises, the others must come back.
            for step in reversed(undo):
                await step()
            if isinstance(error, WardgateError | OSError):
                raise ConfigError(_reason(error)) from error
            raise

    async def stop(self, grace_s: float) -> None:
        """Stop all, side by side; idempotent."""
        running, self._running = self._running, {}
        results = await asyncio.gather(
            *(each.driver.stop(grace_s) for each in running.values()), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                log.error("a driver did not stop cleanly: %s", result)

    def messenger(self, name: str) -> Messenger | None:
        """The driver of a name as it runs now, if it is one that sends."""
        running = self._running.get(name)
        driver = running.driver if running is not None else None
        return driver if isinstance(driver, Messenger) else None

    def healthy(self) -> bool:
        """Whether every driver is there and does its work."""
        return not self._missing and all(each.driver.healthy() for each in self._running.values())

    async def _exchange(
        self, specs: Mapping[str, _Spec], grace_s: float, undo: list[_Undo]
    ) -> None:
        """Go from what runs to ``specs``; ``undo`` collects the way back, step by step."""
        leaving = []
        for name, each in list(self._running.items()):
            spec = specs.get(name)
            if spec is not None and spec.table == each.spec.table:
                continue
            if spec is None or not await self._follow(name, each, spec, undo):
                leaving.append((name, each.spec))
        for name, before in leaving:
            undo.append(partial(self._put_back, name, before))
            await self._end(name, grace_s)
        if leaving:
            await self._settled()
        for name, spec in specs.items():
            if name not in self._running:
                await self._begin(name, spec)
                undo.append(partial(self._end, name, grace_s))
        self._missing.clear()

    async def _follow(self, name: str, each: _Running, spec: _Spec, undo: list[_Undo]) -> bool:
        """Let a driver follow its changed table; False when it has to be made anew."""
        driver = each.driver
        if each.spec.factory is not spec.factory or not isinstance(driver, Reconfigurable):
            return False
        if not await driver.reconfigure(spec.config):
            return False
        undo.append(partial(self._follow_back, name, each))
        self._running[name] = _Running(spec, driver)
        log.info("driver %s follows its changed configuration", name)
        return True

    async def _follow_back(self, name: str, before: _Running) -> None:
        driver: Any = before.driver
        try:
            followed = await driver.reconfigure(before.spec.config)
        except Exception:
            log.exception("driver %s does not take its configuration back", name)
            followed = False
        if followed:
            self._running[name] = before
        else:
            self._missing.add(name)

    async def _begin(self, name: str, spec: _Spec) -> None:
        driver = self._create(name, spec)
        await driver.start()
        self._running[name] = _Running(spec, driver)
        for listener, (host, port) in driver.addresses().items():
            log.info("%s listens on %s:%d", listener, host, port)

    async def _end(self, name: str, grace_s: float) -> None:
        driver = self._running.pop(name).driver
        try:
            await driver.stop(grace_s)
        except Exception:
            # A third party's driver: whatever it raises, the others and the change go on.
            log.exception("driver %s did not stop cleanly", name)

    async def _put_back(self, name: str, spec: _Spec) -> None:
        try:
            await self._settled()
            await self._begin(name, spec)
        except Exception as error:
            # As above; the other drivers are still to be put back.
            self._missing.add(name)
            log.critical("driver %s can't be put back: %s", name, _reason(error), exc_info=error)

    def _create(self, name: str, spec: _Spec) -> Driver:
        return spec.factory.create(name, spec.config, self._ports)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"a driver can't start: {error.strerror or error}"
    return str(error)
