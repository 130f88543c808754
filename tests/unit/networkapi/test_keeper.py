"""Quality while an alarm stands: the keeper against a network in memory."""

import asyncio

import pytest

from gateway.domain.devices import Device
from gateway.domain.network import parse_binding
from gateway.domain.records import AlarmPriority
from gateway.mec.http import PlatformError, ProblemError
from gateway.networkapi.config import QualityTable
from gateway.networkapi.interface import Flow, Session, Status, Whose
from gateway.networkapi.keeper import RETRY_S, Around, NotGivenError, QualityKeeper
from gateway.networkapi.quality import State
from tests.fakes import FakeClock, FakeCounters

TABLE = QualityTable(
    kinds=("defibrillator",),
    profile="QOS_E",
    server="10.20.0.1",
    ports=(8883,),
    session_s=100,
    total_s=250,
    devices_max=2,
)


class Network:
    """A network that grants what it is asked for, unless it is told otherwise."""

    def __init__(self, clock):
        self.clock = clock
        self.calls = []
        self.error = None
        self.granting = Status.AVAILABLE
        self.sessions = {}

    def _ask(self, *call):
        self.calls.append(call)
        if self.error is not None:
            raise self.error

    async def request_quality(self, whose, flow, profile, seconds):
        self._ask("ask", whose, flow, profile, seconds)
        name = f"s{len(self.calls)}"
        self.sessions[name] = Session(name, self.granting, float(seconds))
        return self.sessions[name]

    async def quality(self, session_id):
        self._ask("look", session_id)
        return self.sessions.get(session_id)

    async def extend_quality(self, session_id, seconds):
        self._ask("extend", session_id, seconds)
        if session_id not in self.sessions:
            raise ProblemError(404, "none")
        was = self.sessions[session_id]
        self.sessions[session_id] = was._replace(duration_s=was.duration_s + seconds)
        return self.sessions[session_id]

    def same(self, before, now):
        return not now.ipv4 or now.ipv4 == before.ipv4

    async def end_quality(self, session_id):
        self._ask("end", session_id)
        self.sessions.pop(session_id, None)


class Bench:
    def __init__(self):
        self.clock = FakeClock()
        self.network = Network(self.clock)
        self.alarms: dict[str, AlarmPriority] = {}
        self.entries = []
        self.counters = FakeCounters()
        self.devices = {
            f"defi-{n}": Device(
                f"defi-{n}", "defibrillator", network=parse_binding(gpsi=f"+861380000000{n}")
            )
            for n in range(4)
        }
        self.devices["pump-1"] = Device(
            "pump-1", "pump", network=parse_binding(gpsi="+8613800000099")
        )
        self.devices["wired-1"] = Device("wired-1", "defibrillator")
        self.addresses: dict[str, list[str]] = {}
        around = Around(
            lambda least: [name for name, each in self.alarms.items() if each >= least],
            self.devices.get,
            lambda device_id: frozenset(self.addresses.get(device_id, ())),
            self.clock,
            self.counters,
            self,
        )
        self.keeper = QualityKeeper(self.network, TABLE, around)

    def record(self, event, **fields):
        self.entries.append((event, fields["device"], fields["state"]))

    def goes_on(self, seconds):
        """Time passes, with a look at every second."""
        for _ in range(seconds):
            self.clock.advance(1.0)
            asyncio.run(self.keeper.look())

    @property
    def told(self):
        return [call[0] for call in self.network.calls]

    def state_of(self, device_id):
        return {each.device_id: each.state for each in self.keeper.shown()}.get(device_id)


@pytest.fixture
def bench():
    return Bench()


def test_a_grave_alarm_has_quality_until_a_while_after_it(bench):
    bench.alarms["defi-1"] = AlarmPriority.HIGH
    bench.goes_on(1)
    assert bench.network.calls == [
        ("ask", Whose("+8613800000001"), Flow("10.20.0.1", (8883,)), "QOS_E", 100)
    ]
    assert bench.state_of("defi-1") is State.GRANTED
    assert bench.counters.gauges["network_quality", "granted"] == 1
    bench.alarms.clear()
    bench.goes_on(int(TABLE.linger_s) - 1)
    assert "end" not in bench.told
    bench.goes_on(2)
    assert bench.network.sessions == {}
    assert bench.keeper.shown() == []
    assert [entry[2] for entry in bench.entries] == ["granted", "none"]


@pytest.mark.parametrize("name", ["pump-1", "wired-1", "unknown-1"])
def test_other_kinds_and_who_is_not_of_the_network_are_not_asked_for(bench, name):
    bench.alarms[name] = AlarmPriority.HIGH
    bench.goes_on(3)
    assert bench.network.calls == []


def test_a_lesser_alarm_is_not_asked_for(bench):
    bench.alarms["defi-1"] = AlarmPriority.MEDIUM
    bench.goes_on(3)
    assert bench.network.calls == []


