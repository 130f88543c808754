"""Checked records -> rows of the store's tables.

Numerics, enumerations and texts of a report are packed as JSON in one column; the view
``readings`` unfolds them, so that any SQLite client can read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, NamedTuple, TypeVar

import msgspec

from core.batches import BadBatchError
from gateway.domain.labels import Lane, Treatment
from gateway.domain.records import (
    AlarmKind,
    AlarmPhase,
    AlarmPriority,
    AlarmSource,
    Attestation,
    DeviceState,
    InventoryAction,
    Quality,
    TimeQuality,
)
from protos.wardgate.v1 import ingest_pb2 as pb

Row = tuple[Any, ...]

SHAPES_MAX = 1024
"""Lists of codes remembered per dictionary; beyond it they are made anew."""

_json = msgspec.json.Encoder()
_QUALITIES = frozenset(map(int, Quality))
_TIME_QUALITIES = frozenset(map(int, TimeQuality))
_TREATMENT_WORDS = {int(t): t.name.lower() for t in Treatment}
_E = TypeVar("_E", bound=IntEnum)


class Named:
    """The metrics that a section names: their keys, and key lists as JSON, made once."""

    def __init__(self, keys: Mapping[int, int]) -> None:
        self.keys = keys
        """Metric code -> key in the store."""
        self._shapes: dict[tuple[int, ...], str] = {}

    def shape(self, codes: tuple[int, ...]) -> str:
        """The keys of a report's codes, as a JSON array.

        Raises:
            BadBatchError: a code that the section does not name.
        """
        found = self._shapes.get(codes)
        if found is None:
            try:
                found = _json.encode([self.keys[code] for code in codes]).decode()
            except KeyError as error:
                raise BadBatchError("unnamed_metric") from error
            if len(self._shapes) >= SHAPES_MAX:
                self._shapes.clear()
            self._shapes[codes] = found
        return found


class Place(NamedTuple):
    """What all rows of one section of one batch share."""

    gateway: int
    lane: Lane
    epoch: int
    stored_us: int
    section: pb.Section
    named: Named

    @property
    def lane_name(self) -> str:
        return self.lane.name.lower()

    @property
    def treatment(self) -> str:
        return _TREATMENT_WORDS[self.section.treatment]


def word(enumeration: type[_E], number: int) -> str:
    """The lower-case name of a number.

    Raises:
        BadBatchError: the number is not in the enumeration.
    """
    try:
        return enumeration(number).name.lower()
    except ValueError as error:
        raise BadBatchError(f"unknown_{enumeration.__name__.lower()}") from error


INSERT_REPORT = """
INSERT INTO report (gateway, lane, epoch, seq, device_id, message_id, kind, received_us, stored_us,
  device_us, time_quality, offset_us, bed, driver, attestation, attested_by, class, level,
  treatment, observations, waveforms)
VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
ON CONFLICT (device_id, message_id) WHERE message_id IS NOT NULL DO NOTHING"""

INSERT_ALARM = """
INSERT INTO alarms (gateway, epoch, seq, alarm_id, device_id, bed, priority, phase, kind, source,
  code, condition, text, onset_us, at_us, stored_us, message_id, "values", "limit", driver,
  attestation, treatment)
VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
ON CONFLICT (alarm_id, phase, at_us) WHERE alarm_id IS NOT NULL DO NOTHING"""

INSERT_STATUS = """
INSERT INTO statuses (gateway, lane, epoch, seq, device_id, message_id, kind, received_us,
  stored_us, device_us, state, reason, firmware, battery_percent, detail, driver, attestation,
  treatment)
VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
ON CONFLICT (device_id, message_id) WHERE message_id IS NOT NULL DO NOTHING"""

INSERT_INVENTORY = """
INSERT INTO inventory (gateway, lane, epoch, seq, device_id, message_id, received_us, stored_us,
  device_us, action, epc, place, from_place, badge, driver, attestation, treatment)
VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
ON CONFLICT (device_id, message_id, epc) WHERE message_id IS NOT NULL DO NOTHING"""

INSERT_GAP = """
INSERT INTO gaps (gateway, source, device_id, reason, lane, epoch, first_seq, last_seq, from_us,
  to_us, reports, stored_us)
VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"""


def report_row(place: Place, seq: int, r: pb.Report) -> Row:
    """One row of ``report``.

    Raises:
        BadBatchError: values that don't go with the codes, an unnamed metric, or a number outside
            its enumeration.
    """
    section = place.section
    observations = _observations(r, place.named)
    waveforms = _waveforms(r, place.named.keys) if r.waveforms else None
    if r.time_quality not in _TIME_QUALITIES:
        raise BadBatchError("unknown_timequality")
    return (
        place.gateway,
        int(place.lane),
        place.epoch,
        seq,
        r.device_id,
        r.message_id or None,
        r.kind,
        r.received_us,
        place.stored_us,
        r.device_us or None,
        r.time_quality,
        r.offset_us,
        r.bed,
        r.driver,
        r.attestation,
        r.attested_by,
        section.data_class,
        section.level,
        section.treatment,
        observations,
        waveforms,
    )


def _observations(r: pb.Report, named: Named) -> str:
    """``[[metric keys], [values], [qualities], [MDC codes]]``, the last two where they say more."""
    codes = tuple(r.codes[:])
    values = r.values[:]
    qualities = r.qualities[:]
    if len(values) != len(codes) or (qualities and len(qualities) != len(codes)):
        raise BadBatchError("values")
    if not _QUALITIES.issuperset(qualities):
        raise BadBatchError("unknown_quality")
    if r.enumerations or r.texts:
        return _mixed(r, named, codes, values, qualities)
    marks = "," + _json.encode(qualities).decode() if qualities else ""
    return f"[{named.shape(codes)},{_json.encode(values).decode()}{marks}]"


def _mixed(
    r: pb.Report, named: Named, codes: tuple[int, ...], values: list[Any], qualities: list[Any]
) -> str:
    marks = qualities or [1] * len(codes)
    mdc = [0] * len(codes)
    for e in r.enumerations:
        codes += (e.code,)
        values.append(e.name)
        marks.append(e.quality or 1)
        mdc.append(e.value)
    for t in r.texts:
        codes += (t.code,)
        values.append(t.value)
        marks.append(1)
        mdc.append(0)
    if not _QUALITIES.issuperset(marks):
        raise BadBatchError("unknown_quality")
    return f"[{named.shape(codes)},{_json.encode((values, marks, mdc)).decode()[1:]}"


def _waveforms(r: pb.Report, keys: Mapping[int, int]) -> str:
    return _json.encode(
        [
            (
                keys.get(w.code, w.code),
                w.start_us,
                w.sample_rate_hz,
                w.scale,
                w.offset,
                w.quality or 1,
                list(w.samples),
            )
            for w in r.waveforms
        ]
    ).decode()


def alarm_row(place: Place, seq: int, a: pb.Alarm) -> Row:
    """One row of ``alarms``.

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
