"""Takes the core away for minutes under load, and brings it back: ``make test-absence``.

On its return the alarms of the absence have to be stored before the telemetry's backlog is, nothing
may be lost, and the gateway's memory must not have grown with the backlog. Prints a JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import NamedTuple

from bench.site import make_identities
from tests.crash.account import read
from tests.crash.device import HABITS, Device
from tests.crash.rounds import account, alive, settle
from tests.crash.site import CrashSite

WARM_S = 15.0
MQTT_RATE, COAP_RATE = 300.0, 50.0
"""Messages per second and device."""
GROWTH_MIB_MAX = 64.0
"""Of the gateway, from before the absence to the highest point of it and of the draining."""
BEFORE_MAX = 0.25
"""Share of the backlog that may be stored before the last of the alarms."""


class Absence(NamedTuple):
    """What an absence looked like from the core's store."""

    alarms: int
    """Records of the absence, in each lane."""
    reports: int
    before: int
    """Reports of the absence that were stored before its last alarm."""
    alarms_s: float
    reports_s: float
    """From the core's first commit after its return until all of the absence were stored."""
    problems: list[str]


async def absence(
    site: CrashSite, devices: Sequence[Device], away: Callable[[], Awaitable[None]]
) -> Absence:
    """Take the core away while ``away`` lasts, bring it back, and make the account."""
    await site.end("core", signal.SIGKILL)
    gone_us = time.time_ns() // 1000
    await away()
    back_us = time.time_ns() // 1000
    await site.start("core")
    await settle(site, devices)
    problems = await account(site, devices)
    between = f"BETWEEN {gone_us} AND {back_us}"
    alarms = _times(site, f"SELECT stored_us FROM alarms WHERE at_us {between}")
    reports = _times(site, f"SELECT stored_us FROM report WHERE received_us {between}")
    last = max(alarms, default=0)
    first = min(alarms + reports, default=0)
    before = sum(stored < last for stored in reports)
    if not alarms or before > BEFORE_MAX * len(reports):
        problems.append(f"{before} of {len(reports)} reports came before the last alarm")
    return Absence(
        len(alarms),
        len(reports),
        before,
        (last - first) / 1e6,
        (max(reports, default=0) - first) / 1e6,
        problems,
    )


def _times(site: CrashSite, query: str) -> list[int]:
    return [int(str(stored)) for (stored,) in read(site.core_db, query)]


def rss_mib(site: CrashSite) -> float:
    """What the gateway has in memory now."""
    status = Path(f"/proc/{site.processes['gateway'].pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


async def long(directory: Path, minutes: float) -> dict[str, object]:
    """All of it, on a site with the default sizes."""
    identities = make_identities(directory, len(HABITS))
    async with CrashSite(directory / "site", identities, extra="") as site:
        rates = [replace(each, rate=COAP_RATE if each.coap else MQTT_RATE) for each in HABITS]
        devices = site.devices(rates, Random(1))
        async with alive(devices):
            await asyncio.sleep(WARM_S)
            before = rss_mib(site)
            highest = [before]

            async def watch() -> None:
                while True:
                    highest[0] = max(highest[0], rss_mib(site))
                    await asyncio.sleep(0.2)

            async def away() -> None:
                await asyncio.sleep(minutes * 60)
                seen["rss_mib_at_return"] = round(rss_mib(site), 1)

            seen: dict[str, object] = {"minutes": minutes, "rss_mib_before": round(before, 1)}
            watching = asyncio.create_task(watch())
            found = await absence(site, devices, away)
            watching.cancel()
        seen["rss_mib_highest"] = round(highest[0], 1)
        if highest[0] - before > GROWTH_MIB_MAX:
            found.problems.append("the gateway's memory grew with the backlog")
        seen["acknowledged"] = sum(len(device.diary.acknowledged) for device in devices)
    return seen | found._asdict()


def main() -> int:
    """Run and tell; keep the state of a run that found something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=4.0)
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="wardgate-absence-"))
    result = asyncio.run(long(directory, arguments.minutes))
    print(json.dumps(result))
    if result["problems"]:
        print(f"the state is in {directory}", file=sys.stderr)
        return 1
    shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
