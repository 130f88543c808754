"""A decoded message against EdgeX's JSON of it, field by field."""

from __future__ import annotations

import base64
from typing import Any

from llrpkit.protocol import BitStr

NAMES = {
    # Theirs -> ours, where it is not the same word: of any parameter, or of one.
    "LLRPStatus": "llrp_status",
    "Status": "status_code",
    "MaxSupportedAntennas": "max_number_of_antenna_supported",
    "HasUTCClock": "has_utc_clock_capability",
    "DeviceManufacturer": "device_manufacturer_name",
    "Model": "model_name",
    "FirmwareVersion": "reader_firmware_version",
    "ReceiveSensitivities": "receive_sensitivity_table_entrys",
    "ReceiveSensitivity": "receive_sensitivity_value",
    "GPIOCapabilities": "gpio_capabilities",
    "NumGPIs": "num_gp_is",
    "NumGPOs": "num_gp_os",
    "AirProtocolIDs": "protocol_id",
    "LLRPCapabilities": "llrp_capabilities",
    "CanDoRFSurvey": "can_do_rf_survey",
    "SupportsEventsAndReportHolding": "supports_event_and_report_holding",
    "MaxPriorityLevelSupported": "max_num_priority_levels_supported",
    "ClientRequestedOpSpecTimeout": "client_request_op_spec_timeout",
    "MaxROSpecs": "max_num_ro_specs",
    "MaxSpecsPerROSpec": "max_num_specs_per_ro_spec",
    "MaxInventoryParameterSpecsPerAISpec": "max_num_inventory_parameter_specs_per_ai_spec",
    "MaxAccessSpecs": "max_num_access_specs",
    "MaxOpSpecsPerAccessSpec": "max_num_op_specs_per_access_spec",
    "UHFBandCapabilities": "uhf_band_capabilities",
    "TransmitPowerLevels": "transmit_power_level_table_entrys",
    "Frequencies": "frequency",
    "C1G2RFModes": "air_protocol_uhfrf_mode_tables",
    "UHFC1G2RFModeTableEntries": "c1_g2_uhfrf_mode_table_entrys",
    "ModeID": "mode_identifier",
    "DivideRatio": "dr_value",
    "IsEPCHagConformant": "epchagtc_conformance",
    "Modulation": "m_value",
    "SpectralMask": "spectral_mask_indicator",
    "BackscatterDataRate": "bdr_value",
    "PIERatio": "pie_value",
    "MinTariTime": "min_tari_value",
    "MaxTariTime": "max_tari_value",
    "StepTariTime": "step_tari_value",
    "C1G2LLRPCapabilities": "air_protocol_llrp_capabilities",
    "SupportsBlockErase": "can_support_block_erase",
    "SupportsBlockWrite": "can_support_block_write",
    "MaxSelectFiltersPerQuery": "max_num_select_filters_per_query",
    "ROSpecs": "ro_specs",
    "IDType": "id_type",
    "ReaderID": "reader_id",
    "RFReceiver": "rf_receiver",
    "RFTransmitter": "rf_transmitter",
    "TransmitPowerIndex": "transmit_power",
    "C1G2InventoryCommand": "air_protocol_inventory_command_settings",
    "Filters": "c1_g2_filters",
    "RFControl": "c1_g2_rf_control",
    "RFModeID": "mode_index",
    "SingulationControl": "c1_g2_singulation_control",
    "InvAwareAction": "c1_g2_tag_inventory_state_aware_singulation_action",
    "ReaderEventType": "event_type",
    "NotificationEnabled": "notification_state",
    "ROReportSpec": "ro_report_spec",
    "EnableROSpecID": "enable_ro_spec_id",
    "EnableInventoryParamSpecID": "enable_inventory_parameter_spec_id",
    "EnablePeakRSSI": "enable_peak_rssi",
    "C1G2EPCMemorySelector": "air_protocol_epc_memory_selectors",
    "CRCEnabled": "enable_crc",
    "PCBitsEnabled": "enable_pc_bits",
    "KeepAliveSpec": "keepalive_spec",
    "Interval": "periodic_trigger_value",
    "GPIPortCurrentStates": "gpi_port_current_states",
    "GPOWriteData": "gpo_write_datas",
    "LLRPConfigurationStateValue": "llrp_configuration_state_value",
    "TagReportData": "tag_report_datas",
    "RFSurveyReportData": "rf_survey_report_datas",
    "EPC96": "epc_parameter",
    "ROSpecID": "ro_spec_id",
    "PeakRSSI": "peak_rssi",
    "FirstSeenUTC": "first_seen_timestamp_utc",
    "FirstSeenUptime": "first_seen_timestamp_uptime",
    "LastSeenUTC": "last_seen_timestamp_utc",
    "LastSeenUptime": "last_seen_timestamp_uptime",
    "UTCTimestamp": "timestamp",
    "GPIEvent": "gpi_event",
    "ROSpecEvent": "ro_spec_event",
    "RFSurveyEvent": "rf_survey_event",
    "AISpecEvent": "ai_spec_event",
}
OF_ONE = {
    ("ROReportSpec", "Trigger"): "ro_report_trigger",
    ("KeepaliveSpec", "Trigger"): "keepalive_trigger_type",
    ("GPIPortCurrentState", "Port"): "gpi_port_num",
    ("GPIPortCurrentState", "Enabled"): "config",
    ("GPOWriteData", "Port"): "gpo_port_number",
    ("GPOWriteData", "Data"): "gpo_data",
    ("TransmitPowerLevelTableEntry", "Index"): "index",
}
UNKNOWN = {
    # Of LLRP 1.1, or the other form of what is compared: must be empty there.
    "MaximumReceiveSensitivity",
    "RFSurveyFrequencyCapabilities",
    "SupportsBlockPermalock",
    "SupportsTagRecommissioning",
    "SupportsUMIMethod2",
    "SupportsXPC",
    "XPCBitsEnabled",
    "SpecLoopEvent",
    "Uptime",
}
RESULTS = ("C1G2", "ClientRequestOpSpecResult", "AccessSpecID", "EPCData")


