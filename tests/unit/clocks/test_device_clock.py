"""One device's clock: what is estimated, what is late, what was set."""

import pytest

from gateway.domain.records import TimeMark
from gateway.pipeline.clocks.device import DeviceClock
from tests.unit.clocks.world import SECOND, WALL_US, DeviceTime, Ward

MS = 1000
JITTER = (5 * MS, 30 * MS, 12 * MS, 8 * MS, 41 * MS, 18 * MS, 7 * MS)


def right(found):
    return found.uncertainty_us > 0 and found.error_us <= found.uncertainty_us


@pytest.mark.parametrize("offset", [0, -600 * SECOND, 3600 * SECOND, -WALL_US])
def test_a_report_is_placed_to_50_ms_whatever_the_clock_shows(offset):
    ward = Ward(clock=DeviceTime(WALL_US + offset, drift_ppm=60.0))
    ward.live(200, delays=JITTER)
    assert all(found.uncertainty_us == 0 for found in ward.outcomes[:7])
    for found in ward.outcomes[40:]:
        assert right(found)
        assert found.uncertainty_us <= 50 * MS
        assert found.marks == 0


def test_drift_is_learnt_over_hours():
    ward = Ward(clock=DeviceTime(WALL_US, drift_ppm=73.0))
    ward.live(3 * 3600, delays=JITTER)
    bounds = ward.estimate.bounds
    assert abs(bounds.drift * 1e6 - 73.0) <= bounds.spread * 1e6 < 25.0


def test_a_backlog_keeps_its_true_time_and_its_order():
    ward = Ward()
    ward.live(40, delays=JITTER)
    ward.away(300)
    ward.drain()
    backlog = ward.outcomes[40:]
    assert all(right(found) for found in backlog)
    assert max(found.error_us for found in backlog) <= 60 * MS
    assert sum(found.late for found in backlog) == pytest.approx(240, abs=2)
    times = [found.measured_us for found in backlog]
    assert times == sorted(set(times))


def test_a_clock_that_is_set_back_is_no_late_delivery():
    ward = Ward()
    ward.live(40, delays=JITTER)
    ward.clock.offset_us -= 3600 * SECOND
    ward.live(40, delays=JITTER)
    first, *after = ward.outcomes[40:]
    assert first.marks & TimeMark.SET
    assert not any(found.late for found in after)
    assert all(right(found) for found in ward.outcomes[40:])
    assert all(found.uncertainty_us <= 50 * MS for found in after[20:])


def test_one_slip_of_a_clock_moves_nothing():
    ward = Ward()
    ward.live(40, delays=JITTER)
    before = ward.estimate.offset_us(ward.world.true_us)
    ward.clock.offset_us += 86_400 * SECOND
    ward.live(1)
    ward.clock.offset_us -= 86_400 * SECOND
    ward.live(3)
    assert ward.estimate.steps == 0
    assert abs(ward.estimate.offset_us(ward.world.true_us) - before) < 30 * MS


@pytest.mark.parametrize(("wraps", "from_s"), [(1 << 31, 2**31 - 50), (1 << 32, 2**32 - 50)])
def test_a_count_of_seconds_that_wraps_around(wraps, from_s):
    ward = Ward()
    ward.world.base_us = from_s * SECOND + 77 * MS - ward.world.true_us
    ward.clockwork.steady.look()
    ward.clock = DeviceTime(ward.world.base_us, wraps_s=wraps)
    ward.live(140, delays=JITTER)
    assert ward.estimate.steps == 1
    assert all(found.uncertainty_us == 0 or right(found) for found in ward.outcomes)
    assert all(right(found) and found.uncertainty_us <= 50 * MS for found in ward.outcomes[100:])
    assert not any(found.late for found in ward.outcomes)


@pytest.mark.parametrize("resolution", [10 * MS, 100 * MS, SECOND, 60 * SECOND])
def test_what_a_clock_cuts_off_counts_as_uncertainty(resolution):
    ward = Ward(clock=DeviceTime(WALL_US, resolution_us=resolution))
    ward.live(400, every_us=1_037_000, delays=JITTER)
    assert all(found.uncertainty_us == 0 or right(found) for found in ward.outcomes)
    found = ward.outcomes[-1]
    assert resolution / 2 <= found.uncertainty_us <= resolution + 60 * MS
    assert bool(found.marks & TimeMark.UNCERTAIN) is (found.uncertainty_us > 50 * MS)


