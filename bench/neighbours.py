"""Serial lines and HL7 connections on one gateway, and what broken ones among them do to the rest.

In turns: all are well, and a few are broken, each in its own way (``BROKEN`` of :mod:`bench.lines`
and :mod:`bench.neighbours_hl7`). What must hold: the reports of those that are well reach the
core's disk (lines), or are acknowledged (HL7), at most 50 ms later than when all are well.
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import json
import math
import shutil
import sqlite3
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench import lines, neighbours_hl7
from bench.rounds import quantiles
from bench.site import Identities, Site, make_identities
from gateway.domain import terms

LINES: Final = 64
CONNECTIONS: Final = 500
INTERVAL_S: Final = 10.0
"""Between two messages of an HL7 connection."""
TURNS: Final = 3
"""Of each half: the machine's own speed changes, and does so for both."""
TURN_S: Final = 15.0
SETTLE_S: Final = 3.0
UP_S_MAX: Final = 120.0
LATE_MAX_US: Final = 30_000_000
"""Half a round of heart rates: older ones would be mistaken for newer ones."""


class NeighboursSite(Site):
    """A gateway with one core, the lines below ``state/lines``, and an HL7 listener."""

    def __init__(self, state: Path, identities: Identities) -> None:
        super().__init__(state, identities, destinations=("core",))

    @property
    def lines(self) -> Path:
        return self.state / "lines"

    def _write(self) -> None:
        super()._write()
        self.lines.mkdir()
        monitors = "\n".join(
            f'[[drivers.intellivue.monitors]]\ndevice_id = "line-{n:03}"\n'
            f'port = "{self.lines}/line-{n:03}"'
            for n in range(LINES)
        )
        config = self.state / "gateway.toml"
        config.write_text(f"{config.read_text()}\n[drivers.intellivue]\n{monitors}\n")


class Child:
    """A running ``bench.lines`` or ``bench.neighbours_hl7``."""

    def __init__(self, module: str, results: Path, *arguments: str) -> None:
        self._command = (sys.executable, "-m", module, "--results", str(results), *arguments)
        self._results = results

    async def start(self) -> None:
        """Start it, and wait until all its devices are connected.

        Raises:
            TimeoutError: they are not.
        """
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(UP_S_MAX):
            if await self._process.stdout.readline() != b"up\n":
                raise RuntimeError(f"{self._command[2]} failed")

    def say(self, word: str) -> None:
        """``disturb``, or ``stop``."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n".encode())

    async def stop(self) -> dict[str, Any]:
        """End it; what it wrote."""
        self.say("stop")
        await self._process.wait()
        found: dict[str, Any] = json.loads(self._results.read_text())
        return found


class Turns(NamedTuple):
    """When each turn began and ended, microseconds."""

    well: list[tuple[int, int]]
    broken: list[tuple[int, int]]


async def neighbours(root: Path, scale: float) -> dict[str, Any]:
    """Run both halves, in turns."""
    place = root / "neighbours"
    shutil.rmtree(place, ignore_errors=True)
    identities = make_identities(root / "neighbours-pki", CONNECTIONS)
    async with NeighboursSite(place, identities) as site:
        children = (
            Child(
                *("bench.lines", place / "lines.json"),
                *("--directory", str(site.lines), "--lines", str(LINES)),
            ),
            Child(
                *("bench.neighbours_hl7", place / "hl7.json", "--port", str(site.mllp)),
                *("--ca", str(identities.ca), "--identities", str(identities.devices)),
                *("--connections", str(CONNECTIONS), "--interval", str(INTERVAL_S)),
            ),
        )
        await asyncio.gather(*(child.start() for child in children))
        turns = await _in_turns(children, TURN_S * max(scale, 0.3))
        sent, heard = await asyncio.gather(*(child.stop() for child in children))
        await site.drained()
        stored = _stored(site.core_db)
        usage = site.usage()
    to_core = _delays(sent["devices"], stored)
    to_answer = [
        (at, acked[n] - at if n < len(acked) else math.inf)
        for sent_us, acked in heard["devices"].values()
        for n, at in enumerate(sent_us)
    ]
    assert not heard["refused"], f"{heard['refused']} messages were refused"
    return {
        "lines": {
            "count": LINES,
            "ill": len(lines.BROKEN),
            "noise_mib": round(sent["noise"] / 2**20, 1),
            **_halves(to_core, turns),
        },
        "hl7": {
            "count": CONNECTIONS,
            "ill": len(neighbours_hl7.BROKEN),
            "harm": heard["harm"],
            **_halves(to_answer, turns),
        },
        "gateway_rss_mib": round(usage["gateway"].rss_mib_peak),
    }


async def _in_turns(children: Sequence[Child], seconds: float) -> Turns:
    turns = Turns([], [])
    for _ in range(TURNS):
        for word, marks in (("rest", turns.well), ("disturb", turns.broken)):
            for child in children:
                child.say(word)
            await asyncio.sleep(SETTLE_S)
            began_us = _now_us()
            await asyncio.sleep(seconds)
            marks.append((began_us, _now_us()))
    await asyncio.sleep(SETTLE_S)
    return turns


def _stored(path: Path) -> dict[str, list[tuple[float, int]]]:
    """Device -> (heart rate, stored at) of each report, in the order of storing."""
    found: dict[str, list[tuple[float, int]]] = defaultdict(list)
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        rows = db.execute(
            "SELECT r.device_id, v.value, r.stored_us FROM readings v JOIN reports r"
            " USING (device_id, epoch, lane, seq) WHERE v.code = ? ORDER BY r.stored_us",
            (terms.HEART_RATE,),
        )
        for device, value, at in rows:
            found[device].append((value, at))
    return found


def _delays(
    sent: dict[str, list[list[float]]], stored: dict[str, list[tuple[float, int]]]
) -> list[tuple[int, float]]:
    """(sent at, how long it took; infinite if it never came) of each report."""
    delays = []
    for device, replies in sent.items():
        arrivals: dict[float, list[int]] = defaultdict(list)
        for value, at in stored.get(device, ()):
            arrivals[value].append(at)
        for at_us, value in replies:
            later = arrivals[value]
            place = bisect.bisect_left(later, at_us)
            late = later[place] - at_us if place < len(later) else math.inf
            delays.append((int(at_us), late if late <= LATE_MAX_US else math.inf))
    return delays


def _halves(delays: Sequence[tuple[int, float]], turns: Turns) -> dict[str, Any]:
    """The delays of what was sent in each half, and by how much the second is later."""
    well, broken = (_half(delays, marks) for marks in turns)
    added = {name: round(broken[name] - well[name], 2) for name in ("p50_ms", "p99_ms", "max_ms")}
    return {"well": well, "broken": broken, "added": added}


def _half(delays: Sequence[tuple[int, float]], marks: list[tuple[int, int]]) -> dict[str, Any]:
    inside = [d for at, d in delays if any(began <= at < ended for began, ended in marks)]
    came = [delay for delay in inside if delay < math.inf]
    return {
        "reports": len(inside),
        "lost": len(inside) - len(came),
        **quantiles(came),
        "max_ms": round(max(came) / 1000, 2),
    }


def _now_us() -> int:
    return time.time_ns() // 1000
