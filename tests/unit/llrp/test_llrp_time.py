"""How far a reader's clock is from the gateway's: drift, jumps, what was held, our own clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from llrpkit.protocol import messages, params

from drivers.base.dialogue import Moment
from drivers.llrp.mapping import SET_BACK_S, STAMP_US_MAX, WINDOW_S, Mapper, ReaderTime
from gateway.domain.tags import ReaderClock
from tests.unit.llrp.scene import PROVENANCE

WALL_US = 1_790_000_000_000_000
HOUR_US = 3_600_000_000


def moment(second: float, step_us: int = 0) -> Moment:
    """So long after the beginning; ``step_us``: our wall clock has been set."""
    return Moment(1000.0 + second, WALL_US + round(second * 1e6) + step_us)


def error_us(time: ReaderTime, stamp_us: int, second: float, step_us: int = 0) -> int:
    """How far off a stamp that was made just now is placed."""
    now = moment(second, step_us)
    return abs(stamp_us + time.offset_us(now) - now.wall_us)


@given(st.lists(st.floats(0, 2.0), min_size=1, max_size=50), st.integers(-HOUR_US, HOUR_US))
def test_the_quickest_word_counts(delays: list[float], off_us: int) -> None:
    time = ReaderTime()
    for n, delay_s in enumerate(delays):
        time.told(WALL_US + round(n * 1e6) + off_us, moment(n + delay_s))
    stamp = WALL_US + 60_000_000 + off_us
    assert abs(error_us(time, stamp, 60.0) - round(min(delays) * 1e6)) <= 1


def test_a_clock_that_drifts_is_followed() -> None:
    time = ReaderTime()
    for second in range(0, 8 * 3600, 10):
        drifted_us = round(second * 100)  # 100 ppm: 2.9 s in all
        time.told(WALL_US + second * 1_000_000 - drifted_us, moment(second))
    last = 8 * 3600
    assert error_us(time, WALL_US + last * 1_000_000 - last * 100, last) < 2 * WINDOW_S * 100 + 1000


def test_a_clock_that_is_set_forward_is_followed_at_once() -> None:
    time = ReaderTime()
    time.told(5_000_000, moment(0))  # 1970: it had no time yet
    time.told(WALL_US + 1_000_000, moment(1))
    assert error_us(time, WALL_US + 2_000_000, 2) <= 1


def test_a_clock_that_is_set_back_is_followed_after_a_while() -> None:
    time = ReaderTime()
    for second in range(60):
        time.told(WALL_US + second * 1_000_000, moment(second))
    for second in range(60, 60 + round(SET_BACK_S) + 2):
        time.told(WALL_US + second * 1_000_000 - HOUR_US, moment(second))
    assert error_us(time, WALL_US + 90_000_000 - HOUR_US, 90) <= 1


def test_what_was_held_moves_nothing() -> None:
    time = ReaderTime()
    time.told(WALL_US, moment(0))
    for second in range(30):
        time.told(WALL_US - HOUR_US + second * 1_000_000, moment(1 + second / 100))
    for second in range(2, 40, 2):
        time.told(WALL_US + second * 1_000_000, moment(second))  # live
        time.told(WALL_US - HOUR_US, moment(second + 0.5))  # and more of the past
    assert error_us(time, WALL_US + 40_000_000, 40) <= 1


def test_our_own_wall_clock_may_jump() -> None:
    time = ReaderTime()
    time.told(WALL_US, moment(0))
    assert error_us(time, WALL_US + 5_000_000, 5, step_us=-HOUR_US) <= 1


def test_what_can_be_no_time_is_none() -> None:
    tag = params.TagReportData(
        epc_parameter=params.EPC_96(),
        last_seen_timestamp_utc=params.LastSeenTimestampUTC(microseconds=STAMP_US_MAX + 1),
    )
    mapper = Mapper("reader-1", PROVENANCE)
    report = messages.RO_ACCESS_REPORT(tag_report_datas=[tag])
    (reads,) = mapper.reads(report, moment(0))
    assert reads.clock is ReaderClock.NONE
    assert reads.placed_us(reads.reads[0].last_us) == WALL_US
    event = params.ReaderEventNotificationData(
        timestamp=params.Uptime(microseconds=(1 << 64) - 1),
        gpi_event=params.GPIEvent(gpi_port_number=1, gpi_event=True),
    )
    mapper.hear(event, moment(0))
    change = mapper.change(event, moment(0))
    assert change is not None
    assert change.clock is ReaderClock.NONE
    assert change.placed_us(change.at_us) == WALL_US
