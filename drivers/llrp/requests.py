"""What a reader is told, made of its settings and of what it says that it can.

Rules:

- The ROSpec's number is a digest of all that it asks for. A reader that still has a ROSpec of this
  number does just what it is to do, whatever it makes of the rest when it tells it back; so it
  needs no other after a lost connection, and goes on with what it held.
- With ``report_ms`` the ROSpec starts by itself (Immediate), its one AISpec lasts as long, and a
  ROSpec ends with its last AISpec: so the reader begins again and again, and reports each
  time what it saw. Without, it is started once and lasts.
- Nothing that a reader can't do is left out in silence: see :class:`UnfitError`.
"""

from __future__ import annotations

import zlib
from typing import Final

import msgspec
from llrpkit.protocol import CustomParameter, enums, impinj, messages, params

from drivers.llrp.settings import ReaderSettings
from gateway.domain.errors import WardgateError

IMPINJ: Final = 25882
"""Its Private Enterprise Number, DeviceManufacturerName of its readers."""
_SEARCH_MODES: Final = {
    "reader_selected": impinj.ImpinjInventorySearchType.Reader_Selected,
    "single_target": impinj.ImpinjInventorySearchType.Single_Target,
    "dual_target": impinj.ImpinjInventorySearchType.Dual_Target,
    "single_target_with_suppression": (
        impinj.ImpinjInventorySearchType.Single_Target_With_Suppression
    ),
}
_INVENTORY: Final = 1
"""InventoryParameterSpecID: any but 0."""
_ALL_ANTENNAS: Final = 0
_DBM_STEPS: Final = 100
"""TransmitPowerValue is in hundredths of a dBm."""


class UnfitError(WardgateError):
    """This reader can't do what is configured; the message says which setting."""

    reason = "unfit"


class Abilities(msgspec.Struct, frozen=True):
    """Of what a reader says about itself, the part that is asked for here."""

    antennas: int = 0
    inputs: int = 0
    holds: bool = False
    """SupportsEventAndReportHolding."""
    warns: bool = False
    """CanReportBufferFillWarning."""
    impinj: bool = False
    powers: tuple[tuple[int, int], ...] = ()
    """Index and hundredths of a dBm, of each step."""
    hops: bool = True
    hop_table: int = 1
    firmware: str = ""

    @classmethod
    def of(cls, said: messages.GET_READER_CAPABILITIES_RESPONSE) -> Abilities:
        """Read a reader's answer; what it leaves out, it can't do."""
        device, llrp = said.general_device_capabilities, said.llrp_capabilities
        regulatory = said.regulatory_capabilities
        uhf = regulatory.uhf_band_capabilities if regulatory is not None else None
        powers: tuple[tuple[int, int], ...] = ()
        hops, table = True, 1
        if uhf is not None:
            powers = tuple(
                (each.index, each.transmit_power_value)
                for each in uhf.transmit_power_level_table_entrys
            )
            hops = uhf.frequency_information.hopping
            tables = uhf.frequency_information.frequency_hop_tables
            table = tables[0].hop_table_id if tables else 1
        return cls(
            antennas=device.max_number_of_antenna_supported if device is not None else 0,
            inputs=device.gpio_capabilities.num_gp_is if device is not None else 0,
            holds=llrp is not None and llrp.supports_event_and_report_holding,
            warns=llrp is not None and llrp.can_report_buffer_fill_warning,
            impinj=device is not None and device.device_manufacturer_name == IMPINJ,
            powers=powers,
            hops=hops,
            hop_table=table,
            firmware=device.reader_firmware_version if device is not None else "",
        )


def extensions(settings: ReaderSettings, abilities: Abilities) -> bool:
    """Whether the vendor's extensions have to be switched on first.

    Raises:
        UnfitError: ``search_mode`` with a reader of another vendor.
    """
    if settings.search_mode and not abilities.impinj:
        raise UnfitError("search_mode: this is no Impinj reader")
    return bool(settings.search_mode)


def inputs(settings: ReaderSettings, abilities: Abilities) -> tuple[int, ...]:
    """The inputs that are listened to.

    Raises:
        UnfitError: the reader has fewer.
    """
    chosen = settings.inputs or tuple(range(1, abilities.inputs + 1))
    if chosen and max(chosen) > abilities.inputs:
        raise UnfitError(f"inputs: the reader has {abilities.inputs}")
    return chosen


def configuration(settings: ReaderSettings, abilities: Abilities) -> messages.SET_READER_CONFIG:
    """What holds besides the ROSpec: keep-alives, events, inputs, holding.

    Raises:
        UnfitError: see :func:`inputs`.
    """
    kinds = enums.NotificationEventType
    told = {
        kinds.GPI_Event: True,
        kinds.Reader_Exception_Event: True,
        kinds.Antenna_Event: True,
        # Of a ROSpec that begins again and again, nobody wants to hear each time.
        kinds.ROSpec_Event: not settings.report_ms,
    }
    if abilities.warns:
        told[kinds.Report_Buffer_Fill_Warning] = True
    return messages.SET_READER_CONFIG(
        reader_event_notification_spec=params.ReaderEventNotificationSpec(
            event_notification_states=[
                params.EventNotificationState(event_type=kind, notification_state=on)
                for kind, on in told.items()
            ]
        ),
        keepalive_spec=params.KeepaliveSpec(
            keepalive_trigger_type=enums.KeepaliveTriggerType.Periodic,
            periodic_trigger_value=round(settings.keepalive_s * 1000),
        ),
        gpi_port_current_states=[
            params.GPIPortCurrentState(
                gpi_port_num=port, config=True, state=enums.GPIPortState.Unknown
            )
            for port in inputs(settings, abilities)
        ],
        events_and_reports=(
            params.EventsAndReports(hold_events_and_reports_upon_reconnect=settings.hold)
            if abilities.holds
            else None
        ),
    )


