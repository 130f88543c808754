"""The measurements, each a function that starts what it needs and returns plain figures."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.bridge import Bridge
from bench.load import FIRST
from bench.site import Identities, Site, make_identities
from demo.processes import Usage

MESSAGES = 200_000
STEADY_RATE = 1000
STEADY_SECONDS = 15
BACKLOG = 1_000_000
SYNC_DELAY_US = 5000


async def load(port: int, identities: Identities, *more: str) -> dict[str, Any]:
    """Run the publisher."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.load", "--port", str(port), "--ca", str(identities.ca)),
        *("--identities", str(identities.devices), *more),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await child.communicate()
    if child.returncode:
        raise RuntimeError("the publisher failed")
    found: dict[str, Any] = json.loads(out)
    return found


def sent_times(path: Path) -> dict[str, list[int]]:
    """Device -> when it sent each message, microseconds."""
    times = {}
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        times[entry["device"]] = entry["sent_us"]
    return times


def stored(path: Path) -> list[tuple[str, int, int]]:
    """(device, message number, stored at) of every report of a core."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT device_id, message_id, stored_us FROM reports").fetchall()
    return [(d, int(m.rpartition(":")[2]) - FIRST, at) for d, m, at in rows if m]


def held(path: Path) -> int:
    """Reports in a core's store."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT count(*) FROM reports").fetchone()[0])


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p99 and p99.9 of microseconds, in milliseconds."""
    ordered = sorted(values)

    def q(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1000, 2)

    return {"p50_ms": q(0.5), "p99_ms": q(0.99), "p999_ms": q(0.999)}


def cpu_between(before: dict[str, Usage], after: dict[str, Usage]) -> dict[str, float]:
    """CPU seconds per process."""
    return {
        name: round(after[name].cpu_seconds - used.cpu_seconds, 2) for name, used in before.items()
    }


async def wardgate_run(
    root: Path, identities: Identities, messages: int, rate: float = 0, slow: bool = False
) -> dict[str, Any]:
    """Wardgate once: mTLS, sealed and synced, policy on, two destinations, half for the second."""
    place = root / "wardgate"
    shutil.rmtree(place, ignore_errors=True)
    environment = _slow_environment(root) if slow else None
    async with Site(place, identities, environment) as site:
        before = site.usage()
        times = place / "times"
        published = await load(
            site.mqtt,
            identities,
            *("--messages", str(messages), "--rate", str(rate), "--times", str(times)),
        )
        await site.drained()
        after = site.usage()
        rows, released = stored(site.core_db), held(site.vendor_db)
    sent = sent_times(times)
    assert released * 2 == len(rows), f"the vendor has {released} of {len(rows)}: not half"
    assert len(rows) == published["messages"], f"{len(rows)} of {published['messages']} at the core"
    last = max(at for _, _, at in rows)
    return {
        "messages_per_s": round(len(rows) / ((last - published["first_sent_us"]) / 1e6)),
        "acknowledged_per_s": round(published["messages"] / published["seconds"]),
        **quantiles([at - sent[device][n] for device, n, at in rows]),
        "ack_p99_ms": round(published["ack_p99_ms"], 2),
        "cpu_s_per_100k": {
            name: round(used / len(rows) * 1e5, 2)
            for name, used in cpu_between(before, after).items()
        },
        "rss_mib": {name: round(used.rss_mib_peak) for name, used in after.items()},
    }


async def bridge_run(
    root: Path, identities: Identities, messages: int, rate: float = 0
) -> dict[str, Any]:
    """The bridge once: mTLS on every leg, nothing on disk, no policy."""
    place = root / "bridge"
    shutil.rmtree(place, ignore_errors=True)
    async with Bridge(place, identities) as bridge:
        sink, arrivals = await bridge.sink(messages)
        before = bridge.usage()
        times = place / "times"
        published = await load(
            bridge.mqtt,
            identities,
            *("--messages", str(messages), "--rate", str(rate), "--times", str(times)),
        )
        arrived = await sink
        after = bridge.usage()
    sent = sent_times(times)
    delays = []
    for line in arrivals.read_text().splitlines():
        device, number, at = line.split()
        delays.append(int(at) - sent[device][int(number) - FIRST])
    return {
        "messages_per_s": round(
            arrived["count"] / ((arrived["last_us"] - published["first_sent_us"]) / 1e6)
        ),
        **quantiles(delays),
        "cpu_s_per_100k": {
            name: round(used / messages * 1e5, 2)
            for name, used in cpu_between(before, after).items()
        },
        "rss_mib": {name: round(used.rss_mib_peak) for name, used in after.items()},
    }


def medians(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Field by field, also one level down."""
    result: dict[str, Any] = {}
    for key, value in runs[0].items():
        if isinstance(value, dict):
            result[key] = {k: statistics.median(run[key][k] for run in runs) for k in value}
        else:
            result[key] = statistics.median(run[key] for run in runs)
    return result


