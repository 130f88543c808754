"""What rows refer to by key: gateways, devices, metrics, contexts and shapes; cached.

Everything here is bounded: beyond the bound a cache starts anew, what is longer than its kind ever
is is looked up each time, and a gateway that invents more metrics than a store takes, or such with
names without end, is rejected.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple

from core.batches import BadBatchError
from core.columns import BEDS, Columns
from core.context import Head
from core.reports import Named
from gateway.domain.labels import Lane
from protos.wardgate.v1 import ingest_pb2 as pb

METRICS_MAX = 65536
"""Distinct (code, REFID, unit) rows; a gateway that invents more is rejected."""
METRIC_CHARS_MAX = 1024
"""Of a REFID and its unit."""
DICTIONARIES_MAX = 4096
"""Distinct section dictionaries remembered; others are looked up metric by metric."""
DICTIONARY_BYTES_MAX = 16 << 10
"""Of one that is remembered: some 400 metrics."""
WORDS_CHARS_MAX = 2048
"""Of a context's words, or a bed's, that are remembered."""
CONTEXTS_MAX = 65536
"""Contexts remembered: about 600 bytes each."""
PLACES_MAX = 16384
"""Beds remembered; beyond it they are looked up anew."""
_FREE_KEY = 2**32
"""Keys from here on belong to codes that are known with another unit."""

_INSERT_CONTEXT = """
INSERT INTO contexts (gateway, lane, epoch, class, level, treatment, device, kind, bed, driver,
  attestation, attested_by, time_quality, ward, patient_id, association_id, association_state,
  place)
VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING"""
_SELECT_CONTEXT = """
SELECT key FROM contexts WHERE (gateway, lane, epoch, class, level, treatment, device, kind, bed,
  driver, attestation, attested_by, time_quality, ward, patient_id, association_id,
  association_state) = (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"""
_INSERT = {
    "gateway": "INSERT INTO gateways (name) VALUES (?) ON CONFLICT DO NOTHING",
    "device": "INSERT INTO devices (name) VALUES (?) ON CONFLICT DO NOTHING",
    "shape": "INSERT INTO shapes (metrics) VALUES (?) ON CONFLICT DO NOTHING",
    "place": "INSERT INTO places (name) VALUES (?) ON CONFLICT DO NOTHING",
}
_SELECT = {
    "gateway": "SELECT key FROM gateways WHERE name = ?",
    "device": "SELECT key FROM devices WHERE name = ?",
    "shape": "SELECT key FROM shapes WHERE metrics = ?",
    "place": "SELECT key FROM places WHERE name = ?",
}


class Common(NamedTuple):
    """What the contexts of one section share."""

    gateway: int
    lane: Lane
    epoch: int
    data_class: int
    level: int
    treatment: int


class Contexts:
    """The contexts of one gateway, lane, epoch and label."""

    def __init__(self, dictionary: Dictionary, common: Common) -> None:
        self.known: dict[tuple[Any, ...], tuple[int, int]] = {}
        """Head -> (device, context)."""
        self._dictionary = dictionary
        self._common = common

    def find(self, head: Head) -> tuple[int, int]:
        """The keys of the device and of the context, made if they are new."""
        found = self.known.get(head)
        if found is None:
            found = self._dictionary.context(self._common, head)
            if _are_short(head):
                self.known[head] = found
        return found


class Dictionary:
    """Keys, inside the caller's transaction."""

    def __init__(self, db: sqlite3.Connection, columns: Columns | None = None) -> None:
        """Take a store's connection, and what seals its sensitive columns, if anything does."""
        self._db = db
        self._columns = columns
        self._gateways: dict[str, int] = {}
        self._metrics: dict[tuple[int, str, str], int] = {}
        self._taken: set[int] = set()
        """The keys of metrics …"""
        self._free_key = _FREE_KEY
        """… and the first behind them all."""
        self._sections: dict[tuple[bytes, ...], Named] = {}
        self._places: dict[tuple[str, str], int] = {}
        self._contexts: dict[Common, Contexts] = {}
        self._context_count = 0

    def forget(self) -> None:
        """After a rollback: what was cached may never have been stored."""
        self._gateways.clear()
        self._metrics.clear()
        self._sections.clear()
        self._places.clear()
        self._forget_contexts()

    def gateway(self, name: str) -> int:
        """The key of a gateway, made if it is new."""
        key = self._gateways.get(name)
        if key is None:
            key = self._gateways[name] = self._key("gateway", name)
        return key

    def named(self, section: pb.Section) -> Named:
        """The metrics that the section names.

        Raises:
            BadBatchError: more distinct metrics than a store takes, or one with a longer name.
        """
        fingerprint = tuple([metric.SerializeToString() for metric in section.metrics])
        known = self._sections.get(fingerprint)
        if known is None:
            keys = {m.code: self._metric(m.code, m.refid, m.unit) for m in section.metrics}
            known = Named(keys, self._shape)
            short = sum(map(len, fingerprint)) <= DICTIONARY_BYTES_MAX
            if short and len(self._sections) < DICTIONARIES_MAX:
                self._sections[fingerprint] = known
        return known

    def contexts(self, gateway: int, lane: Lane, epoch: int, section: pb.Section) -> Contexts:
        """The contexts of a section."""
        common = Common(gateway, lane, epoch, section.data_class, section.level, section.treatment)
        found = self._contexts.get(common)
        if found is None:
            if self._context_count >= CONTEXTS_MAX:
                self._forget_contexts()
            self._context_count += 1
            found = self._contexts[common] = Contexts(self, common)
        return found

    def context(self, common: Common, head: Head) -> tuple[int, int]:
        """The keys of a device and of a context, made if they are new."""
        if self._context_count >= CONTEXTS_MAX:
            self._forget_contexts()
        self._context_count += 1
        device = self._key("device", head.device_id)
        place = self.bed(head.ward, head.bed)
        if self._columns is not None:
            head = self._columns.seal_head(head)
        row = (*common, device, *head[1:])
        self._db.execute(_INSERT_CONTEXT, (*row, place))
        (key,) = self._db.execute(_SELECT_CONTEXT, row).fetchone()
        return device, int(key)

    def bed(self, ward: str, bed: str) -> int | None:
        """The key of a ward's bed, made if it is new; None if there is no bed."""
        if not bed:
            return None
        key = self._places.get((ward, bed))
        if key is None:
            name = f"{ward}/{bed}"
            if self._columns is not None:
                name = self._columns.seal(BEDS, "place", name)
            if len(self._places) >= PLACES_MAX:
                self._places.clear()
            key = self._key("place", name)
            if _are_short((ward, bed)):
                self._places[ward, bed] = key
        return key

    def _forget_contexts(self) -> None:
        for contexts in self._contexts.values():
            contexts.known.clear()
        self._contexts.clear()
        self._context_count = 0

    def _shape(self, metrics: str) -> int:
        return self._key("shape", metrics)

    def _key(self, what: str, value: str) -> int:
        """The key of a row of one value, made if it is new."""
        self._db.execute(_INSERT[what], (value,))
        (key,) = self._db.execute(_SELECT[what], (value,)).fetchone()
        return int(key)

    def _metric(self, code: int, refid: str, unit: str) -> int:
        if not self._metrics:
            for *identity, key in self._db.execute("SELECT code, refid, unit, key FROM metrics"):
                self._metrics[tuple(identity)] = key
            self._taken = set(self._metrics.values())
            self._free_key = max((_FREE_KEY, *(key + 1 for key in self._taken)))
        found = self._metrics.get((code, refid, unit))
        if found is not None:
            return found
        if len(self._metrics) >= METRICS_MAX:
            raise BadBatchError("too_many_metrics")
        if len(refid) + len(unit) > METRIC_CHARS_MAX:
            raise BadBatchError("metric_too_long")
        key = code
        if key in self._taken:
            key, self._free_key = self._free_key, self._free_key + 1
        self._db.execute("INSERT INTO metrics VALUES (?,?,?,?)", (key, code, refid, unit))
        self._metrics[code, refid, unit] = key
        self._taken.add(key)
        return key


def _are_short(words: Iterable[object]) -> bool:
    return sum(len(word) for word in words if isinstance(word, str)) <= WORDS_CHARS_MAX