def test_an_alarm_that_comes_and_goes_keeps_one_session(bench):
    for _ in range(6):
        bench.alarms["defi-1"] = AlarmPriority.HIGH
        bench.goes_on(5)
        bench.alarms.clear()
        bench.goes_on(5)
    assert bench.told.count("ask") == 1
    assert "end" not in bench.told


def test_it_is_extended_up_to_its_sum_and_then_runs_out(bench):
    bench.alarms["defi-1"] = AlarmPriority.HIGH
    bench.goes_on(400)
    (name,) = bench.network.sessions
    assert bench.network.sessions[name].duration_s == TABLE.total_s
    assert bench.told.count("ask") == 1
    assert [call[2] for call in bench.network.calls if call[0] == "extend"] == [100, 50]
    assert bench.state_of("defi-1") is State.SPENT
    bench.alarms.clear()
    bench.goes_on(int(TABLE.linger_s) + 2)
    bench.alarms["defi-1"] = AlarmPriority.HIGH  # the next one has its own
    bench.goes_on(2)
    assert bench.told.count("ask") == 2


def test_a_refusal_counts_until_the_alarm_has_ended(bench):
    bench.network.error = ProblemError(422, "not for this device")
    bench.alarms["defi-1"] = AlarmPriority.HIGH
    bench.goes_on(60)
    assert bench.told == ["ask"]
    assert bench.state_of("defi-1") is State.SPENT
    bench.alarms.clear()
    bench.goes_on(int(TABLE.linger_s) + 2)
    assert bench.told == ["ask"]  # there was none to end
    assert bench.keeper.shown() == []


def test_a_network_that_is_away_is_asked_again_at_intervals(bench):
    bench.network.error = PlatformError("away")
    bench.alarms["defi-1"] = AlarmPriority.HIGH
    bench.goes_on(3 * int(RETRY_S) + 1)
    assert bench.told == ["ask"] * 4
    bench.network.error = None
    bench.goes_on(int(RETRY_S))
    assert bench.state_of("defi-1") is State.GRANTED


def test_what_the_network_took_back_is_asked_for_again(bench):
    bench.alarms["defi-1"] = AlarmPriority.HIGH
    bench.goes_on(1)
    bench.network.sessions.clear()
    bench.goes_on(45)
    assert bench.told == ["ask", "look", "ask"]
    assert bench.state_of("defi-1") is State.GRANTED


def test_what_is_gone_when_it_is_to_be_extended_is_asked_for_again(bench):
    bench.alarms["defi-1"] = AlarmPriority.HIGH
    bench.goes_on(70)
    bench.network.sessions.clear()
    bench.goes_on(20)
    assert bench.told == ["ask", "look", "look", "extend", "ask"]
    assert bench.state_of("defi-1") is State.GRANTED


def test_one_for_another_address_than_the_device_has_now_is_ended_and_asked_for_anew(bench):
    bench.addresses["defi-1"] = ["10.1.2.3"]
    bench.alarms["defi-1"] = AlarmPriority.HIGH
    bench.goes_on(1)
    bench.addresses["defi-1"] = []  # it is not here: nobody knows another one
    bench.goes_on(35)
    assert bench.told == ["ask", "look"]
    bench.addresses["defi-1"] = ["10.1.2.9"]
    bench.goes_on(45)
    assert bench.told[:4] == ["ask", "look", "end", "ask"]
    assert bench.network.calls[3][1] == Whose("+8613800000001", "10.1.2.9")
    assert len(bench.network.sessions) == 1
    assert bench.state_of("defi-1") is State.GRANTED


def test_an_undecided_request_is_looked_at_and_granted_later(bench):
    bench.network.granting = Status.REQUESTED
    bench.alarms["defi-1"] = AlarmPriority.HIGH
    bench.goes_on(1)
    assert bench.state_of("defi-1") is State.ASKED
    (name,) = bench.network.sessions
    bench.network.sessions[name] = Session(name, Status.AVAILABLE, 100.0)
    bench.goes_on(31)
    assert bench.state_of("defi-1") is State.GRANTED


def test_what_can_not_be_ended_is_tried_again_until_it_has_run_out(bench):
    bench.alarms["defi-1"] = AlarmPriority.HIGH
    bench.goes_on(1)
    bench.alarms.clear()
    bench.network.error = PlatformError("away")
    bench.goes_on(60)
    assert bench.state_of("defi-1") is State.ENDING
    assert bench.told.count("end") > 1
    bench.goes_on(60)
    assert bench.keeper.shown() == []


def test_no_more_devices_than_there_is_room_for(bench):
    for n in range(4):
        bench.alarms[f"defi-{n}"] = AlarmPriority.HIGH
    bench.goes_on(2)
    assert bench.told == ["ask", "ask"]
    assert bench.counters.gauges["network_quality", "without"] == 2


