"""Applies a changed configuration to the running gateway: whole, or not at all.

Two ask for it: SIGHUP (the file changed), and the fleet (what it wants over the file changed, or it
brings a signed policy, see :mod:`gateway.policies`). A run reads, checks everything, compares with
what is in force, and refuses what only a restart can apply; then it makes what can fail (policy,
destinations, scrape endpoint, drivers), undoing it when a later step fails; last comes what can't
fail. Sessions of untouched drivers, standing alarms and the backlog stay. Each run is one audit
entry, one line in the log and one word to systemd.

One run at a time; asking meanwhile means one more run (:data:`TABLE`), and of several wishes of
the fleet the newest counts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from enum import Enum, auto
from functools import partial
from typing import Final, NamedTuple

from gateway import changes, desired, preflight
from gateway.changes import Difference
from gateway.config import GatewayConfig, Source, read
from gateway.desired import Desired
from gateway.domain.errors import ConfigError, WardgateError
from gateway.driverset import DriverSet
from gateway.keykeeper import KeyKeeper
from gateway.metrics_http import MetricsPlace
from gateway.outbound import Outbound
from gateway.pipeline.classification import Classification
from gateway.pipeline.config import check_metrics
from gateway.policies import Brought
from gateway.systemd import notify, reloading
from security.identity import Auditor
from security.sealing import KeyRing
from security.tls import TlsContexts

log = logging.getLogger(__name__)

NAMED_CHARS_MAX: Final = 200
"""Of the settings that are named in the log and the audit entry."""


class State(Enum):
    IDLE = auto()
    RUNNING = auto()
    AGAIN = auto()
    """Running, and asked once more."""
    CLOSED = auto()


class Input(Enum):
    ASKED = auto()
    DONE = auto()
    """A run has ended, however."""
    CLOSE = auto()


class Effect(Enum):
    NOTHING = auto()
    RUN = auto()


TABLE: Final[dict[tuple[State, Input], tuple[Effect, State]]] = {
    (State.IDLE, Input.ASKED): (Effect.RUN, State.RUNNING),
    (State.IDLE, Input.DONE): (Effect.NOTHING, State.IDLE),
    (State.IDLE, Input.CLOSE): (Effect.NOTHING, State.CLOSED),
    (State.RUNNING, Input.ASKED): (Effect.NOTHING, State.AGAIN),
    (State.RUNNING, Input.DONE): (Effect.NOTHING, State.IDLE),
    (State.RUNNING, Input.CLOSE): (Effect.NOTHING, State.CLOSED),
    (State.AGAIN, Input.ASKED): (Effect.NOTHING, State.AGAIN),
    (State.AGAIN, Input.DONE): (Effect.RUN, State.RUNNING),
    (State.AGAIN, Input.CLOSE): (Effect.NOTHING, State.CLOSED),
    (State.CLOSED, Input.ASKED): (Effect.NOTHING, State.CLOSED),
    (State.CLOSED, Input.DONE): (Effect.NOTHING, State.CLOSED),
    (State.CLOSED, Input.CLOSE): (Effect.NOTHING, State.CLOSED),
}


class InForce(NamedTuple):
    """What the gateway runs by."""

    source: Source
    desired: Desired
    config: GatewayConfig


class Verdict(NamedTuple):
    """What became of the fleet's wish; ``reason`` is empty when it is in force."""

    version: int
    reason: str


class Parts(NamedTuple):
    """What follows the configuration."""

    drivers: DriverSet
    outbound: Outbound
    tls: TlsContexts
    metrics: MetricsPlace
    classify: Callable[[Classification], None]
    """Label by it from now on; can't fail."""
    keys: KeyKeeper
    follow: Sequence[Callable[[GatewayConfig], None]]
    """Everything else; these can't fail."""
    check: Sequence[Callable[[GatewayConfig], None]] = ()
    """These raise a WardgateError for what ``follow`` could not follow; nothing changes."""


