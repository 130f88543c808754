"""Batches from a gateway: parsed, checked, and turned into rows.

What a gateway sends is hostile until it is checked: what the store relies on is checked here
and, record by record, in :mod:`core.rows`, before the first row of the batch is written, so that
one bad batch never spoils its neighbours.

A batch accounts for its whole range: every number from ``first_seq`` to ``last_seq`` is a
record of a section, or in a lost range, or counted as withheld. An aggregate has no number: what
went into it is counted as withheld.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from google.protobuf.message import DecodeError

from core import wire
from gateway.domain.errors import MalformedError
from gateway.domain.labels import DataClass, Lane, Treatment
from protos.wardgate.v1 import ingest_pb2 as pb

RECORDS_MAX = 100_000
"""Records in one batch; gateways send hundreds."""
SPAN_MAX = 2**32
"""Sequence numbers in one batch: a withheld backlog may be one long range."""
INT64_MAX = 2**63 - 1

_LANES = frozenset(map(int, Lane))
_CLASSES = frozenset(map(int, DataClass))
_TREATMENTS = frozenset(map(int, Treatment)) - {int(Treatment.WITHHOLD)}


class BadBatchError(MalformedError):
    """A batch that will never be accepted; ``reason`` goes to the gateway.

    ``range`` is lane, epoch, first and last sequence number, where they could be read.
    """

    def __init__(self, reason: str, batch_range: tuple[Lane, int, int, int] | None = None) -> None:
        super().__init__(reason)
        self.range = batch_range


class Lost(NamedTuple):
    """A range of sequence numbers, inclusive, that the gateway no longer has."""

    first: int
    last: int
    reason: str


@dataclass(frozen=True)
class Checked:
    """A batch that holds what the contract promises."""

    lane: Lane
    epoch: int
    first: int
    last: int
    sections: Sequence[pb.Section]
    """As :mod:`core.wire` parses them."""
    lost: tuple[Lost, ...]
    faithful: bool
    """False when only ``plain`` holds everything."""
    raw: bytes

    @cached_property
    def plain(self) -> Sequence[pb.Section]:
        """As the generated code parses them.

        Raises:
            BadBatchError: a part that is not looked into otherwise can't be parsed.
        """
        try:
            return pb.StreamRequest.FromString(self.raw).batch.sections
        except DecodeError as error:
            raise BadBatchError("unreadable", self.range) from error

    @property
    def range(self) -> tuple[Lane, int, int, int]:
        """Lane, epoch, first and last sequence number."""
        return self.lane, self.epoch, self.first, self.last


def parse_request(raw: bytes) -> pb.StreamRequest:
    """Parse one message of a stream.

    Raises:
        BadBatchError: not a request.
    """
    try:
        return pb.StreamRequest.FromString(raw)
    except DecodeError as error:
        raise BadBatchError("unreadable") from error


def check(raw: bytes, lanes: frozenset[Lane]) -> Checked:
    """Parse and check one batch of a stream that offered ``lanes``.

    Raises:
        BadBatchError: anything that the contract does not allow.
    """
    try:
        request = wire.StreamRequest.FromString(raw)
        faithful = wire.faithful(request, raw)
    except DecodeError as error:
        raise BadBatchError("unreadable") from error
    if request.WhichOneof("message") != "batch":
        raise BadBatchError("not_a_batch")
    batch = request.batch
    reason = _fault(batch, lanes)
    if reason:
        raise BadBatchError(reason, _range(batch) if reason != "range" else None)
    lost = tuple(Lost(gap.first_seq, gap.last_seq, gap.reason) for gap in batch.lost)
    return Checked(*_range(batch), batch.sections, lost, faithful, raw)


def _range(batch: pb.Batch) -> tuple[Lane, int, int, int]:
    return Lane(batch.lane), batch.epoch, batch.first_seq, batch.last_seq


def _has_range(batch: pb.Batch) -> bool:
    """True when lane, epoch and range can be answered and recorded."""
    return (
        batch.lane in _LANES
        and 0 < batch.epoch <= INT64_MAX
        and 0 < batch.first_seq <= batch.last_seq <= INT64_MAX
        and batch.last_seq - batch.first_seq < SPAN_MAX
    )


def _fault(batch: pb.Batch, lanes: frozenset[Lane]) -> str:
    if not _has_range(batch):
        return "range"
    if Lane(batch.lane) not in lanes:
        return "lane_not_offered"
    seqs: list[int] = []
    aggregates = 0
    for section in batch.sections:
        fault = _section_fault(section)
        if fault:
            return fault
        if section.treatment == pb.TREATMENT_AGGREGATE:
            aggregates += len(section.records)
        base = section.first_seq
        seqs.extend([base + offset for offset in section.seq_offsets])
    if len(seqs) + aggregates > RECORDS_MAX:
        return "too_many_records"
    return _account_fault(batch, seqs)


def _account_fault(batch: pb.Batch, seqs: list[int]) -> str:
    seqs.sort()
    distinct = set(seqs)
    if len(distinct) != len(seqs):
        return "sequence_twice"
    if seqs and (seqs[0] < batch.first_seq or seqs[-1] > batch.last_seq):
        return "sequence_outside"
    lost = 0
    before = batch.first_seq - 1
    for gap in batch.lost:
        if not before < gap.first_seq <= gap.last_seq <= batch.last_seq:
            return "lost_range"
        before = gap.last_seq
        lost += gap.last_seq - gap.first_seq + 1
        at = bisect_left(seqs, gap.first_seq)
        if at < len(seqs) and seqs[at] <= gap.last_seq:
            return "lost_and_sent"
    if len(seqs) + lost + batch.withheld != batch.last_seq - batch.first_seq + 1:
        return "not_accounted"
    return ""


def _section_fault(section: pb.Section) -> str:
    if section.data_class not in _CLASSES or not 1 <= section.level <= 5:
        return "label"
    if section.treatment not in _TREATMENTS:
        return "treatment"
    aggregate = section.treatment == pb.TREATMENT_AGGREGATE
    if len(section.seq_offsets) != (0 if aggregate else len(section.records)):
        return "offsets"
    if aggregate and any(record.WhichOneof("body") != "aggregate" for record in section.records):
        return "not_an_aggregate"
    return ""
