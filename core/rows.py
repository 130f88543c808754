"""Checked records -> rows of the store's tables; reports are in :mod:`core.reports`."""

from __future__ import annotations

from enum import IntEnum
from typing import TypeVar

import msgspec

from core.batches import BadBatchError
from core.reports import Place, Row
from gateway.domain.labels import Lane, Treatment
from gateway.domain.records import (
    AccessVerdict,
    AlarmKind,
    AlarmPhase,
    AlarmPriority,
    AlarmSource,
    AssociationState,
    AssociationSubject,
    Attestation,
    CabinetEventKind,
    DeviceState,
    InfusionOrderAction,
    InventoryAction,
    LeapStatus,
    NotificationAction,
)
from protos.wardgate.v1 import ingest_pb2 as pb

_json = msgspec.json.Encoder()
TREATMENT_WORDS = {int(t): t.name.lower() for t in Treatment}
_E = TypeVar("_E", bound=IntEnum)


def word(enumeration: type[_E], number: int) -> str:
    """The lower-case name of a number.

    Raises:
        BadBatchError: the number is not in the enumeration.
    """
    try:
        return enumeration(number).name.lower()
    except ValueError as error:
        raise BadBatchError(f"unknown_{enumeration.__name__.lower()}") from error


def number(enumeration: type[_E], value: int) -> int:
    """The number itself.

    Raises:
        BadBatchError: it is not in the enumeration.
    """
    word(enumeration, value)
    return value


INSERT_ALARM = """
INSERT INTO alarms (gateway, epoch, seq, alarm_id, device_id, bed, priority, phase, kind, source,
  code, condition, text, onset_us, at_us, stored_us, message_id, "values", "limit", driver,
  attestation, attested_by, treatment, ward, patient_id, association_id, association_state, place)
VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
ON CONFLICT (alarm_id, phase, at_us) WHERE alarm_id IS NOT NULL AND treatment <> 'generalise'
  DO NOTHING"""

INSERT_STATUS = """
INSERT INTO statuses (gateway, lane, epoch, seq, device_id, message_id, kind, received_us,
  stored_us, device_us, state, reason, firmware, battery_percent, detail, driver, attestation,
  attested_by, treatment)
VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
ON CONFLICT (device_id, message_id) WHERE message_id IS NOT NULL DO NOTHING"""

INSERT_CABINET = """
INSERT INTO cabinet_events (gateway, lane, epoch, seq, device_id, message_id, received_us,
  stored_us, kind, door, session, opened_us, closed_us, unseen_close, verdict, badges, counts,
  reason, driver, attestation, attested_by, treatment)
VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
ON CONFLICT (device_id, message_id) WHERE message_id IS NOT NULL DO NOTHING"""

INSERT_INVENTORY = """
INSERT INTO inventory (gateway, lane, epoch, seq, device_id, message_id, received_us, stored_us,
  device_us, action, epc, place, from_place, badge, driver, attestation,
  attested_by, treatment, session, item_class, lot, expiry, badges, reason)
VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
ON CONFLICT (device_id, message_id, epc) WHERE message_id IS NOT NULL DO NOTHING"""

INSERT_NOTIFICATION = """
INSERT INTO notifications (gateway, lane, epoch, seq, device_id, at_us, stored_us, action, alarm_id,
  condition, priority, phase, n, level, bed, ward, outlet, "by", reason, since_us, until_us, count,
  driver, attestation, attested_by, treatment)
VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"""
INSERT_ASSOCIATION = """
INSERT INTO association_changes (gateway, lane, epoch, seq, association_id, subject, device_id,
  place, ward, bed, patient_id, from_us, to_us, state, reason, cause, revision, at_us, stored_us,
  driver, attestation, attested_by, treatment)
VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
ON CONFLICT (gateway, association_id, revision) WHERE association_id IS NOT NULL AND revision > 0
  DO NOTHING"""

INSERT_ORDER = """
INSERT INTO infusion_orders (gateway, lane, epoch, seq, device_id, message_id, received_us,
  stored_us, ordered_us, action, order_id, drug, drug_code, volume_ml, rate_ml_h, dose, dose_unit,
  route, bed, ward, driver, attestation, attested_by, treatment)
VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
ON CONFLICT (device_id, message_id, order_id) WHERE message_id IS NOT NULL DO NOTHING"""

INSERT_CLOCK = """
INSERT INTO gateway_clocks (gateway, lane, epoch, seq, device_id, at_us, stored_us, cause, source,
  synchronised, error_us, offset_us, stratum, reference, root_delay_us, root_dispersion_us,
  frequency_ppb, leap, step_us, treatment)
VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"""

