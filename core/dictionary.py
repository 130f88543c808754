"""Names and metrics that rows refer to by key, cached."""

from __future__ import annotations

import sqlite3

from core.batches import BadBatchError
from core.rows import Named
from protos.wardgate.v1 import ingest_pb2 as pb

METRICS_MAX = 65536
"""Distinct (code, REFID, unit) rows; a gateway that invents more is rejected."""
DICTIONARIES_MAX = 4096
"""Distinct section dictionaries remembered; others are looked up metric by metric."""
_FREE_KEY = 2**32
"""Keys from here on belong to codes that are known with another unit."""


class Dictionary:
    """Keys of gateways and metrics, inside the caller's transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._gateways: dict[str, int] = {}
        self._metrics: dict[tuple[int, str, str], int] = {}
        self._sections: dict[tuple[bytes, ...], Named] = {}

    def forget(self) -> None:
        """After a rollback: what was cached may never have been stored."""
        self._gateways.clear()
        self._metrics.clear()
        self._sections.clear()

    def gateway(self, name: str) -> int:
        """The key of a gateway, made if it is new."""
        key = self._gateways.get(name)
        if key is None:
            self._db.execute(
                "INSERT INTO gateways (name) VALUES (?) ON CONFLICT DO NOTHING", (name,)
            )
            row = self._db.execute("SELECT key FROM gateways WHERE name = ?", (name,)).fetchone()
            key = self._gateways[name] = int(row[0])
        return key

    def named(self, section: pb.Section) -> Named:
        """The metrics that the section names.

        Raises:
            BadBatchError: more distinct metrics than a store takes.
        """
        fingerprint = tuple([metric.SerializeToString() for metric in section.metrics])
        known = self._sections.get(fingerprint)
        if known is None:
            known = Named({m.code: self._metric(m.code, m.refid, m.unit) for m in section.metrics})
            if len(self._sections) < DICTIONARIES_MAX:
                self._sections[fingerprint] = known
        return known

    def _metric(self, code: int, refid: str, unit: str) -> int:
        if not self._metrics:
            for *identity, key in self._db.execute("SELECT code, refid, unit, key FROM metrics"):
                self._metrics[tuple(identity)] = key
        found = self._metrics.get((code, refid, unit))
        if found is not None:
            return found
        if len(self._metrics) >= METRICS_MAX:
            raise BadBatchError("too_many_metrics")
        taken = set(self._metrics.values())
        key = code if code not in taken else max(_FREE_KEY, *(k + 1 for k in taken))
        self._db.execute("INSERT INTO metrics VALUES (?,?,?,?)", (key, code, refid, unit))
        self._metrics[code, refid, unit] = key
        return key
