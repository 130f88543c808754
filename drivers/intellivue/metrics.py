"""The metrics that a monitor is known to show, registered in the gateway's terms table.

Context-free code = partition << 16 | term: the monitor's 16-bit codes are the standard's terms
of partition 2, so the mapping is arithmetic, with two exceptions:

- A few values have another term in the standard than with the vendor (:data:`SAME_AS`).
- Terms of F000 and above are the vendor's own. They get the private partition 1024, because
  2 << 16 | F001… are Wardgate's own (:mod:`gateway.domain.terms`).

A numeric that is in no table is registered when it is first seen, with the unit that the
monitor gave it and no label: unlabelled is treated as identifying, so nothing of it leaves.
"""

from __future__ import annotations

import math

from drivers.intellivue.nomenclature import (
    PARTITION_METRICS,
    PARTITION_PRIVATE,
    PRIVATE_FIRST,
)
from drivers.intellivue.units import UCUM
from gateway.domain import terms
from gateway.domain.labels import UNLABELLED, DataClass, Label

SAME_AS = {
    0x4822: terms.PULSE_RATE,  # from the plethysmogram
    0xF0E5: 149546,  # MDC_PULS_RATE_NON_INV, from the cuff
    0x50B0: terms.ETCO2,
}

SEEN_METRICS_MAX = 512
"""Codes registered on sight, per process: a monitor has about 700 labels in all."""

_VITAL = Label(DataClass.HEALTH_STATUS, 3)

