"""The state machine of a device's health: every state on every sign, and the bands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.health import TABLE, DeviceHealth, Facts, Health, HealthConfig, Rate, Sign

CONFIG = HealthConfig()
SECOND = 1_000_000
START = 1_790_000_000 * SECOND


class Watched:
    """A device whose gateway reports every two seconds."""

    def __init__(self, **kwargs):
        self.health = DeviceHealth()
        self.now = START
        self.facts = dict(kwargs)
        self.messages = 0
        self.errors = 0
        self.last_seen = START
        self.expected = ""

    def report(self, *, heard=True, errors=0, after_s=2.0, **facts):
        self.now += round(after_s * SECOND)
        if heard:
            self.last_seen = self.now
            self.messages += 2
        self.errors += errors
        self.facts.update(facts)
        told = Facts(
            last_seen_us=self.last_seen,
            messages=self.messages,
            errors={"malformed": self.errors},
            **self.facts,
        )
        self.health.observe(told, self.now, self.now, self.expected, CONFIG)
        return self.health.health


def test_the_table_is_complete():
    assert set(TABLE) == {(health, sign) for health in Health for sign in Sign}
    for (health, sign), step in TABLE.items():
        assert step.after >= 1
        if step.to is health:
            assert step.after == 1
        # No sign of life can lead to silence, and no silence to health.
        living = {Health.HEALTHY, Health.DEGRADED}
        expected = {
            Sign.OK: {Health.HEALTHY},
            Sign.FAULTY: {Health.DEGRADED},
            Sign.QUIET: {Health.SILENT},
            Sign.GONE: {Health.LOST},
            Sign.CUT: {Health.UNKNOWN},
        }[sign]
        assert step.to in expected
        assert (step.to in living) == (sign in {Sign.OK, Sign.FAULTY})


@given(start=st.sampled_from(Health), signs=st.lists(st.sampled_from(Sign), max_size=30))
def test_a_state_changes_after_exactly_so_many_signs_in_a_row(start, signs):
    device = DeviceHealth(start)
    run, before = 0, None
    for at, sign in enumerate(signs):
        state = device.health
        run = run + 1 if sign is before else 1
        before = sign
        step = TABLE[state, sign]
        changed = device._take(sign, at)
        if step.to is state:
            assert not changed
            assert device.health is state
        elif changed:
            assert (device.health, device.since_us) == (step.to, at)
            assert run >= step.after
        else:
            assert device.health is state
            assert run < step.after
        if changed:
            run = 0


def test_a_device_that_is_heard_is_healthy_and_falls_silent_then_lost():
    device = Watched()
    assert device.health.health is Health.UNKNOWN
    assert device.report() is Health.HEALTHY
    assert device.report(heard=False, after_s=30) is Health.HEALTHY
    assert device.report(heard=False, after_s=0.1) is Health.SILENT
    assert device.report(heard=False, after_s=869.9) is Health.SILENT
    assert device.report(heard=False, after_s=0.1) is Health.LOST
    assert device.report() is Health.LOST
    assert device.report() is Health.HEALTHY


def test_a_dead_gateway_makes_it_unknown_and_one_report_known_again():
    device = Watched()
    device.report()
    assert device.health.cut(device.now)
    assert not device.health.cut(device.now)
    assert device.health.health is Health.UNKNOWN
    assert device.report() is Health.HEALTHY


def test_the_batterys_band_keeps_it_from_flapping():
    device = Watched()
    device.report(battery_percent=16)
    assert device.report(battery_percent=14.9) is Health.HEALTHY  # once is not enough
    assert device.report() is Health.DEGRADED
    assert device.health.faults == {"battery"}
    for _ in range(5):
        assert device.report(battery_percent=19.9) is Health.DEGRADED
    assert [device.report(battery_percent=20.1) for _ in range(3)][-1] is Health.HEALTHY
    assert device.health.faults == frozenset()
    assert [device.report(battery_percent=16) for _ in range(5)][-1] is Health.HEALTHY


@pytest.mark.parametrize("sign", [1, -1])
def test_a_clock_may_be_off_in_either_direction(sign):
    device = Watched()
    device.report(clock_offset_us=0)
    for _ in range(2):
        state = device.report(clock_offset_us=sign * 31 * SECOND)
    assert (state, device.health.faults) == (Health.DEGRADED, frozenset({"clock"}))
    device.report(clock_offset_us=sign * 21 * SECOND)
    assert device.health.faults == {"clock"}
    device.report(clock_offset_us=sign * 19 * SECOND)
    assert device.health.faults == frozenset()


def test_errors_count_by_their_rate_not_by_their_sum():
    device = Watched()
    device.report(errors=10_000)  # since long before: no rate yet
    assert device.report() is Health.HEALTHY
    for _ in range(30):
        state = device.report(errors=1)  # 30 a minute
    assert (state, device.health.faults) == (Health.DEGRADED, frozenset({"errors"}))
    for _ in range(150):
        state = device.report()
    assert (state, device.health.faults) == (Health.HEALTHY, frozenset())


def test_one_error_of_a_fresh_device_is_no_fault():
    device = Watched()
    device.report()
    for errors in (1, 0, 0, 1, 0):
        assert device.report(errors=errors) is Health.HEALTHY
        assert device.health.faults == frozenset()


def test_a_certificate_near_its_end_and_a_foreign_firmware_are_faults():
    device = Watched()
    end = START + 13 * 86_400 * SECOND
    device.report(certificate_end_us=end)
    assert device.health.faults == {"certificate"}
    device.expected = "2.0"
    device.report(certificate_end_us=end + 3 * 86_400 * SECOND)
    assert device.health.faults == frozenset()
    device.report(firmware="1.9")
    assert device.health.faults == {"firmware"}
    device.report(firmware="2.0")
    assert device.health.faults == frozenset()


def test_what_is_not_known_is_no_fault():
    device = Watched(battery_percent=None, clock_offset_us=None, certificate_end_us=None)
    assert device.report() is Health.HEALTHY
    assert device.health.faults == frozenset()


def test_a_rate_approaches_the_truth_and_survives_a_restart_of_its_gateway():
    rate = Rate(10)
    count = 0
    for _ in range(100):
        count += 6
        rate.update(count, 2.0)
        assert rate.per_second == pytest.approx(3.0 if count > 6 else 0.0)
        assert rate.damped <= 3.0
    assert rate.damped == pytest.approx(3.0, rel=0.01)
    rate.update(6, 2.0)  # counted anew
    assert rate.per_second == pytest.approx(3.0)
    rate.update(10**9, 10_000)  # behind a long gap nothing can be said
    assert rate.per_second == pytest.approx(3.0)


def test_a_device_that_connects_and_said_nothing_yet_is_not_lost():
    device = Watched()
    device.last_seen = 0
    for _ in range(20):
        assert device.report(heard=False, connected=True) is Health.UNKNOWN
    assert device.report() is Health.HEALTHY


def test_a_gateway_that_starts_anew_has_not_lost_whom_it_has_not_heard_again():
    device = Watched()
    assert device.report() is Health.HEALTHY
    device.last_seen = device.messages = 0
    for _ in range(15):
        assert device.report(heard=False, connected=True) is Health.HEALTHY
    # What it was heard last, before the restart, still counts: it falls silent in time.
    assert device.report(heard=False, connected=True) is Health.SILENT
    assert device.report(heard=False, after_s=900) is Health.LOST
