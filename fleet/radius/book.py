"""The sessions' log as it is understood; kept over a restart of the fleet and its own rotation.

Rules:

* What is known of sessions, and how far the log was read, are one transaction: neither a line nor
  what it says is lost, and none counts twice for a session.
* Lines are given out before they are noted as read: who was told of one may be told again after
  a crash, and never misses one.
* What could not be written is written whole with the next change; nothing is queued for it.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from fleet.radius import session_store
from fleet.radius.log import Mark, Tail
from fleet.radius.sessions import Changes, Key, Line, Session, Sessions
from fleet.registry import Registry
from fleet.store import Store

log = logging.getLogger(__name__)


class Book:
    """Call :meth:`load` first."""

    def __init__(self, path: Path, store: Store, registry: Registry) -> None:
        self._path = path
        self._store = store
        self._registry = registry
        self._sessions = Sessions()
        self._tail = Tail(path)
        self._written: Mark | None = None
        self._whole = False
        """A change could not be written."""
        self.began = False
        """Whether the log was read before, and what comes now is news."""

    def __iter__(self) -> Iterator[Session]:
        return iter(self._sessions)

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def unread(self) -> int:
        """Lines that could not be read."""
        return self._sessions.unread

    def get(self, key: Key) -> Session | None:
        """What is known of a session."""
        return self._sessions.get(key)

    def forget(self, key: Key) -> None:
        """It has ended; idempotent."""
        self._sessions.forget(key)

    async def load(self) -> None:
        """Take what was kept.

        Raises:
            sqlite3.Error: it can't be read.
        """

        def kept() -> tuple[list[Session], Mark | None]:
            return session_store.sessions(self._store.db), session_store.mark(self._store.db)

        known, self._written = await self._registry.run(kept)
        self._sessions = Sessions(known)
        self._tail = Tail(self._path, self._written)
        self.began = self._written is not None

    async def read(self) -> list[Line] | None:
        """The log's next lines, to be followed by :meth:`save`; None: there is no more.

        Raises:
            OSError: it can't be read.
        """
        data = await asyncio.to_thread(self._tail.read)
        return self._sessions.feed(data) if data else None

    async def save(self) -> None:
        """Keep what has changed; what can't be written now is written next time."""
        changes, read = self._sessions.changes(), self._tail.mark(self._sessions.half_bytes)
        if not any(changes) and not self._whole and read == self._written:
            return
        known = tuple(self._sessions) if self._whole else ()
        try:
            await self._registry.run(lambda: self._put(changes, known, read))
        except sqlite3.Error as error:
            self._whole = True
            log.error("the sessions of SMFs can't be kept: %s", error)  # noqa: TRY400  # the cause is told
            return
        self._whole, self._written = False, read

    def close(self) -> None:
        """Idempotent."""
        self._tail.close()

    def _put(self, changes: Changes, known: tuple[Session, ...], read: Mark | None) -> None:
        """On the store's thread."""
        with self._store.transaction():
            if self._whole:
                session_store.put_all(self._store.db, known)
            else:
                session_store.put_changes(self._store.db, changes)
            if read is not None:
                session_store.put_mark(self._store.db, read)
