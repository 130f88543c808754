"""Frames: the guide's vectors, any chunking, damage, bounded memory."""

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.intellivue import framing
from drivers.intellivue.framing import Damage, FrameDecoder
from tests.unit.intellivue.capture import SHARED, needs_capture

payloads = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from([0xC0, 0xC1, 0x7D, 0x5D, 0x00]), max_size=60).map(bytes),
)


def decode_all(chunks):
    decoder = FrameDecoder()
    return [found for chunk in chunks for found in decoder.feed(chunk)]


def chunked(data, cuts):
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@pytest.mark.parametrize(
    ("payload", "wire"), [("3a71", "c03a719b26c1"), ("3a91", "c03a91957de1c1")]
)
def test_fcs_and_escapes_are_the_guides(payload, wire):
    assert framing.wrap(bytes.fromhex(payload)).hex() == wire


def test_fcs_of_the_catalogues_check_string():
    assert framing.fcs(b"123456789") == 0x906E


@needs_capture
def test_fcs_agrees_with_the_published_vectors():
    for vector in json.loads((SHARED / "fcs_vectors.json").read_text())["vectors"]:
        assert framing.wrap(bytes.fromhex(vector["payload"])).hex() == vector["wire"]


def test_a_frame_byte_by_byte():
    frame = framing.encode(b"\xc0\xc1\x7d")
    assert frame == bytes.fromhex("c0110100037de07de17d5d") + frame[-3:]
    assert decode_all(frame[i : i + 1] for i in range(len(frame))) == [b"\xc0\xc1\x7d"]


@given(st.lists(payloads, max_size=5), st.lists(st.integers(0, 4000), max_size=8))
def test_any_chunking_gives_the_same_payloads(sent, cuts):
    stream = b"".join(map(framing.encode, sent))
    assert decode_all(chunked(stream, cuts)) == sent


@given(st.lists(st.binary(max_size=300), max_size=8), payloads)
def test_garbage_only_delays_the_next_frame(garbage, payload):
    # Two flags end whatever the garbage began; then a frame must get through.
    found = decode_all([*garbage, b"\xc1", framing.encode(payload)])
    assert found[-1] == payload


@given(payloads, st.integers(0, 10_000), st.integers(0, 7))
def test_a_flipped_bit_is_never_taken_for_a_payload(payload, place, bit):
    frame = bytearray(framing.encode(payload))
    frame[place % len(frame)] ^= 1 << bit
    good = [found for found in decode_all([bytes(frame)]) if isinstance(found, bytes)]
    assert good == []


@pytest.mark.parametrize(
    ("stream", "reasons"),
    [
        (b"abc" + framing.encode(b"x"), ["noise"]),
        (b"\xc0\x11\x01" + framing.encode(b"x"), ["truncated"]),
        (b"\xc0\x11\x01\x00\x7d\xc1", ["aborted"]),
        (b"\xc0\x11\x7d\x7d\x01\x00\xc1", ["escape"]),
        (b"\xc0\x11\x01\x00\xc1", ["length"]),
        (framing.wrap(b"\x11\x01\x00\x09x"), ["length"]),
        (framing.wrap(b"\x11\x02\x00\x01x"), ["protocol"]),
        (framing.encode(b"x")[:-3] + b"\x00\x00\xc1", ["fcs"]),
        (b"\xc0" + bytes(framing.FRAME_BYTES_MAX), ["too_long"]),
        (b"\xc1\xc1", ["noise"]),
    ],
)
def test_damage_is_named(stream, reasons):
    found = decode_all([stream])
    assert [d.reason for d in found if isinstance(d, Damage)] == reasons


@settings(max_examples=25)
@given(st.lists(st.binary(max_size=3000), max_size=12))
def test_memory_is_bounded_whatever_comes(chunks):
    decoder = FrameDecoder()
    for chunk in chunks:
        decoder.feed(b"\xc0" + chunk.replace(b"\xc1", b""))
        assert decoder.pending() <= framing.FRAME_BYTES_MAX


def test_the_longest_payload_passes_and_a_longer_one_is_refused():
    longest = b"\xc0" * framing.PAYLOAD_BYTES_MAX
    assert decode_all([framing.encode(longest)]) == [longest]
    with pytest.raises(ValueError, match="payload"):
        framing.encode(longest + b"x")
