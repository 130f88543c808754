"""A destination to which the policy releases nothing: no connection, and nothing is kept for it.

What is withheld is entered into the ledger, once, and the cursor moves on. If the policy releases
something later, the stream begins with what is collected from then on.
"""

from __future__ import annotations

import asyncio
import logging

from gateway.domain.errors import WardgateError
from gateway.domain.labels import Lane
from gateway.uplink.link import Link
from gateway.uplink.making import Made, Maker
from gateway.uplink.release import Release

log = logging.getLogger(__name__)

REST_INTERVAL_S = 1.0
"""How often a lane that may send nothing accounts for what it withholds."""


def silent_release(link: Link) -> Release | None:
    """The release in force, if it is one that releases nothing."""
    release = link.release
    return release if release is not None and release.is_silent else None


async def rest(link: Link, lane: Lane, maker: Maker, news: asyncio.Event) -> None:
    """Withhold, without a connection, until the policy changes."""
    journal = link.around.journal
    log.info("destination %s, lane %s: nothing is released to it", link.name, lane.name)
    maker.begin([])
    while (release := silent_release(link)) is not None:
        news.clear()
        if journal.cursors.get(link.name, lane) is None:
            await news.wait()
            continue
        try:
            at = _entered(link, lane)
            made = None
            if journal.last_seq(lane) > at:
                made = await asyncio.to_thread(maker.make, release, at, maker.take())
            if made is not None:
                await _withhold(link, lane, maker, made)
            elif not await _done(link, lane, maker, release, at):
                await news.wait()
                continue
        except (WardgateError, OSError) as error:
            log.warning("destination %s: %s", link.name, error)
            await asyncio.sleep(REST_INTERVAL_S)
        if journal.last_seq(lane) - _cursor(link, lane) <= link.config.batch_records:
            await asyncio.sleep(REST_INTERVAL_S)


async def _withhold(link: Link, lane: Lane, maker: Maker, made: Made) -> None:
    await link.around.writer.record(link.name, made.batch)
    maker.made(made.standpoint)
    await _pass_over(link, lane, made.batch.last)


async def _done(link: Link, lane: Lane, maker: Maker, release: Release, at: int) -> bool:
    """Go past what was entered before the silence, unless some of it is still to be entered."""
    if at <= _cursor(link, lane):
        return False
    stood = await asyncio.to_thread(maker.stand, release, at)
    if stood.windows.owes:
        return False  # it is told with the next batch
    await _pass_over(link, lane, at)
    return True


async def _pass_over(link: Link, lane: Lane, seq: int) -> None:
    ledger = link.around.writer.ledger
    await asyncio.to_thread(ledger.pass_over, link.name, lane, seq)
    link.around.journal.cursors.advance(link.name, lane, seq)


def _entered(link: Link, lane: Lane) -> int:
    """Everything up to it was entered, whether or not it was acknowledged."""
    entered, cursor = link.around.writer.ledger.entered(link.name, lane), _cursor(link, lane)
    # A ledger that is ahead of the journal is that of a disk that was restored in part.
    return max(entered, cursor) if entered <= link.around.journal.last_seq(lane) else cursor


def _cursor(link: Link, lane: Lane) -> int:
    return link.around.journal.cursors.get(link.name, lane) or 0