class Reloader:
    """Holds what is in force, and exchanges it.

    Args:
        in_force: what the gateway was started with.
        parts: what follows.
        audit: for one entry per run.
        on_verdict: told what became of each wish of the fleet; None: of a policy.
    """

    def __init__(
        self,
        in_force: InForce,
        parts: Parts,
        audit: Auditor,
        on_verdict: Callable[[Verdict | None], None],
    ) -> None:
        self.in_force = in_force
        self._parts = parts
        self._audit = audit
        self._on_verdict = on_verdict
        self._state = State.IDLE
        self._task: asyncio.Task[None] | None = None
        self._file_changed = False
        self._wish: Desired | None = None
        self._policy: Brought | None = None
        self._signers_changed = False

    def file_changed(self) -> None:
        """SIGHUP: read the file again, soon."""
        self._file_changed = True
        self._feed(Input.ASKED)

    def fleet_wants(self, wish: Desired) -> None:
        """The fleet wants another configuration over the file's."""
        self._wish = wish
        self._feed(Input.ASKED)

    def fleet_brings(self, policy: Brought) -> None:
        """The fleet brings a policy; of several the last one counts."""
        self._policy = policy
        self._feed(Input.ASKED)

    def signers_changed(self) -> None:
        """Another revocation list is in force: the policy's signer may be void."""
        self._signers_changed = True
        self._feed(Input.ASKED)

    async def close(self) -> None:
        """Begin no more runs, and wait for the one that is under way."""
        self._feed(Input.CLOSE)
        if self._task is not None:
            await asyncio.wait((self._task,))

    def _feed(self, seen: Input) -> None:
        effect, self._state = TABLE[self._state, seen]
        if effect is Effect.RUN:
            self._task = asyncio.create_task(self._run(), name="reload")

    async def _run(self) -> None:
        """Do what was asked for until now; what comes meanwhile is the next run's."""
        file_changed, self._file_changed = self._file_changed, False
        wish, self._wish = self._wish, None
        policy, self._policy = self._policy, None
        signers_changed, self._signers_changed = self._signers_changed, False
        status = "A change met a fault, see the log"
        try:
            if signers_changed:
                await self._parts.outbound.signers_changed()
            if file_changed or wish is not None:
                notify(reloading())
            status = await self._take_file() if file_changed else ""
            if wish is not None:
                status = await self._take_wish(wish) or status
            if policy is not None:
                await self._take_policy(policy)
        except Exception:
            # The task's boundary: a fault of ours must not end the gateway, nor later runs.
            log.exception("a fault while a configuration was applied")
        finally:
            if self._state is not State.CLOSED and (file_changed or wish is not None):
                notify(f"READY=1\nSTATUS={status}")
            self._feed(Input.DONE)

    async def _take_file(self) -> str:
        try:
            source = read(self.in_force.source.path)
        except ConfigError as error:
            return self._refused(error, {"by": "file"})
        now = self.in_force
        return await self._take("file", source, now.desired, _nothing)

    async def _take_wish(self, wish: Desired) -> str:
        now = self.in_force
        keep = partial(desired.save, now.config.gateway.state_dir, wish)
        reason = await self._take("fleet", now.source, wish, lambda: asyncio.to_thread(keep))
        self._on_verdict(Verdict(wish.version, reason))
        return reason

    async def _take_policy(self, policy: Brought) -> None:
        await self._parts.outbound.offered(policy.number, policy.encoded)
        self._on_verdict(None)

    async def _take(
        self, by: str, source: Source, wish: Desired, keep: Callable[[], Awaitable[None]]
    ) -> str:
        """Apply, or refuse with a reason."""
        facts: dict[str, str | int] = {
            "by": by,
            "sha256": changes.digest(source.document),
            "fleet_version": wish.version,
        }
        try:
            config = desired.effective(source, wish)
            found = await self._apply(config)
        except (WardgateError, OSError) as error:
            return self._refused(error, facts)
        self.in_force = InForce(source, wish, config)
        try:
            await keep()
        except OSError as error:
            # It applies all the same; after the next start the fleet says it again.
            log.error("the fleet's configuration can't be kept: %s", error)  # noqa: TRY400  # the cause is told
        named = ", ".join(found.settings)[:NAMED_CHARS_MAX] or "nothing but files"
        self._audit.record("reload", result="applied", changed=named, **facts)
        log.info("configuration applied, changed: %s; sha256 %s", named, facts["sha256"])
        return ""

    def _refused(self, error: Exception, facts: Mapping[str, str | int]) -> str:
        reason = " ".join(str(error).split()) or type(error).__name__
        self._audit.record("reload", result="refused", reason=reason, **facts)
        log.error("not applied, the present configuration stays: %s", reason)
        return f"A change was not applied: {reason}"

    async def _apply(self, config: GatewayConfig) -> Difference:
        """Put a configuration in force.

        Raises:
            WardgateError, OSError: nothing of it is.
        """
        running, parts = self.in_force.config, self._parts
        found = changes.difference(running, config)
        changes.require_live(found)
        parts.drivers.check(config.drivers)
        # The drivers are imported by now, and their metrics known.
        await asyncio.to_thread(check_metrics, config.pipeline)
        classification = preflight.classified(config)
        preflight.require_own_certificate(config)
        renew = parts.tls.renewal()
        for check in parts.check:
            await asyncio.to_thread(check, config)
        ring = KeyRing.load(config.gateway.seal_keys)
        outbound = await parts.outbound.prepare(config)
        grace_s = running.gateway.stop_grace_s
        # Not undone when a later step fails: it is the ring's file that says which key seals.
        await asyncio.to_thread(parts.keys.use, ring)
        async with AsyncExitStack() as undo:
            await asyncio.to_thread(parts.metrics.move, config.metrics)
            undo.push_async_callback(asyncio.to_thread, parts.metrics.move, running.metrics)
            await parts.drivers.change(config.drivers, grace_s)
            undo.push_async_callback(parts.drivers.change, running.drivers, grace_s)
            await parts.outbound.commit(outbound)
            undo.pop_all()
        renew()
        parts.classify(classification)
        for follow in parts.follow:
            follow(config)
        return found


async def _nothing() -> None:
    """The file keeps itself."""