def test_a_step_back_of_the_gateways_clock_turns_no_time_back():
    ward = Ward()
    ward.live(40, delays=JITTER)
    ward.world.base_us -= 8 * SECOND
    ward.live(40, delays=JITTER)
    times = [found.measured_us for found in ward.outcomes]
    assert times == sorted(times)
    assert all(right(found) for found in ward.outcomes[40:])
    assert ward.outcomes[41].marks & TimeMark.GATEWAY_SET
    assert ward.outcomes[-1].marks == 0
    assert ward.outcomes[-1].uncertainty_us <= 50 * MS


def test_after_a_great_step_back_the_order_goes_on_beside_the_time():
    ward = Ward()
    ward.live(40, delays=JITTER)
    ward.world.base_us -= 3600 * SECOND
    ward.live(40, delays=JITTER)
    order = [found.order_us for found in ward.outcomes]
    assert order == sorted(order)
    assert all(right(found) for found in ward.outcomes[40:])
    assert all(found.uncertainty_us <= 50 * MS for found in ward.outcomes[40:])


def test_a_delay_behind_a_usual_step_costs_no_certainty():
    ward = Ward()
    ward.live(40, delays=JITTER)
    ward.live(40, delays=[900 * MS, 300 * MS, 600 * MS, 100 * MS])
    assert all(right(found) and found.uncertainty_us <= 50 * MS for found in ward.outcomes[20:])
    assert not any(found.marks for found in ward.outcomes[20:])


def test_behind_an_unusual_step_a_delay_may_have_been_a_clock_set_back():
    ward = Ward()
    ward.live(40, delays=JITTER)
    ward.world.true_us += 3 * SECOND
    ward.live(1, delays=[900 * MS])
    late = ward.outcomes[-1]
    assert right(late)
    assert late.uncertainty_us >= 900 * MS
    ward.live(1, delays=[5 * MS])
    assert ward.outcomes[-1].uncertainty_us <= 50 * MS


def test_a_clock_set_back_within_the_jitter_is_noticed_with_a_window():
    ward = Ward()
    ward.live(40, delays=JITTER)
    ward.clock.offset_us -= 700 * MS
    ward.live(40, delays=JITTER)
    after = ward.outcomes[40:]
    assert all(right(found) for found in after)
    assert [bool(found.marks & TimeMark.SET) for found in after].index(True) == 16
    assert ward.estimate.steps == 1
    assert after[-1].uncertainty_us <= 50 * MS


def test_a_busy_network_is_no_clock_that_was_set():
    ward = Ward()
    ward.live(40, delays=JITTER)
    ward.world.true_us += 3 * SECOND
    ward.live(200, delays=[1200 * MS, 300 * MS, 700 * MS, 1900 * MS, 400 * MS])
    assert ward.estimate.steps == 0
    assert all(right(found) for found in ward.outcomes[40:])


def test_what_is_read_at_once_counts_once():
    ward = Ward(clock=DeviceTime(WALL_US, resolution_us=SECOND))
    for _ in range(7):
        for _ in range(100):
            ward.measure()
        ward.world.true_us += 5 * MS
        while ward.waiting:
            ward.deliver()
        ward.world.true_us += SECOND
    assert all(found.uncertainty_us == 0 for found in ward.outcomes[:100])
    assert not ward.estimate.bounds.known


def test_a_report_that_was_overtaken_is_placed_and_raises_no_doubt():
    ward = Ward()
    ward.live(40, delays=JITTER)
    ward.away(2, 300 * MS)
    for at in (1, 0):
        ward.world.true_us += 10 * MS
        ward.deliver(at)
    ward.live(1)
    assert [found.n for found in ward.outcomes[40:]] == [42, 41, 43]
    assert all(right(found) for found in ward.outcomes[40:])
    assert ward.outcomes[-1].uncertainty_us <= 50 * MS


@pytest.mark.parametrize("steps", [[500 * MS], [200 * MS, 240 * MS, 390 * MS]])
def test_delays_that_vary_take_the_short_way(monkeypatch, steps):
    took: list[str] = []
    take = DeviceClock.take

    def counted(self: DeviceClock, d: int, g: int, message_id: str):
        took.append(message_id)
        return take(self, d, g, message_id)

    monkeypatch.setattr(DeviceClock, "take", counted)
    ward = Ward()
    ward.live(40, delays=JITTER)
    took.clear()
    ward.busy([(n * 7919 % 1490 + 10) * MS for n in range(1000)], steps, overtaking=False)
    # Twice per window: one that is due, and a run of delays that ends.
    assert len(took) <= 2 * (ward.world.true_us - ward.outcomes[40].true_us) / (16 * SECOND) + 2
    assert all(right(found) for found in ward.outcomes[40:])
