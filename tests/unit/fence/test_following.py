"""Places that follow: audited once the journal has them, and not twice, whatever the disk does."""

import logging

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.association import devices
from gateway.association.associator import Associator, Said
from gateway.association.config import AssociationConfig
from gateway.association.devices import Placement
from gateway.association.events import NOWHERE, Bed
from gateway.domain.devices import Device
from gateway.domain.ports import Submission
from gateway.domain.records import Attestation, Provenance
from gateway.fence import following
from gateway.fence.following import SPACE, Following
from gateway.fence.places import BY, Associated
from tests.fakes import FakeCounters, FakeState
from tests.unit.pipeline.support import COMMITTED, FAILED, FULL, Bench

PUMP = Device("pump-1", "infusion", "icu", "3")
WARDS = ("icu", "er", "ward-3")


class Book:
    def __init__(self):
        self.moves = []

    def record(self, event, **fields):
        assert event == "fence_moved"
        assert fields.pop("device") == "pump-1"
        self.moves.append((fields["before"], fields["ward"]))

    def refused(self, *words):
        raise AssertionError(words)


class Life:
    """One gateway from start to end, as far as places go: real books and intake, a slow disk."""

    def __init__(self, state=None, clock=None, book=None):
        self.associator = Associator(
            AssociationConfig(), "gw-1", lambda size: b"s" * size, self.registry, FakeCounters()
        )
        self.bench = Bench(automatic=None, state=state, clock=clock, interpreters=[self.associator])
        self.bench.intake.associate(self.associator)
        self.clock, self.committer, self.book = (
            self.bench.clock,
            self.bench.committer,
            book or Book(),
        )
        self.places = Associated(
            "gw-1",
            lambda: self.associator.devices,
            self.registry,
            lambda device_id: self.associator.is_kept(device_id, self.committer.state),
            self.bench.intake,
            self.clock,
        )
        self.following = Following(self.places, self.bench.intake, self.book, self.clock)
        self.following.restore(self.committer.state)

    @staticmethod
    def registry(device_id):
        return {"pump-1": PUMP}.get(device_id)

    @property
    def ward(self):
        return self.places.stands("pump-1").ward

    @property
    def placements(self):
        """On disk."""
        items = self.committer.state.items("association")
        return [devices.unpack(items[key]) for key in items if key.startswith("d/")]

    @property
    def by_network(self):
        """Those that the network made."""
        return [each for each in self.placements if each.by == BY]

    @property
    def followed(self):
        """The ward on disk."""
        value = self.committer.state.items(SPACE).get("pump-1")
        return msgspec.msgpack.decode(value)["ward"] if value else ""

    def person(self, ward):
        now_us = self.clock.now_us()
        placement = Placement("pump-1", now_us, now_us, Bed(ward, "9"), registry=NOWHERE, by="ann")
        said = Said(
            device_id="gw-1",
            provenance=Provenance("gateway", Attestation.GATEWAY, "ann"),
            received_us=now_us,
            placements=(placement,),
        )
        self.bench.intake.submit(Submission([said]))

    def tick(self):
        self.bench.intake.tick()
        self.following.tick()

    def rest(self):
        """Everything is on disk."""
        self.committer.settle(COMMITTED)
        for _ in range(4):
            self.tick()
            self.committer.settle(COMMITTED)
        assert not self.committer.waiting


def test_the_audit_log_hears_of_a_move_once_the_journal_has_it():
    life = Life()
    life.following.settled("pump-1", "er", life.clock.now_us())
    assert not life.book.moves
    for fate in (FULL, FAILED):
        life.committer.settle(fate)
        assert not life.book.moves
        life.tick()
    life.rest()
    assert life.book.moves == [("icu", "er")]
    assert len(life.by_network) == 1
    assert life.followed == "er"
    life.following.settled("pump-1", "er", life.clock.now_us())
    life.rest()
    assert life.book.moves == [("icu", "er")]


