"""The fields of the replies MISCA and MISCF, as data: what each means inside Wardgate.

Numbers are the manual's: field 1 is the mnemonic, field 5 the first behind STX. A field that is in
no table here isn't used by the ventilator, or is about the patient (the ideal body weight).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from drivers.ventilation.codes import event
from gateway.domain.records import AlarmKind, AlarmPriority
from gateway.domain.terms import code

_L_TO_ML = 1000.0


class Number(NamedTuple):
    """A field that is a number: ``value * factor`` in the metric's unit."""

    field: int
    code: int
    factor: float = 1.0


class Choice(NamedTuple):
    """A field that is one of some words: what it says -> its name inside Wardgate."""

    field: int
    code: int
    words: dict[str, str]


class AlarmField(NamedTuple):
    """A field that shows one alarm; ``priority`` where the field's word does not tell it."""

    field: int
    condition: str
    event: int
    text: str
    kind: AlarmKind
    priority: AlarmPriority


class Layout(NamedTuple):
    """All that is read of one kind of reply."""

    clock: int
    """Field of the time, HH:MM."""
    date: int
    """Field of the date, MMM DD YYYY."""
    measured: tuple[Number, ...]
    settings: tuple[Number, ...]
    limits: tuple[Number, ...]
    """``OFF`` is a limit's state: no number, unavailable."""
    choices: tuple[Choice, ...]
    alarms: tuple[AlarmField, ...]

    @property
    def told(self) -> tuple[Number, ...]:
        """What the ventilator was told."""
        return self.settings + self.limits

    @property
    def numbers(self) -> tuple[Number, ...]:
        """All numbers."""
        return self.measured + self.told


_ON_OFF = {"ON": "on", "OFF": "off"}
_MODES = {
    "A/C": "assist_control",
    "CMV": "assist_control",
    "SIMV": "simv",
    "SPONT": "spontaneous",
    "CPAP": "cpap",
    "BILEVL": "bilevel",
}
_MANDATORY = {"PC": "pressure_control", "VC": "volume_control", "VC+": "volume_control_plus"}
_PATTERNS = {"SQUARE": "square", "RAMP": "ramp"}
_CONSTANT = {"I-TIME": "inspiratory_time", "I/E": "ratio", "E-TIME": "expiratory_time"}

_HIGH, _MEDIUM, _LOW = AlarmPriority.HIGH, AlarmPriority.MEDIUM, AlarmPriority.LOW
_PATIENT, _TECHNICAL = AlarmKind.PHYSIOLOGICAL, AlarmKind.TECHNICAL
_EVENT_DISCONNECTED, _EVENT_HIGH, _EVENT_LOW, _EVENT_MALFUNCTION = map(event, (22, 40, 62, 70))
_EVENT_BATTERY_LOW, _EVENT_BATTERY, _EVENT_OCCLUDED = map(event, (194, 198, 250))
_EVENT_O2_SUPPLY, _EVENT_POWER, _EVENT_APNEA = map(event, (296, 734, 3072))
_EVENT_SETTINGS = event(6668)


def _patient(
    field: int, condition: str, happened: int, text: str, priority: AlarmPriority = _MEDIUM
) -> AlarmField:
    return AlarmField(field, condition, happened, text, _PATIENT, priority)


def _technical(
    field: int, condition: str, happened: int, text: str, priority: AlarmPriority = _MEDIUM
) -> AlarmField:
    return AlarmField(field, condition, happened, text, _TECHNICAL, priority)


