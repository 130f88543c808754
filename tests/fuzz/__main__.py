"""``make fuzz``: every driver's codec, guided by coverage, with the inputs counted.

Each driver has a process of its own (:mod:`tests.fuzz.one`), which begins with the valid frames of
its exhibit. What fails a run: an exception other than the typed error, an input that takes longer
than 5 s, or more than 1 GiB of memory; the input is kept in ``--findings``.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from importlib.metadata import entry_points
from pathlib import Path

from contract.exhibit import GROUP

RUNS = re.compile(r"^Done (\d+) runs in (\d+) second", re.MULTILINE)
COVERED = re.compile(r"\bDONE\s+cov: (\d+).*?corp: (\d+)")


def main() -> int:
    """Fuzz one after the other; a table, and exit code 1 where something was found."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--seconds", type=int, default=60, help="for each driver")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"))
    arguments = parser.parse_args()
    names = sorted(each.name for each in entry_points(group=GROUP))
    failed = 0
    print("| driver | inputs | seconds | edges | corpus |\n|---|---|---|---|---|", flush=True)
    for name in [each for each in names if each in arguments.only or not arguments.only]:
        with tempfile.TemporaryDirectory() as corpus:
            arguments.findings.mkdir(exist_ok=True)
            done = subprocess.run(
                (
                    *(sys.executable, "-m", "tests.fuzz.one", name, corpus),
                    *("--seconds", str(arguments.seconds)),
                    *("--findings", str(arguments.findings)),
                ),
                capture_output=True,
                text=True,
                check=False,
            )
        runs, covered = RUNS.search(done.stderr), COVERED.search(done.stderr)
        if done.returncode or runs is None or covered is None:
            failed += 1
            print(f"| {name} | FAILED | | | |", flush=True)
            print(done.stdout[-4000:], done.stderr[-4000:], sep="\n", file=sys.stderr)
            continue
        cells = (name, f"{int(runs[1]):,}", runs[2], covered[1], covered[2])
        print(f"| {' | '.join(cells)} |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
