"""What pseudonymising, generalising and masking do to a section.

Rules:

1. Every field of every record is in exactly one of the tables below; a field that the contract
   gains later stops this module from loading until somebody decides what it reveals.
2. *Keyed* fields name somebody or something. Pseudonymising and generalising replace them by
   keyed pseudonyms (:mod:`security.pseudonyms`): the same device stays the same device
   there, and nowhere else. Masking removes them.
3. *Dropped* fields are removed by all: free text, a device's own words, places, who attests.
   The *ward* is, too, unless generalising keeps it.
4. *Words* are a standard's, a driver's or the gateway's: what does not look like one is dropped.
5. *Times* are made coarse by generalising (:mod:`gateway.uplink.generalise`), and stay otherwise.
   *Linking* fields let a device be told from others: masking removes them, and generalising does
   where it cuts times.
6. A message id is keyed together with its device's id, so that an alarm still points to its
   report and a repeated report is still recognised, and a counter can't be guessed back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from gateway.domain.errors import MalformedError
from gateway.domain.labels import Treatment
from gateway.domain.terms import METRICS
from gateway.uplink.generalise import AGE_ABOVE, AGE_MAX, Coarse
from protos.wardgate.v1 import ingest_pb2 as pb
from security.pseudonyms import Pseudonyms

WORDS_CACHED_MAX = 4096
"""Words remembered to be words or none; beyond it all are looked at anew."""
_PART = r"(?!(?:[a-z_-]*[0-9]){7})[a-z0-9_-]{1,64}"
_WORD = re.compile(rf"{_PART}(?:\.{_PART})?|(?:MDC|WARDGATE)_[A-Z0-9_]{{1,64}}")
"""One part or two with a dot between, in lower case, with six digits at most each; or a REFID."""


@dataclass(frozen=True, eq=False)
class Fields:
    """The fields of one kind of record, by what they reveal. A key by its identity."""

    keyed: tuple[str, ...]
    dropped: tuple[str, ...]
    words: tuple[str, ...]
    times: tuple[str, ...]
    kept: tuple[str, ...]
    linking: tuple[str, ...] = ()
    ward: tuple[str, ...] = ()


RECORD_FIELDS: Mapping[str, Fields] = {
    "report": Fields(
        keyed=("device_id", "patient_id", "association_id"),
        dropped=("bed", "attested_by", "texts"),
        words=("kind", "driver"),
        times=("received_us", "device_us", "measured_us", "order_us"),
        kept=(
            "time_quality",
            "message_id",
            "attestation",
            "codes",
            "values",
            "qualities",
            "enumerations",
            "waveforms",
            "association_state",
        ),
        linking=("offset_us", "uncertainty_us", "time_marks"),
        ward=("ward",),
    ),
    "alarm": Fields(
        keyed=("device_id", "alarm_id", "patient_id", "association_id"),
        dropped=("bed", "attested_by", "text"),
        words=("condition", "driver"),
        times=("onset_us", "at_us"),
        kept=(
            "priority",
            "phase",
            "kind",
            "source",
            "code",
            "message_id",
            "codes",
            "values",
            "limit",
            "attestation",
            "association_state",
        ),
        ward=("ward",),
    ),
    "inventory_event": Fields(
        keyed=("device_id", "epc", "session"),
        dropped=("place", "from_place", "badge", "badges", "attested_by", "item_class"),
        words=("driver", "reason"),
        times=("received_us", "device_us"),
        kept=("action", "message_id", "attestation"),
        linking=("lot", "expiry"),
    ),
    "cabinet_event": Fields(
        keyed=("device_id", "session"),
        dropped=("door", "badges", "counts", "reason", "attested_by"),
        words=("driver",),
        times=("received_us", "opened_us", "closed_us"),
        kept=("kind", "verdict", "unseen_close", "message_id", "attestation"),
    ),
    "device_status": Fields(
        keyed=("device_id",),
        dropped=("detail", "firmware", "attested_by"),
        words=("kind", "reason", "driver"),
        times=("received_us", "device_us"),
        kept=("state", "battery_percent", "message_id", "attestation"),
    ),
    "alarm_notification": Fields(
        keyed=("device_id", "alarm_id"),
        # Which people and outlets there are is nobody's business elsewhere.
        dropped=("bed", "ward", "outlet", "by", "reason", "attested_by"),
        words=("condition", "driver"),
        times=("at_us", "since_us", "until_us"),
        kept=("action", "priority", "phase", "n", "level", "count", "message_id", "attestation"),
    ),
    "infusion_order": Fields(
        keyed=("device_id", "order_id"),
        dropped=("bed", "attested_by", "drug", "drug_code", "route"),
        words=("driver",),
        times=("received_us", "ordered_us"),
        kept=(
            "action",
            "volume_ml",
            "rate_ml_h",
            "dose",
            "dose_unit",
            "message_id",
            "attestation",
        ),
        ward=("ward",),
    ),
    "gateway_clock": Fields(
        keyed=("device_id",),
        dropped=("reference", "attested_by"),
        words=("cause", "source", "driver"),
        times=("at_us",),
        kept=(
            "synchronised",
            "error_us",
            "offset_us",
            "stratum",
            "root_delay_us",
            "root_dispersion_us",
            "leap",
            "step_us",
            "attestation",
        ),
        # A quartz has a rate of its own.
        linking=("frequency_ppb",),
    ),
    "link_state": Fields(
        keyed=("device_id",),
        # Cells and zones are places.
        dropped=("cell", "zones", "attested_by"),
        words=("cause", "driver"),
        times=("at_us", "network_us"),
        kept=("rsrp_dbm", "rsrq_db", "sinr_db", "attestation"),
    ),
    "gap": Fields(
        keyed=("device_id",),
        dropped=(),
        words=("reason",),
        times=("from_us", "to_us"),
        kept=("lane", "epoch", "first_seq", "last_seq", "reports"),
    ),
    "association_change": Fields(
        keyed=("association_id", "device_id", "patient_id"),
        dropped=("bed", "attested_by"),
        words=("reason", "cause", "driver"),
        times=("from_us", "to_us", "at_us"),
        kept=("subject", "state", "attestation"),
        # It counts what happens in a hospital, and is as good as a time.
        linking=("revision",),
        ward=("ward",),
    ),
}
"""``message_id`` is listed as kept and treated by rule 6, the parts of ``enumerations`` and
``waveforms`` by the table below."""
PART_FIELDS: Mapping[str, Fields] = {
    "Section": Fields(
        (),
        (),
        (),
        (),
        ("data_class", "level", "treatment", "first_seq", "seq_offsets", "metrics", "records"),
    ),
    "Metric": Fields((), (), (), (), ("code", "refid", "unit")),
    "Enumeration": Fields((), (), ("name",), (), ("code", "value", "quality")),
    "Waveform": Fields(
        (),
        (),
        (),
        ("start_us",),
        (
            "code",
            "sample_rate_hz",
            "scale",
            "offset",
            "samples",
            "quality",
            "deltas",
            "missing_before",
            "marks",
        ),
    ),
    "SampleMark": Fields((), (), (), (), ("first", "count", "kind")),
}
"""What records are made of and within."""
MADE_HERE = frozenset(("aggregate",))
"""Bodies that no journal holds: the release makes them, and nothing of them is treated again."""


def _check_tables() -> None:
    declared: dict[str, tuple[Fields | None, Any]] = {
        body.name: (RECORD_FIELDS.get(body.name), body.message_type)
        for body in pb.Record.DESCRIPTOR.oneofs_by_name["body"].fields
        if body.name not in MADE_HERE
    }
    for name, parts in PART_FIELDS.items():
        declared[name] = (parts, getattr(pb, name).DESCRIPTOR)
    for name, (fields, descriptor) in declared.items():
        groups = vars(fields).values() if fields else ()
        listed = [field for group in groups for field in group]
        if sorted(listed) != sorted(descriptor.fields_by_name):
            raise TypeError(f"{name}: decide what its fields reveal")


_check_tables()


def treat(
    section: bytes,
    treatment: Treatment,
    pseudonyms: Pseudonyms | None,
    coarse: Coarse | None = None,
) -> bytes:
    """A serialised section, pseudonymised, generalised or masked.

    Raises:
        MalformedError: not a section of what a journal holds.
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
    elif treatment is Treatment.GENERALISE and pseudonyms is not None and coarse is not None:
        message.treatment = pb.TREATMENT_GENERALISE
        ages = frozenset(each.code for each in message.metrics if _is_age(each.code))
        change = _Generalise(pseudonyms, coarse, ages)
    else:
        raise ValueError(f"can't {treatment.name.lower()} a section")
    for record in message.records:
        body = record.WhichOneof("body")
        fields = RECORD_FIELDS.get(body or "")
        if body is None or fields is None:
            raise MalformedError("section", f"a record of body {body}")
        change(getattr(record, body), fields)
    return message.SerializeToString()