_FULL = Layout(
    clock=5,
    date=7,
    measured=(
        Number(69, code("PB_PRESS_INSP_END")),
        Number(70, code("MDC_VENT_RESP_RATE")),
        Number(71, code("MDC_VOL_AWAY_TIDAL"), _L_TO_ML),
        Number(72, code("MDC_VOL_MINUTE_AWAY_EXP")),
        Number(73, code("MDC_PRESS_AWAY_INSP_MAX")),
        Number(74, code("MDC_PRESS_AWAY_INSP_MEAN")),
        Number(75, code("PB_RATIO_IE_EXP")),
        Number(77, code("MDC_CONC_AWAY_O2_INSP")),
        Number(78, code("PB_VOL_AWAY_TIDAL_INSP"), _L_TO_ML),
        Number(79, code("MDC_PRESS_AWAY_END_EXP_POS_INTRINSIC")),
        Number(80, code("PB_PAV_RES_TOTAL")),
        Number(81, code("PB_PAV_RES_PATIENT")),
        Number(82, code("PB_PAV_ELASTANCE")),
        Number(83, code("PB_PAV_COMPLIANCE")),
        Number(84, code("PB_RSBI_NORMALIZED")),
        Number(85, code("PB_RSBI")),
        Number(86, code("PB_TIME_INSP_RATIO_SPONT")),
        Number(87, code("MDC_VENT_PRESS_AWAY_END_EXP_POS")),
        Number(88, code("PB_TIME_PD_INSP_SPONT")),
        Number(89, code("PB_VOL_MINUTE_SPONT")),
        Number(90, code("PB_PEEP_INTRINSIC_PAUSE")),
        Number(91, code("PB_PEEP_TOTAL_PAUSE")),
        Number(92, code("MDC_COMPL_LUNG_STATIC")),
        Number(93, code("MDC_RES_AWAY")),
        Number(94, code("MDC_PRESS_RESP_PLAT")),
        Number(96, code("MDC_COMPL_LUNG_DYN")),
        Number(97, code("PB_RES_AWAY_DYN")),
        Number(98, code("PB_FLOW_SPONT_MAX")),
        Number(99, code("MDC_FLOW_AWAY_EXP_MAX")),
        Number(100, code("PB_FLOW_EXP_END")),
        Number(102, code("MDC_PRESS_AWAY_NEG_MAX")),
        Number(103, code("MDC_VENT_PRESS_OCCL")),
        Number(104, code("MDC_CAPAC_VITAL")),
        Number(154, code("PB_VOL_AWAY_TIDAL_SPONT"), _L_TO_ML),
        Number(155, code("PB_WORK_OF_BREATHING")),
        Number(157, code("PB_LEAK_PERCENT")),
        Number(158, code("PB_LEAK_AT_PEEP")),
        Number(159, code("PB_VOL_LEAK_INSP")),
    ),
    settings=(
        Number(13, code("PHILIPS_SETT_VENT_RESP_RATE")),
        Number(14, code("PHILIPS_SETT_VOL_AWAY_TIDAL"), _L_TO_ML),
        Number(15, code("PHILIPS_SETT_FLOW_AWAY_INSP_MAX")),
        Number(16, code("PHILIPS_SETT_VENT_CONC_AWAY_O2_INSP")),
        Number(17, code("PB_SETT_PRESS_SENSITIVITY")),
        Number(18, code("PHILIPS_SETT_VENT_PRESS_AWAY_END_EXP_POS")),
        Number(19, code("PHILIPS_SETT_TIME_PD_RESP_PLAT")),
        Number(20, code("PHILIPS_SETT_APNEA_ALARM_DELAY")),
        Number(21, code("PHILIPS_SETT_VOL_AWAY_TIDAL_APNEA"), _L_TO_ML),
        Number(22, code("PHILIPS_SETT_AWAY_RESP_RATE_APNEA")),
        Number(23, code("PHILIPS_SETT_FLOW_AWAY_INSP_APNEA")),
        Number(24, code("PHILIPS_SETT_VENT_CONC_AWAY_O2_INSP_APNEA")),
        Number(25, code("PHILIPS_SETT_VENT_PRESS_AWAY_PV_APNEA")),
        Number(26, code("PHILIPS_SETT_VENT_TIME_PD_INSP_PV_APNEA")),
        Number(29, code("PHILIPS_SETT_RATIO_IE_INSP_PV_APNEA")),
        Number(30, code("PHILIPS_SETT_RATIO_IE_EXP_PV_APNEA")),
        Number(31, code("PB_SETT_PRESS_SUPPORT")),
        Number(44, code("PHILIPS_SETT_VENT_AWAY_FLOW_BASE")),
        Number(45, code("PHILIPS_SETT_VENT_AWAY_FLOW_SENSE")),
        Number(46, code("PHILIPS_SETT_VENT_PRESS_AWAY_PV")),
        Number(47, code("PHILIPS_SETT_VENT_TIME_PD_INSP_PV")),
        Number(48, code("PHILIPS_SETT_RATIO_IE_INSP_PV")),
        Number(49, code("PHILIPS_SETT_RATIO_IE_EXP_PV")),
        Number(51, code("PB_SETT_TUBE_ID")),
        Number(54, code("PB_SETT_HUMIDIFIER_VOLUME")),
        Number(56, code("PB_SETT_DISCONNECT_SENS")),
        Number(57, code("PB_SETT_RISE_TIME_PERCENT")),
        Number(58, code("PB_SETT_PAV_SUPPORT")),
        Number(59, code("PB_SETT_EXP_SENSITIVITY")),
        Number(61, code("PB_SETT_VOL_TARGET"), _L_TO_ML),
        Number(62, code("PHILIPS_SETT_VENT_PRESS_AWAY_INSP_APRV")),
        Number(63, code("PHILIPS_SETT_VENT_PRESS_AWAY_EXP_APRV")),
        Number(64, code("PHILIPS_SETT_VENT_TIME_PD_INSP_APRV")),
        Number(65, code("PB_SETT_TIME_INSP_SPONT_MAX")),
        Number(67, code("PHILIPS_SETT_VENT_TIME_PD_EXP_APRV")),
        Number(68, code("PHILIPS_SETT_VENT_TIME_PD_EXP")),
    ),
    limits=(
        Number(34, code("PHILIPS_SETT_VENT_PRESS_AWAY_LIMIT_HI")),
        Number(35, code("PHILIPS_SETT_PRESS_AWAY_INSP_MAX_LIMIT_LO")),
        Number(36, code("PHILIPS_SETT_VENT_VOL_MINUTE_AWAY_LIMIT_HI")),
        Number(37, code("PHILIPS_SETT_VENT_VOL_MINUTE_AWAY_LIMIT_LO")),
        Number(38, code("PHILIPS_SETT_VENT_VOL_TIDAL_LIMIT_HI")),
        Number(39, code("PHILIPS_SETT_VENT_VOL_TIDAL_LIMIT_LO")),
        Number(40, code("PB_LIMIT_VOL_SPONT_HI")),
        Number(41, code("PB_LIMIT_VOL_SPONT_LO")),
        Number(42, code("PHILIPS_SETT_VENT_RESP_RATE_LIMIT_HI_PANT")),
        Number(43, code("PB_LIMIT_VOL_INSP_HI")),
    ),
    choices=(
        Choice(8, code("PB_VENT_TYPE"), {"NIV": "non_invasive", "INVASIVE": "invasive"}),
        Choice(9, code("MDC_VENT_MODE"), _MODES),
        Choice(10, code("PB_MANDATORY_TYPE"), _MANDATORY),
        Choice(
            11,
            code("PB_SPONTANEOUS_TYPE"),
            {
                "NONE": "none",
                "PS": "pressure_support",
                "TC": "tube_compensation",
                "VS": "volume_support",
                "PA": "proportional_assist",
            },
        ),
        Choice(12, code("PB_TRIGGER_TYPE"), {"V-Trig": "flow", "P-Trig": "pressure"}),
        Choice(27, code("PB_APNEA_FLOW_PATTERN"), _PATTERNS),
        Choice(28, code("PB_APNEA_MANDATORY_TYPE"), _MANDATORY),
        Choice(32, code("PB_FLOW_PATTERN"), _PATTERNS),
        Choice(33, code("PB_O2_SUCTION"), _ON_OFF),
        Choice(50, code("PB_CONSTANT_DURING_RATE"), _CONSTANT),
        Choice(52, code("PB_TUBE_TYPE"), {"ET": "endotracheal", "TRACH": "tracheostomy"}),
        Choice(
            53,
            code("PB_HUMIDIFICATION"),
            {"Non-Heated Exp": "not_heated", "Heated Exp": "heated", "HME": "hme"},
        ),
        Choice(55, code("PB_O2_SENSOR"), {"Enabled": "on", "Disabled": "off"}),
        Choice(
            66,
            code("PB_CIRCUIT_TYPE"),
            {"ADULT": "adult", "PEDIATRIC": "pediatric", "NEONATAL": "neonatal"},
        ),
        Choice(105, code("PB_ALARM_SILENCE"), _ON_OFF),
        Choice(156, code("PB_LEAK_COMPENSATION"), {"enable": "on", "disable": "off"}),
    ),
    alarms=(
        _patient(95, "inspiration_spontaneous.long", _EVENT_HIGH, "long spontaneous inspiration"),
        _patient(106, "apnea", _EVENT_APNEA, "apnea ventilation"),
        _patient(107, "exhaled_minute_volume.high", _EVENT_HIGH, "high exhaled minute volume"),
        _patient(108, "exhaled_tidal_volume.high", _EVENT_HIGH, "high exhaled tidal volume"),
        _patient(109, "o2.high", _EVENT_HIGH, "high delivered O2"),
        _patient(110, "circuit_pressure.high", _EVENT_HIGH, "high circuit pressure"),
        _patient(111, "ventilator_pressure.high", _EVENT_HIGH, "high ventilator pressure"),
        _patient(112, "respiration_rate.high", _EVENT_HIGH, "high respiration rate"),
        _technical(113, "power.lost", _EVENT_POWER, "AC power loss", _LOW),
        _technical(114, "battery.inoperative", _EVENT_BATTERY, "inoperative battery", _LOW),
        _technical(115, "battery.low", _EVENT_BATTERY_LOW, "low battery"),
        _technical(116, "power.loss", _EVENT_POWER, "loss of power", _HIGH),
        _patient(117, "exhaled_mandatory_volume.low", _EVENT_LOW, "low mandatory tidal volume"),
        _patient(118, "exhaled_minute_volume.low", _EVENT_LOW, "low exhaled minute volume"),
        _patient(119, "exhaled_spontaneous_volume.low", _EVENT_LOW, "low spontaneous volume"),
        _technical(120, "o2.low", _EVENT_LOW, "low delivered O2", _HIGH),
        _technical(121, "air_supply.low", _EVENT_LOW, "low air supply pressure", _LOW),
        _technical(122, "o2_supply.low", _EVENT_O2_SUPPLY, "low O2 supply pressure", _LOW),
        _technical(123, "compressor.inoperative", _EVENT_MALFUNCTION, "compressor failed", _LOW),
        _technical(124, "circuit.disconnected", _EVENT_DISCONNECTED, "circuit disconnect", _HIGH),
        _patient(125, "circuit.occluded", _EVENT_OCCLUDED, "severe occlusion", _HIGH),
        _patient(126, "inspiration.long", _EVENT_HIGH, "inspiration too long", _LOW),
        _technical(127, "procedure.error", _EVENT_SETTINGS, "procedure error", _HIGH),
        _patient(128, "tidal_volume.compliance_limited", _EVENT_LOW, "volume limited", _LOW),
        _patient(129, "inspired_spontaneous_volume.high", _EVENT_HIGH, "high inspired volume"),
        _patient(130, "inspired_mandatory_volume.high", _EVENT_HIGH, "high mandatory volume"),
        _patient(131, "compensation_pressure.high", _EVENT_HIGH, "high compensation pressure"),
        _technical(132, "pav.startup_long", _EVENT_MALFUNCTION, "PAV start-up too long", _LOW),
        _technical(133, "pav.not_assessed", _EVENT_MALFUNCTION, "PAV R and C not assessed", _LOW),
        _patient(134, "volume_vc.not_delivered", _EVENT_LOW, "volume not delivered (VC+)", _LOW),
        _patient(135, "volume_vs.not_delivered", _EVENT_LOW, "volume not delivered (VS)", _LOW),
        _patient(136, "circuit_pressure.low", _EVENT_LOW, "low circuit pressure"),
        *(
            _technical(
                137 + at,
                f"technical.a{5 + 5 * at}",
                _EVENT_MALFUNCTION,
                f"technical malfunction A{5 + 5 * at}",
            )
            for at in range(17)
        ),
    ),
)

