"""A cabinet with an RFID reader, and the people who come to it.

Each visit: somebody shows a badge (two do, where the cabinet is controlled), opens the door, takes
something out or brings something back, shuts the door and leaves. Between visits tags are missed
now and then, as metal and hands have it, and once the reader may be cut off from the network. What
truly lies where is logged at each change, so that an inventory can be held against it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from random import Random

from firmware_sim.llrp.reader import Reader
from firmware_sim.llrp.server import ReaderServer
from firmware_sim.log import Log
from firmware_sim.scenario import Cabinet
from gateway.domain.ports import Clock

DOOR = 1
"""The input of its contact."""
WALK_S, OPEN_S = 0.6, 1.2
"""Between badge and door; how long the door is open."""
MISSED_LOOKS_MAX = 8


class SimCabinet:
    """One cabinet.

    Args:
        spec: of the scenario.
        tls: the reader's certificate; None: plain.
        port: where the reader listens.
        log: takes what truly lies where.
        clock: of the reader and the log.
        random: of the visits.
    """

    def __init__(
        self,
        spec: Cabinet,
        tls: ssl.SSLContext | None,
        port: int,
        log: Log,
        clock: Clock,
        random: Random,
    ) -> None:
        self._spec = spec
        self._clock = clock
        self._log = log
        self._random = random
        self._reader = Reader(clock)
        self._server = ReaderServer(self._reader, tls, port=port)
        self._inside: dict[str, int] = {}
        self._outside: list[str] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop``."""
        for n, epc in enumerate(self._spec.epcs):
            self._lay(epc, 1 + n % self._spec.drawers)
        async with self._server:
            outage = asyncio.create_task(self._outage())
            try:
                while not stop.is_set():
                    await self._pause(stop, self._spec.visit_s * self._random.uniform(0.7, 1.3))
                    if not stop.is_set() and self._server.connected:
                        await self._visit()
            finally:
                outage.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await outage

    async def _outage(self) -> None:
        if self._spec.outage_for_s <= 0:
            return
        await asyncio.sleep(self._spec.outage_at_s)
        self._server.outage()
        self._log.fault(self._now(), self._spec.reader, "outage", "cut off")
        await asyncio.sleep(self._spec.outage_for_s)
        await self._server.restore()

    async def _visit(self) -> None:
        """One visit, to its end: nobody leaves a door open because the ward stops."""
        spec, field = self._spec, self._reader.field
        count = 2 if spec.controlled else 1
        badges = self._random.sample(spec.badges, count)
        for badge in badges:
            field.put(badge, spec.badge_antenna)
        await asyncio.sleep(WALK_S)
        self._door(is_open=True)
        await asyncio.sleep(OPEN_S / 2)
        if self._outside and (not self._inside or self._random.random() < 0.5):
            back = self._outside.pop(self._random.randrange(len(self._outside)))
            self._lay(back, self._random.randint(1, spec.drawers))
        elif self._inside:
            taken = self._random.choice(sorted(self._inside))
            self._take(taken)
        missed = self._random.choice([*sorted(self._inside), ""])
        if missed:
            field.miss(missed, self._random.randint(1, MISSED_LOOKS_MAX))
        await asyncio.sleep(OPEN_S / 2)
        self._door(is_open=False)
        for badge in badges:
            field.take(badge)

    def _door(self, *, is_open: bool) -> None:
        self._reader.set_input(DOOR, high=is_open)
        self._server.flush()

    def _lay(self, epc: str, drawer: int) -> None:
        self._inside[epc] = drawer
        self._reader.field.put(epc, drawer)
        self._log.truth(self._now(), self._spec.name, epc, self._spec.place(drawer))

    def _take(self, epc: str) -> None:
        del self._inside[epc]
        self._outside.append(epc)
        self._reader.field.take(epc)
        self._log.truth(self._now(), self._spec.name, epc, "")

    def _now(self) -> int:
        return self._clock.now_us()

    async def _pause(self, stop: asyncio.Event, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)


CabinetMaker = Callable[[Cabinet, Log, Random], SimCabinet]
