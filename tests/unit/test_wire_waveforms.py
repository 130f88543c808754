"""Blocks of waveforms survive the wire, take little room on it, and are checked before that."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.records import (
    SAMPLES_MAX,
    Attestation,
    Mark,
    Marked,
    Provenance,
    Report,
    Waveform,
)
from gateway.wire.records import decode, encode
from gateway.wire.waveforms import check_waveforms, samples_of, waveform_from
from protos.wardgate.v1 import ingest_pb2 as pb

SOURCE = Provenance("intellivue", Attestation.PORT, "/dev/ttyS0")
ECG = 131330
samples = st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=50).map(tuple)


def wave(values=(1, 2, 3), **fields):
    given = {"code": ECG, "start_us": 5, "sample_rate_hz": 500.0, "scale": 0.005, "offset": -40.96}
    return Waveform(**{**given, **fields}, samples=tuple(values))


def report(*waves):
    return Report("monitor-1", "vitals", SOURCE, 7, waveforms=waves)


@given(values=samples, missing=st.integers(0, 2**64 - 1), data=st.data())
def test_a_block_is_the_same_on_the_other_side(values, missing, data):
    firsts = st.integers(0, len(values) - 1)
    marks = data.draw(
        st.lists(
            st.builds(
                lambda first, mark: Marked(first, len(values) - first, mark),
                firsts,
                st.sampled_from(Mark),
            ),
            max_size=3,
        )
    )
    sent = report(wave(values, missing_before=missing, marks=tuple(marks)))
    check_waveforms(sent.waveforms)
    assert decode(encode(sent)) == sent


def test_an_ecg_takes_little_more_than_a_byte_a_sample():
    beat = [8192 + round(40 * math.sin(n / 8)) for n in range(500)]
    beat[100:106] = [8500, 9200, 9900, 9100, 8300, 8192]
    assert len(encode(report(wave(beat)))) < 1.25 * len(beat)


def test_a_sender_may_leave_the_samples_as_they_are():
    found = waveform_from(pb.Waveform(code=ECG, samples=[5, -5, 7]))
    assert found.samples == (5, -5, 7)


@pytest.mark.parametrize(
    "message",
    [
        pb.Waveform(samples=[1], deltas=[1]),
        pb.Waveform(deltas=[2**31]),
        pb.Waveform(deltas=[2**62, 2**62]),
        pb.Waveform(deltas=[-(2**31), -1]),
    ],
)
def test_what_is_no_block_is_refused(message):
    with pytest.raises(ValueError, match=r"block|32 bits"):
        samples_of(message)


@pytest.mark.parametrize(
    "broken",
    [
        {"values": ()},
        {"values": (0,) * (SAMPLES_MAX + 1)},
        {"values": (2**31,)},
        {"sample_rate_hz": 0.0},
        {"sample_rate_hz": math.nan},
        {"scale": math.inf},
        {"offset": math.nan},
        {"missing_before": -1},
        {"marks": (Marked(2, 2, Mark.LEAD_OFF),)},
        {"marks": (Marked(-1, 2, Mark.LEAD_OFF),)},
        {"marks": (Marked(0, 0, Mark.LEAD_OFF),)},
        {"marks": (Marked(0, 1, Mark.PACED),) * 1025},
    ],
)
def test_a_drivers_mistake_is_found(broken):
    with pytest.raises(ValueError, match=r"."):
        check_waveforms([wave(**broken)])
