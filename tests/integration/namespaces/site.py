"""One hospital in namespaces: its authority, a gateway of a user of its own, a core, a device.

The picture, the same for every hospital: the gateway's host has the ward's network (10.20.0.0/16),
the campus (10.2.0.0/16, the core at 10.2.0.5) and, where there is one, the Internet as its default
route.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from security import pki
from security.files import TlsFiles
from security.names import Role
from security.policybundle import Bundle, sign_bundle
from security.sealing import KeyRing
from tests.integration.namespaces.net import PYTHON, Net, our_python

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
WAIT_S = 60.0
GATEWAY, CORE, DEVICE = "gw-1", "core", "monitor-1"
GATEWAY_AT, CORE_AT, WARD_AT = "10.20.0.1", "10.2.0.5", "10.20.0.2"
CORE_NAME = "core.campus.test"
MQTT_PORT, CORE_PORT, METRICS_PORT = 8883, 7443, 9464
POLICY = """\
@id("inside") permit (principal, action == Action::"pass", resource)
when { principal.zone == Zone::"campus" && resource.level <= 4 };
"""
CONFIG = """\
[gateway]
name = "{gateway}"
tenant = "{tenant}"
state_dir = "{state}"
seal_keys = "seal.keys"
ward_networks = ["10.20.0.0/16"]
[tls]
cert = "gateway/cert.pem"
key = "gateway/key.pem"
trust = "gateway/ca.pem"
[identity]
trust_domain = "{domain}"
unknown_devices = "admit"
[policy]
file = "policy.signed"
[packet_filter]
required = {required}
user = "{uid}"
counters = "run/packetfilter.json"
memory = "filter"
[journal]
limit_bytes = {limit_bytes}
alarm_reserve_bytes = {reserve_bytes}
ballast_bytes = {ballast_bytes}
[[destinations]]
name = "core"
zone = "campus"
purpose = "care"
tenant = "{tenant}"
address = "{core}"
server_name = "core.campus.test"
networks = ["10.2.0.0/16"]
backoff_s_max = 1.0
[[destinations]]
name = "vendor"
zone = "partner"
purpose = "maintenance"
tenant = "{tenant}"
address = "198.51.100.9:443"
[drivers.mqtt]
listen = ["10.20.0.1:8883"]
[metrics]
port = 9464
"""
CORE_CONFIG = """\
listen = "10.2.0.5:7443"
database = "core.db"
[tls]
certificate = "core/cert.pem"
key = "core/key.pem"
client_ca = "core/ca.pem"
trust_domain = "{domain}"
"""


class Hospital:
    """Its files and processes; ``gateway_in`` and ``core_in`` are namespaces."""

    def __init__(
        self,
        net: Net,
        folder: Path,
        tenant: str,
        uid: int,
        *,
        gateway_in: str,
        core_in: str,
        ward_in: str,
        limit_bytes: int = 256 << 20,
        required: bool = False,
    ) -> None:
        self.net, self.folder, self.uid = net, folder, uid
        self.gateway_in, self.core_in, self.ward_in = gateway_in, core_in, ward_in
        self.domain = f"{tenant}.example"
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)
        now = datetime.now(UTC)
        self.authority = pki.create_issuing(pki.create_root(self.domain, now), now)
        self.issue(Role.SERVICE, CORE, (CORE_NAME,))
        self.issue(Role.GATEWAY, GATEWAY, (GATEWAY_AT,), "gateway")
        self.device = self.issue(Role.DEVICE, DEVICE, ())
        KeyRing.generate().save(folder / "seal.keys")
        bundle = Bundle(1, time.time_ns() // 1000, POLICY, "", self.domain)
        (folder / "policy.signed").write_bytes(sign_bundle(self.authority, bundle))
        self.settings: dict[str, Any] = {
            "gateway": GATEWAY,
            "tenant": tenant,
            "state": folder / "state",
            "domain": self.domain,
            "uid": uid,
            "core": f"{CORE_AT}:{CORE_PORT}",
            "limit_bytes": limit_bytes,
            "reserve_bytes": limit_bytes // 4,
            "ballast_bytes": limit_bytes // 16,
            "required": str(required).lower(),
        }
        self.config = folder / "gateway.toml"
        self.configure()
        (folder / "core.toml").write_text(CORE_CONFIG.format(domain=self.domain))
        (folder / "state").mkdir(mode=0o700)
        for each in ("seal.keys", "gateway/key.pem", "state"):
            os.chown(folder / each, uid, uid)
        self.gateway: subprocess.Popen[Any] | None = None
        self.core: subprocess.Popen[Any] | None = None
        self.filter: subprocess.Popen[Any] | None = None
        self._was_ready = 0

    def configure(self, **changed: Any) -> None:
        self.settings |= changed
        self.config.write_text(CONFIG.format(**self.settings))

    def issue(self, role: Role, name: str, hosts: tuple[str, ...], folder: str = "") -> TlsFiles:
        place = self.folder / (folder or name)
        files, _ = pki.make_identity(
            self.authority,
            pki.Subject(role, name, hosts),
            place,
            pki.Validity.days(datetime.now(UTC), 2),
        )
        place.chmod(0o755)
        return files

    # Processes

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def words(self) -> str:
        return "\n".join(
            f"-- {path}\n{path.read_text()[-1500:]}" for path in self.folder.glob("*.log")
        )

    def _start(self, name: str, there: str, command: list[object], **options: Any) -> Any:
        log = self.log(name).open("a")
        with log:
            return self.net.start(there, *command, stdout=log, stderr=log, cwd=ROOT, **options)

    def start_core(self) -> None:
        command = [sys.executable, "-m", "core", "run", "--config", self.folder / "core.toml"]
        self.core = self._start("core", self.core_in, command)

    def start_filter(self, resolver: Path | None = None) -> None:
        command = [
            *("setpriv", f"--regid={self.uid}", "--clear-groups"),
            *(sys.executable, "-m", "wardgate", "gateway", "packetfilter", "run"),
            "-c",
            self.config,
        ]
        self.filter = self._start("filter", self.gateway_in, command, resolver=resolver)

    def start_gateway(self, resolver: Path | None = None) -> None:
        command = [*our_python(self.uid), "-m", "wardgate", "gateway", "run", "-c", self.config]
        self._was_ready = self.says().count(" is ready")
        self.gateway = self._start("gateway", self.gateway_in, command, resolver=resolver)

    def start(self) -> None:
        """Everything at once; :meth:`ready` waits."""
        self.start_filter()
        self.start_core()
        self.start_gateway()

    def ready(self) -> None:
        """The rules are in force, the gateway is ready and has its stream."""
        told = self.folder / "run" / "packetfilter.json"
        up = f'wardgate_connected{{destination="core",tenant="{self.settings["tenant"]}"}}'
        until(told.exists, self.words)
        until(lambda: self.says().count(" is ready") > self._was_ready, self.words)
        until(lambda: self.metric(up) == 1, self.words)

    def end(self, process: subprocess.Popen[Any] | None) -> None:
        assert process is not None
        process.terminate()
        process.wait(WAIT_S)

    def says(self) -> str:
        return self.log("gateway").read_text() if self.log("gateway").exists() else ""

    # What came of it

    def rows(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(f"file:{self.folder / 'core.db'}?mode=ro", uri=True)) as db:
            return db.execute(sql).fetchall()

    def alarms(self) -> set[str]:
        """Conditions that arrived at the core."""
        return {condition for (condition,) in self.rows("SELECT DISTINCT condition FROM alarms")}

    def message_ids(self) -> set[str]:
        return {found for (found,) in self.rows("SELECT DISTINCT message_id FROM reports")}

    def metric(self, series: str) -> float:
        """A sample of the gateway, scraped on its host's loopback."""
        place = f"http://127.0.0.1:{METRICS_PORT}/metrics"
        code = (
            f"import urllib.request as r; print(r.urlopen('{place}', timeout=10).read().decode())"
        )
        said = self.net.call(self.gateway_in, PYTHON, "-c", code)
        for line in said.splitlines():
            if line.startswith(series + " "):
                return float(line.rpartition(" ")[2])
        raise KeyError(series)

    @contextlib.contextmanager
    def talking(
        self, files: TlsFiles | None = None, there: str = "", port: int = MQTT_PORT
    ) -> Iterator[Talker]:
        """The ward's device, or another, connected from the ward, or elsewhere."""
        shown = files or self.device
        command = [
            *(sys.executable, HERE / "device.py", GATEWAY_AT, port, DEVICE),
            *(shown.cert, shown.key, shown.trust),
        ]
        process = self.net.start(
            there or self.ward_in,
            *command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield Talker(process)
        finally:
            process.kill()
            process.wait()


class Talker:
    """A device that says something when it is told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.greeting = self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def begin(self) -> None:
        """Send a report, and do not wait for what becomes of it."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def acknowledged(self) -> str:
        """The id of a report that was begun, which must be acknowledged."""
        said = self._line()
        assert said.startswith("acknowledged "), said
        return said.removeprefix("acknowledged ")

    def is_taken(self) -> bool:
        """Send a report; whether it is acknowledged."""
        self.begin()
        return self._line().startswith("acknowledged ")

    def report(self) -> str:
        """Send a report, which must be acknowledged; its message id."""
        self.begin()
        return self.acknowledged()


class Captured:
    """What arrives in a namespace."""

    def __init__(self, net: Net, name: str, folder: Path) -> None:
        self._path = folder / f"{name}.packets"
        self._path.touch()
        net.start(name, PYTHON, HERE / "capture.py", self._path)
        until(lambda: "ready\n" in self._path.read_text(), lambda: name)
        self._from = len(self._noted())

    def _noted(self) -> str:
        """Whole lines: the last one may be under way."""
        return "".join(self._path.read_text().rpartition("\n")[:2])

    def forget(self) -> None:
        self._from = len(self._noted())

    def packets(self) -> list[str]:
        return [line for line in self._noted()[self._from :].splitlines() if line != "ready"]


def until(what: Callable[[], Any], words: Callable[[], str], seconds: float = WAIT_S) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, sqlite3.Error, KeyError, AssertionError):
            if value := what():
                return value
        assert time.monotonic() < deadline, f"waited {seconds} s in vain\n{words()}"
        time.sleep(0.05)


@contextlib.contextmanager
def readable_folder() -> Iterator[Path]:
    """Where users other than root find their files."""
    folder = Path(tempfile.mkdtemp(prefix="wardgate-test-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
