"""The message: a real monitor's bytes, any chunking, damage, bounded memory."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.ivy450c import codec
from drivers.ivy450c.codec import Curves, Damage, Line, Message, MessageDecoder
from tests.unit.ivy450c.capture import needs_capture, stream

words = st.text(st.sampled_from("0123456789 :-=.AZaz~!"), max_size=6)
lines = st.builds(
    Line,
    st.sampled_from(("HR", "SPO2", "P1", "ABCDEFGH", "Z9")),
    st.lists(words, max_size=4).map(tuple),
    words,
    words,
)
curves = st.binary(min_size=1, max_size=20).map(
    lambda data: codec._curves((bytes(min(byte, 0xFD) for byte in data) * 400)[:400])
)
messages = st.builds(Message, curves, st.lists(lines, min_size=1, max_size=3).map(tuple))
QUIET = Curves(bytes(200), *([bytes(50)] * 4))


def decode_all(chunks):
    decoder = MessageDecoder()
    return [found for chunk in chunks for found in decoder.feed(chunk)]


def chunked(data, cuts):
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@needs_capture
@pytest.mark.shared
def test_every_recorded_message():
    beginning, *found = decode_all([stream()])
    assert beginning.reason == "noise"  # the recording begins in the middle of a message
    assert len(found) == 27
    for message in found:
        assert isinstance(message, Message)
        values = {line.name: line.values for line in message.lines}
        assert values["HR"] == ("80",)
        assert values["RR"] == ("35",)
        assert values["SPO2"] == ("100",)
        assert values["NIBP"] == ("121", "75", "92", "80")
        assert values["P1"] in {("111", "73", "88"), ("110", "73", "88")}
        assert values["P2"] == ("", "", "")
        assert values["T1"] == values["T2"] == values["ETCO2"] == ("",)
        labels = {line.name: line.label for line in message.lines if line.label}
        assert labels == {
            "HR": "ECG-II-DIAG",
            "RR": "APNEA: 20 SEC",
            "SPO2": "PR=80 ",
            "P2": "NO TRANSDUCER",
        }
        assert not any(line.alarm for line in message.lines)
    assert codec.encode(found[0]) in stream()
    assert b"".join(map(codec.encode, found)) == stream()[252:]


@needs_capture
@pytest.mark.shared
def test_the_recorded_curves_say_what_the_numbers_do():
    found = [m for m in decode_all([stream()]) if isinstance(m, Message)]
    p1 = b"".join(message.curves.p1 for message in found)
    assert (min(p1), max(p1)) == (73, 111)  # the pressure itself, in mmHg
    assert {byte for message in found for byte in message.curves.p2} == {251}
    # 80 beats a minute: an R peak every 0.75 s, so that 200 samples are one second.
    ecg = b"".join(message.curves.ecg for message in found)
    peaks = [i for i in range(1, len(ecg) - 1) if ecg[i] > 200 and ecg[i - 1] <= 200]
    assert {b - a for a, b in pairwise(peaks)} <= {148, 149, 150, 151, 152}


@needs_capture
@pytest.mark.shared
def test_the_recording_byte_by_byte():
    data = stream()
    assert decode_all(data[i : i + 1] for i in range(len(data)))[252:] == decode_all([data])[1:]


@given(st.lists(messages, max_size=3), st.lists(st.integers(0, 4000), max_size=8))
@settings(max_examples=50)
def test_any_chunking_gives_the_same_messages(sent, cuts):
    data = b"".join(map(codec.encode, sent))
    assert decode_all(chunked(data, cuts)) == sent


@given(st.lists(st.binary(max_size=300).map(lambda data: data * 3), max_size=4), messages)
@settings(max_examples=100)
def test_garbage_only_delays_the_next_message(garbage, message):
    decoder = MessageDecoder()
    for noise in garbage:
        assert all(isinstance(each, Message | Damage) for each in decoder.feed(noise))
        assert decoder.pending() <= codec.MESSAGE_BYTES_MAX
    decoder.feed(b"\xff")  # whatever was begun ends here
    assert message in decoder.feed(codec.encode(message))


@given(messages, st.integers(0), st.integers(0, 7))
@settings(max_examples=100)
def test_a_flipped_bit_raises_nothing_and_costs_at_most_its_message(message, at, bit):
    frame = bytearray(codec.encode(message))
    frame[at % len(frame)] ^= 1 << bit
    decoder = MessageDecoder()
    decoder.feed(bytes(frame))
    assert decoder.feed(codec.encode(message) * 2)[-1] == message


def frame(text, head=b"\xffANSAR-B ", curve=bytes(400)):
    return head + curve + text + b"\xfe"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (frame(b"HR=1;80;;\r", head=b"\xffANSAR-C "), "name"),
        (frame(b"HR=1;80;;\r", curve=bytes(380)), "truncated"),
        (frame(b"HR=1;80;;"), "line"),
        (frame(b""), "line"),
        (frame(b"HR=2;80;;\r"), "line"),
        (frame(b"HR=9;1;2;3;4;5;6;7;8;9;;\r"), "line"),
        (frame(b"hr=1;80;;\r"), "line"),
        (frame(b"HR=1;8\xc4;;\r"), "text"),
        (frame(b"HR=1;80;;\r" * 33), "line"),
        (frame(b"HR=1;80;;\r" * 200), "too_long"),
        (b"\xffANSAR-B \xff", "truncated"),
        (b"\xff" + b"x" * 2000, "too_long"),
        (b"noise", "noise"),
    ],
)
def test_damage_has_its_reason(data, reason):
    (damage,) = MessageDecoder().feed(data)
    assert isinstance(damage, Damage)
    assert damage.reason == reason
    assert len(damage.sample) <= codec.MESSAGE_BYTES_MAX


def test_what_the_monitor_cannot_say():
    for bad in (Line("HR", ("8;0",), "", ""), Line("HR", ("80",), "\xff", "")):
        with pytest.raises(ValueError, match="no message"):
            codec.encode(Message(QUIET, (bad,)))
