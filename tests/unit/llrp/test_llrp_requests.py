"""Settings and a reader's abilities -> what it is told; and what a configuration may say."""

from __future__ import annotations

from pathlib import Path

import pytest
from llrpkit.protocol import enums, impinj, messages, params

from drivers.llrp import requests
from drivers.llrp.config import LlrpConfig, Place, Reader
from drivers.llrp.requests import Abilities, UnfitError
from drivers.llrp.settings import ReaderSettings
from gateway import tomlfile
from gateway.domain.errors import ConfigError

STEPS = tuple((index, 1000 + 25 * index) for index in range(81))
ABLE = Abilities(antennas=4, inputs=4, holds=True, warns=True, impinj=True, powers=STEPS)


def antennas_of(spec: params.ROSpec) -> dict[int, params.AntennaConfiguration]:
    (part,) = spec.spec_parameters
    assert isinstance(part, params.AISpec)
    (inventory,) = part.inventory_parameter_specs
    return {each.antenna_id: each for each in inventory.antenna_configurations}


def power(settings: ReaderSettings, abilities: Abilities = ABLE) -> dict[int, int | None]:
    found = antennas_of(requests.ro_spec(settings, abilities))
    table = dict(abilities.powers)
    return {
        antenna: table[each.rf_transmitter.transmit_power] if each.rf_transmitter else None
        for antenna, each in found.items()
    }


def test_the_readers_own_power_is_left_alone() -> None:
    assert power(ReaderSettings()) == {0: None}


def test_the_next_lower_step_is_taken() -> None:
    assert power(ReaderSettings(power_dbm=24.1)) == {0: 2400}


def test_single_antennas_differ_and_say_everything() -> None:
    settings = ReaderSettings(power_dbm=24.0, power_dbm_of={"3": 18.0}, session=2)
    assert power(settings) == {1: 2400, 2: 2400, 3: 1800, 4: 2400}
    for each in antennas_of(requests.ro_spec(settings, ABLE)).values():
        (command,) = each.air_protocol_inventory_command_settings
        assert command.c1_g2_singulation_control is not None
        assert command.c1_g2_singulation_control.session == 2


def test_a_reader_without_hopping_is_given_a_channel() -> None:
    fixed = Abilities(antennas=1, powers=((1, 1000),), hops=False)
    (only,) = antennas_of(requests.ro_spec(ReaderSettings(power_dbm=10.0), fixed)).values()
    assert only.rf_transmitter == params.RFTransmitter(channel_index=1, transmit_power=1)


@pytest.mark.parametrize(
    ("settings", "abilities"),
    [
        (ReaderSettings(power_dbm=9.9), ABLE),
        (ReaderSettings(power_dbm=20.0), Abilities(antennas=4)),
        (ReaderSettings(antennas=(5,)), ABLE),
        (ReaderSettings(power_dbm_of={"5": 20.0}), ABLE),
    ],
)
def test_what_a_reader_can_not_do(settings: ReaderSettings, abilities: Abilities) -> None:
    with pytest.raises(UnfitError):
        requests.ro_spec(settings, abilities)


def test_by_time_and_by_number() -> None:
    timed = requests.ro_spec(ReaderSettings(report_ms=500, report_tags=9), ABLE)
    assert timed.ro_report_spec is not None
    kinds = enums.ROReportTriggerType
    assert timed.ro_report_spec.ro_report_trigger == kinds.Upon_N_Tags_Or_End_Of_AISpec
    assert timed.ro_report_spec.n == 9
    start = timed.ro_boundary_spec.ro_spec_start_trigger.ro_spec_start_trigger_type
    assert start == enums.ROSpecStartTriggerType.Immediate
    single = requests.ro_spec(ReaderSettings(report_ms=0, report_tags=1), ABLE)
    assert single.ro_report_spec is not None
    assert single.ro_report_spec.ro_report_trigger == kinds.Upon_N_Tags_Or_End_Of_ROSpec
    start = single.ro_boundary_spec.ro_spec_start_trigger.ro_spec_start_trigger_type
    assert start == enums.ROSpecStartTriggerType.Null


def test_the_number_says_what_is_asked_for() -> None:
    same = [requests.ro_spec(ReaderSettings(), ABLE).ro_spec_id for _ in range(2)]
    assert same[0] == same[1] != 0
    other = requests.ro_spec(ReaderSettings(session=2), ABLE).ro_spec_id
    assert other != same[0]