class _Rename:
    """Pseudonymises one record in place."""

    def __init__(self, pseudonyms: Pseudonyms, *, keeps_ward: bool = False) -> None:
        self._name = pseudonyms.name
        self._message_id = pseudonyms.message_id
        self._cleared = {
            fields: fields.dropped + (() if keeps_ward else fields.ward)
            for fields in RECORD_FIELDS.values()
        }

    def __call__(self, record: Any, fields: Fields) -> None:
        if fields not in _WITHOUT_MESSAGE:
            message_id = record.message_id
            if message_id:
                record.message_id = self._message_id(record.device_id, message_id)
        for field in fields.keyed:
            setattr(record, field, self._name(getattr(record, field)))
        clear = record.ClearField
        for field in self._cleared[fields]:
            clear(field)
        _words_only(record, fields)


class _Generalise:
    """Pseudonymises one record in place, and makes its times, ages and place coarse."""

    def __init__(self, pseudonyms: Pseudonyms, coarse: Coarse, ages: frozenset[int]) -> None:
        self._rename = _Rename(pseudonyms, keeps_ward=coarse.keeps_ward)
        self._coarse = coarse
        self._ages = ages

    def __call__(self, record: Any, fields: Fields) -> None:
        move = self._coarse.of(record.device_id)
        for field in fields.times:
            setattr(record, field, move(getattr(record, field)))
        if not self._coarse.keeps_offset:
            for field in fields.linking:
                record.ClearField(field)
        if fields is _REPORT:
            for waveform in record.waveforms:
                waveform.start_us = move(waveform.start_us)
        if self._ages and "values" in fields.kept:
            self._cap_ages(record, fields)
        self._rename(record, fields)

    def _cap_ages(self, record: Any, fields: Fields) -> None:
        for place, code in enumerate(record.codes):
            if code in self._ages:
                if place < len(record.values) and record.values[place] > AGE_MAX:
                    record.values[place] = AGE_ABOVE
                if fields is not _REPORT and record.limit > AGE_MAX:
                    record.limit = AGE_ABOVE


