"""A storm: all devices of a ward lose their connections at once, and come back at once.

Twice: every connection is dropped while the gateway stays up, and the gateway is killed (-9) and
started again. All the while every device reports at QoS 1. A neighbour, one device in a process
of its own, keeps its connection in the first storm and tries every tenth of a second in the second.

What must hold: everything that was acknowledged is held by the core, once.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from bench.rounds import quantiles, stored
from bench.site import Identities, Site, make_identities

INTERVAL_S = 10.0
"""Between a device's reports."""
NEIGHBOUR_INTERVAL_S = 0.05
CALM_S = 15.0
BACK_S_MAX = 240.0
END_S_MAX = 90.0


class Window(NamedTuple):
    """A stretch of time, microseconds."""

    began_us: int
    ended_us: int


class Crowd:
    """A running ``bench.crowd``."""

    def __init__(self, site: Site, identities: Identities, results: Path) -> None:
        self._arguments = (
            *(sys.executable, "-m", "bench.crowd", "--port", str(site.mqtt)),
            *("--ca", str(identities.ca), "--identities", str(identities.devices)),
            *("--results", str(results)),
        )
        self.results = results
        self._child: asyncio.subprocess.Process | None = None

    async def start(self, *more: str) -> None:
        """Start it; it connects by itself."""
        self._child = await asyncio.create_subprocess_exec(
            *self._arguments,
            *more,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )

    async def all_up(self) -> dict[str, Any]:
        """Wait until every device is connected; what that took.

        Raises:
            TimeoutError: they are not.
        """
        async with asyncio.timeout(BACK_S_MAX):
            assert self._child is not None
            assert self._child.stdout is not None
            line = await self._child.stdout.readline()
        found: dict[str, Any] = json.loads(line)
        return found

    def say(self, word: str) -> None:
        """``drop`` or ``stop``."""
        assert self._child is not None
        assert self._child.stdin is not None
        self._child.stdin.write(f"{word}\n".encode())

    async def stop(self) -> list[dict[str, Any]]:
        """End it; what each device sent and heard."""
        self.say("stop")
        assert self._child is not None
        async with asyncio.timeout(END_S_MAX):
            await self._child.wait()
        with self.results.open() as lines:
            return [json.loads(line) for line in lines]


async def storm(root: Path, count: int) -> dict[str, Any]:
    """So many devices, dropped and then bereft of their gateway."""
    place = root / "storm"
    shutil.rmtree(place, ignore_errors=True)
    identities = make_identities(root / "storm-pki", count + 1)
    async with Site(place, identities, destinations=("core",)) as site:
        crowd = Crowd(site, identities, place / "crowd.jsonl")
        neighbour = Crowd(site, identities, place / "neighbour.jsonl")
        await neighbour.start(
            *("--first", str(count), "--devices", "1", "--interval", str(NEIGHBOUR_INTERVAL_S)),
            *("--retry", "0.1"),
        )
        await neighbour.all_up()
        await crowd.start("--devices", str(count), "--interval", str(INTERVAL_S))
        arrival = await crowd.all_up()
        calm = await _while(asyncio.sleep(CALM_S))
        crowd.say("drop")
        dropped, drop = await _timed(crowd.all_up())
        await asyncio.sleep(CALM_S)
        killed_us = _now_us()
        await site.kill("gateway")
        await site.start("gateway")
        ready_us = _now_us()
        (back, first), kill = await _timed(asyncio.gather(crowd.all_up(), neighbour.all_up()))
        await asyncio.sleep(CALM_S)
        devices = await crowd.stop() + await neighbour.stop()
        await site.drained()
        rows = stored(site.core_db)
    others = [device for device in devices if device["device"] == neighbour_name(count)]
    in_calm, in_drop, in_kill = (
        _latencies(others[0], rows, window)
        for window in (calm, drop, Window(first["at_us"], kill.ended_us))
    )
    return {
        "devices": count,
        "reports_per_s": round(count / INTERVAL_S + 1 / NEIGHBOUR_INTERVAL_S),
        **account(devices, rows),
        "arrival": arrival,
        "dropped": {"all_back_s": _seconds(drop), **dropped, "neighbour": in_drop},
        "killed": {
            "all_back_s": _seconds(Window(killed_us, kill.ended_us)),
            "of_which_restart_s": _seconds(Window(killed_us, ready_us)),
            **back,
            "neighbour": in_kill,
        },
        "calm": {"neighbour": in_calm},
    }


def account(devices: list[dict[str, Any]], rows: list[tuple[str, int, int]]) -> dict[str, int]:
    """Message by message: what was acknowledged, and what the core holds."""
    acknowledged = {
        (each["device"], number)
        for each in devices
        for number, acked_us in enumerate(each["acked_us"])
        if acked_us
    }
    held = [(device, number) for device, number, _ in rows]
    return {
        "sent": sum(len(each["sent_us"]) for each in devices),
        "acknowledged": len(acknowledged),
        "held": len(held),
        "acknowledged_and_lost": len(acknowledged - set(held)),
        "held_twice": len(held) - len(set(held)),
    }


def neighbour_name(count: int) -> str:
    """The last device of the list."""
    return f"bench-{count:04}"


def _latencies(
    device: dict[str, Any], rows: list[tuple[str, int, int]], window: Window
) -> dict[str, Any]:
    """Of the reports that the device made in a window: to PUBACK and to the core's disk."""
    sent_us = device["sent_us"]
    inside = [n for n, at in enumerate(sent_us) if window.began_us <= at <= window.ended_us]
    at_core = {n: at for name, n, at in rows if name == device["device"]}
    return {
        "reports": len(inside),
        "acknowledged": quantiles([device["acked_us"][n] - sent_us[n] for n in inside]),
        "at_core": quantiles([at_core[n] - sent_us[n] for n in inside]),
    }


async def _timed(awaitable: Any) -> tuple[Any, Window]:
    began_us = _now_us()
    result = await awaitable
    return result, Window(began_us, _now_us())


async def _while(awaitable: Any) -> Window:
    return (await _timed(awaitable))[1]


def _seconds(window: Window) -> float:
    return round((window.ended_us - window.began_us) / 1e6, 1)


def _now_us() -> int:
    return time.time_ns() // 1000
