"""When the audit log is told what was released: see :mod:`gateway.uplink.accounts`."""

from __future__ import annotations

import asyncio
import logging

from gateway.domain.errors import WardgateError
from gateway.domain.ports import Clock
from gateway.uplink.accounts import Period
from gateway.uplink.ledger import Ledger
from security.audit import AuditLog

log = logging.getLogger(__name__)

HOUR_S = 3600.0
RETRY_S = 60.0
"""After a disk that did not take it; the period stays the same."""


class Accounting:
    """Tells one log of one ledger; used on the loop's thread."""

    def __init__(self, ledger: Ledger, audit: AuditLog, clock: Clock) -> None:
        self._ledger = ledger
        self._audit = audit
        self._clock = clock
        self._one = asyncio.Lock()

    async def settle(self) -> bool:
        """End the period that runs and tell it; False when it has to be tried again."""
        async with self._one:
            try:
                return await asyncio.to_thread(self._settle)
            except (WardgateError, OSError) as error:
                log.error("the audit log can't be told what was released: %s", error)  # noqa: TRY400  # the cause is told
                return False

    def _settle(self) -> bool:
        """First what was ended and not told before a crash, then what ran until now."""
        before = self._ledger.untold_period()
        if before is not None and not self._tell(before):
            return False
        return self._tell(self._ledger.end_period(self._clock.now_us()))

    def _tell(self, period: Period) -> bool:
        if not self._audit.account(period.entries()):
            return False
        self._ledger.period_told(period.number)
        return True

    async def run(self) -> None:
        """Settle with every hour, UTC; a part for the supervisor."""
        done = True
        while True:
            left_s = HOUR_S - self._clock.now_us() / 1e6 % HOUR_S
            await asyncio.sleep(left_s if done else RETRY_S)
            done = await self.settle()
