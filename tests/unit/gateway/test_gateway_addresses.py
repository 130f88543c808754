"""The address limits that systemd puts on a gateway come from its configuration."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from gateway.domain.errors import ConfigError
from gateway.preflight import address_limits

CONFIG = """
drivers = {{}}
[gateway]
name = "gw"
state_dir = "state"
seal_keys = "seal.keys"
ward_networks = {networks}
[tls]
cert = "cert.pem"
key = "key.pem"
trust = "ca.pem"
[identity]
trust_domain = "hospital.example"
[policy]
file = "policy.signed"
[fleet]
address = "192.0.2.7:7443"
[renewal]
est = "https://192.0.2.8:8443"
[audit.syslog]
address = "192.0.2.9:6514"
zone = "campus"
[[destinations]]
name = "core"
zone = "campus"
purpose = "care"
tenant = "hospital"
address = "{core}"
[[destinations]]
name = "other"
zone = "campus"
purpose = "care"
tenant = "hospital"
address = "[2001:db8::5]:7443"
"""


def limits(
    folder: Path, networks: str = '["10.20.0.0/16", "fd00:20::/64"]', core: str = "198.51.100.9:443"
) -> list[str]:
    config, resolver = folder / "gateway.toml", folder / "resolv.conf"
    config.write_text(CONFIG.format(networks=networks, core=core))
    resolver.write_text(
        "# by hand\nsearch hospital.example\nnameserver 203.0.113.53\nnameserver fe80::1%eth0\n"
        "nameserver nonsense\noptions edns0\n"
    )
    return address_limits(config, resolver).splitlines()


def allowed(lines: list[str]) -> set[str]:
    prefix = "IPAddressAllow="
    return {line.removeprefix(prefix) for line in lines if line.startswith(prefix)}


def test_only_what_the_configuration_names_may_be_reached(tmp_path):
    lines = limits(tmp_path)
    assert lines[:2] == ["[Service]", "IPAddressDeny=any"]
    assert allowed(lines) == {
        "127.0.0.0/8",
        "127.0.0.1/32",  # chronyd
        "::1/128",
        "10.20.0.0/16",
        "fd00:20::/64",
        "192.0.2.7/32",
        "192.0.2.9/32",
        "192.0.2.8/32",
        "198.51.100.9/32",
        "2001:db8::5/128",
    }
    # No name has to be resolved, so nobody who resolves them is in reach either.
    assert lines[2 + len(allowed(lines)) :] == [
        "InaccessiblePaths=-/run/systemd/resolve -/run/nscd -/run/dbus"
    ]


def test_a_name_becomes_its_addresses(tmp_path):
    lines = limits(tmp_path, core="localhost:443")
    assert {"127.0.0.1/32", "203.0.113.53/32", "fe80::1/128"} <= allowed(lines)
    for each in allowed(lines):
        ipaddress.ip_network(each)


@pytest.mark.parametrize(
    ("networks", "core", "words"),
    [
        ('["10.20.0.1/16"]', "198.51.100.9:443", "ward_networks"),
        ('["the ward"]', "198.51.100.9:443", "ward_networks"),
        ("[]", "core.invalid:443", "core.invalid:443: can't be resolved"),
    ],
)
def test_what_cannot_become_a_limit_is_refused(tmp_path, networks, core, words):
    with pytest.raises(ConfigError, match=words):
        limits(tmp_path, networks, core)
