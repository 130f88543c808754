"""Whatever the clocks do: nothing that is claimed is wrong, and the order stays."""

from hypothesis import event, given, settings
from hypothesis import strategies as st

from gateway.domain.records import TimeMark
from tests.unit.clocks.world import SECOND, WALL_US, DeviceTime, Ward, World

MS = 1000
JITTER = st.lists(st.integers(1, 45 * MS) | st.integers(1, 20 * MS), min_size=4, max_size=8).filter(
    lambda delays: min(delays[:4]) <= 20 * MS and min(delays[-4:]) <= 20 * MS
)
"""Of eight reports, and of four, the quickest takes 20 ms at most."""
STEPS = st.one_of(
    st.integers(3 * SECOND, 40 * SECOND),
    st.integers(40 * SECOND, 400 * 86_400 * SECOND),
    st.sampled_from([3600 * SECOND, ((1 << 32) + 5000) * SECOND]),
).flatmap(lambda size: st.sampled_from([size, -size]))
ACTS = st.one_of(
    st.tuples(st.just("live"), st.integers(1, 60)),
    st.tuples(st.just("away"), st.integers(1, 200)),
    st.tuples(st.just("quiet"), st.integers(1, 3 * 3600)),
    st.tuples(st.just("stall"), st.integers(60, 1900)),
    st.tuples(st.just("device"), STEPS),
    st.tuples(st.just("away-set"), STEPS),
    st.tuples(st.just("gateway"), STEPS),
    st.tuples(st.just("reboot"), st.integers(1, 300)),
    st.tuples(st.just("leap"), st.just(0)),
)


def perform(ward: Ward, act: str, size: int, jitter, every_us: int) -> None:
    world = ward.world
    if act in ("device", "away-set"):
        # What is less than the clock cuts off is no step that could be seen.
        size += ward.clock.resolution_us if size > 0 else -ward.clock.resolution_us
    match act:
        case "live":
            ward.live(size, every_us, jitter)
        case "away":
            ward.away(size, every_us)
            ward.drain()
        case "quiet":
            world.true_us += size * SECOND
        case "stall":
            ward.measure()
            world.true_us += size * MS
            ward.deliver()
            world.true_us += max(0, every_us - size * MS)
        case "device":
            ward.clock.offset_us += size
            ward.live(1, every_us, jitter)
        case "away-set":
            ward.away(20, every_us)
            ward.clock.offset_us += size
            ward.away(20, every_us)
            ward.drain()
        case "gateway":
            world.base_us += size
            ward.clockwork.steady.look()
        case "reboot":
            world.true_us += size * SECOND
            ward.restart_device()
        case "leap":
            # The kernel repeats a second; the device does so later.
            world.base_us -= SECOND


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    acts=st.lists(ACTS, min_size=1, max_size=12),
    jitter=JITTER,
    every_us=st.sampled_from([SECOND // 5, SECOND, 10 * SECOND, 61 * SECOND]),
    drift=st.floats(-190, 190),
    resolution=st.sampled_from([1, 1000, 10_000, SECOND, 60 * SECOND]),
    offset=st.sampled_from([0, -WALL_US, 86_400 * SECOND]) | st.integers(-(10**9), 10**9),
    wraps=st.sampled_from([0, 1 << 31, 1 << 32]),
)
def test_nothing_claimed_is_wrong_and_order_stays(
    acts, jitter, every_us, drift, resolution, offset, wraps
):
    clock = DeviceTime(WALL_US + offset, drift, resolution, wraps)
    ward = Ward(World(), clock=clock)
    ward.live(40, every_us, jitter)
    for act, size in acts:
        perform(ward, act, size, jitter, every_us)
    ward.live(40, every_us, jitter)
    for found in ward.outcomes:
        # A clock that shows 1970 to the second says that it has no time.
        if found.uncertainty_us and not found.marks & TimeMark.UNDATED:
            assert found.error_us <= found.uncertainty_us, found
    keys = [found.order_us for found in ward.outcomes]
    assert keys == sorted(keys)
    event(f"claimed {sum(o.uncertainty_us > 0 for o in ward.outcomes) * 10 // len(keys)}/10")
