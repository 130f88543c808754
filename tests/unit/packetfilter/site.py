"""A gateway's files for tests of its packet filter: nothing of it is run."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from pathlib import Path

from gateway.packetfilter import openings, service
from security.pki import Authority, create_issuing, create_root, to_pem
from security.policybundle import Bundle, sign_bundle

UID = 64991
"""Nobody's."""
POLICY = '@id("inside") permit (principal, action == Action::"pass", resource)\n'
CAMPUS = 'when { principal.zone == Zone::"campus" };\n'
DOMAIN = "hospital.example"
ANYTHING = """\
[[invariant]]
id = "nothing-is-asked-for"
words = "these tests release whatever they like"
at_most = "pass"
"""
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
file = "policy.signed"
[packet_filter]
user = "{uid}"
counters = "packetfilter.json"
memory = "memory"
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


_NUMBERS = count(1)


def write(
    folder: Path,
    policy: str = POLICY + CAMPUS,
    *,
    core: str = "10.2.0.5:7443",
    networks: str = '["10.2.0.0/16"]',
    uid: int = UID,
) -> Path:
    """Configuration, policy and resolver; the configuration's path."""
    (folder / "ca.pem").write_bytes(to_pem(_authority().root))
    sign(folder, policy)
    (folder / "resolv.conf").write_text("nameserver 203.0.113.53\n")
    path = folder / "gateway.toml"
    path.write_text(CONFIG.format(core=core, networks=networks, uid=uid))
    return path


def sign(folder: Path, policy: str) -> None:
    """Put a policy in place that holds everywhere, newer than any before."""
    bundle = Bundle(next(_NUMBERS), time.time_ns() // 1000, policy, ANYTHING, DOMAIN)
    (folder / "policy.signed").write_bytes(sign_bundle(_authority(), bundle))


@cache
def _authority() -> Authority:
    began = datetime.now(UTC) - timedelta(days=1)
    return create_issuing(create_root(DOMAIN, began), began)


def compiled(path: Path) -> service.Compiled:
    return service.compiled(path, path.with_name("resolv.conf"))


def opening(made: service.Compiled, name: str) -> openings.Opening:
    return next(each for each in made.openings.outgoing if each.name == name)
