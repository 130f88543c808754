"""What a device measures: values, states, words, waveforms."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from gateway.domain.records.common import AssociationState, Provenance, Quality, TimeQuality


class Enumeration(msgspec.Struct, frozen=True, gc=False):
    code: int
    value: int
    """The MDC code of the value where it has one, else 0."""
    name: str
    quality: Quality = Quality.VALID


class Text(msgspec.Struct, frozen=True, gc=False):
    code: int
    value: str


class Mark(IntEnum):
    """Why some samples of a waveform are no measurement, or what happened there."""

    INVALID = 1
    """The device says so, without a reason that has a mark of its own."""
    LEAD_OFF = 2
    """No electrode, sensor or transducer: what stands there is noise or the device's filler."""
    MISSING = 3
    """Nothing came for it: what stands there was filled in, so that the block stays whole."""
    SATURATED = 4
    """At the end of the converter's range: the true value is at least that far out."""
    PACED = 5
    """A pacemaker's pulse, where the device draws one: not measured, but valid."""
    CALIBRATING = 6
    """A calibration or test signal."""
    DEFIBRILLATED = 7
    """A shock was given here."""


class Marked(msgspec.Struct, frozen=True, gc=False):
    """A run of samples ``first .. first + count - 1`` of its block; ``count`` is at least 1."""

    first: int
    count: int
    mark: Mark


SAMPLES_MAX = 65_536
"""Of one block: two minutes at 500 Hz. Drivers send blocks of 0.2 to 5 s; what is longer is a
driver's fault, and refused as it."""

MARKS_MAX = 1_024
"""Of one block."""


class Waveform(msgspec.Struct, frozen=True, gc=False):
    """A block of equidistant samples of one metric.

    ``samples[i]`` was taken at ``start_us + i * 1e6 / sample_rate_hz`` and is
    ``samples[i] * scale + offset`` in the metric's UCUM unit (see :mod:`gateway.domain.terms`); a
    driver whose device has another unit converts scale and offset, not the samples.
    """

    code: int
    start_us: int
    """Time of the first sample, by the device's clock where it has one that can be used, else by
    the gateway's. Consecutive blocks follow on: a driver counts samples on from an anchor, so that
    the jitter of arrival is not in it."""
    sample_rate_hz: float
    scale: float
    offset: float
    samples: tuple[int, ...]
    """Of 32 bits each, signed; at most SAMPLES_MAX."""
    quality: Quality = Quality.VALID
    """Of the whole block: DEMO, CALIBRATING, or the gravest that holds for all of it."""
    missing_before: int = 0
    """Samples that are known to be missing directly before this block: a gap. The first block of a
    connection has none; what was lost before it, a Gap record says."""
    marks: tuple[Marked, ...] = ()
    """Runs of samples that are no ordinary measurement, ascending by ``first``; runs of different
    marks may overlap."""


class Report(msgspec.Struct, frozen=True, gc=False):
    """What a device said at once.

    ``codes[i]`` has ``values[i]`` in the metric's UCUM unit (see :mod:`gateway.domain.terms`);
    ``qualities`` is empty when every value is valid, else as long as ``codes``.
    ``message_id`` is ``"boot:n"`` as the device numbered it, or empty.
    """

    device_id: str
    kind: str
    provenance: Provenance
    received_us: int
    codes: tuple[int, ...] = ()
    values: tuple[float, ...] = ()
    qualities: tuple[int, ...] = ()
    device_us: int = 0
    time_quality: TimeQuality = TimeQuality.NONE
    offset_us: int = 0
    message_id: str = ""
    bed: str = ""
    enumerations: tuple[Enumeration, ...] = ()
    texts: tuple[Text, ...] = ()
    waveforms: tuple[Waveform, ...] = ()
    ward: str = ""
    """Where the directory has the device."""
    patient_id: str = ""
    """Who was in the bed when it was measured; the pipeline knows, a driver leaves it empty."""
    association_id: str = ""
    association_state: AssociationState = AssociationState.NONE
    measured_us: int = 0
    """When it was measured, on the gateway's clock: an estimate; 0: none was made."""
    uncertainty_us: int = 0
    """How far that may be off from the true time on that clock; 0: nothing is claimed."""
    time_marks: int = 0
    """TimeMark."""
    order_us: int = 0
    """Sorts a device's reports in the order in which they were measured, across every step of
    either clock; 0: the same as ``measured_us``."""
