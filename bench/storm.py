"""A storm: all devices of a ward lose their connections at once, and come back at once.

Three times: every connection is dropped while the gateway stays up; the same, while as many devices
attach to the network at the same moment, as when a cell starts again (left out without FreeRADIUS);
and the gateway is killed (-9) and started again. All the while every device reports at QoS 1. A
neighbour, one device in a process of its own, keeps its connection in the first two and tries every
tenth of a second in the last. Some more keep theirs in the first two, and raise alarms.

What must hold: everything that was acknowledged is held by the core, once, and every alarm.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from bench.radius import Radius, available
from bench.rounds import quantiles, stored
from bench.site import Identities, Site, make_identities

INTERVAL_S = 10.0
"""Between a device's reports."""
NEIGHBOUR_INTERVAL_S = 0.05
ALARMERS, ALARMS_PER_S = 4, 5.0
"""Devices that raise alarms, and how many each."""
CALM_S = 15.0
BACK_S_MAX = 240.0
END_S_MAX = 90.0


class Window(NamedTuple):
    """A stretch of time, microseconds."""

    began_us: int
    ended_us: int


class Alarms:
    """A running ``bench.alarms``."""

    def __init__(self, site: Site, identities: Identities, first: int, times: Path) -> None:
        self._arguments = (
            *(sys.executable, "-m", "bench.alarms", "--port", str(site.mqtt)),
            *("--ca", str(identities.ca), "--identities", str(identities.devices)),
            *("--device", str(first), "--devices", str(ALARMERS)),
            *("--rate", str(ALARMS_PER_S), "--times", str(times)),
        )
        self._times = times
        self._child: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Alarms are raised from now on."""
        self._child = await asyncio.create_subprocess_exec(
            *self._arguments, stdin=asyncio.subprocess.PIPE
        )

    async def stop(self) -> dict[str, int]:
        """No more alarms; when each was raised, by its message id.

        Raises:
            RuntimeError: a device lost its connection, or was not answered.
        """
        assert self._child is not None
        assert self._child.stdin is not None
        self._child.stdin.write(b"\n")
        async with asyncio.timeout(END_S_MAX):
            if await self._child.wait():
                raise RuntimeError("who raised alarms did not keep its connection")
        raised: dict[str, int] = json.loads(self._times.read_text())
        return raised


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
    """So many devices: dropped, dropped while they attach as well, and bereft of their gateway."""
    place = root / "storm"
    shutil.rmtree(place, ignore_errors=True)
    identities = make_identities(root / "storm-pki", count + 1 + ALARMERS)
    async with Site(place, identities, destinations=("core",)) as site:
        crowd = Crowd(site, identities, place / "crowd.jsonl")
        neighbour = Crowd(site, identities, place / "neighbour.jsonl")
        alarms = Alarms(site, identities, count + 1, place / "alarms.json")
        await neighbour.start(
            *("--first", str(count), "--devices", "1", "--interval", str(NEIGHBOUR_INTERVAL_S)),
            *("--retry", "0.1"),
        )
        await neighbour.all_up()
        await crowd.start("--devices", str(count), "--interval", str(INTERVAL_S))
        arrival = await crowd.all_up()
        await alarms.start()
        windows = {"calm": await _while(asyncio.sleep(CALM_S))}
        crowd.say("drop")
        dropped, windows["dropped"] = await _timed(crowd.all_up())
        await asyncio.sleep(CALM_S)
        cell = await _cell(place, identities, count, crowd, windows) if available() else None
        raised = await alarms.stop()
        killed_us = _now_us()
        await site.kill("gateway")
        await site.start("gateway")
        ready_us = _now_us()
        (back, first), kill = await _timed(asyncio.gather(crowd.all_up(), neighbour.all_up()))
        windows["killed"] = Window(first["at_us"], kill.ended_us)
        await asyncio.sleep(CALM_S)
        devices = await crowd.stop() + await neighbour.stop()
        await site.drained()
        rows, at_core = stored(site.core_db), _alarms_at(site.core_db)
    reporting = {each["device"] for each in devices}
    (other,) = (device for device in devices if device["device"] == neighbour_name(count))
    phases: dict[str, dict[str, Any]] = {
        phase: {"neighbour": _latencies(other, rows, window)} for phase, window in windows.items()
    }
    for phase in ("calm", "dropped", "cell"):
        if phase in windows:
            phases[phase]["alarms"] = _alarm_delays(raised, at_core, windows[phase])
    phases["dropped"] |= {"all_back_s": _seconds(windows["dropped"]), **dropped}
    if cell is not None:
        phases["cell"] |= cell
    phases["killed"] |= {
        "all_back_s": _seconds(Window(killed_us, kill.ended_us)),
        "of_which_restart_s": _seconds(Window(killed_us, ready_us)),
        **back,
    }
    return {
        "devices": count,
        "reports_per_s": round(count / INTERVAL_S + 1 / NEIGHBOUR_INTERVAL_S),
        **account(devices, [row for row in rows if row[0] in reporting]),
        "alarms": len(raised),
        "alarms_lost": len(raised.keys() - at_core.keys()),
        "arrival": arrival,
        **phases,
    }


async def _cell(
    place: Path, identities: Identities, count: int, crowd: Crowd, windows: dict[str, Window]
) -> dict[str, Any]:
    """Everybody at the gateway and at FreeRADIUS at the same moment."""
    async with Radius(place / "radius", identities, count) as radius:

        async def back() -> tuple[dict[str, Any], Window]:
            crowd.say("drop")
            return await _timed(crowd.all_up())

        ((told, back_again), attached), whole = await _timed(asyncio.gather(back(), radius.storm()))
        await asyncio.sleep(CALM_S)
    windows["cell"] = whole
    return {"all_back_s": _seconds(back_again), **told, "radius": attached}


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


def _alarms_at(path: Path) -> dict[str, int]:
    """Message id -> when the core stored the alarm that it brought."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return dict(db.execute("SELECT message_id, stored_us FROM alarms"))


def _alarm_delays(
    raised: dict[str, int], at_core: dict[str, int], window: Window
) -> dict[str, Any]:
    """Of the alarms that were raised in a window, to the core's disk."""
    delays = [
        at_core[message] - at
        for message, at in raised.items()
        if window.began_us <= at <= window.ended_us and message in at_core
    ]
    return {"raised": len(delays), **quantiles(delays)}


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
