"""Which treatment is the stricter one."""

import itertools

import pytest

from gateway.domain.labels import AS_STRICT, Treatment, stricter

PAIRS = list(itertools.product(Treatment, repeat=2))
TRIPLES = list(itertools.product(Treatment, repeat=3))


def test_every_treatment_is_placed_between_all_and_nothing():
    assert set(AS_STRICT) == set(Treatment)
    assert AS_STRICT[Treatment.PASS] == frozenset(Treatment)
    assert all(Treatment.WITHHOLD in stricter_ones for stricter_ones in AS_STRICT.values())


def test_it_is_a_partial_order():
    assert all(each in AS_STRICT[each] for each in Treatment)
    for a, b in PAIRS:
        if a is not b:
            assert not (b in AS_STRICT[a] and a in AS_STRICT[b])
    for a, b, c in TRIPLES:
        if b in AS_STRICT[a] and c in AS_STRICT[b]:
            assert c in AS_STRICT[a]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_the_stricter_one_keeps_what_both_promise(one, other):
    found = stricter(one, other)
    assert found is stricter(other, one)
    assert found in AS_STRICT[one] & AS_STRICT[other]


def test_generalising_and_hiding_names_do_not_compare():
    for other in (Treatment.PSEUDONYMISE, Treatment.MASK):
        assert stricter(Treatment.GENERALISE, other) is Treatment.WITHHOLD