async def throughput(
    root: Path, identities: Identities, scale: float, count: int
) -> dict[str, Any]:
    """As fast as it goes, Wardgate and the bridge in turn."""
    messages = int(MESSAGES * scale)
    ours, theirs = [], []
    for _ in range(count):
        ours.append(await wardgate_run(root, identities, messages))
        theirs.append(await bridge_run(root, identities, messages))
    ratios = [o["messages_per_s"] / t["messages_per_s"] for o, t in zip(ours, theirs, strict=True)]
    return {
        "messages": messages,
        "wardgate": medians(ours),
        "bridge": medians(theirs),
        "ratio": round(statistics.median(ratios), 2),
        "ratios": [round(ratio, 2) for ratio in ratios],
    }


async def steady(root: Path, identities: Identities, scale: float, count: int) -> dict[str, Any]:
    """1000 messages a second."""
    messages = int(STEADY_RATE * STEADY_SECONDS * max(scale, 0.4))
    ours, theirs = [], []
    for _ in range(count):
        ours.append(await wardgate_run(root, identities, messages, STEADY_RATE))
        theirs.append(await bridge_run(root, identities, messages, STEADY_RATE))
    return {"rate": STEADY_RATE, "wardgate": medians(ours), "bridge": medians(theirs)}


async def slow_sync(root: Path, identities: Identities, scale: float) -> dict[str, Any]:
    """The same on a disk that takes 5 ms more for each sync of the gateway."""
    return {
        "sync_delay_us": SYNC_DELAY_US,
        "throughput": await wardgate_run(root, identities, int(MESSAGES * scale), slow=True),
        "steady": await wardgate_run(
            root, identities, int(STEADY_RATE * STEADY_SECONDS * max(scale, 0.4)), STEADY_RATE, True
        ),
    }


def _slow_environment(root: Path) -> dict[str, str]:
    library = root / "slow_sync.so"
    if not library.exists():
        source = Path(__file__).with_name("slow_sync.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "SLOW_SYNC_US": str(SYNC_DELAY_US)}


async def backlog(root: Path, identities: Identities, scale: float) -> dict[str, Any]:
    """A backlog drains while alarms flow: how fast, and how late the alarms are."""
    place = root / "backlog"
    shutil.rmtree(place, ignore_errors=True)
    total = int(BACKLOG * scale)
    async with Site(place, identities) as site:
        for name in ("core", "vendor"):
            await site.processes[name].stop()
        await load(site.mqtt, identities, "--messages", str(total), "--window", "1024")
        waiting = await site.waiting()
        times = place / "alarms.json"
        alarms = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.alarms", "--port", str(site.mqtt)),
            *("--ca", str(identities.ca), "--identities", str(identities.devices)),
            *("--device", "15", "--seconds", "20", "--rate", "20", "--times", str(times)),
        )
        began = time.monotonic()
        await asyncio.gather(site.start("core"), site.start("vendor"))
        core_seconds = 0.0
        while True:
            await asyncio.sleep(0.2)
            lags = await site.lags()
            if not core_seconds and not lags["core"]:
                core_seconds = time.monotonic() - began
            if not any(lags.values()) or time.monotonic() - began > 300:
                break
        drained = time.monotonic() - began
        await alarms.wait()
        await site.drained()
        with contextlib.closing(sqlite3.connect(site.core_db)) as db:
            up = db.execute("SELECT min(stored_us) FROM reports").fetchone()[0]
            rows = db.execute("SELECT message_id, stored_us FROM alarms").fetchall()
    sent = json.loads(times.read_text())
    delays = [at - sent[m] for m, at in rows if m in sent and sent[m] > up]
    return {
        "reports": total,
        "waiting_records": waiting,
        "core_drained_s": round(core_seconds, 1),
        "all_drained_s": round(drained, 1),
        "alarms": len(delays),
        **{f"alarm_{name}": value for name, value in quantiles(delays).items()},
    }


