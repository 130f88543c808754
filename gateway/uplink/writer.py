"""Group commit for the ledger: many lanes and destinations, one sync at a time.

Nothing waits when the ledger is idle; what arrives during a commit is the next group. Destinations
that get the same records wake together, so that their entries share a sync.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from gateway.domain.labels import Lane, Treatment
from gateway.domain.ports import Counters
from gateway.uplink.entering import Rejected, Settled
from gateway.uplink.ledger import Ledger
from gateway.uplink.release import Released
from gateway.worker import Worker

_T = TypeVar("_T")


class _Waiting(NamedTuple):
    batch: tuple[str, Released] | None
    rejected: Rejected | None
    done: asyncio.Future[None]


class LedgerWriter:
    """The only writer of a ledger; used on the event loop's thread."""

    def __init__(self, ledger: Ledger, counters: Counters) -> None:
        self.ledger = ledger
        self._counters = counters
        self._waiting: list[_Waiting] = []
        self._settled: dict[tuple[str, Lane], Settled] = {}
        self._busy: asyncio.Future[None] | None = None
        self._begins: asyncio.Handle | None = None
        self._worker: Worker | None = None

    async def record(self, destination: str, batch: Released) -> None:
        """Enter a batch; it may leave when this returns.

        Raises:
            LedgerError: it was not entered, and must not leave.
        """
        await self._add((destination, batch), None)

    async def set_aside(self, rejected: Rejected) -> None:
        """Keep a batch that the receiver will never take.

        Raises:
            LedgerError: it was not kept.
        """
        await self._add(None, rejected)

    def settle(self, settled: Settled) -> None:
        """Forget batches that were acknowledged, with the next commit."""
        self._settled[settled.destination, settled.lane] = settled

    async def compact(self, before_us: int) -> int:
        """Add up some entries that were begun before; how many went, 0 when there are no more.

        Raises:
            LedgerError: nothing changed.
        """
        return await self._in_thread(partial(self.ledger.compact, before_us))

    async def close(self) -> None:
        """Finish what is under way."""
        while self._begins is not None or self._busy is not None:
            if self._busy is not None:
                await asyncio.wait([self._busy])
            await asyncio.sleep(0)
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _add(
        self, batch: tuple[str, Released] | None, rejected: Rejected | None
    ) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append(_Waiting(batch, rejected, done))
        if self._busy is None and self._begins is None:
            # Behind the other lanes that the same commit woke.
            self._begins = loop.call_soon(self._begin)
        return done

    def _begin(self) -> None:
        self._begins = None
        group, self._waiting = self._waiting, []
        settled, self._settled = list(self._settled.values()), {}
        batches = [each.batch for each in group if each.batch is not None]
        rejected = [each.rejected for each in group if each.rejected is not None]
        self._busy = self._in_thread(partial(self.ledger.write, batches, settled, rejected))
        self._busy.add_done_callback(partial(self._end, group, batches))

    def _in_thread(self, job: Callable[[], _T]) -> asyncio.Future[_T]:
        if self._worker is None:
            self._worker = Worker("ledger", asyncio.get_running_loop())
        return self._worker.run(job)

    def _end(
        self,
        group: Sequence[_Waiting],
        batches: Sequence[tuple[str, Released]],
        written: asyncio.Future[None],
    ) -> None:
        error = written.exception()  # each waiter gets it and must not send
        self._busy = None
        if self._waiting:
            self._begin()
        if error is None:
            self._count(batches)
        for each in group:
            if each.done.done():
                continue
            if error is None:
                each.done.set_result(None)
            else:
                each.done.set_exception(error)

    def _count(self, batches: Sequence[tuple[str, Released]]) -> None:
        """Count what was entered, whether or not its sender still waits."""
        for destination, batch in batches:
            lane = batch.lane.name.lower()
            for treatment, records in batch.counts.items():
                self._counters.add("released", destination, lane, _WORDS[treatment], n=records)
            self.ledger.tally.add(batch.counts)


_WORDS = {
    Treatment.PASS: "passed",
    Treatment.AGGREGATE: "aggregated",
    Treatment.PSEUDONYMISE: "pseudonymised",
    Treatment.MASK: "masked",
    Treatment.WITHHOLD: "withheld",
    Treatment.GENERALISE: "generalised",
}