def test_a_gateway_that_ends_before_the_commit_has_followed_nothing():
    life = Life()
    life.following.settled("pump-1", "er", life.clock.now_us())
    again = Life(life.committer.state, life.clock)
    assert again.ward == "icu"
    again.following.settled("pump-1", "er", life.clock.now_us())
    again.rest()
    assert again.ward == "er"


def test_a_ward_is_followed_no_sooner_than_a_persons_word_of_it_is_kept():
    life = Life()
    life.person("er")
    life.following.settled("pump-1", "er", life.clock.now_us())
    life.committer.settle(FULL, 1)
    life.committer.settle(COMMITTED)
    assert not life.followed
    again = Life(life.committer.state, life.clock)
    assert again.ward == "icu"  # nobody was told that the person's word counts
    again.following.settled("pump-1", "er", again.clock.now_us())
    again.rest()
    assert (again.ward, again.followed) == ("er", "er")


def test_what_the_audit_log_is_owed_is_bounded(monkeypatch, caplog):
    monkeypatch.setattr(following, "OWED_MAX", 2)
    monkeypatch.setattr(following, "AGAIN_MAX", 1)
    life = Life()
    for ward in (*WARDS[1:], *WARDS[1:]):
        life.clock.advance(1)
        life.following.settled("pump-1", ward, life.clock.now_us())
    with caplog.at_level(logging.ERROR):
        life.committer.settle(FULL)
    assert sum("the audit log is not told" in each for each in caplog.messages) == 2
    life.following.tick()
    assert len(life.committer.waiting) == 1
    life.rest()
    assert sorted(life.book.moves) == [("er", "ward-3"), ("ward-3", "er")]
    assert len(life.by_network) == 4  # the places themselves are the associations', and all there
    assert life.followed == "ward-3"


def test_what_can_not_be_read_is_left_out():
    life = Life(FakeState({SPACE: {"pump-1": b"\xc1"}}))
    life.following.settled("pump-1", "er", life.clock.now_us())
    life.rest()
    assert life.ward == "er"


class Everything(RuleBasedStateMachine):
    """The network's words, a person's, a disk that takes or refuses, stops and crashes."""

    def __init__(self):
        super().__init__()
        self.life = Life()
        self.last, self.stands, self.crashed = "", "icu", False

    def _moved(self, ward):
        self.last = self.stands = ward

    @rule(ward=st.sampled_from(WARDS))
    def seen(self, ward):
        self.life.clock.advance(1)
        self.life.following.settled("pump-1", ward, self.life.clock.now_us())
        if ward != self.last:
            self._moved(ward)

    @rule(ward=st.sampled_from(("", *WARDS)))
    def moved(self, ward):
        self.life.clock.advance(1)
        self.life.following.move("pump-1", ward, self.life.clock.now_us())
        self._moved(ward)

    @rule(ward=st.sampled_from(WARDS))
    def person(self, ward):
        self.life.clock.advance(1)
        self.life.person(ward)
        self.stands = ward

    @rule(fate=st.sampled_from([COMMITTED, FULL, FAILED]), number=st.sampled_from([1, 2, None]))
    def disk(self, fate, number):
        self.life.committer.settle(fate, number)

    @rule()
    def tick(self):
        self.life.tick()

    @rule()
    def stop(self):
        self.life.rest()
        assert self.life.followed == self.last
        if not self.crashed:
            assert len(self.life.book.moves) == len(self.life.by_network)
        self._again()
        assert self.life.ward == self.stands

    @rule()
    def crash(self):
        self.crashed = True
        self._again()
        self.last, self.stands = self.life.followed, self.life.ward

    def _again(self):
        before = self.life
        self.life = Life(before.committer.state, before.clock, before.book)

    @invariant()
    def it_stands_where_it_was_last_said_to(self):
        assert self.life.ward == self.stands

    @invariant()
    def nothing_is_audited_that_is_not_on_disk(self):
        assert len(self.life.book.moves) <= len(self.life.by_network)

    @invariant()
    def what_was_followed_is_not_ahead_of_the_place(self):
        wards = {each.bed.ward for each in self.life.placements}
        assert self.life.followed in {"", PUMP.ward, *wards}


Everything.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestEverything = Everything.TestCase
