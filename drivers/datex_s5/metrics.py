"""What each number of the monitor's is: metric, scale, and the labels that decide it.

All data, but for three look-ups that depend on a label. REFIDs are the gateway's own table's
(:mod:`gateway.domain.terms`); a scale turns the integer into the metric's unit.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.domain import terms


class Number(NamedTuple):
    """How a field becomes a metric's value."""

    code: int
    scale: float
    digits: int
    """As the monitor states it: scaling must not invent digits."""


def _number(refid: str, scale: float = 1.0, digits: int = 2) -> Number:
    return Number(terms.code(refid), scale, digits)


FIELDS: Final = {
    ("ecg", "imp_rr"): _number("MDC_TTHOR_RESP_RATE"),
    ("nibp", "sys"): _number("MDC_PRESS_BLD_NONINV_SYS", 0.01),
    ("nibp", "dia"): _number("MDC_PRESS_BLD_NONINV_DIA", 0.01),
    ("nibp", "mean"): _number("MDC_PRESS_BLD_NONINV_MEAN", 0.01),
    ("nibp", "hr"): _number("MDC_PULS_RATE_NON_INV"),
    ("spo2", "spo2"): _number("MDC_PULS_OXIM_SAT_O2", 0.01),
    ("spo2", "pr"): _number("MDC_PULS_OXIM_PULS_RATE"),
    ("spo2_2", "spo2"): _number("WARDGATE_SPO2_2", 0.01),
    ("co2", "rr"): _number("MDC_RESP_RATE"),
    ("co2", "amb"): _number("WARDGATE_PRESS_AMBIENT", 0.1),
    ("o2", "et"): _number("MDC_CONC_AWAY_O2_ET", 0.01),
    ("o2", "fi"): _number("MDC_CONC_AWAY_O2_INSP", 0.01),
    ("n2o", "et"): _number("MDC_CONC_AWAY_N2O_ET", 0.01),
    ("n2o", "fi"): _number("MDC_CONC_AWAY_N2O_INSP", 0.01),
    ("aa", "mac"): _number("WARDGATE_MAC_SUM", 0.01),
    ("flow", "rr"): _number("MDC_AWAY_RESP_RATE"),
    ("flow", "ppeak"): _number("MDC_PRESS_AWAY_INSP_MAX", 0.01),
    ("flow", "peep"): _number("MDC_VENT_PRESS_AWAY_END_EXP_POS", 0.01),
    ("flow", "pplat"): _number("MDC_PRESS_RESP_PLAT", 0.01),
    ("flow", "tv_insp"): _number("WARDGATE_VOL_AWAY_TIDAL_INSP", 0.1),
    ("flow", "tv_exp"): _number("MDC_VOL_AWAY_TIDAL", 0.1),
    ("flow", "compliance"): _number("MDC_COMPL_LUNG_DYN", 0.01),
    ("flow", "mv_exp"): _number("MDC_VOL_MINUTE_AWAY_EXP", 0.01),
    ("co", "co"): _number("MDC_OUTPUT_CARD", 0.001, 3),
    ("co", "blood_temp"): _number("MDC_TEMP_BLD", 0.01),
    ("co", "pcwp"): _number("MDC_PRESS_BLD_ART_PULM_WEDGE", 0.01),
    ("nmt", "ratio"): _number("WARDGATE_TRAIN_OF_FOUR_RATIO", 0.1),
    ("svo2", "svo2"): _number("MDC_SAT_O2_VEN", 0.01),
    ("arrhythmia", "pvc"): _number("MDC_ECG_V_P_C_CNT"),
    ("bis", "bis"): _number("WARDGATE_BISPECTRAL_INDEX"),
    ("bis", "sqi"): _number("WARDGATE_BISPECTRAL_QUALITY"),
    ("entropy", "state"): _number("WARDGATE_ENTROPY_STATE"),
    ("entropy", "response"): _number("WARDGATE_ENTROPY_RESPONSE"),
    ("entropy", "burst"): _number("MDC_EEG_PAROX_CRTX_BURST_SUPPRN"),
    ("spi", "spi"): _number("WARDGATE_SURGICAL_PLETH_INDEX"),
    ("gas_exchange", "vo2"): _number("MDC_FLOW_O2_CONSUMP", 0.1),
    ("gas_exchange", "vco2"): _number("MDC_FLOW_CO2_PROD_RESP", 0.1),
    ("flow2", "ipeep"): _number("MDC_PRESS_AWAY_END_EXP_POS_INTRINSIC", 0.01),
    ("flow2", "pmean"): _number("MDC_PRESS_AWAY", 0.01),
    ("flow2", "raw"): _number("MDC_RES_AWAY", 0.01),
    ("flow2", "mv_insp"): _number("MDC_VOL_MINUTE_AWAY_INSP", 0.01),
    ("cpp", "cpp"): _number("MDC_PRESS_CEREB_PERF", 0.01),
    **{
        ("ecg12", lead): _number(f"MDC_ECG_AMPL_ST_{lead}", 0.01)
        for lead in ["I", "II", "III", "AVL", "AVR", "AVF", "V1", "V2", "V3", "V4", "V5", "V6"]
    },
}

