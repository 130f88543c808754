"""What time it is at least: floors that are proved, kept, and not poisoned by a wrong clock."""

import pytest

from security.timefloor import BUILT_US, LEAP_S, SAVE_EVERY_S, SLACK_S, SecureTime, Standing
from tests.fakes import FakeClock

NOW_US = 1_790_000_000_000_000
DAY = 86_400.0
S = 1_000_000


class Machine(FakeClock):
    """A clock whose wall can be set."""

    def set(self, us):
        self._us = round(us)


def unsynchronised():
    return False


def judged(time):
    return time.standing


@pytest.fixture
def machine():
    return Machine(NOW_US)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "time-floor"


def test_a_good_clock_counts(machine, path):
    time = SecureTime(path, machine, unsynchronised)
    time.proved(NOW_US - 5 * S)
    assert (time.standing, time.now_us()) == (Standing.AGREED, NOW_US)
    machine.advance(10)
    assert time.now_us() == NOW_US + 10 * S


def test_a_clock_below_the_floor_does_not_count(machine, path):
    time = SecureTime(path, machine, unsynchronised)
    time.proved(NOW_US)
    time.save()
    boot = Machine(0)
    time = SecureTime(path, boot, unsynchronised)
    assert (time.standing, time.now_us()) == (Standing.BEHIND, NOW_US)
    boot.advance(3600)
    assert time.now_us() == NOW_US + 3600 * S
    assert not time.look()
    # However far the repair goes, it is one.
    boot.set(NOW_US + 400 * DAY * S)
    assert time.look()
    assert (time.standing, time.now_us()) == (Standing.AGREED, NOW_US + 400 * DAY * S)


def test_without_anything_kept_it_is_not_before_the_software(machine, path):
    time = SecureTime(path, Machine(0), unsynchronised)
    assert (time.standing, time.now_us()) == (Standing.BEHIND, BUILT_US)


def test_a_little_behind_is_no_alarm(machine, path):
    time = SecureTime(path, machine, unsynchronised)
    time.proved(NOW_US + round(SLACK_S * S))
    assert judged(time) is Standing.AGREED
    time.proved(NOW_US + round((SLACK_S + 1) * S))
    assert judged(time) is Standing.BEHIND


def test_the_floor_moves_on_with_the_monotonic_clock_and_is_kept(machine, path):
    time = SecureTime(path, machine, unsynchronised)
    time.proved(NOW_US)
    assert not time.save_due()
    machine.advance(SAVE_EVERY_S)
    assert time.save_due()
    time.save()
    assert not time.save_due()
    again = SecureTime(path, Machine(0), unsynchronised)
    assert again.floor_us() == NOW_US + SAVE_EVERY_S * S
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_is_older_proves_nothing(machine, path):
    time = SecureTime(path, machine, unsynchronised)
    time.proved(NOW_US)
    time.proved(NOW_US - 1)
    time.proved(1 << 62)
    assert time.floor_us() == NOW_US


def test_a_wall_clock_far_ahead_never_raises_the_floor(machine, path):
    machine.set(NOW_US + 4000 * DAY * S)
    time = SecureTime(path, machine, unsynchronised)
    time.proved(NOW_US)
    # Nothing shows that it is wrong: it counts, until it is set right; then that counts.
    assert judged(time) is Standing.AGREED
    time.save()
    machine.set(NOW_US + 10 * S)
    time.look()
    assert (time.standing, time.now_us()) == (Standing.AGREED, NOW_US + 10 * S)
    assert SecureTime(path, machine, unsynchronised).standing is Standing.AGREED


def test_a_leap_ahead_is_not_believed(machine):
    time = SecureTime(None, machine, unsynchronised)
    machine.set(NOW_US + (LEAP_S + 10) * S)
    assert time.look()
    assert (time.standing, time.now_us()) == (Standing.AHEAD, NOW_US)
    machine.advance(100)
    assert not time.look()
    assert time.now_us() == NOW_US + 100 * S
    machine.set(NOW_US + 101 * S)
    assert time.look()
    assert (time.standing, time.now_us()) == (Standing.AGREED, NOW_US + 101 * S)


def test_a_leap_ahead_that_is_vouched_for_is_believed(machine):
    time = SecureTime(None, machine, lambda: True)
    machine.set(NOW_US + 100 * DAY * S)
    assert not time.look()
    assert time.now_us() == NOW_US + 100 * DAY * S
    time = SecureTime(None, Machine(NOW_US), unsynchronised)
    other = Machine(NOW_US)
    time = SecureTime(None, other, unsynchronised)
    other.set(NOW_US + 100 * DAY * S)
    time.look()
    assert judged(time) is Standing.AHEAD
    time.proved(NOW_US + round(100 * DAY - 5) * S)
    assert judged(time) is not Standing.AHEAD
    assert time.now_us() == NOW_US + 100 * DAY * S


@pytest.mark.parametrize("damage", [b"", b"{", b'{"floor_us": 1e99}', b'{"floor_us": -5}'])
def test_a_damaged_file_is_none(machine, path, damage):
    path.write_bytes(damage)
    assert SecureTime(path, machine, unsynchronised).floor_us() == BUILT_US


def test_a_disk_that_refuses_is_no_fault(machine, tmp_path):
    time = SecureTime(tmp_path / "missing" / "floor", machine, unsynchronised)
    time.save()
    assert not time.save_due()