_PRESSURES = (
    (0x4A00, "PRESS_BLD", "pressure"),
    (0x4A0C, "PRESS_BLD_AORT", "aortic pressure"),
    (0x4A10, "PRESS_BLD_ART", "arterial pressure"),
    (0x4A1C, "PRESS_BLD_ART_PULM", "pulmonary artery pressure"),
    (0x4A28, "PRESS_BLD_ART_UMB", "umbilical arterial pressure"),
    (0x4A30, "PRESS_BLD_ATR_LEFT", "left atrial pressure"),
    (0x4A34, "PRESS_BLD_ATR_RIGHT", "right atrial pressure"),
    (0x4A44, "PRESS_BLD_VEN_CENT", "central venous pressure"),
    (0x4A48, "PRESS_BLD_VEN_UMB", "umbilical venous pressure"),
    (0x5808, "PRESS_INTRA_CRAN", "intracranial pressure"),
    (0xF0A4, "PRESS_GEN_1", "pressure 1"),
    (0xF0A8, "PRESS_GEN_2", "pressure 2"),
    (0xF0AC, "PRESS_GEN_3", "pressure 3"),
    (0xF0B0, "PRESS_GEN_4", "pressure 4"),
)
_ST_LEADS = (
    (0x0301, "I"),
    (0x0302, "II"),
    (0x0303, "V1"),
    (0x0304, "V2"),
    (0x0305, "V3"),
    (0x0306, "V4"),
    (0x0307, "V5"),
    (0x0308, "V6"),
    (0x033D, "III"),
    (0x033E, "AVR"),
    (0x033F, "AVL"),
    (0x0340, "AVF"),
    (0x0343, "V"),
    (0x034B, "MCL"),
)
_TEMPERATURES = (
    (0x4B50, "TEMP_ART", "arterial temperature"),
    (0x4B54, "TEMP_AWAY", "airway temperature"),
    (0x4B60, "TEMP_CORE", "core temperature"),
    (0x4B64, "TEMP_ESOPH", "oesophageal temperature"),
    (0x4B6C, "TEMP_NASOPH", "nasopharyngeal temperature"),
    (0x4B74, "TEMP_SKIN", "skin temperature"),
    (0x4B78, "TEMP_TYMP", "tympanic temperature"),
    (0x4B7C, "TEMP_VEN", "venous temperature"),
    (0xE004, "TEMP_RECT", "rectal temperature"),
    (0xE014, "TEMP_BLD", "blood temperature"),
    (0xF0C7, "TEMP_GEN_1", "temperature 1"),
    (0xF0C8, "TEMP_GEN_2", "temperature 2"),
    (0xF0C9, "TEMP_GEN_3", "temperature 3"),
    (0xF0CA, "TEMP_GEN_4", "temperature 4"),
)
_OTHERS = (
    (0x3F20, "ECG_TIME_PD_QT_GL", "ms", "QT", 0, 2000),
    (0x3F24, "ECG_TIME_PD_QTc", "ms", "QTc", 0, 2000),
    (0x418A, "ECG_CARD_BEAT_RATE_BTB", "/min", "beat-to-beat heart rate", 0, 400),
    (0x4261, "ECG_V_P_C_CNT", "/min", "ventricular premature beats", 0, 400),
    (0x480A, "PULS_RATE", "/min", "pulse rate", 1, 400),
    (0x490C, "OUTPUT_CARD_INDEX", "L/min/m2", "cardiac index", 0, 30),
    (0x4A24, "PRESS_BLD_ART_PULM_WEDGE", "mm[Hg]", "wedge pressure", -40, 400),
    (0x4B04, "OUTPUT_CARD", "L/min", "cardiac output", 0, 50),
    (0x4B34, "SAT_O2_ART", "%", "arterial oxygen saturation", 1, 100),
    (0x4B3C, "SAT_O2_VEN", "%", "venous oxygen saturation", 1, 100),
    (0x4B84, "VOL_BLD_STROKE", "mL", "stroke volume", 0, 500),
    (0x4BB0, "PULS_OXIM_PERF_REL", "1", "relative perfusion", 0, 1000),
    (0x4BC8, "PULS_OXIM_SAT_O2_ART_LEFT", "%", "SpO2 left", 1, 100),
    (0x4BCC, "PULS_OXIM_SAT_O2_ART_RIGHT", "%", "SpO2 right", 1, 100),
    (0x4BDC, "OUTPUT_CARD_CTS", "L/min", "continuous cardiac output", 0, 50),
    (0x5012, "AWAY_RESP_RATE", "/min", "airway respiration rate", 0, 200),
    (0x508C, "COMPL_LUNG_DYN", "mL/cm[H2O]", "dynamic compliance", 0, 1000),
    (0x50BA, "AWAY_CO2_INSP_MIN", "mm[Hg]", "inspired CO2", 0, 200),
    (0x50CC, "CO2_TCUT", "mm[Hg]", "transcutaneous CO2", 0, 300),
    (0x50D0, "O2_TCUT", "mm[Hg]", "transcutaneous O2", 0, 800),
    (0x50E8, "PRESS_RESP_PLAT", "cm[H2O]", "plateau pressure", -50, 200),
    (0x5109, "PRESS_AWAY_INSP_MAX", "cm[H2O]", "peak inspiratory pressure", -50, 200),
    (0x513C, "VOL_AWAY_TIDAL", "mL", "tidal volume", 0, 10000),
    (0x5148, "VOL_MINUTE_AWAY", "L/min", "minute volume", 0, 100),
    (0x51A8, "VENT_PRESS_AWAY_END_EXP_POS", "cm[H2O]", "PEEP", -20, 100),
    (0x5284, "CONC_AWAY_O2_INSP", "%", "inspired O2", 0, 100),
    (0x5378, "CONC_AWAY_O2_ET", "%", "end-tidal O2", 0, 100),
    (0x5804, "PRESS_CEREB_PERF", "mm[Hg]", "cerebral perfusion pressure", -50, 400),
    (0xD006, "ECG_STAT_ECT", "", "ectopic status", -math.inf, math.inf),
    (0xD007, "ECG_STAT_RHY", "", "rhythm status", -math.inf, math.inf),
)

