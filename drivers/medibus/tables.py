"""What a device's codes mean inside Wardgate, as data.

Several codes mean one metric where devices measure it by several ways, or say it with more digits:
of those in one reply, the one that stands first here is taken. Codes whose unit no public table
tells are left out, and counted when a device sends them; so are a patient's age and weight, which
nobody asked for.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.domain.terms import code


class Number(NamedTuple):
    """A code that is a number, in a unit that the metric's own is made from."""

    code: int
    metric: int
    unit: str
    factor: float = 1.0
    """For the unit of "10 mL/min"."""


class Text(NamedTuple):
    """A text message: it applies at the moment."""

    code: int
    metric: int
    name: str


_RATE = code("MDC_VENT_RESP_RATE")
_TIDAL = code("MDC_VOL_AWAY_TIDAL")

DATA_1: Final = (
    Number(0x05, code("MDC_PRESS_AWAY"), "mbar"),
    Number(0x06, code("MDC_COMPL_LUNG"), "mL/mbar"),
    Number(0x07, code("MDC_COMPL_LUNG"), "L/bar"),
    Number(0x08, code("MDC_RES_AWAY"), "mbar/L/s"),
    Number(0x09, code("MDC_FLOW_CO2_PROD_RESP"), "mL/min"),
    Number(0x2A, code("MEDIBUS_R_SQUARED"), "1"),
    Number(0x50, code("MEDIBUS_PRESS_HALOTH_INSP"), "kPa"),
    Number(0x51, code("MEDIBUS_PRESS_HALOTH_ET"), "kPa"),
    Number(0x52, code("MEDIBUS_PRESS_ENFL_INSP"), "kPa"),
    Number(0x53, code("MEDIBUS_PRESS_ENFL_ET"), "kPa"),
    Number(0x54, code("MEDIBUS_PRESS_ISOFL_INSP"), "kPa"),
    Number(0x55, code("MEDIBUS_PRESS_ISOFL_ET"), "kPa"),
    Number(0x56, code("MEDIBUS_PRESS_DESFL_INSP"), "kPa"),
    Number(0x57, code("MEDIBUS_PRESS_DESFL_ET"), "kPa"),
    Number(0x58, code("MEDIBUS_PRESS_SEVOFL_INSP"), "kPa"),
    Number(0x59, code("MEDIBUS_PRESS_SEVOFL_ET"), "kPa"),
    Number(0x5A, code("MEDIBUS_PRESS_AGENT_INSP"), "kPa"),
    Number(0x5B, code("MEDIBUS_PRESS_AGENT_ET"), "kPa"),
    Number(0x5C, code("MEDIBUS_PRESS_AGENT_2_INSP"), "kPa"),
    Number(0x5D, code("MEDIBUS_PRESS_AGENT_2_ET"), "kPa"),
    Number(0x64, code("MDC_FLOW_O2_CONSUMP"), "mL/min", 10.0),
    Number(0x6B, code("MEDIBUS_PRESS_AMBIENT"), "mbar"),
    Number(0x71, code("MDC_PRESS_AWAY_MIN"), "mbar"),
    Number(0x72, code("MDC_VENT_PRESS_OCCL"), "mbar"),
    Number(0x73, code("MDC_PRESS_AWAY_INSP_MEAN"), "mbar"),
    Number(0x74, code("MDC_PRESS_RESP_PLAT"), "mbar"),
    Number(0x78, code("MDC_VENT_PRESS_AWAY_END_EXP_POS"), "mbar"),
    Number(0x79, code("MDC_PRESS_AWAY_END_EXP_POS_INTRINSIC"), "mbar"),
    Number(0x7B, code("MEDIBUS_RATE_MANDATORY"), "/min"),
    Number(0x7D, code("MDC_PRESS_AWAY_INSP_MAX"), "mbar"),
    Number(0x83, code("MEDIBUS_VOL_TIDAL_MANDATORY"), "mL"),
    Number(0x7E, code("MEDIBUS_VOL_TIDAL_MANDATORY"), "L"),
    Number(0x84, code("MEDIBUS_VOL_TIDAL_SPONT"), "mL"),
    Number(0x7F, code("MEDIBUS_VOL_TIDAL_SPONT"), "L"),
    Number(0x85, code("MEDIBUS_VOL_TIDAL_MANDATORY_INSP"), "mL"),
    Number(0x88, _TIDAL, "mL"),
    Number(0xAC, code("MEDIBUS_MAC_INSP"), "1"),
    Number(0xAD, code("MEDIBUS_MAC_EXP"), "1"),
    Number(0xAE, code("MDC_CONC_AWAY_DESFL_INSP"), "%"),
    Number(0xAF, code("MDC_CONC_AWAY_DESFL_ET"), "%"),
    Number(0xB0, code("MDC_CONC_AWAY_SEVOFL_INSP"), "%"),
    Number(0xB1, code("MDC_CONC_AWAY_SEVOFL_ET"), "%"),
    Number(0xB2, code("MDC_VENT_VOL_LEAK"), "mL/min"),
    Number(0xB3, code("MEDIBUS_LEAK_PERCENT"), "%"),
    Number(0xB5, code("MEDIBUS_RATE_SPONT"), "/min"),
    Number(0xB6, code("MEDIBUS_VOL_MINUTE_SPONT_SHARE"), "%"),
    Number(0xB7, code("MEDIBUS_VOL_MINUTE_SPONT"), "L/min"),
    Number(0xB9, code("MDC_VOL_MINUTE_AWAY_EXP"), "L/min"),
    Number(0xB8, code("MDC_VOL_MINUTE_AWAY_EXP"), "L/min"),
    Number(0xBD, code("MDC_TIME_PD_APNEA"), "s"),
    Number(0xC1, code("MDC_TEMP_AWAY"), "Cel"),
    Number(0xC4, code("MDC_VENT_CONC_AWAY_O2_DELTA"), "%"),
    Number(0xD5, code("MDC_CO2_RESP_RATE"), "/min"),
    Number(0xD6, _RATE, "/min"),
    Number(0xD7, _RATE, "/min"),
    Number(0xB4, _RATE, "/min"),
    Number(0xD9, _RATE, "/min"),
    Number(0xDA, code("MEDIBUS_CO2_INSP_SHARE"), "%"),
    Number(0xDB, code("MEDIBUS_CO2_ET_SHARE"), "%"),
    Number(0xDD, code("MEDIBUS_FLOW_N2O"), "mL/min"),
    Number(0xDE, code("MEDIBUS_FLOW_AIR"), "mL/min"),
    Number(0xE2, code("MEDIBUS_FLOW_O2"), "mL/min"),
    Number(0xDF, code("MDC_PULS_RATE"), "/min"),
    Number(0xE1, code("MDC_PULS_OXIM_PULS_RATE"), "/min"),
    Number(0xE6, code("MDC_CONC_AWAY_CO2_ET"), "mm[Hg]"),
    Number(0xE3, code("MDC_CONC_AWAY_CO2_ET"), "kPa"),
    Number(0xE5, code("MDC_CONC_AWAY_CO2_INSP"), "mm[Hg]"),
    Number(0xFF, code("MDC_CONC_AWAY_CO2_INSP"), "kPa"),
    Number(0xE7, code("MEDIBUS_RATIO_IE_INSP"), "1"),
    Number(0xE8, code("MEDIBUS_RATIO_IE_EXP"), "1"),
    Number(0xE9, code("MDC_CONC_AWAY_AGENT_INSP"), "%"),
    Number(0xEA, code("MDC_CONC_AWAY_AGENT_ET"), "%"),
    Number(0xEB, code("MDC_PULS_OXIM_SAT_O2"), "%"),
    Number(0xED, code("MEDIBUS_AGENT_2_INSP"), "%"),
    Number(0xEE, code("MEDIBUS_AGENT_2_ET"), "%"),
    Number(0xEF, code("MDC_CONC_AWAY_O2_ET"), "%"),
    Number(0xF0, code("MDC_CONC_AWAY_O2_INSP"), "%"),
    Number(0xF4, code("MDC_CONC_AWAY_HALOTH_INSP"), "%"),
    Number(0xF5, code("MDC_CONC_AWAY_HALOTH_ET"), "%"),
    Number(0xF6, code("MDC_CONC_AWAY_ENFL_INSP"), "%"),
    Number(0xF7, code("MDC_CONC_AWAY_ENFL_ET"), "%"),
    Number(0xF8, code("MDC_CONC_AWAY_ISOFL_INSP"), "%"),
    Number(0xF9, code("MDC_CONC_AWAY_ISOFL_ET"), "%"),
    Number(0xFB, code("MDC_CONC_AWAY_N2O_INSP"), "%"),
    Number(0xFC, code("MDC_CONC_AWAY_N2O_ET"), "%"),
)
DATA_2: Final = (
    Number(0x00, code("MEDIBUS_VOL_TIDAL_SPONT"), "mL"),
    Number(0x06, code("MEDIBUS_ELASTANCE"), "mbar/L"),
    Number(0x07, code("MEDIBUS_TIME_CONSTANT"), "s"),
    Number(0x21, _TIDAL, "mL"),
    Number(0x22, code("MEDIBUS_VOL_TIDAL_INSP"), "mL"),
    Number(0x23, code("MEDIBUS_PRESS_INSP_END"), "mbar"),
    Number(0x7B, code("MEDIBUS_PRESS_VARIABILITY"), "%"),
    Number(0x7D, code("MEDIBUS_TIME_LOW_MAX"), "s"),
)
LOW_1: Final = (
    Number(0xB9, code("PHILIPS_SETT_VENT_VOL_MINUTE_AWAY_LIMIT_LO"), "L/min"),
    Number(0xB8, code("PHILIPS_SETT_VENT_VOL_MINUTE_AWAY_LIMIT_LO"), "L/min"),
    Number(0x7D, code("PHILIPS_SETT_PRESS_AWAY_INSP_MAX_LIMIT_LO"), "mbar"),
    Number(0x88, code("PHILIPS_SETT_VENT_VOL_TIDAL_LIMIT_LO"), "mL"),
    Number(0xF0, code("PHILIPS_SETT_VENT_CONC_AWAY_O2_LIMIT_LO"), "%"),
    Number(0xE6, code("MEDIBUS_LIMIT_CO2_ET_LO"), "mm[Hg]"),
    Number(0xE3, code("MEDIBUS_LIMIT_CO2_ET_LO"), "kPa"),
    Number(0xEB, code("MEDIBUS_LIMIT_SPO2_LO"), "%"),
    Number(0xE1, code("MEDIBUS_LIMIT_PULSE_LO"), "/min"),
)
HIGH_1: Final = (
    Number(0xB9, code("PHILIPS_SETT_VENT_VOL_MINUTE_AWAY_LIMIT_HI"), "L/min"),
    Number(0xB8, code("PHILIPS_SETT_VENT_VOL_MINUTE_AWAY_LIMIT_HI"), "L/min"),
    Number(0x7D, code("PHILIPS_SETT_VENT_PRESS_AWAY_LIMIT_HI"), "mbar"),
    Number(0x88, code("PHILIPS_SETT_VENT_VOL_TIDAL_LIMIT_HI"), "mL"),
    Number(0xF0, code("PHILIPS_SETT_VENT_CONC_AWAY_O2_LIMIT_HI"), "%"),
    Number(0xD6, code("MEDIBUS_LIMIT_RATE_HI"), "/min"),
    Number(0xD7, code("MEDIBUS_LIMIT_RATE_HI"), "/min"),
    Number(0xE6, code("MEDIBUS_LIMIT_CO2_ET_HI"), "mm[Hg]"),
    Number(0xE3, code("MEDIBUS_LIMIT_CO2_ET_HI"), "kPa"),
    Number(0xE5, code("MEDIBUS_LIMIT_CO2_INSP_HI"), "mm[Hg]"),
    Number(0xFF, code("MEDIBUS_LIMIT_CO2_INSP_HI"), "kPa"),
    Number(0xEB, code("MEDIBUS_LIMIT_SPO2_HI"), "%"),
    Number(0xE1, code("MEDIBUS_LIMIT_PULSE_HI"), "/min"),
)
LOW_2: Final = (Number(0x21, code("PHILIPS_SETT_VENT_VOL_TIDAL_LIMIT_LO"), "mL"),)
HIGH_2: Final = (Number(0x21, code("PHILIPS_SETT_VENT_VOL_TIDAL_LIMIT_HI"), "mL"),)
SETTINGS: Final = (
    Number(0x01, code("PHILIPS_SETT_VENT_CONC_AWAY_O2_INSP"), "%"),
    Number(0x02, code("PHILIPS_SETT_FLOW_AWAY_INSP_MAX"), "L/min"),
    Number(0x40, code("PHILIPS_SETT_VOL_AWAY_TIDAL"), "mL"),
    Number(0x04, code("PHILIPS_SETT_VOL_AWAY_TIDAL"), "L"),
    Number(0x05, code("PHILIPS_SETT_VENT_TIME_PD_INSP"), "s"),
    Number(0x07, code("MEDIBUS_SETT_RATIO_IE_INSP"), "1"),
    Number(0x08, code("MEDIBUS_SETT_RATIO_IE_EXP"), "1"),
    Number(0x09, code("PHILIPS_SETT_VENT_RESP_RATE"), "/min"),
    Number(0x0A, code("MEDIBUS_SETT_RATE_IPPV"), "/min"),
    Number(0x0B, code("PHILIPS_SETT_VENT_PRESS_AWAY_END_EXP_POS"), "mbar"),
    Number(0x0C, code("PHILIPS_SETT_VENT_PRESS_AWAY_END_EXP_POS_INTERMIT"), "mbar"),
    Number(0x0D, code("PHILIPS_SETT_VENT_PRESS_AWAY_EXP_APRV"), "mbar"),
    Number(0x0E, code("PHILIPS_SETT_VENT_PRESS_AWAY_INSP_APRV"), "mbar"),
    Number(0x0F, code("PHILIPS_SETT_VENT_TIME_PD_EXP_APRV"), "s"),
    Number(0x10, code("PHILIPS_SETT_VENT_TIME_PD_INSP_APRV"), "s"),
    Number(0x11, code("PHILIPS_SETT_APNEA_ALARM_DELAY"), "s"),
    Number(0x12, code("MEDIBUS_SETT_PRESS_SUPPORT"), "mbar"),
    Number(0x13, code("PHILIPS_SETT_VENT_PRESS_AWAY_INSP_MAX"), "mbar"),
    Number(0x15, code("MEDIBUS_SETT_PRESS_TRIGGER"), "mbar"),
    Number(0x16, code("PHILIPS_SETT_VENT_RESP_RATE_LIMIT_HI_PANT"), "/min"),
    Number(0x17, code("MEDIBUS_SETT_TACHYPNEA_TIME"), "s"),
    Number(0x27, code("MEDIBUS_SETT_PAUSE_SHARE"), "%"),
    Number(0x29, code("PHILIPS_SETT_VENT_FLOW_INSP_TRIG"), "L/min"),
    Number(0x2E, code("PHILIPS_SETT_VENT_TIME_PD_RAMP_AL"), "s"),
    Number(0x2F, code("PHILIPS_SETT_FLOW_AWAY_TOT"), "mL/min"),
    Number(0x42, code("MEDIBUS_SETT_RATE_MIN"), "/min"),
    Number(0x45, code("PHILIPS_SETT_PRESS_AWAY_INSP"), "mbar"),
)
NOT_READ: Final = frozenset((0x4A, 0x4B))
"""Settings that are the patient's: age and weight."""

