"""The books in the pipeline: what is said becomes records and state, and reports are somebody's."""

import pytest

from gateway.association.associator import CONDITION, SPACE, Associator, Said
from gateway.association.config import AssociationConfig, PatientIds
from gateway.association.devices import Placement
from gateway.association.events import Bed, Event, Kind
from gateway.domain.devices import Device
from gateway.domain.movements import MovementKind, PatientMovement
from gateway.domain.ports import Outcome
from gateway.domain.records import (
    AssociationChange,
    AssociationState,
    AssociationSubject,
    Attestation,
    Provenance,
)
from tests.fakes import FakeCounters
from tests.unit.pipeline.support import COMMITTED, FULL, GOOD, Bench

ADT = Provenance("hl7", Attestation.CERTIFICATE)
PERSON = Provenance("association", Attestation.GATEWAY, "local/anna")
S = 1_000_000
REGISTRY = {"monitor-1": Device("monitor-1", "monitor", "icu", "7")}


class Scene:
    """A bench with an associator; times are seconds after its clock's beginning."""

    def __init__(self, config=None, automatic=None, state=None, clock=None):
        self.counters = FakeCounters()
        self.associator = Associator(
            config or AssociationConfig(),
            "gw-1",
            lambda size: b"s" * size,
            REGISTRY.get,
            self.counters,
        )
        given = {} if automatic is None else {"automatic": automatic}
        self.bench = Bench(interpreters=[self.associator], state=state, clock=clock, **given)
        self.bench.intake.associate(self.associator)
        self.begin_us = self.bench.clock.now_us()
        self.messages = 0

    def at(self, seconds):
        return self.begin_us + seconds * S

    def adt(self, kind, patient, seconds, bed="7", *, recorded=None, message_id=None, **more):
        self.messages += 1
        self.bench.submit(
            PatientMovement(
                device_id="adt-1",
                provenance=ADT,
                received_us=self.bench.clock.now_us(),
                message_id=message_id or f"m{self.messages}",
                kind=kind,
                patient=patient,
                occurred_us=self.at(seconds),
                recorded_us=self.at(seconds if recorded is None else recorded),
                ward="icu" if bed else "",
                bed=bed,
                **more,
            )
        )

    def says(self, *events, placements=()):
        now_us = self.bench.clock.now_us()
        self.bench.submit(
            Said(
                device_id="gw-1",
                provenance=PERSON,
                received_us=now_us,
                events=events,
                placements=placements,
            )
        )

    def report(self, seconds, bed="7", **more):
        self.bench.submit(
            self.bench.vitals(GOOD, received_us=self.at(seconds), bed=bed, ward="icu", **more)
        )
        return self.bench.committer.reports[-1]

    @property
    def changes(self):
        return [r for r in self.bench.committer.records if isinstance(r, AssociationChange)]


def test_a_report_is_whose_bed_it_came_from_at_its_time():
    scene = Scene()
    scene.adt(MovementKind.ADMIT, "ada", 10)
    scene.adt(MovementKind.DISCHARGE, "ada", 20)
    scene.adt(MovementKind.ADMIT, "bob", 20)
    found = [scene.report(t) for t in (9, 10, 19, 20)]
    assert [r.patient_id for r in found] == ["", "ada", "ada", "bob"]
    assert found[1].association_id == found[2].association_id != found[3].association_id
    assert [r.association_state for r in found] == [0, 1, 1, 1]
    # One that comes late belongs to who lay there then.
    assert scene.report(15).patient_id == "ada"
    assert scene.report(25, bed="8").association_state == AssociationState.NONE


def test_who_it_is_raises_the_level_and_may_be_left_off():
    for ids, patient, level, told in (
        (PatientIds.RECORDS, "ada", 4, "ada"),
        (PatientIds.ASSOCIATIONS, "", 3, "ada"),
        (PatientIds.NOWHERE, "", 3, ""),
    ):
        scene = Scene(AssociationConfig(patient_ids=ids))
        scene.adt(MovementKind.ADMIT, "ada", 10)
        report = scene.report(11)
        assert (report.patient_id, bool(report.association_id)) == (patient, True)
        assert scene.bench.committer.telemetry[-1].label.level == level
        (change,) = scene.changes
        assert change.patient_id == told
        labels = [item.label.level for item in scene.bench.committer.telemetry]
        assert labels[0] == (4 if told else 3)


def test_a_quarantine_names_nobody_and_raises_an_alarm_until_it_is_resolved():
    scene = Scene()
    scene.adt(MovementKind.ADMIT, "ada", 10)
    scene.adt(MovementKind.ADMIT, "bob", 20)
    report = scene.report(25)
    assert (report.patient_id, report.association_id) == ("", "")
    assert report.association_state is AssociationState.QUARANTINED
    assert scene.report(15).patient_id == "ada"
    assert scene.bench.phases(CONDITION) == [f"{CONDITION} START"]
    assert scene.counters.gauges["association_quarantined",] == 1
    now = scene.at(30)
    scene.says(
        Event(Kind.PLACE, "bob", scene.at(20), now, Bed("icu", "7")),
        Event(Kind.LEAVE, "ada", scene.at(20), now, Bed("icu", "7")),
    )
    assert scene.report(25).patient_id == "bob"
    assert scene.bench.phases(CONDITION)[-1] == f"{CONDITION} END"
    assert scene.changes[-1].cause == "place"
    assert scene.changes[-1].provenance.attested_by == "local/anna"


