"""The running service follows the authorities' directory, which commands change."""

from __future__ import annotations

import asyncio
import logging
import sqlite3

from fleet.config import FleetConfig
from fleet.registry import Registry
from gateway.domain.errors import WardgateError
from security.pki import hierarchy

LOOK_EVERY_S = 1.0

log = logging.getLogger(__name__)


async def follow(config: FleetConfig, registry: Registry, seen: tuple[int, ...]) -> None:
    """Adopt each phase that follows the one of ``seen``, until cancelled.

    What can't be read is told once; the present authorities go on until it can.
    """
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        found = hierarchy.stamp(config.authority)
        if found == seen:
            continue
        seen = found
        try:
            await registry.adopt(await asyncio.to_thread(config.load_site))
        except (WardgateError, sqlite3.Error, OSError) as error:
            log.error("the authorities in %s can't be followed: %s", config.authority, error)  # noqa: TRY400  # the cause is told
