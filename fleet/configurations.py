"""What operators want over the gateways' own configuration files.

Rules:

* The fleet keeps the newest document of each gateway, durably, before any gateway hears of it. Its
  version is of one number that only grows, so that no two documents ever share one.
* What a document may say is the gateway's to judge, whole, against its own file; here it must be
  TOML with tables that could be accepted at all, so that a typing error is told at once.
* Nothing is ever taken back silently: without a document a gateway is told nothing, and an empty
  one is a wish like any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final, NamedTuple

from fleet.store import Store
from gateway import tomlfile
from gateway.domain.errors import ConfigError, MalformedError
from gateway.domain.ports import Clock
from security.identity import Auditor
from security.names import is_id

DOCUMENT_BYTES_MAX: Final = 64 * 1024
"""What a gateway takes."""
TABLES: Final = ("pipeline", "drivers")
GATEWAYS_MAX: Final = 10_000


class ConfigurationRow(NamedTuple):
    """One gateway's document."""

    gateway: str
    version: int
    document: bytes
    set_us: int
    set_by: str


class Configurations:
    """Call :meth:`load` before anything else; reads are from memory, on the loop's thread."""

    def __init__(self, store: Store, threads: Executor, clock: Clock, audit: Auditor) -> None:
        """``threads`` has one thread, the store's."""
        self._store = store
        self._threads = threads
        self._clock = clock
        self._audit = audit
        self._changing = asyncio.Lock()
        self._rows: dict[str, ConfigurationRow] = {}
        self._listeners: list[Callable[[], None]] = []

    async def load(self) -> None:
        """Read the store."""
        loop = asyncio.get_running_loop()
        rows = await loop.run_in_executor(self._threads, self._read)
        self._rows = {row.gateway: row for row in rows}

    def listen(self, changed: Callable[[], None]) -> None:
        """Call ``changed`` after every change."""
        self._listeners.append(changed)

    def of(self, gateway: str) -> ConfigurationRow | None:
        """What is wanted of a gateway; None when nothing ever was."""
        return self._rows.get(gateway)

    async def set(self, gateway: str, document: bytes, by: str) -> ConfigurationRow:
        """Want something else of a gateway; an empty document: its own file alone.

        Raises:
            MalformedError: ``configuration``: it can't be accepted by any gateway.
        """
        _check(gateway, document)
        loop = asyncio.get_running_loop()
        async with self._changing:
            if gateway not in self._rows and len(self._rows) >= GATEWAYS_MAX:
                raise MalformedError("configuration", "too many gateways have one")
            wanted = ConfigurationRow(gateway, 0, document, self._clock.now_us(), by)
            row = await loop.run_in_executor(self._threads, self._write, wanted)
            self._rows[gateway] = row
        self._audit.record("configuration_set", by=by, gateway=gateway, version=row.version)
        for changed in self._listeners:
            changed()
        return row

    def _read(self) -> list[ConfigurationRow]:
        rows = self._store.db.execute("SELECT * FROM configurations")
        return [ConfigurationRow(*row) for row in rows]

    def _write(self, wanted: ConfigurationRow) -> ConfigurationRow:
        with self._store.transaction():
            row = wanted._replace(version=self._store.grow("configurations"))
            self._store.db.execute("INSERT OR REPLACE INTO configurations VALUES (?,?,?,?,?)", row)
        return row


def _check(gateway: str, document: bytes) -> None:
    if not is_id(gateway):
        raise MalformedError("configuration", f"not a gateway's id: {gateway!r}")
    if len(document) > DOCUMENT_BYTES_MAX:
        raise MalformedError("configuration", f"longer than {DOCUMENT_BYTES_MAX} bytes")
    try:
        tables = tomlfile.decode(document, "document")
    except ConfigError as error:
        raise MalformedError("configuration", str(error)) from error
    for name, table in tables.items():
        if name not in TABLES or not isinstance(table, dict):
            raise MalformedError("configuration", f"{name}: only [pipeline] and [drivers] can be")
