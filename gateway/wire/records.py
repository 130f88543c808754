"""domain records <-> ``wardgate.v1`` messages.

Enumerations have the same numbers on both sides, so conversion is field by field; a Report,
of which there are thousands a second, is encoded in :mod:`gateway.wire.reports`. Decoding
checks nothing beyond protobuf's own rules: what is decoded here was encoded by a gateway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.message import DecodeError

from gateway.domain.errors import MalformedError
from gateway.domain.records import (
    Alarm,
    AlarmKind,
    AlarmNotification,
    AlarmPhase,
    AlarmPriority,
    AlarmSource,
    AssociationChange,
    AssociationState,
    AssociationSubject,
    Attestation,
    CabinetEvent,
    DeviceState,
    DeviceStatus,
    Enumeration,
    Gap,
    GatewayClock,
    InfusionOrder,
    InfusionOrderAction,
    InventoryAction,
    InventoryEvent,
    LeapStatus,
    LinkState,
    NotificationAction,
    Provenance,
    Quality,
    Record,
    Report,
    Text,
    TimeQuality,
)
from gateway.wire.cabinets import cabinet_event, cabinet_event_from
from gateway.wire.reports import encode_report
from gateway.wire.waveforms import waveform_from
from protos.wardgate.v1 import ingest_pb2 as pb


def encode(record: Record) -> bytes:
    """Serialise a record as ``wardgate.v1.Record``."""
    if isinstance(record, Report):
        return encode_report(record)
    return _MESSAGES[type(record)](record).SerializeToString()


def decode(data: bytes) -> Record:
    """Parse one serialised record.

    Raises:
        MalformedError: not a record.
    """
    try:
        return from_message(pb.Record.FromString(data))
    except (DecodeError, ValueError) as error:
        raise MalformedError("record", str(error)) from error


def from_message(message: pb.Record) -> Record:
    """Convert a parsed record.

    Raises:
        ValueError: an empty record, or a number outside its enumeration.
    """
    body = message.WhichOneof("body")
    if body not in _RECORDS:
        raise ValueError("a record without a body")
    return _RECORDS[body](getattr(message, body))


def _report_from(m: pb.Report) -> Report:
    return Report(
        device_id=m.device_id,
        kind=m.kind,
        provenance=Provenance(m.driver, Attestation(m.attestation), m.attested_by),
        received_us=m.received_us,
        codes=tuple(m.codes),
        values=tuple(m.values),
        qualities=tuple(m.qualities),
        device_us=m.device_us,
        time_quality=TimeQuality(m.time_quality),
        offset_us=m.offset_us,
        message_id=m.message_id,
        bed=m.bed,
        enumerations=tuple(
            Enumeration(e.code, e.value, e.name, Quality(e.quality)) for e in m.enumerations
        ),
        texts=tuple(Text(t.code, t.value) for t in m.texts),
        waveforms=tuple(map(waveform_from, m.waveforms)),
        ward=m.ward,
        patient_id=m.patient_id,
        association_id=m.association_id,
        association_state=AssociationState(m.association_state),
        measured_us=m.measured_us,
        uncertainty_us=m.uncertainty_us,
        time_marks=m.time_marks,
        order_us=m.order_us,
    )


def _alarm(a: Alarm) -> pb.Alarm:
    return pb.Alarm(
        alarm_id=a.alarm_id,
        device_id=a.device_id,
        bed=a.bed,
        priority=a.priority,  # type: ignore[arg-type]
        phase=a.phase,  # type: ignore[arg-type]
        kind=a.kind,  # type: ignore[arg-type]
        source=a.source,  # type: ignore[arg-type]
        code=a.code,
        condition=a.condition,
        text=a.text,
        onset_us=a.onset_us,
        at_us=a.at_us,
        message_id=a.message_id,
        codes=a.codes,
        values=a.values,
        limit=a.limit,
        driver=a.provenance.driver,
        attestation=a.provenance.attestation,  # type: ignore[arg-type]
        attested_by=a.provenance.attested_by,
        ward=a.ward,
        patient_id=a.patient_id,
        association_id=a.association_id,
        association_state=a.association_state,  # type: ignore[arg-type]
    )


def _alarm_from(m: pb.Alarm) -> Alarm:
    return Alarm(
        alarm_id=m.alarm_id,
        device_id=m.device_id,
        provenance=Provenance(m.driver, Attestation(m.attestation), m.attested_by),
        priority=AlarmPriority(m.priority),
        phase=AlarmPhase(m.phase),
        kind=AlarmKind(m.kind),
        source=AlarmSource(m.source),
        code=m.code,
        condition=m.condition,
        text=m.text,
        onset_us=m.onset_us,
        at_us=m.at_us,
        bed=m.bed,
        message_id=m.message_id,
        codes=tuple(m.codes),
        values=tuple(m.values),
        limit=m.limit,
        ward=m.ward,
        patient_id=m.patient_id,
        association_id=m.association_id,
        association_state=AssociationState(m.association_state),
    )


def _status(s: DeviceStatus) -> pb.DeviceStatus:
    return pb.DeviceStatus(
        device_id=s.device_id,
        kind=s.kind,
        received_us=s.received_us,
        device_us=s.device_us,
        state=s.state,  # type: ignore[arg-type]
        reason=s.reason,
        firmware=s.firmware,
        battery_percent=s.battery_percent,
        message_id=s.message_id,
        driver=s.provenance.driver,
        attestation=s.provenance.attestation,  # type: ignore[arg-type]
        attested_by=s.provenance.attested_by,
        detail=s.detail,
    )


def _status_from(m: pb.DeviceStatus) -> DeviceStatus:
    return DeviceStatus(
        device_id=m.device_id,
        kind=m.kind,
        provenance=Provenance(m.driver, Attestation(m.attestation), m.attested_by),
        received_us=m.received_us,
        state=DeviceState(m.state),
        reason=m.reason,
        device_us=m.device_us,
        firmware=m.firmware,
        battery_percent=m.battery_percent,
        message_id=m.message_id,
        detail=m.detail,
    )


def _inventory(e: InventoryEvent) -> pb.InventoryEvent:
    return pb.InventoryEvent(
        device_id=e.device_id,
        received_us=e.received_us,
        device_us=e.device_us,
        action=e.action,  # type: ignore[arg-type]
        epc=e.epc,
        place=e.place,
        from_place=e.from_place,
        badge=e.badge,
        message_id=e.message_id,
        driver=e.provenance.driver,
        attestation=e.provenance.attestation,  # type: ignore[arg-type]
        attested_by=e.provenance.attested_by,
        session=e.session,
        item_class=e.item_class,
        lot=e.lot,
        expiry=e.expiry,
        badges=e.badges,
        reason=e.reason,
    )


def _inventory_from(m: pb.InventoryEvent) -> InventoryEvent:
    return InventoryEvent(
        device_id=m.device_id,
        provenance=Provenance(m.driver, Attestation(m.attestation), m.attested_by),
        received_us=m.received_us,
        action=InventoryAction(m.action),
        epc=m.epc,
        place=m.place,
        from_place=m.from_place,
        badge=m.badge,
        device_us=m.device_us,
        message_id=m.message_id,
        session=m.session,
        item_class=m.item_class,
        lot=m.lot,
        expiry=m.expiry,
        badges=tuple(m.badges),
        reason=m.reason,
    )


def _notification(n: AlarmNotification) -> pb.AlarmNotification:
    return pb.AlarmNotification(
        device_id=n.device_id,
        at_us=n.at_us,
        action=n.action,  # type: ignore[arg-type]
        alarm_id=n.alarm_id,
        condition=n.condition,
        priority=n.priority or 0,  # type: ignore[arg-type]
        phase=n.phase or 0,  # type: ignore[arg-type]
        n=n.n,
        level=n.level,
        bed=n.bed,
        ward=n.ward,
        outlet=n.outlet,
        by=n.by,
        reason=n.reason,
        since_us=n.since_us,
        until_us=n.until_us,
        count=n.count,
        message_id=n.message_id,
        driver=n.provenance.driver,
        attestation=n.provenance.attestation,  # type: ignore[arg-type]
        attested_by=n.provenance.attested_by,
    )


def _notification_from(m: pb.AlarmNotification) -> AlarmNotification:
    return AlarmNotification(
        device_id=m.device_id,
        provenance=Provenance(m.driver, Attestation(m.attestation), m.attested_by),
        at_us=m.at_us,
        action=NotificationAction(m.action),
        alarm_id=m.alarm_id,
        condition=m.condition,
        priority=AlarmPriority(m.priority) if m.priority else None,
        phase=AlarmPhase(m.phase) if m.phase else None,
        n=m.n,
        level=m.level,
        bed=m.bed,
        ward=m.ward,
        outlet=m.outlet,
        by=m.by,
        reason=m.reason,
        since_us=m.since_us,
        until_us=m.until_us,
        count=m.count,
        message_id=m.message_id,
    )


def _order(o: InfusionOrder) -> pb.InfusionOrder:
    return pb.InfusionOrder(
        device_id=o.device_id,
        received_us=o.received_us,
        ordered_us=o.ordered_us,
        action=o.action,  # type: ignore[arg-type]
        order_id=o.order_id,
        drug=o.drug,
        drug_code=o.drug_code,
        volume_ml=o.volume_ml,
        rate_ml_h=o.rate_ml_h,
        dose=o.dose,
        dose_unit=o.dose_unit,
        route=o.route,
        bed=o.bed,
        ward=o.ward,
        message_id=o.message_id,
        driver=o.provenance.driver,
        attestation=o.provenance.attestation,  # type: ignore[arg-type]
        attested_by=o.provenance.attested_by,
    )


def _order_from(m: pb.InfusionOrder) -> InfusionOrder:
    return InfusionOrder(
        device_id=m.device_id,
        provenance=Provenance(m.driver, Attestation(m.attestation), m.attested_by),
        received_us=m.received_us,
        action=InfusionOrderAction(m.action),
        order_id=m.order_id,
        ordered_us=m.ordered_us,
        drug=m.drug,
        drug_code=m.drug_code,
        volume_ml=m.volume_ml if m.HasField("volume_ml") else None,
        rate_ml_h=m.rate_ml_h if m.HasField("rate_ml_h") else None,
        dose=m.dose if m.HasField("dose") else None,
        dose_unit=m.dose_unit,
        route=m.route,
        bed=m.bed,
        ward=m.ward,
        message_id=m.message_id,
    )


def _gap(g: Gap) -> pb.Gap:
    return pb.Gap(
        device_id=g.device_id,
        reason=g.reason,
        lane=g.lane,  # type: ignore[arg-type]
        epoch=g.epoch,
        first_seq=g.first_seq,
        last_seq=g.last_seq,
        from_us=g.from_us,
        to_us=g.to_us,
        reports=g.reports,
    )


def _gap_from(m: pb.Gap) -> Gap:
    return Gap(
        reason=m.reason,
        device_id=m.device_id,
        lane=m.lane,
        epoch=m.epoch,
        first_seq=m.first_seq,
        last_seq=m.last_seq,
        from_us=m.from_us,
        to_us=m.to_us,
        reports=m.reports,
    )


def _association(a: AssociationChange) -> pb.AssociationChange:
    return pb.AssociationChange(
        association_id=a.association_id,
        subject=a.subject,  # type: ignore[arg-type]
        device_id=a.device_id,
        ward=a.ward,
        bed=a.bed,
        patient_id=a.patient_id,
        from_us=a.from_us,
        to_us=a.to_us,
        state=a.state,  # type: ignore[arg-type]
        reason=a.reason,
        cause=a.cause,
        revision=a.revision,
        at_us=a.at_us,
        driver=a.provenance.driver,
        attestation=a.provenance.attestation,  # type: ignore[arg-type]
        attested_by=a.provenance.attested_by,
    )


def _association_from(m: pb.AssociationChange) -> AssociationChange:
    return AssociationChange(
        association_id=m.association_id,
        subject=AssociationSubject(m.subject),
        provenance=Provenance(m.driver, Attestation(m.attestation), m.attested_by),
        device_id=m.device_id,
        ward=m.ward,
        bed=m.bed,
        patient_id=m.patient_id,
        from_us=m.from_us,
        to_us=m.to_us,
        state=AssociationState(m.state),
        reason=m.reason,
        cause=m.cause,
        revision=m.revision,
        at_us=m.at_us,
    )


def _clock(c: GatewayClock) -> pb.GatewayClock:
    return pb.GatewayClock(
        device_id=c.device_id,
        at_us=c.at_us,
        cause=c.cause,
        source=c.source,
        synchronised=c.synchronised,
        error_us=c.error_us,
        offset_us=c.offset_us,
        stratum=c.stratum,
        reference=c.reference,
        root_delay_us=c.root_delay_us,
        root_dispersion_us=c.root_dispersion_us,
        frequency_ppb=c.frequency_ppb,
        leap=c.leap,  # type: ignore[arg-type]
        step_us=c.step_us,
        driver=c.provenance.driver,
        attestation=c.provenance.attestation,  # type: ignore[arg-type]
        attested_by=c.provenance.attested_by,
    )


def _clock_from(m: pb.GatewayClock) -> GatewayClock:
    return GatewayClock(
        device_id=m.device_id,
        provenance=Provenance(m.driver, Attestation(m.attestation), m.attested_by),
        at_us=m.at_us,
        cause=m.cause,
        source=m.source,
        synchronised=m.synchronised,
        error_us=m.error_us,
        offset_us=m.offset_us,
        stratum=m.stratum,
        reference=m.reference,
        root_delay_us=m.root_delay_us,
        root_dispersion_us=m.root_dispersion_us,
        frequency_ppb=m.frequency_ppb,
        leap=LeapStatus(m.leap),
        step_us=m.step_us,
    )


def _link(s: LinkState) -> pb.LinkState:
    return pb.LinkState(
        device_id=s.device_id,
        at_us=s.at_us,
        cause=s.cause,
        network_us=s.network_us,
        cell=s.cell,
        zones=s.zones,
        rsrp_dbm=s.rsrp_dbm,
        rsrq_db=s.rsrq_db,
        sinr_db=s.sinr_db,
        driver=s.provenance.driver,
        attestation=s.provenance.attestation,  # type: ignore[arg-type]
        attested_by=s.provenance.attested_by,
    )


def _link_from(m: pb.LinkState) -> LinkState:
    return LinkState(
        device_id=m.device_id,
        provenance=Provenance(m.driver, Attestation(m.attestation), m.attested_by),
        at_us=m.at_us,
        cause=m.cause,
        network_us=m.network_us,
        cell=m.cell,
        zones=tuple(m.zones),
        rsrp_dbm=m.rsrp_dbm if m.HasField("rsrp_dbm") else None,
        rsrq_db=m.rsrq_db if m.HasField("rsrq_db") else None,
        sinr_db=m.sinr_db if m.HasField("sinr_db") else None,
    )


_MESSAGES: Mapping[type, Callable[[Any], pb.Record]] = {
    Alarm: lambda record: pb.Record(alarm=_alarm(record)),
    DeviceStatus: lambda record: pb.Record(device_status=_status(record)),
    Gap: lambda record: pb.Record(gap=_gap(record)),
    InventoryEvent: lambda record: pb.Record(inventory_event=_inventory(record)),
    CabinetEvent: lambda record: pb.Record(cabinet_event=cabinet_event(record)),
    AssociationChange: lambda record: pb.Record(association_change=_association(record)),
    AlarmNotification: lambda record: pb.Record(alarm_notification=_notification(record)),
    GatewayClock: lambda record: pb.Record(gateway_clock=_clock(record)),
    LinkState: lambda record: pb.Record(link_state=_link(record)),
    InfusionOrder: lambda record: pb.Record(infusion_order=_order(record)),
}
_RECORDS: Mapping[str, Callable[[Any], Record]] = {
    "report": _report_from,
    "alarm": _alarm_from,
    "device_status": _status_from,
    "gap": _gap_from,
    "inventory_event": _inventory_from,
    "cabinet_event": cabinet_event_from,
    "association_change": _association_from,
    "alarm_notification": _notification_from,
    "gateway_clock": _clock_from,
    "link_state": _link_from,
    "infusion_order": _order_from,
}
