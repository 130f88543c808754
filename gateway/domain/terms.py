"""The metrics that the gateway knows: code, REFID, unit, plausible range, label.

Codes and REFIDs are IEEE 11073-10101's (context-free: partition << 16 | term); units are
UCUM. A metric has one unit inside Wardgate: drivers convert on the way in. Codes of partition
2 with a term of 0xF000 and above are ours (IEEE 11073-10101 leaves F000..FFFF to private use).

The plausible range is what a sensor in order can report: a value outside it is kept and marked
INVALID. It is not an alarm limit.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from gateway.domain.labels import UNLABELLED, DataClass, Label


class Metric(NamedTuple):
    """One row of the table."""

    code: int
    refid: str
    unit: str
    name: str
    low: float
    high: float
    label: Label
    age: bool = False
    """A person's age, in years: generalising makes everything over 89 one."""


_VITAL = Label(DataClass.HEALTH_STATUS, 3)
_THERAPY = Label(DataClass.MEDICAL_APPLICATION, 3)
_RESOURCE = Label(DataClass.HEALTH_RESOURCES, 2)
_FREE_TEXT = Label(DataClass.MEDICAL_APPLICATION, 4)
_PERSON = Label(DataClass.PERSONAL_ATTRIBUTES, 3)
_PRIVATE = 2 << 16 | 0xF000

HEART_RATE = 147842
PULSE_RATE = 149530
SPO2 = 150456
RESP_RATE = 151562
ABP_SYS, ABP_DIA, ABP_MEAN = 150037, 150038, 150039
NIBP_SYS, NIBP_DIA, NIBP_MEAN = 150021, 150022, 150023
TEMPERATURE = 150344
ETCO2 = 151708
PERFUSION_INDEX = 150488
FLOW_RATE = 158014
PROGRAMMED_RATE = 157784
VOLUME_TO_BE_INFUSED = 157884
VOLUME_REMAINING = 157872
VOLUME_INFUSED = 157993
TIME_REMAINING = 157916
BATTERY = 67996
DRUG_NAME = 184514
AGE = 68056
DROP_RATE = _PRIVATE | 0x001
DROP_COUNT = _PRIVATE | 0x002
DROP_FACTOR = _PRIVATE | 0x003
ELAPSED = _PRIVATE | 0x004
CLAMP = _PRIVATE | 0x005
RSSI = _PRIVATE | 0x006
DEVICE_ALARM = _PRIVATE | 0x007
BAG_WEIGHT = _PRIVATE | 0x008
UPTIME = _PRIVATE | 0x009

