"""What chronyd answers, as it stands on the wire."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import MalformedError
from gateway.domain.records import LeapStatus
from gateway.ownclock import chrony
from gateway.ownclock.reading import by_chrony


def floating(value: float) -> bytes:
    """A float as chrony has it: exponent of 7 bits, coefficient of 25."""
    exponent, coefficient = 0, value
    while coefficient and abs(coefficient) < 0.25:
        coefficient, exponent = coefficient * 2, exponent - 1
    while abs(coefficient) >= 0.5:
        coefficient, exponent = coefficient / 2, exponent + 1
    packed = round(coefficient * (1 << 25)) & ((1 << 25) - 1)
    return struct.pack("!I", (exponent & 0x7F) << 25 | packed)


def reply(sequence=1, *, leap=0, stratum=3, reference=0x0A000001, floats=(0.0,) * 9) -> bytes:
    head = struct.pack("!BBBBHHHHHHI8x", 6, 2, 0, 0, 33, 5, 0, 0, 0, 0, sequence)
    address = bytes((10, 0, 0, 1)) + bytes(12)
    body = struct.pack("!I16sHHHHIII", reference, address, 1, 0, stratum, leap, 0, 0, 0)
    return head + body + b"".join(map(floating, floats))


def test_a_request_is_as_long_as_its_reply():
    request = chrony.tracking_request(0xCAFE0001)
    assert request[:12] == bytes.fromhex("06010000 0021 0000 cafe0001")
    assert len(request) == len(reply()) == chrony.REPLY_BYTES


def test_what_it_follows_and_how_well():
    floats = (0.001, 0.0, 0.0, -7.5, 0.0, 0.5, 0.002, 0.0005, 64.0)
    told = chrony.tracking_of(reply(7, floats=floats), 7)
    assert (told.reference, told.stratum, told.synchronised) == ("10.0.0.1", 3, True)
    assert told.correction_s == pytest.approx(0.001, rel=1e-6)
    assert told.frequency_ppm == -7.5
    assert told.error_s == pytest.approx(0.0025, rel=1e-6)
    reading = by_chrony(told)
    assert (reading.error_us, reading.offset_us) == (2500, -1000)
    assert (reading.frequency_ppb, reading.leap) == (-7500, LeapStatus.NORMAL)


def test_without_a_source_nothing_is_claimed():
    told = chrony.tracking_of(reply(leap=3, stratum=0, reference=0), 1)
    assert not told.synchronised
    reading = by_chrony(told)
    assert (reading.error_us, reading.leap) == (0, LeapStatus.UNSYNCHRONISED)


@pytest.mark.parametrize(("leap", "expected"), [(1, LeapStatus.INSERT), (2, LeapStatus.DELETE)])
def test_a_leap_second_is_told(leap, expected):
    assert by_chrony(chrony.tracking_of(reply(leap=leap), 1)).leap is expected


@pytest.mark.parametrize(
    "data",
    [
        b"",
        reply()[:-1],
        reply(2),
        b"\x05" + reply()[1:],
        reply()[:5] + b"\x22" + reply()[6:],
        reply()[:9] + b"\x01" + reply()[10:],
    ],
    ids=["nothing", "short", "another's", "version", "command", "status"],
)
def test_what_is_no_reply_is_refused(data):
    with pytest.raises(MalformedError):
        chrony.tracking_of(data, 1)


@given(st.floats(-1e9, 1e9).filter(lambda x: x == 0 or abs(x) > 1e-9))
def test_floats_have_seven_digits(value):
    told = chrony.tracking_of(reply(floats=(value,) + (0.0,) * 8), 1)
    assert told.correction_s == pytest.approx(value, rel=1e-6)


@given(st.binary(max_size=200))
def test_whatever_comes_is_a_reply_or_refused(data):
    with pytest.raises(MalformedError):
        chrony.tracking_of(data, 1)
    try:
        chrony.tracking_of(reply()[:28] + data.ljust(76, b"\0"), 1)
    except MalformedError:
        pytest.fail("any content is a tracking")
