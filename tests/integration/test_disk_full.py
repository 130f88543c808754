"""A full disk and a full journal: telemetry waits with its devices, alarms go through.

Nobody helps: when there is space again, the devices' own repetitions are taken, and the account
is even, with each alarm raised once however often its message was refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

import pytest

from bench.site import Identities, make_identities
from demo.scrape import total
from tests.crash.account import read
from tests.crash.device import HABITS, Device
from tests.crash.rounds import account, settle
from tests.crash.site import CrashSite, until

pytestmark = pytest.mark.timeout(480)
ALARMING = 60
"""Messages that begin or end an alarm on the full disk: many commits of journal and ledger."""
DISK_BYTES = 24 << 20
BALLAST = """
[journal]
ballast_bytes = 4194304
segment_bytes = 262144
checkpoint_s = 0.3
"""
REFUSED_WHEN_FULL = 50
LIMIT = """
[journal]
limit_bytes = 3145728
alarm_reserve_bytes = 1048576
ballast_bytes = 0
segment_bytes = 65536
checkpoint_s = 0.3
"""


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> Identities:
    return make_identities(tmp_path_factory.mktemp("pki"), 2)


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """A file system of its own for the gateway's state."""
    if os.geteuid():
        pytest.skip("only root can mount a small file system")
    place.mkdir(parents=True)
    options = f"size={DISK_BYTES},mode=700"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def fill(path: Path) -> None:
    """Take what is left of the disk."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass


async def refused(site: CrashSite) -> float:
    """Device messages that were refused for want of space."""
    return total(await site.samples("gateway"), "wardgate_not_taken_total", outcome="full")


async def refusals(site: CrashSite) -> None:
    """Wait until so many more were refused: what was sent before has been answered."""
    enough = await refused(site) + REFUSED_WHEN_FULL
    while await refused(site) < enough:  # noqa: ASYNC110 - in another process
        await asyncio.sleep(0.05)


async def alarms(site: CrashSite) -> float:
    """Records of that lane in the journal."""
    return total(await site.samples("gateway"), "wardgate_journaled_total", lane="alarms")


def told(site: CrashSite, device: Device) -> bool:
    """Whether the core knows of every alarm of the device."""
    rows = read(site.core_db, "SELECT device_id, phase FROM alarms")
    return rows.count((device.device_id, "start")) == device.diary.episodes


async def test_a_full_disk_holds_telemetry_back_and_lets_alarms_through(
    tmp_path: Path, identities: Identities
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        async with CrashSite(tmp_path / "site", identities, extra=BALLAST, disk=disk) as site:
            habits = [replace(HABITS[0], rate=0), replace(HABITS[1], rate=0, episode=1)]
            devices = site.devices(habits, Random(1))
            monitor, pump = devices
            lives = [asyncio.create_task(device.run()) for device in devices]
            for device in devices:
                await asyncio.wait_for(device.say(device.script.next()), 30)

            await asyncio.to_thread(fill, disk / "filler")
            sayings = []
            while not await refused(site):  # the last pages of open files have room for a few
                sayings.append(asyncio.create_task(pump.say(pump.script.next())))
                await asyncio.sleep(0.05)
            for _ in range(ALARMING):
                sayings.append(asyncio.create_task(pump.say(pump.script.next())))
                await asyncio.sleep(0.02)
            await until(partial(told, site, pump), 60)
            # The alarms have got what was kept for them, so that there is no more for anybody else.
            sayings += [asyncio.create_task(monitor.say(monitor.script.next())) for _ in range(7)]
            await until(partial(told, site, monitor), 60)
            await refusals(site)
            assert pump.diary.episodes >= ALARMING / 2
            assert monitor.unfinished == 7
            assert pump.unfinished >= ALARMING

            (disk / "filler").unlink()
            async with asyncio.timeout(120):
                await asyncio.gather(*sayings)
            await settle(site, devices)
            for life in lives:
                life.cancel()
            assert await account(site, devices) == []


async def test_a_full_journal_waits_for_the_core_and_keeps_taking_alarms(
    tmp_path: Path, identities: Identities
) -> None:
    async with CrashSite(tmp_path / "site", identities, extra=LIMIT) as site:
        habits = [replace(HABITS[0], rate=3000.0), replace(HABITS[1], rate=0)]
        devices = site.devices(habits, Random(1))
        busy, pump = devices
        lives = [asyncio.create_task(device.run()) for device in devices]
        await until(lambda: len(busy.diary.acknowledged) > 100)
        await site.end("core", signal.SIGKILL)
        await refusals(site)
        raised = await alarms(site)
        sayings = [asyncio.create_task(pump.say(pump.script.next())) for _ in range(7)]
        # The first refusal was of a large group: what is smaller fills what is left.
        while await alarms(site) <= raised or all(saying.done() for saying in sayings):
            if all(saying.done() for saying in sayings):
                sayings.append(asyncio.create_task(pump.say(pump.script.next())))
            await refusals(site)

        await site.start("core")
        async with asyncio.timeout(60):
            await asyncio.gather(*sayings)
        await settle(site, devices)
        for life in lives:
            life.cancel()
        assert await account(site, devices) == []
