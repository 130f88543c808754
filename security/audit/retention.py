"""How long an audit log is kept, and how much disk it may take.

Six months are what China's Cybersecurity Law asks of network logs (article 21), so a shorter time
can't be configured. The disk is finite all the same: what has to go before its time is written
down in the log, counted, and told by an alarm.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from security.audit.config import AuditConfig
from security.audit.form import AuditBrokenError, Entry, read_line

DAY_US = 86_400_000_000
FULL_SHARE = 0.8
"""Of the disk limit; beyond it somebody is told while there is time."""


class OldFile(NamedTuple):
    """A file that was put aside."""

    path: Path
    size: int
    first: Entry


class Dropping(NamedTuple):
    """Which files are to go."""

    files: list[OldFile]
    early: int
    """How many of them before their time."""


def old_files(paths: Sequence[Path]) -> list[OldFile]:
    """What is known of rotated files; one whose first line can't be read is left out, and kept."""
    found = []
    for path in paths:
        try:
            with path.open("rb") as lines:
                _, first = read_line(lines.readline(), path.name)
        except AuditBrokenError:
            continue
        found.append(OldFile(path, path.stat().st_size, first))
    return found


def to_drop(
    files: Sequence[OldFile], current_us: int, now_us: int, config: AuditConfig
) -> Dropping:
    """Which of the rotated files are to go, the oldest first.

    Args:
        files: in order.
        current_us: when the current file was begun: all of the last one is older.
        now_us: the time, as far as it counts.
        config: the limits.
    """
    oldest_kept_us = now_us - config.keep_days * DAY_US
    ends = [*(each.first.us for each in files), current_us][1:]
    left = sum(each.size for each in files) + config.file_bytes_max
    gone: list[OldFile] = []
    early = 0
    for each, end_us in zip(files, ends, strict=True):
        expired = end_us < oldest_kept_us
        if not expired and left <= config.bytes_max:
            break
        early += not expired
        gone.append(each)
        left -= each.size
    return Dropping(gone, early)
