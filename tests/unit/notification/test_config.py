"""Rules, groups, hours: what is refused, and who is told."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest

from gateway.domain.errors import ConfigError
from gateway.domain.records import AlarmKind, AlarmPriority
from gateway.notification.routing import Routing
from tests.unit.notification.manager import CONFIG, alarm, read

LOW, MEDIUM, HIGH = AlarmPriority


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((b'outlets = ["head"]', b'outlets = ["nobody"]'), "group doctor: outlet nobody"),
        ((b'groups = ["charge"]', b'groups = ["nobody"]'), "rule ward-3a: group nobody"),
        ((b'name = "pager"', b'name = "screen"'), "outlet screen: there are two"),
        ((b"{ high = 60 }", b"{ high = 10 }"), "later level has a shorter delay"),
        ((b'by = "watch"', b'by = "fax"'), "fax"),
        ((b'name = "nurses"', b'name = "nurses"\nhours = "7 to 8"'), "hours"),
        ((b"acknowledged_minutes = 0", b'time_zone = "Mars"'), "time_zone"),
        ((b'zone = "campus"', b'zone = "campus"\ntopic = "x"'), "topic"),
        ((b'by = "watch"', b'by = "webhook"\naddress = "nohost"'), "address"),
        (
            (b'by = "watch"', b'by = "webhook"\naddress = "h:1"\ncert = "c"'),
            "cert and key go together",
        ),
        ((b'by = "watch"', b'by = "mqtt"\ndriver = "b"\ntopic = "a/#"'), "topic"),
        ((b'by = "watch"', b'by = "mqtt"\ndriver = "b"\ntopic = "$SYS/a"'), "topic"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_makes_no_sense_is_refused(change, said):
    before, after = change
    with pytest.raises(ConfigError, match=said):
        read(CONFIG.replace(before, after, 1))


RULES = b"""
[[outlets]]
by = "watch"
name = "one"
zone = "ward"
[[outlets]]
by = "watch"
name = "two"
zone = "ward"
[[outlets]]
by = "watch"
name = "three"
zone = "ward"
[[groups]]
name = "day"
outlets = ["one"]
hours = "07:00-19:00"
[[groups]]
name = "night"
outlets = ["two"]
hours = "19:00-07:00"
[[groups]]
name = "always"
outlets = ["three"]
[[rules]]
name = "drips"
kinds = ["physiological"]
conditions = ["drip_*"]
beds = ["07"]
levels = [{ groups = ["always"] }]
[[rules]]
name = "urgent"
priorities = ["high"]
wards = ["3a", "3b"]
[[rules.levels]]
groups = ["day"]
[[rules.levels]]
groups = ["always"]
after_s = { high = 60 }
[[rules]]
name = "lonely"
priorities = ["medium"]
levels = [{ groups = ["day"] }]
"""


def at(hour: int, zone: str = "UTC") -> int:
    return int(datetime(2026, 6, 1, hour, 30, tzinfo=ZoneInfo(zone)).timestamp() * 1e6)


def test_the_first_rule_that_matches_counts():
    routing = Routing(read(RULES))
    assert routing.rule(alarm(condition="drip_low"), "3a") == "drips"
    assert routing.rule(alarm(condition="drip_low", bed="08"), "3a") == "urgent"
    assert routing.rule(alarm(), "3a") == "urgent"
    assert routing.rule(alarm(), "9z") == ""
    assert routing.rule(alarm(), "") == "urgent"  # where it is, is not known
    assert routing.rule(alarm(priority=LOW), "3a") == ""
    assert routing.rule(alarm(condition="drip_low", bed=""), "") == "drips"


def test_kinds_are_told_apart():
    told = msgspec.structs.replace(alarm(condition="drip_low"), kind=AlarmKind.TECHNICAL)
    assert Routing(read(RULES)).rule(told, "3a") == "urgent"


def test_whoever_is_on_duty_is_told():
    routing = Routing(read(RULES))
    assert routing.step("urgent", 0, 0, HIGH, at(8)) == (1, ("one",), 60.0)
    assert routing.step("urgent", 1, 60, HIGH, at(8)) == (2, ("three",), None)
    # Nobody of the first level at night: the next takes its place, without waiting.
    assert routing.step("urgent", 0, 0, HIGH, at(22)) == (2, ("three",), None)
    # Nobody at all: rather somebody off duty than nobody.
    assert routing.step("lonely", 0, 0, MEDIUM, at(22)) == (1, ("one",), None)
    assert routing.step("urgent", 1, 10, HIGH, at(8)) == (1, (), 60.0)
    assert routing.step("no such rule", 0, 0, HIGH, at(8)) == (0, (), None)


def test_hours_are_local():
    config = read(b'time_zone = "Asia/Shanghai"\n' + RULES)
    assert Routing(config).step("lonely", 0, 0, MEDIUM, at(8, "Asia/Shanghai")).outlets == ("one",)
    night = Routing(read(RULES.replace(b'groups = ["day"] }', b'groups = ["night", "day"] }')))
    assert night.step("lonely", 0, 0, MEDIUM, at(3)).outlets == ("two",)
    assert night.step("lonely", 0, 0, MEDIUM, at(12)).outlets == ("one",)
