"""Questions to a ledger beside the gateway that writes it: the file is opened for reading only."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gateway.domain.labels import DataClass, Label, Lane, ReleaseRow, Treatment
from gateway.uplink import kept, ledger_file
from gateway.uplink.ledger import LedgerError

BUSY_MS = 5000


class Traffic(NamedTuple):
    """What was collected of a label for a destination, whether or not it left."""

    records: int
    bytes: int
    """That left; withheld records count none."""


class Entry(NamedTuple):
    """A line of the ledger."""

    first_seq: int
    last_seq: int
    treatment: Treatment
    policy: str
    collected_under: str
    begun_us: int
    written_us: int
    by_day: bool
    """An old entry: the sum of a day's."""


class Standing(NamedTuple):
    """What a ledger says of one record and destination."""

    start_seq: int | None
    """Nothing at or below it was ever for the destination; None: it was never one."""
    entries: tuple[Entry, ...]
    unsettled: bool
    """Sent, and not acknowledged yet."""
    rejected: str
    """Why the receiver refused its batch for good; empty: it didn't."""


class LedgerReader:
    """Made by :func:`open_ledger`; every method raises LedgerError when the file can't be read."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def table(self, version: str) -> Mapping[str, ReleaseRow] | None:
        """The rows of a policy's version; None when it was never in force here."""
        found = self._ask("SELECT rows FROM policies WHERE version = ?", version)
        return kept.unpack(found[0][0]) if found else None

    def traffic(self, since_us: int) -> dict[tuple[str, Label], Traffic]:
        """What was entered since a time, by destination and label."""
        found = self._ask(
            "SELECT destination, class, level, sum(records), sum(bytes) FROM releases"
            " WHERE written_us >= ? GROUP BY destination, class, level",
            since_us,
        )
        return {
            (name, Label(DataClass[word.upper()], level)): Traffic(records, size)
            for name, word, level, records, size in found
        }

    def standing(
        self, destination: str, lane: Lane, epoch: int, seq: int, label: Label
    ) -> Standing:
        """Whether and when a record left. An entry is of a range, and of this record's label."""
        place = (destination, lane.name.lower())
        marks = self._ask("SELECT start_seq FROM marks WHERE destination = ? AND lane = ?", *place)
        here = (*place, epoch, seq, seq)
        entries = self._ask(
            "SELECT first_seq, last_seq, treatment, policy, collected_under, begun_us, written_us,"
            " 0 FROM entries WHERE destination = ? AND lane = ? AND epoch = ? AND first_seq <= ?"
            " AND last_seq >= ? AND class = ? AND level = ?"
            " AND id > (SELECT folded_id FROM accounts) UNION ALL "
            "SELECT first_seq, last_seq, treatment, policy, collected_under, begun_us, written_us,"
            " 1 FROM days WHERE destination = ? AND lane = ? AND epoch = ? AND first_seq <= ?"
            " AND last_seq >= ? AND class = ? AND level = ? ORDER BY 6",
            *(*here, label.data_class.name.lower(), label.level) * 2,
        )
        within = (
            "WHERE destination = ? AND lane = ? AND epoch = ? AND first_seq <= ? AND last_seq >= ?"
        )
        unsettled = self._ask(f"SELECT 1 FROM unsettled {within}", *here)  # noqa: S608  # constants
        rejected = self._ask(f"SELECT reason FROM rejected {within}", *here)  # noqa: S608
        return Standing(
            marks[0][0] if marks else None,
            tuple(
                Entry(first, last, Treatment[word.upper()], now, then, begun, written, bool(by_day))
                for first, last, word, now, then, begun, written, by_day in entries
            ),
            bool(unsettled),
            rejected[0][0] if rejected else "",
        )

    def _ask(self, statement: str, *values: object) -> list[Any]:
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise LedgerError(str(error)) from error


@contextlib.contextmanager
def open_ledger(path: Path) -> Iterator[LedgerReader]:
    """Open a ledger for reading.

    Raises:
        LedgerError: there is none, it is of another version, or it can't be read.
    """
    if not path.exists():
        raise LedgerError(f"{path}: there is no ledger")
    try:
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error as error:
        raise LedgerError(f"{path}: {error}") from error
    with contextlib.closing(db):
        try:
            db.execute(f"PRAGMA busy_timeout={BUSY_MS}")
            (version,) = db.execute("PRAGMA user_version").fetchone()
        except sqlite3.Error as error:
            raise LedgerError(f"{path}: {error}") from error
        if version != ledger_file.SCHEMA_VERSION:
            raise LedgerError(
                f"{path}: schema {version}, this software knows {ledger_file.SCHEMA_VERSION}"
            )
        yield LedgerReader(db)
