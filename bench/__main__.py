"""``make bench``: every figure that the project states, in interleaved rounds where it has a peer.

Writes ``docs/performance.json`` and the table ``docs/performance.md``. ``--quick`` takes a few
minutes with fewer messages, ``--only`` runs some parts and leaves the figures of the others; both
write nothing unless told to with ``--write``.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import json
import os
import platform
import resource
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import rounds, table
from bench.bridge import available
from bench.decode import decode
from bench.hl7 import hl7_senders
from bench.intake import intake
from bench.long_list import long_list
from bench.neighbours import neighbours
from bench.notification import notification
from bench.site import make_identities
from bench.storm import storm
from bench.waves import waves

DOCS = Path(__file__).resolve().parent.parent / "docs"


def machine() -> dict[str, Any]:
    """What these figures belong to."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": memory,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "load_before": os.getloadavg()[0],
    }


async def measure(arguments: argparse.Namespace, root: Path) -> dict[str, Any]:
    """Run what was asked for, one part after the other."""
    scale = 0.2 if arguments.quick else 1.0
    identities = make_identities(root / "pki", 16)
    parts = {
        "throughput": lambda: rounds.throughput(root, identities, scale, arguments.rounds),
        "steady": lambda: rounds.steady(root, identities, scale, arguments.rounds),
        "slow_sync": lambda: rounds.slow_sync(root, identities, scale),
        "backlog": lambda: rounds.backlog(root, identities, scale),
        "coap": lambda: rounds.coap(root, identities, scale),
        "core": lambda: rounds.core_ingest(root, identities, scale),
        "sessions": lambda: rounds.idle_sessions(root, int(5000 * scale)),
        "hl7": lambda: hl7_senders(root, int(500 * scale)),
        "waves": lambda: waves(root, identities, scale),
        "notification": lambda: notification(root, identities, scale),
        "storm": lambda: storm(root, int(5000 * scale)),
        "neighbours": lambda: neighbours(root, scale),
        "decode": decode,
        "intake": intake,
        "long_list": lambda: long_list(root, arguments.rounds),
        "help": rounds.help_time,
    }
    results: dict[str, Any] = {"machine": machine(), "quick": arguments.quick}
    for name, run in parts.items():
        if arguments.only and name not in arguments.only:
            continue
        print(f"{name} …", file=sys.stderr, flush=True)
        results[name] = await run()
        print(json.dumps(results[name]), file=sys.stderr, flush=True)
    return results


def alone(results: dict[str, Any]) -> dict[str, Any]:
    """The figures of the last whole run, with these parts in their places and marked as such."""
    kept: dict[str, Any] = json.loads((DOCS / "performance.json").read_text())
    conditions = results.pop("machine") | {"quick": results.pop("quick")}
    marks = kept.get("alone", {}) | dict.fromkeys(results, conditions)
    return kept | results | {"alone": marks}


def main() -> int:
    """Measure, print the table, write the documents."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true", help="write the documents")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[])
    arguments = parser.parse_args()
    if not available():
        print("bench: install mosquitto (apt-get install mosquitto)", file=sys.stderr)
        return 2
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    root = Path(tempfile.mkdtemp(prefix="wardgate-bench-"))
    try:
        results = asyncio.run(measure(arguments, root))
    finally:
        shutil.rmtree(root, ignore_errors=True)
    if arguments.only:
        results = alone(results)
    document = table.render(results)
    print(document)
    if arguments.write or not (arguments.quick or arguments.only):
        (DOCS / "performance.json").write_text(json.dumps(results, indent=1) + "\n")
        (DOCS / "performance.md").write_text(document)
    return 0


if __name__ == "__main__":
    sys.exit(main())