async def coap(root: Path, identities: Identities, scale: float) -> dict[str, Any]:
    """CoAP POSTs over DTLS, closed loop."""
    place = root / "coap"
    shutil.rmtree(place, ignore_errors=True)
    async with Site(place, identities) as site:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.coap_load", "--port", str(site.coaps)),
            *("--ca", str(identities.ca), "--identities", str(identities.devices)),
            *("--messages", str(int(20_000 * max(scale, 0.4)))),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await child.communicate()
        await site.drained()
    found: dict[str, Any] = json.loads(out)
    return found


async def core_ingest(root: Path, identities: Identities, scale: float) -> dict[str, Any]:
    """A backlog to one core alone: reports stored per second and CPU per 100k."""
    place = root / "ingest"
    shutil.rmtree(place, ignore_errors=True)
    total = int(MESSAGES * scale)
    async with Site(place, identities, destinations=("core",)) as site:
        await site.processes["core"].stop()
        await load(site.mqtt, identities, "--messages", str(total))
        await site.start("core")
        before = site.usage()
        await site.drained()
        after = site.usage()
        rows = [at for _, _, at in stored(site.core_db)]
    return {
        "reports": len(rows),
        "reports_per_s": round(len(rows) / ((max(rows) - min(rows)) / 1e6)),
        "cpu_s_per_100k": {
            name: round(used / len(rows) * 1e5, 2)
            for name, used in cpu_between(before, after).items()
        },
    }


async def idle_sessions(root: Path, count: int) -> dict[str, Any]:
    """Idle mTLS sessions: memory each; then all drop and come back at once."""
    place = root / "sessions"
    identities = make_identities(root / "many", count)
    async with Site(place, identities) as site:
        gateway = site.processes["gateway"]
        empty = rss_kib(gateway.pid)
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.sessions", "--port", str(site.mqtt)),
            *("--ca", str(identities.ca), "--identities", str(identities.devices)),
            *("--sessions", str(count)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert child.stdout is not None
        assert child.stdin is not None
        held = json.loads(await child.stdout.readline())
        await asyncio.sleep(2)
        full = rss_kib(gateway.pid)
        child.stdin.write(b"\n")
        storm = json.loads(await child.stdout.readline())
        child.stdin.write(b"\n")
        await child.wait()
    return {
        "sessions": held["held"],
        "connect_s": round(held["seconds"], 1),
        "kib_each": round((full - empty) / count, 1),
        "storm_s": round(storm["seconds"], 1),
        "storm_failed_tries": storm["failures"],
    }


def rss_kib(pid: int) -> int:
    """Resident memory now."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError(f"no process {pid}")


async def help_time() -> dict[str, Any]:
    """``wardgate --help``, whole process, median of 15."""
    seconds = []
    for _ in range(15):
        began = time.perf_counter()
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "wardgate", "--help"), stdout=asyncio.subprocess.DEVNULL
        )
        await child.wait()
        seconds.append(time.perf_counter() - began)
    return {"median_ms": round(statistics.median(seconds) * 1000)}
