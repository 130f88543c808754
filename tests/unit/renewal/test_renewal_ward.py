"""A hospital's devices through three life-times: outages, switched off, wrong clocks, none lost.

WARDGATE_RENEWAL_DEVICES says how many; hundreds by default.

Virtual time; the machines, the floors and the moments are the real ones. A device is lost when
its certificate has ended by the fleet's clock.
"""

import heapq
import itertools
import os
import random
from collections import Counter

from security.renewal import Effect, Input, Life, Now, Renewal, RenewalTable
from security.timefloor import SecureTime

DAY = 86_400.0
LIFE_S = 90 * DAY
BEGIN = 1_800_000_000.0
SPAN_S = 3 * LIFE_S
OUTAGES = [(50 * DAY, 57 * DAY), (110 * DAY, 130 * DAY), (200 * DAY, 220 * DAY)]
"""Of the fleet; a third of a life is 30 days."""
DEVICES = int(os.environ.get("WARDGATE_RENEWAL_DEVICES", "250"))
TABLE = RenewalTable(look_s=3 * DAY)
"""Looks are most of the events; as often as by default they would show nothing more."""
FLEET_CERTIFICATE = (BEGIN - DAY, BEGIN + 400 * DAY)


class Oscillator:
    """A machine's clocks: the monotonic one begins anew with a start, the other may be wrong."""

    def __init__(self, ward, wrong):
        self.ward, self.wrong, self.started = ward, wrong, ward.time

    def now_us(self):
        return round((BEGIN + self.ward.time + self.wrong(self.ward.time)) * 1e6)

    def monotonic(self):
        return self.ward.time - self.started


class Ward:
    def __init__(self, seed):
        self.time = 0.0
        self.random = random.Random(seed)
        self.events = []
        self.order = itertools.count()
        self.requests: Counter[int] = Counter()
        self.lost = []

    def at(self, time, call, *args):
        heapq.heappush(self.events, (time, next(self.order), call, args))

    def run(self):
        while self.events and self.events[0][0] <= SPAN_S:
            self.time, _, call, args = heapq.heappop(self.events)
            call(*args)

    def up(self):
        return not any(begin <= self.time < end for begin, end in OUTAGES)

    def certificate(self):
        begin = BEGIN + self.time
        return Life(begin, begin + LIFE_S, self.random.random())


class SimDevice:
    """One device, renewing as the runner does."""

    def __init__(self, ward, name, wrong=lambda _time: 0.0):
        self.ward, self.name, self.wrong = ward, name, wrong
        self.life = self.candidate = ward.certificate()
        self.issued = 0
        self.floor_us = 0
        self.run = 0
        self.start()

    def start(self):
        self.run += 1
        self.clock = SecureTime(None, Oscillator(self.ward, self.wrong), lambda: False)
        self.clock.proved(max(self.floor_us, round(self.life.begin * 1e6)))
        self.machine = Renewal(self.life, TABLE, self.now(), self.ward.random.random)
        self.tick(self.run)

    def stop(self):
        self.run += 1
        self.floor_us = self.clock.floor_us()

    def now(self):
        self.clock.look()
        return Now(self.clock.now_us() / 1e6, self.clock.monotonic())

    def reaches(self):
        """Whether a request gets through: the fleet is up, and TLS takes its certificate."""
        begin, end = FLEET_CERTIFICATE
        now = self.clock.now_us() / 1e6
        if self.clock.standing.value == "agreed":
            return self.ward.up() and begin <= now < end
        return self.ward.up() and now < end

    def answer(self, effect):
        if effect is Effect.SWAP:
            self.life = self.candidate
            self.machine.adopt(self.life, self.now())
            return Input.SWAPPED
        if effect is Effect.REQUEST:
            self.ward.requests[int(self.ward.time // 3600)] += 1
        if not self.reaches():
            return Input.FAILED
        true = BEGIN + self.ward.time
        if true >= self.life.end:
            return Input.REFUSED
        self.clock.proved(round(true * 1e6))
        match effect:
            case Effect.LOOK:
                return Input.SAME
            case Effect.REQUEST:
                self.issued += 1
                self.candidate = self.ward.certificate()
                return Input.GRANTED
            case Effect.PROBE:
                return Input.PROBED

    def tick(self, run):
        if run != self.run:
            return  # it was switched off meanwhile
        effect = self.machine.tick(self.now())
        while effect is not Effect.NOTHING:
            answer = self.answer(effect)
            effect = self.machine.feed(answer, self.now())
        if BEGIN + self.ward.time >= self.life.end and self.name not in self.ward.lost:
            self.ward.lost.append(self.name)
        self.ward.at(self.ward.time + self.machine.until_s(self.now()), self.tick, run)


def switched_off(ward, device, begin, days):
    ward.at(begin, device.stop)
    ward.at(begin + days * DAY, device.start)


def made(seed, count, wrong=lambda _ward: lambda _time: 0.0, off=0):
    """A ward that ran, and its devices."""
    ward = Ward(seed)
    devices = [SimDevice(ward, f"pump-{number}", wrong(ward)) for number in range(count)]
    for device in devices:
        for _ in range(off):
            begin = ward.random.uniform(DAY, SPAN_S - 12 * DAY)
            switched_off(ward, device, begin, ward.random.uniform(0.1, 9))
    ward.run()
    ended = [each.name for each in devices if each.life.end <= BEGIN + SPAN_S]
    assert not ward.lost
    assert not ended
    return ward, devices


def test_a_hospital_through_outages():
    ward, devices = made(1, DEVICES)
    assert all(4 <= each.issued <= 6 for each in devices)
    # Enrolled within one second, and none of them makes a storm of it: not in the first renewal,
    # nor when the fleet is back.
    first = [n for hour, n in ward.requests.items() if hour * 3600 < 50 * DAY]
    assert not first
    assert max(ward.requests.values()) < DEVICES / 2
    quiet = sum(n for hour, n in ward.requests.items() if 57 * DAY <= hour * 3600 < 110 * DAY)
    assert quiet < 2 * len(devices)


def test_devices_that_are_switched_off_now_and_then():
    made(2, DEVICES // 5, off=4)


def test_clocks_in_1970_or_behind_by_years():
    def wrong(ward):
        if ward.random.random() < 0.5:
            return lambda time: -BEGIN - time  # stands at the beginning
        return lambda _time: -2000 * DAY

    ward, devices = made(3, DEVICES // 5, wrong, off=3)
    assert all(device.clock.standing.value == "behind" for device in devices)
    assert all(4 <= device.issued <= 7 for device in devices)
    assert ward


def test_clocks_that_jump_ahead_for_a_while():
    def wrong(ward):
        begin = ward.random.uniform(0, SPAN_S)
        length = ward.random.uniform(0.5, 20) * DAY
        leap = ward.random.uniform(2, 4000) * DAY
        return lambda time: leap if begin <= time < begin + length else 0.0

    _, devices = made(4, DEVICES // 5, wrong)
    assert all(device.issued <= 6 for device in devices)


def test_clocks_that_jump_while_the_device_is_off():
    """As far as the fleet's certificate seems ended nobody can be asked; it passes."""

    def wrong(ward):
        begin = ward.random.uniform(0, SPAN_S)
        leap = ward.random.choice([-3000, 45, 100, 5000]) * DAY
        return lambda time: leap if begin <= time < begin + 12 * DAY else 0.0

    _, devices = made(5, DEVICES // 5, wrong, off=4)
    assert all(device.issued <= 12 for device in devices)
