"""What senders do differently: data, looked up by who sends and by what a term is called.

A line is added when a sender was seen to do it; README.md says where each was seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from gateway.domain import terms


class Quirk(NamedTuple):
    """How one sender deviates."""

    application: str
    """How the name in MSH-3 begins."""
    x_is_a_result: bool = False
    """OBX-11 is ``X`` (no result) in every row, also where there is a value."""


QUIRKS: Final = (Quirk("PAT_DEVICE_PHILIPS", x_is_a_result=True),)
NO_QUIRK: Final = Quirk("")

CODES: Final[dict[str, int]] = {
    "MDC_ECG_CARD_BEAT_RATE": terms.HEART_RATE,
    "MDC_BATT_CHARGE": terms.BATTERY,
    "MDCX_DMC_ATTR_POWER_SOURCE": terms.code("MDC_ATTR_POWER_STAT"),
    "MDC_PUMP_CURRENT_DELIVERY_STATUS": terms.DELIVERY_STATUS,
    "MDC_PUMP_NOT_DELIVERING_REASON": terms.NOT_DELIVERING_REASON,
    "MDC_PUMP_PROGRAM_DELIVERY_MODE": terms.code("MDC_DEV_PUMP_PROGRAM_DELIVERY_MODE"),
    "MDC_PUMP_SOURCE_CHANNEL_LABEL": terms.code("MDC_DEV_PUMP_SOURCE_CHANNEL_LABEL"),
    "MDC_PUMP_ACTIVE_SOURCES": terms.ACTIVE_SOURCE,
}
"""REFIDs that we know by another name: volumetric pumps leave the ``DEV_`` of syringe pumps out."""

EVENTS: Final[dict[str, int]] = {
    "MDC_EVT_FLUID_LINE_OCCL": 196940,
    "MDC_EVT_FLOW_LO": 196950,
    "MDC_EVT_MALF": 196678,
    "MDC_EVT_POSN_PROB": 196768,
    "MDC_EVT_VOL_INFUS_NEAR_COMP": 197334,
    "MDC_EVT_VOL_INFUS_COMP": 197332,
    "MDC_EVT_BATT_LO": 196802,
    "MDC_EVT_BATT_DEPL": 197336,
    "MDC_EVT_PWR_LOSS": 197342,
    "MDC_EVT_IDLE": 197328,
    "MDC_EVT_SYRINGE_PATIENT_PRESSURE": 197212,
    "MDC_EVT_SYRINGE_PLUNGER_POSITION": 197214,
    "MDC_EVT_SYRINGE_BARREL_CAPTURE": 197218,
    "MDC_EVT_SYRINGE_BARREL_CAPTURE_FAULT": 197218,
    "MDC_EVT_SYRINGE_EMPTY": 197226,
    "MDC_EVT_PUMP_CHAMBER_BLOCKED": 197352,
    "MDC_EVT_PUMP_DELIV_START": 197288,
    "MDC_EVT_PUMP_DELIV_STOP": 197290,
    "MDC_EVT_PUMP_DELIV_COMP": 197292,
    "MDC_EVT_COMM_STATUS_CHANGE": 197294,
    "MDC_EVT_PUMP_PROG_CLEARED": 197296,
    "MDC_EVT_DEVICE_TIME_CHANGED": 197308,
}
"""Events of pumps that senders give code 0."""
NOTHING_IN_THEM: Final = frozenset(
    (
        "MDC_ATTR_PUMP_PILLAR_DETAILS",
        "MDC_ATTR_PILLAR_DETAILS",
        "MDC_ATTR_PILLAR_ASSEMBLY",
        "MDCX_DMC_ATTR_POWER_STATE",
    )
)
"""Rows that come with every message and measure nothing; what they tell is read elsewhere."""
PLACES: Final = frozenset(("MDC_ATTR_PUMP_PILLAR_DETAILS", "MDC_ATTR_PILLAR_DETAILS"))
"""Rows in whose OBX-18 a ward stands (:func:`ward_of`), and nobody's identity."""
_BEFORE_WARD: Final = 2
WARD_CHARACTERS_MAX: Final = 64


def ward_of(equipment: Sequence[Sequence[str]]) -> str:
    """The ward in the OBX-18 of a row of ``PLACES``; empty if it names none.

    B. Braun's layouts: ``~~WARD~FACILITY^^EUI^EUI-64`` and ``~~WARD^^EUI^EUI-64``, that is: the
    third repetition is the ward. Without a ward the third is empty and the fourth, the facility,
    is none.
    """
    if len(equipment) <= _BEFORE_WARD or any(any(each) for each in equipment[:_BEFORE_WARD]):
        return ""
    return equipment[_BEFORE_WARD][0].strip()[:WARD_CHARACTERS_MAX]


DIMENSIONS: Final[dict[int, tuple[int, ...]]] = {
    terms.code("MDC_RATE_DOSE"): tuple(
        map(
            terms.code,
            (
                "WARDGATE_RATE_DOSE_MASS",
                "WARDGATE_RATE_DOSE_UNITS",
                "WARDGATE_RATE_DOSE_UNITS_KG",
                "WARDGATE_RATE_DOSE_AMOUNT",
            ),
        )
    ),
    terms.code("MDC_CONC_DRUG"): (terms.code("WARDGATE_CONC_DRUG_UNITS"),),
}
"""Terms that the standard gives several dimensions: where the unit does not convert to the term's
own, to the metric of which it does."""

FACETS: Final[dict[int | str, str]] = {
    196616: "event",
    "MDC_EVT_ALARM": "event",
    68480: "source",
    68164: "source",
    "MDC_ATTR_ALERT_SOURCE": "source",
    68481: "phase",
    68165: "phase",
    "MDC_ATTR_EVENT_PHASE": "phase",
    68482: "state",
    68166: "state",
    "MDC_ATTR_ALARM_STATE": "state",
    "MDC_ATTR_ALERT_STATE": "state",
    68483: "inactivation",
    68167: "inactivation",
    "MDC_ATTR_ALARM_INACTIVATION_STATE": "inactivation",
    68484: "priority",
    68168: "priority",
    "MDC_ATTR_ALARM_PRIORITY": "priority",
    68485: "type",
    68169: "type",
    "MDC_ATTR_ALERT_TYPE": "type",
    68546: "text",
    "MDC_ATTR_ALERT_TEXT": "text",
}
"""The rows that say what an alarm is, by either of the codes in use, and by REFID where it is 0."""


def quirk_of(application: str) -> Quirk:
    """The deviations of the sender that MSH-3 names."""
    for quirk in QUIRKS:
        if application.startswith(quirk.application):
            return quirk
    return NO_QUIRK
