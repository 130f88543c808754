"""Checked reports -> rows of the table ``report``.

Rules:

1. The values of a report's numerics, enumerations and texts are one JSON array; the view
   ``readings`` unfolds it, so that any SQLite client can read them.
2. What neighbours have in common is stored once and referred to by key: the device, the *context*
   (who, where, under which label, of which epoch) and the *shape* (which metrics, in order).
3. A report of numbers alone, whose context and shape are known, takes the quick way
   (:func:`numeric_rows`). Everything else is taken apart field by field (:func:`report_row`),
   and makes its context and shape known; so does everything that is wrong, to say what.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec

from core import wire
from core.batches import BadBatchError
from core.columns import Columns
from core.context import Head
from gateway.domain.labels import Lane
from gateway.domain.records import AssociationState, Quality, TimeQuality
from gateway.wire.waveforms import check_waveforms, waveform_from
from protos.wardgate.v1 import ingest_pb2 as pb

Row = tuple[Any, ...]

SHAPES_MAX = 1024
"""Shapes remembered per dictionary of metrics; beyond it they are looked up anew."""

_json = msgspec.json.Encoder()
_QUALITIES = frozenset(map(int, Quality))
_TIME_QUALITIES = frozenset(map(int, TimeQuality))
_ASSOCIATION_STATES = frozenset(map(int, AssociationState))

UNCERTAINTY_US_MAX = 2**63
"""SQLite knows no greater integers."""
MANY = 100
"""Rows of INSERT_MANY."""
_INTO = """
INSERT INTO report (device, message_id, context, seq, received_us, stored_us, device_us, offset_us,
  measured_us, uncertainty_us, time_marks, order_us, shape, "values", qualities, codes, waveforms)
VALUES """
_ROW = "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
_ONCE = " ON CONFLICT (device, message_id) DO NOTHING"
INSERT_REPORT = _INTO + _ROW + _ONCE
INSERT_MANY = _INTO + ",".join((_ROW,) * MANY) + _ONCE
SEQ = 3
"""The place of a report's sequence number in its row."""


class Contexts(Protocol):
    """Keys for the reports of one gateway, lane, epoch and label."""

    known: dict[tuple[Any, ...], tuple[int, int]]
    """Head -> (device, context)."""

    def find(self, head: Head) -> tuple[int, int]:
        """The keys of the device and of the context, made if they are new."""


class Packed(NamedTuple):
    """A shape, and how to read the packed values that go with it."""

    key: int
    numbers: int
    unpack: Callable[[bytes], tuple[float, ...]]


class Named:
    """The metrics that a section names, and the shapes made of them."""

    def __init__(self, keys: Mapping[int, int], intern: Callable[[str], int]) -> None:
        self.keys = keys
        """Metric code -> key in the store."""
        self.packed: dict[bytes, Packed] = {}
        """A report's packed codes -> shape; never the empty one."""
        self._intern = intern
        self._shapes: dict[tuple[int, ...], int] = {}

    def shape(self, codes: tuple[int, ...]) -> int:
        """The key of the shape with these codes.

        Raises:
            BadBatchError: a code that the section does not name.
        """
        found = self._shapes.get(codes)
        if found is None:
            try:
                metrics = _json.encode([self.keys[code] for code in codes]).decode()
            except KeyError as error:
                raise BadBatchError("unnamed_metric") from error
            if len(self._shapes) >= SHAPES_MAX:
                self._shapes.clear()
                self.packed.clear()
            found = self._shapes[codes] = self._intern(metrics)
            if codes:
                unpack = struct.Struct(f"<{len(codes)}d").unpack
                self.packed[wire.packed(codes)] = Packed(found, len(codes), unpack)
        return found


class Place(NamedTuple):
    """What all rows of one section of one batch share."""

    gateway: int
    lane: Lane
    epoch: int
    stored_us: int
    treatment: str
    named: Named
    contexts: Contexts
    columns: Columns | None
    """Seals what is sensitive; None: nothing is sealed."""
    bed: Callable[[str, str], int | None]
    """The key of a ward's bed, made if it is new; None if there is no bed."""

    @property
    def lane_name(self) -> str:
        return self.lane.name.lower()


