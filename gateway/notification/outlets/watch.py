"""Whoever watches by gRPC.

A watcher is told which alarms changed; what it is shown is made when it is sent. It holds at most
one change of each alarm, so that a slow one misses the steps between, never where an alarm stands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

from gateway.domain.errors import NotSentError
from gateway.notification.config import WatchOutlet
from gateway.notification.outlets.sender import Letter

LOOK_S: Final = 5.0
"""How often it is asked whether anybody watches, where somebody has to."""
WATCHERS_MAX: Final = 64


class AbsentError(NotSentError):
    """Nobody watches, and nobody has to."""

    def __init__(self) -> None:
        super().__init__("nobody_watches")


class Watcher:
    """One open stream."""

    def __init__(self, outlet: str) -> None:
        self.outlet = outlet
        self.changed: dict[str, None] = {}
        """Alarms, by id, in the order in which they changed."""
        self._news = asyncio.Event()

    def tell(self, alarm_id: str) -> None:
        """An alarm changed; empty: a silence."""
        self.changed[alarm_id] = None
        self._news.set()

    async def wait(self, seconds: float) -> tuple[str, ...]:
        """What changed; empty when nothing did for so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return ()
        self._news.clear()
        changed, self.changed = tuple(self.changed), {}
        return changed


class Watchers:
    """All open streams, and what of the alarms they have."""

    def __init__(self) -> None:
        self._all: set[Watcher] = set()
        self._shown: dict[tuple[str, str, int], asyncio.Future[None]] = {}

    def __iter__(self) -> Iterator[Watcher]:
        return iter(tuple(self._all))

    def open(self, outlet: str) -> Watcher | None:
        """A stream begins; None when there are too many."""
        if len(self._all) >= WATCHERS_MAX:
            return None
        watcher = Watcher(outlet)
        self._all.add(watcher)
        return watcher

    def close(self, watcher: Watcher) -> None:
        """It ended."""
        self._all.discard(watcher)

    def of(self, outlet: str) -> bool:
        """Whether anybody watches there."""
        return any(each.outlet == outlet for each in self._all)

    def changed(self, alarm_id: str) -> None:
        """Tell everybody who watches."""
        for watcher in self._all:
            watcher.tell(alarm_id)

    def shown(self, outlet: str, alarm_id: str, n: int) -> None:
        """A stream has taken notification ``n``, and with it those before."""
        for key in [key for key in self._shown if key[:2] == (outlet, alarm_id) and key[2] <= n]:
            waiting = self._shown.pop(key)
            if not waiting.done():
                waiting.set_result(None)

    def expect(self, outlet: str, alarm_id: str, n: int) -> asyncio.Future[None]:
        """Done when somebody who watches has it."""
        key = (outlet, alarm_id, n)
        if key not in self._shown:
            self._shown[key] = asyncio.get_running_loop().create_future()
        return self._shown[key]

    def forget(self, outlet: str, alarm_id: str, n: int) -> None:
        """Nobody waits for it any more."""
        self._shown.pop((outlet, alarm_id, n), None)


class WatchSender:
    """A Sender."""

    def __init__(self, outlet: WatchOutlet, watchers: Watchers) -> None:
        self._outlet = outlet
        self._watchers = watchers
        self.every_s = LOOK_S if outlet.required else 0.0

    async def send(self, letter: Letter) -> None:
        """Wait until somebody who watches has it."""
        name = self._outlet.name
        if not self._watchers.of(name):
            raise NotSentError("nobody_watches") if self._outlet.required else AbsentError
        if not letter.alarm_id:
            return  # who watches sees them all
        expected = self._watchers.expect(name, letter.alarm_id, letter.n)
        for watcher in self._watchers:
            watcher.tell(letter.alarm_id)
        try:
            async with asyncio.timeout(self._outlet.answer_s):
                await asyncio.shield(expected)
        except TimeoutError as error:
            raise NotSentError("no_answer") from error
        finally:
            self._watchers.forget(name, letter.alarm_id, letter.n)

    async def look(self) -> None:
        """Whether anybody watches."""
        if not self._watchers.of(self._outlet.name):
            raise NotSentError("nobody_watches")

    async def close(self) -> None:
        """The streams are the callers'."""
