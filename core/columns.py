"""Sensitive columns, sealed with a key per device: erase the key, and the device's texts are gone.

Rules:

1. Sealed are words that tell of a person or a place: beds, wards, places, patients, badges, texts
   of alarms and of devices, and who attests. Not the device's id, and no number: the view
   ``readings`` is as it was, but for observations that are texts.
2. A key belongs to one device and lies in a file of its own, beside the database, so that a copy of
   the database does not bring it along. It is sealed by the hospital's key, and durable before the
   first row that it seals is. Patients' times in beds are no device's and have one key together; so
   have the names by which records find beds (:mod:`core.links`).
3. AES-SIV (RFC 5297), bound to device and column: the same word of the same device and column looks
   the same. So rows can be found and told apart without being opened, a row that is stored again is
   the same row, and there is no nonce that could repeat. What it shows is that two words are equal.
4. Another process may erase a key or exchange the hospital's: the next transaction notices.
5. What was stored before columns were sealed stays readable.

A sealed word: ``sealed:<number of the key>:<base64>``. The numbers are never used twice.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from core.config import CoreConfig
from core.context import Head
from gateway.domain.errors import ConfigError, KeyErasedError, KeyMissingError, SealBrokenError
from protos.wardgate.v1 import ingest_pb2 as pb
from security.sealing import KeyRing, SealKey

KEY_BYTES = 64
"""AES-256-SIV takes two keys of 32 bytes."""
PREFIX = "sealed:"
FILE_MODE = 0o600
BUSY_TIMEOUT_MS = 5000

BEDS = "(beds)"
"""Has the key of beds, wherever a device stood at them; no device has such a name."""
PATIENTS = "(patients)"
"""Has the key of patients' times in beds."""
_FIELDS: dict[str, tuple[str, ...]] = {
    "alarm": ("bed", "text", "attested_by", "ward", "patient_id"),
    "device_status": ("detail", "attested_by"),
    "infusion_order": ("drug", "drug_code", "route", "bed", "ward", "attested_by"),
    "inventory_event": ("place", "from_place", "badge", "attested_by"),
    "alarm_notification": ("bed", "by", "reason", "attested_by"),
    "cabinet_event": ("door", "reason", "attested_by"),
    "link_state": ("cell", "attested_by"),
}
_LISTS: dict[str, tuple[str, ...]] = {
    "inventory_event": ("badges",),
    "cabinet_event": ("badges",),
    "link_state": ("zones",),
}
"""Fields of several words, each sealed; stored as a JSON array."""
_OF_CONTEXTS = """
SELECT {column}, 0 FROM contexts JOIN devices ON devices.key = contexts.device
WHERE devices.name = ?"""
_OF_REPORTS = """
SELECT each.value, report.received_us FROM report JOIN devices ON devices.key = report.device
CROSS JOIN json_each(report."values") AS each WHERE devices.name = ? AND each.type = 'text'"""
_OF_LISTS = """
SELECT each.value, {at} FROM {table} CROSS JOIN json_each({table}.{column}) AS each
WHERE device_id = ?"""
_OF_ASSOCIATIONS = """
SELECT {column}, at_us FROM association_changes
WHERE coalesce(nullif(device_id, ''), '(patients)') = ?"""


def _of_list(table: str, at: str = "received_us") -> str:
    return _OF_LISTS.format(table=table, at=at, column="{column}")


