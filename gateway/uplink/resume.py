"""Where a stream begins, from what the receiver says that it holds.

The cursor is what the receiver acknowledged; the receiver's resume point is what it says now.
They differ when acknowledgements were lost, when the receiver lost data, or when this gateway's
disk was restored from a backup.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Point(NamedTuple):
    """The newest (epoch, seq) that the receiver holds in a lane."""

    epoch: int
    seq: int


class Held(NamedTuple):
    """What this gateway knows of the lane."""

    cursor: int
    """Acknowledged by this destination."""
    floor: int
    """Nothing at or below it can or may be sent: deleted, or from before the destination."""
    last_seq: int
    epoch: int
    """This start's."""
    epoch_of_point: int
    """The journal's epoch of the receiver's seq; 0 when it has none."""


class Verdict(Enum):
    """What the comparison says."""

    AGREED = "agreed"
    BEHIND = "behind"
    """The receiver lost data that it had acknowledged."""
    RESTORED = "restored"
    """The receiver holds what this journal does not know, of an older epoch: go on."""
    AHEAD = "ahead"
    """Of this epoch or a newer one: nothing may be sent, it would be taken for known."""


class Resume(NamedTuple):
    """The stream begins behind ``after``."""

    verdict: Verdict
    after: int


def resume(point: Point | None, held: Held) -> Resume:
    """Compare the receiver's resume point with what is held here."""
    if point is None:
        return _behind(0, held)
    if point.epoch > held.epoch:
        return Resume(Verdict.AHEAD, held.cursor)
    known = point.seq <= held.last_seq and point.epoch == held.epoch_of_point
    if not known and point.seq > held.floor:
        verdict = Verdict.AHEAD if point.epoch == held.epoch else Verdict.RESTORED
        return Resume(verdict, held.cursor)
    if known and point.seq >= held.cursor:
        return Resume(Verdict.AGREED, point.seq)
    return _behind(point.seq, held)


def _behind(seq: int, held: Held) -> Resume:
    after = min(held.cursor, max(seq, held.floor))
    return Resume(Verdict.AGREED if after == held.cursor else Verdict.BEHIND, after)