def test_who_leaves_the_registry_loses_it(bench):
    bench.alarms["defi-1"] = AlarmPriority.HIGH
    bench.goes_on(1)
    del bench.devices["defi-1"], bench.alarms["defi-1"]  # its alarms end with it
    bench.goes_on(int(TABLE.linger_s) + 2)
    assert bench.told[-1] == "end"


def test_what_stands_is_given_back_at_the_end(bench):
    bench.alarms["defi-1"] = bench.alarms["defi-2"] = AlarmPriority.HIGH
    bench.goes_on(1)
    asyncio.run(bench.keeper.stop())
    assert bench.network.sessions == {}
    bench.goes_on(2)
    assert bench.told == ["ask", "ask", "end", "end"]


def test_a_person_has_quality_for_a_time_and_gives_it_back(bench):
    bench.keeper.ask("pump-1", 120)  # whatever its kind: kinds are for alarms
    bench.goes_on(1)
    assert bench.network.calls == [
        ("ask", Whose("+8613800000099"), Flow("10.20.0.1", (8883,)), "QOS_E", 100)
    ]
    assert [each.needs for each in bench.keeper.shown()] == [("person",)]
    bench.goes_on(100)
    assert [call[2] for call in bench.network.calls if call[0] == "extend"] == [19]
    bench.goes_on(25)
    assert bench.keeper.shown() == []
    bench.keeper.ask("pump-1", 120)
    bench.goes_on(1)
    bench.keeper.give_back("pump-1")
    bench.goes_on(2)
    assert bench.told[-2:] == ["ask", "end"]
    assert bench.keeper.shown() == []
    with pytest.raises(NotGivenError, match="nobody"):
        bench.keeper.give_back("pump-1")


def test_a_person_and_an_alarm_share_one_session_and_each_ends_its_own_need(bench):
    bench.alarms["defi-1"] = AlarmPriority.HIGH
    bench.goes_on(1)
    bench.keeper.ask("defi-1", 200)
    bench.goes_on(1)
    assert [each.needs for each in bench.keeper.shown()] == [("alarm", "person")]
    bench.alarms.clear()
    bench.goes_on(int(TABLE.linger_s) + 5)
    assert [each.needs for each in bench.keeper.shown()] == [("person",)]
    bench.alarms["defi-1"] = AlarmPriority.HIGH
    bench.goes_on(1)
    bench.keeper.give_back("defi-1")
    bench.goes_on(5)
    assert [each.needs for each in bench.keeper.shown()] == [("alarm",)]
    assert bench.told.count("ask") == 1
    assert "end" not in bench.told


def test_an_alarm_behind_a_persons_session_has_its_own_sum(bench):
    bench.keeper.ask("defi-1", 30)
    bench.goes_on(25)
    bench.alarms["defi-1"] = AlarmPriority.HIGH
    bench.goes_on(3)
    assert bench.told == ["ask", "end", "ask"]
    bench.goes_on(200)
    assert bench.state_of("defi-1") is State.GRANTED
    bench.goes_on(100)
    assert bench.state_of("defi-1") is State.SPENT


@pytest.mark.parametrize(
    ("name", "seconds", "why"),
    [("wired-1", 60, "by nothing"), ("unknown-1", 60, "by nothing"), ("pump-1", 600, "minutes")],
)
def test_what_a_person_can_not_have_is_refused(bench, name, seconds, why):
    with pytest.raises(NotGivenError, match=why):
        bench.keeper.ask(name, seconds)
    bench.goes_on(2)
    assert bench.network.calls == []


def test_a_person_finds_no_room_and_what_was_refused_is_not_asked_for_again(bench):
    bench.alarms["defi-1"] = bench.alarms["defi-2"] = AlarmPriority.HIGH
    bench.goes_on(1)
    with pytest.raises(NotGivenError, match="devices_max"):
        bench.keeper.ask("pump-1", 60)
    bench.alarms.clear()
    bench.goes_on(int(TABLE.linger_s) + 3)
    bench.network.error = ProblemError(403, "not for you")
    bench.keeper.ask("pump-1", 60)
    bench.goes_on(1)
    with pytest.raises(NotGivenError, match="spent"):
        bench.keeper.ask("pump-1", 60)


def test_an_alarm_takes_the_room_of_the_persons_session_that_would_end_first(bench):
    bench.keeper.ask("pump-1", 200)
    bench.keeper.ask("defi-3", 100)
    bench.goes_on(1)
    bench.alarms["defi-1"] = AlarmPriority.HIGH
    bench.goes_on(4)
    assert {each.device_id: each.needs for each in bench.keeper.shown()} == {
        "defi-1": ("alarm",),
        "pump-1": ("person",),
    }
    assert bench.counters.gauges["network_quality", "without"] == 0
    bench.alarms["defi-2"] = bench.alarms["defi-0"] = AlarmPriority.HIGH
    bench.goes_on(4)
    assert {each.needs for each in bench.keeper.shown()} == {("alarm",)}
    assert bench.counters.gauges["network_quality", "without"] == 1
