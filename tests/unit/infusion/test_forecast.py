"""The forecast of an infusion's end: right, robust, and honest about what it does not know."""

from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.infusion.forecast import (
    FLOW_ML_H_MIN,
    JUMP_ML,
    LEFT_S_MAX,
    RELATIVE_TOLD,
    SAMPLES_MAX,
    SAMPLES_MIN,
    Sample,
    Track,
)


def running(left=400.0, flow=120.0, every_s=10.0, n=12, at_s=1000.0, told=True, noise=None):
    """Samples of a bag that runs out evenly."""
    for k in range(n):
        t = at_s + k * every_s
        gone = flow * (t - at_s) / 3600
        off = noise() if noise else 0.0
        yield Sample(t, max(0.0, left - gone + off), flow if told else None)


def track_of(samples):
    track = Track()
    for each in samples:
        track.add(each, each.at_s)
    return track


@given(
    left=st.floats(20, 2000),
    flow=st.floats(5, 999),
    every_s=st.floats(5, 60),
    told=st.booleans(),
)
def test_an_even_infusion_ends_when_it_ends(left, flow, every_s, told):
    samples = list(running(left, flow, every_s, told=told))
    assume(samples[-1].left_ml > 1)
    found = track_of(samples).forecast()
    assert found is not None
    want_s = samples[-1].left_ml / flow * 3600
    assert found.left_s == pytest.approx(min(want_s, LEFT_S_MAX), rel=0.01)
    assert found.early_s <= found.left_s <= found.late_s


@settings(max_examples=60)
@given(seed=st.integers(), flow=st.floats(40, 300), gram=st.floats(0, 0.5))
def test_a_scale_that_trembles_moves_it_within_its_uncertainty(seed, flow, gram):
    random = Random(seed)
    samples = list(running(400, flow, n=16, noise=lambda: random.gauss(0, gram)))
    found = track_of(samples).forecast()
    assert found is not None
    true_s = (400 - flow * 150 / 3600) / flow * 3600
    spread = max(found.late_s - found.left_s, found.left_s - found.early_s)
    assert abs(found.left_s - true_s) <= 3 * spread + 0.02 * true_s


@settings(max_examples=60)
@given(
    at=st.integers(4, 14),
    off=st.floats(-380, 1000).filter(lambda ml: abs(ml) > JUMP_ML + 20),
)
def test_one_value_that_can_not_be_changes_nothing(at, off):
    good = list(running(n=16))
    bad = list(good)
    bad[at] = bad[at]._replace(left_ml=max(0.0, bad[at].left_ml + off))
    found, want = track_of(bad).forecast(), track_of(good).forecast()
    assert found is not None
    assert want is not None
    assert found.left_s == pytest.approx(want.left_s, rel=0.02)


def test_another_bag_begins_anew_when_two_values_say_so():
    track = track_of(running(left=60.0))
    first = Sample(1200, 500.0, 120.0)
    assert track.add(first, first.at_s) is False
    second = Sample(1210, 499.7, 120.0)
    assert track.add(second, second.at_s) is True
    found = track.forecast()
    assert found is not None
    assert found.left_s == pytest.approx(499.7 / 120 * 3600)
    assert found.early_s == pytest.approx(found.left_s / (1 + RELATIVE_TOLD))  # only what is told


def test_another_flow_begins_anew_when_two_values_say_so():
    track = track_of(running(left=400.0, flow=120.0))
    left = 396.0
    for k in range(8):
        left -= 60.0 * 10 / 3600
        track.add(Sample(1120 + 10 * k, left, 60.0), 1120 + 10 * k)
    found = track.forecast()
    assert found is not None
    assert found.flow_ml_h == pytest.approx(60.0, rel=0.01)


def test_before_enough_was_seen_the_device_is_believed_with_a_margin():
    samples = list(running(n=SAMPLES_MIN - 1))
    found = track_of(samples).forecast()
    assert found is not None
    assert found.flow_ml_h == 120.0
    assert found.late_s / found.left_s == pytest.approx(1 / (1 - RELATIVE_TOLD))
    assert track_of(running(n=SAMPLES_MIN - 1, told=False)).forecast() is None


def test_while_nothing_flows_nothing_ends():
    still = [Sample(1000 + 10 * k, 100.0, 0.0) for k in range(10)]
    assert track_of(still).forecast() is None
    assert track_of(each._replace(flow_ml_h=None) for each in still).forecast() is None
    assert Track().forecast() is None


def test_an_empty_bag_has_ended():
    found = track_of([Sample(1000, 0.0, 0.0)]).forecast()
    assert found is not None
    assert found.left_s == 0.0


def test_a_clock_that_was_set_begins_anew():
    track = track_of(running())
    late = Sample(90_000, 390.0, 120.0)
    track.add(late, 1120)
    assert list(track.samples) == [late]


def test_what_comes_late_is_left_out():
    track = track_of(running())
    before = list(track.samples)
    assert track.add(Sample(1080, 1.0, 120.0), 1111) is False
    assert list(track.samples) == before


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1e6), st.floats(0, 1e4), st.none() | st.floats(0, 2000), st.floats(0, 1e6)
        ),
        max_size=60,
    )
)
def test_whatever_comes_it_is_bounded_and_in_order(told):
    track = Track()
    for at_s, left, flow, gateway_s in told:
        track.add(Sample(at_s, left, flow), gateway_s)
        times = [each.at_s for each in track.samples]
        assert times == sorted(set(times))
        assert len(times) <= SAMPLES_MAX
        found = track.forecast()
        if found is not None:
            assert 0 <= found.early_s <= found.left_s <= found.late_s <= LEFT_S_MAX
            assert found.flow_ml_h == 0 or found.flow_ml_h >= FLOW_ML_H_MIN
