"""Where a stream begins, for every way in which two ends can disagree."""

import random

import pytest

from gateway.backoff import Backoff
from gateway.uplink.resume import Held, Point, Resume, Verdict, resume

OLD, NOW, NEXT = 10, 20, 30


def held(cursor=50, floor=0, last=80, epoch_of_point=NOW):
    return Held(cursor, floor, last, NOW, epoch_of_point)


@pytest.mark.parametrize(
    ("point", "known", "expected"),
    [
        (Point(NOW, 50), held(), Resume(Verdict.AGREED, 50)),
        # Acknowledgements were lost.
        (Point(NOW, 70), held(), Resume(Verdict.AGREED, 70)),
        (Point(NOW, 80), held(), Resume(Verdict.AGREED, 80)),
        (Point(OLD, 60), held(epoch_of_point=OLD), Resume(Verdict.AGREED, 60)),
        # A new destination: nothing before its start.
        (None, held(cursor=50, floor=50), Resume(Verdict.AGREED, 50)),
        (None, held(cursor=0), Resume(Verdict.AGREED, 0)),
        # The receiver lost what it had.
        (None, held(floor=10), Resume(Verdict.BEHIND, 10)),
        (Point(NOW, 30), held(), Resume(Verdict.BEHIND, 30)),
        (Point(NOW, 30), held(floor=40), Resume(Verdict.BEHIND, 40)),
        (Point(OLD, 30), held(floor=50, epoch_of_point=0), Resume(Verdict.AGREED, 50)),
        # This disk was restored: the receiver is beyond an older epoch's end.
        (Point(OLD, 90), held(epoch_of_point=0), Resume(Verdict.RESTORED, 50)),
        (Point(OLD, 70), held(epoch_of_point=NOW), Resume(Verdict.RESTORED, 50)),
        # The clock went back as well, or the disk was copied and both run.
        (Point(NEXT, 5), held(epoch_of_point=0), Resume(Verdict.AHEAD, 50)),
        (Point(NOW, 90), held(epoch_of_point=0), Resume(Verdict.AHEAD, 50)),
        (Point(NOW, 30), held(epoch_of_point=OLD), Resume(Verdict.AHEAD, 50)),
    ],
)
def test_where_a_stream_begins(point, known, expected):
    assert resume(point, known) == expected


def test_a_stream_never_begins_before_the_floor_or_behind_what_was_asked():
    for cursor in range(0, 60, 7):
        for floor in range(0, 60, 7):
            for seq in range(1, 80, 7):
                found = resume(Point(NOW, seq), held(cursor, floor))
                assert found.after >= min(cursor, floor)
                assert found.after <= max(cursor, seq)


def test_delays_grow_to_a_limit_and_begin_anew():
    backoff = Backoff(0.2, 30.0, random.Random(7))
    delays = [backoff.delay() for _ in range(12)]
    limits = [min(0.2 * 2**n, 30.0) for n in range(12)]
    assert all(top / 2 <= delay <= top for delay, top in zip(delays, limits, strict=True))
    assert len(set(delays)) == 12
    backoff.reset()
    assert backoff.delay() <= 0.2
