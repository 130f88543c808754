"""The demo's processes: started, logged to files, started again when killed, ended in order.

When the demo itself is killed, the kernel kills them: none is left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

RESTART_DELAY_S = 0.05
RESTARTS_MAX = 1000
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
_SETPRIV = shutil.which("setpriv")
WITH_ITS_PARENT = (_SETPRIV, "--pdeathsig", "KILL", "--") if _SETPRIV else ()
"""Of util-linux: becomes the program, under the same pid (prctl(2), PR_SET_PDEATHSIG)."""


class Usage(NamedTuple):
    """What a process used."""

    cpu_seconds: float
    rss_mib_peak: float


class Process:
    """One child process; ``restart`` says whether it is started again when it dies."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        log: Path,
        *,
        restart: bool,
        on_pid: Callable[[], None],
        environment: Mapping[str, str] | None = None,
        program: str = sys.executable,
    ) -> None:
        self.name = name
        self.pid = 0
        self.exit_code: int | None = None
        self.restarts = 0
        self._arguments = [*WITH_ITS_PARENT, program, *arguments]
        self._log = log
        self._restart = restart
        self._environment = {**os.environ, **(environment or {})}
        self._on_pid = on_pid
        self._stopping = False
        self._child: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._used = 0.0
        self._last_cpu = 0.0
        self._rss_peak = 0.0

    async def start(self) -> None:
        """Start it and watch it."""
        await self._spawn()
        self._watcher = asyncio.create_task(self._watch(), name=f"watch {self.name}")

    async def _spawn(self) -> None:
        with self._log.open("ab") as log:
            # A session of its own: Ctrl-C reaches the demo, which ends the parts in order.
            self._child = await asyncio.create_subprocess_exec(
                *self._arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=self._environment,
            )
        self.pid = self._child.pid
        self._on_pid()

    async def _watch(self) -> None:
        while self._child is not None:
            self.exit_code = await self._child.wait()
            self._used += self._last_cpu
            self._last_cpu = 0.0
            if self._stopping or not self._restart or self.restarts >= RESTARTS_MAX:
                return
            self.restarts += 1
            await asyncio.sleep(RESTART_DELAY_S)
            if not self._stopping:
                await self._spawn()

    @property
    def running(self) -> bool:
        """True while the child has not ended."""
        return self._child is not None and self._child.returncode is None

    def sample(self) -> Usage:
        """Read the child's CPU seconds and peak memory so far, over all its lives."""
        with contextlib.suppress(OSError, IndexError, ValueError):
            stat = Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2].split()
            self._last_cpu = (int(stat[11]) + int(stat[12])) / CLOCK_TICKS
            for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    self._rss_peak = max(self._rss_peak, int(line.split()[1]) / 1024)
        return Usage(self._used + self._last_cpu, self._rss_peak)

    def let_end(self) -> None:
        """No restart from now on, however it ends."""
        self._stopping = True

    def ask_to_stop(self) -> None:
        """SIGTERM, and no restart from now on."""
        self._stopping = True
        if self.running and self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                self._child.send_signal(signal.SIGTERM)

    async def stop(self, grace_s: float = 30.0) -> None:
        """End it: SIGTERM, then SIGKILL after the grace; idempotent."""
        self.sample()
        self.ask_to_stop()
        if not await self.ended(grace_s) and self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                self._child.kill()
            await self.ended(grace_s)

    async def ended(self, within_s: float) -> bool:
        """Wait until it has ended; False when the time is over."""
        if self._watcher is None:
            return True
        done, _ = await asyncio.wait({self._watcher}, timeout=within_s)
        return bool(done)

    def last_words(self, lines: int = 5) -> str:
        """The end of its log, for an error message."""
        with contextlib.suppress(OSError):
            return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])
        return ""
