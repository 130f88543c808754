"""A clock without seconds, and curves that arrive as they please."""

from hypothesis import given
from hypothesis import strategies as st

from drivers.ventilation.clock import NEAR_ENOUGH_US, CutOffClock
from drivers.ventilation.timeline import GAP_S_MAX, LATE_S, Timeline

MINUTE_US = 60_000_000
START_US = 1_790_000_000_000_000


@given(
    st.integers(-3600_000_000, 3600_000_000),
    st.integers(0, MINUTE_US),
    st.integers(1_000_000, 5_000_000),
)
def test_a_clock_that_shows_minutes_is_known_once_it_moved_on(offset_us, begin_us, every_us):
    clock, known = CutOffClock(), 0
    for n in range(2 * MINUTE_US // every_us + 1):
        received_us = START_US + begin_us + n * every_us
        true_us = received_us - offset_us
        known = clock.device_us(true_us - true_us % MINUTE_US, MINUTE_US, received_us)
        assert known == 0 or abs(known - true_us) <= NEAR_ENOUGH_US
    assert known


def test_a_clock_that_was_set_is_learnt_anew():
    clock = CutOffClock()
    assert clock.device_us(START_US, 1_000_000, START_US + 100_000)
    set_us = START_US - 7200_000_000
    known = clock.device_us(set_us, 1_000_000, START_US + 200_000)
    assert abs(known - set_us) <= 1_000_000


def place_all(blocks, rate=50.0):
    """Blocks as (samples, arrival in seconds) -> places, in seconds after the first's start."""
    line = Timeline(rate)
    placed = [line.place(n, 100.0 + at, START_US + round(at * 1e6)) for n, at in blocks]
    return [((p.start_us - START_US) / 1e6, p.missing_before) for p in placed]


def test_blocks_follow_on_whatever_the_jitter():
    placed = place_all([(50, 1.0), (50, 2.08), (50, 3.0), (50, 4.05)])
    assert [start for start, _ in placed] == [0.0, 1.0, 2.0, 3.0]
    assert all(missing == 0 for _, missing in placed)


def test_what_is_much_too_late_is_preceded_by_what_is_missing():
    (_, none), (start, missing) = place_all([(50, 1.0), (50, 2.0 + LATE_S + 1.0)])
    assert none == 0
    assert missing == round((LATE_S + 1.0) * 50)
    assert start == 1.0 + LATE_S + 1.0


def test_a_gap_of_the_connection_begins_anew():
    _, (start, missing) = place_all([(50, 1.0), (50, 2.0 + GAP_S_MAX + 5)])
    assert missing == 0
    assert start == 1.0 + GAP_S_MAX + 5


def test_a_burst_after_a_pause_is_placed_back_to_back():
    placed = place_all([(50, 1.0), (50, 3.9), (50, 3.9), (50, 4.0)])
    assert [start for start, _ in placed] == [0.0, 1.0 + 0.002, 2.0 + 0.004, 3.0]


@given(st.lists(st.tuples(st.integers(1, 300), st.floats(0, 5)), min_size=1, max_size=30))
def test_nothing_is_placed_after_it_arrived(blocks):
    line, now = Timeline(50.0), 0.0
    for samples, wait in blocks:
        now += wait
        placed = line.place(samples, now, round(now * 1e6))
        assert placed.start_us + samples * 20_000 <= round(now * 1e6) + 2
        assert placed.missing_before >= 0
