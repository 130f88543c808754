"""Bytes <-> replies and lines, in any chunks, whatever arrives."""

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.puritan_bennett import codec
from drivers.puritan_bennett.codec import (
    COUNTS,
    LINE_BYTES_MAX,
    BreathEnd,
    BreathStart,
    LineDecoder,
    Reply,
    Request,
    Sample,
    TooLong,
    decode_reply,
    decode_wave_line,
    encode_reply,
    encode_wave_line,
)
from firmware_sim.puritan_bennett.ventilator import Ventilator
from gateway.domain.errors import MalformedError
from tests.fakes import FakeClock
from tests.unit.ventilation.shared import TABLES, needs_shared

WORD = st.text(
    st.characters(codec="ascii", exclude_characters=",\x7f", min_codepoint=33), max_size=6
)
MNEMONIC = st.sampled_from(["MISCA", "MISCF"])


def full():
    return Ventilator(FakeClock()).reply("MISCF")


def test_only_three_requests_can_be_sent():
    assert {request.value for request in Request} == {b"RSET\r", b"SNDA\r", b"SNDF\r"}


def test_the_full_report_has_the_manuals_size():
    reply = full()
    assert reply.startswith(b"MISCF,1225,169,\x02")
    assert reply.index(b"\r") - reply.index(b"\x02") - 1 == 1225
    assert len(decode_reply(reply[:-1]).fields) == COUNTS["MISCF"] == 169


def test_the_count_may_be_padded_and_a_comma_may_stand_before_the_end():
    body = ",".join(f"{n:<6}" for n in range(169))
    for tail in ("\x03", ",\x03"):
        line = f"MISCF,{len(body) + len(tail)},169 ,\x02{body}{tail}".encode()
        assert decode_reply(line) == Reply("MISCF", tuple(map(str, range(169))))


def test_the_manuals_byte_count_of_the_basic_report_is_taken_though_its_table_has_less():
    line = Ventilator(FakeClock()).reply("MISCA")[:-1]
    assert re.match(rb"MISCA,703,97 ,", line)
    assert decode_reply(line.replace(b",703,", b",706,", 1)) == decode_reply(line)


@given(MNEMONIC, st.lists(WORD, min_size=1, max_size=codec.FIELDS_MAX - 1))
def test_round_trip(mnemonic, words):
    line = encode_reply(mnemonic, words)
    assert decode_reply(line[:-1]) == Reply(mnemonic, tuple(word.strip() for word in words))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda line: line[: len(line) // 2], "unended"),
        (lambda line: line.replace(b"MISCF", b"MISCX"), "unknown_reply"),
        (lambda line: line.replace(b",169", b",168"), "field_count"),
        (lambda line: line.replace(b"SIMV  ", b"SIMV ", 1), "length"),
        (lambda line: line.replace(b"SIMV", b"SI\xffV", 1), "character"),
        (lambda line: b"", "unknown_reply"),
    ],
)
def test_a_damaged_reply_says_why(damage, reason):
    line = damage(full()[:-1])
    with pytest.raises(MalformedError) as caught:
        decode_reply(line)
    assert caught.value.reason == reason


def test_a_reply_is_found_behind_anothers_rest():
    assert decode_reply(b"7.3  ,OFF   ,MISCF,12" + full()[:-1]) == decode_reply(full()[:-1])


@given(st.data())
def test_any_chunking_gives_the_same_lines(data):
    stream = full() + b"\r\n\x00noise\r" + full() + b"BS, S:7,\n1.00, 2.00\r\nBE\n"
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=20).map(sorted))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    decoder = LineDecoder()
    assert [line for chunk in chunks for line in decoder.feed(chunk)] == list(
        LineDecoder().feed(stream)
    )


@given(st.lists(st.binary(max_size=3000), max_size=20))
def test_garbage_is_bounded_and_raises_only_the_typed_error(chunks):
    decoder = LineDecoder()
    for chunk in chunks:
        for line in decoder.feed(chunk):
            for decode in (decode_reply, decode_wave_line):
                with contextlib.suppress(MalformedError):
                    decode(b"" if isinstance(line, TooLong) else line)
        assert decoder.pending() <= LINE_BYTES_MAX
    *_, last = decoder.feed(b"\r" + full())
    assert isinstance(last, bytes)
    assert decode_reply(last).mnemonic == "MISCF"


def test_a_line_without_end_is_given_up_once():
    decoder = LineDecoder()
    found = [each for _ in range(100) for each in decoder.feed(b"x" * 1000)]
    assert len(found) == 1
    assert isinstance(found[0], TooLong)
    assert decoder.pending() == 0
    assert list(decoder.feed(b"xx\rBE\r")) == [b"BE"]


@given(st.integers(15, 1200))
def test_a_lost_byte_is_noticed(at):
    line = full()[:-1]
    with pytest.raises(MalformedError):
        decode_reply(line[:at] + line[at + 1 :])


@given(st.integers(0, 1240), st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_harmless(at, bit):
    line = bytearray(full()[:-1])
    line[at % len(line)] ^= 1 << bit
    try:
        reply = decode_reply(bytes(line))
    except MalformedError:
        return
    assert len(reply.fields) == 169
    assert all(field.isprintable() for field in reply.fields)


def test_lines_of_the_second_port():
    assert decode_wave_line(b"BS, S:54042,") == BreathStart(54042)
    assert decode_wave_line(b"0.87, 7.04") == Sample(0.87, 7.04)
    assert decode_wave_line(b"-12.3, -0.5") == Sample(-12.3, -0.5)
    assert decode_wave_line(b"BE") == BreathEnd()


@pytest.mark.parametrize(
    "line",
    [b"0.87,", b"0.87 7.04", b"1e3, 2", b"nan, 1", b"0.87, 7.040.99, 7.1", b"BS", b"9999, 1"],
)
def test_a_line_that_is_none_is_refused(line):
    with pytest.raises(MalformedError) as caught:
        decode_wave_line(line)
    assert caught.value.reason == "wave_line"


HUNDREDTHS = st.integers(-30000, 30000).map(lambda n: n / 100)


@given(
    st.one_of(
        st.builds(BreathStart, st.integers(0, 10**9)),
        st.builds(Sample, HUNDREDTHS, HUNDREDTHS),
        st.just(BreathEnd()),
    )
)
def test_lines_round_trip(line):
    assert decode_wave_line(encode_wave_line(line)[:-1]) == line


@needs_shared
@pytest.mark.shared
def test_widths_are_the_field_tables():
    """ "(18 characters)" in the comparison table, where it tells one."""
    mnemonic = ""
    for line in (TABLES / "pb840.fields.tsv").read_text().splitlines()[1:]:
        kind, _, _, first, second, text = (line.split("\t") + [""] * 6)[:6]
        if kind.startswith("MISC"):
            mnemonic = kind
            continue
        width = re.search(r"\((\d+) characters\)", text)
        if width is None:
            continue
        for number in {int(n) for n in (first, second) if n and int(n) > 0}:
            assert codec.WIDTHS.get((mnemonic, number), 6) == int(width[1]), (mnemonic, number)
