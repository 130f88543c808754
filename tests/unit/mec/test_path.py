"""What is said of the path, and what is switched on, whatever the platform answers or does not."""

import asyncio
from typing import Any, cast

import pytest

from firmware_sim.mec.platform import dns_rule, traffic_rule
from gateway.mec.config import BreakoutTable
from gateway.mec.http import PlatformError, ProblemError
from gateway.mec.life import Input
from gateway.mec.path import Pace, Path
from tests.fakes import FakeClock, FakeCounters
from tests.unit.mec.fakes import Book, FakeApps

AWAY = PlatformError("away")


class Bench:
    def __init__(self, unknown_s=30.0, **changed):
        self.apps = cast("Any", FakeApps())
        self.clock, self.book = FakeClock(), Book()
        self.counters = FakeCounters()
        self.told: list[Input] = []
        breakout = BreakoutTable(**{"rules": ("breakout",), "campus": ("10.1.0.0/16",), **changed})
        self.path = Path(
            breakout,
            Pace(0.01, unknown_s),
            self.apps,
            lambda seen, _words: self.told.append(seen),
            self.clock,
            self.counters,
            self.book,
        )

    async def look(self):
        """What was said at one look."""
        self.told.clear()
        await self.path.look()
        return list(self.told)

    @property
    def states(self):
        return [fields["state"] for fields in self.book.of("breakout")]


async def test_a_rule_that_sleeps_is_switched_on_and_counts_as_bad_until_it_is_seen():
    one = Bench()
    assert await one.look() == [Input.PATH_GOOD]
    one.apps.rules[0]["state"] = "INACTIVE"
    assert await one.look() == [Input.PATH_BAD, Input.PATH_GOOD]
    assert one.states == ["good", "bad", "good"]
    assert one.book.of("breakout_activated") == [{"rule": "breakout"}]


async def test_a_rule_that_sleeps_from_the_start_is_no_news():
    one = Bench(dns_rules=("core",))
    one.apps.rules[0]["state"] = "INACTIVE"
    one.apps.dns = [dns_rule("core", state="INACTIVE")]
    assert await one.look() == [Input.PATH_GOOD]
    assert one.states == ["good"]
    assert one.apps.calls.count("activate dns core") == 1


@pytest.mark.parametrize("error", [AWAY, ProblemError(412, "changed"), ProblemError(403, "no")])
async def test_what_keeps_a_rule_asleep_does_not_make_it_unknown(error):
    one = Bench()
    assert await one.look() == [Input.PATH_GOOD]
    one.apps.rules[0]["state"] = "INACTIVE"
    one.apps.failing["activate breakout"] = error
    assert Input.PATH_GOOD not in await one.look()
    assert one.told[-1] is Input.PATH_BAD
    assert one.counters.counts["mec_failures", "activate"] == 1
    assert not one.book.of("breakout_activated")


@pytest.mark.parametrize(
    "rule",
    [
        traffic_rule("breakout", address="203.0.113.9", state="INACTIVE"),
        traffic_rule("breakout", action="DUPLICATE_ENCAPSULATED", state="INACTIVE"),
        traffic_rule("breakout", action="DROP", state="INACTIVE"),
    ],
    ids=["off_campus", "duplicates", "drops"],
)
async def test_what_would_be_wrong_is_not_switched_on(rule):
    one = Bench()
    one.apps.rules = [rule]
    assert await one.look() == [Input.PATH_BAD]
    assert one.apps.rules[0]["state"] == "INACTIVE"


async def test_nothing_is_switched_on_that_should_not_be():
    one = Bench(activate=False)
    one.apps.rules = [traffic_rule("breakout", state="INACTIVE"), traffic_rule("other")]
    assert await one.look() == [Input.PATH_BAD]
    assert not [each for each in one.apps.calls if each.startswith("activate")]
    one = Bench()
    one.apps.rules = [traffic_rule("breakout"), traffic_rule("other", state="INACTIVE")]
    assert await one.look() == [Input.PATH_GOOD]
    assert not [each for each in one.apps.calls if each.startswith("activate")]


async def test_dns_rules_are_looked_at_where_any_is_named():
    one = Bench(dns_rules=("core",))
    assert await one.look() == [Input.PATH_BAD]
    assert one.book.of("breakout")[0]["detail"] == "core: missing"
    one.apps.dns = [dns_rule("core")]
    assert await one.look() == [Input.PATH_GOOD]
    other = Bench()
    await other.look()
    assert "dns_rules" not in other.apps.calls


async def test_the_last_word_counts_for_a_while():
    one = Bench()
    await one.look()
    one.apps.failing["traffic_rules"] = AWAY
    one.clock.advance(29.9)
    assert await one.look() == []
    one.clock.advance(0.1)
    assert await one.look() == [Input.PATH_UNKNOWN, Input.PATH_UNKNOWN]
    assert one.states == ["good", "unknown"]
    one.apps.failing.clear()
    # It was too old before anybody looked: a machine that slept.
    assert await one.look() == [Input.PATH_UNKNOWN, Input.PATH_GOOD]
    assert await one.look() == [Input.PATH_GOOD]
    assert one.states == ["good", "unknown", "good"]


async def test_a_platform_that_never_told_is_told_of_once():
    one = Bench()
    one.apps.failing["traffic_rules"] = AWAY
    one.clock.advance(30)
    await one.look()
    await one.look()
    assert one.states == ["unknown"]


async def test_a_platform_that_takes_for_ever_is_silent_in_time():
    one = Bench(unknown_s=0.05)  # its clock stands still: the wait alone takes time
    assert await one.look() == [Input.PATH_GOOD]
    one.apps.failing["traffic_rules"] = None
    async with asyncio.timeout(30):
        assert await one.look() == [Input.PATH_UNKNOWN]
    assert one.counters.counts["mec_failures", "rules"] == 1


async def test_it_is_looked_at_again_and_again():
    one = Bench()
    task = asyncio.create_task(one.path.run())
    async with asyncio.timeout(30):
        while len(one.told) < 3:  # noqa: ASYNC110  # it happens in another task
            await asyncio.sleep(0.01)
    task.cancel()
