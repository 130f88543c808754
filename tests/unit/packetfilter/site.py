"""A gateway's files for tests of its packet filter: nothing of it is run."""

from __future__ import annotations

from pathlib import Path

from gateway.packetfilter import openings, service

UID = 64991
"""Nobody's."""
POLICY = '@id("inside") permit (principal, action == Action::"pass", resource)\n'
CAMPUS = 'when { principal.zone == Zone::"campus" };\n'
CONFIG = """\
[gateway]
name = "gw-1"
state_dir = "state"
seal_keys = "seal.keys"
ward_networks = ["10.20.0.0/16", "10.20.3.0/24", "fd00:20::/64"]
[tls]
cert = "cert.pem"
key = "key.pem"
trust = "ca.pem"
[identity]
trust_domain = "hospital.example"
[policy]
file = "release.cedar"
[packet_filter]
user = "{uid}"
counters = "packetfilter.json"
[[destinations]]
name = "core"
zone = "campus"
purpose = "care"
tenant = "hospital"
address = "{core}"
networks = {networks}
[[destinations]]
name = "vendor-x"
zone = "partner"
purpose = "maintenance"
tenant = "hospital"
address = "telemetry.vendor.example:443"
networks = ["198.51.100.0/24"]
[fleet]
address = "[2001:db8::6]:7443"
[renewal]
est = "https://10.2.0.6:8443"
[drivers.mqtt]
listen = ["10.20.0.1:8883", "[::]:8883"]
[drivers.coap]
listen = ["0.0.0.0:5684"]
[[drivers.intellivue.monitors]]
device_id = "bed-1"
port = "socket://10.20.4.4:4001"
"""


def write(
    folder: Path,
    policy: str = POLICY + CAMPUS,
    *,
    core: str = "10.2.0.5:7443",
    networks: str = '["10.2.0.0/16"]',
    uid: int = UID,
) -> Path:
    """Configuration, policy and resolver; the configuration's path."""
    (folder / "release.cedar").write_text(policy)
    (folder / "resolv.conf").write_text("nameserver 203.0.113.53\n")
    path = folder / "gateway.toml"
    path.write_text(CONFIG.format(core=core, networks=networks, uid=uid))
    return path


def compiled(path: Path) -> service.Compiled:
    return service.compiled(path, path.with_name("resolv.conf"))


def opening(made: service.Compiled, name: str) -> openings.Opening:
    return next(each for each in made.openings.outgoing if each.name == name)
