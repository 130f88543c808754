"""Owns the daemon's long-running tasks: every one is named, watched, and ended.

A task that ends by itself while the daemon runs is a fault. A *vital* one (the journal's
committer, the tick) ends the daemon, which systemd restarts; any other is started again with
jittered back-off, and its neighbours do not notice.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import NamedTuple

log = logging.getLogger(__name__)

BACKOFF_S_MIN = 0.5
BACKOFF_S_MAX = 30.0
HEALTHY_AFTER_S = 60.0
"""A task that ran this long has recovered: its back-off starts anew."""


class Part(NamedTuple):
    """One task: ``run`` returns only when it is cancelled."""

    name: str
    run: Callable[[], Awaitable[None]]
    vital: bool = False


class Supervisor:
    """Runs parts until it is stopped."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.restarts: dict[str, int] = {}

    def start(self, part: Part) -> None:
        """Run a part from now on."""
        self._tasks.append(asyncio.create_task(self._watch(part), name=part.name))

    async def failed(self) -> None:
        """Return when a vital part has ended.

        Raises:
            Exception: what the vital part raised.
        """
        await self._failed

    async def stop(self) -> None:
        """Cancel every part and wait until they are gone."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        if self._failed.done() and not self._failed.cancelled():
            self._failed.exception()  # retrieved, so that the loop does not complain
        else:
            self._failed.cancel()

    async def _watch(self, part: Part) -> None:
        loop = asyncio.get_running_loop()
        backoff = BACKOFF_S_MIN
        while True:
            began = loop.time()
            try:
                await part.run()
                error: Exception = RuntimeError(f"{part.name} ended by itself")
            except asyncio.CancelledError:
                raise
            except Exception as raised:  # noqa: BLE001  # the task boundary: any fault is handled
                error = raised
            if part.vital:
                log.critical("%s failed: %s", part.name, error, exc_info=error)
                if not self._failed.done():
                    self._failed.set_exception(error)
                return
            if loop.time() - began > HEALTHY_AFTER_S:
                backoff = BACKOFF_S_MIN
            self.restarts[part.name] = self.restarts.get(part.name, 0) + 1
            log.error("%s failed, again in at most %.1f s: %s", part.name, backoff, error)
            log.debug("%s", part.name, exc_info=error)
            await asyncio.sleep(random.uniform(backoff / 2, backoff))  # noqa: S311  # jitter
            backoff = min(backoff * 2, BACKOFF_S_MAX)
