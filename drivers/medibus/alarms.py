"""The alarms of both code pages, as data, and what is shown of them -> AlarmSnapshot.

A device shows all alarms of a code page at once, each with a priority from 1 to 31. What an alarm
is about, and whether it is the patient's or the device's, is told by its code.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from drivers.medibus.replies import AlarmEntry
from drivers.ventilation.codes import event
from gateway.domain.records import AlarmKind, AlarmPriority, DeviceAlarm

CAUTION_FROM, WARNING_FROM, TONE_FROM = 11, 25, 7
"""Priorities: to 6 advisories without a tone, to 10 with one, to 24 cautions, to 31 warnings."""
ALARMS_MAX: Final = 64
"""Of one snapshot; the gravest come first."""

_PATIENT, _TECHNICAL = AlarmKind.PHYSIOLOGICAL, AlarmKind.TECHNICAL
_ABSENT, _DISCONNECTED, _HIGH, _LOW = map(event, (4, 22, 40, 62))
_MALFUNCTION, _OCCLUDED, _BATTERY_LOW = map(event, (70, 80, 194))
_AGENT, _SUPPLY, _INOPERABLE, _POWER = map(event, (258, 296, 358, 734))
_APNEA, _ALARMS_OFF, _CHECK = map(event, (3072, 6144, 6658))

_PAGE_1 = (
    (0x00, "apnea_combined_source", _APNEA, _PATIENT),
    (0x01, "no_spo2_pulse", _ABSENT, _PATIENT),
    (0x02, "spo2_pulse.low", _LOW, _PATIENT),
    (0x07, "spo2.low", _LOW, _PATIENT),
    (0x08, "inspired_o2.low", _LOW, _PATIENT),
    (0x09, "inspired_halothane.high", _HIGH, _PATIENT),
    (0x0B, "inspired_enflurane.high", _HIGH, _PATIENT),
    (0x0C, "inspired_isoflurane.high", _HIGH, _PATIENT),
    (0x0D, "apnea_no_co2_fluctuation", _APNEA, _PATIENT),
    (0x0E, "apnea_no_volume_exhaled", _APNEA, _PATIENT),
    (0x0F, "apnea_pressure_absent", _APNEA, _PATIENT),
    (0x10, "airway_pressure.high", _HIGH, _PATIENT),
    (0x11, "check_gas_supply", _SUPPLY, _TECHNICAL),
    (0x12, "check_air_supply", _LOW, _TECHNICAL),
    (0x13, "check_o2_supply", _SUPPLY, _TECHNICAL),
    (0x19, "minute_volume.low", _LOW, _PATIENT),
    (0x1E, "spo2_pulse.high", _HIGH, _PATIENT),
    (0x1F, "inspired_sevoflurane.high", _HIGH, _PATIENT),
    (0x22, "spo2.high", _HIGH, _PATIENT),
    (0x24, "inspired_desflurane.high", _HIGH, _PATIENT),
    (0x27, "end_tidal_co2.low", _LOW, _PATIENT),
    (0x28, "end_tidal_co2.high", _HIGH, _PATIENT),
    (0x29, "inspired_halothane.low", _LOW, _PATIENT),
    (0x2A, "inspired_enflurane.low", _LOW, _PATIENT),
    (0x2B, "inspired_isoflurane.low", _LOW, _PATIENT),
    (0x2C, "inspired_desflurane.low", _LOW, _PATIENT),
    (0x32, "inspired_sevoflurane.low", _LOW, _PATIENT),
    (0x33, "volume_not_constant", _LOW, _PATIENT),
    (0x35, "spo2_sensor_disconnected_or_fault", _DISCONNECTED, _TECHNICAL),
    (0x37, "percent_o2.high", _HIGH, _PATIENT),
    (0x3A, "assisted_breath_long", _HIGH, _PATIENT),
    (0x3C, "inspired_co2.high", _HIGH, _PATIENT),
    (0x3D, "co2_patient_sensor_line_blocked", _OCCLUDED, _TECHNICAL),
    (0x40, "tachypnea_alarm_disabled", _ALARMS_OFF, _TECHNICAL),
    (0x42, "check_flow_sensor", _CHECK, _TECHNICAL),
    (0x4B, "battery_low", _BATTERY_LOW, _TECHNICAL),
    (0x57, "co2_alarm_disabled", _ALARMS_OFF, _TECHNICAL),
    (0x5B, "oximeter_alarm_disabled", _ALARMS_OFF, _TECHNICAL),
    (0x5E, "volume_alarm_disabled", _ALARMS_OFF, _TECHNICAL),
    (0x63, "co2_monitor_in_low_accuracy_mode", _LOW, _TECHNICAL),
    (0x64, "co2_window_occluded", _OCCLUDED, _TECHNICAL),
    (0x65, "primary_speaker_failure", _MALFUNCTION, _TECHNICAL),
    (0x66, "mixed_agent_detected", _AGENT, _TECHNICAL),
    (0x67, "multigas_monitor_device_failure", _MALFUNCTION, _TECHNICAL),
    (0x68, "oximeter_device_failure", _MALFUNCTION, _TECHNICAL),
    (0x69, "n2o_measurement_inoperable", _INOPERABLE, _TECHNICAL),
    (0x6A, "co2_device_failure", _MALFUNCTION, _TECHNICAL),
    (0x6E, "agent_measurement_inoperable", _INOPERABLE, _TECHNICAL),
    (0x78, "communication_error_port_2", _MALFUNCTION, _TECHNICAL),
    (0x79, "communication_error_port_1", _MALFUNCTION, _TECHNICAL),
    (0x7C, "internal_communication_error", _MALFUNCTION, _TECHNICAL),
    (0x90, "respiratory_rate.high", _HIGH, _PATIENT),
    (0x98, "apnea_detected", _APNEA, _PATIENT),
    (0x9A, "ventilator_disconnected", _DISCONNECTED, _TECHNICAL),
    (0x9B, "minute_volume.high", _HIGH, _PATIENT),
    (0x9F, "ventilator_problem", _MALFUNCTION, _TECHNICAL),
    (0xA0, "ventilator_communication_lost", _MALFUNCTION, _TECHNICAL),
    (0xA1, "inspired_o2_measurement_inoperable", _INOPERABLE, _TECHNICAL),
    (0xA3, "mean_airway_pressure_negative", _LOW, _PATIENT),
    (0xA4, "volume_measurement_inoperable", _INOPERABLE, _TECHNICAL),
    (0xAC, "minute_volume_alarm_disabled", _ALARMS_OFF, _TECHNICAL),
    (0xAD, "pressure_measurement_inoperable", _INOPERABLE, _TECHNICAL),
    (0xB0, "check_expiration_valve", _CHECK, _TECHNICAL),
    (0xB7, "too_high_respirator_device_temperature", _HIGH, _TECHNICAL),
    (0xB8, "airway_temperature_measurement_inoperable", _INOPERABLE, _TECHNICAL),
    (0xB9, "check_airway_temperature_sensor", _CHECK, _TECHNICAL),
    (0xBA, "airway_temperature.high", _HIGH, _PATIENT),
    (0xBB, "sigh_mode_active", _CHECK, _TECHNICAL),
    (0xBC, "breathing_system_vented", _CHECK, _TECHNICAL),
    (0xBD, "check_o2_supply", _SUPPLY, _TECHNICAL),
    (0xBE, "o2_measurement_inoperable", _INOPERABLE, _TECHNICAL),
    (0xBF, "inspired_o2.high", _HIGH, _PATIENT),
    (0xC0, "inspired_o2.low", _LOW, _PATIENT),
    (0xC1, "flow_measurement_inoperable", _INOPERABLE, _TECHNICAL),
    (0xC2, "gas_mixer_inoperable", _INOPERABLE, _TECHNICAL),
    (0xC3, "time_limited_respiratory_volume", _LOW, _PATIENT),
    (0xC4, "pressure_limited_respiratory_volume", _LOW, _PATIENT),
    (0xC5, "high_respirator_device_temperature", _HIGH, _TECHNICAL),
    (0xC6, "respirator_synchronization_inoperable", _INOPERABLE, _TECHNICAL),
    (0xC7, "ventilator_failed_to_cycle", _MALFUNCTION, _TECHNICAL),
    (0xC8, "fresh_gas_delivery_failure", _MALFUNCTION, _TECHNICAL),
    (0xC9, "internal_temperature_high", _HIGH, _TECHNICAL),
    (0xCA, "fan_failure", _MALFUNCTION, _TECHNICAL),
    (0xD9, "co2_sensor_disconnected_or_fault", _DISCONNECTED, _TECHNICAL),
    (0xDA, "peep.high", _HIGH, _PATIENT),
    (0xE8, "tidal_volume.high", _HIGH, _PATIENT),
    (0xEA, "neonatal_volume_measurement_inoperable", _INOPERABLE, _TECHNICAL),
    (0xED, "check_n2o_supply", _LOW, _TECHNICAL),
    (0xEE, "two_agents_detected", _AGENT, _TECHNICAL),
    (0xEF, "power_fail", _POWER, _TECHNICAL),
    (0xF1, "check_setting_of_pressure_max", _CHECK, _TECHNICAL),
    (0xF4, "o2_safety_flow_open_during_normal_operation", _CHECK, _TECHNICAL),
    (0xF7, "inspired_co2_alarms_off", _ALARMS_OFF, _TECHNICAL),
    (0xF8, "peep_sustained.high", _HIGH, _PATIENT),
)
_PAGE_2 = (
    (0x31, "o2_cylinder_pressure_low_without_wall_supply", _SUPPLY, _TECHNICAL),
    (0x32, "o2_cylinder_empty_without_wall_supply", _SUPPLY, _TECHNICAL),
    (0x33, "o2_cylinder_not_connected", _DISCONNECTED, _TECHNICAL),
    (0x34, "n2o_cylinder_empty", _LOW, _TECHNICAL),
    (0x35, "n2o_delivery_failure", _MALFUNCTION, _TECHNICAL),
    (0x36, "o2_delivery_failure", _MALFUNCTION, _TECHNICAL),
    (0x37, "air_delivery_failure", _MALFUNCTION, _TECHNICAL),
    (0x38, "set_fresh_gas_flow_not_attained", _LOW, _TECHNICAL),
    (0x39, "internal_external_switchover_valve_error", _MALFUNCTION, _TECHNICAL),
    (0x3A, "inspired_n2o_high", _HIGH, _PATIENT),
    (0x6A, "circle_occluded", _OCCLUDED, _PATIENT),
    (0x8D, "breathing_system_disconnected", _DISCONNECTED, _TECHNICAL),
    (0x91, "loss_of_data", _MALFUNCTION, _TECHNICAL),
    (0x93, "apnea_ventilation", _APNEA, _PATIENT),
    (0x9C, "circle_leakage", _CHECK, _TECHNICAL),
    (0xA0, "ventilator_not_in_locked_position", _CHECK, _TECHNICAL),
    (0xA1, "power_supply_error", _MALFUNCTION, _TECHNICAL),
    (0xA2, "expired_halothane.high", _HIGH, _PATIENT),
    (0xA3, "expired_enflurane.high", _HIGH, _PATIENT),
    (0xA4, "expired_isoflurane.high", _HIGH, _PATIENT),
    (0xA5, "expired_desflurane.high", _HIGH, _PATIENT),
    (0xA6, "expired_sevoflurane.high", _HIGH, _PATIENT),
    (0xA7, "set_tidal_volume_not_attained", _LOW, _PATIENT),
    (0xA8, "inspired_flow_sensor_inoperable", _INOPERABLE, _TECHNICAL),
    (0xA9, "setting_cancelled", _CHECK, _TECHNICAL),
    (0xAC, "fresh_gas_flow_too_high", _HIGH, _TECHNICAL),
    (0xAD, "fresh_gas_flow_active", _CHECK, _TECHNICAL),
    (0xAF, "o2_cylinder_open", _CHECK, _TECHNICAL),
    (0xB0, "n2o_cylinder_open", _CHECK, _TECHNICAL),
    (0xB1, "air_cylinder_open", _CHECK, _TECHNICAL),
    (0xB2, "n2o_cylinder_sensor_not_connected", _DISCONNECTED, _TECHNICAL),
    (0xB3, "air_cylinder_sensor_not_connected", _DISCONNECTED, _TECHNICAL),
    (0xB4, "o2_cylinder_sensor_not_connected", _DISCONNECTED, _TECHNICAL),
    (0xB5, "air_cylinder_pressure_low", _LOW, _TECHNICAL),
    (0xC7, "air_fresh_gas_flow_measurement_inoperable", _INOPERABLE, _TECHNICAL),
    (0xC8, "o2_fresh_gas_flow_measurement_inoperable", _INOPERABLE, _TECHNICAL),
    (0xC9, "n2o_fresh_gas_flow_measurement_inoperable", _INOPERABLE, _TECHNICAL),
    (0xCA, "no_air_supply", _LOW, _TECHNICAL),
    (0xCB, "no_n2o_supply", _LOW, _TECHNICAL),
)


class _Meaning(NamedTuple):
    condition: str
    event: int
    kind: AlarmKind


MEANINGS: Final = {
    (page, code): _Meaning(condition, happened, kind)
    for page, rows in ((1, _PAGE_1), (2, _PAGE_2))
    for code, condition, happened, kind in rows
}
"""By code page and code."""
UNDEFINED: Final = event(112)
"""MDC_EVT_UNDEF: of an alarm that is in no table."""


def priority_of(number: int) -> AlarmPriority:
    """IEC 60601-1-8's, of the device's 1 to 31; what is out of range is taken for the gravest."""
    if 1 <= number < CAUTION_FROM:
        return AlarmPriority.LOW
    return AlarmPriority.MEDIUM if 1 <= number < WARNING_FROM else AlarmPriority.HIGH


def device_alarms(pages: Iterable[tuple[int, Iterable[AlarmEntry]]]) -> tuple[DeviceAlarm, ...]:
    """What both pages show; the device's own phrase is its language's, and is not kept."""
    shown: dict[str, DeviceAlarm] = {}
    for page, found in pages:
        for entry in found:
            meaning = MEANINGS.get((page, entry.code))
            if meaning is None:
                meaning = _Meaning(f"alarm_{page}_{entry.code:02x}", UNDEFINED, _TECHNICAL)
            priority = priority_of(entry.priority)
            kind = AlarmKind.ADVISORY if 1 <= entry.priority < TONE_FROM else meaning.kind
            known = shown.get(meaning.condition)
            if known is None or priority > known.priority:
                text = meaning.condition.replace("_", " ").replace(".", " ")
                shown[meaning.condition] = DeviceAlarm(
                    meaning.condition, meaning.event, priority, kind, text
                )
    gravest_first = sorted(shown.values(), key=lambda each: (-each.priority, each.condition))
    return tuple(gravest_first[:ALARMS_MAX])
