"""Checked aggregates -> rows of the table ``aggregates``."""

from __future__ import annotations

import math

import msgspec

from core.batches import INT64_MAX, BadBatchError
from core.reports import Place, Row
from core.rows import word
from gateway.domain.records import AlarmPriority
from protos.wardgate.v1 import ingest_pb2 as pb

CELLS_MAX = 10_000
"""Statistics and counts of one aggregate; gateways send 4096 at most."""

_json = msgspec.json.Encoder()

INSERT_AGGREGATE = """
INSERT INTO aggregates (gateway, lane, epoch, first_seq, last_seq, class, level, from_us, to_us,
  devices_min, records, stored_us, statistics, alarm_counts)
VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)
ON CONFLICT (gateway, lane, epoch, first_seq, class, level) DO NOTHING"""


def aggregate_row(place: Place, section: pb.Section, a: pb.Aggregate) -> Row:
    """One row of ``aggregates``.

    Raises:
        BadBatchError: a range that is none, an unnamed metric, a number outside its enumeration
            or none at all, or too much.
    """
    if not 0 < a.first_seq <= a.last_seq <= INT64_MAX or not 0 < a.epoch <= INT64_MAX:
        raise BadBatchError("aggregate_range")
    if a.records > INT64_MAX or len(a.statistics) + len(a.alarm_counts) > CELLS_MAX:
        raise BadBatchError("aggregate_size")
    keys = place.named.keys
    statistics = []
    for each in a.statistics:
        if each.code not in keys:
            raise BadBatchError("unnamed_metric")
        numbers = (each.mean, each.standard_deviation)
        if not all(map(math.isfinite, numbers)):
            raise BadBatchError("values")
        statistics.append((each.kind, keys[each.code], each.devices, each.values, *numbers))
    counts = [
        (each.condition, word(AlarmPriority, each.priority), each.devices, each.alarms)
        for each in a.alarm_counts
    ]
    return (
        place.gateway,
        place.lane_name,
        a.epoch,
        a.first_seq,
        a.last_seq,
        section.data_class,
        section.level,
        a.from_us,
        a.to_us,
        a.devices_min,
        a.records,
        place.stored_us,
        _json.encode(statistics).decode(),
        _json.encode(counts).decode(),
    )
