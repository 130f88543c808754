"""``python -m firmware_sim``: run a simulated ward until SIGTERM, Ctrl-C or ``--seconds``.

Exit codes: 0 stopped cleanly, 2 the scenario or the endpoints can't be used.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from pathlib import Path

from firmware_sim import endpoints, scenario
from firmware_sim.links import cabinet_maker, link_maker
from firmware_sim.log import Log
from firmware_sim.renewal import Renewals
from firmware_sim.replay import Replay
from firmware_sim.ward import Ward
from firmware_sim.wfdb import read_record
from gateway.domain.errors import ConfigError

CANNOT_RUN = 2


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m firmware_sim", description=__doc__)
    parser.add_argument("--scenario", type=Path, required=True, help="TOML: the ward")
    parser.add_argument("--endpoints", type=Path, required=True, help="JSON: the gateway")
    parser.add_argument("--log", type=Path, required=True, help="JSON lines: what devices saw")
    parser.add_argument("--replay", type=Path, help="a WFDB record that feeds the monitors")
    parser.add_argument("--seconds", type=float, help="stop after so many seconds")
    return parser.parse_args(argv)


async def _run(options: argparse.Namespace) -> None:
    replay = Replay(read_record(options.replay)) if options.replay else None
    with Log(options.log) as log:
        who = scenario.load(options.scenario)
        found = endpoints.load(options.endpoints)
        renewals = Renewals(found)
        ward = Ward(
            who,
            link_maker(found, renewals),
            log,
            lambda: time.time_ns() // 1000,
            replay,
            cabinet_maker(found),
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ward.stop)
        if options.seconds is not None:
            loop.call_later(options.seconds, ward.stop)
        renewing = asyncio.create_task(renewals.run())
        try:
            await ward.run()
        finally:
            renewing.cancel()


def main(argv: list[str] | None = None) -> int:
    """Run the command; see the module's docstring for the exit codes."""
    try:
        asyncio.run(_run(_arguments(argv)))
    except ConfigError as error:
        print(f"firmware_sim: {error}", file=sys.stderr)  # noqa: T201 -- the command's own output
        return CANNOT_RUN
    return 0


if __name__ == "__main__":
    sys.exit(main())
