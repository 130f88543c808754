"""What a simulated reader says: LLRP messages, made of plain values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from llrpkit.protocol import BitStr, enums, messages, params

from firmware_sim.llrp.field import Sight

IMPINJ: Final = 25882
MODEL: Final = 2001002
POWERS_DBM: Final = range(10, 31)
EPC_96_DIGITS: Final = 24


HELD_MAX: Final = 1000
"""Messages that a reader's memory has room for."""


class Traits(NamedTuple):
    """What kind of reader it is."""

    antennas: int = 4
    inputs: int = 4
    uptime: bool = False
    """It has no clock, and stamps with its uptime."""
    holds: bool = True
    vendor: int = IMPINJ
    reader_id: bytes = bytes.fromhex("001625ffff1125d6")
    clock_offset_us: int = 0
    """How far its clock is off."""
    held_max: int = HELD_MAX


class Seen(NamedTuple):
    """A tag over a while at one antenna."""

    sight: Sight
    first_us: int
    last_us: int
    times: int


class Stamp(NamedTuple):
    """A time, by the clock that the reader has."""

    us: int
    uptime: bool

    def of_event(self) -> params.UTCTimestamp | params.Uptime:
        """As an event carries it."""
        kind = params.Uptime if self.uptime else params.UTCTimestamp
        return kind(microseconds=self.us)


def ok() -> params.LLRPStatus:
    """It is done."""
    return params.LLRPStatus(status_code=enums.StatusCode.M_Success)


def no(text: str, code: int = enums.StatusCode.M_ParameterError) -> params.LLRPStatus:
    """It can't be done."""
    return params.LLRPStatus(status_code=code, error_description=text)


def event(stamp: Stamp) -> messages.READER_EVENT_NOTIFICATION:
    """An event without a content, which is set on it."""
    data = params.ReaderEventNotificationData(timestamp=stamp.of_event())
    return messages.READER_EVENT_NOTIFICATION(reader_event_notification_data=data)


def greeting(stamp: Stamp, status: int) -> messages.READER_EVENT_NOTIFICATION:
    """ConnectionAttemptEvent."""
    made = event(stamp)
    made.reader_event_notification_data.connection_attempt_event = params.ConnectionAttemptEvent(
        status=status
    )
    return made


def report(seen: Iterable[Seen], *, uptime: bool) -> messages.RO_ACCESS_REPORT:
    """RO_ACCESS_REPORT."""
    return messages.RO_ACCESS_REPORT(tag_report_datas=[_tag(each, uptime) for each in seen])


def capabilities(traits: Traits) -> messages.GET_READER_CAPABILITIES_RESPONSE:
    """What it can do."""
    return messages.GET_READER_CAPABILITIES_RESPONSE(
        llrp_status=ok(),
        general_device_capabilities=params.GeneralDeviceCapabilities(
            max_number_of_antenna_supported=traits.antennas,
            has_utc_clock_capability=not traits.uptime,
            device_manufacturer_name=traits.vendor,
            model_name=MODEL,
            reader_firmware_version="sim 1.0",
            gpio_capabilities=params.GPIOCapabilities(num_gp_is=traits.inputs),
            per_antenna_air_protocols=[
                params.PerAntennaAirProtocol(antenna_id=each, protocol_id=b"\x01")
                for each in range(1, traits.antennas + 1)
            ],
            receive_sensitivity_table_entrys=[params.ReceiveSensitivityTableEntry(index=1)],
        ),
        llrp_capabilities=params.LLRPCapabilities(
            can_report_buffer_fill_warning=True,
            supports_event_and_report_holding=traits.holds,
            max_num_priority_levels_supported=1,
            max_num_ro_specs=4,
            max_num_specs_per_ro_spec=8,
            max_num_inventory_parameter_specs_per_ai_spec=1,
        ),
        regulatory_capabilities=params.RegulatoryCapabilities(
            country_code=276,
            communications_standard=enums.CommunicationsStandard.ETSI_302_208,
            uhf_band_capabilities=params.UHFBandCapabilities(
                transmit_power_level_table_entrys=[
                    params.TransmitPowerLevelTableEntry(index=index, transmit_power_value=dbm * 100)
                    for index, dbm in enumerate(POWERS_DBM, 1)
                ],
                frequency_information=params.FrequencyInformation(
                    fixed_frequency_table=params.FixedFrequencyTable(
                        frequency=[865_700, 866_300, 866_900, 867_500]
                    )
                ),
                air_protocol_uhfrf_mode_tables=[
                    params.C1G2UHFRFModeTable(
                        c1_g2_uhfrf_mode_table_entrys=[
                            params.C1G2UHFRFModeTableEntry(mode_identifier=1000)
                        ]
                    )
                ],
            ),
        ),
    )


def _tag(seen: Seen, uptime: bool) -> params.TagReportData:
    sight = seen.sight
    epc = bytes.fromhex(sight.epc)
    made = params.TagReportData(
        epc_parameter=(
            params.EPC_96(epc=epc)
            if len(sight.epc) == EPC_96_DIGITS
            else params.EPCData(epc=BitStr.from_bytes(epc))
        ),
        antenna_id=params.AntennaID(antenna_id=sight.antenna),
        peak_rssi=params.PeakRSSI(peak_rssi=sight.rssi_dbm),
        tag_seen_count=params.TagSeenCount(tag_count=seen.times),
    )
    if uptime:
        made.first_seen_timestamp_uptime = params.FirstSeenTimestampUptime(
            microseconds=seen.first_us
        )
        made.last_seen_timestamp_uptime = params.LastSeenTimestampUptime(microseconds=seen.last_us)
    else:
        made.first_seen_timestamp_utc = params.FirstSeenTimestampUTC(microseconds=seen.first_us)
        made.last_seen_timestamp_utc = params.LastSeenTimestampUTC(microseconds=seen.last_us)
    return made
