"""``AssociationService``: people on site see, say and correct who lies where.

What is said goes the way of a device's report: it is committed with what follows from it before
the caller is answered. The audit log is told of beds and devices, never of a patient.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from gateway.association.associator import Associator, Said
from gateway.association.book import by_id, conflicts
from gateway.association.devices import Placement
from gateway.association.events import Event, read_bed
from gateway.association.occupancy import Span
from gateway.association.orders import Orders
from gateway.domain.ports import Clock, Outcome, Sink, Submission
from gateway.domain.records import AssociationSubject, Attestation, Provenance
from gateway.local.access import ANY, ENGINEER, NURSE, Caller
from gateway.local.calls import InvalidError, Service, Unary, UnknownError, UnsavedError
from protos.wardgate.v1 import association_pb2 as pb

NAME = "wardgate.v1.AssociationService"
DRIVER = "association"


class Desk:
    """Answers the calls.

    Args:
        gateway: its own id.
        associator: the books.
        sink: the intake.
        clock: says when something is said.
    """

    def __init__(self, gateway: str, associator: Associator, sink: Sink, clock: Clock) -> None:
        self._gateway = gateway
        self._books = associator
        self._orders = Orders(associator)
        self._sink = sink
        self._clock = clock

    def service(self) -> Service:
        """The methods, and who may call them."""
        either = NURSE | ENGINEER
        return Service(
            NAME,
            (
                Unary("ListAssociations", pb.ListAssociationsRequest, self.listed, ANY),
                Unary("ShowAssociation", pb.ShowAssociationRequest, self.show, ANY),
                _changing("BindAssociation", pb.BindAssociationRequest, self.bind, either),
                _changing("UnbindAssociation", pb.UnbindAssociationRequest, self.unbind, either),
                _changing("MoveAssociation", pb.MoveAssociationRequest, self.move, either),
                _changing("CorrectAssociation", pb.CorrectAssociationRequest, self.correct, NURSE),
                _changing("ResolveAssociation", pb.ResolveAssociationRequest, self.resolve, NURSE),
            ),
        )

    # Looking

    async def listed(
        self, _caller: Caller, request: pb.ListAssociationsRequest
    ) -> pb.ListAssociationsResponse:
        """What holds at a time, or what is in quarantine."""
        book, at_us = self._books.book, request.at_us or self._clock.now_us()
        if request.conflicts:
            return pb.ListAssociationsResponse(entries=_entries(conflicts(book)))
        found = [each for each in book.all() if each.from_us <= at_us < each.to_us]
        entries = _entries(found)
        for device_id, times in self._books.devices.all():
            now = [each for each in times if each.from_us <= at_us < each.to_us]
            entries += _entries(now, device_id)
        return pb.ListAssociationsResponse(entries=entries)

    async def show(
        self, _caller: Caller, request: pb.ShowAssociationRequest
    ) -> pb.ShowAssociationResponse:
        """Everything that is known of a bed, a patient, a device or an association."""
        book = self._books.book
        if request.device_id:
            times = self._books.devices.times(request.device_id)
            return pb.ShowAssociationResponse(entries=_entries(times, request.device_id))
        if request.patient_id:
            who = self._orders.patient(request.patient_id)
            spans, people = book.times_of(who), [who]
        elif request.association_id:
            span = by_id(book, request.association_id)
            if span is None:
                raise UnknownError("there is no such association")
            spans, people = [span], list(span.claims)
        elif request.bed:
            spans = book.times(read_bed(request.bed))
            people = sorted({each for span in spans for each in span.claims})
        else:
            raise InvalidError("of what? a bed, a patient, a device or an association")
        said = [event for who in people for event in book.events_of(who)]
        said.sort(key=lambda each: (each.recorded_us, each.key))
        return pb.ShowAssociationResponse(
            entries=_entries(spans), events=[_told(each) for each in said]
        )

    # Saying

    async def bind(
        self, caller: Caller, request: pb.BindAssociationRequest
    ) -> pb.BindAssociationResponse:
        """A patient is in a bed, or a device at one."""
        now_us, at_us = self._times(request.at_us)
        _one(request)
        if request.device_id:
            placed = self._orders.place(request.device_id, request.bed, at_us, 0, now_us)
            entries = await self._say(caller, now_us, placement=placed)
        else:
            said = self._orders.bind(request.patient_id, request.bed, at_us, now_us)
            entries = await self._say(caller, now_us, said)
        return pb.BindAssociationResponse(entries=entries)

    async def unbind(
        self, caller: Caller, request: pb.UnbindAssociationRequest
    ) -> pb.UnbindAssociationResponse:
        """No more."""
        now_us, at_us = self._times(request.at_us)
        _one(request)
        if request.device_id:
            placed = self._orders.release(request.device_id, at_us, now_us)
            entries = await self._say(caller, now_us, placement=placed)
        else:
            said = self._orders.unbind(request.patient_id, at_us, now_us)
            entries = await self._say(caller, now_us, said)
        return pb.UnbindAssociationResponse(entries=entries)

    async def move(
        self, caller: Caller, request: pb.MoveAssociationRequest
    ) -> pb.MoveAssociationResponse:
        """In another bed."""
        now_us, at_us = self._times(request.at_us)
        _one(request)
        if request.device_id:
            placed = self._orders.place(request.device_id, request.bed, at_us, 0, now_us)
            entries = await self._say(caller, now_us, placement=placed)
        else:
            said = self._orders.move(request.patient_id, request.bed, at_us, now_us)
            entries = await self._say(caller, now_us, said)
        return pb.MoveAssociationResponse(entries=entries)

    async def correct(
        self, caller: Caller, request: pb.CorrectAssociationRequest
    ) -> pb.CorrectAssociationResponse:
        """Who was in a bed, or where a device stood."""
        now_us = self._clock.now_us()
        window = request.from_us, request.until_us
        if request.device_id:
            if not request.until_us or request.patient_id:
                raise InvalidError("a device stood at a bed from one time until another")
            placed = self._orders.place(request.device_id, request.bed, *window, now_us)
            entries = await self._say(caller, now_us, placement=placed)
        else:
            said = self._orders.correct(request.bed, request.patient_id, *window, now_us)
            entries = await self._say(caller, now_us, said)
        return pb.CorrectAssociationResponse(entries=entries)

    async def resolve(
        self, caller: Caller, request: pb.ResolveAssociationRequest
    ) -> pb.ResolveAssociationResponse:
        """Whose a time in quarantine is."""
        now_us = self._clock.now_us()
        said = self._orders.resolve(request.association_id, request.patient_id, now_us)
        return pb.ResolveAssociationResponse(entries=await self._say(caller, now_us, said))

    def _times(self, at_us: int) -> tuple[int, int]:
        now_us = self._clock.now_us()
        return now_us, at_us or now_us

    async def _say(
        self,
        caller: Caller,
        now_us: int,
        said: Iterable[Event] = (),
        placement: Placement | None = None,
    ) -> list[pb.AssociationEntry]:
        """Commit it; what is known of the same people or device afterwards."""
        events = tuple(said)
        statement = Said(
            device_id=self._gateway,
            provenance=Provenance(DRIVER, Attestation.GATEWAY, caller.name),
            received_us=now_us,
            events=events,
            placements=() if placement is None else (placement,),
        )
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._sink.submit(Submission([statement], outcome.set_result))
        if await outcome is not Outcome.COMMITTED:
            raise UnsavedError("the journal takes nothing now: it counts once it does; look again")
        if placement is not None:
            return _entries(
                self._books.devices.times(placement.device_id)[-1:], placement.device_id
            )
        beds = dict.fromkeys(event.bed for event in events if event.bed)
        found = [each for bed in beds for each in self._books.book.times(bed)]
        for event in events:
            found += self._books.book.times_of(event.patient) if not event.bed else []
        return _entries(dict.fromkeys(found))


def _changing(name: str, request: Any, answer: Any, allowed: Any) -> Unary:
    return Unary(name, request, answer, allowed, changes=True, about=_about)


def _about(request: Any) -> dict[str, str | int]:
    """What the audit log is told: no patient."""
    told: dict[str, str | int] = {}
    fields = ("device_id", "bed", "association_id", "at_us", "from_us", "until_us")
    for field in fields:
        value = getattr(request, field, "")
        if value:
            told[field] = value
    return told


def _one(request: Any) -> None:
    if bool(request.patient_id) == bool(request.device_id):
        raise InvalidError("of whom? a patient or a device")


def _entries(spans: Iterable[Span], device_id: str = "") -> list[pb.AssociationEntry]:
    subject = AssociationSubject.DEVICE if device_id else AssociationSubject.BED
    word = subject.name.lower()
    return [
        pb.AssociationEntry(
            association_id=each.association_id,
            subject=word,
            device_id=device_id,
            bed=str(each.bed),
            patient_id=each.patient,
            from_us=each.from_us,
            to_us=0 if each.is_open else each.to_us,
            state=each.state.name.lower(),
            reason=each.doubt,
            claims=each.claims if each.doubt else (),
        )
        for each in spans
    ]


def _told(event: Event) -> pb.AssociationEvent:
    return pb.AssociationEvent(
        kind=event.kind.name.lower(),
        patient_id=event.patient,
        occurred_us=event.occurred_us,
        recorded_us=event.recorded_us,
        bed=str(event.bed),
        prior_bed=str(event.prior),
        visit=event.visit,
        other=event.other,
        until_us=event.until_us,
        by=event.by,
    )
