"""Where a lane stands between two batches: under which release, with which window open.

It lives in memory only. After a restart, or where a stream begins elsewhere, it is made again from
the journal, which is kept from the open window's first group on since the cursor stays behind it.
The ledger keeps under what the batches were entered (spells), so that a window which several
policies or settings went by is made again as it was: what was entered otherwise is not in it, and
what is in it is not forgotten.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from gateway.domain.labels import Lane
from gateway.uplink.ports import JournalReader
from gateway.uplink.release import Release
from gateway.uplink.windows import Windows

READ_RECORDS = 4000
READ_BYTES = 4 << 20
"""Read at once while a window is made again."""
SPELLS_MAX = 64
"""Kept of a lane: so often may policy or settings change while a window is open, a day at most."""


class Standpoint(NamedTuple):
    """The windows of a lane, and the release that fills them."""

    release: Release
    windows: Windows


class Spell(NamedTuple):
    """From when on batches were entered under a policy, with windows of a length."""

    after_seq: int
    """It begins behind this record."""
    policy: str
    """Version."""
    window_s: int
    """0: not known, as from before it was kept."""


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
    release: Release,
    stretch: Stretch,
    entered: Sequence[Spell],
    journal: JournalReader,
    lane: Lane,
) -> Standpoint:
    """Make the windows again that a stretch leads to; in any thread.

    What the open window held and this release does not aggregate, or not in windows of this length,
    is withheld from now on; what another release had entered otherwise is in no window now.

    Args:
        release: the one in force.
        stretch: what to read.
        entered: the lane's spells.
        journal: where to read.
        lane: of the journal.

    Raises:
        OSError: the journal can't be read.
    """
    coming = _course(release, stretch, entered) if stretch.known and stretch.records else []
    first = coming.pop(0)[1] if coming else release
    windows = _brought(first, stretch, coming, journal, lane)
    return Standpoint(release, release.take_over(windows))


def _course(
    release: Release, stretch: Stretch, entered: Sequence[Spell]
) -> list[tuple[int, Release]]:
    """Behind which records which release begins to apply, the first one from the start."""
    course: list[tuple[int, Release]] = []
    for spell in entered:
        if spell.after_seq >= stretch.at:
            break
        then = release.under(spell.policy, spell.window_s)
        if then is None:
            continue
        if spell.after_seq <= stretch.start:
            course.clear()
        course.append((spell.after_seq, then))
    return course


def _brought(
    release: Release,
    stretch: Stretch,
    coming: list[tuple[int, Release]],
    journal: JournalReader,
    lane: Lane,
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
            while coming and coming[0][0] < group.first_seq:
                release = coming.pop(0)[1]
                windows = release.take_over(windows)
            release.pass_by(windows, group)
    return windows


# -- what the ledger keeps; in the caller's transaction --------------------------------------------


def note(db: sqlite3.Connection, destination: str, lane: str, spell: Spell) -> None:
    """A batch was entered: remember under what, if that is news.

    Raises:
        sqlite3.Error: nothing changed.
    """
    place = (destination, lane)
    newest = db.execute(
        "SELECT after_seq, policy, window_s FROM spells WHERE destination = ? AND lane = ?"
        " ORDER BY after_seq DESC LIMIT 1",
        place,
    ).fetchone()
    if newest is not None and spell[1:] == newest[1:] and spell.after_seq >= newest[0]:
        return
    # Records that are entered again are so under this one.
    db.execute(
        "DELETE FROM spells WHERE destination = ? AND lane = ? AND after_seq >= ?",
        (*place, spell.after_seq),
    )
    db.execute("INSERT INTO spells VALUES (?,?,?,?,?)", (*place, *spell))
    db.execute(
        "DELETE FROM spells WHERE destination = ? AND lane = ? AND after_seq NOT IN"
        " (SELECT after_seq FROM spells WHERE destination = ? AND lane = ?"
        " ORDER BY after_seq DESC LIMIT ?)",
        (*place, *place, SPELLS_MAX),
    )


def spells(db: sqlite3.Connection, destination: str, lane: str) -> list[Spell]:
    """Those of a lane, in order.

    Raises:
        sqlite3.Error: they can't be read.
    """
    found = db.execute(
        "SELECT after_seq, policy, window_s FROM spells WHERE destination = ? AND lane = ?"
        " ORDER BY after_seq",
        (destination, lane),
    )
    return [Spell(*row) for row in found]
