"""The metrics that Wardgate knows: code, REFID, unit, plausible range, label, names.

The table is ``terminology/metrics.tsv``; a driver refers to a row by its REFID
(``terms.code("MDC_RESP_RATE")``) or by its code, and has no table of its own. What the columns
mean, and how a row is added, stands in ``terminology/README.md``.

A metric has one unit inside Wardgate: drivers convert on the way in
(:mod:`gateway.domain.units`). The plausible range is what a sensor in order can report: a value
outside it is kept and marked INVALID. It is not an alarm limit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from gateway.domain.labels import UNLABELLED, DataClass, Label

TABLE: Final = Path(__file__).with_name("terminology") / "metrics.tsv"
COLUMNS: Final = (
    "code",
    "refid",
    "unit",
    "low",
    "high",
    "class",
    "level",
    "english",
    "chinese",
)


class Metric(NamedTuple):
    """One row of the table."""

    code: int
    refid: str
    unit: str
    """UCUM; empty where it is no number (an enumeration, a text)."""
    name: str
    low: float
    high: float
    label: Label
    age: bool = False
    """A person's age, in years: generalising makes everything over 89 one."""
    chinese: str = ""


_AGES: Final = frozenset(("MDC_ATTR_PT_AGE",))


def rows_of(document: str) -> Iterator[Metric]:
    """The rows of a table in the form of ``metrics.tsv``.

    Raises:
        ValueError: a line that is none of ours, with its number.
    """
    head, *lines = document.splitlines()
    if tuple(head.split("\t")) != COLUMNS:
        raise ValueError(f"line 1: the columns are not {', '.join(COLUMNS)}")
    for number, line in enumerate(lines, start=2):
        try:
            code, refid, unit, low, high, data_class, level, english, chinese = line.split("\t")
            yield Metric(
                int(code),
                refid,
                unit,
                english,
                float(low or -math.inf),
                float(high or math.inf),
                Label(DataClass[data_class.upper()], int(level)),
                refid in _AGES,
                chinese,
            )
        except (ValueError, KeyError) as error:
            raise ValueError(f"line {number}: {error}") from error


METRICS: dict[int, Metric] = {row.code: row for row in rows_of(TABLE.read_text("utf-8"))}
"""By code; third parties' drivers add theirs."""
_CODES: dict[str, int] = {row.refid: row.code for row in METRICS.values()}


def register(metric: Metric) -> None:
    """Add a third party's own metric, when its driver is imported.

    Raises:
        ValueError: the code is taken by a metric with another unit or REFID, the REFID by one with
            another code, or it is an age in another unit than years.
    """
    if metric.age and metric.unit != "a":
        raise ValueError(f"metric {metric.code} is an age in {metric.unit!r}: ages are in years")
    known = METRICS.setdefault(metric.code, metric)
    if (known.refid, known.unit) != (metric.refid, metric.unit):
        raise ValueError(f"metric {metric.code} is already {known.refid} in {known.unit}")
    if _CODES.setdefault(metric.refid, metric.code) != metric.code:
        raise ValueError(f"metric {metric.refid} is already {_CODES[metric.refid]}")


def metric(code: int) -> Metric:
    """The row of ``code``; an unknown code is unlabelled, hence treated as identifying."""
    known = METRICS.get(code)
    return known or Metric(code, f"MDC_{code}", "", str(code), -math.inf, math.inf, UNLABELLED)


def code(refid: str) -> int:
    """The code of a REFID that is in the table.

    Raises:
        LookupError: it is not; to a driver's tables this is a mistake of whoever wrote them.
    """
    found = _CODES.get(refid)
    if found is None:
        raise LookupError(f"no metric has the REFID {refid}")
    return found


# What the gateway itself, or more than one driver, speaks of.
HEART_RATE = code("MDC_ECG_HEART_RATE")
PULSE_RATE = code("MDC_PULS_OXIM_PULS_RATE")
SPO2 = code("MDC_PULS_OXIM_SAT_O2")
RESP_RATE = code("MDC_RESP_RATE")
ABP_SYS = code("MDC_PRESS_BLD_ART_ABP_SYS")
ABP_DIA = code("MDC_PRESS_BLD_ART_ABP_DIA")
ABP_MEAN = code("MDC_PRESS_BLD_ART_ABP_MEAN")
NIBP_SYS = code("MDC_PRESS_BLD_NONINV_SYS")
NIBP_DIA = code("MDC_PRESS_BLD_NONINV_DIA")
NIBP_MEAN = code("MDC_PRESS_BLD_NONINV_MEAN")
TEMPERATURE = code("MDC_TEMP")
ETCO2 = code("MDC_CONC_AWAY_CO2_ET")
PERFUSION_INDEX = code("MDC_BLD_PERF_INDEX")
FLOW_RATE = code("MDC_FLOW_FLUID_PUMP_CURRENT")
PROGRAMMED_RATE = code("MDC_FLOW_FLUID_PUMP")
VOLUME_TO_BE_INFUSED = code("MDC_VOL_FLUID_TBI")
VOLUME_REMAINING = code("MDC_VOL_FLUID_TBI_REMAIN")
VOLUME_INFUSED = code("MDC_VOL_FLUID_DELIV_TOTAL")
TIME_REMAINING = code("MDC_TIME_PD_REMAIN")
BATTERY = code("MDC_ATTR_VAL_BATT_CHARGE")
DELIVERY_STATUS = code("MDC_DEV_PUMP_CURRENT_DELIVERY_STATUS")
NOT_DELIVERING_REASON = code("MDC_DEV_PUMP_NOT_DELIVERING_REASON")
ACTIVE_SOURCE = code("MDC_DEV_PUMP_ACTIVE_SOURCES")
INFUSING_STATUS = code("MDC_PUMP_INFUSING_STATUS")
INFUSION_EVENT = code("MDC_ATTR_EVT_COND")
DRUG_NAME = code("MDC_DRUG_NAME_LABEL")
AGE = code("MDC_ATTR_PT_AGE")
DROP_RATE = code("WARDGATE_DROP_RATE")
DROP_COUNT = code("WARDGATE_DROP_COUNT")
DROP_FACTOR = code("WARDGATE_DROP_FACTOR")
ELAPSED = code("WARDGATE_TIME_ELAPSED")
CLAMP = code("WARDGATE_CLAMP_STATE")
RSSI = code("WARDGATE_RSSI")
DEVICE_ALARM = code("WARDGATE_DEVICE_ALARM")
BAG_WEIGHT = code("WARDGATE_BAG_WEIGHT")
BAG_NUMBER = code("WARDGATE_BAG_NUMBER")
BAG_VOLUME = code("MDC_VOL_FLUID_CONTAINER_START")
BAG_TARE = code("WARDGATE_BAG_TARE")
UPTIME = code("WARDGATE_TIME_UP")
