"""A message that comes late, or comes again, does not change an alarm back."""

from typing import Any

import pytest

from gateway.domain import terms
from gateway.domain.ports import Outcome
from gateway.domain.records import AlarmKind, AlarmPriority, AlarmSnapshot, DeviceAlarm
from gateway.pipeline.alarms.order import SPACE, Order
from gateway.pipeline.config import DuplicateRule, Limits, PipelineConfig
from tests.fakes import FakeState
from tests.unit.pipeline.support import FULL, OVERLOADED, SOURCE, Bench

CONFIG = PipelineConfig(
    limits={"MDC_ECG_HEART_RATE": Limits(50, 120, delay_s=0, hysteresis=2)},
    duplicates=DuplicateRule(window=16),
)
AIR = DeviceAlarm("air", 1, AlarmPriority.HIGH, AlarmKind.TECHNICAL, "AIR")


def beats(bench: Bench, *pairs: tuple[int, float], boot: str = "5f") -> list[Any]:
    return [
        bench.vitals({terms.HEART_RATE: rate}, message_id=f"{boot}:{n}" if boot else "")
        for n, rate in pairs
    ]


EPISODE = ((1, 72.0), (2, 150.0), (3, 150.0))
TWO = (*EPISODE, (4, 72.0), (5, 150.0))


@pytest.mark.parametrize("messages", [EPISODE, TWO, (*TWO, (6, 72.0))])
def test_refused_telemetry_that_comes_again_repeats_no_alarm(messages):
    bench = Bench(CONFIG, automatic=FULL)
    bench.submit(*beats(bench, *messages))
    once = bench.phases()
    assert once[0] == "hr_high START"
    for _ in range(3):
        bench.submit(*beats(bench, *messages))
    assert bench.outcomes == [Outcome.FULL] * 4
    assert bench.phases() == once


@pytest.mark.parametrize("messages", [EPISODE, TWO, (*TWO, (6, 72.0))])
def test_power_lost_between_alarms_and_telemetry_repeats_no_alarm(messages):
    before = Bench(CONFIG, automatic=FULL)  # on the disk it looks the same
    before.submit(*beats(before, *messages))
    after = Bench(CONFIG, state=before.committer.state, first_id=100)
    after.submit(*beats(after, *messages))
    assert after.phases() == []
    assert len(after.committer.reports) == len(messages)
    after.submit(*beats(after, (7, 72.0)), *beats(after, (8, 150.0)))
    ended = [] if messages[-1][1] == 72.0 else ["hr_high END"]
    assert after.phases() == [*ended, "hr_high START"]


def test_what_a_device_shows_is_not_shown_again():
    bench = Bench(CONFIG, automatic=FULL)

    def shows(n, *alarms):
        now, message_id = bench.clock.now_us(), f"5f:{n}"
        report = bench.vitals({terms.HEART_RATE: 72.0}, message_id=message_id)
        return report, AlarmSnapshot("monitor-1", SOURCE, now, alarms, message_id=message_id)

    said = (*shows(1), *shows(2, AIR), *shows(3, AIR), *shows(4), *shows(5, AIR))
    for _ in range(3):
        bench.submit(*said)
    assert bench.phases() == ["air START", "air END", "air START"]


def test_alarms_that_were_not_taken_keep_their_order_too():
    bench = Bench(CONFIG, automatic=OVERLOADED)
    bench.submit(*beats(bench, *TWO))
    bench.committer.automatic = FULL
    bench.wait(0.5)
    bench.submit(*beats(bench, *TWO))
    assert bench.phases() == ["hr_high START", "hr_high END", "hr_high START"]
    after = Bench(CONFIG, state=bench.committer.state, first_id=100)
    after.submit(*beats(after, *TWO))
    assert after.phases() == []


def test_another_boot_another_condition_and_a_counter_set_back_are_heard():
    bench = Bench(CONFIG)
    bench.submit(*beats(bench, (40, 150.0), (41, 72.0)))
    bench.submit(*beats(bench, (1, 150.0), (2, 72.0), boot="60"))
    bench.submit(*beats(bench, (24, 150.0)))  # last change: 60:2
    bench.submit(*beats(bench, (50, 72.0)))
    bench.submit(*beats(bench, (34, 150.0)))  # 16 back: no repetition
    assert bench.phases() == ["hr_high START", "hr_high END"] * 3 + ["hr_high START"]
    bench.submit(bench.vitals({terms.HEART_RATE: 72.0}))
    assert bench.phases()[-1] == "hr_high END"


def test_order_forgets_what_changed_longest_ago():
    order = Order(16, 2)
    assert [order.changed(key, "a:1") for key in ("x", "y")] == ["", ""]
    assert order.changed("x", "a:2") == ""
    assert order.changed("z", "a:3") == "y"
    assert len(order) == 2
    assert order.delta("y").value is None
    assert not order.is_old("y", "a:1")
    assert order.is_old("x", "a:2")
    assert not order.is_old("x", "a:3")
    again = Order(16, 2)
    state = FakeState()
    state.spaces[SPACE] = {key: order.delta(key).value or b"" for key in ("x", "z")}
    again.restore(state)
    assert again.delta("x") == order.delta("x")


@pytest.mark.parametrize("message_id", ["", "a", "a:", "a:b", "a:²", ":", "a:" + "9" * 20])
def test_an_id_without_a_number_has_no_order(message_id):
    order = Order(16, 2)
    assert order.changed("x", message_id) == ""
    assert len(order) == 0
    order.changed("x", "a:5")
    assert not order.is_old("x", message_id)
