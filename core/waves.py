"""Checked reports of the lane of waves -> rows of the table ``waves``.

A report of that lane holds waveforms and nothing else; what its gateway splits off stands in the
table ``report``, under the same message id. The blocks of a row are one JSON array; the views
``waveforms`` and ``waveform_samples`` unfold it, so that any SQLite client can read them.
"""

from __future__ import annotations

from core.batches import BadBatchError
from core.reports import Head, Place, Row, blocks
from gateway.domain.records import TimeQuality
from protos.wardgate.v1 import ingest_pb2 as pb

INSERT_WAVES = """
INSERT INTO waves (device, message_id, context, seq, received_us, stored_us, device_us, offset_us,
  blocks) VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT (device, message_id) DO NOTHING"""

_TIME_QUALITIES = frozenset(map(int, TimeQuality))


def waves_row(place: Place, seq: int, record: pb.Record) -> Row:
    """One row of ``waves``.

    Raises:
        BadBatchError: something else than waveforms, or a block that is none.
    """
    r = record.report
    if not r.waveforms or r.codes or r.values or r.enumerations or r.texts:
        raise BadBatchError("not_waves")
    if r.time_quality not in _TIME_QUALITIES:
        raise BadBatchError("unknown_timequality")
    head = Head(
        r.device_id,
        r.kind,
        r.bed,
        r.driver,
        r.attestation,
        r.attested_by,
        r.time_quality,
        r.ward,
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
        blocks(r, place.named.keys),
    )
