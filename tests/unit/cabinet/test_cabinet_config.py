"""``[[cabinets]]``: what is understood, and what is refused with its name."""

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from gateway.cabinet.config import CabinetTable, Spot, check_cabinets
from gateway.domain.errors import ConfigError
from gateway.preflight import Finding, cabinet_findings

FULL = """
[[cabinets]]
name = "drugs-1"
kind = "controlled"
roles = ["nurse", "pharmacist"]
two_person_window_s = 20
badge_antennas = ["r-1:4"]

[[cabinets.places]]
name = "drawer-1"
antennas = ["r-1:1", "r-1:2"]
reference = "E20000000000000000000001"

[[cabinets.doors]]
name = "front"
input = "r-1:1"
open_when = "low"

[cabinets.reads]
absent_s = 12
"""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    cabinets: tuple[CabinetTable, ...]


def read(text):
    cabinets = msgspec.toml.decode(text, type=_File).cabinets
    check_cabinets(cabinets)
    return cabinets


def test_a_whole_table():
    (cabinet,) = read(FULL)
    assert cabinet.places[0].spots == (Spot("r-1", 1), Spot("r-1", 2))
    assert cabinet.doors[0].spot == Spot("r-1", 1)
    assert cabinet.readers == {"r-1"}
    assert cabinet.persons == 2
    assert cabinet.reads.absent_s == 12


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('"r-1:2"', '"r-1"'), "cabinets: drugs-1: 'r-1' is not reader:number"),
        (('"r-1:2"', '"r-1:x"'), "cabinets: drugs-1: 'r-1:x' is not reader:number"),
        (('"r-1:2"', '"r-1:4"'), "cabinets: antennas: r-1:4 is named twice"),
        (('antennas = ["r-1:1", "r-1:2"]', "antennas = []"), "places: drawer-1: no antennas"),
        (('roles = ["nurse", "pharmacist"]', ""), "a controlled cabinet needs doors and roles"),
        (('input = "r-1:1"', 'input = "r-1:1"\nplaces = ["x"]'), "doors: front: no place 'x'"),
        (('"E20000000000000000000001"', '"e2"'), "'e2' is not upper-case hexadecimal"),
    ],
)
def test_what_can_not_be_meant_is_refused(change, said):
    assert change[0] in FULL
    with pytest.raises(ConfigError) as refused:
        read(FULL.replace(*change))
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "change",
    [
        ('name = "drugs-1"', 'name = "Drugs 1"'),
        ("absent_s = 12", "absent_s = 0"),
        ("absent_s = 12", "absent = 12"),
        ('kind = "controlled"', 'kind = "fridge"'),
    ],
)
def test_a_wrong_value_is_refused_by_its_path(change):
    assert change[0] in FULL
    with pytest.raises(msgspec.ValidationError, match=r"cabinets"):
        read(FULL.replace(*change))


def test_two_cabinets_share_a_reader_but_no_antenna_no_input_and_no_name():
    second = FULL.replace("drugs-1", "drugs-2")
    with pytest.raises(ConfigError, match="antennas: r-1:1 is named twice"):
        read(FULL + second)
    with pytest.raises(ConfigError, match="inputs: r-1:1 is named twice"):
        read(FULL + second.replace('["r-1:1", "r-1:2"]', '["r-1:5"]').replace("r-1:4", "r-1:7"))
    with pytest.raises(ConfigError, match="cabinets: drugs-1 is named twice"):
        read(FULL + FULL)


def test_a_reader_that_no_driver_has_is_found_before_the_start():
    tables = {"llrp": {"readers": [{"device_id": "r-1"}]}, "mqtt": {"listen": []}}
    config = cast(Any, SimpleNamespace(cabinets=read(FULL), drivers=tables))
    assert cabinet_findings(config) == [
        Finding("cabinet drugs-1", True, "controlled, places: 1, doors: 1")
    ]
    config.drivers = {"llrp": {"readers": [{"device_id": "r-2"}]}}
    assert cabinet_findings(config) == [
        Finding("cabinet drugs-1", False, "no driver has the reader r-1")
    ]


def test_a_cabinet_without_doors_needs_no_badge():
    text = '[[cabinets]]\nname = "rack"\n[[cabinets.places]]\nname = "a"\nantennas = ["r:1"]\n'
    (cabinet,) = read(text)
    assert cabinet.persons == 0
