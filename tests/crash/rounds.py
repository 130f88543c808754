"""Kill -9 of gateway, core or both, round after round, under load: ``make test-crash``.

A block of rounds shares one site and one set of devices, so that recovery meets what earlier
recoveries left. A round lets the devices talk, ends somebody at a random moment and starts it
again, or kills it once more while it starts. At the end of a block the devices finish, the
forwarders drain, and the account must be even. Prints a line per block and a JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from bench.site import Identities, make_identities
from tests.crash.account import at_core, contiguous, read
from tests.crash.device import HABITS, Device
from tests.crash.site import CrashSite

TALK_S_MAX = 0.6
"""A victim is killed at a random moment of this time after everybody was ready."""
START_S_MAX = 1.5
"""A victim that is killed while it starts, is killed at a random moment of this time."""
KILLED_AT_START = 0.25
DEAF = 0.5
"""Share of rounds in which the devices miss the victim's last answers, for so long:"""
DEAF_S_MAX = 0.1
VICTIMS = {
    ("gateway",): 45,
    ("core",): 20,
    ("gateway", "core"): 20,
    ("vendor",): 5,
    (): 10,  # the gateway ends as it should: its checkpoints, and what a kill finds after them
}
FINISH_S_MAX = 120.0
ACCOUNTS_MAX = 60
ACCOUNT_AGAIN_S = 0.5


@dataclass
class Result:
    """What a block did and found."""

    kills: Counter[str] = field(default_factory=Counter)
    messages: int = 0
    acknowledged: int = 0
    alarms: int = 0
    connects: int = 0
    problems: list[str] = field(default_factory=list)

    def add(self, other: Result) -> None:
        """Sum up."""
        self.kills += other.kills
        self.messages += other.messages
        self.acknowledged += other.acknowledged
        self.alarms += other.alarms
        self.connects += other.connects
        self.problems += other.problems

    def as_json(self) -> dict[str, object]:
        return {**vars(self), "kills": dict(self.kills)}


async def kill_once(
    site: CrashSite, devices: list[Device], random: Random, kills: Counter[str]
) -> None:
    """One round."""
    await asyncio.sleep(random.uniform(0, TALK_S_MAX))
    deaf = random.random() < DEAF
    if deaf:
        for device in devices:
            device.deaf = True
        await asyncio.sleep(random.uniform(0, DEAF_S_MAX))
    victims = random.choices(list(VICTIMS), list(VICTIMS.values()))[0]
    if not victims:
        await site.end("gateway", signal.SIGTERM)
        kills["gateway ended"] += 1
        victims = ("gateway",)
    else:
        await asyncio.gather(*(site.end(victim, signal.SIGKILL) for victim in victims))
        kills["+".join(victims)] += 1
    if deaf:
        for device in devices:
            device.break_off()
    while random.random() < KILLED_AT_START:
        again = random.choice(victims)
        ready = await site.start_and_kill(again, random.uniform(0, START_S_MAX))
        kills[f"{again} {'just started' if ready else 'starting'}"] += 1
    await asyncio.gather(*(site.start(victim) for victim in victims))


async def block(state: Path, identities: Identities, rounds: int, seed: int) -> Result:
    """So many rounds on one site, then the account."""
    random = Random(seed)
    result = Result()
    async with CrashSite(state, identities) as site:
        # They draw as often as they are fast: what is killed when hangs on the seed alone.
        devices = site.devices(HABITS, Random(seed + 1))
        async with alive(devices):
            for _ in range(rounds):
                await kill_once(site, devices, random, result.kills)
            await settle(site, devices)
        await judge(site, devices, result)
    return result


@contextlib.asynccontextmanager
async def alive(devices: Sequence[Device]) -> AsyncIterator[None]:
    """Let devices live for a while."""
    lives = [asyncio.create_task(device.run()) for device in devices]
    try:
        yield
    finally:
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)


