"""Serial numbers in bulk are the set of the same numbers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.errors import MalformedError
from security.serials import NO_SERIALS, SERIAL_BYTES, SLICE, Serials

NUMBERS = st.one_of(
    st.integers(0, 2**160 - 1), st.integers(0, 40), st.integers(2**159, 2**159 + 40)
)
"""Also many that begin alike."""


@settings(max_examples=200)
@given(st.frozensets(NUMBERS, max_size=60), st.lists(NUMBERS, max_size=20))
def test_it_is_the_set_of_its_numbers(numbers, others):
    serials = Serials.of(numbers)
    assert serials == numbers
    assert list(serials) == sorted(numbers)
    assert len(serials) == len(numbers)
    assert all(number in serials for number in numbers)
    asked = [*others, *numbers]
    assert serials.among(asked) == [each for each in asked if each in numbers]
    assert serials | {7} == numbers | {7}


def test_what_is_no_serial_number_is_in_none():
    serials = Serials.of([0, 1, 2**160 - 1])
    for stranger in (-1, 2**160, 2**160 + 1, 2**300, "1", None):
        assert stranger not in serials
        assert stranger not in NO_SERIALS
    for wrong in (-1, 2**160):
        with pytest.raises(OverflowError):
            Serials.of([wrong])


def test_thousands_that_begin_alike():
    numbers = range(1, 3 * SLICE)
    serials = Serials.of(numbers)
    assert serials.among([0, *numbers, 3 * SLICE]) == list(numbers)


@pytest.mark.parametrize("numbers", [(2, 1), (1, 1), (1, 3, 2)])
def test_what_does_not_ascend_is_refused(numbers):
    packed = b"".join(each.to_bytes(SERIAL_BYTES, "big") for each in numbers)
    with pytest.raises(MalformedError, match="order"):
        Serials(packed)
    with pytest.raises(MalformedError, match="truncated"):
        Serials(b"\0" * (SERIAL_BYTES + 1))
