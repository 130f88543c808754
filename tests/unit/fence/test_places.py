"""A place that follows: what the associations make of it, with the real associator and intake."""

from gateway.association.associator import Associator
from gateway.association.config import AssociationConfig
from gateway.association.events import Bed, Event, Kind
from gateway.domain.devices import Device
from gateway.domain.ports import Outcome
from gateway.domain.records import AssociationChange, AssociationSubject
from gateway.fence.places import BY, Associated
from gateway.fence.ports import Move, Place
from tests.fakes import FakeCounters
from tests.unit.pipeline.support import Bench

PUMP = Device("monitor-1", "monitor", "icu", "7")


class Scene:
    def __init__(self):
        self.associator = Associator(
            AssociationConfig(),
            "gw-1",
            lambda size: b"s" * size,
            {"monitor-1": PUMP}.get,
            FakeCounters(),
        )
        self.bench = Bench(interpreters=[self.associator])
        self.bench.intake.associate(self.associator)
        self.clock = self.bench.clock
        self.associator.book.add(
            Event(
                Kind.ADMIT,
                "P1",
                self.clock.now_us() - 60_000_000,
                self.clock.now_us() - 60_000_000,
                Bed("icu", "7"),
            )
        )
        self.places = Associated(
            "gw-1",
            lambda: self.associator.devices,
            {"monitor-1": PUMP}.get,
            lambda _device_id: True,
            self.bench.intake,
            self.clock,
        )

    def move(self, ward):
        """What became of it."""
        told: list[Outcome] = []
        now_us = self.clock.now_us()
        self.places.move(Move("monitor-1", ward, now_us, now_us, ""), told.append)
        return told

    def whose(self):
        at_us = self.clock.now_us()
        said = self.bench.report("vitals", {}, ward="icu", bed="7")
        return self.associator.of(said, at_us)


def test_who_roams_is_in_the_other_ward_and_nobodys_until_it_is_home():
    scene = Scene()
    assert scene.places.stands("monitor-1") == Place("icu", "7")
    assert scene.whose().patient_id == "P1"
    scene.clock.advance(60)
    assert scene.move("er") == [Outcome.COMMITTED]
    assert scene.places.stands("monitor-1") == Place("er", "")
    scene.clock.advance(1)
    whose = scene.whose()
    assert (whose.ward, whose.bed, whose.patient_id) == ("er", "", "")
    scene.clock.advance(60)
    assert scene.move("icu") == [Outcome.COMMITTED]
    assert scene.places.stands("monitor-1") == Place("icu", "7")
    assert scene.whose().patient_id == "P1"


def test_who_is_outside_stands_nowhere_and_the_core_is_told():
    scene = Scene()
    scene.clock.advance(60)
    assert scene.move("") == [Outcome.COMMITTED]
    scene.clock.advance(1)
    assert scene.places.stands("monitor-1") == Place()
    assert not scene.whose().patient_id
    told = [each for each in scene.bench.committer.records if isinstance(each, AssociationChange)]
    assert told
    assert {each.subject for each in told} == {AssociationSubject.DEVICE}
    assert {each.provenance.attested_by for each in told} == {BY}
    assert told[-1].bed == ""
