"""The gateway's sealing keys while it runs: a new one each day, and what erases the old ones.

Rules:

1. Each scope gets a new key with the day (UTC). Nothing waits for it: until it is durable the one
   before goes on.
2. A key that sealed nothing which is still there is destroyed, as soon as nothing that it sealed
   can be under way any more: what retention deleted can't be read from a disk's remains, nor from a
   copy, with the keys of today. The state is sealed anew each day, so its older keys go at once.
3. An erasure destroys keys although their data is there. What a destination lacks is refused unless
   forced, and is told as a Gap then. It is in the audit log before it begins and when it is done.
4. The hospital's key is exchanged by reading the ring again (SIGHUP).
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from gateway import erasure
from gateway.capture.shelf import SCOPE as CAPTURE_SCOPE
from gateway.domain.errors import ConfigError, WardgateError
from gateway.domain.labels import Lane
from gateway.domain.ports import Clock
from gateway.erasure import Request
from gateway.errands import Answer
from gateway.journal.aside import SCOPE as ASIDE_SCOPE
from gateway.journal.aside import Aside
from gateway.journal.journal import Journal
from gateway.journal.types import STATE_SCOPE, lane_scope
from gateway.uplink.flight import SCOPE as REJECTED_SCOPE
from security.scopes import Held, ScopeKeys
from security.sealing import KeyRing

log = logging.getLogger(__name__)

KEYS_FILE = "keys"
SCOPES = (
    *(lane_scope(lane) for lane in Lane),
    STATE_SCOPE,
    ASIDE_SCOPE,
    REJECTED_SCOPE,
    CAPTURE_SCOPE,
)
LOOK_S = 60.0
"""Between two looks at the day, and at keys that are not needed any more."""
UNDER_WAY_S = 600.0
"""What a key sealed is where it belongs by then: longer than any commit may take."""


class Log(Protocol):
    """What is used of the audit log."""

    def record(self, event: str, **fields: str | int) -> None:
        """Append an entry."""

    def checkpoint(self) -> object:
        """Make what was appended durable."""


class Keeps(NamedTuple):
    """Who keeps what is sealed."""

    journal: Journal
    aside: Aside
    message_ids_key: Callable[[], str]
    """Of the newest checkpoint of message ids; empty before there is one."""
    rejected_keys: Callable[[], set[str]]
    capture_keys: Callable[[], set[str]]
    """Of recordings."""
    checkpoint_message_ids: Callable[[], Awaitable[None]]
    settled: Callable[[], Awaitable[None]]
    """Returns when everything that was submitted until now has its outcome."""
    on_lost: Callable[[], None]
    """Told when records were lost by an erasure."""


class KeyKeeper:
    """A part for the supervisor, and what SIGHUP reaches."""

    def __init__(
        self, state: Path, keys: ScopeKeys, keeps: Keeps, audit: Log, clock: Clock
    ) -> None:
        self._state = state
        self._keys = keys
        self._keeps = keeps
        self._audit = audit
        self._clock = clock
        self._begun_at = clock.monotonic()
        """When a scope got another key the last time, or this process began."""
        self._look = asyncio.Event()

    def look(self) -> None:
        """There may be a request: see to it now."""
        self._look.set()

    async def run(self) -> None:
        """Keep the keys until cancelled; what fails is logged and tried again."""
        while True:
            self._look.clear()
            try:
                await self.serve_request()
                await self.renew()
                await self.retire()
            except (WardgateError, OSError, sqlite3.Error) as error:
                log.error("the sealing keys: %s", error)  # noqa: TRY400  # the cause is told
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._look.wait()
            except TimeoutError:
                continue

    def use(self, ring: KeyRing) -> None:
        """Go on with the ring as it is now; blocks.

        Raises:
            OSError: the disk refuses; the ring before stays in use.
        """
        if self._keys.use(ring):
            log.info("the scopes' keys are sealed by the hospital's key %d now", ring.active)
            self._audit.record("sealing_key", result="rotated", key=ring.active)

    # -- with the day --------------------------------------------------------------------------

    async def renew(self) -> None:
        """A new key for each scope whose present one is not of today.

        Raises:
            ConfigError, OSError: they seal as before.
        """
        today = _day(self._clock.now_us())
        old = [held.scope for held in self._keys.held() if held.sealing and _day_of(held) != today]
        if old:
            await self._begin(old)
            if STATE_SCOPE in old:
                await self._reseal_state()

    async def _begin(self, scopes: list[str]) -> None:
        await asyncio.to_thread(self._keys.begin, scopes)
        self._begun_at = self._clock.monotonic()

    async def _reseal_state(self) -> None:
        if not await asyncio.to_thread(self._keeps.journal.reseal_state):
            raise ConfigError("the state can't be sealed anew: the disk refuses")
        await self._keeps.checkpoint_message_ids()

    async def retire(self) -> None:
        """Destroy the keys that sealed nothing which is still there.

        Raises:
            OSError, sqlite3.Error: they are there as before.
        """
        if self._clock.monotonic() - self._begun_at < UNDER_WAY_S:
            return
        held = [each for each in self._keys.held() if not each.sealing]
        if not held:
            return
        used = await asyncio.to_thread(self._in_use)
        gone = [each for each in held if each.key_id not in used]
        if gone:
            await asyncio.to_thread(self._keys.erase, [each.key_id for each in gone])
            scopes = ", ".join(sorted({each.scope for each in gone}))
            log.info("%d keys of %s sealed nothing that is there: destroyed", len(gone), scopes)
            self._audit.record("keys_retired", keys=len(gone), scopes=scopes)

    def _in_use(self) -> set[str]:
        keeps = self._keeps
        used = keeps.journal.state_key_ids() | keeps.aside.key_ids() | keeps.rejected_keys()
        used |= keeps.capture_keys()
        for lane in Lane:
            used |= keeps.journal.key_ids(lane)
        ids = keeps.message_ids_key()
        # Before the first checkpoint of this process the file may bear any key of the state.
        used |= {ids} if ids else {k.key_id for k in self._keys.held() if k.scope == STATE_SCOPE}
        return used

    # -- on request ----------------------------------------------------------------------------

    async def serve_request(self) -> None:
        """Carry out the request that waits, if there is one, and answer it.

        Raises:
            OSError: it could not be answered, and waits on.
        """
        try:
            request = erasure.asked(self._state)
        except ConfigError as error:
            log.error("%s", error)  # noqa: TRY400  # the cause is told
            (self._state / erasure.REQUEST).unlink(missing_ok=True)
            return
        if request is None:
            return
        facts: dict[str, str | int] = {
            "scope": request.scope,
            "by": request.by,
            "reason": request.reason,
        }
        try:
            words = await self._erase(request, facts)
            given = Answer(request.id, "done", words)
        except (WardgateError, OSError, sqlite3.Error) as error:
            given = Answer(request.id, "refused", str(error))
            self._audit.record("erasure", result="refused", why=str(error), **facts)
        log.warning("erasure of %s: %s: %s", request.scope, given.result, given.words)
        erasure.answer(self._state, given)

    async def _erase(self, request: Request, facts: dict[str, str | int]) -> str:
        """Destroy the keys that a request names; returns what was done.

        Raises:
            ConfigError: not without force, or it names what is no scope.
            OSError, sqlite3.Error: the disk refuses.
        """
        if request.scope not in SCOPES:
            raise ConfigError(f"no scope {request.scope!r}; there are: {', '.join(SCOPES)}")
        held = [
            each
            for each in self._keys.held()
            if each.key_id in request.keys and each.scope == request.scope
        ]
        if not held:
            return "nothing is left of what was to be erased"
        named = frozenset(each.key_id for each in held)
        self._require_delivered(named, force=request.force)
        self._audit.record("erasure", result="begun", keys=len(named), **facts)
        await asyncio.to_thread(self._audit.checkpoint)
        if any(each.sealing for each in held):
            await self._begin([request.scope])
        await self._keeps.settled()  # what the key sealed before is committed now
        await self._reseal_state() if request.scope == STATE_SCOPE else await self._fix_state()
        used = self._keeps.journal.state_key_ids() | {self._keeps.message_ids_key()}
        if used & named:
            raise ConfigError("the state is still sealed by what is to be erased; try again")
        await asyncio.to_thread(self._keys.erase, named)
        lost = await asyncio.to_thread(self._keeps.journal.lose_erased, named.__contains__)
        if lost:
            self._keeps.on_lost()
        self._audit.record("erasure", result="done", keys=len(named), records=lost, **facts)
        return f"{len(named)} keys destroyed, {lost} records are told as a Gap"

    async def _fix_state(self) -> None:
        """Nothing of the state may depend on reading the journal again."""
        if not await asyncio.to_thread(self._keeps.journal.checkpoint):
            raise ConfigError("the state can't be written: the disk refuses")
        await self._keeps.checkpoint_message_ids()

    def _require_delivered(self, named: frozenset[str], *, force: bool) -> None:
        cursors = self._keeps.journal.cursors
        ranges = self._keeps.journal.sealed_records(named)
        lacking: dict[str, int] = {}
        for lane, parts in ranges.items():
            for name in cursors.names() or {"nobody"}:
                at = cursors.get(name, lane) or 0
                records = sum(max(0, last - max(first - 1, at)) for first, last in parts)
                lacking[name] = lacking.get(name, 0) + records
        told = [f"{name} lacks {n} records" for name, n in sorted(lacking.items()) if n]
        if told and not force:
            raise ConfigError(f"{', '.join(told)}: wait for delivery, or use --force")


def _day(us: int) -> str:
    return datetime.fromtimestamp(us / 1e6, UTC).date().isoformat()


def _day_of(held: Held) -> str:
    return _day(held.begun_us)
