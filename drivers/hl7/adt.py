"""ADT messages -> movements of patients (HL7 v2.5 and v2.6, chapter 3).

Read are A01 to A03, A08, A11 to A13 and A40.

Rules:

- A patient is the identifier of PID-3 whose assigning authority (CX.4) and type (CX.5) the sender's
  entry names; where it names no authority, the first of that type. One without a type counts where
  none has it. Another one is not taken instead: it would be somebody else.
- A place is PV1-3 (of a transfer also PV1-6): ward, and room and bed; the sender's entry may say
  which bed of ours that is. Without room and bed it is no place in a bed.
- When it happened is EVN-6 (of a cancellation, when that happened which is cancelled), else PV1-44
  of an admission and PV1-45 of a discharge, else EVN-2. When it was entered is EVN-2, else
  MSH-7.
- An update (A08) of somebody who is discharged (PV1-45) says nothing of a bed.
- A merge may tell of several people, each with an MRG behind its PID.
- Names, birthdays and addresses are not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import Final, NamedTuple

from drivers.hl7 import codec, values
from drivers.hl7.codec import Composite, Header, Segment
from drivers.hl7.config import Sender, folded
from gateway.domain.errors import MalformedError
from gateway.domain.movements import MovementKind, PatientMovement
from gateway.domain.records import Attestation, Provenance

KINDS: Final = {f"A{kind:02}": kind for kind in MovementKind}
"""Trigger event -> what it says."""
CANCELS: Final = frozenset(
    (MovementKind.CANCEL_ADMIT, MovementKind.CANCEL_TRANSFER, MovementKind.CANCEL_DISCHARGE)
)
NO_PATIENT: Final = "no_patient_identifier"
NO_TIME: Final = "no_event_time"
BAD_IDENTIFIER: Final = "bad_patient_identifier"
TRAINING: Final = "training_message"
IDENTIFIER_CHARACTERS_MAX: Final = 64
PLACE_CHARACTERS_MAX: Final = 64
PATIENTS_MAX: Final = 64
"""Merged by one message."""
_READ: Final = frozenset(("EVN", "PID", "PV1", "MRG"))

_BY_CERTIFICATE: Final = Provenance("hl7", Attestation.CERTIFICATE)


class Place(NamedTuple):
    ward: str = ""
    bed: str = ""


class Movement(NamedTuple):
    """What a message says of one patient."""

    kind: MovementKind
    patient: str
    occurred_us: int
    recorded_us: int
    place: Place = Place()
    prior: Place = Place()
    visit: str = ""
    other: str = ""


class Feed:
    """How one sender's ADT is read."""

    def __init__(self, sender: Sender) -> None:
        self.allowed = sender.adt
        self.zone: tzinfo = sender.zone()
        self._authority = folded(sender.patient_authority)
        self._type = folded(sender.patient_identifier_type)
        self._places = {folded(name): _place(bed) for name, bed in sender.places.items()}

    def read(self, content: bytes, header: Header) -> list[Movement]:
        """The movements of a message whose trigger is of :data:`KINDS`.

        Raises:
            MalformedError: it names no patient or no time, or a segment breaks the standard.
        """
        if header.processing_id and header.processing_id.upper() != "P":
            raise MalformedError(TRAINING)
        kind = KINDS[header.trigger]
        zone = values.offset_of(header.time) or self.zone
        event: Segment | None = None
        people: list[dict[str, Segment]] = []
        for text in codec.segments(content, header)[1:]:
            if text[:3] not in _READ:
                continue
            segment = codec.segment(text, header)
            if segment.name == "EVN":
                event = event or segment
            elif segment.name == "PID":
                people.append({})
                people[-1]["PID"] = segment
            elif people:
                people[-1].setdefault(segment.name, segment)
        if not people:
            raise MalformedError(NO_PATIENT)
        recorded_us = 0 if event is None else values.time_us(event.raw(2), zone)
        recorded_us = recorded_us or values.time_us(header.time, zone)
        if not recorded_us:
            raise MalformedError(NO_TIME)
        happened_us = 0 if event is None else values.time_us(event.raw(6), zone)
        return [
            self._movement(kind, each, happened_us, recorded_us, zone)
            for each in people[:PATIENTS_MAX]
        ]

    def _movement(
        self,
        kind: MovementKind,
        said: dict[str, Segment],
        happened_us: int,
        recorded_us: int,
        zone: tzinfo,
    ) -> Movement:
        patient = self._identifier(said["PID"].repetitions(3))
        visit = said.get("PV1")
        if kind is MovementKind.MERGE:
            if "MRG" not in said:
                raise MalformedError(NO_PATIENT)
            other = self._identifier(said["MRG"].repetitions(1))
            at_us = happened_us or recorded_us
            return Movement(kind, patient, at_us, recorded_us, other=other)
        if visit is None:
            return Movement(kind, patient, happened_us or recorded_us, recorded_us)
        place, prior = self._place(visit, 3), self._place(visit, 6)
        if kind is MovementKind.UPDATE and visit.raw(45).strip():
            place = Place()
        told = {MovementKind.ADMIT: 44, MovementKind.DISCHARGE: 45}.get(kind)
        if not happened_us and told is not None:
            happened_us = values.time_us(visit.raw(told), zone)
        if kind not in CANCELS:
            happened_us = happened_us or recorded_us
        number = visit.components(19)[0].strip()[:IDENTIFIER_CHARACTERS_MAX]
        if kind is not MovementKind.TRANSFER:
            prior = Place()
        return Movement(kind, patient, happened_us, recorded_us, place, prior, number)

    def _identifier(self, told: Composite) -> str:
        """The patient's identifier as ``id^^^authority``, as HL7 writes it."""
        known = [_Identifier.read(each) for each in told if each[0].strip()]
        if self._authority:
            known = [each for each in known if folded(each.authority) == self._authority]
        typed = [each for each in known if folded(each.type) == self._type]
        found = typed or [each for each in known if not each.type]
        if not found:
            raise MalformedError(NO_PATIENT)
        number, authority, _ = found[0]
        text = f"{number}^^^{authority}" if authority else number
        if len(text) > IDENTIFIER_CHARACTERS_MAX or not text.isprintable():
            raise MalformedError(BAD_IDENTIFIER)
        return text

    def _place(self, visit: Segment, field: int) -> Place:
        parts = [each.strip() for each in (*visit.components(field), "", "", "")[:3]]
        known = self._places.get(folded("^".join(parts).rstrip("^")))
        if known is not None:
            return known
        bed = "-".join(filter(None, parts[1:]))[:PLACE_CHARACTERS_MAX]
        return Place(parts[0][:PLACE_CHARACTERS_MAX], bed) if bed else Place()


