"""When the audit log is told what was released, and what of the ledger's rows.

See :mod:`gateway.uplink.accounts` and :mod:`gateway.uplink.statements`. And what the gateway finds
itself: a ledger that is not what its last statement said when it starts, or that another process
writes to while it runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from gateway.domain.errors import WardgateError
from gateway.domain.ports import Clock
from gateway.uplink import statements
from gateway.uplink.agreement import CHANGED
from gateway.uplink.ledger import Ended, Ledger
from security.audit import AuditLog

log = logging.getLogger(__name__)

HOUR_S = 3600.0
STATE_S = 60.0
"""What was entered since the last statement can be changed unseen by who has the disk: so much, and
the seconds for which an entry grows. A statement is an entry of 0.5 kB and a head: 1.4 MB a day
where records never cease."""
RETRY_S = 60.0
"""After a disk that did not take it; the period stays the same."""
FOUND_MAX = 16
"""Things found changed that are told singly at once."""


class Accounting:
    """Tells one log of one ledger; used on the loop's thread."""

    def __init__(
        self,
        ledger: Ledger,
        audit: AuditLog,
        clock: Clock,
        log_directory: Path,
        on_changed: Callable[[], None] = lambda: None,
    ) -> None:
        """Nothing is told yet.

        Args:
            ledger: what is told of.
            audit: who is told.
            clock: dates it.
            log_directory: of the log.
            on_changed: the ledger was found changed.
        """
        self._ledger = ledger
        self._audit = audit
        self._clock = clock
        self._log_directory = log_directory
        self._on_changed = on_changed
        self._one = asyncio.Lock()

    async def begin(self) -> bool:
        """At a start: hold the ledger against its last statement, then as :meth:`settle`."""
        async with self._one:
            try:
                found = await asyncio.to_thread(self._drift)
            except (WardgateError, OSError) as error:
                found = [f"it can't be held against the log: {error}"]
            self._tell_changed(found)
        return await self.settle()

    async def settle(self, *, final: bool = False) -> bool:
        """End the period that runs and tell it; False when it has to be tried again.

        After a ``final`` one nothing may be written into the ledger.
        """
        return await self._guarded(lambda: self._settle(final=final))

    async def state(self) -> bool:
        """Tell what changed of the rows since the last statement; False as for :meth:`settle`."""
        written: list[str] = []
        done = await self._guarded(lambda: self._state(written))
        self._tell_changed(written)
        return done

    async def run(self) -> None:
        """State every minute, and settle with every hour, UTC; a part for the supervisor."""
        done, hour = True, self._hour()
        while True:
            left_s = HOUR_S - self._clock.now_us() / 1e6 % HOUR_S
            await asyncio.sleep(min(left_s, STATE_S) if done else RETRY_S)
            if self._hour() == hour:
                done = await self.state()
            elif done := await self.settle():
                hour = self._hour()

    def _hour(self) -> int:
        return int(self._clock.now_us() // (HOUR_S * 1e6))

    async def _guarded(self, job: Callable[[], bool]) -> bool:
        async with self._one:
            try:
                return await asyncio.to_thread(job)
            except (WardgateError, OSError) as error:
                log.error("the audit log can't be told what was released: %s", error)  # noqa: TRY400  # the cause is told
                return False

    def _settle(self, *, final: bool = False) -> bool:
        """First what was ended and not told before a crash, then what ran until now."""
        if not self._tell(self._ledger.untold()):
            return False
        return self._tell(self._ledger.end_period(self._clock.now_us(), final=final))

    def _state(self, written: list[str]) -> bool:
        if self._ledger.foreign_writes():
            written.append("another process has written to its file while it was in use")
        if not self._tell(self._ledger.untold()):
            return False
        return self._tell(self._ledger.state(self._clock.now_us()))

    def _tell(self, ended: Ended | None) -> bool:
        if ended is None:
            return True
        if not self._audit.account(ended.entries()):
            return False
        self._ledger.told(ended)
        return True

    def _drift(self) -> list[str]:
        told = statements.last_told(self._log_directory)
        return self._ledger.resume(told) if told is not None else []

    def _tell_changed(self, found: list[str]) -> None:
        for reason in found[:FOUND_MAX]:
            log.error("the ledger was changed: %s", reason)
            self._audit.record(CHANGED, reason=reason)
        if found:
            self._on_changed()
