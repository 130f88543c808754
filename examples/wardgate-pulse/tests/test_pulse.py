"""Lines and what they mean."""

import math

import pytest

from gateway.domain.devices import Device
from gateway.domain.errors import MalformedError
from gateway.domain.records import Attestation, Provenance, Quality
from wardgate_pulse.codec import LINE_BYTES_MAX, Damage, LineDecoder, Reading, decode, encode
from wardgate_pulse.mapping import PULSE_RATE, report

VECTORS = [(b"$PR,072*1B\r\n", 72), (b"$PR,---*03\r\n", None)]


@pytest.mark.parametrize(("line", "rate"), VECTORS)
def test_a_line_and_back(line, rate):
    assert LineDecoder().feed(line) == [Reading(rate)]
    assert encode(Reading(rate)) == line


@pytest.mark.parametrize(
    ("line", "reason"), [(b"$PR,072*1C\r", "checksum"), (b"$PR,72*1B\r", "syntax"), (b"", "syntax")]
)
def test_what_is_no_line(line, reason):
    with pytest.raises(MalformedError) as caught:
        decode(line)
    assert caught.value.reason == reason


def test_an_endless_line_is_given_up_and_the_next_one_read():
    decoder = LineDecoder()
    (damage,) = decoder.feed(b"$" * (LINE_BYTES_MAX + 1))
    assert isinstance(damage, Damage)
    assert decoder.feed(b"$" * 100_000) == []
    assert decoder.feed(b"\n" + VECTORS[0][0]) == [Reading(72)]


def test_what_becomes_of_a_reading():
    device = Device("d1", "monitor", "icu", "7")
    provenance = Provenance("pulse", Attestation.PORT, "/dev/ttyS0")
    known = report(Reading(72), device, provenance, 5)
    assert (known.codes, known.values, known.qualities) == ((PULSE_RATE,), (72.0,), ())
    assert (known.bed, known.ward, known.received_us) == ("7", "icu", 5)
    unknown = report(Reading(None), device, provenance, 5)
    assert math.isnan(unknown.values[0])
    assert unknown.qualities == (Quality.UNAVAILABLE,)