def numeric_rows(
    place: Place, section: pb.Section, start: int, rows: list[Row], seqs: list[int]
) -> list[int]:
    """Add the rows of the section's plain reports, numbered ``start`` or higher, and all numbers.

    Args:
        place: what the rows share.
        section: of a request parsed by :mod:`core.wire`.
        start: what is numbered lower is stored already.
        rows: gets the rows.
        seqs: gets the sequence numbers of all records.

    Returns:
        The positions of the records that need the long way.
    """
    contexts, shapes = place.contexts.known, place.named.packed
    stored_us, base = place.stored_us, section.first_seq
    encode = _json.encode
    others: list[int] = []
    r: Any  # its repeated fields are bytes here
    for index, (offset, record) in enumerate(
        zip(section.seq_offsets, section.records, strict=True)
    ):
        seq = base + offset
        if seq < start:
            continue
        seqs.append(seq)
        r = record.report
        head = (
            r.device_id,
            r.kind,
            r.bed,
            r.driver,
            r.attestation,
            r.attested_by,
            r.time_quality,
            r.ward,
            r.patient_id,
            r.association_id,
            r.association_state,
        )
        keys, shape, values, marks = contexts.get(head), shapes.get(r.codes), r.values, r.qualities
        if (
            keys is None
            or shape is None
            or len(values) != 8 * shape.numbers
            or r.uncertainty_us >= UNCERTAINTY_US_MAX
            or (marks and (len(marks) != shape.numbers or not _QUALITIES.issuperset(marks)))
            or r.enumerations
            or r.texts
            or r.waveforms
        ):
            others.append(index)
            continue
        rows.append(
            (
                keys[0],
                r.message_id or None,
                keys[1],
                seq,
                r.received_us,
                stored_us,
                r.device_us or None,
                r.offset_us,
                r.measured_us or None,
                r.uncertainty_us or None,
                r.time_marks,
                r.order_us or None,
                shape.key,
                encode(shape.unpack(values)).decode(),
                encode(list(marks)).decode() if marks else None,
                None,
                None,
            )
        )
    return others


def whose_and_when(place: Place, seq: int, r: pb.Report) -> Row:
    """The columns that rows of numbers and of waveforms begin with.

    Raises:
        BadBatchError: a number outside its enumeration, or one that does not fit.
    """
    if r.time_quality not in _TIME_QUALITIES:
        raise BadBatchError("unknown_timequality")
    if r.uncertainty_us >= UNCERTAINTY_US_MAX:
        raise BadBatchError("uncertainty")
    if r.association_state not in _ASSOCIATION_STATES:
        raise BadBatchError("unknown_associationstate")
    head = Head(
        r.device_id,
        r.kind,
        r.bed,
        r.driver,
        r.attestation,
        r.attested_by,
        r.time_quality,
        r.ward,
        r.patient_id,
        r.association_id,
        r.association_state,
    )
    device, context = place.contexts.find(head)
    return (
        device,
        r.message_id or None,
        context,
        seq,
        r.received_us,
        place.stored_us,
        r.device_us or None,
        r.offset_us,
        r.measured_us or None,
        r.uncertainty_us or None,
        r.time_marks,
        r.order_us or None,
    )


def report_row(place: Place, seq: int, r: pb.Report) -> Row:
    """One row of ``report``.

    Raises:
        BadBatchError: values that don't go with the codes, an unnamed metric, or a number outside
            its enumeration.
    """
    shape, values, qualities, codes = _observations(r, place.named)
    return (
        *whose_and_when(place, seq, r),
        shape,
        values,
        qualities,
        codes,
        blocks(r, place.named.keys) if r.waveforms else None,
    )


def _observations(r: pb.Report, named: Named) -> tuple[int, str, str | None, str | None]:
    """Shape, values, qualities and MDC codes of values; the last two where they say anything."""
    codes = list(r.codes)
    values: list[Any] = list(r.values)
    marks: list[int] = list(r.qualities)
    if len(values) != len(codes) or (marks and len(marks) != len(codes)):
        raise BadBatchError("values")
    marks = marks or [int(Quality.VALID)] * len(codes)
    mdc = [0] * len(codes)
    for e in r.enumerations:
        codes.append(e.code)
        values.append(e.name)
        marks.append(e.quality or int(Quality.VALID))
        mdc.append(e.value)
    for t in r.texts:
        codes.append(t.code)
        values.append(t.value)
        marks.append(int(Quality.VALID))
        mdc.append(0)
    if not _QUALITIES.issuperset(marks):
        raise BadBatchError("unknown_quality")
    return (
        named.shape(tuple(codes)),
        _text(values),
        _text(marks) if any(mark != Quality.VALID for mark in marks) else None,
        _text(mdc) if any(mdc) else None,
    )


def blocks(r: pb.Report, keys: Mapping[int, int]) -> str:
    """The waveforms of a report, as JSON.

    Raises:
        BadBatchError: one of them is none.
    """
    return _text([block(w, keys) for w in r.waveforms])


def block(w: pb.Waveform, keys: Mapping[int, int]) -> list[Any]:
    """A block of a waveform as the store has it: see ``migrations/0005.sql``.

    Raises:
        BadBatchError: it is none.
    """
    try:
        wave = waveform_from(w)
        check_waveforms((wave,))
    except ValueError as error:
        raise BadBatchError("waveform") from error
    found = [
        keys.get(wave.code, wave.code),
        wave.start_us,
        wave.sample_rate_hz,
        wave.scale,
        wave.offset,
        wave.quality,
        wave.samples,
    ]
    if wave.missing_before or wave.marks:
        marks = [(mark.first, mark.count, mark.mark) for mark in wave.marks]
        found += (wave.missing_before, marks)
    return found


def _text(value: object) -> str:
    return _json.encode(value).decode()
