"""Monitors on serial lines, all in one process: most well, a few broken on command.

Each line is a pty with a simulated monitor that puts a reply with numbers on it at a steady pace;
the heart rate counts, so that each reply can be found again at the core. Takes lines on standard
input: ``disturb`` lets the broken ones begin, ``rest`` lets them pause, ``stop`` ends it and writes
``--results``: per device when it sent what.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import pty
import sys
import tty
from pathlib import Path
from random import Random
from typing import Final

import uvloop

from firmware_sim.intellivue.line import SerialMonitor
from firmware_sim.intellivue.monitor import SentReply
from firmware_sim.intellivue.screen import Screen
from gateway.clock import SystemClock
from gateway.domain import terms

RATES: Final = range(60, 120)
"""Heart rates, in turn: a minute at one reply a second, and none is beyond an alarm limit."""
FLOOD_BYTES: Final = 4096
FLOOD_EVERY_S: Final = 0.002
"""Two megabytes a second at most: what the other end takes, and far beyond any UART."""
REPLUG_S: Final = 0.3
BROKEN: Final = ("flood", "stall", "replug")
"""Noise without end; a frame that never ends; a cable that comes off and on."""


class Line:
    """A monitor that is well."""

    def __init__(self, port: Path, interval_s: float, phase: float) -> None:
        self.name = port.name
        self._rate = 0
        self._interval_s, self._phase = interval_s, phase
        self.sent: list[tuple[int, float]] = []
        """When (Unix microseconds), and which heart rate."""
        self.serial = SerialMonitor(port, self._screen, SystemClock(), self._on_sent)
        self.serial.monitor.paced = True

    def _screen(self) -> Screen:
        rate = float(RATES[self._rate % len(RATES)])
        return Screen({terms.HEART_RATE: rate, terms.SPO2: 97.0, terms.RESP_RATE: 16.0})

    def _on_sent(self, reply: SentReply) -> None:
        shown = dict(zip(reply.codes, reply.values, strict=True))
        if terms.HEART_RATE in shown:
            self.sent.append((reply.at_us, shown[terms.HEART_RATE]))

    async def run(self) -> None:
        """Reply for ever, out of step with the others."""
        self.serial.start()
        await self.serial.monitor.polled.wait()
        await asyncio.sleep(self._phase * self._interval_s)
        while True:
            self._rate += 1
            self.serial.show()
            await asyncio.sleep(self._interval_s)


class Broken:
    """A line that does nothing until it is told to, and then harm."""

    def __init__(self, port: Path, how: str) -> None:
        self._port, self.how = port, how
        self._random = Random(1)  # noise, the same in each run
        self.began = asyncio.Event()
        self.written = 0

    async def run(self) -> None:
        """Be a port, and harm when the time has come."""
        master = self._plug_in()
        await self.began.wait()
        if self.how == "stall":
            os.write(master, b"\xc0\x11\x01\x7f\xff" + bytes(512))
            await asyncio.Event().wait()
        while True:
            await self.began.wait()
            if self.how == "replug":
                os.close(master)
                self._port.unlink()
                await asyncio.sleep(REPLUG_S)
                master = self._plug_in()
                await asyncio.sleep(REPLUG_S)
                continue
            # Frames begin all the time, and none is right: the decoder has all the work there is.
            noise = self._random.randbytes(FLOOD_BYTES).replace(b"\x00", b"\xc0")
            with contextlib.suppress(BlockingIOError):
                self.written += os.write(master, noise)
            await asyncio.sleep(FLOOD_EVERY_S)

    def _plug_in(self) -> int:
        master, slave = pty.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        fresh = self._port.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.ttyname(slave))
        fresh.replace(self._port)
        if self.how == "replug":
            os.close(slave)
        return master


async def main(arguments: argparse.Namespace) -> None:
    """Run them until ``stop``."""
    names = [f"line-{n:03}" for n in range(arguments.lines)]
    broken = [
        Broken(arguments.directory / name, how)
        for name, how in zip(names[-len(BROKEN) :], BROKEN, strict=True)
    ]
    lines = [
        Line(arguments.directory / name, arguments.interval, n / len(names))
        for n, name in enumerate(names[: -len(BROKEN)])
    ]
    tasks = [asyncio.create_task(line.run()) for line in lines]
    tasks += [asyncio.create_task(each.run()) for each in broken]
    polled = (line.serial.monitor.polled.wait() for line in lines)
    await asyncio.gather(*polled)
    print("up", flush=True)
    while (word := (await asyncio.to_thread(sys.stdin.readline)).strip()) in ("disturb", "rest"):
        for each in broken:
            harms = word == "disturb" and each.how in arguments.harm
            each.began.set() if harms else each.began.clear()
    for task in tasks:
        task.cancel()
    found = {"devices": {line.name: line.sent for line in lines}, "noise": broken[0].written}
    arguments.results.write_text(json.dumps(found))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--lines", type=int, default=64)
    parser.add_argument("--interval", type=float, default=1.0)
    parser.add_argument("--harm", nargs="*", default=BROKEN, help="only these begin when told to")
    parser.add_argument("--results", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    uvloop.run(main(parse()))
