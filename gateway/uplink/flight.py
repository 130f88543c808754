"""The batches of one lane that were sent and not acknowledged.

Rules:

1. The cursor moves only past what the receiver acknowledged, or what was set aside because it
   rejected it for good; and no further than to the beginning of the oldest open window.
2. A batch that the receiver can't even read is found by sending one at a time, and set aside.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

from gateway.domain.errors import WardgateError
from gateway.domain.labels import Lane
from gateway.domain.texts import one_line
from gateway.journal.types import StoredGroup
from gateway.uplink.entering import Rejected, Settled
from gateway.uplink.greeting import Troubles
from gateway.uplink.link import Link
from gateway.uplink.ports import TroubleKind
from gateway.uplink.release import Released
from protos.wardgate.v1 import ingest_pb2 as pb

log = logging.getLogger(__name__)

SCOPE = "rejected"
"""Of the keys that seal batches which were set aside."""
REASON_CHARS_MAX = 64
REJECTIONS_TOLD_S = 60.0
"""A lane reports rejections at most so often: the report is a record itself, and a receiver that
rejects everything must not be fed by it."""


class Sent:
    """A batch in flight."""

    __slots__ = ("alarm_us", "batch", "settled")

    def __init__(self, batch: Released, alarm_us: int) -> None:
        self.batch = batch
        self.alarm_us = alarm_us
        self.settled = False


class Flight:
    """A window of batches; survives the streams that carry them."""

    def __init__(self, link: Link, lane: Lane, troubles: Troubles) -> None:
        self._link = link
        self._lane = lane
        self._around = link.around
        self._troubles = troubles
        self._sent: deque[Sent] = deque()
        self._window = link.config.window
        self._room = asyncio.Event()
        self._suspected = (0, 0)
        """The culprit of an unreadable stream is at or below it: until then, one at a time."""
        self._alone: tuple[int, int] | None = None
        """The one batch in flight when a stream was unreadable the last time."""
        self._rejection_told = float("-inf")

    def __bool__(self) -> bool:
        return bool(self._sent)

    def begin(self) -> None:
        """A new stream: whatever is not acknowledged is sent again."""
        self._sent.clear()

    async def room(self) -> None:
        """Wait until one more batch may be sent."""
        while len(self._sent) >= self._window:
            self._room.clear()
            await self._room.wait()

    def add(self, batch: Released, alarm_us: int) -> Sent:
        """A batch is about to be sent."""
        sent = Sent(batch, alarm_us)
        self._sent.append(sent)
        return sent

    def acknowledged(self, epoch: int, seq: int) -> None:
        """The receiver holds everything up to (epoch, seq)."""
        point = (epoch, seq)
        for sent in self._sent:
            if (sent.batch.epoch, sent.batch.last) <= point:
                sent.settled = True
        self._pop_settled()
        if point >= self._suspected:
            self._window = self._link.config.window

    async def refused(self, reject: pb.Reject) -> None:
        """The receiver will never take a batch."""
        refused = (reject.epoch, reject.first_seq, reject.last_seq)
        for sent in list(self._sent):
            batch = sent.batch
            if (batch.epoch, batch.first, batch.last) == refused:
                await self.set_aside(sent, reject.reason)

    async def suspect(self, reason: str) -> None:
        """Something in flight is unreadable: go on one by one, until it is alone twice."""
        if not self._sent:
            return
        newest = self._sent[-1].batch
        suspect = (newest.epoch, newest.last)
        if len(self._sent) > 1 or self._alone != suspect:
            self._alone = suspect if len(self._sent) == 1 else None
            self._suspected = max(self._suspected, suspect)
            self._window = 1
            return
        try:
            await self.set_aside(self._sent[0], reason)
        except WardgateError as error:
            log.warning("destination %s: %s", self._link.name, error)
            return
        self._window = self._link.config.window

    async def set_aside(self, sent: Sent, reason: str) -> None:
        """Keep a batch that will never be delivered, sealed, and go past it.

        Raises:
            LedgerError: it was not kept; the cursor stays before it.
        """
        batch, name = sent.batch, self._link.name
        # The receiver's words, in the ledger, an alarm and the log: one line, and not a long one.
        reason = one_line(reason[:REASON_CHARS_MAX])
        aad = f"{name}/{batch.lane.name}/{batch.epoch}/{batch.first}/{batch.last}".encode()
        key_id, body = self._around.seal.seal(batch.request, aad)
        await self._around.writer.set_aside(Rejected(name, batch, reason, key_id, body))
        self._around.on_exception(
            "set_aside",
            name,
            f"{batch.lane.name}/{batch.epoch}/{batch.first}",
            {
                "lane": batch.lane.name.lower(),
                "epoch": batch.epoch,
                "first_seq": batch.first,
                "last_seq": batch.last,
                "policy": batch.policy_version,
                "reason": reason,
            },
        )
        sent.settled = True
        now = self._around.clock.monotonic()
        if now - self._rejection_told >= REJECTIONS_TOLD_S:
            self._rejection_told = now
            self._troubles.tell(TroubleKind.REJECTED, batch.epoch, batch.last, reason)
        self._pop_settled()

    def _pop_settled(self) -> None:
        """Move the cursor past the batches that are settled, in order."""
        last: Sent | None = None
        counters, name = self._around.counters, self._link.name
        now_us = self._around.clock.now_us()
        while self._sent and self._sent[0].settled:
            last = self._sent.popleft()
            if last.batch.committed_us:
                seconds = max(0, now_us - last.batch.committed_us) / 1e6
                counters.observe("delivery_seconds", seconds, name)
            if last.alarm_us:
                seconds = max(0, now_us - last.alarm_us) / 1e6
                counters.observe("alarm_delivery_seconds", seconds, name)
        if last is None:
            return
        batch = last.batch
        self._around.journal.cursors.advance(name, self._lane, batch.hold)
        self._link.acknowledged(self._lane, batch.last)
        self._around.writer.settle(Settled(name, self._lane, batch.epoch, batch.last))
        self._room.set()


def oldest_alarm_us(groups: Sequence[StoredGroup]) -> int:
    """When the oldest alarm of some groups was determined; 0 without alarms."""
    times = [
        record.alarm.at_us
        for group in groups
        for section in group.sections
        for record in pb.Section.FromString(section.body).records
        if record.WhichOneof("body") == "alarm"
    ]
    return min(times, default=0)
