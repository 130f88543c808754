"""Does what :mod:`gateway.mec.life` decides, and looks at the platform for it.

Rules:

* Each look makes good what the platform has forgotten: subscription, service, bandwidth, mobility.
  None of these keeps the others from being looked at, the path is looked at by itself
  (:mod:`gateway.mec.path`), and what the platform tells is heard meanwhile.
* What the platform must hear (ready, the end) is said until it has heard, or says that it knows;
  READY only while it is so.
* Before the end, announcements are taken back as far as there is time; the confirmation has the
  rest, and the path is looked at until then.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from gateway.domain.errors import WardgateError
from gateway.domain.network import LinkSeen, ZoneEvent
from gateway.domain.ports import Clock, Counters
from gateway.mec import apps, mobility
from gateway.mec.apps import AppSupport, Operation
from gateway.mec.bandwidth import Bandwidth
from gateway.mec.callbacks import Callbacks, Told
from gateway.mec.config import BreakoutTable, MecConfig
from gateway.mec.http import PlatformError, ProblemError
from gateway.mec.life import HOLD, Effect, Input, Life, State
from gateway.mec.mobility import Mobility
from gateway.mec.path import Pace, Path
from gateway.mec.seeing import Seeing, Watchers
from gateway.mec.services import Services
from gateway.notices import Notices
from gateway.ownclock.opinion import PlatformTime
from security.identity import Auditor

log = logging.getLogger(__name__)

CONDITION: Final = "breakout_lost"
FORGETFUL_LOOKS: Final = 15
"""Services, bandwidth and mobility are looked at every so many looks."""
END_TRIES: Final = 5
LOOK_ENDS_S: Final = 0.5
"""For a look that is under way at the end: what it makes can be taken back only once it is made."""
LEAVING_S: Final = 2.0
"""For what is taken back at the end, while the platform may be gone."""


class Around(NamedTuple):
    """What the agent needs of the gateway."""

    clock: Clock
    counters: Counters
    audit: Auditor
    notices: Notices
    hold: Callable[[str], None]
    """Let nothing leave, for this reason …"""
    free: Callable[[str], None]
    """… and no longer for it."""
    drain: Callable[[float], Awaitable[None]]
    """Take no more from devices, and return when everything has left, or after so many seconds."""
    stop: Callable[[], None]
    """End the gateway."""
    move: Callable[[frozenset[str], str], int]
    """Send devices at addresses to another gateway; how many sessions that were."""
    on_time: Callable[[PlatformTime], None]
    """The platform told its time."""
    watchers: Watchers = Watchers()
    """Who is told of devices."""


class Interfaces(NamedTuple):
    """The platform's, as far as they are configured."""

    apps: AppSupport
    services: Services | None
    bandwidth: Bandwidth | None
    mobility: Mobility | None
    seeing: Seeing


