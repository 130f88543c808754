"""Whatever way the events of a hospital come, the book ends with the truth.

The hospital of :mod:`tests.unit.association.hospital` says what happens. It comes late, twice, in
any order, with restarts between; at its end every moment of every bed is as it was, or in
quarantine where the hospital itself says two things.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.association.book import Book
from gateway.association.events import pack, unpack
from gateway.association.occupancy import State
from tests.unit.association.hospital import Hospital

SECRET = b"k" * 16
operations = st.lists(
    st.tuples(st.integers(0, 7), st.integers(0, 9), st.integers(0, 9), st.integers(0, 3)),
    max_size=40,
)


@st.composite
def days(draw):
    hospital = Hospital(visits=draw(st.booleans()), occurred=draw(st.booleans()))
    for operation in draw(operations):
        hospital.do(*operation)
    return hospital


def restarted(book):
    """A book of what the other one had committed."""
    events = {
        each.key: pack(each) for person in book._people.values() for each in person.events.values()
    }
    fresh = Book(SECRET)
    fresh.restore(map(unpack, events.values()))
    return fresh


def differences(book, hospital):
    """Moments at which the book says something else than the truth."""
    found = []
    for at_us in hospital.edges():
        for bed in hospital.beds:
            true = hospital.at(bed, at_us)
            span = book.at(bed.ward, bed.bed, at_us)
            told = "" if span is None else None if span.state is State.QUARANTINED else span.patient
            if told != true:
                found.append((str(bed), at_us, true, told, span and span.doubt))
    return found


@given(hospital=days(), data=st.data())
@settings(max_examples=150, deadline=None)
def test_whatever_order_ends_with_the_truth(hospital, data):
    said = hospital.said
    repeats = data.draw(st.lists(st.sampled_from(said), max_size=5)) if said else []
    feed = data.draw(st.permutations([*said, *repeats]))
    restarts = data.draw(st.sets(st.integers(0, len(feed)), max_size=3))
    book = Book(SECRET)
    told = {}
    for place, event in enumerate(feed):
        if place in restarts:
            book = restarted(book)
        for change in book.add(event).changes:
            told[change.span.association_id] = change.span
    assert not differences(book, hospital)
    # Whoever only follows the changes knows the same.
    standing = {key: span for key, span in told.items() if span.state is not State.WITHDRAWN}
    assert standing == {span.association_id: span for span in book.all()}
