"""Reading the store while the core writes it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from core.columns import Columns
from core.schema import newest_version
from gateway.domain.errors import ConfigError, KeyErasedError, SealBrokenError


class Reading(NamedTuple):
    """One row of the view ``readings``, with the report's key in the store."""

    id: int
    device_id: str
    message_id: str
    refid: str
    value: float | str | None
    unit: str
    quality: str
    lane: str
    seq: int


_SELECT = """
SELECT report.id, devices.name, coalesce(report.message_id, ''), metrics.refid, o.value,
  metrics.unit, coalesce(qualities.name, 'valid'),
  CASE contexts.lane WHEN 1 THEN 'alarms' ELSE 'telemetry' END, report.seq
FROM report
LEFT JOIN devices ON devices.key = report.device
LEFT JOIN contexts ON contexts.key = report.context
LEFT JOIN shapes ON shapes.key = report.shape
CROSS JOIN json_each(report."values") AS o
LEFT JOIN metrics ON metrics.key = json_extract(shapes.metrics, '$[' || o.key || ']')
LEFT JOIN qualities ON qualities.number = json_extract(report.qualities, '$[' || o.key || ']')
WHERE report.id > ? AND report.id <= ? ORDER BY report.id"""


class Statistic(NamedTuple):
    """One row of the view ``statistics``."""

    aggregate: int
    from_us: int
    to_us: int
    kind: str
    refid: str
    devices: int
    values: int
    mean: float
    standard_deviation: float
    unit: str


class AlarmCount(NamedTuple):
    """One row of the view ``alarm_counts``."""

    aggregate: int
    from_us: int
    to_us: int
    condition: str
    priority: str
    devices: int
    alarms: int


_SELECT_STATISTICS = """
SELECT aggregate, from_us, to_us, kind, refid, devices, "values", mean, standard_deviation, unit
FROM statistics WHERE aggregate > ? AND aggregate <= ? ORDER BY aggregate"""
_SELECT_ALARM_COUNTS = """
SELECT aggregate, from_us, to_us, condition, priority, devices, alarms
FROM alarm_counts WHERE aggregate > ? AND aggregate <= ? ORDER BY aggregate"""
AGGREGATES_MAX = 10
"""Keys of one look at the aggregates."""
REPORTS_MAX = 1000
"""Keys of one look at the store."""


def connect(path: Path) -> sqlite3.Connection:
    """Open the store for reading.

    Raises:
        ConfigError: there is no store, or none of this version.
    """
    if not path.exists():
        raise ConfigError(f"{path}: no such store")
    try:
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        (found,) = db.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        raise ConfigError(f"{path}: {error}") from error
    if found != newest_version():
        db.close()
        raise ConfigError(
            f"{path}: schema {found}, this software reads {newest_version()};"
            " `core run` carries an older store over"
        )
    return db


def newest(db: sqlite3.Connection, reports: int) -> int:
    """The key behind which the newest ``reports`` reports lie."""
    last: int = db.execute("SELECT coalesce(max(id), 0) FROM report").fetchone()[0]
    return max(0, last - reports)


def readings(db: sqlite3.Connection, after: int) -> Iterator[Reading]:
    """Readings of the reports behind ``after``, a bounded number of them."""
    for row in db.execute(_SELECT, (after, after + REPORTS_MAX)):
        yield Reading(*row)


def opened(reading: Reading, columns: Columns | None) -> Reading:
    """A reading whose text, if it is one, is in the clear; as it is where that can't be."""
    if columns is None or not isinstance(reading.value, str):
        return reading
    try:
        word = columns.open(reading.device_id, "text", reading.value)
    except (KeyErasedError, SealBrokenError):
        return reading
    return reading._replace(value=word)


def newest_aggregate(db: sqlite3.Connection, aggregates: int) -> int:
    """The key behind which the newest aggregates lie."""
    last: int = db.execute("SELECT coalesce(max(id), 0) FROM aggregates").fetchone()[0]
    return max(0, last - aggregates)


def aggregated(db: sqlite3.Connection, after: int) -> tuple[int, list[Statistic | AlarmCount]]:
    """What the aggregates behind ``after`` say, a bounded number of them, and up to which one."""
    last = min(newest_aggregate(db, 0), after + AGGREGATES_MAX)
    found: list[Statistic | AlarmCount] = [
        Statistic(*row) for row in db.execute(_SELECT_STATISTICS, (after, last))
    ]
    found += [AlarmCount(*row) for row in db.execute(_SELECT_ALARM_COUNTS, (after, last))]
    return max(after, last), found
