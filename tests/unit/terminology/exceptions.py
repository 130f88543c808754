"""Where our tables differ from the RTMMS tables of 2019, and why."""

_LEAD = "the curve of an ECG lead: the tables have the ST levels and rates of leads alone"
_YOUNGER = "younger than the tables; IHE PCD messages of pumps have it"
_DEVICE = "an attribute of the device: the tables have what is measured"
ABSENT = {
    "MDC_ECG_ELEC_POTL_MCL": _LEAD,
    **{f"MDC_ECG_ELEC_POTL_V{lead}": _LEAD for lead in range(1, 7)},
    "MDC_ATTR_PT_AGE": "an attribute of the patient object: term 2520 of partition 1",
    "MDC_ATTR_VAL_BATT_CHARGE": "an attribute of the device: term 2460 of partition 1",
    "MDC_ECG_ELEC_POTL": _LEAD,
    "MDC_ECG_ELEC_POTL_AVF": _LEAD,
    "MDC_ECG_ELEC_POTL_AVL": _LEAD,
    "MDC_ECG_ELEC_POTL_AVR": _LEAD,
    "MDC_ECG_ELEC_POTL_I": _LEAD,
    "MDC_ECG_ELEC_POTL_II": _LEAD,
    "MDC_ECG_ELEC_POTL_III": _LEAD,
    "MDC_ECG_ELEC_POTL_V": _LEAD,
    "MDC_PRESS_BLD_VENT_RIGHT": "the tables have its systolic, diastolic and mean alone",
    "MDC_FLOW_FLUID_PUMP_CURRENT": _YOUNGER,
    "MDC_DEV_PUMP_CURRENT_DELIVERY_STATUS": _YOUNGER,
    "MDC_DEV_PUMP_NOT_DELIVERING_REASON": _YOUNGER,
    "MDC_DEV_PUMP_PROGRAM_DELIVERY_MODE": _YOUNGER,
    "MDC_DEV_PUMP_SOURCE_CHANNEL_LABEL": _YOUNGER,
    "MDC_DEV_PUMP_ACTIVE_SOURCES": _YOUNGER,
    "MDC_PUMP_DRUG_LIBRARY_NAME": _YOUNGER,
    "MDC_ATTR_EVT_COND": _YOUNGER,
    "MDC_ATTR_EVT_SOURCE": _YOUNGER,
    "MDC_ATTR_ID_MODEL": _DEVICE,
    "MDC_ATTR_POWER_STAT": _DEVICE,
    "MDC_ATTR_SYS_ID": _DEVICE,
    "MDC_ATTR_TIME_BATT_REMAIN": _DEVICE,
    "MDC_ID_PROD_SPEC_FW": _DEVICE,
    "MDC_EVT_ALARM": "an event, which IHE's alarms have in the place of a metric",
}
"""REFIDs that the tables lack."""
OTHER_CODE = {
    "MDC_ATTR_ALERT_SOURCE": 68480,
    "MDC_ATTR_EVENT_PHASE": 68481,
    "MDC_ATTR_ALARM_STATE": 68482,
    "MDC_ATTR_ALARM_INACTIVATION_STATE": 68483,
    "MDC_ATTR_ALARM_PRIORITY": 68484,
    "MDC_ATTR_ALERT_TYPE": 68485,
}
"""The tables have 68164 to 68169; IHE's messages, and every pump's that was seen, have these."""

_OHM = "the tables' metrics have MDC_DIM_OHM, which its units don't: there it is MDC_DIM_X_OHM"
_WORD = "a word, and no number: the tables have a dimensionless unit"
OTHER_UNIT = {
    "MDC_IMPED_TTHOR": _OHM,
    "MDC_ECG_V_P_C_CNT": "monitors count the beats of a minute; the tables have beats",
    "MDC_VENT_MODE": "a mode is one of some words, and no number",
    "MDC_SYRINGE_TYPE": _WORD,
    "MDC_SYRINGE_MANUFACTURER": _WORD,
    **dict.fromkeys(OTHER_CODE, _WORD),
}
"""REFIDs that have a unit which the tables do not allow."""

_GAS = "between a gas's share and its partial pressure stands the ambient pressure"
NOT_CONVERTED = {
    **dict.fromkeys(OTHER_CODE, _WORD),
    "MDC_IMPED_TTHOR": _OHM,
    "MDC_AWAY_CO2": _GAS,
    "MDC_AWAY_CO2_INSP_MIN": _GAS,
    "MDC_CONC_AWAY_AGENT": _GAS,
    "MDC_CONC_AWAY_AGENT_ET": _GAS,
    "MDC_CONC_AWAY_AGENT_INSP": _GAS,
    "MDC_CONC_AWAY_CO2": _GAS,
    "MDC_CONC_AWAY_CO2_ET": _GAS,
    "MDC_CONC_AWAY_CO2_INSP": _GAS,
    "MDC_CONC_AWAY_DESFL_ET": _GAS,
    "MDC_CONC_AWAY_DESFL_INSP": _GAS,
    "MDC_CONC_AWAY_ENFL_ET": _GAS,
    "MDC_CONC_AWAY_ENFL_INSP": _GAS,
    "MDC_CONC_AWAY_HALOTH_ET": _GAS,
    "MDC_CONC_AWAY_HALOTH_INSP": _GAS,
    "MDC_CONC_AWAY_ISOFL_ET": _GAS,
    "MDC_CONC_AWAY_ISOFL_INSP": _GAS,
    "MDC_CONC_AWAY_N2O": _GAS,
    "MDC_CONC_AWAY_N2O_ET": _GAS,
    "MDC_CONC_AWAY_N2O_INSP": _GAS,
    "MDC_CONC_AWAY_O2": _GAS,
    "MDC_CONC_AWAY_O2_ET": _GAS,
    "MDC_CONC_AWAY_O2_INSP": _GAS,
    "MDC_CONC_AWAY_SEVOFL_ET": _GAS,
    "MDC_CONC_AWAY_SEVOFL_INSP": _GAS,
    "MDC_ECG_V_P_C_CNT": "see OTHER_UNIT",
    "MDC_VENT_CONC_AWAY_O2_DELTA": _GAS,
    "MDC_VENT_MODE": "see OTHER_UNIT",
    "MDC_SYRINGE_TYPE": _WORD,
    "MDC_SYRINGE_MANUFACTURER": _WORD,
    "MDC_TIME_PD_APNEA": "the tables' MDC_DIM_SEC has the code of no unit",
    "MDC_VENT_VOL_LEAK": "the tables allow a share of the volume, too",
}
"""REFIDs that the tables allow in units which the unit alone does not convert: INVALID then."""

UNITS_ABSENT: dict[str, str] = {}
"""Names of units that the tables lack."""

OTHER_SPELLING = {
    "MDC_DIM_CM_H2O_PER_L_PER_SEC": "cm[H2O]/L/s is cm[H2O]/(L.s) to UCUM, which is no resistance",
}
"""Names of units that Wardgate writes otherwise."""