CURVES: Final = (
    Number(0x00, code("MDC_PRESS_AWAY"), "mbar"),
    Number(0x01, code("MDC_FLOW_AWAY"), "L/min"),
    Number(0x03, code("MDC_VENT_VOL_TIDAL"), "mL"),
    Number(0x06, code("MDC_AWAY_CO2"), "mm[Hg]"),
    Number(0x07, code("MDC_AWAY_CO2"), "kPa"),
    Number(0x08, code("MEDIBUS_CO2_SHARE_CURVE"), "%"),
    Number(0x02, code("MDC_PULS_OXIM_PLETH"), "%"),
    Number(0x20, code("MEDIBUS_FLOW_INSP_CURVE"), "L/min"),
    Number(0x21, code("MEDIBUS_FLOW_EXP_CURVE"), "L/min"),
    Number(0x24, code("MEDIBUS_VOL_EXP_CURVE"), "mL"),
    Number(0x1C, code("MEDIBUS_PRESS_TRACH"), "mbar"),
    Number(0x05, code("MEDIBUS_O2_CURVE"), "%"),
    Number(0x0A, code("MDC_CONC_AWAY_AGENT"), "%"),
)
"""In the order in which they are wanted, where a device has more than are read."""

_MODE = code("MDC_VENT_MODE")
_SIZE, _STATE, _SYNC = map(code, ("MEDIBUS_PATIENT_SIZE", "MEDIBUS_STATE", "MEDIBUS_SYNCHRONISED"))
_AGENT, _AGENT_2 = code("MEDIBUS_AGENT"), code("MEDIBUS_AGENT_2")
_CARRIER = code("MEDIBUS_CARRIER_GAS")
TEXTS: Final = (
    Text(0x01, _MODE, "ippv"),
    Text(0x02, _MODE, "ippv_assist"),
    Text(0x04, _MODE, "cppv"),
    Text(0x05, _MODE, "cppv_assist"),
    Text(0x06, _MODE, "simv"),
    Text(0x07, _MODE, "simv_asb"),
    Text(0x08, _MODE, "spontaneous"),
    Text(0x09, _MODE, "asb"),
    Text(0x0A, _MODE, "cpap"),
    Text(0x0B, _MODE, "cpap_asb"),
    Text(0x0C, _MODE, "mmv"),
    Text(0x0D, _MODE, "mmv_asb"),
    Text(0x0E, _MODE, "bipap"),
    Text(0x0F, _SYNC, "master"),
    Text(0x10, _SYNC, "slave"),
    Text(0x11, _MODE, "apnea_ventilation"),
    Text(0x12, _MODE, "ds"),
    Text(0x18, _MODE, "bipap_simv"),
    Text(0x19, _MODE, "bipap_simv_asb"),
    Text(0x1A, _MODE, "bipap_aprv"),
    Text(0x1E, _STATE, "standby"),
    Text(0x20, _SIZE, "adult"),
    Text(0x21, _SIZE, "neonate"),
    Text(0x25, _AGENT, "halothane"),
    Text(0x26, _AGENT, "enflurane"),
    Text(0x27, _AGENT, "isoflurane"),
    Text(0x28, _AGENT, "desflurane"),
    Text(0x29, _AGENT, "sevoflurane"),
    Text(0x2A, _AGENT, "none"),
    Text(0x2B, _MODE, "manual_spontaneous"),
    Text(0x34, _MODE, "pcv"),
    Text(0x36, _MODE, "external_fresh_gas"),
    Text(0x37, _CARRIER, "air"),
    Text(0x38, _CARRIER, "n2o"),
    Text(0x4A, _AGENT_2, "halothane"),
    Text(0x4B, _AGENT_2, "enflurane"),
    Text(0x4C, _AGENT_2, "isoflurane"),
    Text(0x4D, _AGENT_2, "desflurane"),
    Text(0x4E, _AGENT_2, "sevoflurane"),
    Text(0x4F, _AGENT_2, "none"),
    Text(0x53, _STATE, "leakage_test"),
    Text(0x54, _STATE, "standby"),
    Text(0x58, _STATE, "heart_lung_machine"),
    Text(0x59, _MODE, "volume"),
    Text(0x5A, _MODE, "pressure"),
    Text(0x5B, _MODE, "pressure_support"),
    Text(0x5C, _MODE, "pressure_support_added"),
    Text(0x5D, _MODE, "synchronised_intermittent"),
)
UNSAID: Final = frozenset((0x22, 0x23, 0x24, 0x2C, 0x56, 0x57))
"""Texts that say in which unit or language the device shows: codes and units tell that already."""
