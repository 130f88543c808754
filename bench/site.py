"""A site for the bench: PKI, a gateway, a core and an outside vendor, as real processes."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Self

from demo.plan import free_ports
from demo.processes import Process, Usage
from demo.scrape import Samples, matching, scrape, total
from security.files import SECRET_MODE, TlsFiles, write_atomic
from security.names import Role
from security.pki import Authority, Subject, Validity, create_issuing, create_root, make_identity
from security.policy import default_policy
from security.policybundle import Bundle, sign_bundle
from security.sealing import KeyRing

DOMAIN = "bench.wardgate.internal"
LOCAL = ("localhost", "127.0.0.1", "::1")
START_S_MAX = 30.0
DRAIN_S_MAX = 120.0
END_S_MAX = 10.0


class Identities(NamedTuple):
    """Certificates of everybody, below one directory."""

    ca: Path
    gateway: TlsFiles
    core: TlsFiles
    vendor: TlsFiles
    broker: TlsFiles
    devices: Path
    """JSON: [{device_id, cert, key}], for ``bench.load``."""
    authority: Authority
    """Which issued them all."""


def make_identities(directory: Path, devices: int) -> Identities:
    """A fresh PKI with so many devices."""
    now = datetime.now(UTC)
    issuing = create_issuing(create_root(DOMAIN, now), now)

    def make(role: Role, name: str) -> TlsFiles:
        hosts = LOCAL if role in {Role.GATEWAY, Role.SERVICE} else ()
        place = directory / f"{role}-{name}"
        return make_identity(issuing, Subject(role, name, hosts), place, Validity.days(now, 7))[0]

    made = []
    for n in range(devices):
        files = make(Role.DEVICE, f"bench-{n:04}")
        made.append({"device_id": f"bench-{n:04}", "cert": str(files.cert), "key": str(files.key)})
    listed = directory / "devices.json"
    listed.write_text(json.dumps(made))
    gateway = make(Role.GATEWAY, "gw-bench")
    return Identities(
        gateway.trust,
        gateway,
        make(Role.SERVICE, "core"),
        make(Role.SERVICE, "vendor"),
        make(Role.SERVICE, "broker"),
        listed,
        issuing,
    )


def sign_policy(issuing: Authority, text: str, number: int = 1) -> bytes:
    """A signed policy for whatever gateway and destinations there are."""
    now_us = time.time_ns() // 1000
    return sign_bundle(issuing, Bundle(number, now_us, text, "", issuing.trust_domain))


class Site:
    """The running processes; an async context manager."""

    start_s_max = START_S_MAX

    def __init__(
        self,
        state: Path,
        identities: Identities,
        environment: dict[str, str] | None = None,
        destinations: tuple[str, ...] = ("core", "vendor"),
        drivers: str = "",
    ) -> None:
        """Keep the parts; ``drivers`` are tables beside those of every site."""
        self._drivers = drivers
        self.state = state
        self.identities = identities
        self.mqtt, self.coaps, self.mllp, self._core, self._vendor, *self._metrics = free_ports(8)
        self.processes: dict[str, Process] = {}
        self._environment = environment or {}
        self._destinations = destinations

    @property
    def core_db(self) -> Path:
        return self.state / "core.db"

    @property
    def vendor_db(self) -> Path:
        return self.state / "vendor.db"

    async def __aenter__(self) -> Self:
        self.state.mkdir(parents=True)
        self._write()
        for name in (*self._destinations, "gateway"):
            await self.start(name)
        return self

    async def __aexit__(self, *_: object) -> None:
        for name in ("gateway", "core", "vendor"):
            if name in self.processes:
                await self.processes[name].stop()

    async def start(self, name: str) -> None:
        """Start one process and wait until it answers."""
        command = "gateway" if name == "gateway" else "core"
        config = str(self.state / f"{name}.toml")
        process = Process(
            name,
            ["-m", "wardgate", command, "run", "--config", config],
            self.state / f"{name}.log",
            restart=False,
            on_pid=lambda: None,
            environment=self._environment if name == "gateway" else {},
        )
        self.processes[name] = process
        await process.start()
        deadline = time.monotonic() + self.start_s_max
        while time.monotonic() < deadline and process.running:
            samples = await self.samples(name)
            if samples and (name != "gateway" or total(samples, "wardgate_ready") == 1):
                return
            await asyncio.sleep(0.05)
        raise RuntimeError(f"{name} did not start: {process.last_words()}")

    async def kill(self, name: str) -> None:
        """End one process as a power cut would."""
        process = self.processes[name]
        os.kill(process.pid, signal.SIGKILL)
        if not await process.ended(END_S_MAX):
            raise RuntimeError(f"{name} outlives SIGKILL")

    async def samples(self, name: str) -> Samples:
        """What a process's metrics say now."""
        port = self._metrics[("gateway", "core", "vendor").index(name)]
        return await asyncio.to_thread(scrape, f"http://127.0.0.1:{port}/metrics")

    async def waiting(self) -> float:
        """Records that some destination has not acknowledged; -1 when nothing answers."""
        samples = await self.samples("gateway")
        lags = [value for _, value in matching(samples, "wardgate_lag_records")]
        return sum(lags) if lags else -1

    async def lags(self) -> dict[str, float]:
        """Records that each destination has not acknowledged; infinite when nothing answers."""
        samples = await self.samples("gateway")
        lags = dict.fromkeys(self._destinations, float("inf") if not samples else 0.0)
        for labels, value in matching(samples, "wardgate_lag_records"):
            lags[labels["destination"]] += value
        return lags

    async def drained(self) -> float:
        """Wait until every destination has everything; the seconds that took."""
        began = time.monotonic()
        while time.monotonic() - began < DRAIN_S_MAX:
            if await self.waiting() == 0:
                return time.monotonic() - began
            await asyncio.sleep(0.1)
        raise TimeoutError(f"not drained after {DRAIN_S_MAX} s: {await self.waiting()} waiting")

    def usage(self) -> dict[str, Usage]:
        """CPU seconds and peak memory per process so far."""
        return {name: process.sample() for name, process in self.processes.items()}

    def _write(self) -> None:
        signed = sign_policy(self.identities.authority, default_policy())
        write_atomic(self.state / "policy.signed", signed)
        write_atomic(self.state / "vendor.key", secrets.token_bytes(32), SECRET_MODE)
        KeyRing.generate().save(self.state / "seal.keys")
        for name, files, port, metrics in (
            ("core", self.identities.core, self._core, self._metrics[1]),
            ("vendor", self.identities.vendor, self._vendor, self._metrics[2]),
        ):
            (self.state / f"{name}.toml").write_text(
                f'listen = "127.0.0.1:{port}"\ndatabase = "{name}.db"\n'
                f"[metrics]\nport = {metrics}\n"
                f'[tls]\ncertificate = "{files.cert}"\nkey = "{files.key}"\n'
                f'client_ca = "{files.trust}"\ntrust_domain = "{DOMAIN}"\n'
            )
        own = self.identities.gateway
        (self.state / "gateway.toml").write_text(
            f"""[gateway]
name = "gw-bench"
state_dir = "gateway"
seal_keys = "seal.keys"
log_level = "warning"
[tls]
cert = "{own.cert}"
key = "{own.key}"
trust = "{own.trust}"
[identity]
trust_domain = "{DOMAIN}"
unknown_devices = "admit"
[policy]
file = "policy.signed"
[metrics]
port = {self._metrics[0]}
{self._destination_tables()}[drivers.mqtt]
listen = ["127.0.0.1:{self.mqtt}"]
receive_maximum = 65535
[drivers.coap]
listen = ["127.0.0.1:{self.coaps}"]
[drivers.hl7]
listen = ["127.0.0.1:{self.mllp}"]
connections_per_device = 4096
{self._drivers}"""
        )

    def _destination_tables(self) -> str:
        tables = {
            "core": f"""[[destinations]]
name = "core"
zone = "campus"
purpose = "care"
tenant = "bench"
address = "127.0.0.1:{self._core}"
server_name = "localhost"
""",
            "vendor": f"""[[destinations]]
name = "vendor"
zone = "partner"
purpose = "maintenance"
tenant = "bench"
address = "127.0.0.1:{self._vendor}"
server_name = "localhost"
pseudonym_key = "vendor.key"
""",
        }
        return "".join(tables[name] for name in self._destinations)
