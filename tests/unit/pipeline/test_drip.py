"""The drip rules, as a nurse would tell them."""

import pytest

from gateway.domain import terms
from gateway.domain.records import AlarmPriority
from gateway.pipeline.config import DripRule, PipelineConfig
from tests.unit.pipeline.support import DRIP, Bench

FLOW, PRESCRIBED, LEFT = terms.FLOW_RATE, terms.PROGRAMMED_RATE, terms.VOLUME_REMAINING


def drip(bench, **values):
    names = {"flow": FLOW, "prescribed": PRESCRIBED, "left": LEFT, "drops": terms.DROP_RATE}
    names |= {"battery": terms.BATTERY}
    cells = DRIP | {names[name]: value for name, value in values.items()}
    cells = {code: value for code, value in cells.items() if value is not None}
    bench.submit(bench.report("drip", cells, device_id="drip-1"))


def told(*steps, config=None):
    bench = Bench(config)
    for seconds, values in steps:
        bench.wait(seconds)
        drip(bench, **values)
    bench.intake.tick()
    return [
        f"{alarm.condition.removeprefix('drip_')} {alarm.phase.name} {alarm.priority.name}"
        for alarm in bench.committer.alarm_records
        if alarm.condition.startswith("drip")
    ]


STOPPED = "stopped START HIGH"
BELOW, ABOVE = "below START LOW", "above START LOW"


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([(0, {}), (100, {})], []),
        # Stopped: after its delay, until it flows again.
        ([(0, {"flow": 0}), (19, {"flow": 0})], []),
        ([(0, {"flow": 0}), (20, {"flow": 0})], [STOPPED]),
        ([(0, {"flow": 0}), (20, {})], [STOPPED, "stopped END HIGH"]),
        ([(0, {"flow": 0, "prescribed": 0}), (99, {"flow": 0, "prescribed": 0})], []),
        # A stop is not also a low rate.
        ([(0, {"flow": 0}), (99, {"flow": 0})], [STOPPED]),
        # Finished is not also a stop.
        (
            [(0, {"left": 0, "flow": 0}), (99, {"left": 0, "flow": 0})],
            ["finished START MEDIUM", "low START LOW"],
        ),
        (
            [(0, {"flow": 0}), (20, {"flow": 0}), (5, {"left": 0.5, "flow": 0})],
            [STOPPED, "finished START MEDIUM", "low START LOW", "stopped END HIGH"],
        ),
        # A new bag ends both.
        (
            [(0, {"left": 0, "flow": 0}), (9, {"left": 500})],
            ["finished START MEDIUM", "low START LOW", "finished END MEDIUM", "low END LOW"],
        ),
        # Low: at a tenth of the volume to be infused, with hysteresis.
        ([(0, {"left": 51}), (9, {"left": 50.5})], []),
        ([(0, {"left": 50}), (9, {"left": 54})], ["low START LOW"]),
        ([(0, {"left": 50}), (9, {"left": 56})], ["low START LOW", "low END LOW"]),
        # The battery, with hysteresis.
        ([(0, {"battery": 16}), (9, {"battery": 99})], []),
        ([(0, {"battery": 15}), (9, {"battery": 20})], ["battery START LOW"]),
        ([(0, {"battery": 9}), (9, {"battery": 21})], ["battery START LOW", "battery END LOW"]),
        ([(0, {"battery": 9}), (9, {"battery": None})], ["battery START LOW"]),
        # Rates: 15 % is advisory, 25 % urgent.
        ([(0, {"flow": 85}), (99, {"flow": 115})], []),
        ([(0, {"flow": 84}), (29, {"flow": 84})], []),
        ([(0, {"flow": 84}), (30, {"flow": 84})], [BELOW]),
        ([(0, {"flow": 116}), (30, {"flow": 116})], [ABOVE]),
        ([(0, {"flow": 74}), (15, {"flow": 74})], ["below START MEDIUM"]),
        ([(0, {"flow": 126}), (15, {"flow": 126})], ["above START HIGH"]),
        ([(0, {"flow": 116}), (30, {"flow": 126})], [ABOVE, "above UPDATE HIGH"]),
        ([(0, {"flow": 126}), (15, {"flow": 123})], ["above START HIGH"]),
        ([(0, {"flow": 126}), (15, {"flow": 121})], ["above START HIGH", "above UPDATE LOW"]),
        ([(0, {"flow": 116}), (30, {"flow": 113})], [ABOVE]),
        ([(0, {"flow": 116}), (30, {"flow": 111})], [ABOVE, "above END LOW"]),
        # Flow that nobody prescribed.
        (
            [(0, {"flow": 9, "prescribed": 0}), (15, {"flow": 9, "prescribed": 0})],
            ["above START HIGH"],
        ),
        # What isn't there or can't be is not seen, and ends nothing.
        ([(0, {"flow": 84, "prescribed": None}), (99, {"flow": 84, "prescribed": None})], []),
        ([(0, {"flow": 84}), (30, {"flow": 84}), (9, {"flow": -5})], [BELOW]),
        ([(0, {"flow": 84}), (30, {"flow": 84}), (9, {"prescribed": None})], [BELOW]),
        ([(0, {"left": 50}), (9, {"left": None})], ["low START LOW"]),
    ],
)
def test_a_drip(steps, expected):
    assert told(*steps) == expected


def test_a_rate_that_is_not_given_follows_from_the_drops():
    """33 drops a minute at 20 a millilitre are 99 mL/h; 25 are 75, and 24 are 72."""
    assert told((0, {"flow": None}), (99, {"flow": None})) == []
    slow = {"flow": None, "drops": 24.0}
    assert told((0, slow), (15, slow)) == ["below START MEDIUM"]


def test_the_rule_can_be_switched_off():
    config = PipelineConfig(drip=DripRule(enabled=False))
    assert told((0, {"flow": 0}), (99, {"flow": 0}), config=config) == []


def test_an_infusion_pump_is_no_drip():
    bench = Bench()
    pump = {FLOW: 0.0, PRESCRIBED: 100.0, LEFT: 300.0}
    for _ in range(5):
        bench.submit(bench.report("pump", pump))
        bench.wait(20)
    assert bench.phases() == []


def test_the_alarm_carries_both_rates_and_the_limit():
    bench = Bench()
    drip(bench, flow=130.0)
    bench.wait(15)
    [alarm] = bench.committer.alarm_records
    assert (alarm.codes, alarm.values) == ((FLOW, PRESCRIBED), (130.0, 100.0))
    assert alarm.limit == pytest.approx(125.0)
    assert alarm.priority is AlarmPriority.HIGH
    assert alarm.text == "infusion rate 130 mL/h is above the prescribed 100 mL/h"
