"""The first exchange of a stream: hello and welcome, and where to begin."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, NamedTuple

from gateway.domain.labels import Lane
from gateway.uplink.entering import Settled
from gateway.uplink.heads import HeldLog
from gateway.uplink.link import Link
from gateway.uplink.ports import Trouble, TroubleKind
from gateway.uplink.resume import Held, Point, Verdict, resume
from gateway.uplink.stream import StreamLostError, parse
from protos.wardgate.v1 import ingest_pb2 as pb

log = logging.getLogger(__name__)

TOLD_MAX = 256
"""Troubles remembered as reported."""


class Troubles:
    """What a lane reports to the engineer."""

    def __init__(self, link: Link, lane: Lane) -> None:
        self._link = link
        self._lane = lane
        self._told: set[tuple[TroubleKind, int, int]] = set()

    def tell(self, kind: TroubleKind, epoch: int, seq: int, detail: str = "") -> None:
        """Report it."""
        name, lane = self._link.name, self._lane
        log.warning(
            "destination %s, lane %s: %s at %d/%d %s", name, lane.name, kind, epoch, seq, detail
        )
        self._link.around.on_trouble(Trouble(kind, name, lane, epoch, seq, detail))

    def tell_once(self, kind: TroubleKind, epoch: int, seq: int) -> None:
        """Report what every new stream would report again."""
        if len(self._told) >= TOLD_MAX:
            self._told.clear()
        if (kind, epoch, seq) not in self._told:
            self._told.add((kind, epoch, seq))
            self.tell(kind, epoch, seq)


class Greeting(NamedTuple):
    """What the receiver's welcome leads to."""

    after: int
    """The number behind which to begin."""
    held: HeldLog | None
    """Of the audit log; None: the receiver keeps no heads."""


async def greet(call: Any, link: Link, lane: Lane, troubles: Troubles) -> Greeting:
    """Say hello.

    Raises:
        StreamLostError: no answer, not a welcome, or a receiver that is ahead of the journal.
    """
    around = link.around
    journal = around.journal
    offer = pb.LaneOffer(
        lane=int(lane),  # type: ignore[arg-type]  # equal numbers by design
        epoch=journal.epoch,
        first_seq=journal.first_seq(lane),
        last_seq=journal.last_seq(lane),
    )
    hello = pb.Hello(
        gateway=around.gateway_id,
        destination=link.name,
        software_version=around.software_version,
        lanes=[offer],
    )
    try:
        async with asyncio.timeout(link.config.answer_timeout_s):
            await call.write(pb.StreamRequest(hello=hello).SerializeToString())
            raw = await call.read()
    except TimeoutError as error:
        raise StreamLostError("no_answer") from error
    message = parse(raw)
    if message.WhichOneof("message") != "welcome":
        raise StreamLostError("no_welcome")
    points = [
        Point(point.epoch, point.seq)
        for point in message.welcome.resume_points
        if point.lane == int(lane)
    ]
    audit = message.welcome.audit if message.welcome.HasField("audit") else None
    held = HeldLog(audit.log, audit.size) if audit is not None else None
    return Greeting(_begin(points[0] if points else None, link, lane, troubles), held)


def _begin(point: Point | None, link: Link, lane: Lane, troubles: Troubles) -> int:
    journal, name, writer = link.around.journal, link.name, link.around.writer
    cursor = journal.cursors.get(name, lane)
    if cursor is None:
        raise StreamLostError("no_cursor")
    mark = writer.ledger.start(name, lane, cursor)
    acked = link.acked(lane)
    known = point is not None and 0 < point.seq <= journal.last_seq(lane)
    held = Held(
        cursor=acked,
        floor=max(mark.start_seq, mark.set_aside_seq, journal.first_seq(lane) - 1),
        last_seq=journal.last_seq(lane),
        epoch=journal.epoch,
        epoch_of_point=journal.epoch_of(lane, point.seq) if known and point else 0,
    )
    found = resume(point, held)
    kind = TROUBLE_OF.get(found.verdict)
    if kind is not None:
        troubles.tell_once(kind, *(point or Point(0, 0)))
    if found.verdict is Verdict.AHEAD:
        raise StreamLostError("receiver_ahead", link.config.backoff_s_max)
    if found.after > acked:
        link.acknowledged(lane, found.after)
    if found.after > cursor:
        writer.settle(Settled(name, lane, journal.epoch_of(lane, found.after), found.after))
    return found.after


TROUBLE_OF = {
    Verdict.BEHIND: TroubleKind.RECEIVER_BEHIND,
    Verdict.RESTORED: TroubleKind.RECEIVER_AHEAD,
    Verdict.AHEAD: TroubleKind.RECEIVER_AHEAD,
}
"""What of a comparison an engineer must hear; nothing when it agrees."""
