"""What a person on site asks -> what is said to the books, or why that makes no sense.

No I/O: times, and where the registry has a device, are arguments.
"""

from __future__ import annotations

from typing import Final

from gateway.association.associator import Associator
from gateway.association.book import by_id
from gateway.association.devices import Placement
from gateway.association.events import NOWHERE, Bed, Event, Kind, read_bed
from gateway.association.occupancy import Span, State
from gateway.domain.devices import Device
from gateway.local.calls import CallError, InvalidError, UnknownError

NO_BED: Final = "-"
NAME_CHARACTERS_MAX: Final = 64
AHEAD_US_MAX: Final = 60_000_000
"""Nothing is said of the future, but for a clock that is a little ahead."""


class Orders:
    """Checks against what the books know."""

    def __init__(self, associator: Associator) -> None:
        self._books = associator

    def patient(self, text: str) -> str:
        """Whom a person means: an identifier as it is known, or its number alone.

        Raises:
            InvalidError: it is none, or several have that number.
        """
        _name(text, "patient")
        book = self._books.book
        if book.events_of(text):
            return book.who(text)
        found = {book.who(each) for each in book.patients() if each.startswith(f"{text}^^^")}
        if len(found) > 1:
            raise InvalidError("several patients have this number; add ^^^ and the authority")
        return found.pop() if found else text

    def bind(self, patient: str, bed: str, at_us: int, now_us: int) -> list[Event]:
        """A patient is in a bed from then on.

        Raises:
            CallError: the bed is taken, or the patient is in another one.
        """
        where, who = _bed(bed), self.patient(patient)
        _past(at_us, now_us)
        self._require_free(where, who, at_us)
        here = self._whereabouts(who, at_us)
        if here and here != where:
            raise CallError(f"the patient is in {here}: move instead")
        return [Event(Kind.PLACE, who, at_us, now_us, where)]

    def move(self, patient: str, bed: str, at_us: int, now_us: int) -> list[Event]:
        """A patient is in another bed from then on.

        Raises:
            CallError: the bed is taken, or the patient is in none.
        """
        where, who = _bed(bed), self.patient(patient)
        _past(at_us, now_us)
        self._require_free(where, who, at_us)
        if not self._whereabouts(who, at_us):
            raise UnknownError("the patient is in no bed then: bind instead")
        return [Event(Kind.PLACE, who, at_us, now_us, where)]

    def unbind(self, patient: str, at_us: int, now_us: int) -> list[Event]:
        """A patient is in no bed from then on.

        Raises:
            UnknownError: they are in none.
        """
        who = self.patient(patient)
        _past(at_us, now_us)
        if not self._whereabouts(who, at_us):
            raise UnknownError("the patient is in no bed then")
        return [Event(Kind.LEAVE, who, at_us, now_us)]

    def correct(
        self, bed: str, patient: str, from_us: int, until_us: int, now_us: int
    ) -> list[Event]:
        """Who was in a bed from one time to another; empty: nobody.

        Raises:
            InvalidError: it is no time in the past.
        """
        _window(from_us, until_us, now_us)
        who = self.patient(patient) if patient else ""
        return [Event(Kind.CORRECT, who, from_us, now_us, _bed(bed), until_us=until_us)]

    def resolve(self, association_id: str, patient: str, now_us: int) -> list[Event]:
        """Whose a time in quarantine is; empty: nobody's.

        Raises:
            CallError: there is no such time, or it is somebody's already, or nobody claims it so.
        """
        span = by_id(self._books.book, association_id)
        if span is None:
            raise UnknownError("there is no such association: wardgate association list")
        if span.state is not State.QUARANTINED:
            raise CallError("it is not in quarantine: correct it, or move the patient")
        who = self.patient(patient) if patient else ""
        if who and who not in span.claims:
            raise InvalidError("this patient does not claim it: show has who does")
        if not span.is_open:
            event = Event(Kind.CORRECT, who, span.from_us, now_us, span.bed, until_us=span.to_us)
            return [event]
        others = [each for each in span.claims if each != who]
        said = [Event(Kind.LEAVE, each, span.from_us, now_us, span.bed) for each in others]
        if who:
            said.append(Event(Kind.PLACE, who, span.from_us, now_us, span.bed))
        return said

    # Devices

    def place(
        self, device_id: str, bed: str, from_us: int, until_us: int, now_us: int
    ) -> Placement:
        """A device stands somewhere from a time on, or stood there until another one.

        Raises:
            InvalidError: it is no time in the past.
        """
        _name(device_id, "device")
        if until_us:
            _window(from_us, until_us, now_us)
        else:
            _past(from_us, now_us)
        where = NOWHERE if bed == NO_BED else _bed(bed)
        return Placement(
            device_id, from_us, now_us, where, until_us, registry=self._registry(device_id)
        )

    def release(self, device_id: str, at_us: int, now_us: int) -> Placement:
        """From then on the registry says where a device is.

        Raises:
            UnknownError: nobody said anything else.
        """
        _past(at_us, now_us)
        if not self._books.devices.times(device_id):
            raise UnknownError("nobody placed this device: the registry says where it is")
        registry = self._registry(device_id)
        return Placement(device_id, at_us, now_us, released=True, registry=registry)

    def _registry(self, device_id: str) -> Bed:
        device: Device | None = self._books.registry(device_id)
        return Bed(device.ward, device.bed) if device is not None and device.bed else NOWHERE

    # Beds

    def _require_free(self, bed: Bed, patient: str, at_us: int) -> None:
        span = self._books.book.at(bed.ward, bed.bed, at_us)
        if span is None or span.patient == patient:
            return
        if span.state is State.QUARANTINED:
            raise CallError(f"{bed} is in quarantine: resolve {span.association_id} first")
        raise CallError(f"{bed} is taken then: move or unbind who is there first")

    def _whereabouts(self, patient: str, at_us: int) -> Bed | None:
        found = self._spans_of(patient, at_us)
        return found[0].bed if found else None

    def _spans_of(self, patient: str, at_us: int) -> list[Span]:
        times = self._books.book.times_of(patient)
        return [each for each in times if each.from_us <= at_us < each.to_us]


def _bed(text: str) -> Bed:
    bed = read_bed(text)
    if not bed:
        raise InvalidError("which bed? ward/bed, as the registry has it")
    _name(bed.ward or "x", "ward")
    _name(bed.bed, "bed")
    return bed


def _name(text: str, what: str) -> None:
    if not text or len(text) > NAME_CHARACTERS_MAX or not text.isprintable():
        raise InvalidError(f"{what}: 1 to {NAME_CHARACTERS_MAX} printable characters")


def _past(at_us: int, now_us: int) -> None:
    if not 0 < at_us <= now_us + AHEAD_US_MAX:
        raise InvalidError("this time has not come yet")


def _window(from_us: int, until_us: int, now_us: int) -> None:
    if not 0 < from_us < until_us <= now_us + AHEAD_US_MAX:
        raise InvalidError("from one time in the past until a later one")
