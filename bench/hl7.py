"""HL7 senders on one gateway: whether slow and broken ones delay the others."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from bench.rounds import quantiles
from bench.site import Site, make_identities

DEVICES = 64
"""Certificates; each sender's connections share one, as a gateway for many devices does."""
SLOW, BROKEN = 10, 4


async def hl7_senders(root: Path, count: int) -> dict[str, Any]:
    """So many connections that report; then others that end no message, or send rubbish."""
    place = root / "hl7"
    shutil.rmtree(place, ignore_errors=True)
    identities = make_identities(root / "hl7-pki", DEVICES)
    async with Site(place, identities, destinations=("core",)) as site:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.hl7_load", "--port", str(site.mllp)),
            *("--ca", str(identities.ca), "--identities", str(identities.devices)),
            *("--good", str(count), "--slow", str(SLOW), "--broken", str(BROKEN)),
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await child.communicate()
        waits = json.loads(said)
    return {
        "connections": count,
        "slow": SLOW,
        "broken": BROKEN,
        "calm": _waits(waits["calm_us"]),
        "disturbed": _waits(waits["disturbed_us"]),
    }


def _waits(us: list[int]) -> dict[str, float]:
    return {"messages": len(us), **quantiles(us), "longest_ms": round(max(us) / 1000, 1)}
