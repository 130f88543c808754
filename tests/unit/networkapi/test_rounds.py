"""Every device in turn: the pace, who is told of what, and a network that is away."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from gateway.domain.devices import Device, Standing
from gateway.domain.network import Swapped, parse_binding
from gateway.fence.config import AreaTable, FenceConfig
from gateway.fence.machine import State
from gateway.mec.http import PlatformError, ProblemError
from gateway.networkapi.config import RoundsTable
from gateway.networkapi.interface import Located, Verdict
from gateway.networkapi.rounds import AWAY_S, TRIES_MAX, Asked, Rounds
from tests.fakes import FakeCounters
from tests.unit.fence.test_fence import Bench as FenceBench

CAMPUS = AreaTable("campus", 31.2, 121.4, 2000.0)
AIRPORT = AreaTable("airport", 31.1, 121.8, 3000.0, campus=False)
FENCE = FenceConfig(areas=(CAMPUS, AIRPORT), grace_s=0)
NUMBER = {n: f"+861380000000{n}" for n in range(1, 4)}
DEVICES = {
    f"pump-{n}": Device(f"pump-{n}", network=parse_binding(gpsi=NUMBER[n])) for n in range(1, 4)
}
WIRED = Device("wired-1")
RETIRED = Device("old-1", standing=Standing.RETIRED, network=parse_binding(gpsi="+8613800000009"))


class Network:
    """What it says of each number; it counts its calls."""

    swap_calls = 2

    def __init__(self, clock):
        self.clock = clock
        self.calls = []
        self.error = None
        self.unable = set()
        self.swaps_error = self.places_error = None
        self.places = {}
        self.swaps = {}

    async def verify_location(self, whose, area, age_s):
        self.calls.append((self.clock.monotonic(), "verify", whose.phone, area.radius_m, age_s))
        error = self.error or self.places_error
        if error is not None:
            raise error
        verdict = self.places.get((whose.phone, area.radius_m), Verdict.UNKNOWN)
        at_us = 0 if verdict is Verdict.UNKNOWN else self.clock.now_us()
        return Located(verdict, at_us)

    async def swapped(self, whose):
        self.calls.append((self.clock.monotonic(), "swapped", whose.phone))
        error = self.error or self.swaps_error
        if whose.phone in self.unable:
            error = PlatformError("500")
        if error is not None:
            raise error
        return self.swaps.get(whose.phone, Swapped())


class Bench:
    def __init__(self, *, fence=True, swaps=True, **table):
        self.fenced = FenceBench(FENCE)
        self.clock, self.counters = self.fenced.clock, FakeCounters()
        self.network = Network(self.clock)
        self.devices = [*DEVICES.values(), WIRED, RETIRED]
        self.fenced.fence.directory(self.devices)
        self.told: list[tuple[str, Swapped]] = []
        asked = Asked(
            self.network if swaps else None,
            self.network if fence else None,
            lambda: self.devices,
            lambda _device_id: frozenset(),
            lambda device_id, swapped: self.told.append((device_id, swapped)),
            self.fenced.fence,
        )
        self.rounds = Rounds(
            RoundsTable(**{"every_s": 300.0, "fence": fence} | table),
            asked,
            self.clock,
            self.counters,
            self._sleep,
        )
        self.slept = []
        self.while_sleeping = lambda: None

    async def _sleep(self, seconds):
        self.slept.append(seconds)
        self.clock.advance(seconds)
        self.fenced.fence.tick()
        self.while_sleeping()

    def round(self):
        asyncio.run(self.rounds.round())
        self.fenced.fence.tick()

    def put(self, n, campus, airport=Verdict.FALSE):
        self.network.places[NUMBER[n], CAMPUS.radius_m] = campus
        self.network.places[NUMBER[n], AIRPORT.radius_m] = airport

    def states(self):
        return {each.device_id: each.state for each in self.fenced.fence.list()}


def test_who_is_known_is_asked_about_once_in_a_round_which_takes_its_time():
    bench = Bench(fence=False)
    bench.network.swaps[NUMBER[2]] = Swapped(5, 0)
    bench.round()
    assert [call[1:] for call in bench.network.calls] == [
        ("swapped", number) for number in NUMBER.values()
    ]
    assert bench.slept == [100.0, 100.0, 100.0]
    assert bench.told == [("pump-1", Swapped()), ("pump-2", Swapped(5, 0)), ("pump-3", Swapped())]


def test_calls_are_bounded_whatever_is_wished():
    bench = Bench(every_s=1.0, calls_per_minute=12)
    began = bench.clock.monotonic()
    for _ in range(5):
        bench.round()
    minutes = (bench.clock.monotonic() - began) / 60
    calls = sum(2 if call[1] == "swapped" else 1 for call in bench.network.calls)
    assert calls == 5 * 3 * 4
    assert calls <= 12 * minutes


@pytest.mark.parametrize(
    ("campus", "airport", "state"),
    [
        (Verdict.TRUE, Verdict.FALSE, State.INSIDE),
        (Verdict.PARTIAL, Verdict.FALSE, State.INSIDE),
        (Verdict.FALSE, Verdict.TRUE, State.OUTSIDE),
        (Verdict.FALSE, Verdict.FALSE, State.OUTSIDE),
        (Verdict.UNKNOWN, Verdict.UNKNOWN, State.UNKNOWN),
    ],
)
def test_the_fence_hears_where_a_device_is(campus, airport, state):
    bench = Bench()
    bench.put(1, campus, airport)
    bench.round()
    assert bench.states()["pump-1"] is state
    assert ("pump-1" in bench.fenced.holds.devices) == (state is State.OUTSIDE)
    assert bench.counters.counts["network_located", campus.value] >= 1


def test_who_left_comes_back_and_who_is_not_seen_has_not_left():
    bench = Bench()
    bench.put(1, Verdict.TRUE)
    bench.round()
    bench.put(1, Verdict.FALSE)
    bench.round()
    assert bench.states()["pump-1"] is State.OUTSIDE
    bench.put(1, Verdict.UNKNOWN, Verdict.UNKNOWN)
    bench.round()
    assert bench.states()["pump-1"] is State.OUTSIDE
    bench.put(1, Verdict.TRUE)
    bench.round()
    assert bench.states()["pump-1"] is State.INSIDE
    bench.put(1, Verdict.UNKNOWN, Verdict.UNKNOWN)
    bench.round()
    assert bench.states()["pump-1"] is State.UNKNOWN
    assert not bench.fenced.holds.devices


def test_a_network_that_is_away_costs_nobody_a_turn_and_is_silence_in_the_end():
    bench = Bench(unknown_s=60.0)
    for n in NUMBER:
        bench.put(n, Verdict.TRUE)
    bench.round()
    bench.network.error = PlatformError("away")
    slept = []

    def back_after_a_while():
        slept.append(bench.slept[-1])
        if len(slept) == 6:
            assert set(bench.states().values()) == {State.UNKNOWN}
            assert not bench.fenced.holds.devices
            bench.network.error = None

    bench.while_sleeping = back_after_a_while
    bench.round()
    assert slept[:6] == [AWAY_S] * 6
    assert set(bench.states().values()) == {State.INSIDE}


def test_of_two_interfaces_one_that_is_away_keeps_nobody_from_the_other():
    bench = Bench()
    bench.network.swaps_error = PlatformError("away")
    for n in NUMBER:
        bench.put(n, Verdict.TRUE)
    bench.round()
    assert set(bench.states().values()) == {State.INSIDE}
    assert bench.slept == [100.0] * 3
    assert bench.told == []


def test_where_places_alone_are_away_nobody_is_unseen_until_that_is_silence():
    bench = Bench(unknown_s=400.0)
    for n in NUMBER:
        bench.put(n, Verdict.TRUE)
    bench.round()
    bench.network.places_error = PlatformError("away")
    bench.round()
    assert set(bench.states().values()) == {State.INSIDE}
    assert len(bench.told) == 6
    bench.round()
    assert set(bench.states().values()) == {State.UNKNOWN}


def test_one_that_the_network_does_not_speak_of_costs_the_others_nothing(caplog):
    bench = Bench(fence=False)
    bench.network.error = ProblemError(403, "not for you")
    bench.round()
    bench.round()
    assert len(bench.network.calls) == 6
    assert [record.message for record in caplog.records] == [
        f"the network says nothing of pump-{n}: 403: not for you" for n in NUMBER
    ]


@pytest.mark.parametrize("n", NUMBER)
def test_one_about_which_the_network_can_not_be_asked_keeps_no_other_from_its_turn(n):
    bench = Bench(fence=False)
    bench.network.unable.add(NUMBER[n])
    for _ in range(2):
        bench.round()
    assert Counter(name for name, _ in bench.told) == {
        name: 2 for name in DEVICES if name != f"pump-{n}"
    }
    asked = Counter(call[2] for call in bench.network.calls)
    assert asked[NUMBER[n]] <= 2 * (TRIES_MAX + 1)
    bench.network.unable.clear()
    bench.round()
    assert [name for name, _ in bench.told[-3:]] == list(DEVICES)


def test_without_anybody_to_ask_about_it_waits():
    bench = Bench()
    bench.devices = [WIRED, RETIRED]
    bench.round()
    assert bench.network.calls == []
    assert len(bench.slept) == 1
