"""What the two lanes of one destination share."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import NamedTuple

from gateway.domain.labels import Lane
from gateway.domain.ports import Clock, Counters
from gateway.uplink.config import DestinationConfig
from gateway.uplink.ports import Credentials, JournalReader, OnTrouble, Seal
from gateway.uplink.release import Release
from gateway.uplink.writer import LedgerWriter

ALARMS_FIRST_S = 0.5
"""How long telemetry waits for the alarms' stream after an absence of the receiver."""


class Surroundings(NamedTuple):
    """What the daemon gives to every forwarder."""

    gateway_id: str
    software_version: str
    journal: JournalReader
    writer: LedgerWriter
    seal: Seal
    counters: Counters
    clock: Clock
    rng: random.Random
    on_trouble: OnTrouble


class Link:
    """One destination: its configuration, its release, and the state of its streams."""

    def __init__(
        self, config: DestinationConfig, credentials: Credentials, around: Surroundings
    ) -> None:
        self.config = config
        self.credentials = credentials
        self.around = around
        self.release: Release | None = None
        self._released = asyncio.Event()
        self._up: set[Lane] = set()
        self._reached = asyncio.Event()
        self._alarms_up = asyncio.Event()
        around.counters.set("connected", 0, config.name)

    @property
    def name(self) -> str:
        return self.config.name

    def set_release(self, release: Release | None) -> None:
        """Another policy, or none: nothing leaves from now on that it does not release."""
        self.release = release
        if release is None:
            self._released.clear()
        else:
            self._released.set()

    async def has_release(self) -> None:
        """Wait until there is a policy."""
        await self._released.wait()

    async def pause(self, seconds: float) -> None:
        """Back off, but no longer than until the other lane has reached the receiver."""
        self._reached.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._reached.wait()

    async def alarms_first(self) -> None:
        """Telemetry gives the alarms' stream a moment to come up before it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ALARMS_FIRST_S):
                await self._alarms_up.wait()

    def connected(self, lane: Lane, up: bool) -> None:
        """A lane's stream came up or went down."""
        if up:
            self._reached.set()
        if lane is Lane.ALARMS:
            (self._alarms_up.set if up else self._alarms_up.clear)()
        (self._up.add if up else self._up.discard)(lane)
        self.around.counters.set("connected", float(len(self._up) == len(Lane)), self.name)

    @property
    def is_connected(self) -> bool:
        """True while both lanes' streams are up."""
        return len(self._up) == len(Lane)

    def lag(self, lane: Lane) -> int:
        """Records that the destination has not acknowledged; also sets the gauge."""
        journal = self.around.journal
        cursor = journal.cursors.get(self.name, lane)
        lag = 0 if cursor is None else max(0, journal.last_seq(lane) - cursor)
        self.around.counters.set("lag_records", lag, self.name, lane.name.lower())
        return lag
