"""What becomes of records whose key was destroyed.

Rules:
- They are lost from that moment on; what a destination did not have yet is told to it in its place,
  and to all as a Gap. What every destination has is no loss.
- The key goes first. A stop between that and the telling is made up for by the next opening, which
  finds frames of keys that are no more.
- A key is in use as long as a frame names it, also one that nobody will read again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from gateway.domain.labels import Lane
from gateway.journal.cursors import Cursors
from gateway.journal.lane import LaneLog
from gateway.journal.types import Lost, SeqRange

Lose = Callable[[LaneLog, Iterable[Lost]], None]


def lose_erased(
    lanes: Mapping[Lane, LaneLog], cursors: Cursors, erased: Callable[[str], bool], lose: Lose
) -> int:
    """Mark what keys sealed of which ``erased`` is true; how many records were lost by it."""
    lost = 0
    for lane, log in lanes.items():
        sent = min(cursors.of(lane), default=0)
        for first, last in log.sealed_by(erased):
            fresh = log.lose_erased(max(first, sent + 1), last)
            lose(log, fresh)
            lost += sum(part.last - part.first + 1 for part in fresh)
    return lost


def sealed_records(
    lanes: Mapping[Lane, LaneLog], keys: frozenset[str]
) -> dict[Lane, list[SeqRange]]:
    """The records that some keys sealed and that are still in the journal."""
    return {lane: log.sealed_by(keys.__contains__) for lane, log in lanes.items()}
