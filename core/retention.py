"""How long the store keeps what it holds, and how much.

Rules:

1. Off unless configured. By age, everything that was stored longer ago goes; by bytes, the oldest
   waves go, and when there are none, the oldest reports (they are nearly all of the rest), until
   what is left fits. Waves may have a shorter age of their own.
2. A slice deletes SLICE_ROWS rows at most, in one transaction of a few milliseconds; between
   slices the store is free PAUSE_FACTOR times as long as a slice took, so that ingest goes on.
3. What says where each gateway stands (``positions``, ``coverage``) is never deleted: a batch that
   is sent again is still known. The message ids of deleted reports are forgotten: one that a device
   repeats later under a new sequence number is stored again.
4. Freed pages are used again; the file itself does not shrink.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from core.config import Retention
from core.inbox import Inbox
from gateway.domain.ports import Counters

log = logging.getLogger(__name__)

SLICE_ROWS = 500
PAUSE_FACTOR = 10
INTERVAL_S = 10.0
"""Between two looks at a store that needs no pruning."""
DAY_US = 86_400_000_000
FOR_EVER_US = 2**63 - 1

_TABLES = (
    "waves",
    "report",
    "alarms",
    "notifications",
    "statuses",
    "inventory",
    "infusion_orders",
    "cabinet_events",
    "gateway_clocks",
    "link_states",
    "gaps",
    "aggregates",
    "association_changes",
)
# The newest row stays, so that keys are never given out twice.
_DELETE = {
    table: f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table}"  # noqa: S608  # constants
    f" WHERE id < (SELECT max(id) FROM {table}) ORDER BY id LIMIT {SLICE_ROWS})"
    " AND stored_us < ?"
    for table in _TABLES
}

_DELETE_ENDED = """DELETE FROM associations WHERE (gateway, association_id) IN (
  SELECT gateway, association_id FROM associations WHERE to_us < ? LIMIT 500)"""


class Measure(NamedTuple):
    """What a store holds."""

    bytes_used: int
    """Without the pages that are free."""
    oldest_us: int | None
    """When the oldest report was stored; None without any."""


class Slice(NamedTuple):
    """What one slice did."""

    deleted: dict[str, int]
    """Rows by table."""
    more: bool
    """True when there is more to delete."""


def measure(db: sqlite3.Connection) -> Measure:
    """Look at a store.

    Raises:
        sqlite3.Error: it can't be read.
    """
    pages, free, size = (
        int(db.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    oldest = db.execute("SELECT stored_us FROM report ORDER BY id LIMIT 1").fetchone()
    return Measure((pages - free) * size, int(oldest[0]) if oldest else None)


def prune_slice(db: sqlite3.Connection, retention: Retention, now_us: int) -> Slice:
    """Delete one slice, durably on return.

    Raises:
        sqlite3.Error: nothing was deleted.
    """
    deleted: dict[str, int] = {}
    db.execute("BEGIN IMMEDIATE")
    try:
        if retention.days is not None:
            before_us = now_us - int(retention.days * DAY_US)
            for table in _TABLES:
                deleted[table] = db.execute(_DELETE[table], (before_us,)).rowcount
            deleted["associations"] = db.execute(_DELETE_ENDED, (before_us,)).rowcount
        if retention.waves_days is not None:
            before_us = now_us - int(retention.waves_days * DAY_US)
            rows = db.execute(_DELETE["waves"], (before_us,)).rowcount
            deleted["waves"] = deleted.get("waves", 0) + rows
        limit = retention.bytes_max
        if limit is not None and not any(deleted.values()) and measure(db).bytes_used > limit:
            for table in ("waves", "report"):
                deleted[table] = db.execute(_DELETE[table], (FOR_EVER_US,)).rowcount
                if deleted[table]:
                    break
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.rollback()
        raise
    return Slice({table: n for table, n in deleted.items() if n}, any(deleted.values()))


async def keep(
    inbox: Inbox,
    retention: Retention,
    counters: Counters,
    now_us: Callable[[], int],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Measure and prune until cancelled; trouble of the store is told and tried again later."""
    while True:
        pause_s = INTERVAL_S
        try:
            found = await inbox.with_store(lambda store: measure(store.connection))
            age_us = now_us() - found.oldest_us if found.oldest_us is not None else 0
            counters.set("store_bytes", found.bytes_used)
            counters.set("store_oldest_seconds", max(0.0, age_us / 1e6))
            if retention.on:
                began = time.monotonic()
                done = await inbox.with_store(
                    lambda store: prune_slice(store.connection, retention, now_us())
                )
                for table, rows in done.deleted.items():
                    counters.add("pruned", table, n=rows)
                if done.more:
                    pause_s = min(INTERVAL_S, PAUSE_FACTOR * (time.monotonic() - began))
        except sqlite3.Error as error:
            log.warning("retention: %s", error)
        await sleep(pause_s)