def statements(
    found: Sequence[Movement], device_id: str, control_id: str, now_us: int
) -> list[PatientMovement]:
    """What a message says, as its sender's word."""
    return [
        PatientMovement(
            device_id=device_id,
            provenance=_BY_CERTIFICATE,
            received_us=now_us,
            message_id=control_id,
            kind=each.kind,
            patient=each.patient,
            occurred_us=each.occurred_us,
            recorded_us=each.recorded_us,
            ward=each.place.ward,
            bed=each.place.bed,
            prior_ward=each.prior.ward,
            prior_bed=each.prior.bed,
            visit=each.visit,
            other=each.other,
        )
        for each in found
    ]


class _Identifier(NamedTuple):
    """A CX, as far as it counts."""

    number: str
    authority: str
    """CX.4, its namespace or else its universal id."""
    type: str

    @classmethod
    def read(cls, components: tuple[str, ...]) -> _Identifier:
        parts = [each.strip() for each in (*components, *[""] * 5)]
        namespace, _, universal = parts[3].partition("&")
        return cls(parts[0], namespace or universal.partition("&")[0], parts[4])


def _place(bed: str) -> Place:
    """The place that a configuration names as ``ward/bed``."""
    ward, slash, name = bed.partition("/")
    return Place(ward.strip(), name.strip()) if slash else Place("", ward.strip())
