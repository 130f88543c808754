"""Does what :mod:`gateway.mec.life` decides, and looks at the platform for it.

Rules:

* Each look makes good what the platform has forgotten: subscription, service, bandwidth, mobility.
  None of these keeps the others, or the judgement of the path, from being looked at.
* What the platform must hear (ready, the end) is said until it has heard, or says that it knows.
* A platform that is away is asked at every look; after ``unknown_s`` its last word counts no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from gateway.domain.errors import WardgateError
from gateway.domain.network import LinkSeen, ZoneEvent
from gateway.domain.ports import Clock, Counters
from gateway.mec import apps, mobility, rules
from gateway.mec.apps import AppSupport, Operation, PlatformTime
from gateway.mec.bandwidth import Bandwidth
from gateway.mec.callbacks import Callbacks, Told
from gateway.mec.config import BreakoutTable, MecConfig
from gateway.mec.http import PlatformError, ProblemError
from gateway.mec.life import HOLD, Effect, Input, Life, State
from gateway.mec.mobility import Mobility
from gateway.mec.seeing import Seeing, Watchers
from gateway.mec.services import Services
from gateway.notices import Notices
from security.identity import Auditor

log = logging.getLogger(__name__)

CONDITION: Final = "breakout_lost"
FORGETFUL_LOOKS: Final = 15
"""Services, bandwidth and mobility are looked at every so many looks."""
END_TRIES: Final = 5
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
    """The platform's clock was looked at."""
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
        callbacks: Callbacks,
        around: Around,
    ) -> None:
        self._config = config
        self._breakout = breakout
        self._campus = [ipaddress.ip_network(each) for each in breakout.campus]
        self._interfaces = interfaces
        self._callbacks = callbacks
        self._around = around
        self._life = Life()
        self._subscription = ""
        self._owes_ready = False
        self._judged_at = around.clock.monotonic()
        self._timed_at = float("-inf")
        self._looks = 0
        self._said: list[rules.Found] | None = None

    @property
    def state(self) -> State:
        """Where the gateway stands with its platform."""
        return self._life.state

    async def run(self) -> None:
        """Look and listen until the platform ends the gateway, or this is cancelled."""
        await self._feed(Input.GATEWAY_READY)
        while self._life.state is not State.ENDED:
            await self.look()
            try:
                async with asyncio.timeout(self._config.look_s):
                    told = await self._callbacks.told.get()
            except TimeoutError:
                continue
            await self._hear(told)
            await self._hear_all()

    async def _hear_all(self) -> None:
        """What waits besides: a ward that moves must not wait for a look between each of it."""
        with contextlib.suppress(asyncio.QueueEmpty):
            while self._life.state is not State.ENDED:
                await self._hear(self._callbacks.told.get_nowait())

    async def leave(self) -> None:
        """The gateway ends by itself: take back what was announced, if the platform answers."""
        with contextlib.suppress(WardgateError, TimeoutError):
            async with asyncio.timeout(LEAVING_S):
                await self._withdraw()

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
        draining = Effect.DRAIN in await self._feed(Input.TERMINATE)
        if not draining:
            return
        room_s = max(0.0, grace_s - self._config.drain_margin_s)
        looking = asyncio.create_task(self._keep_looking())
        try:
            await self._around.drain(room_s)
        finally:
            looking.cancel()
            await asyncio.wait((looking,))
        await self._feed(Input.DRAINED)
        left_s = max(self._config.timeout_s, grace_s - (self._around.clock.monotonic() - began))
        await self._confirm_end(told.operation_action, left_s)
        self._around.stop()

    async def _keep_looking(self) -> None:
        """What the path does counts while the gateway drains, too."""
        while True:
            await asyncio.sleep(self._config.look_s)
            await self._look_at_path()

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

    async def look(self) -> None:
        """Look at everything once."""
        seeing = self._interfaces.seeing
        await self._guarded("subscription", self._look_at_subscription)
        await self._look_at_path()
        if self._owes_ready:
            await self._guarded("ready", self._confirm_ready)
        now = self._around.clock.monotonic()
        if now - self._timed_at >= self._config.time_s:
            await self._guarded("time", self._look_at_time)
        if self._looks % FORGETFUL_LOOKS == 0:
            await self._guarded("services", self._look_at_services)
            await self._guarded("bandwidth", self._look_at_bandwidth)
            await self._guarded("mobility", self._look_at_mobility)
            await self._guarded("radio", seeing.look_at_links)
            seeing.owed = True
        if seeing.owed:
            await self._guarded("location", seeing.look)
        self._looks += 1

    async def _guarded(self, what: str, look: Callable[[], Awaitable[None]]) -> None:
        """One look, whose failure is counted and keeps nothing else from being looked at."""
        try:
            await look()
        except (PlatformError, ProblemError) as error:
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
            await self._feed(Input.ANEW)

    async def _look_at_path(self) -> None:
        try:
            found = await self._judge()
        except (PlatformError, ProblemError) as error:
            self._around.counters.add("mec_failures", "rules")
            silent_s = self._around.clock.monotonic() - self._judged_at
            if silent_s >= self._config.unknown_s:
                await self._told(Input.PATH_UNKNOWN, None, str(error))
            return
        self._judged_at = self._around.clock.monotonic()
        words = ", ".join(str(each) for each in found)
        await self._told(Input.PATH_BAD if found else Input.PATH_GOOD, found, words)

    async def _judge(self) -> list[rules.Found]:
        """What is wrong with the path, after what can be switched on was."""
        found = await self._rules()
        sleeping = {each.rule for each in found if each.fault is rules.Fault.INACTIVE}
        if not sleeping or not self._breakout.activate:
            return found
        for name in self._breakout.rules:
            if name in sleeping:
                await self._interfaces.apps.activate_traffic_rule(name)
        for name in self._breakout.dns_rules:
            if name in sleeping:
                await self._interfaces.apps.activate_dns_rule(name)
        return await self._rules()

    async def _rules(self) -> list[rules.Found]:
        wanted = self._breakout
        dns = await self._interfaces.apps.dns_rules() if wanted.dns_rules else ()
        return rules.judge(
            await self._interfaces.apps.traffic_rules(),
            dns,
            rules=wanted.rules,
            dns_rules=wanted.dns_rules,
            campus=self._campus,
        )

    async def _told(self, seen: Input, found: list[rules.Found] | None, words: str) -> None:
        """Act on a judgement; a changed one is a line in the log and the audit log."""
        if found != self._said or (seen is Input.PATH_UNKNOWN and self._said is not None):
            self._said = found
            log.warning("local breakout: %s", words or "in force")
            self._around.audit.record(
                "breakout", state=seen.name.removeprefix("PATH_").lower(), detail=words
            )
        await self._feed(seen, words)

    async def _look_at_time(self) -> None:
        clock = self._around.clock
        before = clock.monotonic()
        sent_us = clock.now_us()
        told = await self._interfaces.apps.current_time()
        took_us = round((clock.monotonic() - before) * 1e6)
        self._timed_at = clock.monotonic()
        platform_us = told.seconds * 1_000_000 + told.nano_seconds // 1000
        time = PlatformTime(
            platform_us - (sent_us + took_us // 2),
            took_us // 2,
            told.time_source_status == "TRACEABLE",
        )
        self._around.counters.set("mec_clock_offset_seconds", time.offset_us / 1e6)
        self._around.counters.set("mec_clock_traceable", float(time.traceable))
        self._around.on_time(time)

    async def _look_at_services(self) -> None:
        services = self._interfaces.services
        if services is not None and self._life.state is State.READY:
            await services.ensure()

    async def _look_at_bandwidth(self) -> None:
        if self._interfaces.bandwidth is not None:
            await self._interfaces.bandwidth.ensure()

    async def _look_at_mobility(self) -> None:
        if self._interfaces.mobility is not None:
            await self._interfaces.mobility.ensure()

    # Acting

    async def _feed(self, seen: Input, words: str = "") -> tuple[Effect, ...]:
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
                    await self._guarded("ready", self._confirm_ready)
                    await self._guarded("services", self._look_at_services)
                case Effect.DRAIN | Effect.CONFIRM_END:
                    pass  # by whoever feeds
        return effects

    async def _confirm_ready(self) -> None:
        try:
            await self._interfaces.apps.confirm_ready()
        except ProblemError as error:
            if error.status != 409:  # it is in that state already
                raise
        self._owes_ready = False
        self._around.audit.record("mec_ready")

    async def _confirm_end(self, operation: Operation, left_s: float) -> None:
        result = "not_confirmed"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left_s):
                with contextlib.suppress(WardgateError):
                    await self._withdraw()
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
        found = self._interfaces
        if found.services is not None:
            await found.services.withdraw()
        if found.mobility is not None:
            await found.mobility.withdraw()
        if found.bandwidth is not None:
            await found.bandwidth.give_back()
        await found.seeing.withdraw()
