"""One transaction of the store: batches placed behind the positions, rows written.

See :mod:`core.store` for the rules.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, Final, NamedTuple

from core.aggregates import INSERT_AGGREGATE, aggregate_row
from core.batches import BadBatchError, Checked, check
from core.columns import Columns
from core.dictionary import Dictionary
from core.positions import Position, Positions, Span, spans_of
from core.reports import INSERT_MANY, INSERT_REPORT, MANY, SEQ, Place, Row, numeric_rows, report_row
from core.rows import (
    INSERT_ALARM,
    INSERT_ASSOCIATION,
    INSERT_CABINET,
    INSERT_CLOCK,
    INSERT_GAP,
    INSERT_INVENTORY,
    INSERT_LINK,
    INSERT_NOTIFICATION,
    INSERT_ORDER,
    INSERT_STATUS,
    TREATMENT_WORDS,
    alarm_row,
    association_row,
    cabinet_row,
    clock_row,
    gap_row,
    inventory_row,
    link_row,
    notification_row,
    order_row,
    status_row,
)
from core.waves import INSERT_WAVES, waves_row
from gateway.domain.labels import Lane
from protos.wardgate.v1 import ingest_pb2 as pb

log = logging.getLogger(__name__)

RETRY_AFTER_MS = 1000

_INSERTS = (
    INSERT_REPORT,
    INSERT_ALARM,
    INSERT_STATUS,
    INSERT_INVENTORY,
    INSERT_WAVES,
    INSERT_NOTIFICATION,
    INSERT_ASSOCIATION,
    INSERT_ORDER,
    INSERT_CABINET,
    INSERT_CLOCK,
    INSERT_LINK,
)


class Offer(NamedTuple):
    """A serialised StreamRequest of a stream whose gateway is proven."""

    gateway: str
    lanes: frozenset[Lane]
    raw: bytes


class Ack(NamedTuple):
    """Everything of the lane up to and including (epoch, seq) is durable."""

    lane: Lane
    epoch: int
    seq: int


class Reject(NamedTuple):
    """A batch that was not stored; zeros where it could not be read."""

    lane: int
    epoch: int
    first: int
    last: int
    permanent: bool
    reason: str
    retry_after_ms: int = 0


Verdict = Ack | Reject


class Tally(NamedTuple):
    """What a transaction did, for the metrics."""

    stored: int = 0
    duplicates: int = 0
    redelivered: int = 0
    gaps: int = 0


class _Prepared(NamedTuple):
    """The rows of one batch: for the statements of ``_INSERTS``, in that order, and gaps."""

    tables: tuple[list[Row], ...]
    gaps: list[Row]
    seqs: list[int]
    aggregates: list[Row]


def _fill(prepared: _Prepared, place: Place, batch: Checked, index: int, start: int) -> None:
    """Add the rows of section ``index`` whose numbers are ``start`` or higher."""
    section = batch.sections[index]
    if section.treatment == pb.TREATMENT_AGGREGATE:
        # Whatever part of the batch is here already: what stands in its way is the window's row.
        prepared.aggregates.extend(
            aggregate_row(place, section, record.aggregate) for record in section.records
        )
        return
    base = section.first_seq
    reports = prepared.tables[0]
    if batch.faithful and batch.lane is not Lane.WAVES:
        others: Iterable[int] = numeric_rows(place, section, start, reports, prepared.seqs)
    else:
        others = [i for i, offset in enumerate(section.seq_offsets) if base + offset >= start]
        prepared.seqs.extend([base + section.seq_offsets[i] for i in others])
    if others:
        records = batch.plain[index].records
        for i in others:
            _add(prepared, place, base + section.seq_offsets[i], records[i])
        reports.sort(key=_seq)


_seq = itemgetter(SEQ)


_ROWS: Final[dict[str, tuple[int, Callable[[Place, int, Any], Row]]]] = {
    "report": (0, report_row),
    "device_status": (2, status_row),
    "inventory_event": (3, inventory_row),
    "alarm_notification": (5, notification_row),
    "infusion_order": (7, order_row),
    "cabinet_event": (8, cabinet_row),
    "gateway_clock": (9, clock_row),
    "link_state": (10, link_row),
}
"""Bodies whose row follows from nothing else, and where it goes among ``_INSERTS``."""


def _add(prepared: _Prepared, place: Place, seq: int, record: pb.Record) -> None:
    tables = prepared.tables
    bed = _bed(place, record)
    if place.columns is not None:
        place.columns.seal_record(record)
    body = record.WhichOneof("body") or ""
    if place.lane is Lane.WAVES:
        tables[4].append(waves_row(place, seq, record))
    elif body in _ROWS:
        at, row = _ROWS[body]
        tables[at].append(row(place, seq, getattr(record, body)))
    elif body == "alarm":
        tables[1].append(alarm_row(place, seq, record.alarm, bed))
    elif body == "association_change":
        tables[6].append(association_row(place, seq, record.association_change, bed))
    elif body == "gap":
        prepared.gaps.append(gap_row(place, record.gap))
    else:
        raise BadBatchError("aggregate_outside" if body else "empty_record")


def _bed(place: Place, record: pb.Record) -> int | None:
    """The key of the bed of an alarm or an association, while its name is in the clear."""
    body = record.WhichOneof("body")
    if body == "alarm":
        return place.bed(record.alarm.ward, record.alarm.bed)
    if body == "association_change":
        return place.bed(record.association_change.ward, record.association_change.bed)
    return None


def _records(batch: Checked) -> int:
    return sum(len(section.seq_offsets) for section in batch.sections)


class Transaction:
    """Takes offers one after another; the caller begins and commits."""

    def __init__(
        self,
        db: sqlite3.Connection,
        positions: Positions,
        dictionary: Dictionary,
        stored_us: int,
        columns: Columns | None = None,
    ) -> None:
        self._columns = columns
        self._db = db
        self._positions = positions
        self._dictionary = dictionary
        self._stored_us = stored_us
        self._touched: dict[tuple[int, Lane], None] = {}
        self.tally = Tally()

    def take(self, offer: Offer) -> Verdict:
        """Store one batch, or say why not."""
        gateway = self._dictionary.gateway(offer.gateway)
        try:
            return self._place(gateway, check(offer.raw, offer.lanes))
        except BadBatchError as error:
            return self._reject(gateway, error)

    def finish(self) -> None:
        """Write the positions that moved."""
        for gateway, lane in self._touched:
            self._positions.save(gateway, lane)

    def _place(self, gateway: int, batch: Checked) -> Verdict:
        position = self._positions.get(gateway, batch.lane)
        start = batch.first
        if position and (batch.epoch, batch.first) <= (position.epoch, position.seq):
            older = batch.epoch < position.epoch
            held = batch.last if older else min(batch.last, position.seq)
            if not self._positions.covers(gateway, batch.lane, batch.epoch, batch.first, held):
                return self._never_had(batch, older=older)
            if held == batch.last:
                return self._known(gateway, batch, position)
            start = held + 1
        prepared = self._prepare(gateway, batch, start)
        spans = spans_of(start, batch.last, prepared.seqs, batch.lost)
        if position and start > position.seq + 1:
            spans.insert(0, Span(position.seq + 1, start - 1, "missing", "not_sent"))
        stored, offered = self._insert(prepared)
        skipped = _records(batch) - len(prepared.seqs)
        position = self._advance(gateway, batch.lane, batch.epoch, spans)
        position.records += stored
        position.duplicates += offered - stored
        position.redelivered += skipped
        self._count(stored, offered - stored, skipped)
        return Ack(batch.lane, batch.epoch, batch.last)

    def _never_had(self, batch: Checked, *, older: bool) -> Reject:
        """Refuse what lies below the position and never came: an acknowledgement would lose it."""
        if older:
            # The gateway's clock and disk both went back. A newer epoch of its helps.
            after_ms = RETRY_AFTER_MS
            return Reject(
                *batch.range, permanent=False, reason="epoch_behind", retry_after_ms=after_ms
            )
        return Reject(*batch.range, permanent=True, reason="before_start")

    def _known(self, gateway: int, batch: Checked, position: Position) -> Verdict:
        redelivered = _records(batch)
        position.redelivered += redelivered
        self._touched[gateway, batch.lane] = None
        self._count(0, 0, redelivered)
        return Ack(batch.lane, batch.epoch, batch.last)

    def _reject(self, gateway: int, error: BadBatchError) -> Reject:
        if error.range is None:
            return Reject(0, 0, 0, 0, permanent=True, reason=error.reason)
        lane, epoch, first, last = error.range
        position = self._positions.get(gateway, lane)
        if position is None or (epoch >= position.epoch and first == position.seq + 1):
            span = Span(first, last, "rejected", error.reason)
            self._advance(gateway, lane, epoch, [span])
        return Reject(lane, epoch, first, last, permanent=True, reason=error.reason)

    def _prepare(self, gateway: int, batch: Checked, start: int) -> _Prepared:
        prepared = _Prepared(tuple([] for _ in _INSERTS), [], [], [])
        try:
            for index, section in enumerate(batch.sections):
                place = Place(
                    gateway,
                    batch.lane,
                    batch.epoch,
                    self._stored_us,
                    TREATMENT_WORDS[section.treatment],
                    self._dictionary.named(section),
                    self._dictionary.contexts(gateway, batch.lane, batch.epoch, section),
                    self._columns,
                    self._dictionary.bed,
                )
                _fill(prepared, place, batch, index, start)
        except BadBatchError as error:
            raise BadBatchError(error.reason, batch.range) from error
        prepared.seqs.sort()
        return prepared

    def _insert(self, prepared: _Prepared) -> tuple[int, int]:
        stored = offered = len(prepared.gaps)
        if prepared.gaps:
            self._db.executemany(INSERT_GAP, prepared.gaps)
        if prepared.aggregates:
            self._db.executemany(INSERT_AGGREGATE, prepared.aggregates)
        for statement, rows in zip(_INSERTS, prepared.tables, strict=True):
            if rows:
                stored += self._insert_rows(statement, rows)
                offered += len(rows)
        return stored, offered

    def _insert_rows(self, statement: str, rows: list[Row]) -> int:
        """Insert, and return how many were new; a statement costs as much as several rows."""
        stored = done = 0
        if statement is INSERT_REPORT:
            done = len(rows) - len(rows) % MANY
            for start in range(0, done, MANY):
                values = list(chain.from_iterable(rows[start : start + MANY]))
                stored += self._db.execute(INSERT_MANY, values).rowcount
        if done < len(rows):
            stored += self._db.executemany(statement, rows[done:]).rowcount
        return stored

    def _advance(self, gateway: int, lane: Lane, epoch: int, spans: Sequence[Span]) -> Position:
        self._touched[gateway, lane] = None
        rows: list[Row] = [
            (
                gateway,
                "core",
                "",
                span.reason,
                lane.name.lower(),
                epoch,
                span.first,
                span.last,
                None,
                None,
                span.last - span.first + 1,
                self._stored_us,
            )
            for span in spans
            if span.state != "received"
        ]
        if rows:
            log.warning("lane %s: %d ranges of sequence numbers are missing", lane.name, len(rows))
            self._db.executemany(INSERT_GAP, rows)
            self.tally = self.tally._replace(gaps=self.tally.gaps + len(rows))
        return self._positions.advance(gateway, lane, epoch, spans)

    def _count(self, stored: int, duplicates: int, redelivered: int) -> None:
        tally = self.tally
        self.tally = tally._replace(
            stored=tally.stored + stored,
            duplicates=tally.duplicates + duplicates,
            redelivered=tally.redelivered + redelivered,
        )
