"""What senders do differently: data, looked up by who sends and by what a term is called.

A line is added when a sender was seen to do it; README.md says where each was seen.
"""

from __future__ import annotations

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
    "MDC_ATTR_VAL_BATT_CHARGE": terms.BATTERY,
    "MDC_BATT_CHARGE": terms.BATTERY,
    "MDC_ATTR_POWER_STAT": 67925,
    "MDC_DEV_PUMP_CURRENT_DELIVERY_STATUS": 158005,
    "MDC_DEV_PUMP_NOT_DELIVERING_REASON": 158006,
    "MDC_DEV_PUMP_PROGRAM_DELIVERY_MODE": 158008,
    "MDC_DEV_PUMP_ACTIVE_SOURCES": 158016,
    "MDC_PUMP_INFUSING_STATUS": 184519,
}
"""REFIDs that senders give code 0, or another one than we know them by."""

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