_VENDORS = (
    (0xF03D, "ECG_AMPL_ST_INDEX", "mm", "ST index", 0, 100),
    (0xF049, "VOL_BLD_STROKE_VAR", "%", "stroke volume variation", 0, 100),
    (0xF04E, "EEG_BISPECTRAL_INDEX", "1", "bispectral index", 0, 100),
    (0xF06C, "SAT_DIFF_O2_ART_VEN", "%", "SpO2 to SvO2 difference", -100, 100),
    (0xF08A, "PULS_OXIM_PERF_REL_LEFT", "1", "relative perfusion left", 0, 1000),
    (0xF08B, "PULS_OXIM_PERF_REL_RIGHT", "1", "relative perfusion right", 0, 1000),
    (0xF09C, "PULS_OXIM_SAT_O2_TELE", "%", "SpO2 by telemetry", 1, 100),
    (0xF09D, "PULS_OXIM_PULS_RATE_TELE", "/min", "pulse rate by telemetry", 1, 400),
    (0xF0E3, "PULS_PRESS_VAR", "%", "pulse pressure variation", 0, 100),
    (0xF100, "SAT_O2_VEN_CENT", "%", "central venous oxygen saturation", 1, 100),
    (0xF154, "ECG_TIME_PD_QT_HEART_RATE", "/min", "heart rate of QT", 0, 400),
    (0xF156, "ECG_TIME_PD_QTc_DELTA", "ms", "QTc change", -2000, 2000),
    (0xF1C0, "PULS_OXIM_SAT_O2_PRE_DUCTAL", "%", "SpO2 pre-ductal", 1, 100),
    (0xF1D4, "PULS_OXIM_SAT_O2_POST_DUCTAL", "%", "SpO2 post-ductal", 1, 100),
)

_seen: set[int] = set()


def context_free(partition: int, term: int) -> int:
    """The code of a term; the vendor's own terms are moved to the private partition."""
    if term >= PRIVATE_FIRST:
        partition = PARTITION_PRIVATE
    return partition << 16 | term


def metric_code(physio_id: int) -> int:
    """The metric's code inside Wardgate."""
    return SAME_AS.get(physio_id) or context_free(PARTITION_METRICS, physio_id)


def known(physio_id: int, unit_code: int) -> terms.Metric | None:
    """The metric's row, made on sight if need be.

    None when it has no row and can't get one: its unit is unknown, or there are too many.
    """
    code = metric_code(physio_id)
    row = terms.METRICS.get(code)
    if row is not None:
        return row
    unit = UCUM.get(unit_code)
    if unit is None or len(_seen) >= SEEN_METRICS_MAX:
        return None
    _seen.add(code)
    name = f"{physio_id:04X}"
    row = terms.Metric(code, f"PHILIPS_{name}", unit, name, -math.inf, math.inf, UNLABELLED)
    terms.register(row)
    return row


def _register(term: int, refid: str, unit: str, name: str, low: float, high: float) -> None:
    prefix = "PHILIPS" if term >= PRIVATE_FIRST else "MDC"
    code = metric_code(term)
    terms.register(terms.Metric(code, f"{prefix}_{refid}", unit, name, low, high, _VITAL))


def _register_all() -> None:
    for term, refid, name in _PRESSURES:
        for offset, suffix, words in (
            (0, "", ""),
            (1, "_SYS", ", systolic"),
            (2, "_DIA", ", diastolic"),
            (3, "_MEAN", ", mean"),
        ):
            _register(term + offset, refid + suffix, "mm[Hg]", name + words, -40, 400)
    for term, lead in _ST_LEADS:
        _register(term, f"ECG_AMPL_ST_{lead}", "mm", f"ST {lead}", -50, 50)
    for term, refid, name in _TEMPERATURES:
        _register(term, refid, "Cel", name, 10, 50)
    for row in (*_OTHERS, *_VENDORS):
        _register(*row)
    terms.register(
        terms.Metric(
            SAME_AS[0xF0E5], "MDC_PULS_RATE_NON_INV", "/min", "NIBP pulse rate", 1, 400, _VITAL
        )
    )


_register_all()