def _mask(record: Any, fields: Fields) -> None:
    clear = record.ClearField
    for field in _MASKED[fields]:
        clear(field)
    _words_only(record, fields)


def _words_only(record: Any, fields: Fields) -> None:
    known = _words.get
    for field in fields.words:
        text = getattr(record, field)
        if not (known(text) or is_word(text)):
            record.ClearField(field)
    if fields is _REPORT:
        for enumeration in record.enumerations:
            if not is_word(enumeration.name):
                enumeration.ClearField("name")


_words: dict[str, bool] = {}


def is_word(text: str) -> bool:
    """Whether it looks like a word of a table: no name, number, date, address or identifier."""
    known = _words.get(text)
    if known is None:
        if len(_words) >= WORDS_CACHED_MAX:
            _words.clear()
        known = _words[text] = bool(_WORD.fullmatch(text))
    return known


def _is_age(code: int) -> bool:
    metric = METRICS.get(code)
    return metric is not None and metric.age


_WITHOUT_MESSAGE = frozenset(
    RECORD_FIELDS[body] for body in ("gap", "association_change", "gateway_clock", "link_state")
)
_REPORT = RECORD_FIELDS["report"]
_MASKED = {
    fields: fields.keyed
    + fields.dropped
    + fields.linking
    + fields.ward
    + (() if fields in _WITHOUT_MESSAGE else ("message_id",))
    for fields in RECORD_FIELDS.values()
}
