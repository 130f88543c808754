"""A FreeRADIUS by the fleet's own configuration, without a fleet, and who attaches to it."""

from __future__ import annotations

import asyncio
import grp
import json
import os
import shutil
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from bench.attach import sim
from bench.site import DOMAIN, Identities
from fleet.radius.config import Client, RadiusTable
from fleet.radius.publish import CURRENT, publish
from fleet.radius.raddb import Entry, Facts, Identity, render
from fleet.radius.trust import trust_files
from gateway.domain.network import parse_binding
from security import pki
from security.pki import crl

SECRET = "of-the-bench"
START_S_MAX = 30.0
ATTACH_S_MAX = 300.0
_TICKS = os.sysconf("SC_CLK_TCK")


def available() -> bool:
    """Whether there is one to be run."""
    return shutil.which("freeradius") is not None


class Radius:
    """A running server that knows so many devices, and a crowd that is ready; a context manager."""

    def __init__(self, place: Path, identities: Identities, devices: int) -> None:
        self._identities = identities
        self._devices = devices
        self.port = _free_port()
        self._table = RadiusTable(
            directory=place / "made",
            in_force=place / "force",
            certificate=identities.core.cert,
            key=identities.core.key,
            listen=f"127.0.0.1:{self.port}",
            accounting=f"127.0.0.1:{_free_port()}",
            run_dir=place,
            log=place / "radius.log",
            sessions=place / "sessions.log",
            group=grp.getgrgid(os.getegid()).gr_name,
            clients={"smf": Client("127.0.0.1", place / "unused")},
        )
        self._server: subprocess.Popen[bytes] | None = None
        self._crowd: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._table.run_dir.mkdir(parents=True)
        publish(self._table.in_force, render(self._table, self._facts()))
        self._server = subprocess.Popen(
            ["freeradius", "-f", "-d", self._table.in_force / CURRENT], stderr=subprocess.DEVNULL
        )
        self._crowd = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.attach", "--port", str(self.port), "--secret", SECRET),
            *("--ca", str(self._identities.ca), "--identities", str(self._identities.devices)),
            *("--devices", str(self._devices)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(START_S_MAX):
            while "Ready to process" not in self._words():  # noqa: ASYNC110  # another process says it
                await asyncio.sleep(0.1)
        async with asyncio.timeout(ATTACH_S_MAX):
            assert self._crowd.stdout is not None
            await self._crowd.stdout.readline()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._crowd is not None and self._crowd.returncode is None:
            self._crowd.terminate()
            await self._crowd.wait()
        if self._server is not None:
            self._server.terminate()
            await asyncio.to_thread(self._server.wait, START_S_MAX)

    async def storm(self) -> dict[str, Any]:
        """Everybody attaches at once; how that went.

        Raises:
            TimeoutError: somebody is not answered.
        """
        assert self._crowd is not None
        assert self._crowd.stdin is not None
        assert self._crowd.stdout is not None
        assert self._server is not None
        before = _cpu_s(self._server.pid)
        self._crowd.stdin.write(b"\n")
        async with asyncio.timeout(ATTACH_S_MAX):
            told: dict[str, Any] = json.loads(await self._crowd.stdout.readline())
        return told | {"server_cpu_s": round(_cpu_s(self._server.pid) - before, 1)}

    def _facts(self) -> Facts:
        authority = self._identities.authority
        entries = []
        for number, each in enumerate(json.loads(self._identities.devices.read_text())):
            serial = pki.load_certificates(Path(each["cert"]))[0].serial_number
            entries.append(Entry(serial, each["device_id"], parse_binding(sim(number))))
        now = datetime.now(UTC)
        none_revoked = crl.build(authority, 1, [], now, now + timedelta(days=1))
        return Facts(
            DOMAIN,
            tuple(entries),
            trust_files(
                [authority.certificate, authority.root], {authority.certificate: none_revoked}
            ),
            {"smf": SECRET},
            Identity(self._table.certificate.read_bytes(), self._table.key.read_bytes()),
        )

    def _words(self) -> str:
        try:
            return self._table.log.read_text()
        except FileNotFoundError:
            return ""


def _free_port() -> int:
    """Of UDP; FreeRADIUS can't be told to take any."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / _TICKS
