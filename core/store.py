"""The reference store: SQLite, one transaction per group of batches, acknowledged after its fsync.

Rules:

1. ``ingest`` returns an acknowledgement only for what ``COMMIT`` made durable
   (``journal_mode=WAL``, ``synchronous=FULL``: the log is synced before COMMIT returns).
2. A batch at or below the position of its (gateway, lane) is acknowledged and not stored again;
   of a batch that overlaps it, only the part behind it is stored. (epoch, seq) orders. What lies
   below the position and never came is refused, not acknowledged.
3. A record with a message id is stored once, whichever gateway or epoch brings it.
4. Every sequence number is accounted for in ``coverage``: received (with what was withheld),
   lost, rejected, or missing. What is not received is also a row of ``gaps``.
5. A batch that can't be accepted spoils no other; trouble of the store is transient, and then
   nothing of the group is acknowledged.

A Store is used by one thread at a time.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from core.columns import Columns
from core.dictionary import Dictionary
from core.positions import Positions
from core.schema import migrate
from core.transaction import RETRY_AFTER_MS, Ack, Offer, Reject, Tally, Transaction, Verdict
from gateway.domain.errors import WardgateError
from gateway.domain.labels import Lane

log = logging.getLogger(__name__)

WAL_CHECKPOINT_PAGES = 4000
"""16 MiB of log between checkpoints: fewer pauses, and still little to replay."""
CACHE_KIB = 32 << 10
"""The pages at which many devices' ids are entered, and what a transaction changes."""
BUSY_TIMEOUT_MS = 5000
"""How long a reader that holds the file (a checkpoint, a backup) may delay a commit."""
FILE_MODE = 0o640


class Store:
    """Made by :meth:`open`."""

    def __init__(
        self, db: sqlite3.Connection, now_us: Callable[[], int], columns: Columns | None = None
    ) -> None:
        self._db = db
        self._now_us = now_us
        self._columns = columns
        self._positions = Positions(db)
        self._dictionary = Dictionary(db, columns)

    @classmethod
    def open(cls, path: Path, now_us: Callable[[], int], columns: Columns | None = None) -> Self:
        """Open or make the database at ``path`` and migrate it.

        Args:
            path: the database.
            now_us: wall time.
            columns: seals what is sensitive, and is closed with the store; None: nothing is sealed.

        Raises:
            SchemaError: the database is newer than this software.
            OSError, sqlite3.Error: it can't be opened.
        """
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, FILE_MODE))
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            db.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.execute(f"PRAGMA wal_autocheckpoint={WAL_CHECKPOINT_PAGES}")
            db.execute(f"PRAGMA cache_size={-CACHE_KIB}")
            migrate(db)
        except BaseException:
            db.close()
            raise
        return cls(db, now_us, columns)

    @property
    def connection(self) -> sqlite3.Connection:
        """For upkeep, on the store's thread and between transactions."""
        return self._db

    def close(self) -> None:
        """Close the database; idempotent."""
        self._db.close()
        if self._columns is not None:
            self._columns.close()

    def resume_points(self, gateway: str) -> list[Ack]:
        """What is durable of a gateway, per lane.

        Raises:
            sqlite3.Error: the database can't be read.
        """
        key = self._dictionary.gateway(gateway)
        held = ((lane, self._positions.get(key, lane)) for lane in Lane)
        return [Ack(lane, p.epoch, p.seq) for lane, p in held if p is not None]

    def ingest(
        self, offers: Sequence[Offer], hurry: Callable[[], bool] = lambda: False
    ) -> tuple[list[Verdict], Tally]:
        """Store a group of batches in one transaction; verdicts are in the order of offers.

        When ``hurry`` says so, it commits what it has: there are fewer verdicts than offers then,
        one at least. Never raises for an offer's or the database's sake.
        """
        verdicts: list[Verdict] = []
        transaction = Transaction(
            self._db, self._positions, self._dictionary, self._now_us(), self._columns
        )
        try:
            if self._columns is not None and self._columns.refresh():
                self._dictionary.forget()  # what it knows may be sealed by a key that is gone
            self._db.execute("BEGIN IMMEDIATE")
            for offer in offers:
                verdicts.append(transaction.take(offer))
                if hurry():
                    break
            transaction.finish()
            self._db.execute("COMMIT")
        except (sqlite3.Error, WardgateError) as error:
            # A full disk is no bug: the message says it all.
            log.warning("store trouble, nothing of %d batches is kept: %s", len(offers), error)
            self._undo()
            return [_transient(offer) for offer in offers], Tally()
        return verdicts, transaction.tally

    def _undo(self) -> None:
        self._positions.forget()
        self._dictionary.forget()
        if self._db.in_transaction:
            try:
                self._db.rollback()
            except sqlite3.Error as error:
                log.warning("rollback failed: %s", error)


def _transient(offer: Offer) -> Reject:
    lane = next(iter(offer.lanes)) if len(offer.lanes) == 1 else 0
    return Reject(lane, 0, 0, 0, permanent=False, reason="store", retry_after_ms=RETRY_AFTER_MS)


__all__ = ["Ack", "Lane", "Offer", "Reject", "Store", "Tally", "Verdict"]
