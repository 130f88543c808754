"""The live view: what happens in the ward, redrawn every second.

On a terminal it redraws in place; into a pipe it prints one line now and then.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import NamedTuple

from demo.scrape import Samples, matching, total

PLAIN_EVERY = 5
_TREATED = ("passed", "pseudonymised", "generalised", "masked", "aggregated", "withheld")
_SELDOM = frozenset(("generalised", "aggregated"))
"""Shown when there is any."""


class Picture(NamedTuple):
    """What is shown at one moment."""

    seconds: float
    endpoints: str
    gateway: Samples
    core: Samples
    alarms: Sequence[tuple[str, str, str, str]]
    """Newest first: priority, phase, device, condition."""
    health: dict[str, int]
    """Devices by health, as the fleet service has it."""
    restarts: dict[str, int]
    screen: Sequence[str] = ()
    """The nurse's, as it looks now."""


class View:
    """Draws pictures to a stream."""

    def __init__(self) -> None:
        self._tty = sys.stdout.isatty()
        self._count = 0
        self._lines = 0

    def draw(self, picture: Picture) -> None:
        """Draw one picture."""
        self._count += 1
        if not self._tty:
            if self._count % PLAIN_EVERY == 1:
                print(_line(picture), flush=True)
            return
        lines = render(picture)
        columns = shutil.get_terminal_size().columns
        if self._lines:
            sys.stdout.write(f"\x1b[{self._lines}A")
        for line in lines:
            sys.stdout.write("\x1b[2K" + line[:columns] + "\n")
        sys.stdout.write("\x1b[J")
        sys.stdout.flush()
        self._lines = len(lines)


def render(picture: Picture) -> list[str]:
    """The lines of the live view."""
    gateway = picture.gateway
    destinations = sorted(
        {labels["destination"] for labels, _ in matching(gateway, "wardgate_released_total")}
    )
    lines = [
        f"Wardgate demo   {picture.seconds:5.0f} s   Ctrl-C ends it   {picture.endpoints}",
        "",
        "  devices    "
        + "   ".join(
            f"{labels['transport']} {value:.0f}"
            for labels, value in sorted(
                matching(gateway, "wardgate_sessions"), key=lambda pair: pair[0]["transport"]
            )
        )
        + "      "
        + "   ".join(f"{state} {count}" for state, count in sorted(picture.health.items())),
        (
            f"  gateway    accepted {total(gateway, 'wardgate_accepted_total'):.0f}"
            f"   committed {total(gateway, 'wardgate_journaled_total'):.0f}"
            f"   duplicates {total(gateway, 'wardgate_duplicates_total'):.0f}"
            f"   refused {total(gateway, 'wardgate_refused_total'):.0f}"
            f"   malformed {total(gateway, 'wardgate_malformed_total'):.0f}"
        ),
    ]
    for destination in destinations:
        counts = {
            treatment: total(
                gateway, "wardgate_released_total", destination=destination, treatment=treatment
            )
            for treatment in _TREATED
        }
        lag = total(gateway, "wardgate_lag_records", destination=destination)
        lines.append(
            f"  {destination:10} "
            + "   ".join(
                f"{word} {count:.0f}"
                for word, count in counts.items()
                if count or word not in _SELDOM
            )
            + f"   waiting {lag:.0f}"
        )
    lines += ["", "  the nurse's screen: `wardgate alarms watch`, which takes keys, too"]
    lines += [f"  | {line}" for line in picture.screen] or ["  | it begins"]
    lines += ["", "  alarms at the core"]
    lines += [
        f"    {priority:7} {phase:7} {device:18} {condition}"
        for priority, phase, device, condition in picture.alarms[:4]
    ] or ["    none yet"]
    if total(gateway, "wardgate_held"):
        lines += ["", "  NOTHING LEAVES: the local breakout is not in force"]
    outside = total(gateway, "wardgate_fence_devices", state="outside")
    if outside:
        lines += [
            "",
            f"  OUTSIDE THE FENCE: what {outside:.0f} device says is released to nobody",
        ]
    if any(picture.restarts.values()):
        restarted = ", ".join(f"{name} {n}x" for name, n in picture.restarts.items() if n)
        lines += ["", f"  started again: {restarted}"]
    return lines


def _line(picture: Picture) -> str:
    gateway = picture.gateway
    outside = total(gateway, "wardgate_fence_devices", state="outside")
    return (
        f"{picture.seconds:4.0f} s  accepted {total(gateway, 'wardgate_accepted_total'):.0f}  "
        f"waiting {total(gateway, 'wardgate_lag_records'):.0f}  "
        f"refused {total(gateway, 'wardgate_refused_total'):.0f}  "
        f"alarms at the core {len(picture.alarms)}"
        + (f"  outside the fence {outside:.0f}" if outside else "")
    )
