"""What people on site may ask of the books, and what they are told."""

import asyncio

import pytest

from gateway.association.config import AssociationConfig
from gateway.association.service import Desk
from gateway.domain.movements import MovementKind
from gateway.domain.records import AssociationChange
from gateway.local.access import Caller, LocalRole
from gateway.local.calls import CallError, InvalidError, Unary, UnknownError, UnsavedError
from protos.wardgate.v1 import association_pb2 as pb
from tests.unit.association.test_associator import Scene
from tests.unit.pipeline.support import FULL

ANNA = Caller("operator/anna", frozenset({LocalRole.NURSE}))


class Ward(Scene):
    def __init__(self, automatic=None):
        super().__init__(AssociationConfig(), automatic)
        self.bench.clock.advance(1000)
        self.desk = Desk("gw-1", self.associator, self.bench.intake, self.bench.clock)

    def ask(self, method, request):
        return asyncio.run(getattr(self.desk, method)(ANNA, request)).entries

    def bind(self, **more):
        return self.ask("bind", pb.BindAssociationRequest(**more))

    def resolve(self, **more):
        return self.ask("resolve", pb.ResolveAssociationRequest(**more))

    def listed(self, seconds=0, **more):
        at_us = self.at(seconds) if seconds else 0
        found = self.ask("listed", pb.ListAssociationsRequest(at_us=at_us, **more))
        return [(each.bed, each.patient_id or each.device_id or each.reason) for each in found]


def test_a_patient_is_bound_moved_and_unbound():
    ward = Ward()
    (entry,) = ward.bind(patient_id="ada", bed="icu/7", at_us=ward.at(100))
    assert (entry.patient_id, entry.state, entry.to_us) == ("ada", "current", 0)
    ward.ask("move", pb.MoveAssociationRequest(patient_id="ada", bed="icu/8", at_us=ward.at(200)))
    assert ward.listed(150) == [("icu/7", "ada")]
    assert ward.listed() == [("icu/8", "ada")]
    ward.ask("unbind", pb.UnbindAssociationRequest(patient_id="ada", at_us=ward.at(300)))
    assert ward.listed() == []
    assert [ward.report(t).patient_id for t in (50, 150)] == ["", "ada"]
    change = ward.changes[0]
    assert change.provenance.attested_by == "operator/anna"


def test_what_makes_no_sense_is_refused_with_what_to_do():
    ward = Ward()
    ward.bind(patient_id="ada", bed="icu/7")
    for error, words, ask in (
        (CallError, "taken", lambda: ward.bind(patient_id="bob", bed="icu/7")),
        (CallError, "move instead", lambda: ward.bind(patient_id="ada", bed="icu/8")),
        (InvalidError, "which bed", lambda: ward.bind(patient_id="bob", bed="icu/")),
        (InvalidError, "not come", lambda: ward.bind(patient_id="b", bed="a/b", at_us=2**61)),
        (InvalidError, "of whom", lambda: ward.bind(bed="icu/8")),
        (InvalidError, "printable", lambda: ward.bind(patient_id="b\n", bed="icu/8")),
        (UnknownError, "no such", lambda: ward.resolve(association_id="x")),
        (
            UnknownError,
            "bind instead",
            lambda: ward.ask("move", pb.MoveAssociationRequest(patient_id="b", bed="icu/9")),
        ),
        (
            UnknownError,
            "in no bed",
            lambda: ward.ask("unbind", pb.UnbindAssociationRequest(patient_id="b")),
        ),
        (
            UnknownError,
            "nobody placed",
            lambda: ward.ask("unbind", pb.UnbindAssociationRequest(device_id="d")),
        ),
        (
            InvalidError,
            "until",
            lambda: ward.ask("correct", pb.CorrectAssociationRequest(bed="a/b", from_us=5)),
        ),
        (
            CallError,
            "not in quarantine",
            lambda: ward.resolve(association_id=ward.changes[0].association_id),
        ),
    ):
        with pytest.raises(error, match=words):
            ask()
    assert len(ward.changes) == 1


def conflict(ward):
    found = ward.ask("listed", pb.ListAssociationsRequest(conflicts=True))
    return found[0].association_id if found else ""


