"""A simulated device behind a port: ``python -m wardgate_pulse.simulator PATH``."""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
from pathlib import Path

from firmware_sim.ptyend import PtyEnd
from wardgate_pulse.codec import Reading, encode

PERIOD_S = 1.0


async def run(path: Path) -> None:
    """Say a pulse rate that breathes, once a second, until cancelled."""
    end = PtyEnd(path, lambda _: None)
    end.plug_in()
    try:
        second = 0
        while True:
            end.write(encode(Reading(round(72 + 6 * math.sin(second / 5)))))
            second += 1
            await asyncio.sleep(PERIOD_S)
    finally:
        end.pull_cable()


if __name__ == "__main__":
    _, *paths = sys.argv
    if len(paths) != 1:
        sys.exit(f"usage: {sys.argv[0]} PATH")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(Path(paths[0])))
