"""``python -m demo``; see the Makefile."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from demo.run import Options, main

parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
parser.add_argument("--state", type=Path, default=Path(".wardgate-demo"))
parser.add_argument("--seconds", type=float)
parser.add_argument("--report", type=Path)
parser.add_argument("--replay", type=Path)
parser.add_argument("--platform", choices=("none", "fake"), default="none")
arguments = parser.parse_args()
sys.exit(
    main(
        Options(
            arguments.state,
            arguments.seconds,
            arguments.report,
            arguments.replay,
            arguments.platform == "fake",
        )
    )
)