async def judge(site: CrashSite, devices: Sequence[Device], result: Result) -> None:
    """Make the account, and sum up what was sent."""
    result.problems += await account(site, devices)
    for log in sorted(site.state.glob("*.log")):
        if "Traceback" in log.read_text(errors="replace"):
            result.problems.append(f"a traceback in {log.name}")
    result.messages = sum(len(device.diary.sent) for device in devices)
    result.acknowledged = sum(len(device.diary.acknowledged) for device in devices)
    result.connects = sum(device.diary.connects for device in devices)
    result.alarms = len(read(site.core_db, "SELECT 1 FROM alarms"))


async def account(site: CrashSite, devices: Sequence[Device]) -> list[str]:
    """The account, once it is even; if it never is, its problems."""

    def look() -> list[str]:
        at_vendor = [f"vendor: {each}" for each in contiguous(site.vendor_db)]
        return at_core(site.core_db, devices) + at_vendor

    return await evened(look)


async def evened(look: Callable[[], list[str]]) -> list[str]:
    """The problems that ``look`` finds, once there are none; else those that stay.

    The gateway's own word that everything has left may be a second old, and so may its cursors on
    disk. What is lost does not come by waiting, and what came twice does not go.
    """
    for patience in range(ACCOUNTS_MAX):
        problems = await asyncio.to_thread(look)
        if not problems or patience == ACCOUNTS_MAX - 1:
            break
        await asyncio.sleep(ACCOUNT_AGAIN_S)
    return problems


async def settle(site: CrashSite, devices: Sequence[Device]) -> None:
    """Wait until the devices have all their answers, and the receivers everything.

    Raises:
        AssertionError, TimeoutError: that does not happen.
    """
    try:
        async with asyncio.timeout(FINISH_S_MAX):
            await asyncio.gather(*(device.finish() for device in devices))
    except TimeoutError:
        waiting = {device.device_id: device.unfinished for device in devices}
        raise AssertionError(f"never answered: {waiting}") from None
    await site.drained()


Block = Callable[[Path, Identities, int, int], Awaitable[Result]]


def run(block: Block, directory: Path, rounds: int, seed: int, size: int) -> Result:
    """All rounds in blocks; a block that found something leaves its state behind."""
    identities = make_identities(directory, len(HABITS))
    total = Result()
    done = 0
    while done < rounds:
        now = min(size, rounds - done)
        state = directory / f"block-{seed}"
        began = time.monotonic()
        try:
            result = asyncio.run(_whole(block(state, identities, now, seed)))
        except (AssertionError, RuntimeError, TimeoutError) as error:
            result = Result(problems=[f"{type(error).__name__}: {error}"])
        done += now
        total.add(result)
        print(
            f"{done} rounds, seed {seed}: {result.messages} messages, {result.alarms} alarms, "
            f"{time.monotonic() - began:.0f} s: {'; '.join(result.problems) or 'even'}",
            flush=True,
        )
        if not result.problems:
            shutil.rmtree(state)
        seed += 1
    return total


async def _whole(result: Awaitable[Result]) -> Result:
    return await result


def main(block: Block, size: int, description: str | None) -> int:
    """Run, tell, and keep what is needed to find out why.

    Args:
        block: what the rounds are of.
        size: rounds in one block, by default.
        description: for ``--help``.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1, help="of the first block; it counts up")
    parser.add_argument("--block", type=int, default=size, help="rounds on one site")
    arguments = parser.parse_args()
    # It tells of every write to a connection that a killed gateway has left.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    directory = Path(tempfile.mkdtemp(prefix="wardgate-crash-"))
    result = run(block, directory, arguments.rounds, arguments.seed, arguments.block)
    print(json.dumps({"rounds": arguments.rounds, **result.as_json()}))
    if result.problems:
        print(f"the state of the blocks that failed is in {directory}", file=sys.stderr)
        return 1
    shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main(block, 25, __doc__))
