"""What was in a bed between two edges, found in one pass over time."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.association.events import Bed
from gateway.association.stays import Stretch, between_edges

times = st.integers(0, 12)
stretches = st.lists(
    st.builds(Stretch, st.just(Bed("w", "1")), times, times, st.sampled_from("ab"), st.text("xyz"))
)


class Looked(int):
    """A time that counts how often such are looked at."""

    times = 0

    def __gt__(self, other):
        Looked.times += 1
        return int(self) > int(other)

    def __le__(self, other):
        Looked.times += 1
        return int(self) <= int(other)

    __hash__ = int.__hash__


@given(stretches)
def test_it_finds_what_is_there(found):
    edges = sorted({edge for each in found for edge in (each.from_us, each.to_us)})
    assert [(begin, end, set(present)) for begin, end, present in between_edges(found)] == [
        (begin, end, {each for each in found if each.from_us <= begin < each.to_us})
        for begin, end in pairwise(edges)
    ]


def test_many_moves_one_after_the_other_are_looked_at_once_each():
    """Somebody who moves and moves must not keep the gateway from everything else."""
    beds = [Bed("w", str(n % 7)) for n in range(1000)]
    moves = [Stretch(bed, Looked(n), Looked(n + 1), "p", str(n)) for n, bed in enumerate(beds)]
    assert all(len(present) == 1 for _, _, present in between_edges(moves))
    assert Looked.times < 10 * len(moves)
