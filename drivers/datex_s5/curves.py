"""Curves of the monitor -> waveforms.

Rates and scales are the specification's. A value at or below -32001 is no sample: it becomes a
mark, and the sample before it stands in its place. The monitor states a time to the second only,
so that curves are timed by their arrival (:mod:`drivers.base.blocktimes`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from drivers.base.blocktimes import BlockTimes
from drivers.base.dialogue import Moment
from drivers.datex_s5.codec import Curve
from gateway.domain import terms
from gateway.domain.records import Mark, Marked, Waveform

NO_SAMPLE: Final = -32001
"""At or below: a code instead of a sample."""
DISCONTINUITY, UNDER_RANGE, OVER_RANGE = -32765, -32764, -32763
_MARKS: Final = {
    DISCONTINUITY: Mark.CALIBRATING,
    UNDER_RANGE: Mark.SATURATED,
    OVER_RANGE: Mark.SATURATED,
}
GAP, LEAD_OFF = 0x0001, 0x0008
"""Bits of a curve's status: samples are missing before it; the ECG channel is off."""
MARKS_MAX: Final = 64
"""Runs of one block; beyond it, the whole block is INVALID."""

RATE_PER_S_MAX: Final = 600
"""Samples of all curves together that the line carries (19200 baud, beside the numbers)."""


class Kind(NamedTuple):
    """One curve that can be asked for."""

    number: int
    """Its subrecord type."""
    rate_hz: int
    scale: float
    """To the metric's unit."""
    refid: str
    """Where no label says something more precise."""


KINDS: Final = {
    "ecg1": Kind(1, 300, 0.001, "MDC_ECG_ELEC_POTL"),
    "ecg2": Kind(2, 300, 0.001, "WARDGATE_ECG_2"),
    "ecg3": Kind(3, 300, 0.001, "WARDGATE_ECG_3"),
    "invp1": Kind(4, 100, 0.01, "MDC_PRESS_BLD"),
    "invp2": Kind(5, 100, 0.01, "WARDGATE_PRESS_2"),
    "invp3": Kind(6, 100, 0.01, "WARDGATE_PRESS_3"),
    "invp4": Kind(7, 100, 0.01, "WARDGATE_PRESS_4"),
    "pleth": Kind(8, 100, 0.01, "MDC_PULS_OXIM_PLETH"),
    "co2": Kind(9, 25, 0.01, "MDC_CONC_AWAY_CO2"),
    "o2": Kind(10, 25, 0.01, "MDC_CONC_AWAY_O2"),
    "n2o": Kind(11, 25, 0.01, "MDC_CONC_AWAY_N2O"),
    "aa": Kind(12, 25, 0.01, "MDC_CONC_AWAY_AGENT"),
    "awp": Kind(13, 25, 0.1, "MDC_PRESS_AWAY"),
    "flow": Kind(14, 25, 0.1, "MDC_FLOW_AWAY"),
    "resp": Kind(15, 25, 0.01, "WARDGATE_RESP_IMPEDANCE"),
    "invp5": Kind(16, 100, 0.01, "WARDGATE_PRESS_5"),
    "invp6": Kind(17, 100, 0.01, "WARDGATE_PRESS_6"),
    "invp7": Kind(36, 100, 0.01, "WARDGATE_PRESS_7"),
    "invp8": Kind(37, 100, 0.01, "WARDGATE_PRESS_8"),
}
"""By the name that the configuration uses."""
_BY_NUMBER: Final = {kind.number: (name, kind) for name, kind in KINDS.items()}
PRESSURES: Final = {name: int(name[4:]) for name in KINDS if name.startswith("invp")}
"""Curve -> number of its pressure channel."""
ECGS: Final = {"ecg1": 1, "ecg2": 2, "ecg3": 3}


class Curves:
    """One connection's curves, each with its time."""

    def __init__(self, code_of: Callable[[str], int | None]) -> None:
        """Keep ``code_of``: what a curve's label says of its metric, None where it says nothing."""
        self._code_of = code_of
        self._times: dict[str, BlockTimes] = {}
        self._in_doubt: set[str] = set()
        """Curves of which a block may have been lost since their last one."""
        self.unknown = 0
        """Curves of no kind that is known here."""

    def damaged(self) -> None:
        """Bytes were lost, of whatever."""
        self._in_doubt.update(self._times)

    def waveform(self, curve: Curve, now: Moment) -> Waveform | None:
        """A block; None when there is nothing in it or its kind is not known."""
        found = _BY_NUMBER.get(curve.kind)
        if found is None:
            self.unknown += 1
            return None
        if not curve.samples:
            return None
        name, kind = found
        samples, marks = cleaned(curve.samples)
        if curve.status & LEAD_OFF:
            marks = (Marked(0, len(samples), Mark.LEAD_OFF),)
        gap = name in self._in_doubt or bool(curve.status & GAP)
        self._in_doubt.discard(name)
        times = self._times.setdefault(name, BlockTimes())
        begun = times.take(len(samples), kind.rate_hz, now, damaged=gap)
        return Waveform(
            self._code_of(name) or terms.code(kind.refid),
            begun.start_us,
            float(kind.rate_hz),
            kind.scale,
            0.0,
            samples,
            missing_before=begun.missing,
            marks=marks,
        )


def cleaned(samples: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[Marked, ...]]:
    """Samples without codes among them, and marks where the codes stood."""
    if min(samples) > NO_SAMPLE:
        return samples, ()
    kept, last = [], next((sample for sample in samples if sample > NO_SAMPLE), 0)
    for sample in samples:
        last = sample if sample > NO_SAMPLE else last
        kept.append(last)
    marks = tuple(_runs(samples))
    if len(marks) > MARKS_MAX:
        marks = (Marked(0, len(samples), Mark.INVALID),)
    return tuple(kept), marks


def _runs(samples: tuple[int, ...]) -> Iterator[Marked]:
    first, mark = 0, None
    for index, sample in enumerate((*samples, 0)):
        here = None if sample > NO_SAMPLE else _MARKS.get(sample, Mark.INVALID)
        if index == len(samples):
            here = None
        if here is not mark:
            if mark is not None:
                yield Marked(first, index - first, mark)
            first, mark = index, here
