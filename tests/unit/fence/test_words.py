"""Which word of the network's counts: by its clock, by ours, by when it was asked."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.fence.words import Words

NOW = 1_000_000


def words(*said):
    """Words that were heard a microsecond apart: (here, the network's time)."""
    made = Words()
    for n, (here, at_us) in enumerate(said):
        made.told("z", at_us, NOW + n, here=here)
    return made


def is_in(found):
    return found.zones == {"z"}


def test_the_networks_own_order_counts_where_it_says_one():
    assert is_in(words((True, 10)))
    assert not is_in(words((True, 10), (False, 10)))
    assert not is_in(words((False, 11), (True, 10)))
    assert words((False, 11)).told("z", 10, NOW, here=True) is False
    assert words((False, 11)).told("z", 11, NOW, here=True) is True


def test_without_a_time_the_last_word_counts():
    assert is_in(words((False, 10), (True, 0)))
    assert not is_in(words((False, 10), (True, 0), (True, 9), (False, 0)))
    assert not is_in(words((True, 10), (False, 0), (True, 9)))


def test_a_clock_that_is_ahead_does_not_block():
    assert not is_in(words((True, NOW * 9), (False, NOW + 5)))
    assert not is_in(words((True, NOW * 9), (False, NOW * 8)))


def test_what_was_heard_after_it_was_asked_is_newer():
    for at_us in (0, 10):
        left = words((True, 5), (False, 10))
        left.seen("z", at_us, NOW)  # asked before it left
        assert not is_in(left)
    left = words((True, 5), (False, 10))
    left.seen("z", 11, NOW)
    assert is_in(left)
    left = words((True, 5), (False, 10))
    left.seen("z", 9, NOW + 100)
    assert not is_in(left)
    left.seen("z", 0, NOW + 100)
    assert is_in(left)


def test_at_the_same_time_the_answer_counts_unless_it_was_asked_before():
    for at_us, asked_us in ((10, NOW + 1), (10, NOW + 100), (0, NOW + 1)):
        left = words((True, 5), (False, 10))  # heard at NOW + 1
        left.seen("z", at_us, asked_us)
        assert is_in(left)
    left = words((True, 5), (False, 10))
    left.seen("z", 10, NOW)
    assert not is_in(left)


def test_an_answer_without_a_time_leaves_the_networks_order_as_it_is():
    left = words((True, 5), (False, 10))
    left.seen("z", 0, NOW + 100)
    assert left.told("z", 9, NOW + 200, here=False) is False
    assert is_in(left)


def test_who_is_not_seen_is_not_there_unless_it_came_meanwhile():
    here = words((True, 10))
    here.unseen("z", NOW - 1)
    assert is_in(here)
    here.unseen("z", NOW)
    assert not is_in(here)
    left = words((False, 10))
    left.unseen("z", NOW + 5)
    assert left.told("z", 9, NOW, here=True) is False  # it is still known to have left
    left.unseen("other", NOW)


def test_the_newest_zone():
    assert not Words().newest_us
    assert not Words().newest(())
    made = Words()
    made.told("a", 20, NOW, here=True)
    made.told("b", 10, NOW + 1, here=True)
    assert made.newest(made.zones) == "a"
    assert made.newest_us == 20
    made.seen("b", 0, NOW + 5)  # seen again: no news
    assert made.newest(made.zones) == "a"
    made.told("b", 0, NOW + 6, here=True)
    made.clear()
    assert not made.zones


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 20)), max_size=8),
    st.integers(-NOW + 1, 10 * NOW),
)
def test_how_far_a_clock_is_off_changes_nothing_while_it_is_behind(said, off):
    shifted = [(here, NOW // 2 + at_us + min(off, 0) // 3) for here, at_us in said]
    plain = [(here, NOW // 2 + at_us) for here, at_us in said]
    assert words(*shifted).zones == words(*plain).zones