INSERT_LINK = """
INSERT INTO link_states (gateway, lane, epoch, seq, device_id, at_us, stored_us, network_us, cause,
  cell, zones, rsrp_dbm, rsrq_db, sinr_db, driver, attestation, attested_by, treatment)
VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"""

INSERT_GAP = """
INSERT INTO gaps (gateway, source, device_id, reason, lane, epoch, first_seq, last_seq, from_us,
  to_us, reports, stored_us)
VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"""


def alarm_row(place: Place, seq: int, a: pb.Alarm, bed: int | None) -> Row:
    """One row of ``alarms``; ``bed`` is the key of its bed.

    Raises:
        BadBatchError: a number outside its enumeration, or codes without values.
    """
    if len(a.codes) != len(a.values):
        raise BadBatchError("values")
    keys = place.named.keys
    values = [(keys.get(c, c), v) for c, v in zip(a.codes, a.values, strict=True)]
    return (
        place.gateway,
        place.epoch,
        seq,
        a.alarm_id or None,
        a.device_id,
        a.bed,
        word(AlarmPriority, a.priority),
        word(AlarmPhase, a.phase),
        word(AlarmKind, a.kind),
        word(AlarmSource, a.source),
        a.code,
        a.condition,
        a.text,
        a.onset_us,
        a.at_us,
        place.stored_us,
        a.message_id or None,
        _json.encode(values).decode(),
        a.limit,
        a.driver,
        word(Attestation, a.attestation),
        a.attested_by,
        place.treatment,
        a.ward,
        a.patient_id,
        a.association_id,
        number(AssociationState, a.association_state),
        bed,
    )


def association_row(place: Place, seq: int, a: pb.AssociationChange, bed: int | None) -> Row:
    """One row of ``association_changes``; ``bed`` is the key of its bed.

    Raises:
        BadBatchError: a number outside its enumeration, or one that does not fit.
    """
    if a.revision >= 2**63:
        raise BadBatchError("association_revision")
    return (
        place.gateway,
        place.lane_name,
        place.epoch,
        seq,
        a.association_id or None,
        word(AssociationSubject, a.subject),
        a.device_id,
        bed,
        a.ward,
        a.bed,
        a.patient_id,
        a.from_us,
        a.to_us or None,
        number(AssociationState, a.state),
        a.reason,
        a.cause,
        a.revision,
        a.at_us,
        place.stored_us,
        a.driver,
        word(Attestation, a.attestation),
        a.attested_by,
        place.treatment,
    )


def status_row(place: Place, seq: int, s: pb.DeviceStatus) -> Row:
    """One row of ``statuses``.

    Raises:
        BadBatchError: a number outside its enumeration.
    """
    return (
        place.gateway,
        place.lane_name,
        place.epoch,
        seq,
        s.device_id,
        s.message_id or None,
        s.kind,
        s.received_us,
        place.stored_us,
        s.device_us or None,
        word(DeviceState, s.state),
        s.reason,
        s.firmware,
        s.battery_percent if s.battery_percent >= 0 else None,
        s.detail,
        s.driver,
        word(Attestation, s.attestation),
        s.attested_by,
        place.treatment,
    )


def inventory_row(place: Place, seq: int, e: pb.InventoryEvent) -> Row:
    """One row of ``inventory``.

    Raises:
        BadBatchError: a number outside its enumeration.
    """
    return (
        place.gateway,
        place.lane_name,
        place.epoch,
        seq,
        e.device_id,
        e.message_id or None,
        e.received_us,
        place.stored_us,
        e.device_us or None,
        word(InventoryAction, e.action),
        e.epc,
        e.place,
        e.from_place,
        e.badge,
        e.driver,
        word(Attestation, e.attestation),
        e.attested_by,
        place.treatment,
        e.session,
        e.item_class,
        e.lot,
        e.expiry,
        _json.encode(list(e.badges)).decode(),
        e.reason,
    )


