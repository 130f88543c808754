"""The core is away while the ward talks: on its return alarms come first, and nothing is lost.

For minutes of it, with the gateway's memory watched: ``make test-absence``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from bench.site import make_identities
from tests.crash.absence import absence
from tests.crash.device import HABITS
from tests.crash.rounds import alive
from tests.crash.site import CrashSite, until

pytestmark = pytest.mark.timeout(480)
BACKLOG = 20_000
"""Messages; five times what the forwarder may have in flight, and so have sent before a stream of
alarms that comes up late."""


async def test_after_an_absence_of_the_core_alarms_come_first(tmp_path: Path) -> None:
    identities = make_identities(tmp_path, 2)
    async with CrashSite(tmp_path / "site", identities) as site:
        habits = [replace(HABITS[0], rate=5000.0), replace(HABITS[1], rate=2000.0)]
        devices = site.devices(habits, Random(1))

        def acknowledged() -> int:
            return sum(len(each.diary.acknowledged) for each in devices)

        async def away() -> None:
            had = acknowledged()
            await until(lambda: acknowledged() > had + BACKLOG, 240)

        async with alive(devices):
            await until(lambda: all(len(each.diary.acknowledged) > 100 for each in devices))
            found = await absence(site, devices, away)
        assert found.problems == []
        assert found.alarms > 100
        assert found.reports > BACKLOG / 2
