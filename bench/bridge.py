"""The peer: mosquitto bridged to mosquitto, over TLS with client certificates on every leg."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from pathlib import Path
from typing import Any, Self

from bench.site import Identities
from demo.plan import free_ports
from demo.processes import Process, Usage

START_S_MAX = 15.0


def available() -> bool:
    """Whether mosquitto is installed."""
    return shutil.which("mosquitto", path="/usr/sbin:/usr/bin") is not None


class Bridge:
    """Two brokers; an async context manager."""

    def __init__(self, state: Path, identities: Identities) -> None:
        self.state = state
        self.identities = identities
        self.mqtt, self.far = free_ports(2)
        self.processes: dict[str, Process] = {}

    async def __aenter__(self) -> Self:
        self.state.mkdir(parents=True)
        files = self.identities.broker
        tls = (
            f"cafile {files.trust}\ncertfile {files.cert}\nkeyfile {files.key}\n"
            "require_certificate true\nuse_identity_as_username true\n"
        )
        common = (
            "allow_anonymous false\nmax_queued_messages 0\nmax_inflight_messages 0\n"
            "persistence false\nlog_dest none\nuser root\n"
        )
        (self.state / "near.conf").write_text(
            f"{common}listener {self.mqtt} 127.0.0.1\n{tls}"
            f"connection far\naddress 127.0.0.1:{self.far}\ntopic devices/# out 1\n"
            f"bridge_cafile {files.trust}\nbridge_certfile {files.cert}\n"
            f"bridge_keyfile {files.key}\nbridge_insecure true\ncleansession true\n"
            "notifications false\ntry_private false\n"
        )
        (self.state / "far.conf").write_text(f"{common}listener {self.far} 127.0.0.1\n{tls}")
        for name in ("far", "near"):
            process = Process(
                name,
                ["mosquitto", "-c", str(self.state / f"{name}.conf")],
                self.state / f"{name}.log",
                restart=False,
                on_pid=lambda: None,
                program="/usr/bin/env",
                environment={"PATH": "/usr/sbin:/usr/bin:/bin"},
            )
            self.processes[name] = process
            await process.start()
            await self._answers(self.far if name == "far" else self.mqtt)
        await asyncio.sleep(1.0)  # the bridge's own connection
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in self.processes.values():
            await process.stop()

    async def _answers(self, port: int) -> None:
        for _ in range(int(START_S_MAX / 0.05)):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
        raise RuntimeError(f"mosquitto does not answer on {port}")

    async def sink(self, messages: int) -> tuple[asyncio.Task[dict[str, Any]], Path]:
        """Start the far subscriber; its result when so many messages have come."""
        arrivals, ready = self.state / "arrivals", self.state / "ready"
        ready.unlink(missing_ok=True)
        files = self.identities.core
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.sink", "--port", str(self.far)),
            *("--ca", str(files.trust), "--cert", str(files.cert), "--key", str(files.key)),
            *("--messages", str(messages), "--arrivals", str(arrivals), "--ready", str(ready)),
            stdout=asyncio.subprocess.PIPE,
        )

        async def result() -> dict[str, Any]:
            out, _ = await child.communicate()
            found: dict[str, Any] = json.loads(out)
            return found

        while not ready.exists():
            await asyncio.sleep(0.02)
            if child.returncode is not None:
                raise RuntimeError("the sink did not start")
        return asyncio.create_task(result()), arrivals

    def usage(self) -> dict[str, Usage]:
        """CPU seconds and peak memory per broker so far."""
        return {name: process.sample() for name, process in self.processes.items()}
