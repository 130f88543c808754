"""Asks the network about every device in turn: SIM and modem changed, and the fence's areas.

Rules:

* It is asked, and tells nothing by itself: a gateway in a hospital can be reached by no operator.
* Bounded: a device's turn comes every ``every_s`` at most, and all turns together make no more than
  ``calls_per_minute``; with more devices than that allows, turns come later.
* Only the network's clear word is told to the fence: TRUE and PARTIAL as there, FALSE as gone. Whom
  it can't locate is seen nowhere, once the round is over.
* No answer at all for ``unknown_s`` is the fence's silence.
* A network that can't be asked costs nobody a turn: after a pause the next device is asked about,
  and this one behind the others, until somebody has an answer. One about which nothing can be asked
  ``TRIES_MAX`` times while others have answers waits for the next round.
* Of two interfaces, one that is away waits for the next round, and the other goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, NamedTuple, Protocol

from gateway.domain.devices import Device, Standing
from gateway.domain.errors import MalformedError
from gateway.domain.network import Swapped, ZoneEvent
from gateway.domain.ports import Clock, Counters
from gateway.fence.config import AreaTable, FenceConfig
from gateway.mec.http import PlatformError, ProblemError
from gateway.networkapi.config import RoundsTable
from gateway.networkapi.interface import Circle, LocationApi, SwapApi, Verdict, Whose, whose

log = logging.getLogger(__name__)

IDLE_S: Final = 5.0
"""Between two looks whether there is anybody to ask about."""
AWAY_S: Final = 15.0
"""Before a network that could not be asked is asked again, beside the client's own tries."""
TRIES_MAX: Final = 4
"""About one device in a round in which others have answers."""
MINUTE_S: Final = 60.0


class Fence(Protocol):
    """Who is told of places; implemented by ``gateway.fence.fence``."""

    @property
    def config(self) -> FenceConfig:
        """What is in force."""

    def told(self, event: ZoneEvent) -> None:
        """Somebody is in an area, or no longer."""

    def looked(self, found: Mapping[str, Mapping[str, int]], asked_us: int) -> None:
        """Who is where, at the end of a round."""

    def silent(self) -> None:
        """Nobody says any more."""


class Asked(NamedTuple):
    """What is asked, and who hears the answers."""

    swaps: SwapApi | None
    location: LocationApi | None
    """None: areas are not asked about."""
    devices: Callable[[], Iterable[Device]]
    """Of the registry."""
    addresses: Callable[[str], frozenset[str]]
    """Of a device's live sessions; empty where they say nothing."""
    swapped: Callable[[str, Swapped], None]
    fence: Fence


class Rounds:
    """One gateway's; :meth:`run` is its life."""

    def __init__(
        self,
        table: RoundsTable,
        asked: Asked,
        clock: Clock,
        counters: Counters,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._table = table
        self._asked = asked
        self._clock = clock
        self._counters = counters
        self._sleep = sleep
        self._answered = clock.monotonic()
        """When it last said where somebody is."""
        self._located = False
        """Whether it has, in this round."""
        self._refused: set[str] = set()
        """Devices that the network would not speak of; each is logged once. Bounded by these."""

    async def run(self) -> None:
        """Round after round, for ever."""
        while True:
            await self.round()

    async def round(self) -> None:
        """Every device once; returns when the next may begin."""
        devices = self._known()
        if not devices:
            self._answered = self._clock.monotonic()
            await self._sleep(IDLE_S)
            return
        pace_s = max(
            self._table.every_s / len(devices),
            self._calls * MINUTE_S / self._table.calls_per_minute,
        )
        asked_us = self._clock.now_us()
        found: dict[str, dict[str, int]] = {each.name: {} for each in self._areas}
        self._located = False
        waiting = deque(devices)
        tried: Counter[str] = Counter()
        answered = False
        while waiting:
            device, known = waiting.popleft()
            due = self._clock.monotonic() + pace_s
            asked = await self._turn(device, known, found)
            answered |= asked
            self._look_silent()
            if asked:
                await self._sleep(max(due - self._clock.monotonic(), 0.0))
                continue
            tried[device.device_id] += answered
            if tried[device.device_id] < TRIES_MAX:
                waiting.append((device, known))
            await self._sleep(AWAY_S)
        if self._located:
            self._asked.fence.looked(found, asked_us)

    @property
    def _areas(self) -> tuple[AreaTable, ...]:
        return self._asked.fence.config.areas if self._asked.location is not None else ()

    @property
    def _calls(self) -> int:
        """At most, about one device."""
        return len(self._areas) + (self._asked.swaps.swap_calls if self._asked.swaps else 0)

    def _known(self) -> list[tuple[Device, Whose]]:
        """Who can be asked about, by name: whoever the network knows."""
        found = [
            (each, whose(each.network, self._asked.addresses(each.device_id)))
            for each in self._asked.devices()
            if each.standing is not Standing.RETIRED
        ]
        return sorted(
            ((device, known) for device, known in found if known),
            key=lambda pair: pair[0].device_id,
        )

    async def _turn(self, device: Device, known: Whose, found: dict[str, dict[str, int]]) -> bool:
        """One device; False: nothing of the network could be asked."""
        questions: list[Awaitable[None]] = []
        if self._asked.swaps is not None and known.phone:
            questions.append(self._swapped(self._asked.swaps, device, known))
        address = self._address_of(device)
        if self._areas and self._asked.location is not None and address:
            questions.append(self._locate(self._asked.location, device, known, found))
        answered = [await self._ask(device, each) for each in questions]
        return any(answered) or not answered

    async def _ask(self, device: Device, question: Awaitable[None]) -> bool:
        """One question; False: it could not be asked."""
        try:
            await question
        except PlatformError as error:
            log.warning("the network can't be asked about devices: %s", error)
            return False
        except (ProblemError, MalformedError) as error:
            if device.device_id not in self._refused:
                self._refused.add(device.device_id)
                log.warning("the network says nothing of %s: %s", device.device_id, error)
        else:
            self._refused.discard(device.device_id)
        return True

    async def _swapped(self, swaps: SwapApi, device: Device, known: Whose) -> None:
        self._asked.swapped(device.device_id, await swaps.swapped(known))

    async def _locate(
        self,
        location: LocationApi,
        device: Device,
        known: Whose,
        found: dict[str, dict[str, int]],
    ) -> None:
        """Where a device is: it is told as there before as gone, since areas may overlap."""
        address = self._address_of(device)
        gone: list[ZoneEvent] = []
        for area in self._areas:
            circle = Circle(area.latitude, area.longitude, area.radius_m)
            told = await location.verify_location(known, circle, self._table.age_s)
            self._answered, self._located = self._clock.monotonic(), True
            self._counters.add("network_located", told.verdict.value)
            if told.verdict is Verdict.FALSE:
                gone.append(ZoneEvent(area.name, (address,), here=False, at_us=told.at_us))
            elif told.verdict is not Verdict.UNKNOWN:
                found[area.name][address] = told.at_us
                here = ZoneEvent(area.name, (address,), here=True, at_us=told.at_us)
                self._asked.fence.told(here)
        for event in gone:
            self._asked.fence.told(event)

    def _address_of(self, device: Device) -> str:
        """As the fence knows it; empty: it has none."""
        if device.network.gpsi:
            return f"tel:+{device.network.gpsi.removeprefix('msisdn-')}"
        named = self._asked.fence.config.addresses.items()
        return next((address for address, name in named if name == device.device_id), "")

    def _look_silent(self) -> None:
        silent_s = self._clock.monotonic() - self._answered
        if self._areas and silent_s >= self._table.unknown_s:
            self._asked.fence.silent()
