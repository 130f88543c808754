"""What the lanes of one destination share: its release, and whether it can be reached."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from gateway.dial import Dial, MisdirectedError, Route, knock
from gateway.domain.labels import Lane
from gateway.domain.ports import Clock, Counters
from gateway.uplink.config import DestinationConfig
from gateway.uplink.ports import (
    AuditSource,
    Credentials,
    JournalReader,
    OnException,
    OnReached,
    OnTrouble,
    Seal,
    Trouble,
    TroubleKind,
)
from gateway.uplink.release import Release
from gateway.uplink.writer import LedgerWriter

ALARMS_FIRST_S = 0.5
"""How long the other lanes wait for the alarms' stream after an absence of the receiver."""
WAVES_YIELD_S = 0.25
"""While telemetry is behind, a batch of waveforms leaves so often: held back, not starved."""
TELEMETRY_BEHIND_RECORDS = 1000
"""Lag of telemetry from which on waveforms give way."""
KNOCK_INTERVAL_S = 0.5
"""How often a pausing lane looks whether anybody listens at the receiver's address, at the cost of
a SYN and its answer. Drawn between half of it and all of it, so that gateways don't knock in step.
"""
Knock = Callable[[str], Awaitable[bool]]
"""Whether anybody accepts connections at ``host:port``."""

_EVERY_GATEWAYS = frozenset((Lane.ALARMS, Lane.TELEMETRY))


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
    on_reached: OnReached
    on_exception: OnException
    audit: AuditSource | None = None
    """Whose heads are carried to receivers that keep them; None: nobody's."""


class Link:
    """One destination: its configuration, its release, and the state of its streams."""

    def __init__(
        self,
        config: DestinationConfig,
        credentials: Credentials,
        around: Surroundings,
        dial: Dial,
        knock: Knock = knock,
    ) -> None:
        self.config = config
        self._dial = dial
        # What is limited to networks is not knocked at before its address was looked at.
        self._door = "" if config.networks else config.address
        self.credentials = credentials
        self.around = around
        self.release: Release | None = None
        self.signs = 0
        """Signs of life so far: streams that came up, and times that somebody began to listen."""
        self._sign = asyncio.Event()
        self._listens = True
        self._knock = knock
        self._released = asyncio.Event()
        self._withdrawn = asyncio.Event()
        self._up: set[Lane] = set()
        self._acked: dict[Lane, int] = {}
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
            self._withdrawn.set()
        else:
            self._released.set()
            self._withdrawn.clear()

    async def route(self, lane: Lane) -> Route:
        """Where a connection for a lane is to go now.

        Raises:
            NotReachedError: nobody is there.
            MisdirectedError: the receiver's name leads elsewhere, or another answers; it was told.
            ConfigError: our own certificate can't be used.
        """
        try:
            way = await self._dial()
        except MisdirectedError as error:
            self._door = ""
            self._misdirected(lane, TroubleKind(error.reason), error.detail)
            raise
        if way.outside:
            detail = f"also said to be at {', '.join(way.outside)}"
            self._misdirected(lane, TroubleKind.ADDRESS_REFUSED, detail)
        self._door = way.door
        return way

    def _misdirected(self, lane: Lane, kind: TroubleKind, detail: str) -> None:
        self.around.counters.add("misdirected", self.name, kind)
        self.around.on_trouble(Trouble(kind, self.name, lane, 0, 0, detail))

    async def has_release(self) -> None:
        """Wait until there is a policy."""
        await self._released.wait()

    async def has_none(self) -> None:
        """Wait until there is no policy; true of any moment since it was called."""
        await self._withdrawn.wait()

    async def pause(self, seconds: float, signs: int) -> None:
        """Back off, but no longer than until there is a sign of life.

        That is a stream of the other lane that comes up, or a receiver that begins to accept
        connections. One that goes on accepting them and refuses the stream gives no sign.

        Args:
            seconds: the whole pause.
            signs: how many there were when what failed was begun; one since then ends the pause.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.signs == signs:
                    await self._look()
                    await self._wait_for_sign(signs)

    async def _look(self) -> None:
        listens = bool(self._door) and await self._knock(self._door)
        if listens and not self._listens:
            self._alive()
        self._listens = listens

    async def _wait_for_sign(self, signs: int) -> None:
        interval_s = KNOCK_INTERVAL_S * (0.5 + self.around.rng.random() / 2)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(interval_s):
                while self.signs == signs:
                    self._sign.clear()
                    await self._sign.wait()

    def _alive(self) -> None:
        self.signs += 1
        self._sign.set()

    async def alarms_first(self) -> None:
        """The other lanes give the alarms' stream a moment to come up before theirs."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ALARMS_FIRST_S):
                await self._alarms_up.wait()

    def connected(self, lane: Lane, up: bool) -> None:
        """A lane's stream came up or went down."""
        if up:
            self.around.on_reached(self.name)
            self._listens = True
            self._alive()
        if lane is Lane.ALARMS:
            (self._alarms_up.set if up else self._alarms_up.clear)()
        (self._up.add if up else self._up.discard)(lane)
        self.around.counters.set("connected", float(self.is_connected), self.name)

    @property
    def is_connected(self) -> bool:
        """True while the streams of alarms and telemetry are up.

        A gateway without waveforms has no stream for them, and an old receiver takes none.
        """
        return self._up >= _EVERY_GATEWAYS

    async def waves_last(self) -> None:
        """Waveforms let telemetry's backlog go before them, for a moment at a time."""
        journal, lane = self.around.journal, Lane.TELEMETRY
        if journal.last_seq(lane) - self.acked(lane) > TELEMETRY_BEHIND_RECORDS:
            await asyncio.sleep(WAVES_YIELD_S)

    def acknowledged(self, lane: Lane, seq: int) -> None:
        """The destination holds everything up to ``seq``; the cursor may stay behind a window."""
        self._acked[lane] = max(seq, self._acked.get(lane, 0))

    def acked(self, lane: Lane) -> int:
        """What the destination holds as far as is known; after a start, the cursor at least."""
        cursor = self.around.journal.cursors.get(self.name, lane) or 0
        return max(cursor, self._acked.get(lane, 0))

    def lag(self, lane: Lane) -> int:
        """Records that the destination has not acknowledged; also sets the gauge."""
        journal = self.around.journal
        known = journal.cursors.get(self.name, lane) is not None
        lag = max(0, journal.last_seq(lane) - self.acked(lane)) if known else 0
        self.around.counters.set("lag_records", lag, self.name, lane.name.lower())
        return lag
