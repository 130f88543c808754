"""A fleet rolls policies out, and the kernel follows: fleet, gateway and filter in namespaces."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from security.names import Role
from security.policybook import BUNDLE_FILE, REACHED_FILE
from security.sealing import KeyRing
from tests.integration.fleet_process import TRUST_DOMAIN, Fleet
from tests.integration.namespaces.net import PYTHON, Net, needs_namespaces, network, our_python
from tests.integration.namespaces.site import ROOT, readable_folder, until

pytestmark = [needs_namespaces, pytest.mark.timeout(600)]

UID = 64992
FLEET_AT, CORE_AT, CORE_PORT = "10.2.0.5:7444", "10.2.0.5", 7443
OPEN = '@id("open") permit (principal, action == Action::"pass", resource)'
WIDE = OPEN + ' when { principal.zone == Zone::"campus" && resource.level <= 3 };'
NOTHING = '@id("nothing") forbid (principal, action, resource);'
CONFIG = """\
[gateway]
name = "gw-1"
state_dir = "state"
seal_keys = "seal.keys"
[tls]
cert = "{files.cert}"
key = "{files.key}"
trust = "{files.trust}"
[identity]
trust_domain = "{domain}"
[fleet]
address = "{fleet}"
server_name = "localhost"
report_interval_s = 0.3
[packet_filter]
user = "{uid}"
counters = "run/packetfilter.json"
memory = "filter"
[drivers]
[[destinations]]
name = "core"
zone = "campus"
purpose = "care"
tenant = "ward"
address = "{core}"
"""
LISTEN = (
    "import socket\n"
    "with socket.create_server(('', {})) as server:\n"
    "    while True: server.accept()[0].close()\n"  # a full queue would look like a closed way
)
REACH = (
    "import socket\n"
    "try: socket.create_connection(('{}', {}), 2); print('reached')\n"
    "except OSError as error: print(type(error).__name__)\n"
)


class Place:
    """A gateway's host, and a campus with the fleet and something that listens as the core."""

    def __init__(self, net: Net, folder: Path) -> None:
        self.net, self.folder = net, folder
        net.add("gw", "campus")
        net.wire("gw", "campus", ["10.2.0.1/16"], ["10.2.0.5/16"])
        self.fleet = Fleet(folder)
        port = FLEET_AT.rpartition(":")[2]
        written = self.fleet.config.read_text()
        self.fleet.config.write_text(
            written.replace(f"127.0.0.1:{self.fleet.port}", f"0.0.0.0:{port}", 1)
        )
        self.gateway_folder = folder / "gateway"
        self.gateway_folder.mkdir()
        self.config = self.gateway_folder / "gateway.toml"
        files = self.fleet.issue(Role.GATEWAY, "gw-1")
        self.config.write_text(
            CONFIG.format(
                files=files, domain=TRUST_DOMAIN, fleet=FLEET_AT, uid=UID, core=f"{CORE_AT}:7443"
            )
        )
        KeyRing.generate().save(self.gateway_folder / "seal.keys")
        self.state = self.gateway_folder / "state"
        self.state.mkdir(mode=0o700)
        for each in (self.gateway_folder / "seal.keys", files.key, self.state):
            os.chown(each, UID, UID)
        self._environment = (
            f"WARDGATE_FLEET=localhost:{port}",
            f"WARDGATE_IDENTITY={self.fleet.operator}",
        )
        net.start("campus", PYTHON, "-c", LISTEN.format(CORE_PORT))
        self._run("fleet", "campus", [sys.executable, "-m", "fleet", "--config", self.fleet.config])
        self.filter = self.start_filter()
        own = [*our_python(UID), "-m", "wardgate", "gateway", "run", "-c", self.config]
        self._run("gateway", "gw", own)

    def _run(self, name: str, there: str, command: list[Any]) -> subprocess.Popen[Any]:
        with (self.folder / f"{name}.log").open("a") as log:
            return self.net.start(there, *command, stdout=log, stderr=log, cwd=ROOT)

    def start_filter(self) -> subprocess.Popen[Any]:
        command = [sys.executable, "-m", "wardgate", "gateway", "packetfilter", "run"]
        return self._run("filter", "gw", [*command, "-c", self.config])

    def told(self) -> dict[str, Any]:
        path = self.gateway_folder / "run" / "packetfilter.json"
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def words(self) -> str:
        logs = self.folder.glob("*.log")
        return "\n".join(f"-- {each}\n{each.read_text()[-2000:]}" for each in logs)

    def ask(self, *arguments: object) -> str:
        """``wardgate`` on the campus, as the first operator."""
        command = (sys.executable, "-m", "wardgate", *arguments)
        return self.net.call("campus", "env", *self._environment, *command)

    def in_force(self) -> list[int]:
        """Which policy the gateway says it has, as the fleet has heard."""
        said = json.loads(self.ask("fleet", "status", "--json"))
        facts = [each.get("facts", {}) for each in said.get("gateways", [])]
        return [int(each.get("policy", {}).get("number", 0)) for each in facts]

    def reaches(self) -> bool:
        """Whether a process of the gateway's user gets at the core."""
        said = self.net.call("gw", PYTHON, "-c", REACH.format(CORE_AT, CORE_PORT), uid=UID)
        return said.strip() == "reached"

    def rolled_out(self) -> bool:
        return bool(
            json.loads(self.ask("policy", "rollout", "status", "--json"))["state"] == "done"
        )


@pytest.fixture
def place() -> Iterator[Place]:
    with readable_folder() as folder, network() as net:
        yield Place(net, folder)


def test_the_kernel_follows_a_rollout_and_no_way_back(place: Place, tmp_path: Path) -> None:
    until(place.told, place.words)
    assert not place.reaches()  # without a policy

    # The first one, signed on the fleet's host, opens it.
    wide, narrow, carried = (tmp_path / each for each in ("wide", "narrow", "wide.signed"))
    wide.write_text(WIDE)
    narrow.write_text(NOTHING)
    own = ("--config", str(place.fleet.config), "--gateway", str(place.config))
    place.fleet.command("policy", "sign", str(wide), *own, "--out", str(carried))
    until(place.reaches, place.words)
    until(lambda: place.in_force() == [1], place.words)

    # A narrower one is rolled out, and the kernel closes what the gateway does not release.
    place.ask("policy", "propose", narrow)
    place.ask("policy", "rollout", "start", 2, "--soak", 0)
    until(lambda: not place.reaches(), place.words)
    until(place.rolled_out, place.words)

    # Who has the gateway puts the older one back, and the filter's service is started anew.
    (place.state / BUNDLE_FILE).write_bytes(carried.read_bytes())
    (place.state / REACHED_FILE).unlink()
    place.filter.send_signal(signal.SIGKILL)
    place.filter.wait()
    (place.gateway_folder / "run" / "packetfilter.json").unlink()
    place.start_filter()
    until(lambda: "policy 1 is older than 2" in place.told()["fault"], place.words)
    assert not place.reaches()
