"""The fence of a run, by all accounts: what is said outside is collected and released to nobody.

What the gateway withheld for that is no loss, as far as its ledger has it; what is missing beyond
that is.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any, Final, NamedTuple

from demo.account import DevicesSaw, Held, MessageKey, lost
from demo.outing import LEAVER, NEXT_WARD, ROAMER, Moments

FOLLOWED_S: Final = 8.0
"""A place has followed so long after a device is in another ward, at the latest."""


class Fenced(NamedTuple):
    """What became of both, by the devices' account and the core's."""

    moments: Moments
    alarm: tuple[str, ...]
    """Phases of the alarm at the core, in order."""
    out: frozenset[MessageKey]
    """The leaver's messages that were acknowledged while it was held back for certain."""
    arrived: int
    """Of these, at the core."""
    absent: frozenset[MessageKey]
    """Its messages that may have been held back, and are not at the core."""
    missing: int
    """Of these, acknowledged."""
    free_again: int
    """Its messages at the core that it sent after it was free again."""
    wards: tuple[str, ...]
    """Where the core has the roamer, in order."""

    def explained(self, quarantined: int) -> int:
        """How many of the messages that the core lacks the ledger accounts for."""
        return min(self.missing, quarantined)


def account(moments: Moments, devices: DevicesSaw, core: Held, core_db: Path) -> Fenced:
    """Hold what the devices saw against what the core holds."""
    own = {key: sent for key, sent in devices.messages.items() if key[0] == LEAVER}
    out = frozenset(key for key, sent in own.items() if moments.is_out(sent))
    absent = frozenset(
        key for key, sent in own.items() if key not in core.numbered and moments.may_be_out(sent)
    )
    free_again = sum(
        0 < moments.free_us < sent.sent_us and key in core.numbered for key, sent in own.items()
    )
    with contextlib.closing(sqlite3.connect(f"file:{core_db}?mode=ro", uri=True)) as db:
        alarms = "SELECT phase FROM alarms WHERE condition = 'outside_fence' ORDER BY id"
        phases = tuple(phase for (phase,) in db.execute(alarms))
    return Fenced(
        moments=moments,
        alarm=phases,
        out=out,
        arrived=len(out & core.numbered.keys()),
        absent=absent,
        missing=len(absent & lost(devices, core)),
        free_again=free_again,
        wards=wards(core_db),
    )


def wards(core_db: Path) -> tuple[str, ...]:
    """Where the core has the roamer, in order."""
    with contextlib.closing(sqlite3.connect(f"file:{core_db}?mode=ro", uri=True)) as db:
        places = "SELECT ward FROM association_changes WHERE device_id = ? ORDER BY id"
        return tuple(dict.fromkeys(ward for (ward,) in db.execute(places, (ROAMER,))))


def broken(found: Fenced, quarantined: int, restarts: int) -> list[str]:
    """What was promised and not kept, in words.

    Args:
        found: both accounts.
        quarantined: messages that the ledger says it withheld from the core in quarantine.
        restarts: of the gateway, which then waits anew before it follows.
    """
    moments, known = found.moments, len(found.absent)
    in_time = moments.ended_us - moments.roamed_us > FOLLOWED_S * 1e6 and not restarts
    faults: list[tuple[bool, str]] = [
        (
            "start" in found.alarm or not moments.held_us,
            f"{LEAVER} left the campus, and no alarm of it is at the core",
        ),
        (
            "end" in found.alarm or not moments.free_us,
            f"{LEAVER} is back, and its alarm stands at the core",
        ),
        (
            not found.arrived,
            f"{found.arrived} messages that {LEAVER} sent outside are at the core",
        ),
        (
            quarantined <= known,
            f"the ledger withheld {quarantined} messages in quarantine, {known} can have been",
        ),
        (
            NEXT_WARD in found.wards or not (moments.roamed_us and in_time),
            f"{ROAMER} is in {NEXT_WARD}, and the core has it elsewhere",
        ),
    ]
    return [words for kept, words in faults if not kept]


def as_report(found: Fenced, quarantined: int) -> dict[str, Any]:
    """For the report; counts are device messages."""
    return {
        "device": LEAVER,
        "left": bool(found.moments.left_us),
        "alarmed": "start" in found.alarm,
        "collected": len(found.out),
        "arrived": found.arrived,
        "withheld": quarantined,
        "explained": found.explained(quarantined),
        "returned": bool(found.moments.free_us),
        "free_again": found.free_again,
        "roamed": NEXT_WARD if NEXT_WARD in found.wards else "",
    }


def summary(told: dict[str, Any]) -> list[str]:
    """Of the report, for the terminal."""
    if not told["left"]:
        return []
    lines = [
        (
            f"  fence          {told['device']} left the campus: {told['withheld']} messages"
            f" collected and released to nobody, {told['free_again']} at the core since its return"
        )
    ]
    if told["roamed"]:
        lines.append(f"  place          {ROAMER} is in {told['roamed']}, as the network sees it")
    return lines
