"""Rates: so many a minute, so many at once, and bounded in what it remembers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.web.rates import Rate, Rates, address_key
from tests.fakes import FakeClock


def test_a_burst_then_the_rate():
    clock = FakeClock()
    rates = Rates(Rate(6, 3), clock.monotonic)
    assert [rates.take("a") for _ in range(5)] == [0, 0, 0, 10, 10]
    assert rates.take("b") == 0
    clock.advance(10)
    assert [rates.take("a"), rates.take("a")] == [0, 10]
    clock.advance(3600)
    assert [rates.take("a") for _ in range(4)] == [0, 0, 0, 10]


def test_looking_costs_nothing_and_counting_has_no_floor_to_pay_back():
    clock = FakeClock()
    rates = Rates(Rate(60, 1), clock.monotonic)
    assert [rates.wait_s("a") for _ in range(3)] == [0, 0, 0]
    for _ in range(100):
        rates.count("a")
    assert rates.wait_s("a") == 1


def test_the_longest_unheard_is_forgotten():
    clock = FakeClock()
    rates = Rates(Rate(1, 1), clock.monotonic, keys_max=2)
    for key in "abac":
        rates.count(key)
    assert len(rates) == 2
    assert [bool(rates.wait_s(key)) for key in "abc"] == [True, False, True]


@given(st.lists(st.floats(0, 30), max_size=60))
def test_never_more_than_burst_and_rate_allow(pauses):
    clock = FakeClock()
    rates = Rates(Rate(12, 4), clock.monotonic)
    taken = 0
    for pause in pauses:
        clock.advance(pause)
        taken += not rates.take("a")
    assert taken <= 4 + sum(pauses) * 12 / 60 + 1e-6


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_what_counts_as_one_sender(host, key):
    assert address_key(host) == key
