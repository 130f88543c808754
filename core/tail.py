"""Reading the store while the core writes it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gateway.domain.errors import ConfigError


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
SELECT report.id, report.device_id, coalesce(report.message_id, ''), metrics.refid,
  json_extract(report.observations, '$[1][' || o.key || ']'), metrics.unit,
  coalesce(qualities.name, 'valid'),
  CASE report.lane WHEN 1 THEN 'alarms' ELSE 'telemetry' END, report.seq
FROM report JOIN json_each(report.observations, '$[0]') AS o
LEFT JOIN metrics ON metrics.key = o.value
LEFT JOIN qualities
  ON qualities.number = json_extract(report.observations, '$[2][' || o.key || ']')
WHERE report.id > ? AND report.id <= ? ORDER BY report.id"""
REPORTS_MAX = 1000
"""Keys of one look at the store."""


def connect(path: Path) -> sqlite3.Connection:
    """Open the store for reading.

    Raises:
        ConfigError: there is no store.
    """
    if not path.exists():
        raise ConfigError(f"{path}: no such store")
    try:
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        db.execute("SELECT 1 FROM report LIMIT 1")
    except sqlite3.Error as error:
        raise ConfigError(f"{path}: {error}") from error
    return db


def newest(db: sqlite3.Connection, reports: int) -> int:
    """The key behind which the newest ``reports`` reports lie."""
    last: int = db.execute("SELECT coalesce(max(id), 0) FROM report").fetchone()[0]
    return max(0, last - reports)


def readings(db: sqlite3.Connection, after: int) -> Iterator[Reading]:
    """Readings of the reports behind ``after``, a bounded number of them."""
    for row in db.execute(_SELECT, (after, after + REPORTS_MAX)):
        yield Reading(*row)
