"""Frames: the published vector, any chunking, damage, bounded memory."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.fresenius.codec import (
    DAMAGED,
    FRAME_BYTES_MAX,
    FRAMES,
    Acknowledged,
    Damage,
    Enquiry,
    Frame,
    FrameDecoder,
    Query,
    Refused,
    decode,
)
from firmware_sim.fresenius.encode import encode
from gateway.domain.errors import MalformedError

VECTOR = bytes.fromhex("02314c453b6472324303")
arguments = st.none() | st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40)
frames = st.builds(
    encode,
    st.none() | st.integers(0, 9),
    st.sampled_from(["C", "I", "E", "M", "LE", "DC", "PR", "MO"]),
    arguments,
)


def decode_all(chunks):
    decoder = FrameDecoder()
    return [found for chunk in chunks for found in decoder.feed(chunk)]


def chunked(data, cuts):
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def test_the_published_frame_both_ways():
    assert decode_all([VECTOR]) == [Frame(1, "LE", "dr", VECTOR)]
    assert encode(1, "LE", "dr") == VECTOR
    assert FRAMES[Query.RATE_AND_VOLUME, 1] == VECTOR


@pytest.mark.parametrize("query", Query)
def test_what_we_send_is_what_a_pump_reads(query):
    for address in (None, *range(9)):
        frame = decode(FRAMES[query, address])
        head, _, rest = query.value.decode().partition(";")
        assert frame[:3] == (address, head, rest or None)
        assert FRAMES[query, address] == encode(address, head, rest or None)


def test_what_stands_between_frames():
    found = decode_all([b"\x05\x06\x15\x32\x15", VECTOR, DAMAGED])
    assert found == [
        Enquiry(),
        Acknowledged(),
        Refused(2),
        Refused(0),
        Frame(1, "LE", "dr", VECTOR),
        Refused(2),
    ]


@pytest.mark.parametrize(
    ("whole", "reason"),
    [
        (VECTOR[:-3] + b"2D\x03", "checksum"),
        (b"\x02\x03", "form"),
        (b"", "form"),
        (VECTOR[1:], "form"),
        (encode(None, "le"), "form"),
        (encode(None, "LEX"), "form"),
        (encode(None, "C", "\x7f"), "form"),
    ],
)
def test_what_is_no_frame(whole, reason):
    with pytest.raises(MalformedError) as raised:
        decode(whole)
    assert raised.value.reason == reason


def test_damage_costs_itself_alone():
    good = Frame(1, "LE", "dr", VECTOR)
    assert decode_all([b"noise", VECTOR]) == [Damage("noise", b"noise"), good]
    assert decode_all([b"\x021LE;", VECTOR]) == [Damage("truncated", b"\x021LE;"), good]
    assert decode_all([b"\x021LE;\x05", VECTOR]) == [
        Damage("control", b"\x021LE;"),
        Enquiry(),
        good,
    ]
    assert decode_all([b"\x03", VECTOR])[-1] == good


def test_what_never_ends_is_told_once_and_forgotten():
    decoder = FrameDecoder()
    (told,) = decoder.feed(b"\x02" + b"0" * 100_000)
    assert isinstance(told, Damage)
    assert told.reason == "too_long"
    assert decoder.pending() <= FRAME_BYTES_MAX
    assert list(decoder.feed(VECTOR)) == [Frame(1, "LE", "dr", VECTOR)]


@settings(max_examples=60)
@given(st.lists(frames, min_size=1, max_size=6), st.lists(st.integers(0, 2000), max_size=8))
def test_any_chunking_gives_the_same_frames(sent, cuts):
    assert [each.raw for each in decode_all(chunked(b"".join(sent), cuts))] == sent


@settings(max_examples=80)
@given(st.lists(st.one_of(st.binary(max_size=200), frames), max_size=8))
def test_whatever_comes_memory_is_bounded_and_a_good_frame_is_found_again(pieces):
    decoder = FrameDecoder()
    for piece in pieces:
        list(decoder.feed(piece))
        assert decoder.pending() <= FRAME_BYTES_MAX
    assert list(decoder.feed(VECTOR))[-1] == Frame(1, "LE", "dr", VECTOR)


@settings(max_examples=60)
@given(frames, st.integers(0, 10_000), st.integers(0, 7))
def test_a_flipped_bit_never_makes_another_frame(frame, at, bit):
    stream = bytearray(frame)
    stream[at % len(stream)] ^= 1 << bit
    found = [each for each in decode_all([bytes(stream), b"\x05"]) if isinstance(each, Frame)]
    assert [each[:3] for each in found] in ([], [decode(frame)[:3]])
