"""Cut the power of a whole gateway under load, round after round: ``make test-power``.

The gateway's state (journal, ledger, cursors, message ids, audit log) lies on a disk with a write
cache (:mod:`tests.crash.disk`). A round lets the devices talk, then takes the power at a random
moment or at a random operation of the disk, at times during the start; what survives is up to the
seed. Some rounds kill the process alone, so that the next start, and a later cut, meet what only
the page cache has. At the end of a block the devices finish, the forwarders drain, and the account
must be even.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Self

from bench.site import Identities
from tests.crash.account import in_ledger
from tests.crash.device import HABITS
from tests.crash.disk import Loss, Order
from tests.crash.rounds import Result, alive, judge, main, settle
from tests.crash.site import END_S_MAX, OFTEN, CrashSite
from tests.crash.supply import PowerDisk

TALK_S_MAX = 1.2
HOW = {"at an operation": 50, "at a time": 25, "killed alone": 17, "after a stop": 8}
"""How a round ends, unless the power goes by itself: at the next so many operations of the disk,
at once, not at all, or when the gateway has ended as it should."""
OPERATIONS_MAX = (5, 50, 500)
"""The power goes at one of the next so many."""
CUT_AT_START = 0.3
STARTING_OPERATIONS_MAX = 150
"""A start makes about so many changes and syncs."""
BALLAST = "ballast_bytes = 1048576\n"


class PowerSite(CrashSite):
    """A site whose gateway lies on a disk that forgets; ``directory`` gets both."""

    def __init__(
        self,
        directory: Path,
        identities: Identities,
        random: Random,
        launcher: Sequence[str] = (),
    ) -> None:
        directory.mkdir(parents=True)
        self.supply = PowerDisk(directory / "disk", random)
        self.loss = Loss()
        self.armed = False
        """Whether the power will go by itself."""
        self._random = random
        super().__init__(
            directory / "site",
            identities,
            extra=OFTEN + BALLAST,
            launcher=launcher,
            disk=self.supply.place,
        )

    async def __aenter__(self) -> Self:
        await self._power_on()
        try:
            return await super().__aenter__()
        except BaseException:
            await self.supply.power_off()
            raise

    async def __aexit__(self, *error: object) -> None:
        try:
            await super().__aexit__(*error)
        finally:
            await self.supply.power_off()

    async def _power_on(self) -> None:
        await self.supply.power_on(self._random.choice(list(Order)))

    async def down(self) -> None:
        """The power went, or is going: wait for that, and for the end of the gateway.

        Raises:
            AssertionError: the gateway does not end.
            TimeoutError: the power did not go.
        """
        self.loss.add(await self.supply.gone())
        gateway = self.processes["gateway"]
        if gateway.running:
            os.kill(gateway.pid, signal.SIGKILL)
        # Whoever waits for an answer of the disk ends with the disk only.
        await self.supply.power_off()
        assert await gateway.ended(END_S_MAX), "the gateway does not end"

    async def up(self, *, steady: bool = False) -> int:
        """The power is back; unless steady, it may go again, during the start or later.

        Returns:
            How often it went during the start.
        """
        went = 0
        while True:
            await self._power_on()
            if await self.started(steady=steady):
                return went
            await self.down()
            went += 1

    async def beyond_ledger(self) -> list[str]:
        """What the receivers hold, and the ledger has no entry of."""
        ledger = self.supply.place / "ledger.sqlite"
        problems = []
        for name, store in (("core", self.core_db), ("vendor", self.vendor_db)):
            problems += await asyncio.to_thread(in_ledger, ledger, store, name)
        return problems

    async def started(self, *, steady: bool = False) -> bool:
        """Start the gateway; False if the power went before it was ready."""
        self.armed = not steady and self._random.random() < CUT_AT_START
        if self.armed:
            self.supply.arm(self._random.randrange(STARTING_OPERATIONS_MAX))
        starting = asyncio.create_task(self.start("gateway"))
        gone = asyncio.create_task(self.supply.went.wait())
        await asyncio.wait({starting, gone}, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if self.supply.went.is_set():
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            return False
        starting.result()
        return True


async def cut_once(site: PowerSite, random: Random, result: Result) -> None:
    """One round."""
    talk_s = random.uniform(0, TALK_S_MAX)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(site.supply.went.wait(), talk_s)
    how = "soon after the start"
    if not site.armed:
        how = random.choices(list(HOW), list(HOW.values()))[0]
        if how == "killed alone":
            await site.end("gateway", signal.SIGKILL)
            result.kills[how] += 1
            if await site.started():
                return
            how = "after a kill"
        elif how == "after a stop":
            await site.end("gateway", signal.SIGTERM)
            site.supply.cut()
        elif how == "at an operation":
            site.supply.arm(random.randrange(random.choice(OPERATIONS_MAX)))
        else:
            site.supply.cut()
    await site.down()
    result.kills[f"power cut {how}"] += 1
    result.kills["power cut during the start"] += await site.up()


async def block(state: Path, identities: Identities, rounds: int, seed: int) -> Result:
    """So many rounds on one site, then the account."""
    random = Random(seed)
    result = Result()
    site = PowerSite(state, identities, random)
    async with site:
        devices = site.devices(HABITS, random)
        async with alive(devices):
            for _ in range(rounds):
                await cut_once(site, random, result)
            site.supply.cut()  # unless it has gone by itself
            await site.down()
            await site.up(steady=True)
            await settle(site, devices)
        await judge(site, devices, result)
        result.problems += await site.beyond_ledger()
    for measure, amount in vars(site.loss).items():
        result.kills[measure] += amount
    return result


if __name__ == "__main__":
    sys.exit(main(block, 20, __doc__))
