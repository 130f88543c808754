"""Lines: published ones, any chunking, damage, bounded memory."""

from datetime import datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.masimo import codec
from drivers.masimo.codec import Damage, Exceptions, LineDecoder, Reading
from firmware_sim.masimo.oximeter import Screen, rad8, radical7
from gateway.domain import terms

RAD8 = (
    b"02/22/16 22:47:45 SN=0000056661 SPO2=098% BPM=097 PI=03.60% SPCO=--.-% SPMET=--.-% "
    b"DESAT=-- PIDELTA=+-- ALARM=0000 EXC=000800"
)
RAD8_SENSOR_OFF = (
    b"05/20/21 14:06:02 SN=0000182948 SPO2=098% BPM=101 PI=--.--% SPCO=--.-% SPMET=--.-% "
    b"DESAT=-- PIDELTA=+-- ALARM=0010 EXC=000824"
)
RADICAL7 = (
    b"03/17/16 19:19:36 SN=---------- SPO2=098% BPM=123 PI=00.55 SPCO=--% SPMET=--.-% SPHB=--.- "
    b"SPOC=-- RESVD=--- DESAT=-- PIDELTA=+-- PVI=--- ALARM=000000 EXC=0000C00 EXC1=00000000"
)
"""What owners of such oximeters recorded and published."""

WHEN = datetime(2026, 11, 29, 21, 5, 7)  # noqa: DTZ001 - a wall clock without a zone
screens = st.builds(
    Screen,
    st.fixed_dictionaries(
        {},
        optional={
            terms.SPO2: st.integers(0, 100).map(float),
            terms.PULSE_RATE: st.integers(0, 240).map(float),
            terms.PERFUSION_INDEX: st.integers(0, 2000).map(lambda n: n / 100),
        },
    ),
    st.integers(0, 0xFFF),
    st.integers(0, 0x3F),
)
lines = st.tuples(st.sampled_from((rad8, radical7)), screens).map(lambda of: of[0](of[1], WHEN))


def decode_all(chunks):
    decoder = LineDecoder()
    return [found for chunk in chunks for found in decoder.feed(chunk)]


def chunked(data, cuts):
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def test_published_lines():
    good, off, other = decode_all([b"\r\n".join((RAD8, RAD8_SENSOR_OFF, RADICAL7, b""))])
    assert good.time == (2016, 2, 22, 22, 47, 45)
    assert {**good.values, "SN": ""} == {"SN": "", "SPO2": "098", "BPM": "097", "PI": "03.60"}
    assert good.exceptions is Exceptions.SET
    assert (off.values["SPO2"], "PI" in off.values, off.alarms) == ("098", False, 0x10)
    assert off.exceptions == Exceptions.SET | Exceptions.SENSOR_OFF | Exceptions.LOW_PERFUSION
    assert (other.values["BPM"], other.values["PI"]) == ("123", "00.55")
    assert other.exceptions == Exceptions.SET | Exceptions.LOW_SIGNAL_IQ


def test_the_simulated_lines_are_written_as_the_published_ones():
    when = datetime(2016, 2, 22, 22, 47, 45)  # noqa: DTZ001
    shown = {terms.SPO2: 98.0, terms.PULSE_RATE: 97.0, terms.PERFUSION_INDEX: 3.6}
    assert rad8(Screen(shown), when) == RAD8 + b"\r\n"
    when = datetime(2016, 3, 17, 19, 19, 36)  # noqa: DTZ001
    shown = {terms.SPO2: 98.0, terms.PULSE_RATE: 123.0, terms.PERFUSION_INDEX: 0.55}
    assert radical7(Screen(shown, 0xC00), when) == RADICAL7 + b"\r\n"


@given(st.lists(lines, max_size=4), st.lists(st.integers(0, 4000), max_size=8))
def test_any_chunking_gives_the_same_readings(sent, cuts):
    stream = b"".join(sent)
    found = decode_all(chunked(stream, cuts))
    assert found == decode_all([stream])
    assert len(found) == len(sent)
    assert all(isinstance(each, Reading) for each in found)


@given(st.lists(st.binary(max_size=700), max_size=8), lines)
def test_garbage_only_delays_the_next_line(garbage, line):
    decoder = LineDecoder()
    for noise in garbage:
        assert all(isinstance(each, Reading | Damage) for each in decoder.feed(noise))
        assert decoder.pending() <= codec.LINE_BYTES_MAX
    decoder.feed(b"\n")
    assert isinstance(decoder.feed(line)[-1], Reading)


@given(lines, st.integers(0), st.integers(0, 7))
def test_a_flipped_bit_raises_nothing(line, at, bit):
    damaged = bytearray(line)
    damaged[at % len(damaged)] ^= 1 << bit
    assert all(isinstance(each, Reading | Damage) for each in decode_all([bytes(damaged)]))


@given(st.text(st.sampled_from("0123456789/: =%.-+ABCEIMOPSX"), max_size=80))
def test_almost_lines(text):
    for head in ("", "02/22/16 22:47:45 ", "02/22/16 22:47:45 SPO2=098% BPM=097 EXC=000800 "):
        assert isinstance(codec.decode((head + text).encode()), Reading | Damage)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"SPO2=098", "head"),
        (b"02/22/16 22:47:4", "head"),
        (b"02/22/16 22:47:45 SPO2=098% BPM=097", "field"),
        (b"02/22/16 22:47:45 SPO2=098% BPM=097 EXC=------", "field"),
        (b"02/22/16 22:47:45 SPO2=098% BPM=097 EXC=000800 SPO2=097%", "field"),
        (b"02/22/16 22:47:45 SPO2=098% BPM=097 EXC=000800 ALARM=00.1", "field"),
        (b"02/22/16 22:47:45 SPO2=98 % BPM=097 EXC=000800", "field"),
        (RAD8 + b" X1=1" * 1 + b" \xb0", "text"),
        (RAD8 + b" " + b" ".join(b"N%d=1" % n for n in range(40)), "field"),
        (b"x" * 600, "too_long"),
    ],
)
def test_damage_has_its_reason(line, reason):
    (damage,) = LineDecoder().feed(line + b"\n")
    assert isinstance(damage, Damage)
    assert damage.reason == reason
    assert len(damage.sample) <= codec.LINE_BYTES_MAX