def test_what_was_told_wrongly_is_told_again_with_a_higher_revision():
    scene = Scene()
    scene.adt(MovementKind.ADMIT, "ada", 10)
    first = scene.changes[0]
    scene.adt(MovementKind.MERGE, "ann", 30, "", other="ada")
    merged = scene.changes[-1]
    assert merged.association_id == first.association_id
    assert (first.patient_id, merged.patient_id, merged.cause) == ("ada", "ann", "merge")
    assert merged.revision > first.revision
    scene.adt(MovementKind.CANCEL_ADMIT, "ann", 10, "", recorded=40)
    assert scene.changes[-1].state is AssociationState.WITHDRAWN
    assert scene.report(50).association_state is AssociationState.NONE


def test_a_repeat_under_another_message_id_changes_nothing():
    scene = Scene()
    scene.adt(MovementKind.ADMIT, "ada", 10)
    scene.adt(MovementKind.ADMIT, "ada", 10, recorded=10)
    assert len(scene.changes) == 1
    assert scene.bench.outcomes == [Outcome.COMMITTED] * 2


def test_a_restart_knows_what_was_committed_and_tells_nothing_twice():
    scene = Scene()
    scene.adt(MovementKind.ADMIT, "ada", 10)
    scene.says(placements=(Placement("pump-1", scene.at(5), scene.at(6), Bed("icu", "7")),))
    again = Scene(state=scene.bench.committer.state, clock=scene.bench.clock)
    again.bench.wait(1)
    assert again.changes == []
    report = again.report(15)
    assert report.patient_id == "ada"
    assert report.association_id == scene.changes[0].association_id
    again.adt(MovementKind.DISCHARGE, "ada", 20)
    assert again.changes[0].association_id == scene.changes[0].association_id
    assert again.changes[0].revision == scene.changes[-1].revision + 1


def test_what_the_journal_did_not_take_is_committed_at_the_next_tick():
    scene = Scene(automatic=FULL)
    scene.adt(MovementKind.ADMIT, "ada", 10)
    assert scene.bench.outcomes == [Outcome.FULL]
    scene.bench.committer.automatic = COMMITTED
    scene.bench.wait(1)
    assert [change.patient_id for change in scene.changes] == ["ada"]
    scene.adt(MovementKind.ADMIT, "ada", 10)  # as its sender does
    assert scene.bench.outcomes[-1] is Outcome.COMMITTED
    again = Scene(state=scene.bench.committer.state, clock=scene.bench.clock)
    assert again.report(15).patient_id == "ada"


def test_a_device_that_was_placed_elsewhere_tells_of_who_lies_there():
    scene = Scene()
    scene.adt(MovementKind.ADMIT, "ada", 0, "7")
    scene.adt(MovementKind.ADMIT, "bob", 0, "8")
    assert scene.report(5).patient_id == "ada"
    registry = Bed("icu", "7")
    placed = Placement("monitor-1", scene.at(10), scene.at(10), Bed("icu", "8"), registry=registry)
    scene.says(placements=(placed,))
    report = scene.report(15)
    assert (report.bed, report.patient_id) == ("8", "bob")
    assert scene.report(5).patient_id == "ada"
    scene.says(
        placements=(
            Placement("monitor-1", scene.at(20), scene.at(20), released=True, registry=registry),
        )
    )
    assert (scene.report(25).bed, scene.report(25).patient_id) == ("7", "ada")
    told = [c for c in scene.changes if c.subject is AssociationSubject.DEVICE]
    assert {c.device_id for c in told} == {"monitor-1"}
    assert [(c.bed, c.to_us != 0) for c in told][-1] == ("7", False)


def test_an_alarm_belongs_to_who_lay_there_when_it_began():
    scene = Scene()
    scene.adt(MovementKind.ADMIT, "ada", 0)
    scene.bench.submit(
        scene.bench.vitals({147842: 250.0}, received_us=scene.at(1), bed="7", ward="icu")
    )
    scene.bench.wait(30)
    (alarm, *_) = scene.bench.committer.alarm_records
    assert (alarm.patient_id, alarm.ward, alarm.bed) == ("ada", "icu", "7")
    assert alarm.association_state is AssociationState.CURRENT
    assert scene.bench.committer.alarms[0].label.level == 4


def test_who_left_beyond_the_horizon_is_forgotten_on_disk_too():
    scene = Scene(AssociationConfig(horizon_days=1))
    scene.adt(MovementKind.ADMIT, "ada", 0)
    scene.adt(MovementKind.DISCHARGE, "ada", 10)
    scene.adt(MovementKind.ADMIT, "bob", 20)
    assert len(scene.bench.committer.state.items(SPACE)) == 5
    scene.bench.wait(3 * 86_400)
    assert len(scene.bench.committer.state.items(SPACE)) == 3
    assert scene.report(5).association_state is AssociationState.NONE
    assert scene.report(25).patient_id == "bob"
    assert len(scene.changes) == 3  # nothing was told of what was forgotten


@pytest.mark.parametrize("limit", [100])
def test_beyond_the_limit_those_who_left_go_first(limit):
    scene = Scene(AssociationConfig(events_max=limit))
    scene.adt(MovementKind.ADMIT, "stays", 0, "1")
    for n in range(limit):
        scene.adt(MovementKind.ADMIT, f"p{n}", 10 * n, "7")
        scene.adt(MovementKind.DISCHARGE, f"p{n}", 10 * n + 5, "7")
    assert len(scene.associator.book) <= limit
    assert scene.report(1, bed="1").patient_id == "stays"
    kept = [k for k in scene.bench.committer.state.items(SPACE) if k.startswith("e/")]
    assert len(kept) == len(scene.associator.book)
