"""When a record is made, when an alarm rings, and what the pipeline is told."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from gateway.domain.ports import Outcome
from gateway.domain.records import GatewayClock, LeapStatus
from gateway.ownclock.config import ClockTable
from gateway.ownclock.kernel import KernelClock, kernel_clock
from gateway.ownclock.opinion import PlatformTime
from gateway.ownclock.reading import NOBODY, Reading, by_kernel
from gateway.ownclock.watch import Around, OwnClock
from gateway.pipeline.config import TimeRule
from gateway.pipeline.normalise import Clockwork
from tests.fakes import FakeClock, FakeCounters

GOOD = Reading("chrony", synchronised=True, error_us=900, stratum=3, leap=LeapStatus.NORMAL)
OFF = GOOD._replace(error_us=60_000)


@dataclass
class Site:
    """A watch with everything fake around it."""

    reading: Reading = GOOD
    outcome: Outcome = Outcome.COMMITTED
    records: list[GatewayClock] = field(default_factory=list)
    alarms: set[str] = field(default_factory=set)

    def __post_init__(self):
        self.clock = FakeClock()
        self.counters = FakeCounters()
        self.clockwork = Clockwork(TimeRule(), self.clock)
        self.entries: list[dict[str, Any]] = []
        around = Around(
            "gw-1",
            self,
            self.clock,
            self.counters,
            self.clockwork,
            self,
            self,
            self._ask,
        )
        self.watch = OwnClock(ClockTable(), around)

    async def _ask(self):
        return self.reading

    def submit(self, submission):
        if self.outcome is Outcome.COMMITTED:
            self.records += submission.records
        submission.done(self.outcome)

    def writable(self):
        return True

    def when_writable(self, resume):
        resume()

    def condition(self, condition, text, *, active):
        assert text
        (self.alarms.add if active else self.alarms.discard)(condition)

    def record(self, event, **fields):
        assert event == "clock_opinion"
        self.entries.append(fields)

    def refused(self, *refusal):
        raise AssertionError(refusal)

    def platform_says(self, ahead_us: int, half_us: int = 4000, *, traceable: bool = True):
        """The platform's clock is ahead of the gateway's by so much."""
        told_ns = (self.clock.now_us() + ahead_us) * 1000 + 7
        moment_us = round(self.clock.monotonic() * 1e6)
        self.watch.platform_said(PlatformTime(told_ns, moment_us, half_us, traceable))

    def wait(self, seconds: int, every: int = 1):
        for _ in range(0, seconds, every):
            asyncio.run(self.watch.look())
            self.clock.advance(every)

    def causes(self):
        return [record.cause for record in self.records]


def test_a_record_at_the_start_when_it_changes_and_now_and_then():
    site = Site()
    site.wait(899)
    assert site.causes() == ["started"]
    site.wait(20)
    assert site.causes() == ["started", "periodic"]
    site.reading = GOOD._replace(stratum=4)
    site.wait(20)
    site.reading = NOBODY
    site.wait(20)
    assert site.causes()[2:] == ["changed", "changed"]
    assert [record.synchronised for record in site.records] == [True, True, True, False]
    assert all(record.device_id == "gw-1" for record in site.records)


def test_the_pipeline_knows_before_a_record_is_made():
    site = Site()
    asyncio.run(site.watch.prepare())
    assert site.clockwork._room_us == 50_000 - 900
    assert site.records == []
    site.wait(1)
    assert site.causes() == ["started"]


def test_a_step_is_told_within_a_second_with_its_size():
    site = Site()
    site.wait(5)
    site.clock._us -= 8_000_000
    site.wait(1)
    assert site.causes() == ["started", "set"]
    assert site.records[-1].step_us == -8_000_000
    assert site.counters.counts[("clock_steps", "back")] == 1
    site.wait(30)
    assert site.causes() == ["started", "set"]


def test_what_the_journal_did_not_take_is_told_again():
    site = Site(outcome=Outcome.FULL)
    site.wait(5)
    site.outcome = Outcome.COMMITTED
    site.wait(5)
    assert site.causes() == ["started"]


def test_an_alarm_rings_after_a_while_and_ends_at_once():
    site = Site(NOBODY)
    site.wait(300)
    assert site.alarms == set()
    site.wait(2)
    assert site.alarms == {"clock_unsynchronised"}
    site.reading = OFF
    site.wait(20)
    assert site.alarms == set()
    site.wait(300)
    assert site.alarms == {"clock_inaccurate"}
    site.reading = GOOD
    site.wait(17)
    assert site.alarms == set()


def test_the_pipeline_knows_of_the_clocks_error():
    site = Site()
    site.wait(1)
    assert site.counters.gauges[("clock_synchronised",)] == 1
    assert site.counters.gauges[("clock_error_seconds",)] == 0.0009
    assert site.clockwork._room_us == 50_000 - 900
    site.reading = NOBODY
    site.wait(20)
    assert site.clockwork._room_us < 0


def test_the_kernel_is_believed_where_nobody_else_is():
    assert by_kernel(None) == NOBODY
    told = KernelClock(True, -12, 3400, -7000, insert=True, delete=False)
    reading = by_kernel(told)
    assert (reading.error_us, reading.leap) == (3400, LeapStatus.INSERT)
    assert not by_kernel(told._replace(synchronised=False)).error_us


def test_this_kernel_answers():
    told = kernel_clock()
    assert told is None or told.error_us >= 0


def test_a_platform_that_contradicts_costs_certainty_at_once_and_is_an_alarm_that_stays():
    site = Site()
    site.wait(2)
    site.platform_says(3_000_000)
    site.wait(1)
    assert site.watch.reading.source == "disputed"
    assert 3_000_000 < site.watch.reading.error_us < 3_020_000
    assert site.clockwork._room_us < 0
    assert site.counters.gauges[("clock_contradicted",)] == 1
    assert site.causes() == ["started", "changed"]
    assert site.alarms == set()
    for _ in range(5):
        site.platform_says(3_000_000)
        site.wait(61)
    assert site.alarms == {"clock_contradicted", "clock_inaccurate"}
    site.platform_says(0)
    site.wait(1)
    assert site.alarms == set()
    assert site.watch.reading == GOOD
    assert site.counters.gauges[("clock_contradicted",)] == 0
    assert [entry["verdict"] for entry in site.entries] == ["contradicts", "agrees"]
    assert site.entries[0]["least_us"] < 3_000_000 < site.entries[0]["most_us"]


def test_a_platform_that_is_not_locked_to_utc_is_no_opinion():
    site = Site()
    site.platform_says(3_000_000, traceable=False)
    site.wait(600)
    assert site.watch.reading == GOOD
    assert (site.alarms, site.entries) == (set(), [])


def test_a_platform_vouches_where_nobody_else_does_until_it_is_silent():
    site = Site(NOBODY)
    site.wait(2)
    site.platform_says(20_000)
    site.wait(1)
    reading = site.watch.reading
    assert (reading.source, reading.synchronised) == ("platform", True)
    assert 20_000 < reading.error_us <= 20_000 + 4_000 + 5_000 + 2_000 + 1_000
    assert site.counters.gauges[("clock_synchronised",)] == 1
    site.wait(598)
    assert site.watch.reading.error_us > reading.error_us + 50_000
    site.wait(20)
    assert site.watch.reading == NOBODY
    assert [entry["verdict"] for entry in site.entries] == ["vouches", "silent"]


def test_a_step_of_the_clock_shows_beside_the_platform_at_once():
    site = Site(NOBODY)
    site.platform_says(0)
    site.wait(1)
    site.clock._us -= 8_000_000
    site.wait(1)
    assert 8_000_000 < site.watch.reading.error_us < 8_020_000


def test_another_allowance_for_the_platform_counts_at_once():
    site = Site()
    site.platform_says(40_000)
    site.wait(1)
    assert site.watch.reading.source == "disputed"
    site.watch.follow(ClockTable(platform_error_s=0.05))
    site.wait(1)
    assert site.watch.reading == GOOD
