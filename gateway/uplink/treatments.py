"""What pseudonymising and masking do to a section.

Rules:

1. Every field of every record is in exactly one of the tables below; a field that the contract
   gains later stops this module from loading until somebody decides what it reveals.
2. *Keyed* fields name somebody or something. Pseudonymising replaces them by HMAC-SHA-256 under a
   key of the destination and project, cut to 128 bits: the same device stays the same device
   there, and nowhere else. Masking removes them.
3. *Dropped* fields are removed by both: free text, places and beds, who attests.
4. A message id is keyed together with its device's id, so that an alarm still points to its
   report and a repeated report is still recognised, and a counter can't be guessed back.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from gateway.domain.errors import MalformedError
from gateway.domain.labels import Treatment
from protos.wardgate.v1 import ingest_pb2 as pb

PSEUDONYM_BYTES = 16
KEY_BYTES_MIN = 32
NAMES_CACHED_MAX = 65536
"""Pseudonyms of device ids remembered; beyond it the cache starts anew."""


class Fields(NamedTuple):
    """The fields of one kind of record, by what they reveal."""

    keyed: tuple[str, ...]
    dropped: tuple[str, ...]
    kept: tuple[str, ...]


RECORD_FIELDS: Mapping[str, Fields] = {
    "report": Fields(
        ("device_id",),
        ("bed", "attested_by", "texts"),
        (
            "kind",
            "received_us",
            "device_us",
            "time_quality",
            "offset_us",
            "message_id",
            "driver",
            "attestation",
            "codes",
            "values",
            "qualities",
            "enumerations",
            "waveforms",
        ),
    ),
    "alarm": Fields(
        ("device_id", "alarm_id"),
        ("bed", "attested_by", "text"),
        (
            "priority",
            "phase",
            "kind",
            "source",
            "code",
            "condition",
            "onset_us",
            "at_us",
            "message_id",
            "codes",
            "values",
            "limit",
            "driver",
            "attestation",
        ),
    ),
    "inventory_event": Fields(
        ("device_id", "epc"),
        ("place", "from_place", "badge", "attested_by"),
        ("received_us", "device_us", "action", "message_id", "driver", "attestation"),
    ),
    "device_status": Fields(
        ("device_id",),
        ("detail", "attested_by"),
        (
            "kind",
            "received_us",
            "device_us",
            "state",
            "reason",
            "firmware",
            "battery_percent",
            "message_id",
            "driver",
            "attestation",
        ),
    ),
    "gap": Fields(
        ("device_id",),
        (),
        ("reason", "lane", "epoch", "first_seq", "last_seq", "from_us", "to_us", "reports"),
    ),
}
"""``message_id`` is listed as kept and treated by rule 4."""
PART_FIELDS: Mapping[str, tuple[str, ...]] = {
    "Section": (
        "data_class",
        "level",
        "treatment",
        "first_seq",
        "seq_offsets",
        "metrics",
        "records",
    ),
    "Metric": ("code", "refid", "unit"),
    "Enumeration": ("code", "value", "name", "quality"),
    "Waveform": (
        "code",
        "start_us",
        "sample_rate_hz",
        "scale",
        "offset",
        "samples",
        "quality",
    ),
}
"""What records are made of and within; all of it is kept."""


def _check_tables() -> None:
    bodies = pb.Record.DESCRIPTOR.oneofs_by_name["body"].fields
    declared: dict[str, tuple[set[str], Any]] = {
        body.name: ({f for group in RECORD_FIELDS[body.name] for f in group}, body.message_type)
        for body in bodies
    }
    for name, parts in PART_FIELDS.items():
        declared[name] = (set(parts), getattr(pb, name).DESCRIPTOR)
    for name, (known, descriptor) in declared.items():
        if known != set(descriptor.fields_by_name):
            raise TypeError(f"{name}: decide what its fields reveal")


_check_tables()


class Pseudonyms:
    """Names of one destination and project; equal for equal input, meaningless elsewhere."""

    def __init__(self, secret: bytes, destination: str, project: str) -> None:
        """Derive the key.

        Raises:
            ValueError: a secret shorter than KEY_BYTES_MIN.
        """
        if len(secret) < KEY_BYTES_MIN:
            raise ValueError(f"a pseudonym key needs {KEY_BYTES_MIN} bytes")
        scope = b"wardgate pseudonyms 1\0" + destination.encode() + b"\0" + project.encode()
        self._key = hmac.digest(secret, scope, hashlib.sha256)
        self._names: dict[str, str] = {}

    def name(self, name: str) -> str:
        """The pseudonym of a name; of nothing it is nothing."""
        if not name:
            return ""
        known = self._names.get(name)
        if known is None:
            if len(self._names) >= NAMES_CACHED_MAX:
                self._names.clear()
            known = self._names[name] = self._hmac(b"n\0" + name.encode())
        return known

    def message_id(self, device_id: str, message_id: str) -> str:
        """The pseudonym of a message id within its device."""
        if not message_id:
            return ""
        return self._hmac(b"m\0" + device_id.encode() + b"\0" + message_id.encode())

    def _hmac(self, message: bytes) -> str:
        return hmac.digest(self._key, message, "sha256")[:PSEUDONYM_BYTES].hex()


def treat(section: bytes, treatment: Treatment, pseudonyms: Pseudonyms | None) -> bytes:
    """A serialised section, pseudonymised or masked.

    Raises:
        MalformedError: not a section.
        ValueError: a treatment that leaves a section as it is or nothing of it, or no key.
    """
    try:
        message = pb.Section.FromString(section)
    except DecodeError as error:
        raise MalformedError("section", str(error)) from error
    message.DiscardUnknownFields()
    if treatment is Treatment.MASK:
        message.treatment = pb.TREATMENT_MASK
        change: Callable[[Any, Fields], None] = _mask
    elif treatment is Treatment.PSEUDONYMISE and pseudonyms is not None:
        message.treatment = pb.TREATMENT_PSEUDONYMISE
        change = _Rename(pseudonyms)
    else:
        raise ValueError(f"can't {treatment.name.lower()} a section")
    for record in message.records:
        body = record.WhichOneof("body")
        if body is None:
            raise MalformedError("section", "a record without a body")
        change(getattr(record, body), RECORD_FIELDS[body])
    return message.SerializeToString()


class _Rename:
    """Pseudonymises one record in place."""

    def __init__(self, pseudonyms: Pseudonyms) -> None:
        self._name = pseudonyms.name
        self._message_id = pseudonyms.message_id

    def __call__(self, record: Any, fields: Fields) -> None:
        if fields is not _GAP:
            message_id = record.message_id
            if message_id:
                record.message_id = self._message_id(record.device_id, message_id)
        for field in fields.keyed:
            setattr(record, field, self._name(getattr(record, field)))
        for field in fields.dropped:
            record.ClearField(field)


def _mask(record: Any, fields: Fields) -> None:
    if fields is not _GAP:
        record.ClearField("message_id")
    for field in fields.keyed:
        record.ClearField(field)
    for field in fields.dropped:
        record.ClearField(field)


_GAP = RECORD_FIELDS["gap"]
