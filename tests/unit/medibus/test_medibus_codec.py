"""Bytes <-> messages, bodies and curves, in any chunks, whatever arrives."""

import contextlib
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.medibus import replies
from drivers.medibus.codec import (
    MESSAGE_BYTES_MAX,
    Command,
    Damage,
    Decoder,
    Realtime,
    Response,
    encode,
)
from drivers.medibus.realtime import (
    RECORD_BYTES_MAX,
    Lost,
    Phase,
    StreamDecoder,
    Values,
    encode_record,
)
from drivers.medibus.replies import AlarmEntry, CurveConfig, Entry, Identity
from gateway.domain.errors import MalformedError

ARGUMENT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40).map(
    str.encode
)
MESSAGES = st.one_of(
    st.builds(Command, st.integers(0x20, 0x7E), ARGUMENT),
    st.builds(Response, st.integers(0x20, 0x7E), ARGUMENT),
)


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (Command(0x51, b""), "1b5136430d"),
        (Response(0x51, b""), "015135320d"),
        (Command(0x52, b""), "1b5236440d"),
        (Command(0x30, b""), "1b3034420d"),
        (Command(0x24, b""), "1b2433460d"),
    ],
)
def test_published_vectors(message, line):
    data = bytes.fromhex(line)
    assert encode(message) == data
    assert list(Decoder().feed(data)) == [message]


@given(st.lists(MESSAGES, max_size=8), st.binary(max_size=400), st.integers(1, 50))
def test_round_trip_in_any_chunks_with_curves_between_any_two_bytes(messages, fast, size):
    fast = bytes(byte | 0x80 for byte in fast)
    slow = b"".join(map(encode, messages))
    stream = b"".join(
        slow[at : at + 1] + fast[at : at + 1] for at in range(max(len(slow), len(fast)))
    )
    decoder = Decoder()
    found = [
        each for at in range(0, len(stream), size) for each in decoder.feed(stream[at : at + size])
    ]
    assert [each for each in found if not isinstance(each, Realtime)] == messages
    assert b"".join(each.data for each in found if isinstance(each, Realtime)) == fast


@pytest.mark.parametrize(
    ("line", "reason", "command"),
    [
        (b"\x1bQ6D\r", "checksum", True),
        (b"\x01$xx\r", "checksum", False),
        (b"\x1b6C\r", "length", True),
        (b"hello\r", "noise", False),
        (b"\x01$78", "truncated", False),
    ],
)
def test_damage_says_why_and_costs_itself_alone(line, reason, command):
    found = list(Decoder().feed(line + encode(Response(0x30, b""))))
    assert found[0][0] == reason
    assert isinstance(found[0], Damage)
    assert found[0].command is command
    assert found[1:] == [Response(0x30, b"")]


def test_a_message_may_be_aborted_and_our_sending_suspended():
    decoder = Decoder()
    assert list(decoder.feed(b"\x1bQ\x18" + encode(Response(0x30, b"")))) == [Response(0x30, b"")]
    assert list(decoder.feed(b"\x13")) == []
    assert decoder.suspended
    assert list(decoder.feed(b"\x01\x1130")) == []
    assert not decoder.suspended


@given(st.lists(st.binary(max_size=3000), max_size=20))
def test_garbage_is_bounded_and_raises_nothing(chunks):
    decoder, stream = Decoder(), StreamDecoder()
    for chunk in chunks:
        for found in decoder.feed(chunk):
            if isinstance(found, Realtime):
                list(stream.feed(found.data))
            if isinstance(found, Response):
                for read in (
                    replies.alarms,
                    replies.texts,
                    replies.identity,
                    replies.shown_time,
                    replies.curves,
                    lambda body: replies.entries(body, 4),
                ):
                    with contextlib.suppress(MalformedError):
                        read(found.body)
        assert decoder.pending() < MESSAGE_BYTES_MAX
        assert stream.pending() < RECORD_BYTES_MAX
    *_, last = decoder.feed(encode(Response(0x24, b"")))
    assert last == Response(0x24, b"")
    assert Values({0: 7}, None) in list(stream.feed(encode_record({0: 7}) * 2))


BODIES = st.text(st.characters(max_codepoint=0x7F), max_size=80).map(str.encode)


