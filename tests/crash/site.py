"""A site that is made to be killed: gateway, core and an outside vendor as real processes.

Everything that happens now and then happens often: segments are small, checkpoints frequent, so
that a kill meets roll-over, retention and recovery.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from bench.site import Identities, Site
from demo.processes import Process
from firmware_sim.endpoints import KeyPair, device_dtls, device_tls
from tests.crash.coap_device import CoapDevice
from tests.crash.device import Device, Habit
from tests.crash.mqtt_device import MqttDevice

END_S_MAX = 60.0
OFTEN = """
[journal]
segment_bytes = 262144
checkpoint_s = 0.3
high_water_sync_s = 0.2
"""


class CrashSite(Site):
    """The bench's site, with processes that can be killed at any moment."""

    start_s_max = 120.0
    """Rounds run for an hour, on machines that have other things to do."""

    def __init__(
        self,
        state: Path,
        identities: Identities,
        *,
        extra: str = OFTEN,
        launcher: Sequence[str] = (),
        disk: Path | None = None,
    ) -> None:
        """Keep what differs from the bench.

        Args:
            state: an empty directory to be.
            identities: of everybody.
            extra: more tables for ``gateway.toml``.
            launcher: what the gateway's command is an argument of, such as ``strace``.
            disk: where the gateway keeps its state, if that is elsewhere.
        """
        super().__init__(state, identities)
        self._extra = extra
        self._launcher = launcher
        self._disk = disk

    def _write(self) -> None:
        super()._write()
        path = self.state / "gateway.toml"
        text = path.read_text()
        quick = 'server_name = "localhost"\nbackoff_s_max = 1.0'
        path.write_text(text.replace('server_name = "localhost"', quick) + self._extra)
        if self._disk is not None:
            (self.state / "gateway").symlink_to(self._disk)

    async def start(self, name: str) -> None:
        """Start one process and wait until it answers; under the launcher, if there is one."""
        if name == "gateway" and self._launcher:
            # The launcher takes the place of an interpreter that does nothing else, so that the
            # process that is watched and killed stays a child of ours.
            config = str(self.state / "gateway.toml")
            become = "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])"
            self.processes[name] = Process(
                name,
                ["-c", become, *self._launcher, "gateway", "run", "--config", config],
                self.state / "gateway.log",
                restart=False,
                on_pid=lambda: None,
            )
            await self.processes[name].start()
            await self._answers(name)
        else:
            await super().start(name)

    async def _answers(self, name: str) -> None:
        async with asyncio.timeout(self.start_s_max):
            while not (await self.samples(name)).get(("wardgate_ready", frozenset())):
                if not self.processes[name].running:
                    raise RuntimeError(self.processes[name].last_words())
                await asyncio.sleep(0.05)

    async def end(self, name: str, number: signal.Signals) -> None:
        """Send a signal that ends a process, and wait for its end.

        Raises:
            AssertionError: it had ended by itself, or does not end.
        """
        process = self.processes[name]
        assert process.running, f"{name} ended by itself: {process.last_words()}"
        os.kill(process.pid, number)
        assert await process.ended(END_S_MAX), f"{name} does not end"

    async def start_and_kill(self, name: str, after_s: float) -> bool:
        """Start a process and kill it after so long, ready or not; True if it was ready."""
        starting = asyncio.create_task(self.start(name))
        await asyncio.wait({starting}, timeout=after_s)
        ready = starting.done() and not starting.cancelled() and not starting.exception()
        while name not in self.processes:
            await asyncio.sleep(0)
        if self.processes[name].running:
            await self.end(name, signal.SIGKILL)
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError, RuntimeError):
            await starting
        return ready

    def devices(self, habits: Sequence[Habit], random: Random) -> list[Device]:
        """One device per habit, on this site's certificates."""
        listed = json.loads(self.identities.devices.read_text())
        made: list[Device] = []
        for identity, habit in zip(listed, habits, strict=False):
            name, ca = identity["device_id"], self.identities.ca
            pair = KeyPair(Path(identity["cert"]), Path(identity["key"]))
            if habit.coap:
                context = device_dtls(ca, pair)
                made.append(CoapDevice(name, context, self.coaps, habit, random))
            else:
                made.append(MqttDevice(name, device_tls(ca, pair), self.mqtt, habit, random))
        assert len(made) == len(habits), "too few certificates"
        return made


async def until(what: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for something that only looking can tell.

    Raises:
        TimeoutError: it did not come.
    """
    async with asyncio.timeout(seconds):
        while not what():
            await asyncio.sleep(0.002)


def python(*arguments: str) -> list[str]:
    """A launcher that is a module of ours."""
    return [sys.executable, *arguments]
