"""MLLP frames: any chunking, broken ones told once, bounded."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from drivers.hl7.mllp import HEAD_BYTES, Broken, Frame, Framer, frame

MAX = 300
noise = st.binary(max_size=40)
contents = st.binary(max_size=60).map(lambda b: bytes(c for c in b if c not in (0x0B, 0x1C)))
pieces = st.lists(
    st.one_of(
        contents.map(frame),
        noise,
        st.sampled_from([b"\x0b", b"\x1c", b"\r", b"\x1c\r", b"\r\n", b"\x0b" + b"x" * MAX]),
    ),
    max_size=12,
)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    marks = sorted({0, len(data), *(each % (len(data) + 1) for each in at)})
    return [data[a:b] for a, b in itertools.pairwise(marks)]


@given(pieces, st.lists(st.integers(0, 5000), max_size=8))
def test_any_chunking_gives_the_same(pieces, at):
    data = b"".join(pieces)
    whole, chunked = Framer(MAX), Framer(MAX)
    want = [f for f in whole.feed(data) if isinstance(f, Frame)]
    got = [f for part in cut(data, at) for f in chunked.feed(part) if isinstance(f, Frame)]
    assert got == want
    assert chunked.inside == whole.inside
    assert len(chunked._content) <= MAX


@given(st.lists(contents, max_size=6), noise)
def test_frames_come_back_whatever_is_before_them(messages, before):
    before = bytes(b for b in before if b != 0x0B)
    found = Framer(MAX).feed(before + b"".join(map(frame, messages)))
    assert [f.content for f in found if isinstance(f, Frame)] == messages


@given(pieces)
def test_what_is_told_is_bounded(pieces):
    for found in Framer(MAX).feed(b"".join(pieces)):
        if isinstance(found, Broken):
            assert len(found.head) <= HEAD_BYTES
        else:
            assert len(found.content) <= MAX


def test_each_way_to_break_a_frame_is_told_and_survived():
    good = frame(b"MSH good")
    for data, reason in (
        (b"hello", "outside_frame"),
        (b"\x0bMSH half", "unterminated"),
        (b"\x0bMSH bad\x1cMSH", "bad_end"),
        (b"\x0bMSH long" + b"x" * MAX, "too_long"),
    ):
        found = Framer(MAX).feed(data + good)
        broken, whole = found
        assert isinstance(broken, Broken), data
        assert broken.reason == reason
        assert whole == Frame(b"MSH good")


def test_line_ends_between_frames_are_nothing():
    assert Framer(MAX).feed(b"\r\n" + frame(b"a") + b"\n\r" + frame(b"b")) == [
        Frame(b"a"),
        Frame(b"b"),
    ]


def test_a_message_that_is_too_long_is_told_once_and_before_its_end():
    framer = Framer(MAX)
    found = [f for _ in range(50) for f in framer.feed(b"\x0bMSH" if _ == 0 else b"x" * 100)]
    assert [f.reason for f in found if isinstance(f, Broken)] == ["too_long"]
    assert framer.feed(b"\x1c\r" + frame(b"next")) == [Frame(b"next")]


def test_a_content_of_just_the_limit_passes():
    assert Framer(MAX).feed(frame(b"x" * MAX)) == [Frame(b"x" * MAX)]
