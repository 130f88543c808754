"""How far each (gateway, lane) has come, and what became of every sequence number.

Sequence numbers go on across a gateway's epochs; only a journal restored from a backup goes
back, and then under a newer epoch. So (epoch, seq) orders, and a range that starts behind
position + 1 leaves a hole, which is recorded as missing.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from core.batches import Lost
from gateway.domain.labels import Lane


class Span(NamedTuple):
    """A range of sequence numbers, inclusive, and what became of it."""

    first: int
    last: int
    state: str
    """``received``, ``lost``, ``rejected`` or ``missing``."""
    reason: str = ""
    records: int = 0
    """Records among them that were received; the others were withheld."""


@dataclass
class Position:
    """The newest (epoch, seq) of one (gateway, lane), and the coverage row that ends there."""

    epoch: int
    seq: int
    tail: Span | None = None
    records: int = 0
    duplicates: int = 0
    redelivered: int = 0


def spans_of(first: int, last: int, seqs: Sequence[int], lost: Iterable[Lost]) -> list[Span]:
    """Split first..last into received and lost spans; ``seqs`` ascends, ``lost`` too."""
    spans: list[Span] = []

    def received(a: int, b: int) -> None:
        if a <= b:
            count = bisect_right(seqs, b) - bisect_left(seqs, a)
            spans.append(Span(a, b, "received", "", count))

    at = first
    for gap in lost:
        if gap.last >= at:
            received(at, gap.first - 1)
            spans.append(Span(max(gap.first, at), gap.last, "lost", gap.reason))
            at = gap.last + 1
    received(at, last)
    return spans


class Positions:
    """Reads and writes ``positions`` and ``coverage`` inside the caller's transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._cache: dict[tuple[int, Lane], Position | None] = {}

    def forget(self) -> None:
        """After a rollback: what was cached may never have been stored."""
        self._cache.clear()

    def get(self, gateway: int, lane: Lane) -> Position | None:
        """The position, or None when nothing of this lane was ever received."""
        key = (gateway, lane)
        if key not in self._cache:
            self._cache[key] = self._load(gateway, lane)
        return self._cache[key]

    def _load(self, gateway: int, lane: Lane) -> Position | None:
        name = lane.name.lower()
        row = self._db.execute(
            "SELECT epoch, seq, records, duplicates, redelivered FROM positions"
            " WHERE gateway = ? AND lane = ?",
            (gateway, name),
        ).fetchone()
        if row is None:
            return None
        epoch, seq, records, duplicates, redelivered = row
        tail = self._db.execute(
            "SELECT first_seq, last_seq, state, reason, records FROM coverage WHERE gateway = ?"
            " AND lane = ? AND epoch = ? ORDER BY first_seq DESC LIMIT 1",
            (gateway, name, epoch),
        ).fetchone()
        return Position(epoch, seq, Span(*tail) if tail else None, records, duplicates, redelivered)

    def covers(self, gateway: int, lane: Lane, epoch: int, first: int, last: int) -> bool:
        """True when every number of the range is accounted for in that epoch."""
        rows = self._db.execute(
            "SELECT first_seq, last_seq FROM coverage WHERE gateway = ? AND lane = ? AND epoch = ?"
            " AND last_seq >= ? AND first_seq <= ? ORDER BY first_seq",
            (gateway, lane.name.lower(), epoch, first, last),
        )
        need = first
        for start, end in rows:
            if start > need:
                return False
            need = max(need, end + 1)
        return need > last

    def advance(self, gateway: int, lane: Lane, epoch: int, spans: Sequence[Span]) -> Position:
        """Record spans that follow the position, and move it to the end of the last one."""
        position = self.get(gateway, lane)
        if position is None:
            position = Position(epoch, spans[-1].last)
            self._cache[(gateway, lane)] = position
        elif position.epoch != epoch:
            position.tail = None
        name = lane.name.lower()
        for span in spans:
            self._extend(gateway, name, epoch, position, span)
        position.epoch, position.seq = epoch, spans[-1].last
        return position

    def _extend(self, gateway: int, lane: str, epoch: int, position: Position, span: Span) -> None:
        tail = position.tail
        if tail and (tail.state, tail.reason, tail.last + 1) == (
            span.state,
            span.reason,
            span.first,
        ):
            tail = tail._replace(last=span.last, records=tail.records + span.records)
            self._db.execute(
                "UPDATE coverage SET last_seq = ?, records = ?"
                " WHERE gateway = ? AND lane = ? AND epoch = ? AND first_seq = ?",
                (tail.last, tail.records, gateway, lane, epoch, tail.first),
            )
        else:
            tail = span
            self._db.execute(
                "INSERT INTO coverage (gateway, lane, epoch, first_seq, last_seq, state, reason,"
                " records) VALUES (?,?,?,?,?,?,?,?)",
                (gateway, lane, epoch, *span),
            )
        position.tail = tail

    def save(self, gateway: int, lane: Lane) -> None:
        """Write the position, once per transaction."""
        position = self.get(gateway, lane)
        if position is not None:
            self._db.execute(
                "INSERT INTO positions (gateway, lane, epoch, seq, records, duplicates,"
                " redelivered) VALUES (?,?,?,?,?,?,?) ON CONFLICT (gateway, lane) DO UPDATE SET"
                " epoch = excluded.epoch, seq = excluded.seq, records = excluded.records,"
                " duplicates = excluded.duplicates, redelivered = excluded.redelivered",
                (
                    gateway,
                    lane.name.lower(),
                    position.epoch,
                    position.seq,
                    position.records,
                    position.duplicates,
                    position.redelivered,
                ),
            )
