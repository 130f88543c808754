"""What is known of one infusion, and how a report changes it.

Rules:

- Whatever driver it comes from, a report of the infusion terms of IEEE 11073 counts
  (:data:`NUMBERS`, :data:`WORDS`): drips, pumps over HL7, pumps on serial lines.
- A value that is not valid is not taken, one that is unavailable is known no more; what a report
  leaves out stays as it was. A report that is older than the last one changes nothing.
- Of a term that stands in a report twice (the sources of one channel) the first counts.
- Another bag, or a programme begun anew, begins the forecast anew: :data:`BEGINNINGS`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec

from gateway.domain import terms
from gateway.domain.records import Quality, Report, Whose
from gateway.infusion.forecast import Forecast, Sample, Track

NUMBERS: Final = frozenset(
    map(
        terms.code,
        (
            "MDC_FLOW_FLUID_PUMP_CURRENT",
            "MDC_FLOW_FLUID_PUMP",
            "MDC_VOL_FLUID_TBI",
            "MDC_VOL_FLUID_TBI_REMAIN",
            "MDC_VOL_FLUID_DELIV_TOTAL",
            "MDC_VOL_FLUID_DELIV",
            "MDC_VOL_FLUID_DELIV_SEGMENT",
            "MDC_VOL_FLUID_CONTAINER_START",
            "MDC_VOL_SYRINGE",
            "MDC_VOL_SYRINGE_ACTUAL",
            "MDC_TIME_PD_REMAIN",
            "MDC_TIME_PD_PROG",
            "MDC_RATE_DOSE",
            "MDC_CONC_DRUG",
            "WARDGATE_RATE_DOSE_MASS",
            "WARDGATE_RATE_DOSE_UNITS",
            "WARDGATE_RATE_DOSE_UNITS_KG",
            "WARDGATE_RATE_DOSE_AMOUNT",
            "WARDGATE_CONC_DRUG_UNITS",
            "WARDGATE_DROP_RATE",
            "WARDGATE_DROP_COUNT",
            "WARDGATE_DROP_FACTOR",
            "WARDGATE_TIME_ELAPSED",
            "WARDGATE_BAG_WEIGHT",
            "WARDGATE_BAG_NUMBER",
            "WARDGATE_BAG_TARE",
        ),
    )
)
"""A report with one of these is about an infusion."""
BESIDES: Final = frozenset(
    map(terms.code, ("MDC_ATTR_VAL_BATT_CHARGE", "MDC_ATTR_TIME_BATT_REMAIN", "WARDGATE_RSSI"))
)
"""Taken along where a report has one of ``NUMBERS`` beside them."""
WORDS: Final = frozenset(
    map(
        terms.code,
        (
            "MDC_PUMP_INFUSING_STATUS",
            "MDC_DEV_PUMP_CURRENT_DELIVERY_STATUS",
            "MDC_DEV_PUMP_NOT_DELIVERING_REASON",
            "MDC_DEV_PUMP_PROGRAM_DELIVERY_MODE",
            "MDC_DEV_PUMP_ACTIVE_SOURCES",
            "MDC_PUMP_STAT",
            "MDC_PUMP_MODE",
            "MDC_PUMP_NOT_INFUSING_REASON",
            "MDC_ATTR_EVT_COND",
            "MDC_ATTR_AL_COND",
            "WARDGATE_CLAMP_STATE",
        ),
    )
)
TEXTS: Final = frozenset((terms.DRUG_NAME,))
BEGINNINGS: Final = frozenset(
    (
        "MDC_EVT_PUMP_PROG_CLEARED",
        "MDC_EVT_PUMP_VOL_COUNTERS_CLEARED",
        "MDCX_EVT_PUMP_VOL_COUNTERS_CLEARED",
    )
)
"""Events after which nothing that was infused before counts."""
ROUNDING_ML: Final = 0.5
"""What was infused falls by no more than rounding, unless it is counted anew."""
FINISHED_ML: Final = 1.0
STOPPED_ML_H: Final = 0.1
WORD_CHARACTERS_MAX: Final = 64
DRUG_CHARACTERS_MAX: Final = 120


class State(StrEnum):
    """How an infusion stands."""

    RUNNING = "running"
    KVO = "kvo"
    """Done, but for what keeps the vein open."""
    STOPPED = "stopped"
    FINISHED = "finished"
    UNKNOWN = "unknown"


class Saved(msgspec.Struct, array_like=True):
    """An infusion as the value of its state delta."""

    device_id: str
    kind: str
    driver: str
    ward: str
    bed: str
    drug: str
    values: dict[int, float]
    words: dict[int, str]
    heard_us: int
    event: str
    event_us: int
    left_at_us: int
    samples: tuple[tuple[float, float, float | None], ...]
    skew_s: float | None


class Infusion:
    """One device's infusion."""

    __slots__ = (
        "away",
        "bed",
        "device_id",
        "driver",
        "drug",
        "event",
        "event_us",
        "heard_us",
        "kind",
        "left_at_us",
        "spoken_us",
        "track",
        "values",
        "ward",
        "words",
    )

    def __init__(self, device_id: str) -> None:
        self.device_id = device_id
        self.kind = self.driver = self.ward = self.bed = self.drug = ""
        self.values: dict[int, float] = {}
        """In the terms' units, by code."""
        self.words: dict[int, str] = {}
        self.heard_us = 0
        """When its last report came."""
        self.spoken_us = 0
        """The time of its last report, by its own clock."""
        self.event = ""
        """The last, by its REFID."""
        self.event_us = 0
        self.left_at_us = 0
        """When the device said what time is left, by the gateway's clock."""
        self.track = Track()
        self.away = False
        """It signed off: nothing of it is going on."""

    # What a report says

    def take(self, report: Report, qualities: tuple[int, ...], whose: Whose) -> bool:
        """A report came; True when it is another bag, or a programme begun anew.

        Args:
            report: as its device told it.
            qualities: of its values, as the pipeline marked them; empty: all are valid.
            whose: where it was, as far as that is known.
        """
        spoken_us = report.device_us or report.received_us
        skew_us = spoken_us - report.received_us
        if self.spoken_us and spoken_us < self.spoken_us and report.received_us >= self.heard_us:
            known_us = int((self.track.skew_s or 0.0) * 1e6)
            if abs(skew_us - known_us) < 60_000_000:
                return False  # told late: what came meanwhile is newer
        self.spoken_us, self.heard_us, self.away = spoken_us, report.received_us, False
        self.kind, self.driver = report.kind, report.provenance.driver
        self.ward, self.bed = whose.ward or self.ward, whose.bed or self.bed
        for text in report.texts:
            if text.code in TEXTS:
                self.drug = text.value[:DRUG_CHARACTERS_MAX]
        began = self._words(report)
        new = self._numbers(report, qualities)
        began |= self._counts_anew(new)
        if terms.FLOW_RATE in new and terms.TIME_REMAINING not in new:
            self.values.pop(terms.TIME_REMAINING, None)  # it was the time at another flow
        for at, quality in enumerate(qualities):
            if quality == Quality.UNAVAILABLE:
                self.values.pop(report.codes[at], None)
        if terms.TIME_REMAINING in new:
            self.left_at_us = report.received_us
        self.values |= new
        if began:
            self.track.begin()
        return self._follow(new, spoken_us, report.received_us) or began

    def _words(self, report: Report) -> bool:
        began = False
        for said in report.enumerations:
            if said.code not in WORDS or said.quality is not Quality.VALID:
                continue
            word = said.name[:WORD_CHARACTERS_MAX]
            if said.code == terms.INFUSION_EVENT:
                self.event, self.event_us = word, report.device_us or report.received_us
                began |= word in BEGINNINGS
            else:
                self.words[said.code] = word
        if terms.DELIVERY_STATUS in {said.code for said in report.enumerations}:
            told = {said.code for said in report.enumerations}
            if terms.NOT_DELIVERING_REASON not in told:
                self.words.pop(terms.NOT_DELIVERING_REASON, None)
        return began

    @staticmethod
    def _numbers(report: Report, qualities: tuple[int, ...]) -> dict[int, float]:
        new: dict[int, float] = {}
        for at, code in enumerate(report.codes):
            if code not in NUMBERS and code not in BESIDES:
                continue
            if code not in new and (not qualities or qualities[at] == Quality.VALID):
                new[code] = report.values[at]
        if terms.FLOW_RATE not in new:
            drops, factor = new.get(terms.DROP_RATE), new.get(terms.DROP_FACTOR)
            if drops is not None and factor:
                new[terms.FLOW_RATE] = drops * 60 / factor
        if terms.VOLUME_REMAINING not in new and _SYRINGE_ACTUAL in new:
            new[terms.VOLUME_REMAINING] = new[_SYRINGE_ACTUAL]
        return new

    def _counts_anew(self, new: dict[int, float]) -> bool:
        """Whether the device says by its counters that it is another bag."""
        bag, known = new.get(terms.BAG_NUMBER), self.values.get(terms.BAG_NUMBER)
        if bag is not None and known is not None and bag != known:
            return True
        return any(
            code in new and new[code] < self.values.get(code, 0.0) - least
            for code, least in ((terms.VOLUME_INFUSED, ROUNDING_ML), (terms.DROP_COUNT, 0.5))
        )

    def _follow(self, new: dict[int, float], spoken_us: int, heard_us: int) -> bool:
        left = new.get(terms.VOLUME_REMAINING)
        if left is None:
            return False
        sample = Sample(spoken_us / 1e6, left, new.get(terms.FLOW_RATE))
        return self.track.add(sample, heard_us / 1e6)

    # What follows from it

    @property
    def state(self) -> State:
        """How it stands: by the device's words, else by its flow."""
        delivery = self.words.get(terms.DELIVERY_STATUS, "")
        flow = self.values.get(terms.FLOW_RATE)
        left = self.values.get(terms.VOLUME_REMAINING)
        flows = None if flow is None else flow > STOPPED_ML_H
        if delivery.endswith("-kvo"):
            return State.KVO
        if delivery:
            flows = not delivery.endswith("not-delivering")
        elif status := self.words.get(terms.INFUSING_STATUS, ""):
            flows = not status.endswith("not-infusing")
        if left is not None and left <= FINISHED_ML and not (flows and delivery):
            return State.FINISHED
        if flows is None:
            return State.UNKNOWN
        return State.RUNNING if flows else State.STOPPED

    @property
    def is_drip(self) -> bool:
        """A gravity drip, which knows no end of its own; else a pump."""
        return self.kind == "drip" or terms.DROP_RATE in self.values

    def forecast(self, now_us: int) -> Forecast | None:
        """From now on; None while nobody can say. A pump knows by itself, a drip does not."""
        if self.state is State.STOPPED:
            return None
        left_min = self.values.get(terms.TIME_REMAINING)
        if left_min is not None and not self.is_drip:
            left_s = max(0.0, left_min * 60 - (now_us - self.left_at_us) / 1e6)
            return Forecast(left_s, left_s, left_s, self.values.get(terms.FLOW_RATE, 0.0))
        told = self.track.forecast()
        if told is None:
            return None
        sampled_s = self.track.samples[-1].at_s - (self.track.skew_s or 0.0)
        passed_s = max(0.0, now_us / 1e6 - sampled_s)
        return Forecast(
            max(0.0, told.left_s - passed_s),
            max(0.0, told.early_s - passed_s),
            max(0.0, told.late_s - passed_s),
            told.flow_ml_h,
        )

    # Across a restart

    def persist(self) -> bytes:
        """The value of its state delta."""
        return msgspec.msgpack.encode(
            Saved(
                self.device_id,
                self.kind,
                self.driver,
                self.ward,
                self.bed,
                self.drug,
                self.values,
                self.words,
                self.heard_us,
                self.event,
                self.event_us,
                self.left_at_us,
                tuple(tuple(each) for each in self.track.samples),  # type: ignore[misc]
                self.track.skew_s,
            )
        )

    @classmethod
    def revive(cls, value: bytes) -> Infusion:
        """What :meth:`persist` wrote.

        Raises:
            msgspec.MsgspecError: it didn't.
        """
        saved = _decode(value)
        found = cls(saved.device_id)
        for name in ("kind", "driver", "ward", "bed", "drug", "values", "words", "heard_us"):
            setattr(found, name, getattr(saved, name))
        found.event, found.event_us = saved.event, saved.event_us
        found.left_at_us = saved.left_at_us
        found.track = Track(tuple(Sample(*each) for each in saved.samples))
        found.track.skew_s = saved.skew_s
        if found.track.samples:
            found.spoken_us = int(found.track.samples[-1].at_s * 1e6)
        return found


def concerns(codes: tuple[int, ...]) -> bool:
    """Whether reports with these numbers may be about an infusion: those without any may be."""
    return not codes or not NUMBERS.isdisjoint(codes)


def tells(report: Report) -> bool:
    """Whether a report that :func:`concerns` says is about an infusion."""
    if report.codes:
        return True
    return any(each.code in WORDS for each in report.enumerations) or any(
        each.code in TEXTS for each in report.texts
    )


_SYRINGE_ACTUAL: Final = terms.code("MDC_VOL_SYRINGE_ACTUAL")
_decode: Any = msgspec.msgpack.Decoder(Saved).decode
