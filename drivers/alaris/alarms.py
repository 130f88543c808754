"""The pump's alarms, as data.

The names are those that the pump says; mdpnp published the list. What each of them is follows from
the name and the alarms of the operator's manual ("Directions for Use", Alarms and Warnings), not
from a specification: README, "Unverified". Which priority an alarm has is ours: whatever stops or
prevents the infusion is HIGH.
"""

from __future__ import annotations

from typing import Final

from drivers.infusion import codes
from gateway.domain.records import AlarmKind, AlarmPriority, DeviceAlarm

_LOW, _MEDIUM, _HIGH = AlarmPriority.LOW, AlarmPriority.MEDIUM, AlarmPriority.HIGH
_TECHNICAL, _ADVISORY = AlarmKind.TECHNICAL, AlarmKind.ADVISORY

_ROWS: Final = (
    ("AL_ACDIS", "mains_lost", codes.POWER_LOSS, _LOW, _TECHNICAL),
    ("AL_CALLB", "left_on_hold", codes.IDLE, _LOW, _ADVISORY),
    ("AL_COMTO", "communication_timed_out", codes.COMMUNICATION_CHANGED, _MEDIUM, _TECHNICAL),
    ("AL_DRDIS", "drive_disengaged", codes.PLUNGER_POSITION, _HIGH, _TECHNICAL),
    ("AL_EMBAT", "battery_empty", codes.BATTERY_DEPLETED, _HIGH, _TECHNICAL),
    ("AL_EOIKV", "end_of_infusion_kvo", codes.SYRINGE_EMPTY, _HIGH, _TECHNICAL),
    ("AL_EOIST", "end_of_infusion", codes.SYRINGE_EMPTY, _HIGH, _TECHNICAL),
    ("AL_FAULT", "internal_malfunction", codes.MALFUNCTION, _HIGH, _TECHNICAL),
    ("AL_LBTAC", "battery_low_on_mains", codes.BATTERY_LOW, _LOW, _TECHNICAL),
    ("AL_LDSCN", "line_disconnected", codes.DISCONNECTED, _HIGH, _TECHNICAL),
    ("AL_LWBAT", "battery_low", codes.BATTERY_LOW, _MEDIUM, _TECHNICAL),
    ("AL_NEOIN", "near_end_of_infusion", codes.NEARLY_COMPLETE, _LOW, _ADVISORY),
    ("AL_OCCLU", "occlusion", codes.OCCLUSION, _HIGH, _TECHNICAL),
    ("AL_PRDSC", "pressure_disc", codes.PRESSURE_DISC_POSITION, _MEDIUM, _TECHNICAL),
    ("AL_RHIGH", "rate_too_high", codes.HIGH, _MEDIUM, _TECHNICAL),
    ("AL_SYRCO", "check_syringe", codes.BARREL_CAPTURE, _HIGH, _TECHNICAL),
    ("AL_TITCA", "titration_cancelled", codes.CHECK_SETTINGS, _LOW, _ADVISORY),
    ("AL_TITNC", "titration_not_confirmed", codes.CHECK_SETTINGS, _MEDIUM, _TECHNICAL),
    ("AL_VTBIC", "volume_infused", codes.VOLUME_COMPLETE, _MEDIUM, _TECHNICAL),
    ("AL_VTBIK", "volume_infused_kvo", codes.VOLUME_COMPLETE, _HIGH, _TECHNICAL),
    ("AL_VTBIS", "volume_infused_stopped", codes.VOLUME_COMPLETE, _HIGH, _TECHNICAL),
)
ALARMS: Final = {
    name: DeviceAlarm(condition, code, priority, kind, condition.replace("_", " "))
    for name, condition, code, priority, kind in _ROWS
}
"""By the pump's name."""


def device_alarm(name: str) -> DeviceAlarm:
    """What the alarm is; of one in no table, that there is one: nothing may be missed."""
    known = ALARMS.get(name)
    if known is not None:
        return known
    condition = name.lower()
    return DeviceAlarm(condition, codes.UNKNOWN, _HIGH, _TECHNICAL, f"pump alarm {name}")
