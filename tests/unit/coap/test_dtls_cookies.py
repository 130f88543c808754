from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from drivers.transport.dtls.cookies import COOKIE_BYTES, ROTATE_S, Cookies
from drivers.transport.dtls.rates import HOSTS_MAX, HandshakeRates, host_of

ADDRESS = ("192.0.2.1", 5000)
RANDOM = bytes(32)


class Time:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def _jar() -> tuple[Cookies, Time]:
    time = Time()
    drawn = iter(range(1, 1000))
    return Cookies(time, lambda size: bytes([next(drawn)]) * size), time


def test_a_cookie_answers_one_address_and_one_hello() -> None:
    jar, _ = _jar()
    cookie = jar.bake(ADDRESS, RANDOM)
    assert len(cookie) == COOKIE_BYTES
    assert jar.accepts(ADDRESS, RANDOM, cookie)
    assert not jar.accepts(("192.0.2.1", 5001), RANDOM, cookie)
    assert not jar.accepts(("192.0.2.2", 5000), RANDOM, cookie)
    assert not jar.accepts(ADDRESS, b"\1" * 32, cookie)
    assert not jar.accepts(ADDRESS, RANDOM, cookie[:-1])
    assert not jar.accepts(ADDRESS, RANDOM, b"")


def test_host_and_port_are_kept_apart() -> None:
    jar, _ = _jar()
    assert jar.bake(("192.0.2.1", 15000), RANDOM) != jar.bake(("192.0.2.11", 5000), RANDOM)


def test_a_cookie_survives_one_turn_of_the_secret_and_not_two() -> None:
    jar, time = _jar()
    cookie = jar.bake(ADDRESS, RANDOM)
    time.now_s = 1.5 * ROTATE_S
    assert jar.accepts(ADDRESS, RANDOM, cookie)
    assert jar.bake(ADDRESS, RANDOM) != cookie
    time.now_s = 2.5 * ROTATE_S
    assert not jar.accepts(ADDRESS, RANDOM, cookie)


@given(st.floats(min_value=2 * ROTATE_S, max_value=1e6))
def test_after_any_silence_an_old_cookie_is_void(silence_s: float) -> None:
    jar, time = _jar()
    cookie = jar.bake(ADDRESS, RANDOM)
    time.now_s = silence_s
    assert not jar.accepts(ADDRESS, RANDOM, cookie)


def test_a_host_gets_its_burst_and_then_its_rate() -> None:
    rates = HandshakeRates(burst=3, per_s=2.0)
    assert [rates.take("a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert rates.take("b", 0.0)
    assert rates.take("a", 0.5)
    assert not rates.take("a", 0.5)
    assert [rates.take("a", 100.0) for _ in range(4)] == [True, True, True, False]


def test_hosts_are_forgotten_beyond_the_bound() -> None:
    rates = HandshakeRates(burst=1, per_s=0.0)
    for n in range(HOSTS_MAX + 10):
        rates.take(f"host-{n}", 0.0)
    assert len(rates) == HOSTS_MAX


def test_an_ipv6_subnet_counts_as_one_host() -> None:
    assert host_of("192.0.2.1") == "192.0.2.1"
    assert host_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert host_of("2001:db8:1:2::1") == host_of("2001:db8:1:2:ffff::9") == "2001:db8:1:2::"
    assert host_of("2001:db8:1:3::1") != host_of("2001:db8:1:2::1")
    assert host_of("fe80::1%eth0") == "fe80::"
