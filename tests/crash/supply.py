"""Mounts a disk whose power can be cut, and gives it its power back."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

from tests.crash.disk import Loss, Order

MOUNT_S_MAX = 30.0
CUT_S_MAX = 60.0


class PowerDisk:
    """One disk: mounted at ``place``, kept in ``image`` while it has no power."""

    def __init__(self, directory: Path, random: Random) -> None:
        self.place = directory / "mounted"
        self._image = directory / "image"
        self._random = random
        self._log = directory / "disk.log"
        self._process: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._loss = Loss()
        self.went = asyncio.Event()
        """Whether the power has gone."""
        for path in (directory, self.place, self._image):
            path.mkdir(mode=0o700)

    async def power_on(self, order: Order) -> None:
        """Mount what is left.

        Raises:
            RuntimeError, TimeoutError: it can't be mounted.
        """
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "tests.crash.mount", self.place, self._image, order.value),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self.went.clear()
        self._watcher = asyncio.create_task(self._watch(self._process))
        async with asyncio.timeout(MOUNT_S_MAX):
            while not self.place.is_mount():
                if self._process.returncode is not None:
                    raise RuntimeError(f"not mounted: {self._log.read_text()[-500:]}")
                await asyncio.sleep(0.01)

    def arm(self, operations: int) -> None:
        """Cut the power by itself, after so many more changes and syncs."""
        self._say(f"arm {operations} {self._random.getrandbits(32)}")

    def cut(self, *, worst: bool = False) -> None:
        """Cut the power now; at worst, nothing is left but what was synced."""
        self._say("cut" if worst else f"cut {self._random.getrandbits(32)}")

    async def gone(self) -> Loss:
        """Wait for the cut, after which nobody is answered any more.

        Raises:
            TimeoutError: it did not come.
        """
        async with asyncio.timeout(CUT_S_MAX):
            await self.went.wait()
        return self._loss

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        if line := await process.stdout.readline():
            self._loss = Loss(**json.loads(line))
            self.went.set()

    async def power_off(self) -> None:
        """End the process, and with it whoever still waits for an answer; idempotent."""
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        if self._watcher is not None:
            await self._watcher
        self._process = None
        unmount = ["umount", "-l"] if os.geteuid() == 0 else ["fusermount3", "-u", "-z"]
        await asyncio.to_thread(subprocess.run, [*unmount, str(self.place)], check=True)

    def _say(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")


async def missing(directory: Path) -> str:
    """Why no disk can be mounted here; empty if one can.

    Args:
        directory: to be made, for the trial.
    """
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "there is no /dev/fuse to use"
    disk = PowerDisk(directory, Random(0))
    try:
        await disk.power_on(Order.STRICT)
    except (RuntimeError, TimeoutError) as error:
        return f"mounting is not allowed here: {error}"
    await disk.power_off()
    return ""
