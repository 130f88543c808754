"""kill -9 at random moments of a whole gateway under load; more of it: ``make test-crash``."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from bench.site import Identities, make_identities
from demo.scrape import total
from tests.crash.account import at_core, read
from tests.crash.device import HABITS, Device
from tests.crash.rounds import Result, alive, block, evened, judge, kill_once, settle
from tests.crash.site import CrashSite, python
from tests.crash.windows import StatisticsSite, windows

pytestmark = pytest.mark.timeout(240)
ROUNDS = 8
CELLS = 5
TRIES_MAX = 5


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> Identities:
    return make_identities(tmp_path_factory.mktemp("pki"), len(HABITS))


async def test_kill_9_loses_and_doubles_nothing(tmp_path: Path, identities: Identities) -> None:
    result = await block(tmp_path / "site", identities, ROUNDS, seed=20)
    assert result.problems == []
    assert result.acknowledged == result.messages > 500
    assert result.alarms > 50
    assert any("gateway" in victim for victim in result.kills)
    assert any("core" in victim for victim in result.kills)


async def test_kill_9_leaves_every_window_of_statistics_once_and_whole(
    tmp_path: Path, identities: Identities
) -> None:
    random, result = Random(21), Result()
    async with StatisticsSite(tmp_path / "site", identities) as site:
        devices = site.devices(HABITS, Random(22))
        async with alive(devices):
            for _ in range(ROUNDS):
                await kill_once(site, devices, random, result.kills)
            # Windows that no kill falls into.
            while await asyncio.to_thread(cells, site) < CELLS:  # noqa: ASYNC110 - in another process
                await asyncio.sleep(0.2)
            await settle(site, devices)
        await judge(site, devices, result)
        gateway = site.state / "gateway"
        result.problems += await evened(lambda: windows(site.core_db, site.vendor_db, gateway))
        reports = read(site.vendor_db, "SELECT count(*) FROM report")
    assert result.problems == []
    assert any("gateway" in victim for victim in result.kills)
    assert reports == [(0,)]


def cells(site: CrashSite) -> int:
    """Statistics that have arrived at the vendor."""
    query = "SELECT coalesce(sum(json_array_length(statistics)), 0) FROM aggregates"
    return int(str(read(site.vendor_db, query)[0][0]))


async def kill(site: CrashSite, device: Device, *, heard: bool) -> None:
    """Kill the gateway when it has answered, or when it has stored and nothing was heard of it."""
    for _ in range(5):
        await device.say(device.script.next())
    device.deaf = not heard
    sayings = [asyncio.create_task(device.say(device.script.next())) for _ in range(20)]
    if heard:
        await asyncio.gather(*sayings)
    else:
        while await stored(site) < len(device.diary.sent) + device.diary.connects:  # noqa: ASYNC110 - in another process
            await asyncio.sleep(0.02)
    await site.end("gateway", signal.SIGKILL)
    await site.start("gateway")
    await asyncio.gather(*sayings)


async def stored(site: CrashSite) -> float:
    """Records of telemetry in the journal: messages, and a device's coming online."""
    return total(await site.samples("gateway"), "wardgate_journaled_total", lane="telemetry")


@pytest.mark.parametrize(
    ("promise", "habit", "heard", "found"),
    [
        ("early", 0, True, "acknowledged and lost"),
        ("forgetful", 0, False, "under two sequence numbers"),
        ("no-exchanges", 2, False, "stored twice"),
    ],
)
async def test_a_gateway_that_breaks_a_promise_is_found_out(
    tmp_path: Path, identities: Identities, promise: str, habit: int, heard: bool, found: str
) -> None:
    launcher = python("-m", "tests.crash.broken", promise)
    async with CrashSite(tmp_path / "site", identities, launcher=launcher) as site:
        (device,) = site.devices([replace(HABITS[habit], rate=0)], Random(1))
        life = asyncio.create_task(device.run())
        for _ in range(TRIES_MAX):  # the kill may come so late that the promise was kept
            await kill(site, device, heard=heard)
            await settle(site, [device])
            problems = await evened(lambda: lacks(found, at_core(site.core_db, [device])))
            if not problems:
                break
        life.cancel()
    assert problems == []


def lacks(found: str, problems: list[str]) -> list[str]:
    """What an account says that does not tell of the broken promise; nothing if it does."""
    if any(found in problem for problem in problems):
        return []
    return problems or ["the account is even"]