def snake(name: str) -> str:
    """``PeakRSSI`` would be ``peak_r_s_s_i``: only for words without abbreviations."""
    out = ""
    for at, letter in enumerate(name):
        follows_small = at and (name[at - 1].islower() or name[at - 1].isdigit())
        before_small = at and at + 1 < len(name) and name[at + 1].islower() and letter.isupper()
        out += (
            "_" + letter.lower()
            if letter.isupper() and (follows_small or before_small)
            else (letter.lower())
        )
    return out


def compare(ours: Any, theirs: Any, path: str = "") -> int:
    """Check that both say the same; returns how many values were compared."""
    if isinstance(theirs, dict):
        if isinstance(ours, list):
            assert len(ours) == 1, path
            ours = ours[0]
        return sum(_field(ours, key, value, path) for key, value in theirs.items())
    if isinstance(theirs, list):
        assert len(ours) == len(theirs), path
        return sum(
            compare(one, other, f"{path}[{at}]")
            for at, (one, other) in enumerate(zip(ours, theirs, strict=True))
        )
    value = _plain(ours)
    if isinstance(value, bytes):
        value = base64.b64encode(value).decode()
    assert value == theirs, f"{path}: {value!r} is not {theirs!r}"
    return 1


def _field(ours: Any, key: str, value: Any, path: str) -> int:
    here = f"{path}.{key}"
    kind = type(ours).__name__
    name = OF_ONE.get((kind, key)) or NAMES.get(key) or snake(key)
    empty = value is None or value is False or value == 0 or value == ""
    if key in UNKNOWN or (key.startswith(RESULTS) and not hasattr(ours, name)):
        assert empty or not any(value.values()), here
        return 0
    found = ours.unbound_params if key == "Custom" else getattr(ours, name)
    if value is None:
        assert not found, here
        return 1
    if value == {}:
        assert found is not None, here
        return 1
    return compare(found, value, here)


def _plain(ours: Any) -> Any:
    """What a parameter with one field says."""
    while hasattr(ours, "PARAM_TYPE"):
        fields = [each for each in vars(ours) if not each.startswith("_")]
        assert len(fields) == 1, ours
        ours = getattr(ours, fields[0])
    return ours.data if isinstance(ours, BitStr) else ours