def test_the_search_mode_is_impinjs() -> None:
    spec = requests.ro_spec(ReaderSettings(search_mode="dual_target"), ABLE)
    (command,) = antennas_of(spec)[0].air_protocol_inventory_command_settings
    (mode,) = command.custom
    assert isinstance(mode, impinj.ImpinjInventorySearchMode)
    assert mode.inventory_search_mode == 2


def test_a_reader_that_can_not_hold_is_not_asked_to() -> None:
    plain = Abilities(inputs=2)
    setting = requests.configuration(ReaderSettings(), plain)
    assert setting.events_and_reports is None
    assert [each.gpi_port_num for each in setting.gpi_port_current_states] == [1, 2]
    assert setting.keepalive_spec is not None
    assert setting.keepalive_spec.periodic_trigger_value == 5000
    assert requests.configuration(ReaderSettings(hold=False), ABLE).events_and_reports == (
        params.EventsAndReports(hold_events_and_reports_upon_reconnect=False)
    )


def test_a_reader_that_says_little_can_do_little() -> None:
    said = messages.GET_READER_CAPABILITIES_RESPONSE(llrp_status=params.LLRPStatus())
    assert Abilities.of(said) == Abilities()


# Configuration

PLAIN: dict[str, object] = {"device_id": "r1", "address": "10.20.30.7"}


def config(*readers: dict[str, object], networks: tuple[str, ...] = ("10.20.30.0/24",)):
    table = {"readers": list(readers), "networks": list(networks)}
    return tomlfile.convert(table, LlrpConfig, base=Path("/"), where="drivers.llrp")


@pytest.mark.parametrize(
    ("address", "tls", "place"),
    [
        ("10.0.0.7", False, Place("10.0.0.7", 5084)),
        ("10.0.0.7:6000", False, Place("10.0.0.7", 6000)),
        ("fd00::7", False, Place("fd00::7", 5084)),
        ("[fd00::7]", True, Place("fd00::7", 5085)),
        ("[fd00::7]:6001", True, Place("fd00::7", 6001)),
        ("reader.ward.example", True, Place("reader.ward.example", 5085)),
        ("reader.ward.example:7", True, Place("reader.ward.example", 7)),
    ],
)
def test_where_a_reader_is(address: str, tls: bool, place: Place) -> None:
    reader = Reader(device_id="r", address=address, tls=tls)
    assert reader.place() == place


def test_the_packet_filter_lets_readers_through() -> None:
    made = config(PLAIN, {"device_id": "r2", "address": "[fd00::7]", "tls": True})
    assert made.dials == ("10.20.30.7:5084", "[fd00::7]:5085")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"address": "reader.ward.example"}, "literal address"),
        ({"address": "10.20.31.7"}, "none of networks"),
        ({"address": "10.20.30.7:0"}, "port"),
        ({"address": "10.20.30.7:x"}, "port"),
        ({"device_id": ""}, "device_id"),
        ({"pin": "sha256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}, "tls = true"),
        ({"tls": True, "pin": "sha256:xyz"}, "pin"),
        ({"tls": True, "address": "-reader"}, "host"),
        ({"antennas": [0]}, "antennas"),
        ({"antennas": [1, 1]}, "antennas"),
        ({"inputs": [99]}, "inputs"),
        ({"power_dbm": 40.0}, "power_dbm"),
        ({"power_dbm_of": {"x": 20.0}}, "power_dbm_of"),
        ({"population": 0}, "population"),
        ({"report_ms": 50}, "report_ms"),
        ({"report_tags": 0}, "report_tags"),
        ({"report_ms": 0, "report_tags": 2}, "report_tags"),
        ({"keepalive_s": 0.1}, "keepalive_s"),
        ({"answer_s": 0.1}, "answer_s"),
        ({"reader_id": "xyz"}, "reader_id"),
        ({"session": 4}, "session"),
        ({"search_mode": "best"}, "search_mode"),
        ({"passwort": "x"}, "passwort"),
    ],
)
def test_what_a_configuration_may_not_say(more: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        config({**PLAIN, **more})


def test_no_reader_stands_twice() -> None:
    with pytest.raises(ConfigError, match="address"):
        config(PLAIN, {**PLAIN, "device_id": "r2"})
    with pytest.raises(ConfigError, match="device_id"):
        config(PLAIN, {**PLAIN, "address": "10.20.30.8"})
