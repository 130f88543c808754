"""A hundred monitors with four waves each, from their sockets to the core's store."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

from bench.rounds import quantiles
from bench.site import Identities, Site
from demo.scrape import total

SECONDS = 20
WARM_S = 10
"""Associations, and the contexts of all waves: one is told a second."""


async def waves(root: Path, identities: Identities, scale: float) -> dict[str, Any]:
    """What is sent is all at the core afterwards, or it is said what is not."""
    place, monitors = root / "waves", max(1, round(100 * scale))
    shutil.rmtree(place, ignore_errors=True)
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.wave_load", "--monitors", str(monitors)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    places = json.loads(await child.stdout.readline())
    tables = '[drivers.lan]\ndriver = "intellivue_lan"\n' + "".join(
        f'[[drivers.lan.monitors]]\ndevice_id = "mon-{n:03}"\naddress = "{address}"\nwaves = true\n'
        for n, address in enumerate(places)
    )
    async with Site(place, identities, destinations=("core",), drivers=tables) as site:
        before = site.usage()
        await asyncio.sleep(WARM_S)
        began = time.monotonic()
        first_us = time.time_ns() // 1000
        await asyncio.sleep(SECONDS)
        last_us = time.time_ns() // 1000
        seconds = time.monotonic() - began
        child.stdin.write(b"stop\n")
        sent = json.loads(await child.stdout.readline())["samples"]
        drained_s = await site.drained()
        after = site.usage()
        samples = await site.samples("gateway")
        accepted = total(samples, "wardgate_wave_samples_total")
        wire = total(samples, "wardgate_sent_bytes_total", lane="waves")
        unclear = total(samples, "wardgate_malformed_total", reason="unclear_wave")
        child.stdin.write(b"end\n")
        await child.wait()
    with sqlite3.connect(site.core_db) as db:
        held, missing, blocks = db.execute(
            "SELECT sum(samples_count), sum(missing_before), count(*) FROM waveforms"
        ).fetchone()
        delays = {
            table: sorted(
                delay
                for (delay,) in db.execute(
                    f"SELECT stored_us - received_us FROM {table}"
                    " WHERE received_us BETWEEN ? AND ?",
                    (first_us, last_us),
                )
            )
            for table in ("waves", "report")
        }
        (in_time,) = db.execute(
            "SELECT sum(samples_count) FROM waveforms WHERE received_us BETWEEN ? AND ?",
            (first_us, last_us),
        ).fetchone()
    return {
        "monitors": monitors,
        "samples_per_s": round(in_time / seconds),
        "samples_sent": sent,
        "samples_at_core": held,
        "samples_accepted": round(accepted),
        "missing_before": missing,
        "blocks": blocks,
        "blocks_without_context": round(unclear),
        "wire_bytes_per_sample": round(wire / held, 2),
        "core_bytes_per_sample": round(site.core_db.stat().st_size / held, 2),
        "drained_s": round(drained_s, 1),
        "waves": quantiles(delays["waves"]),
        "numerics": quantiles(delays["report"]),
        "cpu_us_per_sample": {
            name: round((after[name].cpu_seconds - before[name].cpu_seconds) * 1e6 / held, 2)
            for name in ("gateway", "core")
        },
        "rss_mib": {name: round(after[name].rss_mib_peak) for name in ("gateway", "core")},
    }
