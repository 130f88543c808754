"""Batches of one lane for one destination, one after the other, each made once.

Rules:

1. A batch that was entered and not acknowledged is made again with the same boundaries.
2. The standpoint is taken away while a batch is made: a thread that nobody waits for any more may
   have it. So who makes a batch gives it back by :meth:`Maker.made`, or it is made again.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.domain.labels import Lane
from gateway.uplink.flight import oldest_alarm_us
from gateway.uplink.ledger import Unsettled
from gateway.uplink.link import Link
from gateway.uplink.release import Release, Released, cut
from gateway.uplink.standing import Standpoint, Stretch, stand

NOWHERE = (-1, -1)
"""Before the first batch, and where a window began that must not be told."""


class Made(NamedTuple):
    """A batch, and the release that made it."""

    release: Release
    batch: Released
    alarm_us: int
    standpoint: Standpoint


class Maker:
    """Used by one task, and by one thread at a time for it."""

    def __init__(self, link: Link, lane: Lane) -> None:
        self._link = link
        self._lane = lane
        self._journal = link.around.journal
        self._ledger = link.around.writer.ledger
        self._unsettled: list[Unsettled] = []
        self._standpoint: Standpoint | None = None
        self._sent_to = NOWHERE
        """Where the last batch ended, and its hold."""

    def begin(self, unsettled: list[Unsettled]) -> None:
        """A stream begins, somewhere; what was entered and not acknowledged before."""
        self._unsettled = list(unsettled)
        self._standpoint = None

    def take(self) -> Standpoint | None:
        """Take the standpoint away, to make a batch from it."""
        taken, self._standpoint = self._standpoint, None
        return taken

    def made(self, standpoint: Standpoint | None) -> None:
        """Where the lane stands now."""
        self._standpoint = standpoint

    def sent(self, made: Made) -> None:
        """A batch is on its way, or entered where nothing is sent."""
        batch, known = made.batch, made.standpoint.windows.known
        self._sent_to = (batch.last, batch.hold) if known else NOWHERE

    def far(self, release: Release, at: int, stood: Standpoint | None) -> int:
        """Records to read again before the batch that follows ``at`` can be made."""
        fits = stood is not None and stood.release is release
        return 0 if fits else self._stretch(at).records

    def stand(self, release: Release, at: int) -> Standpoint:
        """Make the window again that is open behind ``at``; in any thread.

        Raises:
            OSError: the journal can't be read.
            LedgerError: nor the ledger.
        """
        spells = self._ledger.spells(self._link.name, self._lane)
        return stand(release, self._stretch(at), spells, self._journal, self._lane)

    def make(self, release: Release, after: int, stood: Standpoint | None) -> Made | None:
        """Read and treat the batch that follows ``after``, if there is one; in any thread.

        Raises:
            OSError: the journal can't be read.
            LedgerError: nor the ledger.
        """
        lane, config = self._lane, self._link.config
        groups = self._journal.read(lane, after, config.batch_records, config.batch_bytes)
        if not groups:
            return None
        end = self._earlier_end(groups[0].epoch, after)
        groups = cut(groups, config.batch_records, config.batch_bytes, end)
        alarm_us = oldest_alarm_us(groups) if lane is Lane.ALARMS else 0
        begin = groups[0].first_seq - 1
        if stood is None or stood.release is not release or stood.windows.at != begin:
            stood = self.stand(release, begin)
        return Made(release, release.batch(lane, groups, stood.windows), alarm_us, stood)

    def _stretch(self, at: int) -> Stretch:
        sent_to, hold = self._sent_to
        if sent_to == at:
            return Stretch(hold, at, known=True)
        cursor = self._journal.cursors.get(self._link.name, self._lane) or 0
        return Stretch(min(cursor, at), at, known=cursor <= at)

    def _earlier_end(self, epoch: int, after: int) -> int | None:
        """Where the batch that follows ``after`` ended when it was sent before."""
        while self._unsettled and (self._unsettled[0].epoch, self._unsettled[0].last) <= (
            epoch,
            after,
        ):
            self._unsettled.pop(0)
        return min((each.last for each in self._unsettled if each.epoch == epoch), default=None)
