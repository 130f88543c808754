"""The core is away while the ward talks: on its return alarms come first, and nothing is lost."""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from bench.site import make_identities
from tests.crash.account import read
from tests.crash.device import HABITS
from tests.crash.rounds import account, settle
from tests.crash.site import CrashSite, until

pytestmark = pytest.mark.timeout(240)
BACKLOG = 12_000
"""Messages; three times what the forwarder may have in flight."""


async def test_after_an_absence_of_the_core_alarms_come_first(tmp_path: Path) -> None:
    identities = make_identities(tmp_path, 2)
    async with CrashSite(tmp_path / "site", identities) as site:
        habits = [replace(HABITS[0], rate=5000.0), replace(HABITS[1], rate=2000.0)]
        devices = site.devices(habits, Random(1))
        lives = [asyncio.create_task(device.run()) for device in devices]
        await until(lambda: all(len(each.diary.acknowledged) > 100 for each in devices))

        await site.end("core", signal.SIGKILL)
        gone_us = time.time_ns() // 1000
        had = sum(len(each.diary.acknowledged) for each in devices)
        await until(
            lambda: sum(len(each.diary.acknowledged) for each in devices) > had + BACKLOG, 60
        )
        back_us = time.time_ns() // 1000
        await site.start("core")
        await settle(site, devices)
        for life in lives:
            life.cancel()
        assert await account(site, devices) == []

        away = f"BETWEEN {gone_us} AND {back_us}"
        alarms = read(
            site.core_db, f"SELECT stored_us FROM alarms WHERE at_us {away} ORDER BY stored_us"
        )
        reports = read(site.core_db, f"SELECT stored_us FROM report WHERE received_us {away}")
        assert len(alarms) > 100
        assert len(reports) > BACKLOG / 2
        (last,) = alarms[-1]
        before = sum(int(str(stored)) < int(str(last)) for (stored,) in reports)
        assert before < len(reports) / 4, "telemetry's backlog came before the alarms'"