_BASIC = Layout(
    clock=5,
    date=8,
    measured=(
        Number(34, code("MDC_VENT_RESP_RATE")),
        Number(35, code("MDC_VOL_AWAY_TIDAL"), _L_TO_ML),
        Number(36, code("MDC_VOL_MINUTE_AWAY_EXP")),
        Number(37, code("PB_VOL_MINUTE_SPONT")),
        Number(38, code("MDC_PRESS_AWAY_INSP_MAX")),
        Number(39, code("MDC_PRESS_AWAY_INSP_MEAN")),
        Number(40, code("PB_PRESS_INSP_END")),
        Number(41, code("PB_RATIO_IE_EXP")),
        Number(63, code("MDC_COMPL_LUNG_STATIC")),
        Number(64, code("MDC_RES_AWAY")),
        Number(65, code("MDC_COMPL_LUNG_DYN")),
        Number(66, code("PB_RES_AWAY_DYN")),
        Number(67, code("MDC_PRESS_AWAY_NEG_MAX")),
        Number(68, code("MDC_CAPAC_VITAL")),
        Number(69, code("PB_FLOW_SPONT_MAX")),
    ),
    settings=(
        Number(10, code("PHILIPS_SETT_VENT_RESP_RATE")),
        Number(11, code("PHILIPS_SETT_VOL_AWAY_TIDAL"), _L_TO_ML),
        Number(12, code("PHILIPS_SETT_FLOW_AWAY_INSP_MAX")),
        Number(13, code("PHILIPS_SETT_VENT_CONC_AWAY_O2_INSP")),
        Number(14, code("PB_SETT_PRESS_SENSITIVITY")),
        Number(15, code("PHILIPS_SETT_VENT_PRESS_AWAY_END_EXP_POS")),
        Number(16, code("PHILIPS_SETT_TIME_PD_RESP_PLAT")),
        Number(21, code("PHILIPS_SETT_APNEA_ALARM_DELAY")),
        Number(22, code("PHILIPS_SETT_VOL_AWAY_TIDAL_APNEA"), _L_TO_ML),
        Number(23, code("PHILIPS_SETT_AWAY_RESP_RATE_APNEA")),
        Number(24, code("PHILIPS_SETT_FLOW_AWAY_INSP_APNEA")),
        Number(25, code("PHILIPS_SETT_VENT_CONC_AWAY_O2_INSP_APNEA")),
        Number(26, code("PB_SETT_PRESS_SUPPORT")),
        Number(70, code("PHILIPS_SETT_VENT_AWAY_FLOW_BASE")),
        Number(71, code("PHILIPS_SETT_VENT_AWAY_FLOW_SENSE")),
        Number(85, code("PHILIPS_SETT_VENT_PRESS_AWAY_PV")),
        Number(86, code("PHILIPS_SETT_VENT_TIME_PD_INSP_PV")),
        Number(88, code("PHILIPS_SETT_VENT_PRESS_AWAY_PV_APNEA")),
        Number(90, code("PHILIPS_SETT_VENT_TIME_PD_INSP_PV_APNEA")),
        Number(96, code("PHILIPS_SETT_RATIO_IE_INSP_PV")),
        Number(97, code("PHILIPS_SETT_RATIO_IE_EXP_PV")),
        Number(98, code("PHILIPS_SETT_RATIO_IE_INSP_PV_APNEA")),
        Number(99, code("PHILIPS_SETT_RATIO_IE_EXP_PV_APNEA")),
    ),
    limits=(
        Number(42, code("PHILIPS_SETT_VENT_PRESS_AWAY_LIMIT_HI")),
        Number(45, code("PHILIPS_SETT_VENT_VOL_TIDAL_LIMIT_LO"), _L_TO_ML),
        Number(46, code("PHILIPS_SETT_VENT_VOL_MINUTE_AWAY_LIMIT_LO")),
        Number(47, code("PHILIPS_SETT_VENT_RESP_RATE_LIMIT_HI_PANT")),
        Number(92, code("PB_LIMIT_PRESS_APNEA_HI")),
    ),
    choices=(
        Choice(9, code("MDC_VENT_MODE"), _MODES),
        Choice(27, code("PB_FLOW_PATTERN"), _PATTERNS),
        Choice(30, code("PB_O2_SUCTION"), _ON_OFF),
        Choice(93, code("PB_ALARM_SILENCE"), _ON_OFF),
        Choice(100, code("PB_CONSTANT_DURING_RATE"), _CONSTANT),
    ),
    alarms=(
        _patient(48, "circuit_pressure.high", _EVENT_HIGH, "high circuit pressure"),
        _patient(51, "exhaled_tidal_volume.low", _EVENT_LOW, "low exhaled tidal volume"),
        _patient(52, "exhaled_minute_volume.low", _EVENT_LOW, "low exhaled minute volume"),
        _patient(53, "respiration_rate.high", _EVENT_HIGH, "high respiration rate"),
        _technical(54, "o2_supply.low", _EVENT_O2_SUPPLY, "no O2 supply", _LOW),
        _technical(55, "air_supply.low", _EVENT_LOW, "no air supply", _LOW),
        _patient(57, "apnea", _EVENT_APNEA, "apnea"),
        _patient(94, "apnea", _EVENT_APNEA, "apnea"),
        _technical(
            95, "circuit.disconnected", _EVENT_DISCONNECTED, "occlusion or disconnect", _HIGH
        ),
    ),
)

LAYOUTS: Final = {"MISCF": _FULL, "MISCA": _BASIC}

PRIORITIES: Final = {
    "NORMAL": None,
    "RESET": None,
    "LOW": _LOW,
    "MEDIUM": _MEDIUM,
    "HIGH": _HIGH,
}
"""What an alarm field says -> how grave it is; None: there is no alarm."""
ALARMED: Final = frozenset(("ALARM", "ALERT"))
"""It is there, and the field doesn't say how grave."""
OFF: Final = "OFF"
