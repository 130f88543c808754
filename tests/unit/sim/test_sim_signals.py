"""Signals stay in their stated ranges, are the seed's, and the drip's numbers agree."""

from __future__ import annotations

import itertools
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.signals import VITALS, Drip, Patient


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(), seconds=st.sampled_from([0.05, 1.0, 60.0, 3600.0]))
def test_vital_signs_stay_within_their_ranges(seed: int, seconds: float) -> None:
    patient = Patient(tuple(VITALS), Random(seed))
    for _ in range(50):
        for field, value in patient.step(seconds).items():
            assert VITALS[field].low <= value <= VITALS[field].high


def test_the_same_seed_gives_the_same_patient_and_another_another() -> None:
    def first(seed: int) -> list[dict[str, float]]:
        patient = Patient(tuple(VITALS), Random(seed))
        return [patient.step(1) for _ in range(20)]

    assert first(1) == first(1) != first(2)


def test_vital_signs_wander_and_do_not_jump() -> None:
    patient = Patient(("temp",), Random(3))
    values = [patient.step(1)["temp"] for _ in range(3600)]
    assert len(set(values)) > 2
    assert max(abs(a - b) for a, b in itertools.pairwise(values)) <= 0.2


def test_an_unknown_vital_sign_is_refused() -> None:
    with pytest.raises(KeyError):
        Patient(("mood",), Random(1))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(),
    volume=st.floats(50, 1000),
    rate=st.floats(20, 300),
    factor=st.sampled_from([20, 60]),
    seconds=st.floats(0.2, 10),
)
def test_what_dripped_and_what_is_left_is_the_bag(
    seed: int, volume: float, rate: float, factor: int, seconds: float
) -> None:
    drip = Drip(volume, rate, factor, Random(seed))
    drops = 0
    for _ in range(100):
        read = drip.step(seconds)
        assert read.drops >= drops
        drops = read.drops
        assert read.infused_ml + read.remaining_ml == pytest.approx(volume, abs=0.02)
        assert read.infused_ml == pytest.approx(read.drops / factor, abs=0.01)
        assert read.drops_min == pytest.approx(read.rate_ml_h * factor / 60, abs=0.1)


def test_an_open_drip_runs_at_the_prescribed_rate_without_an_alarm() -> None:
    drip = Drip(500, 120, 20, Random(1))
    reads = [drip.step(1) for _ in range(600)]
    assert all(read.alarms == () for read in reads)
    assert reads[-1].infused_ml == pytest.approx(120 / 6, rel=0.08)
    assert reads[-1].clamp == "open"


@pytest.mark.parametrize(
    ("clamp", "shown", "alarm"),
    [
        (0.0, "closed", "stopped"),
        (0.8, "partial", "rate_low"),
        (0.5, "partial", "rate_low_urgent"),
        (1.2, "open", "rate_high"),
        (1.6, "open", "rate_high_urgent"),
    ],
)
def test_the_clamp_raises_the_alarm_it_should(clamp: float, shown: str, alarm: str) -> None:
    drip = Drip(500, 120, 20, Random(1))
    drip.clamp = clamp
    read = [drip.step(1) for _ in range(120)][-1]
    assert read.clamp == shown
    assert read.alarms == (alarm,)


def test_the_bag_runs_low_and_then_out() -> None:
    drip = Drip(60, 300, 20, Random(1))
    seen: list[str] = []
    for _ in range(1200):
        read = drip.step(1)
        seen += [word for word in read.alarms if word not in seen]
    assert seen[0] == "nearly_empty"
    assert seen[-1] == "finished"
    assert read.remaining_ml == 0
    assert read.drops == 60 * 20
    assert "stopped" not in read.alarms


@pytest.mark.parametrize("fault", ["bubble", "bag_removed", "sensor_fault"])
def test_what_only_a_monitor_knows_it_shows_until_it_is_over(fault: str) -> None:
    drip = Drip(500, 120, 20, Random(1))
    drip.step(1)
    drip.faults.add(fault)
    read = [drip.step(1) for _ in range(30)][-1]
    assert read.alarms == (fault,)
    assert (read.weight_g == 0) is (fault == "bag_removed")
    drip.faults.discard(fault)
    assert fault not in drip.step(1).alarms


def test_another_bag_is_counted_and_begins_anew() -> None:
    drip = Drip(60, 300, 20, Random(1))
    first = [drip.step(1) for _ in range(600)][-1]
    drip.hang(500.0)
    second = drip.step(1)
    assert (first.bag, second.bag) == (1, 2)
    assert second.remaining_ml > 499
    assert second.drops < first.drops
    assert second.elapsed_s == 1
