"""When the network's word of a link becomes a record, and how often at most."""

from collections import defaultdict
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.domain.network import LinkSeen
from gateway.domain.ports import Outcome
from gateway.domain.records import LinkState
from gateway.fence import telling
from gateway.fence.telling import BURST, GONE_S, NOTHING, PACE_S, Known, LinkTelling, difference
from tests.fakes import FakeClock, FakeCounters, FakeSink, FakeState

HOST = "10.1.7.7"
BAD = -110.0


class Live:
    def __init__(self, **hosts):
        self.hosts = hosts

    def addresses_of(self, device_id):
        return frozenset({self.hosts[device_id]} if self.hosts.get(device_id) else ())


class Bench:
    """One gateway's telling, its clock, and what the journal got."""

    def __init__(self, *, active=True, outcome=Outcome.COMMITTED, told=()):
        self.clock, self.counters = FakeClock(), FakeCounters()
        self.sink = FakeSink(outcome)
        self.live = Live(**{"pump-1": HOST, "pump-2": HOST, "pump-3": HOST})
        make = partial(LinkTelling, self.sink, self.live, self.clock, self.counters)
        self.telling = make(active=active)
        self.telling.restore(FakeState({telling.SPACE: dict.fromkeys(told, b"1")}))

    def heard(self, cell="", *levels, device="pump-1", at_us=0):
        self.telling.heard(device, LinkSeen(frozenset((HOST,)), at_us, cell, *levels))

    def wait(self, seconds):
        """Ticks, once a second."""
        for _ in range(int(seconds)):
            self.clock.advance(1)
            self.telling.tick()

    @property
    def told(self):
        """Cause, and what is known from then on."""
        return [(each.cause, known(each)) for each in self.records]

    @property
    def records(self):
        return [each for each in self.sink.records if isinstance(each, LinkState)]

    @property
    def state(self):
        return kept(self.sink)


def known(record):
    return Known(record.cell, record.zones, record.rsrp_dbm, record.rsrq_db, record.sinr_db)


def kept(sink):
    """Whom the journal's state names."""
    there: set[str] = set()
    for submission in sink.submissions:
        for space, key, value in submission.deltas:
            assert space == telling.SPACE
            (there.discard if value is None else there.add)(key)
    return there


def test_a_cell_is_told_at_once_and_so_is_the_first_quality_there():
    one = Bench()
    one.heard("a", at_us=7)
    (first,) = one.records
    assert (first.device_id, first.at_us, first.network_us) == ("pump-1", one.clock.now_us(), 7)
    one.heard("", -90.0)
    one.heard("b")
    assert one.told == [
        ("cell", Known("a")),
        ("quality", Known("a", (), -90.0)),
        ("cell", Known("b")),  # measured anew
    ]
    assert one.counters.counts["link_states", "cell"] == 2
    assert one.state == {"pump-1"}


def test_quality_is_told_in_steps_and_paced_with_the_time_at_which_it_was_heard():
    one = Bench()
    one.heard("a", -90.0)
    one.heard("", -95.9)
    one.wait(PACE_S * 2)
    assert len(one.told) == 1
    one.heard("", -96.0)  # the pace is over: at once
    one.wait(1)
    one.heard("", -80.0)
    one.wait(1)
    one.heard("", BAD)
    heard_us = one.clock.now_us()
    assert len(one.told) == 2
    one.wait(PACE_S)
    assert one.told[2:] == [("quality", Known("a", (), BAD))]
    assert one.records[-1].at_us == heard_us
    one.heard("", -90.0)
    one.heard("", BAD)  # and back before it was due
    one.wait(PACE_S)
    assert len(one.told) == 3


@pytest.mark.parametrize(
    ("before", "after", "cause"),
    [
        (Known("a"), Known("b"), "cell"),
        (Known("a"), Known("b", ("z",)), "cell"),
        (Known("a"), Known("a", ("z",)), "zone"),
        (Known("a", (), None, -10.0), Known("a", (), None, -13.0), "quality"),
        (Known("a", (), None, -10.0), Known("a", (), None, -12.5), ""),
        (Known("a", (), None, None, 6.0), Known("a", (), None, None, 0.0), "quality"),
        (Known("a", (), 0.0), Known("a"), "quality"),
    ],
)
def test_what_is_materially_another(before, after, cause):
    assert difference(before, after) == cause


