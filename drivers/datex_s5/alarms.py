"""The monitor's alarm messages -> AlarmSnapshot.

The monitor sends the text of up to five messages and their colours: red is HIGH, yellow MEDIUM,
white LOW. It sends no code and no kind, and texts are in the monitor's language: the condition is
the text without its numbers, and words say which alarms are of the equipment. Both are data here.
"""

from __future__ import annotations

import re
from typing import Final

from drivers.datex_s5.codec import AlarmStatus
from gateway.domain import terms
from gateway.domain.records import AlarmKind, AlarmPriority, DeviceAlarm

COLOURS: Final = {1: AlarmPriority.LOW, 2: AlarmPriority.MEDIUM, 3: AlarmPriority.HIGH}
TECHNICAL_WORDS: Final = frozenset(
    [
        "battery",
        "cable",
        "calibrate",
        "check",
        "disconnected",
        "electrode",
        "error",
        "fail",
        "failure",
        "fault",
        "lead",
        "leads",
        "malfunction",
        "module",
        "noise",
        "occlusion",
        "off",
        "probe",
        "sensor",
        "transducer",
        "unplugged",
        "zero",
        "zeroed",
    ]
)
"""English words that make an alarm one of the equipment; all others are the patient's."""
_WORD: Final = re.compile(r"[^\W\d_]+")
CONDITION_CHARACTERS_MAX: Final = 64


def alarms(status: AlarmStatus) -> tuple[DeviceAlarm, ...]:
    """What is lit; a condition that is lit twice counts by its gravest colour."""
    found: dict[str, DeviceAlarm] = {}
    for shown in status.alarms:
        priority = COLOURS.get(shown.colour, AlarmPriority.HIGH)
        words = _WORD.findall(shown.text.lower())
        condition = "_".join(words)[:CONDITION_CHARACTERS_MAX] or "alarm"
        if condition in found and found[condition].priority >= priority:
            continue
        technical = not TECHNICAL_WORDS.isdisjoint(words)
        kind = AlarmKind.TECHNICAL if technical else AlarmKind.PHYSIOLOGICAL
        found[condition] = DeviceAlarm(condition, terms.DEVICE_ALARM, priority, kind, shown.text)
    return tuple(found.values())
