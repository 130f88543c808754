"""Blocks of waveforms onto the wire and off it.

Rules:

1. A block travels as its first sample and the differences between neighbours: a small number is one
   byte of a packed varint, and a biosignal at a bedside's rates mostly changes by little. An ECG of
   14 bits at 500 Hz takes 1.1 bytes a sample so, and 2.5 without.
2. Who reads takes blocks of samples, too: the contract allows either.
3. What a driver must keep to is checked once, here, before anything is written: sizes, 32 bits, a
   rate and a scale that are numbers, and marks within their block.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate
from operator import sub

from gateway.domain.records import MARKS_MAX, SAMPLES_MAX, Mark, Marked, Quality, Waveform
from protos.wardgate.v1 import ingest_pb2 as pb

_INT32 = range(-(2**31), 2**31)


def check_waveforms(waveforms: Iterable[Waveform]) -> None:
    """Refuse what no block may be.

    Raises:
        ValueError: which rule is broken.
    """
    for wave in waveforms:
        samples, count = wave.samples, len(wave.samples)
        if not 0 < count <= SAMPLES_MAX or len(wave.marks) > MARKS_MAX:
            raise ValueError("a block of no samples, or too many, or too many marks")
        if min(samples) not in _INT32 or max(samples) not in _INT32:
            raise ValueError("a sample of more than 32 bits")
        if not (0 < wave.sample_rate_hz < math.inf):
            raise ValueError("a sample rate that is none")
        if not (math.isfinite(wave.scale) and math.isfinite(wave.offset)):
            raise ValueError("a scale that is none")
        if wave.missing_before < 0:
            raise ValueError("fewer samples than none are missing")
        if any(m.first < 0 or m.count < 1 or m.first + m.count > count for m in wave.marks):
            raise ValueError("a mark outside of its block")


def add_waveform(message: pb.Report, wave: Waveform) -> None:
    """Append a block to a report's message.

    Raises:
        ValueError: a number doesn't fit its field.
    """
    samples = wave.samples
    message.waveforms.add(
        code=wave.code,
        start_us=wave.start_us,
        sample_rate_hz=wave.sample_rate_hz,
        scale=wave.scale,
        offset=wave.offset,
        deltas=[*samples[:1], *map(sub, samples[1:], samples)],
        quality=wave.quality,
        missing_before=wave.missing_before,
        marks=[
            pb.SampleMark(first=m.first, count=m.count, kind=m.mark)  # type: ignore[arg-type]
            for m in wave.marks
        ],
    )


def samples_of(wave: pb.Waveform) -> Sequence[int]:
    """The samples of a block, whichever way it has them.

    Raises:
        ValueError: it has both ways, or a sample of more than 32 bits.
    """
    if not wave.deltas:
        return wave.samples
    if wave.samples:
        raise ValueError("a block with samples and with deltas")
    samples = list(accumulate(wave.deltas))
    if min(samples) not in _INT32 or max(samples) not in _INT32:
        raise ValueError("a sample of more than 32 bits")
    return samples


def waveform_from(wave: pb.Waveform) -> Waveform:
    """A block as the domain has it.

    Raises:
        ValueError: as :func:`samples_of`, or a number outside its enumeration.
    """
    return Waveform(
        wave.code,
        wave.start_us,
        wave.sample_rate_hz,
        wave.scale,
        wave.offset,
        tuple(samples_of(wave)),
        Quality(wave.quality or Quality.VALID),
        wave.missing_before,
        tuple(Marked(m.first, m.count, Mark(m.kind)) for m in wave.marks),
    )
