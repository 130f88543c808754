"""What contradicts itself belongs to nobody, for as long as it does, and says why."""

import pytest

from gateway.association.book import Book, by_id, conflicts
from gateway.association.cancelling import CANCEL_AMBIGUOUS, CANCEL_WITHOUT_EVENT
from gateway.association.events import NOWHERE, OPEN, Bed, Event, Kind, pack, read_bed, unpack
from gateway.association.occupancy import TAKEN_TWICE, State
from gateway.association.persons import MERGED_IN_A_CIRCLE, MERGED_TWICE
from gateway.association.stays import (
    ADMITTED_TWICE,
    IN_TWO_BEDS,
    MOVED_AFTER_DISCHARGE,
    PLACE_DISAGREES,
    PRIOR_DISAGREES,
    SEVERAL_STAYS,
)
from gateway.domain.errors import MalformedError

A, B, C = Bed("icu", "a"), Bed("icu", "b"), Bed("icu", "c")
SECRET = b"k" * 16


def said(kind, patient, at, bed=NOWHERE, prior=NOWHERE, *, recorded=None, **more):
    return Event(kind, patient, at, at if recorded is None else recorded, bed, prior, **more)


def admit(patient, at, bed, **more):
    return said(Kind.ADMIT, patient, at, bed, **more)


def transfer(patient, at, bed, prior=NOWHERE, **more):
    return said(Kind.TRANSFER, patient, at, bed, prior, **more)


def discharge(patient, at, **more):
    return said(Kind.DISCHARGE, patient, at, **more)


def merge(patient, at, other):
    return said(Kind.MERGE, patient, at, other=other)


def told(*events):
    """(from, to, patient or reason) of every bed that something is known of."""
    book = Book(SECRET)
    for event in events:
        book.add(event)
    return shown(book)


def shown(book):
    found: dict[str, list[tuple[int, int | None, str]]] = {}
    for span in book.all():
        end = None if span.to_us == OPEN else span.to_us
        found.setdefault(span.bed.bed, []).append((span.from_us, end, span.patient or span.doubt))
    return found


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param(
            [admit("p", 10, A), admit("q", 20, A), discharge("p", 30)],
            {"a": [(10, 20, "p"), (20, 30, TAKEN_TWICE), (30, None, "q")]},
            id="two in one bed",
        ),
        pytest.param(
            [
                admit("p", 10, A, visit="1"),
                admit("p", 20, B, visit="2"),
                discharge("p", 30, visit="1"),
            ],
            {
                "a": [(10, 20, "p"), (20, 30, IN_TWO_BEDS)],
                "b": [(20, 30, IN_TWO_BEDS), (30, None, "p")],
            },
            id="one in two beds",
        ),
        pytest.param(
            [admit("p", 10, A), admit("p", 20, B), transfer("p", 30, C)],
            {"a": [(10, 20, "p")], "b": [(20, 30, ADMITTED_TWICE)], "c": [(30, None, "p")]},
            id="admitted again",
        ),
        pytest.param(
            [admit("p", 10, A), transfer("p", 30, C, B)],
            {"a": [(10, 30, PRIOR_DISAGREES)], "c": [(30, None, "p")]},
            id="a transfer from elsewhere",
        ),
        pytest.param(
            [admit("p", 10, A), said(Kind.UPDATE, "p", 20, B), transfer("p", 30, C)],
            {
                "a": [(10, 20, "p"), (20, 30, PLACE_DISAGREES)],
                "b": [(20, 30, PLACE_DISAGREES)],
                "c": [(30, None, "p")],
            },
            id="an update from elsewhere",
        ),
        pytest.param(
            [admit("p", 10, A), discharge("p", 20), transfer("p", 30, B)],
            {"a": [(10, 20, "p")], "b": [(30, None, MOVED_AFTER_DISCHARGE)]},
            id="moved after having left",
        ),
        pytest.param(
            [admit("p", 10, A), said(Kind.CANCEL_TRANSFER, "p", 20, A, recorded=25)],
            {"a": [(10, 20, "p"), (20, None, CANCEL_WITHOUT_EVENT)]},
            id="a cancellation of nothing",
        ),
        pytest.param(
            [
                admit("p", 10, A),
                said(Kind.CANCEL_TRANSFER, "p", 20, A, recorded=25),
                transfer("p", 30, B),
            ],
            {"a": [(10, 20, "p"), (20, 30, CANCEL_WITHOUT_EVENT)], "b": [(30, None, "p")]},
            id="until something new is known",
        ),
        pytest.param(
            [
                admit("p", 10, A),
                transfer("p", 20, B),
                transfer("p", 20, C),
                said(Kind.CANCEL_TRANSFER, "p", 20, recorded=25),
            ],
            {"a": [(10, 20, "p")], "c": [(20, None, CANCEL_AMBIGUOUS)]},
            id="a cancellation of one of two",
        ),
        pytest.param(
            [
                admit("p", 10, A, visit="1"),
                admit("p", 10, A, visit="2"),
                said(Kind.UPDATE, "p", 20, A),
            ],
            {"a": [(10, None, SEVERAL_STAYS)]},
            id="an event of one of two stays",
        ),
        pytest.param(
            [
                admit("p", 10, A),
                said(Kind.MERGE, "q", 20, other="p"),
                said(Kind.MERGE, "r", 20, other="p"),
            ],
            {"a": [(10, None, MERGED_TWICE)]},
            id="merged into two",
        ),
        pytest.param(
            [
                admit("p", 10, A),
                said(Kind.MERGE, "q", 20, other="p"),
                said(Kind.MERGE, "p", 30, other="q"),
            ],
            {"a": [(10, None, MERGED_IN_A_CIRCLE)]},
            id="merged in a circle",
        ),
    ],
)
def test_what_contradicts_itself(events, expected):
    assert told(*events) == expected
    assert told(*reversed(events)) == expected