_INF = math.inf
_ROWS = (
    Metric(HEART_RATE, "MDC_ECG_HEART_RATE", "/min", "heart rate", 0, 400, _VITAL),
    Metric(PULSE_RATE, "MDC_PULS_OXIM_PULS_RATE", "/min", "pulse rate", 1, 400, _VITAL),
    Metric(SPO2, "MDC_PULS_OXIM_SAT_O2", "%", "SpO2", 1, 100, _VITAL),
    Metric(RESP_RATE, "MDC_RESP_RATE", "/min", "respiration rate", 0, 200, _VITAL),
    Metric(ABP_SYS, "MDC_PRESS_BLD_ART_ABP_SYS", "mm[Hg]", "ABP systolic", 1, 400, _VITAL),
    Metric(ABP_DIA, "MDC_PRESS_BLD_ART_ABP_DIA", "mm[Hg]", "ABP diastolic", 1, 400, _VITAL),
    Metric(ABP_MEAN, "MDC_PRESS_BLD_ART_ABP_MEAN", "mm[Hg]", "ABP mean", 1, 400, _VITAL),
    Metric(NIBP_SYS, "MDC_PRESS_BLD_NONINV_SYS", "mm[Hg]", "NIBP systolic", 1, 400, _VITAL),
    Metric(NIBP_DIA, "MDC_PRESS_BLD_NONINV_DIA", "mm[Hg]", "NIBP diastolic", 1, 400, _VITAL),
    Metric(NIBP_MEAN, "MDC_PRESS_BLD_NONINV_MEAN", "mm[Hg]", "NIBP mean", 1, 400, _VITAL),
    Metric(TEMPERATURE, "MDC_TEMP", "Cel", "temperature", 10, 50, _VITAL),
    Metric(ETCO2, "MDC_CONC_AWAY_CO2_ET", "mm[Hg]", "end-tidal CO2", 0, 200, _VITAL),
    Metric(PERFUSION_INDEX, "MDC_BLD_PERF_INDEX", "%", "perfusion index", 0, 100, _VITAL),
    Metric(FLOW_RATE, "MDC_FLOW_FLUID_PUMP_CURRENT", "mL/h", "infusion rate", 0, 2000, _THERAPY),
    Metric(PROGRAMMED_RATE, "MDC_FLOW_FLUID_PUMP", "mL/h", "prescribed rate", 0, 2000, _THERAPY),
    Metric(VOLUME_TO_BE_INFUSED, "MDC_VOL_FLUID_TBI", "mL", "volume to infuse", 0, 1e4, _THERAPY),
    Metric(VOLUME_REMAINING, "MDC_VOL_FLUID_TBI_REMAIN", "mL", "volume left", 0, 1e4, _THERAPY),
    Metric(VOLUME_INFUSED, "MDC_VOL_FLUID_DELIV_TOTAL", "mL", "volume infused", 0, 1e5, _THERAPY),
    Metric(TIME_REMAINING, "MDC_TIME_PD_REMAIN", "min", "time remaining", 0, 1e5, _THERAPY),
    Metric(BATTERY, "MDC_BATT_CHARGE", "%", "battery", 0, 100, _RESOURCE),
    Metric(DRUG_NAME, "MDC_DRUG_NAME_LABEL", "", "drug", -_INF, _INF, _FREE_TEXT),
    Metric(AGE, "MDC_ATTR_PT_AGE", "a", "age", 0, 150, _PERSON, age=True),
    Metric(DROP_RATE, "WARDGATE_DROP_RATE", "[drp]/min", "drop rate", 0, 1000, _THERAPY),
    Metric(DROP_COUNT, "WARDGATE_DROP_COUNT", "[drp]", "drops", 0, 1e9, _THERAPY),
    Metric(DROP_FACTOR, "WARDGATE_DROP_FACTOR", "[drp]/mL", "drip factor", 1, 100, _THERAPY),
    Metric(ELAPSED, "WARDGATE_TIME_ELAPSED", "s", "time elapsed", 0, 1e8, _THERAPY),
    Metric(CLAMP, "WARDGATE_CLAMP_STATE", "", "clamp", -_INF, _INF, _THERAPY),
    Metric(RSSI, "WARDGATE_RSSI", "dB[mW]", "signal strength", -150, 20, _RESOURCE),
    Metric(DEVICE_ALARM, "WARDGATE_DEVICE_ALARM", "", "device alarm", -_INF, _INF, _THERAPY),
    Metric(BAG_WEIGHT, "WARDGATE_BAG_WEIGHT", "g", "bag weight", 0, 2e4, _THERAPY),
    Metric(UPTIME, "WARDGATE_TIME_UP", "s", "time since start", 0, 1e9, _RESOURCE),
)

METRICS: dict[int, Metric] = {row.code: row for row in _ROWS}


def register(metric: Metric) -> None:
    """Add a driver's own metric at import time.

    Raises:
        ValueError: the code is taken by a metric with another unit or REFID, or it is an age in
            another unit than years.
    """
    if metric.age and metric.unit != "a":
        raise ValueError(f"metric {metric.code} is an age in {metric.unit!r}: ages are in years")
    known = METRICS.setdefault(metric.code, metric)
    if (known.refid, known.unit) != (metric.refid, metric.unit):
        raise ValueError(f"metric {metric.code} is already {known.refid} in {known.unit}")


def metric(code: int) -> Metric:
    """The row of ``code``; an unknown code is unlabelled, hence treated as identifying."""
    known = METRICS.get(code)
    return known or Metric(code, f"MDC_{code}", "", str(code), -_INF, _INF, UNLABELLED)
