"""The fast way of a Report onto the wire.

Nearly every record is a Report, and building a protobuf message from Python costs several times
more than everything else that is done to it. Here a report is put together as bytes instead:
a message's serialisation is the concatenation of its fields' (Protocol Buffers, "Encoding":
tag = field number << 3 | wire type; base-128 varints; packed repeated fields are
length-delimited). What repeats from one report to the next (who and which metrics) is encoded
once and remembered, in bounded caches.

The result parses to the same message as the generated code's; the test compares the two.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache

from gateway.domain.records import Provenance, Report, Whose
from gateway.wire.waveforms import add_waveform
from protos.wardgate.v1 import ingest_pb2 as pb

SOURCES_CACHED_MAX = 16_384
"""Distinct headers remembered (device, kind, place, provenance, whose): about 150 bytes each."""
DICTIONARIES_CACHED_MAX = 4_096
"""Distinct tuples of codes remembered."""

_TAG_RECORD_REPORT = b"\x0a"
_BODY = b"%b\x18%b\x20%b\x28%c\x30%b\x3a%b%b%b%b%b"
"""Head; received_us (3); device_us (4); time_quality (5); offset_us (6); message_id (7: length
and bytes); columns; when it was measured; the rest. A scalar's default may be written out: it
parses to the same."""
_MEASURED = b"\xa8\x01%b\xb0\x01%b"
"""measured_us (21) and uncertainty_us (22)."""
_MARKED = _MEASURED + b"\xb8\x01%c"
"""And time_marks (23), below 128."""
_TAGS_MEASURED = (b"\xa8\x01", b"\xb0\x01", b"\xb8\x01", b"\xc0\x01")
"""measured_us, uncertainty_us, time_marks (23), order_us (24)."""
_TAG_VALUES = b"\x6a"
_TAG_QUALITIES = b"\x72"

_LAST = tuple(bytes((n,)) if n < 0x80 else bytes((n & 0x7F | 0x80, n >> 7)) for n in range(0x4000))
"""The varint of each number below 2**14."""
_MORE = tuple(bytes((n & 0x7F | 0x80, n >> 7 | 0x80)) for n in range(0x4000))
"""14 bits of a longer varint, with more to follow."""
_U64 = 2**64 - 1

Measured = tuple[int, int, int, int]
"""measured_us, uncertainty_us, time_marks and order_us of a report."""


def encode_report(  # noqa: C901  # the hot path stays in one piece
    report: Report,
    time_quality: int | None = None,
    offset_us: int | None = None,
    qualities: tuple[int, ...] | None = None,
    whose: Whose | None = None,
    measured: Measured | None = None,
) -> bytes:
    """Serialise ``Record(report=…)``; what is given beside the report replaces its own.

    Raises:
        UnicodeEncodeError: a string has a lone surrogate.
        ValueError, struct.error: a number doesn't fit its field.
    """
    if time_quality is None:
        time_quality = report.time_quality
    if offset_us is None:
        offset_us = report.offset_us
    if qualities is None:
        qualities = report.qualities
    if whose is None:
        whose = Whose(
            report.ward,
            report.bed,
            report.patient_id,
            report.association_id,
            int(report.association_state),
        )
    if measured is None:
        measured = report.measured_us, report.uncertainty_us, report.time_marks, report.order_us
    message_id = report.message_id.encode()
    columns = rest = b""
    if report.codes:
        head, pack = _dictionary(report.codes)
        columns = head + pack(*report.values)
        if qualities:
            rest = _TAG_QUALITIES + _varint(len(qualities)) + bytes(qualities)
    if report.enumerations or report.texts or report.waveforms:
        rest += _rest(report)
    measured_us, uncertainty_us, marks, order_us = measured
    if order_us or marks > 0x7F or not measured_us or not uncertainty_us:
        when = _measured(*measured)
    elif marks:
        when = _MARKED % (_varint(measured_us), _varint(uncertainty_us), marks)
    else:
        when = _MEASURED % (_varint(measured_us), _varint(uncertainty_us))
    body = _BODY % (
        _head(report.device_id, report.kind, report.provenance, whose),
        _time(report.received_us),
        _varint(report.device_us),
        time_quality,
        _varint(offset_us << 1 if offset_us >= 0 else ~(offset_us << 1)),
        _varint(len(message_id)),
        message_id,
        columns,
        when,
        rest,
    )
    return _TAG_RECORD_REPORT + _varint(len(body)) + body


def _varint(n: int) -> bytes:
    """The varint of a 64-bit number; a negative one as its two's complement."""
    if n < 0x4000:
        return _LAST[n] if n >= 0 else _negative(n)
    if n < 0x10000000:
        return _MORE[n & 0x3FFF] + _LAST[n >> 14]
    return _MORE[n & 0x3FFF] + _MORE[n >> 14 & 0x3FFF] + _high(n >> 28)


def _measured(*said: int) -> bytes:
    """Those of the four that are not 0, which is what an absent one is."""
    return b"".join(
        tag + _varint(value) for tag, value in zip(_TAGS_MEASURED, said, strict=True) if value
    )


@lru_cache(maxsize=64)
def _time(received_us: int) -> bytes:
    """Everything that was read at once was received at once."""
    return _varint(received_us)


def _negative(n: int) -> bytes:
    if n < -(2**63):
        raise ValueError("a number of more than 64 bits")
    return _varint(n & _U64)


@lru_cache(maxsize=64)
def _high(n: int) -> bytes:
    """What follows the lowest 28 bits: the same for all microseconds of four minutes."""
    if n >= 1 << 36:
        raise ValueError("a number of more than 64 bits")
    parts = []
    while n >= 0x4000:
        parts.append(_MORE[n & 0x3FFF])
        n >>= 14
    return b"".join((*parts, _LAST[n]))


@lru_cache(maxsize=SOURCES_CACHED_MAX)
def _head(device_id: str, kind: str, provenance: Provenance, whose: Whose) -> bytes:
    return pb.Report(
        device_id=device_id,
        kind=kind,
        bed=whose.bed,
        driver=provenance.driver,
        attestation=provenance.attestation,  # type: ignore[arg-type]  # equal numbers by design
        attested_by=provenance.attested_by,
        ward=whose.ward,
        patient_id=whose.patient_id,
        association_id=whose.association_id,
        association_state=whose.state,  # type: ignore[arg-type]
    ).SerializeToString()


@lru_cache(maxsize=DICTIONARIES_CACHED_MAX)
def _dictionary(codes: tuple[int, ...]) -> tuple[bytes, Callable[..., bytes]]:
    """The codes with the head of the values, and what packs the values behind it."""
    count = len(codes)
    head = pb.Report(codes=codes).SerializeToString() + _TAG_VALUES + _varint(8 * count)
    return head, struct.Struct(f"<{count}d").pack


def _rest(report: Report) -> bytes:
    """Enumerations, texts and waveforms, by the generated code."""
    message = pb.Report()
    for e in report.enumerations:
        message.enumerations.add(code=e.code, value=e.value, name=e.name, quality=e.quality)
    for t in report.texts:
        message.texts.add(code=t.code, value=t.value)
    for w in report.waveforms:
        add_waveform(message, w)
    return message.SerializeToString()
