"""One identity behind two gateways at once: told from a device that moves."""

from typing import Any, cast

import pytest

from fleet.health import Health
from fleet.twins import TURNS, WINDOW_S, Twins
from tests.unit.fleet.test_fleet_monitor import Scene


@pytest.fixture
def scene():
    made = cast(Any, Scene("one", "two"))
    made.told = []
    made.monitor.on_twin = lambda *words: made.told.append(words)
    for gateway in ("edge", "other"):
        made.monitor.attached(gateway, "0.1")
    return made


def live(scene, *gateways, **more):
    """Reports of gateways that hear the device right now."""
    for gateway in gateways:
        scene.report(gateway, "one", connected=True, **more)


def test_a_device_behind_two_gateways_is_degraded_and_told_once(scene):
    live(scene, *("edge", "other") * (TURNS + 3))
    assert [device_id for device_id, _ in scene.told] == ["one"]
    assert scene.health("one") is Health.DEGRADED
    assert scene.monitor.health("one").faults == {"clone"}
    scene.monitor.tick()
    assert scene.gauge("device_faults", fault="clone") == 1
    assert scene.health("two") is Health.UNKNOWN


def test_it_is_well_again_when_it_has_stayed_behind_one(scene):
    live(scene, *("edge", "other") * (TURNS + 3))
    for _ in range(round(WINDOW_S / 2) + 8):
        live(scene, "edge")
        scene.monitor.tick()
    assert scene.monitor.health("one").faults == frozenset()
    assert scene.health("one") is Health.HEALTHY


def test_a_device_that_moves_is_no_twin(scene):
    for gateway in ("edge", "other", "edge"):
        live(scene, *(gateway,) * 5)
    assert scene.told == []


def test_what_a_gateway_heard_long_ago_is_no_sign_of_life(scene):
    for _ in range(3 * TURNS):
        live(scene, "edge")
        scene.report("other", "one", ago_s=1000 + scene.clock.monotonic(), connected=True)
    assert scene.told == []


def test_a_session_that_is_over_is_no_sign_of_life(scene):
    for _ in range(3 * TURNS):
        live(scene, "edge")
        scene.report("other", "one")
    assert scene.told == []


def test_clocks_that_differ_change_nothing():
    twins, found = Twins(), []
    for second in range(20):
        found += twins.heard("edge", {"one": second}, second)
        found += twins.heard("other", {"one": 10**15 + second}, second)
    assert found == ["one"]
    assert twins.is_twin("one")


def test_turns_that_are_far_apart_are_moves():
    twins = Twins()
    for step in range(10 * TURNS):
        now = step * (WINDOW_S + 1)
        gateway = ("edge", "other")[step % 2]
        assert twins.heard(gateway, {"one": step}, now) == []
        twins.tick(now)
    assert not twins.is_twin("one")


def test_a_gateway_that_starts_anew_is_believed_from_its_second_report_on():
    twins = Twins()
    assert twins.heard("edge", {"one": 5}, 1.0) == []
    assert twins._speaks == {}
    twins.heard("edge", {"one": 6}, 2.0)
    assert twins._speaks == {"one": "edge"}
