"""What the platform sees of devices: zones for the fence, links for people.

Rules:

* A word of the platform's goes on as it comes.
* Who is where is asked at the start, when a subscription was made anew, after anything failed, and
  now and then.
* A platform that has told nobody's place for ``unknown_s`` is silent, and what was subscribed is
  made anew, so that areas say who is in them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from gateway.domain.network import LinkSeen, ZoneEvent
from gateway.domain.ports import Clock
from gateway.fence.config import FenceConfig
from gateway.mec.http import PlatformError, ProblemError
from gateway.mec.location import Location
from gateway.mec.radio import Radio

log = logging.getLogger(__name__)


class Whereabouts(Protocol):
    """Who hears where devices are; implemented by ``gateway.fence.fence``."""

    @property
    def config(self) -> FenceConfig:
        """The zones and areas that it wants to hear of."""

    def addresses(self) -> tuple[str, ...]:
        """The devices that it wants to hear of."""

    def told(self, event: ZoneEvent) -> None:
        """Somebody is in a zone, or no longer."""

    def looked(self, found: Mapping[str, Mapping[str, int]], asked_us: int) -> None:
        """The platform was asked who is in each zone, at a time of ours."""

    def silent(self) -> None:
        """The platform tells no more."""


class Watchers(NamedTuple):
    """Who is told of devices."""

    whereabouts: Whereabouts | None = None
    on_link: Callable[[LinkSeen], None] = lambda _seen: None
    on_unheard: Callable[[float], None] = lambda _until_s: None
    """Until then (monotonic) words of links may have been missed: older ones count no more."""


class Seeing:
    """Both interfaces, as far as they are configured."""

    def __init__(
        self,
        location: Location | None,
        radio: Radio | None,
        watchers: Watchers,
        clock: Clock,
        unknown_s: float,
    ) -> None:
        self._location = location
        self._radio = radio
        self._watchers = watchers
        self._clock = clock
        self._unknown_s = unknown_s
        self._silent_since: float | None = None
        self.owed = True
        """Who is where is to be asked at the next look."""

    def hear(self, told: ZoneEvent | LinkSeen) -> None:
        """The platform tells something."""
        if isinstance(told, LinkSeen):
            self._watchers.on_link(told)
            return
        if self._watchers.whereabouts is not None:
            self._watchers.whereabouts.told(told)
        if told.final and self._location is not None:
            self._location.forget()
            self.owed = True

    async def look_at_links(self) -> None:
        """Have cells told, if the platform does not know that they are to be.

        Raises:
            PlatformError, ProblemError: it does not answer, or refuses.
        """
        asked_s = self._clock.monotonic()
        if self._radio is not None and await self._radio.ensure():
            self._watchers.on_unheard(asked_s)

    def missed(self) -> None:
        """Words of the platform's were dropped."""
        self.owed = True
        self._watchers.on_unheard(self._clock.monotonic())

    def away(self) -> None:
        """The platform has answered nothing for too long; what it still tells counts."""
        self._watchers.on_unheard(self._clock.monotonic() - self._unknown_s)

    async def look(self) -> None:
        """Ask who is where.

        Raises:
            PlatformError, ProblemError: it does not answer, or refuses.
        """
        location, whereabouts = self._location, self._watchers.whereabouts
        self.owed = False
        if location is None or whereabouts is None:
            return
        try:
            if await location.ensure():
                log.info("the platform tells who is where from now on")
            asked_us = self._clock.now_us()
            found = await location.users()
        except (PlatformError, ProblemError):
            now = self._clock.monotonic()
            since = self._silent_since = now if self._silent_since is None else self._silent_since
            if now - since >= self._unknown_s:
                location.forget()
                whereabouts.silent()
            raise
        self._silent_since = None
        whereabouts.looked(found, asked_us)

    async def withdraw(self) -> None:
        """End every subscription; idempotent.

        Raises:
            PlatformError, ProblemError: it does not answer, or refuses.
        """
        if self._location is not None:
            await self._location.withdraw()
        if self._radio is not None:
            await self._radio.withdraw()
