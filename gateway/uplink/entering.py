"""The rows that a batch writes into the ledger; always in the caller's transaction.

An entry grows while batches of the same kind follow it closely, for ENTRY_SPAN_US at most.
"""

from __future__ import annotations

import sqlite3
from typing import Any, NamedTuple

from gateway.domain.labels import Lane
from gateway.uplink import standing
from gateway.uplink.release import Released
from gateway.uplink.standing import Spell

ENTRY_SPAN_US = 10_000_000
SET_ASIDE_BYTES_MAX = 64 << 20
"""Bodies of rejected batches kept for the engineer; beyond it only what they were is kept."""


class Settled(NamedTuple):
    """Everything up to (epoch, seq) needs no retransmission any more."""

    destination: str
    lane: Lane
    epoch: int
    seq: int


class Rejected(NamedTuple):
    """A batch that the receiver will never take."""

    destination: str
    batch: Released
    reason: str
    key_id: str | None
    body: bytes | None
    """Sealed; None when nothing of it is kept."""


class _Growing(NamedTuple):
    id: int
    epoch: int
    last_seq: int
    begun_us: int


class Entering:
    """What grows, over one connection; not for two threads at once."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._growing: dict[tuple[Any, ...], _Growing] = {}
        self._spells: dict[tuple[str, str], Spell] = {}
        """The last one that was noted of each lane."""

    def forget(self) -> None:
        """What was written is taken back: nothing is known of what is there."""
        self._growing.clear()
        self._spells.clear()

    def seal(self) -> None:
        """No entry that is there grows any more."""
        self._growing.clear()

    def last_sealed(self, now_us: int) -> int:
        """The last entry of those that grow no more.

        Raises:
            sqlite3.Error: it can't be read.
        """
        grown = [each.id for each in self._growing.values() if _may_grow(each, now_us)]
        newest = self._db.execute("SELECT max(id) FROM entries").fetchone()[0] or 0
        return min((id_ - 1 for id_ in grown), default=int(newest))

    def enter(self, destination: str, batch: Released, now_us: int) -> None:
        """One batch: its entries, that it is in flight, and where the destination stands."""
        lane = batch.lane.name.lower()
        for key, (records, size) in batch.entries.items():
            kind = (destination, lane, *key, batch.policy_version)
            growing = self._growing.get(kind)
            first, last = batch.spans.get(key, (batch.first, batch.last))
            epoch = key.epoch or batch.epoch
            if (
                growing is not None
                and growing.epoch == epoch
                and growing.last_seq < batch.first
                and _may_grow(growing, now_us)
            ):
                self._db.execute(
                    "UPDATE entries SET first_seq = min(first_seq, ?), last_seq = ?,"
                    " records = records + ?, bytes = bytes + ?, written_us = ? WHERE id = ?",
                    (first, last, records, size, now_us, growing.id),
                )
                self._growing[kind] = growing._replace(last_seq=last)
                continue
            label = key.label
            cursor = self._db.execute(
                "INSERT INTO entries (destination, lane, epoch, first_seq, last_seq, class, level,"
                " treatment, records, bytes, policy, collected_under, begun_us, written_us)"
                " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    destination,
                    lane,
                    epoch,
                    first,
                    last,
                    label.data_class.name.lower(),
                    label.level,
                    key.treatment.name.lower(),
                    records,
                    size,
                    batch.policy_version,
                    key.collected_under,
                    now_us,
                    now_us,
                ),
            )
            self._growing[kind] = _Growing(int(cursor.lastrowid or 0), epoch, last, now_us)
        self._db.execute(
            "INSERT INTO unsettled VALUES (?,?,?,?,?,?) ON CONFLICT DO NOTHING",
            (destination, lane, batch.epoch, batch.first, batch.last, batch.policy_version),
        )
        self._db.execute(
            "UPDATE marks SET epoch = ?, seq = ? WHERE destination = ? AND lane = ?"
            " AND (epoch, seq) < (?, ?)",
            (batch.epoch, batch.last, destination, lane, batch.epoch, batch.last),
        )
        spell = Spell(batch.first - 1, batch.policy_version, batch.window_s)
        noted = self._spells.get((destination, lane))
        if noted is None or spell[1:] != noted[1:] or spell.after_seq < noted.after_seq:
            standing.note(self._db, destination, lane, spell)
            self._spells[destination, lane] = spell

    def settle(self, settled: Settled) -> None:
        """Batches that were acknowledged are in flight no more."""
        self._db.execute(
            "DELETE FROM unsettled WHERE destination = ? AND lane = ?"
            " AND (epoch, last_seq) <= (?, ?)",
            (settled.destination, settled.lane.name.lower(), settled.epoch, settled.seq),
        )

    def set_aside(self, refusal: Rejected, now_us: int) -> None:
        """A batch that will never be delivered."""
        batch = refusal.batch
        body = refusal.body
        if body is not None:
            kept = self._db.execute("SELECT coalesce(sum(length(body)), 0) FROM rejected")
            if kept.fetchone()[0] + len(body) > SET_ASIDE_BYTES_MAX:
                body = None
        self._db.execute(
            "INSERT INTO rejected (destination, lane, epoch, first_seq, last_seq, reason, policy,"
            " at_us, key_id, body) VALUES (?,?,?,?,?,?,?,?,?,?)",
            (
                refusal.destination,
                batch.lane.name.lower(),
                batch.epoch,
                batch.first,
                batch.last,
                refusal.reason,
                batch.policy_version,
                now_us,
                refusal.key_id if body is not None else None,
                body,
            ),
        )


def _may_grow(growing: _Growing, now_us: int) -> bool:
    return now_us - growing.begun_us < ENTRY_SPAN_US
