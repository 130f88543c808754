"""What is done about a mismatch: alarm, quarantine, refusal; and that it ends."""

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.domain.devices import Device, PortCredential
from gateway.domain.errors import RefusedError
from gateway.domain.labels import HELD
from gateway.domain.network import Attachment, parse_binding
from gateway.domain.ports import Outcome
from gateway.domain.records import Alarm, AlarmPhase
from gateway.network.config import Answer, SimConfig
from gateway.network.holds import Holds
from gateway.network.judge import Bindings, Mismatch, judge
from gateway.network.watch import SPACE, Around, SimWatch
from gateway.notices import Notices
from gateway.pipeline.label import Labels
from security.identity import IdentityConfig, IdentityService
from tests.fakes import FakeClock, FakeCounters, FakeSink, FakeState

SIM = "imsi-001010000000001"
PUMP = Device("pump-1", network=parse_binding(SIM, dnn="med", tacs=("000001",)))


class Book:
    """Of an audit log, what it was told."""

    def __init__(self):
        self.entries = []

    def record(self, event, **fields):
        self.entries.append((event, fields))

    def refused(self, *words):
        self.entries.append(("refused", words))

    def admitted(self, *words):
        self.entries.append(("admitted", words))

    def left(self, *words):
        self.entries.append(("left", words))


class Session:
    def __init__(self):
        self.ended = ""

    def kill(self, reason):
        self.ended = reason


class Bench:
    def __init__(self, config, state=None):
        self.clock, self.counters = FakeClock(), FakeCounters()
        self.sink, self.book, self.holds = FakeSink(Outcome.COMMITTED), Book(), Holds()
        self.identity = IdentityService(
            IdentityConfig("ward.example"), self.clock, self.counters, self.book
        )
        self.notices = Notices("gw-1", self.sink, self.clock)
        self.watch = SimWatch(
            config,
            Around(
                self.identity,
                self.holds,
                self.sink,
                self.notices,
                self.book,
                self.clock,
                self.counters,
            ),
        )
        self.identity.on_directory = self.watch.directory
        if state is not None:
            self.notices.restore(state)
            self.watch.restore(state)

    def told(self, at_s=0.0, **words):
        at_us = self.clock.now_us() + round(at_s * 1e6)
        self.watch.told(Attachment(at_us, **{"supi": SIM} | words))

    def admitted(self):
        session = Session()
        try:
            self.identity.admit(PortCredential("pump-1", "/dev/ttyS0"), session)
        except RefusedError:
            return None
        return session

    @property
    def alarms(self):
        return [
            f"{record.condition} {record.phase.name}"
            for record in self.sink.records
            if isinstance(record, Alarm) and record.device_id == "gw-1"
        ]

    @property
    def events(self):
        return [
            (event, fields["kind"])
            for event, fields in self.book.entries
            if event.startswith("sim_")
        ]

    @property
    def state(self):
        """What is committed."""
        state = FakeState()
        for submission in self.sink.submissions:
            for space, key, value in (*submission.deltas, *submission.alarm_deltas):
                held = state.spaces.setdefault(space, {})
                if value is None:
                    held.pop(key, None)
                else:
                    held[key] = value
        return state


def bench(answer=Answer.ALARM, **given):
    made = Bench(SimConfig(**dict.fromkeys([kind.value for kind in Mismatch], answer)), **given)
    made.identity.apply_directory([PUMP])
    return made


@pytest.mark.parametrize("answer", Answer)
def test_a_mismatch_is_told_and_answered_until_it_agrees_again(answer):
    one = bench(answer)
    session = one.admitted()
    one.told(dnn="med")
    assert not one.alarms
    one.told(dnn="internet")
    one.told(dnn="internet")
    assert one.alarms == ["wrong_dnn START"]
    assert one.events == [("sim_mismatch", "wrong_dnn")]
    assert one.counters.gauges["sim_mismatches", "wrong_dnn"] == 1
    assert ("pump-1" in one.holds.devices) == (answer is not Answer.ALARM)
    assert bool(session.ended) == (answer is Answer.REFUSE)
    assert (one.admitted() is None) == (answer is Answer.REFUSE)
    one.told(dnn="med")
    assert one.alarms == ["wrong_dnn START", "wrong_dnn END"]
    assert one.events[1:] == [("sim_agrees", "wrong_dnn")]
    assert one.counters.gauges["sim_mismatches", "wrong_dnn"] == 0
    assert "pump-1" not in one.holds.devices
    assert one.admitted() is not None
    assert not one.state.spaces[SPACE]


def test_no_identity_is_audited_or_told():
    one = bench(Answer.QUARANTINE)
    one.told(dnn="internet", tac="00beef")
    said = repr(one.book.entries) + repr(one.sink.records)
    for secret in ("0010100", "internet", "beef", "med"):
        assert secret not in said


def test_it_is_in_force_after_a_restart_before_anybody_is_let_in():
    one = bench(Answer.REFUSE)
    one.told(dnn="internet", tac="000009")
    again = Bench(SimConfig(wrong_dnn=Answer.REFUSE), state=one.state)
    assert "pump-1" in again.holds.devices
    assert again.admitted() is None
    assert again.watch.standing("pump-1") == {Mismatch.WRONG_DNN, Mismatch.OUTSIDE_TAC}
    assert not again.alarms  # it stands already
    again.identity.apply_directory([PUMP])
    again.notices.tick()
    assert again.admitted() is None
    again.told(dnn="med", tac="000001")
    assert again.admitted() is not None
    assert sorted(again.alarms) == ["outside_tac END", "wrong_dnn END"]


