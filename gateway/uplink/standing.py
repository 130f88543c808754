"""Where a lane stands between two batches: under which release, with which window open.

It lives in memory only. After a restart, or where a stream begins elsewhere, it is made again from
the journal, which is kept from the open window's first group on since the cursor stays behind it.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.domain.labels import Lane
from gateway.uplink.ports import JournalReader
from gateway.uplink.release import Release
from gateway.uplink.windows import Windows

READ_RECORDS = 4000
READ_BYTES = 4 << 20
"""Read at once while a window is made again."""


class Standpoint(NamedTuple):
    """The windows of a lane, and the release that fills them."""

    release: Release
    windows: Windows


def bring_to(
    at: int, windows: Windows, release: Release, journal: JournalReader, lane: Lane
) -> None:
    """Let whole groups go by up to record ``at``; in any thread.

    Raises:
        OSError: the journal can't be read.
    """
    while windows.at < at:
        groups = journal.read(lane, windows.at, READ_RECORDS, READ_BYTES)
        if not groups:
            return
        for group in groups:
            if group.last_seq > at:
                return
            release.pass_by(windows, group)
