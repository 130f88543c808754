"""Keeps and drives the rollout of a policy; what may happen is in :mod:`fleet.rollout`.

One rollout at a time. What is in memory alone (how a gateway was when the soak began, which
refusals are old) is only ever missing: then the soak begins anew, and a refusal counts.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from fleet.monitor import Monitor
from fleet.policies import Policies
from fleet.policy_store import EVERY
from fleet.registry import Registry
from fleet.rollout import (
    ENDS,
    Before,
    Event,
    Rollout,
    Seen,
    State,
    View,
    Wish,
    observe,
    remember,
    stages_of,
)
from fleet.rollout_store import RolloutStore
from fleet.store import PreconditionError
from gateway.domain.errors import MalformedError
from gateway.domain.ports import Clock, Counters
from security.identity import Auditor

HOURS_MAX: Final = 24 * 90
SECOND_US: Final = 1_000_000
DAY_S: Final = 86_400.0

log = logging.getLogger(__name__)


class Order(NamedTuple):
    """What an operator wants of a rollout."""

    number: int
    wishes: Sequence[Wish]
    soak_s: float
    wait_s: float
    manual: bool


class Rollouts:
    """On the loop's thread; call :meth:`tick` every second."""

    def __init__(  # its collaborators, each a port
        self,
        policies: Policies,
        registry: Registry,
        monitor: Monitor,
        clock: Clock,
        counters: Counters,
        audit: Auditor,
    ) -> None:
        self._policies = policies
        self._registry = registry
        self._monitor = monitor
        self._clock = clock
        self._counters = counters
        self._audit = audit
        self._kept = RolloutStore(policies.kept)
        self._before: dict[str, Before] = {}
        """How the stage's gateways were when the soak began."""
        self._before_of = (0, 0)
        """Which rollout's stage that is, by its number and when it was told."""
        self._refusals: dict[str, tuple[int, int]] = {}
        """Start and refusals of each gateway when it was told once more: those are over."""

    async def last(self) -> Rollout | None:
        """The newest one."""
        return await self._registry.run(self._kept.last)

    async def start(self, order: Order, by: str) -> Rollout:
        """Begin: the first stage is told at once.

        Raises:
            NotKnownError: no such policy.
            MalformedError: ``rollout``: a stage can't be one.
            PreconditionError: another is under way, or it would widen what nobody agreed to.
        """
        targets = await self._targets(order.number)
        try:
            stages = stages_of(order.number, targets, order.wishes, self._behind)
        except ValueError as error:
            raise MalformedError("rollout", str(error)) from error
        if not 0 <= order.soak_s <= HOURS_MAX * 3600 or not 0 < order.wait_s <= HOURS_MAX * 3600:
            raise MalformedError("rollout", f"soak and wait are at most {HOURS_MAX} hours")
        await self._policies.still_as_approved(order.number, targets)
        now_us = self._clock.now_us()
        rollout = Rollout(
            0,
            order.number,
            stages,
            frozenset(),
            round(order.soak_s * SECOND_US),
            round(order.wait_s * SECOND_US),
            order.manual,
            by,
            now_us,
            State.APPLYING,
            0,
            now_us,
            now_us,
            silence_accepted=False,
            reason="",
        )
        rollout = await self._registry.run(self._kept.begin, rollout)
        self._note_refusals(rollout)
        self._told(rollout, "policy_rollout_started", by)
        await self._policies.load()
        return rollout

    async def control(self, event: Event, by: str) -> Rollout:
        """Pause, resume or abort.

        Raises:
            PreconditionError: not as things are now.
        """
        now = await self.last()
        if now is None:
            raise PreconditionError("there is no rollout")
        if event is Event.RESUME:
            everybody = [name for stage in now.stages for name in stage]
            await self._policies.still_as_approved(now.number, everybody)
        return await self._step(now, event, f"by {by}" if event is not Event.RESUME else "", by)

    async def skip(self, gateway: str, by: str) -> Rollout:
        """Wait for a gateway no more; it is told all the same.

        Raises:
            PreconditionError, NotKnownError: as :meth:`RolloutStore.skip`.
        """
        rollout = await self._registry.run(self._kept.skip, gateway)
        self._audit.record("policy_rollout_skips", by=by, number=rollout.number, gateway=gateway)
        return rollout

    async def tick(self) -> None:
        """Look once."""
        rollout = await self.last()
        paused = rollout is not None and rollout.state is State.PAUSED
        self._counters.set("policy_rollout_paused", float(paused))
        if rollout is None or rollout.state in ENDS:
            return
        views = {name: self.view(name, rollout.number) for name in rollout.told}
        seen = observe(rollout, views, self._before, self._clock.now_us())
        if seen is not None:
            if seen.event is Event.IN_FORCE:
                self._remember(rollout, views)
            event, reason = seen
            if event is Event.SOAKED:
                event, reason = await self._ahead(rollout)
            try:
                await self._step(rollout, event, reason, "")
            except PreconditionError as error:
                log.info("an operator was quicker: %s", error)

    def _remember(self, rollout: Rollout, views: Mapping[str, View]) -> None:
        """A soak begins, or begins anew."""
        stage = (rollout.rollout_id, rollout.stage_us)
        if stage != self._before_of:
            self._before, self._before_of = {}, stage
        self._before = {
            name: remember(self._before.get(name), views[name]) for name in rollout.awaited
        }

    def view(self, gateway: str, number: int) -> View:
        """What is known of a gateway, as far as policy ``number`` goes."""
        state = self._monitor.gateways.get(gateway)
        if state is None:
            return View()
        facts, started_us = state.facts.policy, state.facts.started_us
        refused = facts.refused_reason if facts.refused_number == number else ""
        if self._refusals.get(gateway) == (started_us, facts.refusals):
            refused = ""
        return View(
            heard=self._monitor.is_heard(gateway),
            number=facts.number,
            refusal=refused,
            started_us=started_us,
            released=facts.released,
            withheld=facts.withheld,
            unheard_us=round(self._monitor.unheard_s(gateway) * SECOND_US),
        )

    async def _ahead(self, rollout: Rollout) -> Seen:
        """Whether the next stage may be told: it is as it was when the policy was signed."""
        try:
            await self._policies.still_as_approved(
                rollout.number, rollout.stages[rollout.stage + 1]
            )
        except (PreconditionError, MalformedError) as error:
            return Seen(Event.TROUBLE, str(error))
        return Seen(Event.SOAKED)

    async def _step(self, before: Rollout, event: Event, reason: str, by: str) -> Rollout:
        untold = [
            name
            for name in before.told + sorted(before.skipped)
            if self.view(name, before.number).number != before.number
        ]
        after = await self._registry.run(self._kept.step, before, event, reason, untold)
        if (after.stage, after.stage_us) != (before.stage, before.stage_us):
            self._note_refusals(after)
            await self._policies.tell_again(after.stages[after.stage])
        elif after.state is State.ABORTED:
            await self._policies.load()
        self._told(after, f"policy_rollout_{after.state}", by or "fleet")
        return after

    def _note_refusals(self, rollout: Rollout) -> None:
        """What was refused until now is over for those who are told now."""
        for name in rollout.stages[rollout.stage]:
            state = self._monitor.gateways.get(name)
            if state is not None:
                facts = state.facts
                self._refusals[name] = (facts.started_us, facts.policy.refusals)

    async def _targets(self, number: int) -> list[str]:
        await self._registry.run(self._policies.kept.policy, number)
        named = [
            row.gateway for row in await self._registry.run(self._policies.kept.bundles, number)
        ]
        if EVERY not in named:
            return named
        rows = await self._registry.run(self._policies.kept.gateways)
        return [row.gateway for row in rows if row.facts.schema_sha256]

    def _behind(self, ward: str) -> list[str]:
        devices = self._registry.devices
        return [
            name
            for name, state in self._monitor.gateways.items()
            if any(devices[each].ward == ward for each in state.devices if each in devices)
        ]

    def _told(self, rollout: Rollout, event: str, by: str) -> None:
        level = logging.ERROR if rollout.state is State.PAUSED else logging.INFO
        log.log(
            level,
            "policy %d, stage %d of %d, is %s %s",
            rollout.number,
            rollout.stage + 1,
            len(rollout.stages),
            rollout.state,
            rollout.reason,
        )
        self._audit.record(
            event, by=by, number=rollout.number, stage=rollout.stage + 1, reason=rollout.reason
        )