@pytest.mark.parametrize(("who", "expected"), [("ada", "ada"), ("bob", "bob"), ("", "")])
def test_a_quarantine_that_goes_on_is_resolved(who, expected):
    ward = Ward()
    ward.adt(MovementKind.ADMIT, "ada", 100)
    ward.adt(MovementKind.ADMIT, "bob", 200)
    with pytest.raises(InvalidError, match="does not claim"):
        ward.resolve(association_id=conflict(ward), patient_id="eve")
    ward.resolve(association_id=conflict(ward), patient_id=who)
    assert [ward.report(t).patient_id for t in (150, 250)] == ["ada", expected]
    assert not conflict(ward)
    if who:  # and goes on with what happens next
        ward.adt(MovementKind.DISCHARGE, who, 900)
        assert ward.report(950).patient_id == ""


@pytest.mark.parametrize("who", ["ada", "bob", ""])
def test_a_quarantine_of_the_past_is_resolved(who):
    ward = Ward()
    ward.adt(MovementKind.ADMIT, "ada", 100)
    ward.adt(MovementKind.ADMIT, "bob", 200)
    ward.adt(MovementKind.DISCHARGE, "ada", 300)
    ward.resolve(association_id=conflict(ward), patient_id=who)
    assert [ward.report(t).patient_id for t in (150, 250, 350)] == ["ada", who, "bob"]


def test_the_past_is_corrected_and_told_to_the_core():
    ward = Ward()
    ward.bind(patient_id="ada", bed="icu/7", at_us=ward.at(100))
    request = pb.CorrectAssociationRequest(
        bed="icu/7", patient_id="bob", from_us=ward.at(200), until_us=ward.at(300)
    )
    ward.ask("correct", request)
    assert [ward.report(t).patient_id for t in (150, 250, 350)] == ["ada", "bob", "ada"]
    told = {(c.patient_id, c.from_us, c.to_us) for c in ward.changes if c.cause == "correct"}
    assert ("bob", ward.at(200), ward.at(300)) in told


def test_a_device_is_placed_corrected_and_released():
    ward = Ward()
    ward.adt(MovementKind.ADMIT, "ada", 0, "7")
    ward.adt(MovementKind.ADMIT, "bob", 0, "8")
    ward.bind(device_id="monitor-1", bed="icu/8", at_us=ward.at(100))
    ward.ask(
        "correct",
        pb.CorrectAssociationRequest(
            device_id="monitor-1", bed="-", from_us=ward.at(200), until_us=ward.at(300)
        ),
    )
    ward.ask("unbind", pb.UnbindAssociationRequest(device_id="monitor-1", at_us=ward.at(400)))
    found = [ward.report(t).patient_id for t in (50, 150, 250, 350, 450)]
    assert found == ["ada", "bob", "", "bob", "ada"]
    shown = ward.ask("show", pb.ShowAssociationRequest(device_id="monitor-1"))
    assert [each.bed for each in shown] == ["icu/8", "", "icu/8", "icu/7"]
    assert ("icu/7", "monitor-1") in ward.listed()


def test_a_patient_is_known_by_the_number_alone():
    ward = Ward()
    ward.adt(MovementKind.ADMIT, "12^^^HOSP", 100)
    answer = asyncio.run(ward.desk.show(ANNA, pb.ShowAssociationRequest(patient_id="12")))
    assert [each.patient_id for each in answer.entries] == ["12^^^HOSP"]
    assert [(each.kind, each.by) for each in answer.events] == [("admit", "adt-1")]
    ward.adt(MovementKind.ADMIT, "12^^^OTHER", 100, "8")
    with pytest.raises(InvalidError, match="several"):
        ward.ask("show", pb.ShowAssociationRequest(patient_id="12"))


def test_who_asks_is_told_when_nothing_could_be_saved():
    ward = Ward(FULL)
    with pytest.raises(UnsavedError):
        ward.bind(patient_id="ada", bed="icu/7")
    assert not [r for r in ward.bench.committer.records if isinstance(r, AssociationChange)]


def test_the_audit_log_is_told_of_beds_and_never_of_a_patient():
    for method in Ward().desk.service().methods:
        assert isinstance(method, Unary)
        request = method.request()
        for field in request.DESCRIPTOR.fields:
            value = "ada" if field.name == "patient_id" else "x"
            setattr(request, field.name, {8: True, 3: 7, 9: value}[field.type])
        if method.changes:
            assert "ada" not in method.about(request).values()
            assert LocalRole.VIEWER not in method.allowed