def ro_spec(settings: ReaderSettings, abilities: Abilities) -> params.ROSpec:
    """How the reader looks for tags, and when it tells.

    Raises:
        UnfitError: it has no such antenna, power or search mode.
    """
    if settings.antennas and max(settings.antennas) > abilities.antennas:
        raise UnfitError(f"antennas: the reader has {abilities.antennas}")
    sweeps = settings.report_ms > 0
    starts, stops = enums.ROSpecStartTriggerType, enums.AISpecStopTriggerType
    reports = enums.ROReportTriggerType
    made = params.ROSpec(
        ro_boundary_spec=params.ROBoundarySpec(
            ro_spec_start_trigger=params.ROSpecStartTrigger(
                ro_spec_start_trigger_type=starts.Immediate if sweeps else starts.Null
            ),
            ro_spec_stop_trigger=params.ROSpecStopTrigger(),
        ),
        spec_parameters=[
            params.AISpec(
                antenna_ids=list(settings.antennas or (_ALL_ANTENNAS,)),
                ai_spec_stop_trigger=params.AISpecStopTrigger(
                    ai_spec_stop_trigger_type=stops.Duration if sweeps else stops.Null,
                    duration_trigger=settings.report_ms,
                ),
                inventory_parameter_specs=[
                    params.InventoryParameterSpec(
                        inventory_parameter_spec_id=_INVENTORY,
                        protocol_id=enums.AirProtocols.EPCGlobalClass1Gen2,
                        antenna_configurations=_antenna_configurations(settings, abilities),
                    )
                ],
            )
        ],
        ro_report_spec=params.ROReportSpec(
            ro_report_trigger=(
                reports.Upon_N_Tags_Or_End_Of_AISpec
                if sweeps
                else reports.Upon_N_Tags_Or_End_Of_ROSpec
            ),
            n=settings.report_tags,
            tag_report_content_selector=params.TagReportContentSelector(
                enable_antenna_id=True,
                enable_peak_rssi=True,
                enable_first_seen_timestamp=True,
                enable_last_seen_timestamp=True,
                enable_tag_seen_count=True,
            ),
        ),
    )
    made.ro_spec_id = zlib.crc32(made.encode()) or 1  # 0 means all of them
    return made


def _antenna_configurations(
    settings: ReaderSettings, abilities: Abilities
) -> list[params.AntennaConfiguration]:
    """For all antennas, and for each that differs."""
    own = {int(antenna): dbm for antenna, dbm in settings.power_dbm_of.items()}
    if own and max(own) > abilities.antennas:
        raise UnfitError(f"power_dbm_of: the reader has {abilities.antennas} antennas")
    # A configuration of a single antenna replaces the one for all, so each says everything.
    antennas = settings.antennas or tuple(range(1, abilities.antennas + 1)) if own else ()
    powers = {antenna: own.get(antenna, settings.power_dbm) for antenna in antennas} or {
        _ALL_ANTENNAS: settings.power_dbm
    }
    return [
        params.AntennaConfiguration(
            antenna_id=antenna,
            rf_transmitter=None if dbm is None else _transmitter(dbm, abilities),
            air_protocol_inventory_command_settings=[_inventory(settings)],
        )
        for antenna, dbm in sorted(powers.items())
    ]


def _transmitter(dbm: float, abilities: Abilities) -> params.RFTransmitter:
    least = min((value for _, value in abilities.powers), default=None)
    fitting = [(value, i) for i, value in abilities.powers if value <= round(dbm * _DBM_STEPS)]
    if not fitting:
        lowest = "no steps" if least is None else f"{least / _DBM_STEPS} dBm as its lowest step"
        raise UnfitError(f"power: the reader has {lowest}")
    _, index = max(fitting)
    if abilities.hops:  # a hopping reader has no channel to choose
        return params.RFTransmitter(hop_table_id=abilities.hop_table, transmit_power=index)
    return params.RFTransmitter(channel_index=1, transmit_power=index)


def _inventory(settings: ReaderSettings) -> params.C1G2InventoryCommand:
    custom: list[CustomParameter] = []
    if settings.search_mode:
        mode = _SEARCH_MODES[settings.search_mode]
        custom.append(impinj.ImpinjInventorySearchMode(inventory_search_mode=mode))
    return params.C1G2InventoryCommand(
        c1_g2_rf_control=(
            None if settings.rf_mode is None else params.C1G2RFControl(mode_index=settings.rf_mode)
        ),
        c1_g2_singulation_control=params.C1G2SingulationControl(
            session=settings.session, tag_population=settings.population
        ),
        custom=custom,
    )
