"""Checked reports of the lane of waves -> rows of the table ``waves``.

A report of that lane holds waveforms and nothing else; what its gateway splits off stands in the
table ``report``, under the same message id. The blocks of a row are one JSON array; the views
``waveforms`` and ``waveform_samples`` unfold it, so that any SQLite client can read them.
"""

from __future__ import annotations

from core.batches import BadBatchError
from core.reports import Place, Row, blocks, whose_and_when
from protos.wardgate.v1 import ingest_pb2 as pb

INSERT_WAVES = """
INSERT INTO waves (device, message_id, context, seq, received_us, stored_us, device_us, offset_us,
  measured_us, uncertainty_us, time_marks, order_us, blocks)
VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (device, message_id) DO NOTHING"""


def waves_row(place: Place, seq: int, record: pb.Record) -> Row:
    """One row of ``waves``.

    Raises:
        BadBatchError: something else than waveforms, or a block that is none.
    """
    r = record.report
    if not r.waveforms or r.codes or r.values or r.enumerations or r.texts:
        raise BadBatchError("not_waves")
    return (
        *whose_and_when(place, seq, r),
        blocks(r, place.named.keys),
    )
