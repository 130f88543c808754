"""A process that commits and says so: ``python -m … <directory> <start> [<count>]``."""

import asyncio
import os
import sys

from gateway.clock import SystemClock
from gateway.domain.labels import Lane
from gateway.domain.ports import Outcome
from gateway.journal.committer import Committer
from gateway.journal.config import CommitterConfig
from tests.fakes import FakeCounters
from tests.unit.journal.helpers import group, open_journal


async def write(directory: str, start: int, count: int) -> None:
    journal = open_journal(directory, clock=SystemClock(), segment_bytes=4096, checkpoint_s=0.02)
    committer = Committer(
        journal,
        asyncio.get_running_loop(),
        FakeCounters(),
        CommitterConfig(maintain_s=0.01, group_records_max=50),
    )
    committer.policy_version = "p"
    await committer.start()
    for n in range(start, start + count):
        lane = Lane.ALARMS if n % 5 == 0 else Lane.TELEMETRY
        items = group(lane, [f"{n}/{i}" for i in range(n % 4 + 1)])

        def done(outcome, n=n):
            assert outcome is Outcome.COMMITTED
            try:
                os.write(1, f"{n}\n".encode())
            except BrokenPipeError:
                os._exit(1)

        alarm = lane is Lane.ALARMS
        committer.add(items.items if alarm else [], [] if alarm else items.items, [], [], done)
        if n % 3 == 0:
            await asyncio.sleep(0.0005)
    await committer.stop()
    journal.close()


if __name__ == "__main__":
    COUNT = int(sys.argv[3]) if len(sys.argv) > 3 else 10**9
    asyncio.run(write(sys.argv[1], int(sys.argv[2]), COUNT))
