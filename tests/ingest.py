"""Batches as a gateway makes them, for tests of both ends of the stream."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.domain import records as r
from gateway.domain import terms
from gateway.domain.labels import DataClass, Label, Lane
from gateway.wire.records import encode
from gateway.wire.sections import encode_batch_request, encode_section

VITALS = Label(DataClass.HEALTH_STATUS, 3)
CODES = (terms.HEART_RATE, terms.SPO2)
PROVENANCE = r.Provenance("mqtt", r.Attestation.CERTIFICATE)
EPOCH = 1_790_000_000
NOW_US = EPOCH * 1_000_000


def report(n: int, device: str = "monitor-1", message_id: str | None = None) -> r.Report:
    """A report whose heart rate is ``n``."""
    return r.Report(
        device_id=device,
        kind="monitor",
        provenance=PROVENANCE,
        received_us=NOW_US + n,
        codes=CODES,
        values=(float(n), 97.0),
        device_us=NOW_US + n - 5,
        time_quality=r.TimeQuality.GOOD,
        message_id=f"5f3a:{n}" if message_id is None else message_id,
        bed="bed-7",
    )


def alarm(n: int, device: str = "monitor-1", provenance: r.Provenance = PROVENANCE) -> r.Alarm:
    return r.Alarm(
        alarm_id=f"alarm-{n}",
        device_id=device,
        provenance=provenance,
        priority=r.AlarmPriority.HIGH,
        phase=r.AlarmPhase.START,
        kind=r.AlarmKind.PHYSIOLOGICAL,
        source=r.AlarmSource.GATEWAY,
        code=196670,
        condition="hr_high",
        text="heart rate high",
        onset_us=NOW_US + n,
        at_us=NOW_US + n,
        bed="bed-7",
        message_id=f"5f3a:{n}",
        codes=(terms.HEART_RATE,),
        values=(181.0,),
        limit=140.0,
    )


def section(
    first: int, records: Sequence[r.Record], codes: Sequence[int] = CODES, label: Label = VITALS
) -> bytes:
    return encode_section(
        label, first, range(len(records)), [encode(record) for record in records], codes
    )


def batch(
    first: int,
    records: Sequence[r.Record],
    *,
    lane: Lane = Lane.TELEMETRY,
    epoch: int = EPOCH,
    codes: Sequence[int] = CODES,
) -> bytes:
    """A request whose records are numbered from ``first`` without a hole."""
    last = first + len(records) - 1
    return encode_batch_request(lane, epoch, first, last, [section(first, records, codes)], 0)


def reports(first: int, last: int, device: str = "monitor-1") -> bytes:
    """A request with reports first..last, whose heart rates are their numbers."""
    return batch(first, [report(n, device) for n in range(first, last + 1)])