_CONTEXT = ("bed", "ward", "attested_by", "patient_id")
_ASSOCIATION = ("ward", "bed", "patient_id", "attested_by")
_WORDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "contexts": (_OF_CONTEXTS, _CONTEXT),
    "alarms": ("SELECT {column}, at_us FROM alarms WHERE device_id = ?", _FIELDS["alarm"]),
    "statuses": (
        "SELECT {column}, received_us FROM statuses WHERE device_id = ?",
        _FIELDS["device_status"],
    ),
    "inventory": (
        "SELECT {column}, received_us FROM inventory WHERE device_id = ?",
        _FIELDS["inventory_event"],
    ),
    "notifications": (
        'SELECT "{column}", at_us FROM notifications WHERE device_id = ?',
        _FIELDS["alarm_notification"],
    ),
    "infusion_orders": (
        "SELECT {column}, received_us FROM infusion_orders WHERE device_id = ?",
        _FIELDS["infusion_order"],
    ),
    "cabinet_events": (
        "SELECT {column}, received_us FROM cabinet_events WHERE device_id = ?",
        _FIELDS["cabinet_event"],
    ),
    "link_states": (
        "SELECT {column}, at_us FROM link_states WHERE device_id = ?",
        _FIELDS["link_state"],
    ),
    "inventory.badges": (_of_list("inventory"), ("badges",)),
    "cabinet_events.badges": (_of_list("cabinet_events"), ("badges",)),
    "link_states.zones": (_of_list("link_states", "at_us"), ("zones",)),
    "report": (_OF_REPORTS, ("text",)),
    "association_changes": (_OF_ASSOCIATIONS, _ASSOCIATION),
}
_SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE keys (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  device TEXT NOT NULL UNIQUE,
  begun_us INTEGER NOT NULL,
  hospital_key INTEGER NOT NULL,
  sealed BLOB NOT NULL
) STRICT;
CREATE TABLE erased (
  number INTEGER PRIMARY KEY,
  device TEXT NOT NULL,
  begun_us INTEGER NOT NULL,
  erased_us INTEGER NOT NULL,
  by TEXT NOT NULL,
  reason TEXT NOT NULL
) STRICT;
PRAGMA user_version = 1;
COMMIT;
"""


class DeviceKey(NamedTuple):
    """What may be said of a key."""

    number: int
    device: str
    begun_us: int


class Columns:
    """Seals and opens words; used by one thread at a time."""

    def __init__(self, path: Path, ring: Callable[[], KeyRing], now_us: Callable[[], int]) -> None:
        """Open or make the file of keys.

        Args:
            path: the file.
            ring: reads the hospital's keys; asked again when another process changed the file.
            now_us: wall time.

        Raises:
            ConfigError: the ring can't be used, or the file is a newer release's.
            KeyMissingError, SealBrokenError: the ring lacks a key that sealed, or has another.
            OSError, sqlite3.Error: the file can't be opened.
        """
        self._read_ring = ring
        self._now_us = now_us
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, FILE_MODE))
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._db.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
            self._db.execute("PRAGMA synchronous=FULL")
            # An erased key's page is overwritten, and so is the copy in the rollback journal.
            self._db.execute("PRAGMA secure_delete=ON")
            self._db.execute("PRAGMA journal_mode=TRUNCATE")
            self._migrate(path)
            self._load()
        except BaseException:
            self._db.close()
            raise

    def _migrate(self, path: Path) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._db.executescript(_SCHEMA)
        elif version > 1:
            raise ConfigError(f"{path}: schema {version}: a newer release's")

    def close(self) -> None:
        """Close the file; idempotent."""
        self._db.close()

    def _load(self) -> None:
        self._ring = self._read_ring()
        self._seen = self._version()
        self._by_number: dict[int, tuple[str, AESSIV]] = {}
        self._by_device: dict[str, tuple[int, AESSIV]] = {}
        rows = self._db.execute("SELECT number, device, hospital_key, sealed FROM keys").fetchall()
        for number, device, hospital_key, sealed in rows:
            self._known(number, device, AESSIV(self._unwrap(number, device, hospital_key, sealed)))

    def _known(self, number: int, device: str, key: AESSIV) -> None:
        self._by_number[number] = device, key
        self._by_device[device] = number, key

    def _version(self) -> int:
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def refresh(self) -> bool:
        """Notice what another process changed; True when there was something.

        Raises:
            ConfigError, KeyMissingError, SealBrokenError, sqlite3.Error: as the constructor.
        """
        if self._version() == self._seen:
            return False
        self._load()
        return True

    # -- words ---------------------------------------------------------------------------------

    def seal(self, device: str, column: str, word: str) -> str:
        """A word as it is stored; an empty one says nothing and stays.

        Raises:
            sqlite3.Error: a new device's key can't be made durable.
        """
        if not word:
            return word
        number, key = self._by_device.get(device) or self._new(device)
        sealed = key.encrypt(word.encode(), _bound(device, column))
        return f"{PREFIX}{number}:{base64.b64encode(sealed).decode()}"

    def open(self, device: str, column: str, word: str) -> str:
        """What was sealed; a word that never was is returned as it is.

        Raises:
            KeyErasedError: its key was erased.
            SealBrokenError: it was changed, or belongs to another device or column.
        """
        if not word.startswith(PREFIX):
            return word
        number, _, encoded = word.removeprefix(PREFIX).partition(":")
        try:
            found = self._by_number.get(int(number))
            sealed = base64.b64decode(encoded, validate=True)
        except (ValueError, binascii.Error) as error:
            raise SealBrokenError("not a sealed word") from error
        if found is None:
            raise KeyErasedError(f"key {int(number)} was erased")
        try:
            return found[1].decrypt(sealed, _bound(device, column)).decode()
        except (InvalidTag, ValueError) as error:
            raise SealBrokenError(f"a word that key {int(number)} sealed doesn't open") from error

    def seal_head(self, head: Head) -> Head:
        """What a context says, with its words sealed."""
        device = head.device_id
        return head._replace(
            bed=self.seal(device, "bed", head.bed),
            ward=self.seal(device, "ward", head.ward),
            attested_by=self.seal(device, "attested_by", head.attested_by),
            patient_id=self.seal(device, "patient_id", head.patient_id),
        )

    def seal_record(self, record: pb.Record) -> None:
        """Seal the words of a record that is to be stored, but for a report's who and where."""
        body = record.WhichOneof("body")
        if body == "report":
            for text in record.report.texts:
                text.value = self.seal(record.report.device_id, "text", text.value)
        elif body == "association_change":
            told = record.association_change
            whose = told.device_id or PATIENTS
            for name in _ASSOCIATION:
                setattr(told, name, self.seal(whose, name, getattr(told, name)))
        elif body in _FIELDS:
            message: Any = getattr(record, body)
            for name in _FIELDS[body]:
                sealed = self.seal(message.device_id, name, getattr(message, name))
                setattr(message, name, sealed)
            for name in _LISTS.get(body, ()):
                words = getattr(message, name)
                words[:] = [self.seal(message.device_id, name, word) for word in words]

    def _new(self, device: str) -> tuple[int, AESSIV]:
        key = secrets.token_bytes(KEY_BYTES)
        self._ring = self._read_ring()  # it may be exchanged at any time, and devices are few
        with self._transaction():
            # The number is part of what is sealed, so it has to be known first.
            number = self._db.execute(
                "INSERT INTO keys (device, begun_us, hospital_key, sealed) VALUES (?, ?, 0, x'')",
                (device, self._now_us()),
            ).lastrowid
            number = int(number or 0)
            self._wrap(number, device, key)
        made = AESSIV(key)
        self._known(number, device, made)
        return number, made

    # -- keys ----------------------------------------------------------------------------------

    def held(self) -> list[DeviceKey]:
        """Every key, the oldest first."""
        rows = self._db.execute("SELECT number, device, begun_us FROM keys ORDER BY number")
        return [DeviceKey(*row) for row in rows]

    def hospital_keys(self) -> list[int]:
        """The hospital's keys that seal any of them."""
        rows = self._db.execute("SELECT DISTINCT hospital_key FROM keys ORDER BY hospital_key")
        return [number for (number,) in rows]

    def erase(self, device: str, by: str, reason: str) -> DeviceKey | None:
        """Destroy a device's key, durably; None when it has none. The next word makes another.

        Raises:
            sqlite3.Error: it is there as before.
        """
        with self._transaction():
            row = self._db.execute(
                "SELECT number, device, begun_us FROM keys WHERE device = ?", (device,)
            ).fetchone()
            if row is None:
                return None
            gone = DeviceKey(*row)
            self._db.execute("DELETE FROM keys WHERE number = ?", (gone.number,))
            self._db.execute(
                "INSERT INTO erased VALUES (?,?,?,?,?,?)", (*gone, self._now_us(), by, reason)
            )
        self._by_number.pop(gone.number, None)
        self._by_device.pop(device, None)
        return gone

    def rewrap(self) -> int:
        """Seal all keys by the ring's active key; how many were sealed by another.

        Raises:
            sqlite3.Error: they are sealed as before.
        """
        with self._transaction():
            rows = self._db.execute(
                "SELECT number, device, hospital_key, sealed FROM keys WHERE hospital_key <> ?",
                (self._ring.active,),
            ).fetchall()
            for number, device, hospital_key, sealed in rows:
                self._wrap(number, device, self._unwrap(number, device, hospital_key, sealed))
        return len(rows)

    def _wrap(self, number: int, device: str, key: bytes) -> None:
        sealed = self._hospital(self._ring.active).seal(key, _place(number, device))
        self._db.execute(
            "UPDATE keys SET hospital_key = ?, sealed = ? WHERE number = ?",
            (self._ring.active, sealed, number),
        )

    def _unwrap(self, number: int, device: str, hospital_key: int, sealed: bytes) -> bytes:
        return self._hospital(hospital_key).open(sealed, _place(number, device))

    def _hospital(self, number: int) -> SealKey:
        key = self._ring.key(number)
        if key is None:
            raise KeyMissingError(
                f"devices' keys are sealed by the hospital's key {number}, which the ring lacks"
            )
        return SealKey(str(number), key)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.rollback()
            raise


def columns_of(config: CoreConfig, now_us: Callable[[], int]) -> Columns | None:
    """What seals a core's columns; None when it is not configured.

    Raises:
        ConfigError, KeyMissingError, SealBrokenError, OSError, sqlite3.Error: as the constructor.
    """
    ring = config.store.seal_keys
    if ring is None:
        return None
    path = config.database.with_name(f"{config.database.name}.keys")
    return Columns(path, lambda: KeyRing.load(ring), now_us)


def sealed_words(db: sqlite3.Connection, device: str) -> Iterable[tuple[str, str, int, str]]:
    """(table, column, time in microseconds, word as stored) of everything a device may have sealed.

    A context has no time of its own: 0.
    """
    for table, (query, columns) in _WORDS.items():
        for column in columns:
            for word, at_us in db.execute(query.format(column=column), (device,)):
                if word:
                    yield table.partition(".")[0], column, at_us, word


def _bound(device: str, column: str) -> list[bytes]:
    return [b"wardgate core column 1", device.encode(), column.encode()]


def _place(number: int, device: str) -> bytes:
    return b"wardgate device key 1\0" + number.to_bytes(8, "big") + device.encode()
