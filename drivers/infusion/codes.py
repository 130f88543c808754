"""The kind of report that pumps send, and the events that their alarms are.

Events are of IEEE 11073-10101's alert partition; the names are those of IHE PCD's infusion pump
profiles (enumerations ``_MDC_ATTR_AL_COND``).
"""

from __future__ import annotations

from typing import Final

KIND: Final = "infusion"
"""Of a pump's Report."""

DISCONNECTED: Final = 196630
"""MDC_EVT_DISCONN."""
HIGH: Final = 196648
"""MDC_EVT_HI."""
MALFUNCTION: Final = 196678
"""MDC_EVT_MALF."""
BATTERY_LOW: Final = 196802
"""MDC_EVT_BATT_LO."""
OCCLUSION: Final = 196940
"""MDC_EVT_FLUID_LINE_OCCL."""
PLUNGER_POSITION: Final = 197214
"""MDC_EVT_SYRINGE_PLUNGER_POSITION."""
BARREL_CAPTURE: Final = 197218
"""MDC_EVT_SYRINGE_BARREL_CAPTURE."""
PRESSURE_DISC_POSITION: Final = 197220
"""MDC_EVT_SYRINGE_PRESSURE_DISC_POSITION."""
SYRINGE_EMPTY: Final = 197226
"""MDC_EVT_SYRINGE_EMPTY."""
COMMUNICATION_CHANGED: Final = 197294
"""MDC_EVT_COMM_STATUS_CHANGE."""
IDLE: Final = 197328
"""MDC_EVT_IDLE."""
VOLUME_COMPLETE: Final = 197332
"""MDC_EVT_VOL_INFUS_COMP."""
NEARLY_COMPLETE: Final = 197334
"""MDC_EVT_VOL_INFUS_NEAR_COMP."""
BATTERY_DEPLETED: Final = 197336
"""MDC_EVT_BATT_DEPL."""
POWER_LOSS: Final = 197342
"""MDC_EVT_PWR_LOSS."""
UNKNOWN: Final = 197348
"""MDC_EVT_UNKNOWN: the device is alarming, and that is all that is known."""
CHECK_SETTINGS: Final = 203276
"""MDC_EVT_ADVIS_SETTINGS_CHK."""
