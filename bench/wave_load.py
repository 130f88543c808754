"""Monitors on a network whose four waves have 125 to 500 samples a second, in one process.

Curves are drawn once and sent over and over: what is measured is who carries them. Says where the
monitors are, in JSON, waits for a line on its standard input, and says how many samples it sent.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

import uvloop

from firmware_sim.intellivue.curves import CURVES, PERIOD_TICKS
from firmware_sim.intellivue.lan import LanMonitor
from firmware_sim.intellivue.screen import Screen
from gateway.clock import SystemClock
from gateway.domain import terms

PERIODS = 16
"""Drawn; then they begin again."""
VALUES = {terms.HEART_RATE: 72.0, terms.SPO2: 97.0, terms.RESP_RATE: 15.0}
LEAD_I = 0x0101


class Canned:
    """A curve out of a can."""

    def __init__(self, curve: Any, physio_id: int = 0) -> None:
        self.handle = curve.handle
        self.context = curve.context
        if physio_id:
            self.context = curve.context._replace(physio_id=physio_id)
        self._drawn = [curve.samples(n * PERIOD_TICKS) for n in range(PERIODS)]
        self.sent = 0

    def samples(self, ticks: int) -> tuple[int, ...]:
        drawn: tuple[int, ...] = self._drawn[ticks // PERIOD_TICKS % PERIODS]
        self.sent += len(drawn)
        return drawn


async def main(count: int) -> None:
    ecg, pleth, art = (
        CURVES[name]
        for name in ("MDC_ECG_ELEC_POTL_II", "MDC_PULS_OXIM_PLETH", "MDC_PRESS_BLD_ART")
    )
    curves = [Canned(ecg), Canned(ecg, LEAD_I), Canned(pleth), Canned(art)]
    monitors = []
    for _ in range(count):
        found = LanMonitor(("127.0.0.1", 0), lambda: Screen(VALUES), SystemClock())
        found.monitor.curves = curves  # type: ignore[assignment]
        await found.start()
        monitors.append(found)
    print(json.dumps([f"127.0.0.1:{each.address[1]}" for each in monitors]), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    for each in monitors:
        each.silent = True
    print(json.dumps({"samples": sum(each.sent for each in curves)}), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    for each in monitors:
        each.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--monitors", type=int, required=True)
    uvloop.run(main(parser.parse_args().monitors))
