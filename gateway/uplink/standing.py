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


class Entered(NamedTuple):
    """The batch that was entered into the ledger last."""

    seq: int
    """Everything up to it was entered."""
    policy: str
    """What it was made under; empty if there is none, or that is not known."""


class Stretch(NamedTuple):
    """What to read again to know which window is open behind a record."""

    start: int
    """Begin behind it."""
    at: int
    known: bool
    """Whether a window may begin at ``start``."""

    @property
    def records(self) -> int:
        """How many there are to read."""
        return self.at - self.start


def stand(
    release: Release, stretch: Stretch, entered: Entered, journal: JournalReader, lane: Lane
) -> Standpoint:
    """Make the windows again that a stretch leads to; in any thread.

    What another policy had in its open window, and this one has not, is withheld from now on; what
    it had not is in no window now.

    Raises:
        OSError: the journal can't be read.
    """
    then: Release | None = None
    if stretch.known and stretch.records and entered.policy not in ("", release.version):
        then = release.under(entered.policy)
    windows = _brought(release, then, stretch, journal, lane)
    if then is not None:
        windows.follow(_brought(then, None, stretch, journal, lane))
    return Standpoint(release, windows)


def _brought(
    release: Release, then: Release | None, stretch: Stretch, journal: JournalReader, lane: Lane
) -> Windows:
    """Windows that whole groups went by."""
    windows = release.windows(stretch.start, known=stretch.known)
    while windows.at < stretch.at:
        groups = journal.read(lane, windows.at, READ_RECORDS, READ_BYTES)
        if not groups:
            break
        for group in groups:
            if group.last_seq > stretch.at:
                return windows
            release.pass_by(windows, group, then)
    return windows
