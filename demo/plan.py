"""Where everything of one demo is: directories, ports, names."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import socket
from pathlib import Path
from typing import IO, NamedTuple

from gateway.domain.errors import ConfigError

MARKER = ".wardgate-demo-state"
TRUST_DOMAIN = "demo.wardgate.internal"
GATEWAY = "gw-demo"
CORE = "core"
VENDOR = "vendor"
PLATFORM = "mec-platform"
READER = "reader-1"
"""The certificate of all RFID readers of the ward: they are on one host here."""
PORTS = "12000-31999"
PORTS_ENV = "WARDGATE_DEMO_PORTS"
"""``FIRST-LAST``: where free ports are looked for."""


class Ports(NamedTuple):
    """Loopback ports that were free when the demo began; restarts use them again."""

    mqtt: int
    coaps: int
    mllp: int
    llrp: int
    mec: int
    mec_callback: int
    fleet: int
    est: int
    core: int
    vendor: int
    gateway_metrics: int
    fleet_metrics: int
    core_metrics: int
    vendor_metrics: int


class Plan(NamedTuple):
    """Paths below the state directory, and the ports."""

    state: Path
    ports: Ports
    claim: IO[bytes]
    """The directory is this demo's while this file is open, and no longer than it lives."""

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def gateway_state(self) -> Path:
        return self.state / "gateway"

    @property
    def gateway_config(self) -> Path:
        return self.state / "gateway.toml"

    @property
    def core_config(self) -> Path:
        return self.state / "core.toml"

    @property
    def vendor_config(self) -> Path:
        return self.state / "vendor.toml"

    @property
    def fleet(self) -> Path:
        return self.state / "fleet"

    @property
    def fleet_config(self) -> Path:
        return self.fleet / "fleet.toml"

    @property
    def policy(self) -> Path:
        """Signed on the fleet's host, which serves it, too."""
        return self.state / "policy.signed"

    @property
    def scenario(self) -> Path:
        return self.state / "ward.toml"

    @property
    def core_db(self) -> Path:
        return self.state / "core" / "core.db"

    @property
    def vendor_db(self) -> Path:
        return self.state / "vendor" / "core.db"

    @property
    def sim_log(self) -> Path:
        return self.state / "sim.jsonl"

    @property
    def endpoints(self) -> Path:
        return self.state / "endpoints.json"


def prepare(state: Path) -> Plan:
    """An empty state directory and free ports.

    A directory that an earlier demo left is emptied; one that a demo still uses, and any other
    that holds something, is refused, so that a mistyped name never costs a person's files.

    Raises:
        ConfigError: the directory is not the demo's, or another demo's.
    """
    state = state.resolve()
    marker = state / MARKER
    if state.exists() and any(state.iterdir()) and not marker.exists():
        raise ConfigError(f"{state} is not empty and not a demo's; name another with STATE=")
    state.mkdir(parents=True, exist_ok=True)
    claim = _claimed(marker)
    for left in state.iterdir():
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        elif left != marker:
            left.unlink()
    plan = Plan(state, Ports(*free_ports(len(Ports._fields))), claim)
    for directory in (plan.pki, plan.logs, plan.gateway_state, plan.core_db.parent):
        directory.mkdir(mode=0o700)
    plan.vendor_db.parent.mkdir(mode=0o700)
    return plan


def _claimed(marker: Path) -> IO[bytes]:
    """The marker, locked. The kernel unlocks it when the demo ends, however it ends."""
    claim = marker.open("ab")
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        claim.close()
        raise ConfigError(
            f"{marker.parent} is in use by another demo; name another with STATE="
        ) from None
    return claim


_handed_out: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Ports that are free for TCP and UDP on loopback, all different.

    One that was handed out before, and may not be listened at yet, comes again only when no other
    is left.

    They are below those that systems give to outgoing connections, so that none of these takes
    one before its listener does. PORTS_ENV narrows them, for several demos at once on one host.
    """
    first, last = os.environ.get(PORTS_ENV, PORTS).split("-")
    candidates = list(range(int(first), int(last) + 1))
    random.SystemRandom().shuffle(candidates)
    candidates.sort(key=_handed_out.__contains__)
    ports: list[int] = []
    for port in candidates:
        if _is_free(port):
            ports.append(port)
            _handed_out.add(port)
        if len(ports) == count:
            return ports
    raise ConfigError(f"no {count} free ports in {first}-{last}")


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
