"""Sections and batches as bytes.

A section's bytes are made once, at commit, and are the same in the journal and on the wire: a
batch whose sections all pass is put together by concatenation. protobuf allows that, because a
message's serialisation is the concatenation of its fields' (encoding guide, "Message
structure"), and a repeated message field is a run of (tag, length, bytes).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.domain.labels import Label, Lane
from gateway.domain.terms import metric
from protos.wardgate.v1 import ingest_pb2 as pb

_TAG_SECTION_RECORDS = b"\x3a"  # field 7, length-delimited
_TAG_BATCH_SECTIONS = b"\x2a"  # field 5, length-delimited
_TAG_REQUEST_BATCH = b"\x12"  # field 2, length-delimited


def encode_section(
    label: Label,
    first_seq: int,
    offsets: Sequence[int],
    records: Sequence[bytes],
    codes: Iterable[int],
    treatment: pb.Treatment = pb.TREATMENT_PASS,
) -> bytes:
    """Serialise a section of already serialised records.

    ``records[i]`` has the sequence number ``first_seq + offsets[i]``; an aggregate has none. The
    treatment is PASS, which is what untouched bytes are, unless the records are aggregates; a
    section that is treated otherwise is encoded anew.
    """
    head = pb.Section(
        data_class=label.data_class,  # type: ignore[arg-type]  # equal numbers by design
        level=label.level,
        treatment=treatment,
        first_seq=first_seq,
        seq_offsets=offsets,
        metrics=[_metric(code) for code in codes],
    )
    parts = [head.SerializeToString()]
    for record in records:
        parts += (_TAG_SECTION_RECORDS, varint(len(record)), record)
    return b"".join(parts)


def encode_batch_request(
    lane: Lane,
    epoch: int,
    first_seq: int,
    last_seq: int,
    sections: Sequence[bytes],
    withheld: int,
    lost: Sequence[tuple[int, int, str]] = (),
) -> bytes:
    """Serialise ``StreamRequest(batch=…)`` around serialised sections, copying them once."""
    head = pb.Batch(
        lane=lane,  # type: ignore[arg-type]
        epoch=epoch,
        first_seq=first_seq,
        last_seq=last_seq,
        withheld=withheld,
        lost=[pb.LostRange(first_seq=a, last_seq=b, reason=why) for a, b, why in lost],
    ).SerializeToString()
    parts = [head]
    for section in sections:
        parts += (_TAG_BATCH_SECTIONS, varint(len(section)), section)
    size = sum(map(len, parts))
    return b"".join((_TAG_REQUEST_BATCH, varint(size), *parts))


_VARINTS = tuple(
    bytes((n,)) if n < 0x80 else bytes((n & 0x7F | 0x80, n >> 7)) for n in range(0x4000)
)


def varint(n: int) -> bytes:
    """Base-128 varint of a non-negative number."""
    if n < 0x4000:
        return _VARINTS[n]
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


_metric_cache: dict[int, pb.Metric] = {}


def _metric(code: int) -> pb.Metric:
    cached = _metric_cache.get(code)
    if cached is None:
        row = metric(code)
        cached = pb.Metric(code=code, refid=row.refid, unit=row.unit)
        if len(_metric_cache) < 4096:
            _metric_cache[code] = cached
    return cached