def test_cells_that_alternate_are_told_at_the_pace_and_not_as_often_as_they_change():
    one = Bench()
    for n in range(200):
        one.heard("ab"[n % 2])
        one.wait(1)
    assert len(one.told) <= BURST + 200 / PACE_S
    assert len(one.told) >= 200 / PACE_S / 2  # half of the times, it is where it was told


def test_all_devices_together_are_told_so_many_times_a_second(monkeypatch):
    monkeypatch.setattr(telling, "RECORDS_PER_S_MAX", 2)
    one = Bench()
    one.telling.tick()
    for device in ("pump-3", "pump-1", "pump-2"):
        one.heard("a", device=device)
    assert [each.device_id for each in one.records] == ["pump-3", "pump-1"]
    one.wait(1)
    assert [each.device_id for each in one.records] == ["pump-3", "pump-1", "pump-2"]


def test_devices_beyond_the_bound_are_left_out(monkeypatch):
    monkeypatch.setattr(telling, "DEVICES_MAX", 1)
    one = Bench()
    one.heard("a")
    one.heard("a", device="pump-2")
    one.telling.stands("pump-2", ("z",))
    assert [each.device_id for each in one.records] == ["pump-1"]


def test_zones_are_told_beside_the_link_and_without_one():
    one = Bench()
    one.telling.stands("pump-1", frozenset())
    assert not one.records
    one.telling.stands("pump-1", frozenset(("z-b", "z-a")))
    one.telling.stands("pump-1", frozenset(("z-a", "z-b")))
    one.heard("a", -90.0)
    one.telling.stands("pump-1", ())
    assert one.told == [
        ("zone", Known("", ("z-a", "z-b"))),
        ("cell", Known("a", ("z-a", "z-b"), -90.0)),
        ("zone", Known("a", (), -90.0)),
    ]


def test_what_is_known_ends_with_the_session_and_not_with_a_short_break():
    one = Bench()
    one.heard("a", -90.0)
    one.telling.stands("pump-1", ("z",))
    one.live.hosts["pump-1"] = ""
    one.wait(GONE_S - 1)
    one.live.hosts["pump-1"] = HOST
    one.wait(60)
    assert len(one.told) == 2
    one.live.hosts["pump-1"] = "10.1.9.9"  # by another way, of which this network tells nothing
    left_us = one.clock.now_us()
    one.wait(60)
    assert one.told[2:] == [("session_ended", Known("", ("z",)))]  # the fence needs no session
    assert left_us <= one.records[-1].at_us <= left_us + telling.SESSIONS_S * 1e6
    one.telling.stands("pump-1", ())
    assert one.told[3:] == [("zone", NOTHING)]
    assert one.state == set()


def test_a_session_that_ended_before_what_was_on_its_way_is_told_behind_it():
    one = Bench(outcome=None)
    one.live.hosts["pump-1"] = ""
    one.heard("a")
    one.sink.settle()
    one.wait(GONE_S - 2)  # it is missed, and that is not told yet
    one.telling.stands("pump-1", ("z",))
    one.wait(4)
    one.sink.settle()
    one.wait(1)
    assert [cause for cause, _ in one.told] == ["cell", "zone", "session_ended"]
    assert one.records[1].at_us <= one.records[2].at_us


def test_nothing_older_is_known_when_words_may_have_been_missed():
    one = Bench()
    one.telling.unheard(one.clock.monotonic())
    one.heard("a", -90.0)
    one.telling.unheard(one.clock.monotonic())  # it is not older
    assert len(one.told) == 1
    one.wait(1)
    one.telling.unheard(one.clock.monotonic())
    one.telling.unheard(one.clock.monotonic())
    assert one.told[1:] == [("unheard", NOTHING)]
    one.heard("", BAD)
    assert one.told[2:] == [("quality", Known("", (), BAD))]  # the cell is not known again


def test_the_next_start_takes_back_what_was_told_even_where_nobody_listens_any_more():
    for active in (True, False):
        one = Bench(active=active, told=("pump-9",))
        one.wait(1)
        assert [each.device_id for each in one.records] == ["pump-9"]
        assert one.told == [("restarted", NOTHING)]
        (delta,) = one.sink.submissions[0].deltas
        assert (delta.key, delta.value) == ("pump-9", None)
    one = Bench(told=("pump-1",))
    one.heard("a")  # before the first tick: it is where it may have been before
    one.wait(1)
    assert one.told == [("cell", Known("a"))]


