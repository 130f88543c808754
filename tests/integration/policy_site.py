"""A fleet, a core and gateways as real processes, for what concerns signed policies."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from demo.plan import free_ports
from demo.scrape import scrape, total
from security.files import SECRET_MODE, TlsFiles, write_atomic
from security.names import Role
from security.sealing import KeyRing
from tests.integration.fleet_process import TRUST_DOMAIN, Done, Fleet
from tests.integration.supervised import Device

WAIT_S = 60.0
"""On a machine that others keep busy."""


def until(what: Callable[[], Any], words: Callable[[], object] = str) -> Any:
    """Poll until ``what`` is true; its value. ``words`` say how it was in the end."""
    deadline = time.monotonic() + WAIT_S
    while True:
        with contextlib.suppress(OSError, sqlite3.Error):
            if value := what():
                return value
        assert time.monotonic() < deadline, words()
        time.sleep(0.05)


INVARIANTS = """
[[invariant]]
id = "campus"
words = "What identifies a person stays on campus."
level_min = 4
zone_not = "campus"
at_most = "withhold"
"""


class Process:
    """One of our daemons."""

    def __init__(self, log: Path, *arguments: str | Path) -> None:
        self._arguments = arguments
        self._path = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "wardgate", *map(str, self._arguments)],
                stdout=log,
                stderr=log,
            )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(WAIT_S)

    def log(self) -> str:
        return self._path.read_text(errors="replace")


class Edge(Process):
    """A gateway with a core and a vendor; the vendor has a pseudonym key, or none."""

    def __init__(self, site: Site, name: str, *, key: bool) -> None:
        self.name = name
        self.directory = site.directory / name
        self.directory.mkdir()
        self.mqtt, self.metrics = free_ports(2)
        self.config = self.directory / "gateway.toml"
        self.state = self.directory / "state"
        files = site.fleet.issue(Role.GATEWAY, name)
        KeyRing.generate().save(self.directory / "seal.keys")
        write_atomic(self.directory / "vendor.key", bytes(range(32)), SECRET_MODE)
        self.config.write_text(
            f"""[gateway]
name = "{name}"
state_dir = "state"
seal_keys = "seal.keys"
[tls]
cert = "{files.cert}"
key = "{files.key}"
trust = "{files.trust}"
[identity]
trust_domain = "{TRUST_DOMAIN}"
[fleet]
address = "localhost:{site.fleet.port}"
report_interval_s = 0.3
[metrics]
port = {self.metrics}
[drivers.mqtt]
listen = ["127.0.0.1:{self.mqtt}"]
[[destinations]]
name = "core"
zone = "campus"
purpose = "care"
tenant = "ward"
address = "localhost:{site.core_port}"
backoff_s_max = 0.5
[[destinations]]
name = "vendor"
zone = "partner"
purpose = "maintenance"
tenant = "ward"
address = "localhost:1"
{'pseudonym_key = "vendor.key"' if key else ""}
"""
        )
        super().__init__(self.directory / "log", "gateway", "run", "--config", str(self.config))

    def start(self) -> None:
        """Run, and wait until devices can come."""
        super().start()
        until(lambda: self.metric("ready") == 1, self.log)

    def metric(self, name: str) -> float:
        """A metric's value; 0 where there is none.

        Raises:
            ConnectionError: nobody answers, which is no 0.
        """
        samples = scrape(f"http://127.0.0.1:{self.metrics}/metrics", WAIT_S)
        if not samples:
            raise ConnectionError(f"{self.name} tells no metrics")
        return total(samples, f"wardgate_{name}")

    def report(self, files: TlsFiles, name: str) -> str:
        """Have a device send one report, acknowledged; its message id."""
        device = Device(files, self.mqtt, name)
        try:
            device.report()
        finally:
            device.client.disconnect()
            device.client.loop_stop()
        return f"{device.boot}:1"

    def audited(self, event: str) -> list[dict[str, Any]]:
        lines = (self.state / "audit" / "audit.log").read_text().splitlines()
        return [entry for entry in map(json.loads, lines) if entry["event"] == event]


class Site:
    """The processes; ``close`` ends all of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.fleet = Fleet(directory)
        self.fleet.start()
        self.core_port, self.core_metrics = free_ports(2)
        files = self.fleet.issue(Role.SERVICE, "core")
        config = directory / "core.toml"
        config.write_text(
            f'listen = "127.0.0.1:{self.core_port}"\ndatabase = "core.db"\n'
            f"[metrics]\nport = {self.core_metrics}\n"
            f'[tls]\ncertificate = "{files.cert}"\nkey = "{files.key}"\n'
            f'client_ca = "{files.trust}"\ntrust_domain = "{TRUST_DOMAIN}"\n'
        )
        self.core = Process(directory / "core.log", "core", "run", "--config", str(config))
        self.core.start()
        metrics = f"http://127.0.0.1:{self.core_metrics}/metrics"
        until(lambda: scrape(metrics, WAIT_S), self.core.log)
        self.edges = [Edge(self, "gw-1", key=True), Edge(self, "gw-2", key=False)]
        self.second = directory / "second"
        role = ("--role", "security_officer")
        self.fleet.command("operator", "add", "second", *role, "--bundle", str(self.second))
        self.devices: dict[str, TlsFiles] = {}
        for name in ("mon-1", "mon-2"):
            place = directory / name
            self.fleet.command("device", "add", name, "--bundle", str(place))
            self.devices[name] = TlsFiles.within(place)

    def close(self) -> None:
        for each in (*self.edges, self.core):
            each.stop()
        self.fleet.close()

    def at_core(self, message_id: str) -> bool:
        """Whether the core has a report."""
        with contextlib.closing(
            sqlite3.connect(f"file:{self.directory / 'core.db'}?mode=ro", uri=True)
        ) as db:
            asked = db.execute("SELECT count(*) FROM reports WHERE message_id=?", (message_id,))
            return bool(asked.fetchone()[0])

    def propose(self, text: str, *options: str) -> Done:
        path = self.directory / "wanted.cedar"
        path.write_text(text)
        invariants = self.directory / "invariants.toml"
        invariants.write_text(INVARIANTS)
        call = ("policy", "propose", str(path), "--invariants", str(invariants))
        return self.fleet.command(*call, *options, check=False)

    def agree(self) -> str:
        """The second person agrees to what waits."""
        found = json.loads(self.fleet.command("approval", "list", "--json").stdout)
        number = found["approvals"][0]["approval_id"]
        shown = self.fleet.command("approval", "show", number, "--json", identity=self.second)
        digest = json.loads(shown.stdout)["digest"]
        call = ("approval", "approve", number, "--digest", digest)
        return self.fleet.command(*call, identity=self.second).stdout

    def rollout(self) -> dict[str, Any]:
        done = self.fleet.command("policy", "rollout", "status", "--json", check=False)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def until_rollout(self, state: str) -> dict[str, Any]:
        until(lambda: self.rollout()["state"] == state, self.rollout)
        return self.rollout()

    def in_force(self) -> dict[str, int]:
        """What the gateways say."""
        found = json.loads(self.fleet.command("fleet", "status", "--json").stdout)
        return {
            each["gateway"]: int(each.get("facts", {}).get("policy", {}).get("number", 0))
            for each in found.get("gateways", [])
        }
