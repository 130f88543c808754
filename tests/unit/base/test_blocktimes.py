"""Counting a curve's blocks on from their arrival."""

import itertools
import random

import pytest

from drivers.base.blocktimes import LATE_S_MAX, BlockTimes
from drivers.base.dialogue import Moment

WALL_US = 1_800_000_000_000_000


def moment(second, jump_us=0):
    return Moment(500.0 + second, WALL_US + round(second * 1e6) + jump_us)


def take(times, second, *, damaged=False, samples=50, rate_hz=50.0, jump_us=0):
    return times.take(samples, rate_hz, moment(second, jump_us), damaged=damaged)


def test_jitter_does_not_show():
    times, rng = BlockTimes(), random.Random(7)
    begun = [take(times, i + rng.uniform(0, 0.1)) for i in range(1, 300)]
    steps = [b.start_us - a.start_us for a, b in itertools.pairwise(begun)]
    assert max(abs(step - 1_000_000) for step in steps) < 500
    assert not any(each.missing for each in begun)


def test_a_clock_that_drifts_is_followed():
    times = BlockTimes()
    late_us = [
        take(times, i * 1.0001).start_us - WALL_US - (i * 1.0001 - 1) * 1e6 for i in range(3000)
    ]
    assert max(map(abs, late_us)) < 30_000


def test_a_pause_of_ours_is_no_gap():
    times = BlockTimes()
    first = take(times, 1)
    burst = [take(times, 9) for _ in range(8)]  # delivered at once after eight seconds
    assert [each.missing for each in burst] == [0] * 8
    assert burst[-1].start_us - first.start_us == pytest.approx(8_000_000, abs=150_000)


def test_what_is_lost_to_damage_is_whole_blocks():
    times = BlockTimes()
    take(times, 1)
    after = take(times, 4.05, damaged=True)
    assert after.missing == 100
    assert after.start_us == pytest.approx(WALL_US + 3_000_000, abs=1000)
    assert take(times, 5, damaged=True).missing == 0


def test_a_device_that_stopped_leaves_a_gap():
    times = BlockTimes()
    take(times, 1)
    assert take(times, 2 + LATE_S_MAX + 1).missing == 50 * (LATE_S_MAX + 1)
    assert take(times, 3 + LATE_S_MAX + 1).missing == 0


def test_a_clock_that_is_set_moves_the_curve_and_makes_no_gap():
    times = BlockTimes()
    take(times, 1)
    after = take(times, 2, jump_us=3_600_000_000)
    assert after.missing == 0
    assert after.start_us == pytest.approx(WALL_US + 3_601_000_000, abs=1000)