def test_without_a_radio_network_nothing_is_kept_or_told():
    one = Bench(active=False)
    one.heard("a")
    one.telling.stands("pump-1", ("z",))
    one.telling.unheard(one.clock.monotonic())
    one.wait(20)
    assert not one.sink.submissions


def test_what_the_journal_did_not_take_is_told_again():
    one = Bench(outcome=Outcome.FULL)
    one.heard("a")
    one.wait(2)
    assert one.told == [("cell", Known("a"))] * 3
    one.sink.automatic = Outcome.COMMITTED
    one.wait(5)
    assert len(one.told) == 4
    assert one.counters.counts["link_states", "cell"] == 1


def test_a_change_while_a_record_is_on_its_way_is_told_behind_it():
    one = Bench(outcome=None)
    one.heard("a")
    one.heard("b")
    one.wait(2)
    assert one.told == [("cell", Known("a"))]
    one.sink.settle()
    one.wait(1)
    assert one.told[1:] == [("cell", Known("b"))]


class Life(RuleBasedStateMachine):
    """Whatever the network says and the journal does."""

    def __init__(self):
        super().__init__()
        self.one = Bench(outcome=None)
        self.committed = defaultdict(list)
        """Device -> (monotonic time of the submission, record); since the last start."""
        self.kept = set()
        self.since_us = self.one.clock.now_us()

    devices = st.sampled_from(("pump-1", "pump-2", "pump-3"))
    levels = st.none() | st.sampled_from((-120.0, -100.0, -97.0, -94.0, -80.0))

    @rule(device=devices, cell=st.sampled_from(("", "a", "b")), rsrp=levels, rsrq=levels)
    def heard(self, device, cell, rsrp, rsrq):
        self.one.heard(cell, rsrp, rsrq, device=device)

    @rule(device=devices, zones=st.sets(st.sampled_from(("y", "z"))))
    def stands(self, device, zones):
        self.one.telling.stands(device, zones)

    @rule(device=devices, host=st.sampled_from((HOST, "", "10.1.9.9")))
    def session(self, device, host):
        self.one.live.hosts[device] = host

    @rule(ago_s=st.integers(0, 3))
    def unheard(self, ago_s):
        self.one.telling.unheard(self.one.clock.monotonic() - ago_s)

    @rule(seconds=st.integers(1, 15))
    def wait(self, seconds):
        self.one.wait(seconds)

    @rule(outcome=st.sampled_from(Outcome))
    def settle(self, outcome):
        sink = self.one.sink
        for submission in sink.waiting[:1]:
            if outcome is Outcome.COMMITTED:
                for record in submission.records:
                    self.committed[record.device_id].append(record)
                for _, key, value in submission.deltas:
                    (self.kept.discard if value is None else self.kept.add)(key)
        sink.settle(outcome, 1)

    @precondition(lambda self: not self.one.sink.waiting)
    @rule()
    def restart(self):
        clock = self.one.clock
        self.one = Bench(outcome=None, told=sorted(self.kept))
        self.one.clock.advance(clock.monotonic() - self.one.clock.monotonic())
        self.committed = defaultdict(list)
        self.since_us = self.one.clock.now_us()

    @invariant()
    def each_record_says_something_new(self):
        for found in self.committed.values():
            for before, after in pairwise(found):
                assert difference(known(before), known(after))
                assert before.at_us <= after.at_us

    @invariant()
    def no_device_is_told_too_often(self):
        elapsed_s = (self.one.clock.now_us() - self.since_us) / 1e6
        for found in self.committed.values():
            assert len(found) <= BURST + elapsed_s / PACE_S

    @invariant()
    def the_state_names_those_of_whom_something_is_known(self):
        for device, found in self.committed.items():
            assert (device in self.kept) == (known(found[-1]) != NOTHING)

    def teardown(self):
        """In the end everything is told, and what waits has gone."""
        one = self.one
        while one.sink.waiting:
            self.settle(Outcome.COMMITTED)
        for _ in range(60):
            one.wait(1)
            while one.sink.waiting:
                self.settle(Outcome.COMMITTED)
        self.each_record_says_something_new()
        self.the_state_names_those_of_whom_something_is_known()
        for device in ("pump-1", "pump-2", "pump-3"):
            entry = one.telling._of.get(device)
            last = self.committed[device][-1] if self.committed[device] else None
            now = entry.now if entry else NOTHING
            assert not difference(known(last) if last else NOTHING, now)
        assert self.kept == {each for each in one.telling._of if each in self.kept}


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