@given(BODIES)
def test_bodies_raise_only_the_typed_error(body):
    for read in (
        replies.alarms,
        replies.texts,
        replies.identity,
        replies.shown_time,
        replies.curves,
        lambda each: replies.entries(each, 4),
        lambda each: replies.entries(each, 5),
    ):
        with contextlib.suppress(MalformedError):
            read(body)


WORD = st.from_regex(r"[0-9.\-]{0,4}", fullmatch=True)
CODES = st.integers(0, 255)


@given(st.lists(st.builds(Entry, CODES, WORD), max_size=50), st.sampled_from([4, 5]))
def test_entries_round_trip(found, width):
    assert replies.entries(replies.encode_entries(found, width), width) == tuple(found)


@given(
    st.lists(
        st.builds(
            AlarmEntry, st.integers(1, 31), CODES, st.from_regex(r"[A-Z!]{0,12}", fullmatch=True)
        ),
        max_size=20,
    )
)
def test_alarms_round_trip(found):
    assert replies.alarms(replies.encode_alarms(found)) == tuple(found)


@given(
    st.lists(st.builds(Entry, CODES, st.from_regex(r"[A-Z/]{0,30}", fullmatch=True)), max_size=9)
)
def test_texts_round_trip(found):
    assert replies.texts(replies.encode_texts(found)) == tuple(found)


def test_identity_round_trip():
    who = Identity("8411", "EvitaXL", "07.03:04.00")
    assert replies.identity(replies.encode_identity(who)) == who
    assert replies.identity(b"0161'ICE'04.03      ") == Identity("0161", "ICE", "04.03")


@pytest.mark.parametrize(
    "shown",
    [
        b" 9:33 7-OCT-14",
        b" 9:33:00 7-OKT-14",
        b" 9:33 07-OCT-14",
        b"09:33 7-OKT-14",
        b"09:33:00 07-OKT-14",
        b"09:33:0007-OKT-2014",
    ],
)
def test_clocks_in_german_and_english_with_and_without_seconds(shown):
    found = replies.shown_time(shown)
    assert found.when == datetime(2014, 10, 7, 9, 33)  # noqa: DTZ001
    assert found.resolution_us == (1_000_000 if shown.count(b":") == 2 else 60_000_000)


@pytest.mark.parametrize("shown", [b"", b"09:33 7-XXX-14", b"25:33 7-OCT-14", b"09:33 31-FEB-14"])
def test_what_is_no_time_is_refused(shown):
    with pytest.raises(MalformedError) as caught:
        replies.shown_time(shown)
    assert caught.value.reason == "time"


def test_curves_of_a_device():
    body = b"00   16000  -50  150FFF" + b"01   16000 -200  200FFF"
    found = replies.curves(body)
    assert found == (
        CurveConfig(0x00, 16000, -50, 150, 0xFFF),
        CurveConfig(0x01, 16000, -200, 200, 0xFFF),
    )
    assert replies.encode_curves(found) == body


RECORDS = st.builds(
    Values,
    st.dictionaries(st.integers(0, 11), st.integers(0, 0xFFF), max_size=12),
    st.sampled_from([None, *Phase]),
)


@given(st.lists(RECORDS, max_size=20), st.integers(1, 7))
def test_records_round_trip_in_any_chunks(records, size):
    stream = b"".join(encode_record(*record) for record in records) + b"\xd0"
    decoder = StreamDecoder()
    found = [
        each for at in range(0, len(stream), size) for each in decoder.feed(stream[at : at + size])
    ]
    assert found == [Values(dict(sorted(r.samples.items())), r.phase) for r in records]


def test_a_record_that_begins_in_the_middle_or_is_damaged_costs_itself():
    decoder = StreamDecoder()
    good = encode_record({0: 1, 1: 2})
    assert list(decoder.feed(good[2:])) == []
    assert list(decoder.feed(good)) == [Values({0: 1, 1: 2}, None)]
    cut = good[:2] + good[3:]
    assert list(decoder.feed(cut + good)) == [Lost(cut), Values({0: 1, 1: 2}, None)]
    told = bytes((0xD1, 0xCF))  # "corrupt"; its argument is passed over
    assert list(decoder.feed(told + b"\xc0" + good)) == [Lost(told), Values({0: 1, 1: 2}, None)]
