"""Heads of the gateway's audit log, carried to a receiver that keeps them.

Rules:

1. Only to a destination in the ward or on the campus: a head names the gateway, and says how many
   things were written down. Only to a receiver that says in its Welcome that it keeps them.
2. A head leaves when it is durable here; at most one every HEAD_INTERVAL_S, and only a newer one.
3. Each brings the proof that it continues what the receiver holds. Where there can be none (it
   holds a longer log, or one that is older than anything kept here) the head goes without, so that
   the receiver sees it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, NamedTuple

from gateway.domain.errors import WardgateError
from gateway.domain.labels import Zone
from gateway.uplink.link import Link
from gateway.wire.heads import to_message
from protos.wardgate.v1 import ingest_pb2 as pb
from security.audit import TreeHead

log = logging.getLogger(__name__)

HEAD_INTERVAL_S = 5.0
ZONES = frozenset((Zone.WARD, Zone.CAMPUS))


class HeldLog(NamedTuple):
    """What the receiver holds of an audit log."""

    log: str
    size: int


async def carry(call: Any, writing: asyncio.Lock, link: Link, held: HeldLog) -> None:
    """Send heads for as long as the stream lasts; what it raises is the stream's trouble."""
    source = link.around.audit
    if source is None or link.config.zone not in ZONES:
        return await _for_ever()
    while True:
        head = source.durable_head
        if head is not None and (head.log, head.size) != held:
            message = await asyncio.to_thread(_message, source, head, held)
            async with writing:
                await call.write(pb.StreamRequest(audit_head=message).SerializeToString())
            link.around.counters.add("audit_heads_sent", link.name)
            held = HeldLog(head.log, head.size)
        await asyncio.sleep(HEAD_INTERVAL_S)


async def _for_ever() -> None:
    await asyncio.Event().wait()


def _message(source: Any, head: TreeHead, held: HeldLog) -> pb.AuditHead:
    since, proof = 0, []
    if held.log == head.log and held.size:
        try:
            proof = source.consistency(held.size, head.size)
            since = held.size
        except (WardgateError, OSError) as error:
            log.error("the audit log can't be shown to continue %d: %s", held.size, error)  # noqa: TRY400  # the cause is told
    return to_message(head, source.public_key, since, proof)
