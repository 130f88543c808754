"""Messages: two real pumps' frames both ways, any chunking, damage, bounded memory."""

import binascii
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.alaris.codec import (
    FIELDS_MAX,
    MESSAGE_BYTES_MAX,
    Damage,
    Message,
    MessageDecoder,
    Query,
    decode,
)
from firmware_sim.alaris.encode import encode, rewrite
from gateway.domain.errors import MalformedError
from tests.unit.alaris.vectors import ANSWERS, CHANGING, needs_vectors, recorded

names = st.from_regex(r"[A-Z][A-Z0-9_]{0,12}", fullmatch=True)
fields = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="^|"))
messages = st.builds(
    lambda name, rest: decode(encode(name, *rest)[:-1]),
    names,
    st.lists(fields.map(lambda text: text[:12].replace("!", ".")), max_size=8),
)
ALARM = decode(Query.ALARM.value[:-1])


def decode_all(chunks):
    decoder = MessageDecoder()
    return [found for chunk in chunks for found in decoder.feed(chunk)]


def chunked(data, cuts):
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@needs_vectors
@pytest.mark.shared
def test_every_frame_of_the_real_pumps_decodes_and_is_written_again():
    frames, codes = recorded()
    assert len(frames) == 13
    for frame in frames:
        (found,) = decode_all([frame])
        assert isinstance(found, Message)
        assert rewrite(found) == frame
    for serial, code in codes.items():
        assert binascii.crc_hqx(serial.encode(), 0xFFFF) == int(code, 16)
        assert encode("REMOTE_CTRL", "ENABLED", code) in frames


@pytest.mark.parametrize("frame", [*CHANGING, *ANSWERS, *(query.value for query in Query)])
def test_published_frames_both_ways(frame):
    (found,) = decode_all([frame])
    assert rewrite(found) == frame


def test_what_a_frame_means():
    assert decode(b"!INF|4961") == ("INF", (), b"!INF|4961")
    assert decode(b"!SYRINGE_STATUS^BD PLASTIPAK^ 50^CONF|1CF8")[:2] == (
        "SYRINGE_STATUS",
        ("BD PLASTIPAK", " 50", "CONF"),
    )
    assert decode(b"!INF_VTBI^ACTIV^11.000^ml^STOP|4433").fields[1] == "11.000"


@pytest.mark.parametrize(
    ("whole", "reason"),
    [
        (b"!INF|4962", "crc"),
        (b"!INF|496", "form"),
        (b"INF|4961", "form"),
        (b"!INF4961", "form"),
        (b"!IN\x89|4961", "form"),
        (b"", "form"),
        (encode("inf")[:-1], "fields"),
        (encode("INF", *["1"] * (FIELDS_MAX + 1))[:-1], "fields"),
    ],
)
def test_what_is_no_message(whole, reason):
    with pytest.raises(MalformedError) as raised:
        decode(whole)
    assert raised.value.reason == reason


def test_an_escape_ends_a_message_and_noise_costs_itself_alone():
    good = Query.ALARM.value
    assert decode_all([b"!INF^half\x1b", good]) == [ALARM]
    assert decode_all([b"noise\r\n", good]) == [Damage("noise", b"noise"), ALARM]
    assert decode_all([b"!INF^half", good]) == [
        Damage("truncated", b"!INF^half"),
        ALARM,
    ]
    assert decode_all([b"!INF|0000\r", good]) == [
        Damage("crc", b"!INF|0000"),
        ALARM,
    ]
    assert decode_all([b"\r\n\r", good]) == [ALARM]


def test_what_never_ends_is_told_once_and_forgotten():
    decoder = MessageDecoder()
    told = [found for _ in range(100) for found in decoder.feed(b"!INF^" + b"0" * 1000)]
    assert {(type(found), found[0]) for found in told} == {(Damage, "too_long")}
    assert len(told) == 100
    assert decoder.pending() <= MESSAGE_BYTES_MAX
    assert list(decoder.feed(b"0" * 100_000)) == []
    assert list(decoder.feed(b"\r" + Query.ALARM.value)) == [ALARM]


@settings(max_examples=60)
@given(st.lists(messages, min_size=1, max_size=5), st.lists(st.integers(0, 2000), max_size=8))
def test_any_chunking_gives_the_same_messages(sent, cuts):
    stream = b"".join(map(rewrite, sent))
    assert decode_all(chunked(stream, cuts)) == sent


@settings(max_examples=80)
@given(st.lists(st.one_of(st.binary(max_size=300), messages.map(rewrite)), max_size=8))
def test_whatever_comes_memory_is_bounded_and_a_good_message_is_found_again(pieces):
    decoder = MessageDecoder()
    for piece in pieces:
        list(decoder.feed(piece))
        assert decoder.pending() <= MESSAGE_BYTES_MAX
    list(decoder.feed(b"\r"))
    assert [each[0] for each in decoder.feed(Query.INFUSION.value)] == ["INF"]


@settings(max_examples=60)
@given(messages, st.integers(0, 10_000), st.integers(0, 7))
def test_a_flipped_bit_never_makes_another_message(message, at, bit):
    stream = bytearray(rewrite(message))
    stream[at % len(stream)] ^= 1 << bit
    found = [each for each in decode_all([bytes(stream), b"\r"]) if isinstance(each, Message)]
    # A hexadecimal digit's case is no other digit.
    assert [each[:2] for each in found] in ([], [message[:2]])
