"""The scenario's file: what it says, and what is refused with its path."""

from __future__ import annotations

import pytest

from firmware_sim.scenario import devices, faults_of, parse
from gateway.domain.errors import ConfigError

WARD = b"""
seed = 7
[[group]]
name = "mon"
kind = "monitor"
transport = "mqtt"
count = 3
ward = "icu"
[[group]]
name = "drip"
kind = "drip"
transport = "coap"
count = 2
first = 10
device = "d{n}"
bed = "B{n:03}"
interval_s = 2.5
infusion = {volume_ml = 250, rate_ml_h = 80, factor = 60}
[[fault]]
kind = "silence"
device = "d11"
[[fault]]
kind = "garbage"
group = "mon"
at_s = 3
[[fault]]
kind = "duplicates"
"""


def test_groups_become_devices() -> None:
    scenario = parse(WARD)
    found = list(devices(scenario))
    assert [each.device_id for each in found] == ["mon-001", "mon-002", "mon-003", "d10", "d11"]
    assert [each.bed for each in found] == ["icu-01", "icu-02", "icu-03", "B010", "B011"]
    assert found[3].group.infusion.factor == 60
    assert [fault.kind for fault in faults_of(scenario, found[4])] == ["silence", "duplicates"]
    assert [fault.kind for fault in faults_of(scenario, found[0])] == ["garbage", "duplicates"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b"seed = 7", b"sead = 7", "sead"),
        (b'kind = "drip"', b'kind = "pomp"', "kind"),
        (b'kind = "drip"', b'kind = "pump"', "pumps speak HL7"),
        (b"interval_s = 2.5", b"interval_s = 0", "interval_s"),
        (b"count = 3", b"count = 0", "count"),
        (b'device = "d{n}"', b'device = "d"', "two devices have one id"),
        (b'device = "d{n}"', b'device = "d{m}"', "pattern"),
        (b'device = "d11"', b'device = "d99"', r"fault\[0\].device"),
        (b'group = "mon"', b'group = "moon"', r"fault\[1\].group"),
        (b"[[fault]]", b"[[fault", "not TOML"),
        (b"[[fault]]", b'[[fault]]\nfield = "mood"', r"fault\[0\].field"),
        (b'ward = "icu"', b'signals = ["hr", "mood"]', r"group\[0\].signals"),
        (b'transport = "coap"', b'transport = "serial"', r"group\[1\].kind"),
        (b'transport = "coap"', b'transport = "mllp"', r"group\[1\].kind"),
        (b'transport = "mqtt"', b'transport = "mqtt"\nvia = "gw"', r"group\[0\].via"),
    ],
)
def test_what_is_wrong_is_said_with_its_path(old: bytes, new: bytes, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse(WARD.replace(old, new, 1))
