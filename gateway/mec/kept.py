"""Subscriptions that end by themselves: made, looked at, renewed, and made anew.

Rules:

* Each ends after :data:`DURATION_S`, so that a gateway that is gone is told nothing for ever. It is
  renewed (PUT) when half of that has passed, or when what is asked for is something else.
* In between it is looked at (GET): what a platform has forgotten (404, 410) is made anew (POST).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from gateway.domain.ports import Clock
from gateway.mec.http import GONE, Platform, ProblemError, made_name

DURATION_S: Final = 3600


class Wish(NamedTuple):
    """One subscription that there should be."""

    name: str
    """Ours for it."""
    collection: str
    """The URL to which it is posted."""
    wanted: Any
    """What is asked for, as JSON has it: another one is a change."""
    body: Callable[[str], Any]
    """What is sent, by the subscription's own URL; empty: it has none yet."""
    place: tuple[str, ...] = ()
    """Where an answer has its URL, if no ``Location`` says it; as :func:`made_name` takes it."""


class _One(NamedTuple):
    url: str
    digest: bytes
    renew_at: float
    """Monotonic."""


class Kept:
    """The subscriptions of one interface.

    Every call raises PlatformError (not now) or ProblemError (refused).
    """

    def __init__(self, platform: Platform, clock: Clock) -> None:
        self._platform = platform
        self._clock = clock
        self._of: dict[str, _One] = {}

    async def ensure(self, wish: Wish) -> bool:
        """Make or renew it, if it has to be; whether it was not there."""
        digest = hashlib.sha256(json.dumps(wish.wanted).encode()).digest()
        now = self._clock.monotonic()
        kept = self._of.get(wish.name)
        if kept is not None:
            try:
                if kept.digest == digest and now < kept.renew_at:
                    await self._platform.call("GET", kept.url)
                    return False
                await self._platform.call("PUT", kept.url, wish.body(kept.url))
            except ProblemError as error:
                if error.status not in GONE:
                    raise
                self._of.pop(wish.name, None)
            else:
                if wish.name in self._of:  # nobody wanted it forgotten meanwhile
                    self._of[wish.name] = _One(kept.url, digest, now + DURATION_S / 2)
                return False
        answer = await self._platform.call("POST", wish.collection, wish.body(""), expect=(201,))
        url = f"{wish.collection}/{quote(made_name(answer, *wish.place), safe='')}"
        self._of[wish.name] = _One(url, digest, now + DURATION_S / 2)
        return True

    def forget(self) -> None:
        """Make every one anew at the next occasion."""
        self._of.clear()

    async def withdraw(self) -> None:
        """End every one; idempotent."""
        while self._of:
            name, kept = next(iter(self._of.items()))
            await self._platform.end(kept.url)
            self._of.pop(name, None)