class Agent:
    """One gateway on one platform; :meth:`run` is its life."""

    def __init__(
        self,
        config: MecConfig,
        breakout: BreakoutTable,
        interfaces: Interfaces,
        callbacks: Callbacks[Told],
        around: Around,
    ) -> None:
        self._config = config
        self._interfaces = interfaces
        self._callbacks = callbacks
        self._around = around
        self._life = Life()
        self._path = Path(
            breakout,
            Pace(config.look_s, config.unknown_s),
            interfaces.apps,
            self._feed,
            around.clock,
            around.counters,
            around.audit,
        )
        self._looking: asyncio.Task[None] | None = None
        self._soon = asyncio.Event()
        """There is something to be looked at before the next look is due."""
        self._leaving = False
        self._subscription = ""
        self._owes_ready = False
        self._timed_at = float("-inf")
        self._looks = 0

    @property
    def state(self) -> State:
        """Where the gateway stands with its platform."""
        return self._life.state

    async def run(self) -> None:
        """Look and listen until the platform ends the gateway, or this is cancelled."""
        self._feed(Input.GATEWAY_READY)
        try:
            async with asyncio.TaskGroup() as group:
                path = group.create_task(self._path.run())
                self._looking = group.create_task(self._keep_looking())
                while self._life.state is not State.ENDED:
                    await self._hear(await self._callbacks.told.get())
                path.cancel()
        except ExceptionGroup as group_error:
            raise group_error.exceptions[0] from group_error  # a log shows what it was

    async def leave(self) -> None:
        """The gateway ends by itself: take back what was announced, if the platform answers."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVING_S):
                await self._withdraw()
                if self._subscription:
                    await _suppressed(self._unsubscribe)

    async def _unsubscribe(self) -> None:
        await self._interfaces.apps.unsubscribe(self._subscription)
        self._subscription = ""

    # What happens

    async def _hear(self, told: Told) -> None:
        match told:
            case mobility.Moved():
                self._moved(told)
            case ZoneEvent() | LinkSeen():
                self._interfaces.seeing.hear(told)
            case apps.Termination():
                await self._end(told)

    async def _end(self, told: apps.Termination) -> None:
        grace_s = told.max_graceful_timeout
        log.warning("the platform ends the gateway: %s within %d s", told.operation_action, grace_s)
        self._around.audit.record(
            "mec_termination", operation=str(told.operation_action), grace_s=grace_s
        )
        began = self._around.clock.monotonic()
        if Effect.DRAIN in self._feed(Input.TERMINATE):
            await self._around.drain(max(0.0, grace_s - self._config.drain_margin_s))
        if Effect.CONFIRM_END in self._feed(Input.DRAINED):
            left_s = grace_s - (self._around.clock.monotonic() - began)
            await self._confirm_end(told.operation_action, max(self._config.timeout_s, left_s))
            self._around.stop()

    def _moved(self, told: mobility.Moved) -> None:
        count = 0
        if told.mobility_status is not mobility.Status.FAILED and told.target:
            count = self._around.move(told.addresses, told.target)
        self._around.audit.record(
            "mec_moved",
            status=str(told.mobility_status),
            devices=len(told.addresses),
            sessions=count,
            target=told.target,
        )

    # Looking

    async def _keep_looking(self) -> None:
        while not self._leaving:
            await self.look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._config.look_s):
                    await self._soon.wait()
            self._soon.clear()

    async def look(self) -> None:
        """Look at everything but the path once."""
        seeing = self._interfaces.seeing
        await self._guarded("subscription", self._look_at_subscription)
        await self._guarded("ready", self._look_at_ready)
        now = self._around.clock.monotonic()
        if now - self._timed_at >= self._config.time_s:
            await self._guarded("time", self._look_at_time)
        if self._looks % FORGETFUL_LOOKS == 0:
            await self._guarded("services", self._look_at_services)
            await self._guarded("bandwidth", self._look_at_bandwidth)
            await self._guarded("mobility", self._look_at_mobility)
            await self._guarded("radio", seeing.look_at_links)
            seeing.owed = True
        self._looks += 1
        if self._callbacks.missed:
            self._callbacks.missed = False
            seeing.missed()
        if seeing.owed:
            await self._guarded("location", seeing.look)

    async def _guarded(self, what: str, look: Callable[[], Awaitable[None]]) -> None:
        """One look, whose failure is counted and keeps nothing else from being looked at."""
        try:
            await look()
        except WardgateError as error:
            self._around.counters.add("mec_failures", what)
            self._interfaces.seeing.owed = True  # it may not tell of zones either
            log.debug("the platform, %s: %s", what, error)

    async def _look_at_subscription(self) -> None:
        found = self._interfaces.apps
        if self._subscription and await found.subscribed(self._subscription):
            return
        forgotten = bool(self._subscription)
        self._subscription = await found.subscribe(self._callbacks.place.of("termination"))
        if forgotten:
            log.warning("the platform has forgotten the gateway: it is told anew")
            self._looks = 0
            self._feed(Input.ANEW)

    async def _look_at_ready(self) -> None:
        if not self._owes_ready or self._life.state is not State.READY:
            return
        try:
            await self._interfaces.apps.confirm_ready()
        except ProblemError as error:
            if error.status != 409:  # it is in that state already
                raise
        self._owes_ready = False
        self._looks = 0  # now it may be announced
        self._around.audit.record("mec_ready")

    async def _look_at_time(self) -> None:
        clock = self._around.clock
        before = clock.monotonic()
        sent_us = clock.now_us()
        told = await self._interfaces.apps.current_time()
        self._timed_at = clock.monotonic()
        half_us = round((self._timed_at - before) * 5e5)
        traceable = told.time_source_status == "TRACEABLE"
        told_ns = told.seconds * 1_000_000_000 + told.nano_seconds
        offset_us = told_ns // 1000 - (sent_us + half_us)
        self._around.counters.set("mec_clock_offset_seconds", offset_us / 1e6)
        self._around.counters.set("mec_clock_traceable", float(traceable))
        moment_us = round(before * 1e6) + half_us
        self._around.on_time(PlatformTime(told_ns, moment_us, half_us, traceable))

    async def _look_at_services(self) -> None:
        services = self._interfaces.services
        if services is not None and self._life.state is State.READY and not self._owes_ready:
            await services.ensure()

    async def _look_at_bandwidth(self) -> None:
        if self._interfaces.bandwidth is not None:
            await self._interfaces.bandwidth.ensure()

    async def _look_at_mobility(self) -> None:
        if self._interfaces.mobility is not None:
            await self._interfaces.mobility.ensure()

    # Acting

    def _feed(self, seen: Input, words: str = "") -> tuple[Effect, ...]:
        if seen is Input.PATH_UNKNOWN:
            self._interfaces.seeing.away()
        before = self._life.state
        effects = self._life.feed(seen)
        if self._life.state is not before:
            log.info("on the platform: %s", self._life.state.name.lower())
            for state in State:
                now = float(state is self._life.state)
                self._around.counters.set("mec_state", now, state.name.lower())
        for effect in effects:
            match effect:
                case Effect.HOLD:
                    self._around.hold(HOLD)
                    text = f"Nothing leaves, the local breakout is not in force: {words}"
                    self._around.notices.condition(CONDITION, text[:300], active=True)
                case Effect.FREE:
                    self._around.free(HOLD)
                    self._around.notices.condition(CONDITION, "", active=False)
                case Effect.CONFIRM_READY:
                    self._owes_ready = True
                    self._soon.set()
                case Effect.DRAIN | Effect.CONFIRM_END:
                    pass  # by whoever feeds
        return effects

    async def _confirm_end(self, operation: Operation, left_s: float) -> None:
        result = "not_confirmed"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left_s / 2):
                await self._withdraw()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left_s / 2):
                for _ in range(END_TRIES):
                    try:
                        await self._interfaces.apps.confirm_termination(operation)
                    except ProblemError as error:
                        result = f"refused_{error.status}"
                        break
                    except PlatformError:
                        await asyncio.sleep(self._config.look_s)
                    else:
                        result = "confirmed"
                        break
        self._around.audit.record("mec_ended", operation=str(operation), result=result)

    async def _withdraw(self) -> None:
        """Take back what can be; nothing is announced anew behind it."""
        self._leaving = True
        self._soon.set()
        if self._looking is not None:
            await asyncio.wait((self._looking,), timeout=LOOK_ENDS_S)
            self._looking.cancel()
            await asyncio.wait((self._looking,))
        found = self._interfaces
        if found.services is not None:
            await _suppressed(found.services.withdraw)
        if found.mobility is not None:
            await _suppressed(found.mobility.withdraw)
        if found.bandwidth is not None:
            await _suppressed(found.bandwidth.give_back)
        await _suppressed(found.seeing.withdraw)


async def _suppressed(withdraw: Callable[[], Awaitable[None]]) -> None:
    """What can't be taken back keeps nothing else from being."""
    with contextlib.suppress(WardgateError):
        await withdraw()
