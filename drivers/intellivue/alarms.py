"""The monitor's alarm lists -> AlarmSnapshot.

A monitor lists every alarm it shows, patient alarms (P list) apart from technical ones (T list,
"INOPs"). Priorities are the monitor's colours: red is HIGH, yellow MEDIUM, short yellow and
cyan LOW. An entry's source is a metric where its code is even, an object where it is odd; its
code is the event's.

Rules: a snapshot is made only when both lists are known, since a condition that is missing in
it has ended; an alarm of a monitor in demo mode is an advisory and says so.
"""

from __future__ import annotations

from typing import Final

from drivers.intellivue.attributes import AlarmEntry, Attributes
from drivers.intellivue.metrics import context_free, metric_code
from drivers.intellivue.nomenclature import (
    PARTITION_EVENTS,
    PARTITION_OBJECTS,
    AlertState,
    AlertType,
    Attribute,
)
from gateway.domain import terms
from gateway.domain.records import AlarmKind, AlarmPriority, DeviceAlarm

ALARMS_MAX = 64
"""Of one snapshot: a monitor shows a few dozen at most; the gravest come first."""
TEXT_CHARACTERS_MAX = 120

EVENTS: Final = {
    4: "absent",
    22: "disconnected",
    38: "fail",
    40: "high",
    58: "irregular",
    62: "low",
    70: "malfunction",
    74: "noisy",
    110: "unavailable",
    136: "breath_absent",
    194: "battery_low",
    198: "battery_problem",
    230: "cuff_not_deflated",
    232: "cuff_overpressure",
    242: "equipment_malfunction",
    250: "tube_occluded",
    268: "lead_disconnected",
    274: "leads_off",
    308: "sensor_disconnected",
    310: "sensor_malfunction",
    336: "transducer_disconnected",
    338: "transducer_malfunction",
    352: "measurement_disconnected",
    356: "measurement_failed",
    364: "over_range",
    366: "under_range",
    380: "signal_low",
    384: "signal_unanalysable",
    436: "interference",
    3072: "apnea",
    3076: "asystole",
    3078: "beat_missed",
    3082: "bigeminy",
    3086: "extreme_bradycardia",
    3102: "pacer_no_capture",
    3108: "pause",
    3122: "extreme_tachycardia",
    3158: "irregular_rate",
    3182: "pacer_not_pacing",
    3192: "sv_tachycardia",
    3206: "pvc_r_on_t",
    3208: "pvc_multiform",
    3210: "pvc_pair",
    3212: "pvc_run",
    3220: "ventricular_rhythm",
    3224: "ventricular_tachycardia",
    3236: "trigeminy",
    3246: "desaturation",
    3252: "pvc_rate",
    6144: "alarms_off",
    6228: "standby",
    6256: "module_disconnected",
    61444: "ventricular_fibrillation",
    61766: "bradycardia",
    61768: "tachycardia",
    61830: "extreme_high",
    61832: "extreme_low",
    61896: "atrial_fibrillation",
}

_GRADES: Final = (
    (AlertType.P_HIGH, AlarmPriority.HIGH, AlarmKind.PHYSIOLOGICAL),
    (AlertType.T_HIGH, AlarmPriority.HIGH, AlarmKind.TECHNICAL),
    (AlertType.P_MEDIUM, AlarmPriority.MEDIUM, AlarmKind.PHYSIOLOGICAL),
    (AlertType.T_MEDIUM, AlarmPriority.MEDIUM, AlarmKind.TECHNICAL),
    (AlertType.P_LOW, AlarmPriority.LOW, AlarmKind.PHYSIOLOGICAL),
    (AlertType.T_LOW, AlarmPriority.LOW, AlarmKind.TECHNICAL),
)


class AlarmLists:
    """Both lists of the monitor's alert monitor object, as last seen."""

    def __init__(self) -> None:
        self._lists: dict[int, tuple[AlarmEntry, ...]] = {}

    def update(self, attributes: Attributes) -> tuple[DeviceAlarm, ...] | None:
        """Take an alert monitor's attributes; return all conditions, or None while unknown."""
        for attribute in (Attribute.P_ALARM_LIST, Attribute.T_ALARM_LIST):
            entries = attributes.get(attribute)
            if isinstance(entries, tuple):
                self._lists[attribute] = tuple(e for e in entries if isinstance(e, AlarmEntry))
        if len(self._lists) < 2:
            return None
        shown: dict[str, DeviceAlarm] = {}
        for entries in self._lists.values():
            for entry in entries:
                alarm = device_alarm(entry)
                if alarm is None:
                    continue
                other = shown.get(alarm.condition)
                if other is None or alarm.priority > other.priority:
                    shown[alarm.condition] = alarm
        gravest_first = sorted(shown.values(), key=lambda a: (-a.priority, a.condition))
        return tuple(gravest_first[:ALARMS_MAX])


def device_alarm(entry: AlarmEntry) -> DeviceAlarm | None:
    """One entry; None where the list says that there is no alarm (type 0)."""
    grade = next((grade for grade in _GRADES if entry.alert_type & grade[0]), None)
    if grade is None:
        return None
    _, priority, kind = grade
    event = entry.code if entry.code in EVENTS else entry.code & ~1
    word = EVENTS.get(event, f"event_{event:04x}")
    if entry.code & 1 and event != entry.code:
        source = f"object_{context_free(PARTITION_OBJECTS, entry.source)}"
        about = ""
    else:
        code = metric_code(entry.source)
        row = terms.METRICS.get(code)
        source = row.name.lower().replace(" ", "_") if row else f"metric_{code}"
        about = row.name if row else ""
    text = entry.text[:TEXT_CHARACTERS_MAX] or f"{about} {word}".replace("_", " ").strip()
    if entry.state & (AlertState.DEMO | AlertState.TEST):
        kind = AlarmKind.ADVISORY
        text = f"demo: {text}"
    return DeviceAlarm(
        f"{source}.{word}", context_free(PARTITION_EVENTS, event), priority, kind, text
    )