@pytest.mark.parametrize(
    ("events", "missing", "expected"),
    [
        pytest.param(
            [admit("p", 10, A), transfer("p", 30, C, B)],
            transfer("p", 20, B, A),
            {"a": [(10, 20, "p")], "b": [(20, 30, "p")], "c": [(30, None, "p")]},
            id="the transfer between",
        ),
        pytest.param(
            [admit("p", 10, A), said(Kind.CANCEL_TRANSFER, "p", 20, A, recorded=25)],
            transfer("p", 20, B, A),
            {"a": [(10, None, "p")]},
            id="the transfer that was cancelled",
        ),
        pytest.param(
            [admit("p", 10, A), admit("q", 20, A)],
            discharge("p", 20),
            {"a": [(10, 20, "p"), (20, None, "q")]},
            id="the discharge before",
        ),
        pytest.param(
            [admit("p", 10, A), discharge("p", 20), transfer("p", 30, B)],
            admit("p", 25, C),
            {"a": [(10, 20, "p")], "b": [(30, None, "p")], "c": [(25, 30, "p")]},
            id="the admission between",
        ),
    ],
)
def test_what_explains_it_ends_a_quarantine(events, missing, expected):
    book = Book(SECRET)
    for event in events:
        book.add(event)
    assert conflicts(book)
    changes = book.add(missing).changes
    assert shown(book) == expected
    assert not conflicts(book)
    assert any(change.span.state is State.WITHDRAWN for change in changes)


def test_who_was_there_before_the_gateway_is_seen_by_an_update():
    assert told(said(Kind.UPDATE, "p", 20, A)) == {"a": [(20, None, "p")]}
    assert told(said(Kind.UPDATE, "p", 20, A), admit("p", 10, B), discharge("p", 15)) == {
        "b": [(10, 15, "p")]
    }


def test_a_correction_stands_over_everything_for_its_time():
    past = said(Kind.CORRECT, "q", 12, A, recorded=50, until_us=15)
    nobody = said(Kind.CORRECT, "", 16, A, recorded=50, until_us=18)
    assert told(admit("p", 10, A), past, nobody) == {
        "a": [(10, 12, "p"), (12, 15, "q"), (15, 16, "p"), (18, None, "p")]
    }
    # Who was really here was not in the other bed.
    assert told(admit("q", 10, B), past) == {
        "a": [(12, 15, "q")],
        "b": [(10, 12, "q"), (15, None, "q")],
    }


def test_an_association_keeps_its_name_when_it_is_corrected():
    book = Book(SECRET)
    book.add(admit("p", 10, A))
    (span,) = book.all()
    (ended,) = book.add(discharge("p", 20)).changes
    assert ended.span.association_id == span.association_id
    assert by_id(book, span.association_id) == ended.span
    (merged,) = book.add(said(Kind.MERGE, "q", 30, other="p")).changes
    assert (merged.span.association_id, merged.span.patient) == (span.association_id, "q")
    assert Book(b"x" * 16).add(admit("p", 10, A)).changes[0].span.association_id != (
        span.association_id
    )


def test_an_event_is_stored_and_known_by_its_content():
    event = admit("p", 10, A, by="adt-1", noted_us=7)
    assert unpack(pack(event)) == event
    assert event.key == admit("p", 10, A, by="another", noted_us=8).key
    assert event.key != admit("p", 10, B).key
    with pytest.raises(MalformedError):
        unpack(b"\xc1")


def test_a_bed_is_named_as_a_person_writes_it():
    assert read_bed("icu/3-A") == Bed("icu", "3-A")
    assert read_bed(" 7 ") == Bed("", "7")
    assert str(Bed("icu", "3-A")) == "icu/3-A"
    assert not Bed("icu", "")