HEART_RATE: Final = _number("MDC_ECG_HEART_RATE")
PULSE_RATE: Final = _number("MDC_PULS_RATE")
FROM_ECG: Final = (0, 1)
"""Sources of ``ecg.hr`` (status bits 3 to 6) that are the ECG, or not told."""

LEADS: Final = ("", "I", "II", "III", "AVR", "AVL", "AVF", "V")
"""By the nibbles of the label of ``ecg``: the leads of channels 1 to 3."""
CO2: Final = {
    "et": terms.code("MDC_CONC_AWAY_CO2_ET"),
    "fi": terms.code("MDC_CONC_AWAY_CO2_INSP"),
}
"""Percent of the ambient pressure, which stands in the same group, to mmHg."""

_AGENTS: Final = {2: "HALOTH", 3: "ENFL", 4: "ISOFL", 5: "DESFL", 6: "SEVOFL"}
AGENTS: Final = {
    (label, field): _number(f"MDC_CONC_AWAY_{agent}_{part}", 0.01)
    for field, part in (("et", "ET"), ("fi", "INSP"))
    for label, agent in {0: "AGENT", **_AGENTS}.items()
}
"""By the label of ``aa``; 0 stands for an agent that is not told."""

_SITES: Final = {
    1: "MDC_PRESS_BLD_ART",
    2: "MDC_PRESS_BLD_VEN_CENT",
    3: "MDC_PRESS_BLD_ART_PULM",
    4: "MDC_PRESS_BLD_ATR_RIGHT",
    5: "MDC_PRESS_BLD_VENT_RIGHT",
    6: "MDC_PRESS_BLD_ATR_LEFT",
    7: "MDC_PRESS_INTRA_CRAN",
    8: "MDC_PRESS_BLD_ART_ABP",
}
_CHANNELS: Final = {1: "MDC_PRESS_BLD", **{n: f"WARDGATE_PRESS_{n}" for n in range(2, 9)}}
_PARTS: Final = {"": "", "sys": "_SYS", "dia": "_DIA", "mean": "_MEAN"}
SITES: Final = {
    label: {part: terms.code(name + suffix) for part, suffix in _PARTS.items()}
    for label, name in _SITES.items()
}
"""By the label of a pressure; labels 9 to 14 (P1 to P6) and 0 say no site."""
CHANNELS: Final = {
    channel: {part: terms.code(name + suffix) for part, suffix in _PARTS.items()}
    for channel, name in _CHANNELS.items()
}
"""By the number of a pressure channel whose site is not told, or is another channel's already."""
PRESSURE_SCALE: Final = 0.01

_PLACES: Final = {
    1: "MDC_TEMP_ESOPH",
    2: "MDC_TEMP_NASOPH",
    3: "MDC_TEMP_TYMP",
    4: "MDC_TEMP_RECT",
    5: "MDC_TEMP_FOLEY",
    7: "MDC_TEMP_SKIN",
    8: "MDC_TEMP_AWAY",
    15: "MDC_TEMP_CORE",
}
PLACES: Final = {label: terms.code(name) for label, name in _PLACES.items()}
"""By the label of a temperature; axilla, room, myocardium and surface have no term here."""
TEMPERATURES: Final = {
    1: terms.TEMPERATURE,
    **{n: terms.code(f"WARDGATE_TEMP_{n}") for n in range(2, 7)},
}
ROOM: Final = 9
"""The label of a temperature that is nobody's: left out."""
TEMPERATURE_SCALE: Final = 0.01