def test_what_can_not_be_read_keeps_nobody_from_starting():
    state = FakeState()
    state.spaces[SPACE] = {"pump-1": b"\xc1", "pump-2": msgspec.msgpack.encode({"seen": 1})}
    again = Bench(SimConfig(), state=state)
    assert not again.holds.devices


def test_what_the_journal_does_not_take_is_committed_later():
    one = bench(Answer.QUARANTINE)
    one.sink.automatic = Outcome.FULL
    one.told(dnn="internet")
    assert "pump-1" in one.holds.devices
    before = len(one.sink.submissions)
    one.watch.tick()
    one.sink.automatic = Outcome.COMMITTED
    one.watch.tick()
    one.watch.tick()
    assert len(one.sink.submissions) == before + 2
    assert "pump-1" in one.state.spaces[SPACE]


def test_an_older_word_changes_nothing_and_a_clock_that_is_ahead_does_not_block():
    one = bench()
    one.told(at_s=3600, dnn="internet")
    one.told(at_s=-1, dnn="med")
    assert one.watch.standing("pump-1") == {Mismatch.WRONG_DNN}
    one.told(dnn="med")
    assert not one.watch.standing("pump-1")


def test_a_clock_of_ours_that_was_ahead_does_not_block():
    one = bench(Answer.QUARANTINE)
    one.clock._us += 3600_000_000
    one.told(dnn="internet")
    one.clock._us -= 3600_000_000
    one.told(dnn="med")
    assert not one.watch.standing("pump-1")
    assert not one.holds.devices


def test_nothing_is_kept_of_who_is_not_bound():
    one = bench()
    for words in ({"device_id": "stranger"}, {"supi": "imsi-001019999999999"}):
        one.watch.told(Attachment(one.clock.now_us(), **words))
    assert not one.watch._known


def test_the_registry_and_the_policy_are_followed():
    one = bench()
    one.told(dnn="internet")
    one.watch.follow(SimConfig(wrong_dnn=Answer.QUARANTINE))
    assert "pump-1" in one.holds.devices
    moved = msgspec.structs.replace(PUMP, network=parse_binding(SIM, dnn="internet"))
    one.identity.apply_directory([moved])
    assert "pump-1" not in one.holds.devices
    one.identity.apply_directory([PUMP])
    assert one.watch.standing("pump-1") == {Mismatch.WRONG_DNN}
    one.identity.apply_directory([Device("pump-1")])
    assert not one.watch.standing("pump-1")
    assert "pump-1" not in one.holds.devices
    assert one.alarms == [f"wrong_dnn {phase}" for phase in ("START", "END", "START", "END")]


def test_a_device_is_held_while_one_of_several_reasons_is_left():
    holds = Holds()
    assert holds.hold("a", "sim")
    assert not holds.hold("a", "sim")
    assert holds.hold("a", "fence")
    assert holds.release("a", "sim")
    assert not holds.release("a", "sim")
    assert "a" in holds.devices
    assert holds.reasons("a") == {"fence"}
    assert list(holds.devices) == ["a"]
    assert holds.release("a", "fence")
    assert not holds.devices


def test_the_gateways_own_word_on_a_held_device_is_not_held():
    one = bench(Answer.QUARANTINE)
    one.told(dnn="internet")
    labels = Labels(own_id="gw-1", held=one.holds.devices)
    (alarm,) = one.sink.records
    assert alarm.phase is AlarmPhase.START
    assert labels.of_alarm(alarm).level < HELD
    its_own = msgspec.structs.replace(alarm, device_id="pump-1")
    assert labels.of_alarm(its_own).level == HELD


class Everything(RuleBasedStateMachine):
    """Words of the network and changes of the registry in any order."""

    def __init__(self):
        super().__init__()
        self.answers = SimConfig(wrong_dnn=Answer.QUARANTINE, outside_tac=Answer.REFUSE)
        self.bench = Bench(self.answers)
        self.devices = []

    @rule(
        dnn=st.sampled_from(["", "med", "internet"]),
        tac=st.sampled_from(["", "000001", "000009"]),
        at_s=st.sampled_from([-5, 0, 5]),
    )
    def word(self, dnn, tac, at_s):
        self.bench.clock.advance(1)
        self.bench.told(at_s, dnn=dnn, tac=tac)

    @rule(dnn=st.sampled_from(["", "med"]), tacs=st.sampled_from([(), ("000001",)]))
    def bound(self, dnn, tacs):
        self.devices = [Device("pump-1", network=parse_binding(SIM, dnn=dnn, tacs=tacs))]
        self.bench.identity.apply_directory(self.devices)

    @rule()
    def unbound(self):
        self.devices = [Device("pump-1")]
        self.bench.identity.apply_directory(self.devices)

    @rule(outcome=st.sampled_from(Outcome))
    def journal(self, outcome):
        self.bench.sink.automatic = outcome
        self.bench.watch.tick()

    @invariant()
    def what_stands_is_in_force(self):
        watch = self.bench.watch
        kinds = watch.standing("pump-1")
        known = watch._known.get("pump-1")
        if known is not None:
            assert kinds == judge(Bindings(self.devices), "pump-1", known.seen)
        answers = {self.answers.answer(kind) for kind in kinds}
        assert ("pump-1" in self.bench.holds.devices) == bool(answers - {Answer.ALARM})
        session = self.bench.admitted()
        assert (session is None) == (Answer.REFUSE in answers)
        if session is not None:
            self.bench.identity.leave(session)

    def teardown(self):
        self.bench.sink.automatic = Outcome.COMMITTED
        self.bench.watch.tick()
        kept = self.bench.state.spaces.get(SPACE, {})
        assert ("pump-1" in kept) == bool(self.bench.watch.standing("pump-1"))


Everything.TestCase.settings = settings(max_examples=40, stateful_step_count=12)
TestEverything = Everything.TestCase
