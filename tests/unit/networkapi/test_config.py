"""``[network_apis]``, and what a device is called."""

from typing import Any

import msgspec
import pytest

from gateway.config import load
from gateway.domain.errors import ConfigError
from gateway.domain.network import parse_binding
from gateway.networkapi.config import NetworkApisConfig
from gateway.networkapi.interface import Whose, whose
from tests.unit.packetfilter.site import write

QUALITY: dict[str, Any] = {"kinds": ["monitor"], "profile": "QOS_E", "server": "10.20.0.1"}
NEF = {"af": "hospital-1", "notify": "https://gw-1.campus.example/network"}
WHOLE: dict[str, Any] = {
    "provider": "camara",
    "location_verification": "https://api.operator.example/location-verification/v3",
    "quality_on_demand": "https://api.operator.example:8443/quality-on-demand/v1",
    "area": {"latitude": 31.23, "longitude": 121.47},
    "quality": QUALITY,
    "token": {
        "endpoint": "https://api.operator.example/token",
        "client_id": "wardgate",
        "secret": "secret",
    },
}


def made(**changed):
    return msgspec.convert(WHOLE | changed, NetworkApisConfig, dec_hook=lambda to, text: to(text))


def test_nothing_is_called_unless_it_is_configured():
    assert not NetworkApisConfig()
    assert made(provider="none").addresses == {}
    assert made().addresses == {
        "network-location": "api.operator.example:443",
        "network-quality": "api.operator.example:8443",
        "network-token": "api.operator.example:443",
    }


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"area": None}, "location_verification: "),
        ({"location_verification": ""}, "location_verification: "),
        ({"area": None, "rounds": {"fence": True}, "location_verification": ""}, "verification: "),
        ({"sim_swap": "operator"}, "sim_swap: "),
        ({"provider": "nef"}, "nef: "),
        ({"nef": NEF}, "nef: "),
        ({"provider": "nef", "nef": NEF}, "by_address: "),
        ({"provider": "nef", "nef": NEF | {"notify": "gw-1"}, "by_address": True}, "notify: "),
        ({"provider": "nef", "nef": NEF, "sim_swap": "https://nef.example/1"}, "sim_swap: "),
        ({"quality": None}, "quality: "),
        ({"quality_on_demand": "http://api.operator.example/qod"}, "quality_on_demand: https"),
        ({"location_verification": "operator"}, "location_verification: "),
        ({"quality": QUALITY | {"kinds": []}}, "quality.kinds: "),
        ({"quality": QUALITY | {"server": "gateway"}}, "quality.server: "),
        ({"quality": QUALITY | {"session_s": 600, "total_s": 300}}, "total_s: "),
    ],
    ids=[
        "area",
        "no area",
        "fence",
        "swap",
        "no nef",
        "nef",
        "number",
        "notify",
        "nef swap",
        "quality",
        "http",
        "url",
        "kinds",
        "server",
        "sum",
    ],
)
def test_what_can_not_be_meant_is_refused(changed, key):
    with pytest.raises(ConfigError, match=key):
        made(**changed)


def test_every_device_is_asked_about_where_it_is_wished():
    assert not made().in_rounds
    assert made(rounds={"fence": True}).in_rounds
    swapping = made(device_swap="https://swaps.example/device-swap/v1")
    assert swapping.in_rounds
    assert swapping.addresses["network-device-swap"] == "swaps.example:443"
    assert not made(provider="none", sim_swap="https://swaps.example/sim-swap/v2").in_rounds


@pytest.mark.parametrize(
    ("gpsi", "addresses", "known"),
    [
        ("+8613800000001", {"10.1.2.3"}, Whose("+8613800000001", "10.1.2.3")),
        ("+8613800000001", set(), Whose("+8613800000001")),
        ("", {"10.1.2.3"}, Whose(ipv4="10.1.2.3")),
        ("", {"10.1.2.3", "10.1.2.4"}, Whose()),
        ("", {"fd00::1"}, Whose()),
        ("", {"monitor.campus"}, Whose()),
        ("", set(), Whose()),
    ],
    ids=["both", "number", "address", "two", "v6", "name", "none"],
)
def test_a_device_is_called_by_its_number_and_its_one_address(gpsi, addresses, known):
    assert whose(parse_binding(gpsi=gpsi), frozenset(addresses)) == known


CIRCLES = """
[network_apis]
provider = "camara"
location_verification = "https://203.0.113.77/location-verification/v3"
rounds = { fence = true }
"""
CAMPUS = """
[[fence.areas]]
name = "campus"
latitude = 31.23
longitude = 121.47
radius_m = 2000
"""
ZONE = """
[[fence.zones]]
zone = "z-icu"
"""


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (CIRCLES + CAMPUS, ""),
        (CIRCLES, "fence.areas"),
        (CIRCLES + CAMPUS + ZONE, "no zones"),
        (CAMPUS, "says who tells"),
        (CIRCLES.replace("camara", "none") + CAMPUS, "says who tells"),
    ],
    ids=["circles", "no areas", "zones", "nobody", "off"],
)
def test_a_fence_has_somebody_who_tells_of_it(tmp_path, said, why):
    path = write(tmp_path)
    path.write_text(path.read_text() + said)
    if not why:
        assert load(path).network_apis.in_rounds
        return
    with pytest.raises(ConfigError, match=why):
        load(path)
