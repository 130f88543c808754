"""Frames: published vectors, any chunking, damage, bounded memory."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.datex_s5 import framing
from drivers.datex_s5.framing import Damage, FrameDecoder

records = st.one_of(
    st.binary(min_size=1, max_size=200),
    st.lists(st.sampled_from([0x7E, 0x7D, 0x5E, 0x5D, 0x00]), min_size=1, max_size=60).map(bytes),
)

COLLECT = [
    # What GE's own collecting software sends, as an open project publishes it.
    f"7e31000000e8fd{time}0000000000000000000000ff{'00' * 18}01{interval}080000000000{check}7e"
    for time, interval, check in (("25040767", "0a00", "bf"), ("33060767", "0000", "c5"))
]


def decode_all(chunks):
    decoder = FrameDecoder()
    return [found for chunk in chunks for found in decoder.feed(chunk)]


def chunked(data, cuts):
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@pytest.mark.parametrize("wire", COLLECT)
def test_published_frames(wire):
    data = bytes.fromhex(wire)
    (record,) = decode_all([data])
    assert len(record) == 49
    assert framing.encode(record) == data


def test_escapes_and_checksum():
    assert framing.encode(b"\x7e\x7d\x01").hex() == "7e7d5e7d5d01fc7e"
    assert framing.encode(b"\x7e").hex() == "7e7d5e7d5e7e"  # the checksum is escaped, too


@given(st.lists(records, max_size=5), st.lists(st.integers(0, 4000), max_size=8))
def test_any_chunking_gives_the_same_records(sent, cuts):
    stream = b"".join(map(framing.encode, sent))
    assert decode_all(chunked(stream, cuts)) == sent


@given(st.lists(records, min_size=1, max_size=5))
def test_frames_may_share_a_flag(sent):
    stream = b"".join(framing.encode(record)[:-1] for record in sent) + b"\x7e"
    assert decode_all([stream]) == sent


@given(st.lists(st.binary(max_size=300), max_size=8), records)
def test_garbage_only_delays_the_next_record(garbage, record):
    decoder = FrameDecoder()
    for noise in garbage:
        for found in decoder.feed(noise):
            assert isinstance(found, bytes | Damage)
        assert decoder.pending() <= framing.FRAME_BYTES_MAX
    decoder.feed(b"\x7e")
    assert decoder.feed(framing.encode(record))[-1] == record


@given(records, st.integers(0), st.integers(0, 7))
def test_a_flipped_bit_is_no_other_record(record, at, bit):
    frame = bytearray(framing.encode(record))
    at = 1 + at % (len(frame) - 2)
    frame[at] ^= 1 << bit
    found = decode_all([bytes(frame)])
    assert record not in found


def test_a_frame_without_an_end_is_bounded_and_told_once():
    decoder = FrameDecoder()
    found = decoder.feed(b"\x7e")
    for _ in range(100):
        found += decoder.feed(b"x" * 1000)
        assert decoder.pending() <= framing.FRAME_BYTES_MAX
    assert [each.reason for each in found if isinstance(each, Damage)] == ["too_long"]
    assert decoder.feed(b"\x7e" + framing.encode(b"ok")) == [b"ok"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"abc\x7e", "noise"),
        (b"abc", "noise"),
        (b"\x7e\x01\x02\x7e", "checksum"),
        (b"\x7e\x01\x7d\x7e", "escape"),
        (b"\x7e\x7d\x7d\x5e\x7e", "escape"),
        (b"\x7e" + bytes(1492) + b"\x7e", "too_long"),
    ],
)
def test_damage_has_its_reason(data, reason):
    (damage,) = FrameDecoder().feed(data)
    assert isinstance(damage, Damage)
    assert damage.reason == reason


def test_what_no_frame_holds():
    with pytest.raises(ValueError, match="1491"):
        framing.encode(bytes(1491))