def cabinet_row(place: Place, seq: int, e: pb.CabinetEvent) -> Row:
    """One row of ``cabinet_events``.

    Raises:
        BadBatchError: a number outside its enumeration.
    """
    counts = [
        [c.item_class, c.expected, c.found, c.doubted, c.counted if c.HasField("counted") else None]
        for c in e.counts
    ]
    return (
        place.gateway,
        place.lane_name,
        place.epoch,
        seq,
        e.device_id,
        e.message_id or None,
        e.received_us,
        place.stored_us,
        word(CabinetEventKind, e.kind),
        e.door,
        e.session,
        e.opened_us or None,
        e.closed_us or None,
        int(e.unseen_close),
        word(AccessVerdict, e.verdict) if e.verdict else "",
        _json.encode(list(e.badges)).decode(),
        _json.encode(counts).decode(),
        e.reason,
        e.driver,
        word(Attestation, e.attestation),
        e.attested_by,
        place.treatment,
    )


def notification_row(place: Place, seq: int, n: pb.AlarmNotification) -> Row:
    """One row of ``notifications``.

    Raises:
        BadBatchError: a number outside its enumeration.
    """
    return (
        place.gateway,
        place.lane_name,
        place.epoch,
        seq,
        n.device_id,
        n.at_us,
        place.stored_us,
        word(NotificationAction, n.action),
        n.alarm_id,
        n.condition,
        word(AlarmPriority, n.priority) if n.priority else None,
        word(AlarmPhase, n.phase) if n.phase else None,
        n.n,
        n.level,
        n.bed,
        n.ward,
        n.outlet,
        n.by,
        n.reason,
        n.since_us or None,
        n.until_us or None,
        n.count,
        n.driver,
        word(Attestation, n.attestation),
        n.attested_by,
        place.treatment,
    )


def order_row(place: Place, seq: int, o: pb.InfusionOrder) -> Row:
    """One row of ``infusion_orders``.

    Raises:
        BadBatchError: a number outside its enumeration.
    """
    return (
        place.gateway,
        place.lane_name,
        place.epoch,
        seq,
        o.device_id,
        o.message_id or None,
        o.received_us,
        place.stored_us,
        o.ordered_us or None,
        word(InfusionOrderAction, o.action),
        o.order_id,
        o.drug,
        o.drug_code,
        o.volume_ml if o.HasField("volume_ml") else None,
        o.rate_ml_h if o.HasField("rate_ml_h") else None,
        o.dose if o.HasField("dose") else None,
        o.dose_unit,
        o.route,
        o.bed,
        o.ward,
        o.driver,
        word(Attestation, o.attestation),
        o.attested_by,
        place.treatment,
    )


def clock_row(place: Place, seq: int, c: pb.GatewayClock) -> Row:
    """One row of ``gateway_clocks``.

    Raises:
        BadBatchError: a number outside its enumeration, or one that does not fit.
    """
    if max(c.error_us, c.root_delay_us, c.root_dispersion_us) >= 2**63:
        raise BadBatchError("gateway_clock")
    return (
        place.gateway,
        place.lane_name,
        place.epoch,
        seq,
        c.device_id,
        c.at_us,
        place.stored_us,
        c.cause,
        c.source,
        int(c.synchronised),
        c.error_us or None,
        c.offset_us,
        c.stratum,
        c.reference,
        c.root_delay_us,
        c.root_dispersion_us,
        c.frequency_ppb,
        word(LeapStatus, c.leap),
        c.step_us,
        place.treatment,
    )


def link_row(place: Place, seq: int, s: pb.LinkState) -> Row:
    """One row of ``link_states``.

    Raises:
        BadBatchError: a number outside its enumeration.
    """
    return (
        place.gateway,
        place.lane_name,
        place.epoch,
        seq,
        s.device_id,
        s.at_us,
        place.stored_us,
        s.network_us or None,
        s.cause,
        s.cell or None,
        _json.encode(list(s.zones)).decode(),
        s.rsrp_dbm if s.HasField("rsrp_dbm") else None,
        s.rsrq_db if s.HasField("rsrq_db") else None,
        s.sinr_db if s.HasField("sinr_db") else None,
        s.driver,
        word(Attestation, s.attestation),
        s.attested_by,
        place.treatment,
    )


def gap_row(place: Place, g: pb.Gap) -> Row:
    """One row of ``gaps`` for a gateway's own Gap record.

    Raises:
        BadBatchError: a lane that is none, or a number that does not fit.
    """
    if max(g.epoch, g.first_seq, g.last_seq, g.reports) >= 2**63:
        raise BadBatchError("gap")
    return (
        place.gateway,
        "gateway",
        g.device_id,
        g.reason,
        word(Lane, g.lane) if g.lane else None,
        g.epoch or None,
        g.first_seq or None,
        g.last_seq or None,
        g.from_us or None,
        g.to_us or None,
        g.reports,
        place.stored_us,
    )
