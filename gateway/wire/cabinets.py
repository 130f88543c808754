"""CabinetEvent <-> ``wardgate.v1.CabinetEvent``; see :mod:`gateway.wire.records`."""

from __future__ import annotations

from gateway.domain.records import (
    AccessVerdict,
    Attestation,
    CabinetEvent,
    CabinetEventKind,
    ItemCount,
    Provenance,
)
from protos.wardgate.v1 import ingest_pb2 as pb


def cabinet_event(e: CabinetEvent) -> pb.CabinetEvent:
    """As it travels."""
    return pb.CabinetEvent(
        device_id=e.device_id,
        received_us=e.received_us,
        kind=e.kind,  # type: ignore[arg-type]
        door=e.door,
        session=e.session,
        opened_us=e.opened_us,
        closed_us=e.closed_us,
        unseen_close=e.unseen_close,
        verdict=e.verdict,  # type: ignore[arg-type]
        badges=e.badges,
        counts=map(_count, e.counts),
        reason=e.reason,
        driver=e.provenance.driver,
        attestation=e.provenance.attestation,  # type: ignore[arg-type]
        attested_by=e.provenance.attested_by,
        message_id=e.message_id,
    )


def cabinet_event_from(m: pb.CabinetEvent) -> CabinetEvent:
    """As it was.

    Raises:
        ValueError: a number outside its enumeration.
    """
    return CabinetEvent(
        m.device_id,
        Provenance(m.driver, Attestation(m.attestation), m.attested_by),
        m.received_us,
        CabinetEventKind(m.kind),
        m.door,
        m.session,
        m.opened_us,
        m.closed_us,
        AccessVerdict(m.verdict),
        tuple(m.badges),
        tuple(map(_count_from, m.counts)),
        m.reason,
        m.unseen_close,
        m.message_id,
    )


def _count(count: ItemCount) -> pb.ItemCount:
    return pb.ItemCount(
        item_class=count.item_class,
        expected=count.expected,
        found=count.found,
        doubted=count.doubted,
        counted=None if count.counted < 0 else count.counted,
    )


def _count_from(m: pb.ItemCount) -> ItemCount:
    counted = m.counted if m.HasField("counted") else -1
    return ItemCount(m.item_class, m.expected, m.found, m.doubted, counted)
