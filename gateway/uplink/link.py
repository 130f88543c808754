"""What the two lanes of one destination share."""

from __future__ import annotations

import asyncio
import random
from typing import NamedTuple

from gateway.domain.labels import Lane
from gateway.domain.ports import Clock, Counters
from gateway.uplink.config import DestinationConfig
from gateway.uplink.ports import Credentials, JournalReader, OnTrouble, Seal
from gateway.uplink.release import Release
from gateway.uplink.writer import LedgerWriter


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

    def connected(self, lane: Lane, up: bool) -> None:
        """A lane's stream came up or went down."""
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
