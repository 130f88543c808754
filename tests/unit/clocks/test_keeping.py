"""What was learnt of clocks survives a restart, as far as it can."""

from gateway.pipeline.clocks.keeping import OWN, SPACE
from gateway.pipeline.config import PipelineConfig
from tests.fakes import FakeState
from tests.unit.clocks.world import SECOND, WALL_US, DeviceTime, Ward
from tests.unit.pipeline.support import GOOD, Bench

JITTER = (5000, 30_000, 12_000, 8000, 41_000, 18_000, 7000)


def kept(ward: Ward, state: FakeState) -> None:
    """As Intake.tick does, for an hour of ticks."""
    keeping = ward.clockwork.keeping
    for _ in range(4):
        moment = ward.clockwork.steady.moment_us()
        for space, key, value in keeping.due(moment, lambda: [("mon-1", ward.seen.clock)], 1):
            assert value is not None
            state.spaces.setdefault(space, {})[key] = value


def restarted(ward: Ward, state: FakeState, boot_id: str) -> Ward:
    """Another process, in the same world."""
    ward.world.true_us += 20 * SECOND
    other = Ward(ward.world, clock=ward.clock, n=ward.n, boot=ward.boot)
    other.clockwork.keeping.restore(state, boot_id)
    return other


def learnt(boot_id: str = "a") -> tuple[Ward, FakeState]:
    ward, state = Ward(clock=DeviceTime(WALL_US - 600 * SECOND)), FakeState()
    ward.clockwork.keeping.restore(state, boot_id)
    ward.live(40, delays=JITTER)
    kept(ward, state)
    return ward, state


def test_an_estimate_goes_on_through_a_restart():
    ward, state = learnt()
    other = restarted(ward, state, "a")
    other.live(3)
    for found in other.outcomes:
        assert 0 < found.uncertainty_us <= 60_000
        assert found.error_us <= found.uncertainty_us


def test_a_backlog_after_a_restart_has_its_true_time():
    ward, state = learnt()
    ward.away(300)
    other = restarted(ward, state, "a")
    other.waiting = ward.waiting
    other.drain()
    assert all(found.uncertainty_us > 0 for found in other.outcomes)
    assert all(found.error_us <= found.uncertainty_us for found in other.outcomes)
    assert max(found.error_us for found in other.outcomes) < 100_000


def test_after_a_start_of_the_machine_nothing_is_claimed_but_a_backlog_is_late():
    ward, state = learnt()
    ward.away(300)
    ward.world.base_us += ward.world.true_us - 30 * SECOND
    other_us, ward.world.true_us = ward.world.true_us, 30 * SECOND
    other = restarted(ward, state, "b")
    other.waiting, other.clock = ward.waiting, DeviceTime(ward.clock.offset_us + other_us)
    other.deliver()
    assert other.outcomes[0].late
    assert other.outcomes[0].uncertainty_us == 0


def test_order_goes_on_from_what_it_was_at_least():
    ward, state = learnt()
    last = ward.outcomes[-1].order_us
    ward.world.base_us -= 3600 * SECOND
    for boot_id in ("a", "b"):
        other = restarted(ward, state, boot_id)
        other.live(1)
        assert other.outcomes[0].order_us > last


def test_what_cant_be_read_is_left_out(caplog):
    state = FakeState({SPACE: {"mon-1": b"nonsense", OWN: b"\x91"}})
    ward = Ward()
    ward.clockwork.keeping.restore(state, "a")
    ward.live(20)
    assert ward.outcomes[-1].uncertainty_us
    assert len(caplog.records) == 2


def test_clocks_are_written_seldom_and_no_more_than_there_may_be():
    bench = Bench(PipelineConfig(devices_max=8))
    written = set()
    for _ in range(60):
        for device in range(12):
            at_us = bench.clock.now_us() - 10_000
            bench.submit(bench.vitals(GOOD, device_id=f"m{device}", device_us=at_us))
        bench.wait(1.0)
        written |= set(bench.committer.state.items(SPACE))
    assert OWN in written
    assert len(bench.committer.state.items(SPACE)) <= 9


def test_a_clock_is_written_when_it_is_known_and_ten_minutes_later():
    ward, state = learnt()
    before = dict(state.items(SPACE))
    ward.live(30)
    kept(ward, state)
    assert state.items(SPACE)["mon-1"] == before["mon-1"]
    ward.live(600)
    kept(ward, state)
    assert state.items(SPACE)["mon-1"] != before["mon-1"]
