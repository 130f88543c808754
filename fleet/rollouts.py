"""Keeps and drives the rollout of a policy; what may happen is in :mod:`fleet.rollout`.

One rollout at a time. What is in memory alone (how a gateway was when the soak began, which
refusals are old) is only ever missing: then the soak begins anew, and a refusal counts.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from fleet.monitor import Monitor
from fleet.policies import Policies
from fleet.policy_store import EVERY, PolicyStore
from fleet.registry import Registry
from fleet.rollout import (
    ENDS,
    STEPS,
    Effect,
    Event,
    Rollout,
    Seen,
    State,
    View,
    Wish,
    observe,
    stages_of,
)
from fleet.store import NotKnownError, PreconditionError
from gateway.domain.errors import MalformedError
from gateway.domain.ports import Clock, Counters
from security.identity import Auditor

HOURS_MAX: Final = 24 * 90
SECOND_US: Final = 1_000_000
DAY_S: Final = 86_400.0
REASON_CHARS_MAX: Final = 300
_COLUMNS: Final = (
    "rollout_id, number, stages, skipped, soak_us, wait_us, manual, started_by, started_us, state,"
    " stage, stage_us, since_us, silence_accepted, reason"
)

log = logging.getLogger(__name__)


class Order(NamedTuple):
    """What an operator wants of a rollout."""

    number: int
    wishes: Sequence[Wish]
    soak_s: float
    wait_s: float
    manual: bool


class RolloutStore:
    """Over the fleet's store, on its thread."""

    def __init__(self, kept: PolicyStore) -> None:
        self._kept = kept
        self._db = kept.store.db

    def last(self) -> Rollout | None:
        """The newest one."""
        row = self._db.execute(
            f"SELECT {_COLUMNS} FROM policy_rollouts ORDER BY rollout_id DESC LIMIT 1"  # noqa: S608  # a constant
        ).fetchone()
        return _rollout(row) if row else None

    def begin(self, rollout: Rollout) -> Rollout:
        """Note a new one, and have its first stage told.

        Raises:
            PreconditionError: another one is under way.
        """
        with self._kept.store.transaction():
            last = self.last()
            if last is not None and last.state not in ENDS:
                raise PreconditionError(
                    f"rollout {last.rollout_id} of policy {last.number} is {last.state}: let it"
                    " end, or abort it"
                )
            done = self._db.execute(
                f"INSERT INTO policy_rollouts ({_COLUMNS[12:]})"  # noqa: S608  # a constant
                " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                _columns(rollout)[1:],
            )
            self._kept.want(rollout.stages[0], rollout.number)
            return rollout._replace(rollout_id=int(done.lastrowid or 0))

    def step(self, before: Rollout, event: Event, reason: str, untold: Sequence[str]) -> Rollout:
        """Go on by the table, with what it has gateways told, as one transaction.

        Args:
            before: where it was; when it is elsewhere by now, nothing happens.
            event: what has happened.
            reason: why, for a pause.
            untold: for an abort: gateways that have not taken the policy.

        Raises:
            PreconditionError: not from where it is.
        """
        with self._kept.store.transaction():
            now = self.last()
            found = STEPS.get((now.state, event)) if now is not None else None
            if now is None or found is None or now[8:11] != before[8:11]:
                where = now.state if now else "nowhere"
                raise PreconditionError(f"rollout {before.rollout_id} is {where}")
            (state, effect), now_us = found, self._kept.store.now_us()
            after = now._replace(state=state, since_us=now_us, reason=reason[:REASON_CHARS_MAX])
            if effect is Effect.NEXT:
                after = after._replace(stage=now.stage + 1, stage_us=now_us, silence_accepted=False)
            elif effect is Effect.TELL:
                after = after._replace(stage_us=now_us, silence_accepted=True)
            elif effect is Effect.WITHDRAW:
                self._withdraw(untold)
            if effect in {Effect.NEXT, Effect.TELL}:
                self._kept.want(after.stages[after.stage], after.number)
            self._write(after)
            return after

    def skip(self, gateway: str) -> Rollout:
        """Wait for a gateway no more.

        Raises:
            PreconditionError: no rollout is under way.
            NotKnownError: it is none of its gateways.
        """
        with self._kept.store.transaction():
            now = self.last()
            if now is None or now.state in ENDS:
                raise PreconditionError("no rollout is under way")
            if not any(gateway in stage for stage in now.stages):
                raise NotKnownError(f"{gateway} is not in rollout {now.rollout_id}")
            after = now._replace(skipped=now.skipped | {gateway})
            self._write(after)
            return after

    def _withdraw(self, untold: Sequence[str]) -> None:
        """Have gateways that have not taken the policy keep what they have."""
        theirs = {row.gateway: row.facts.number for row in self._kept.gateways()}
        for name in untold:
            self._kept.want((name,), theirs.get(name, 0))

    def _write(self, after: Rollout) -> None:
        self._db.execute(
            "UPDATE policy_rollouts SET skipped=?, state=?, stage=?, stage_us=?, since_us=?,"
            " silence_accepted=?, reason=? WHERE rollout_id=?",
            (_columns(after)[3], *_columns(after)[9:], after.rollout_id),
        )


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
        self._before: dict[str, View] = {}
        """How the stage's gateways were when the soak began."""
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
                self._before = {name: views[name] for name in rollout.awaited}
            event, reason = seen
            if event is Event.SOAKED:
                event, reason = await self._ahead(rollout)
            try:
                await self._step(rollout, event, reason, "")
            except PreconditionError as error:
                log.info("an operator was quicker: %s", error)

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


def _columns(rollout: Rollout) -> tuple[object, ...]:
    return (
        *rollout[:2],
        json.dumps(rollout.stages),
        json.dumps(sorted(rollout.skipped)),
        *rollout[4:6],
        int(rollout.manual),
        *rollout[7:9],
        str(rollout.state),
        *rollout[10:13],
        int(rollout.silence_accepted),
        rollout.reason,
    )


def _rollout(row: Sequence[Any]) -> Rollout:
    return Rollout._make(
        (
            *row[:2],
            tuple(tuple(stage) for stage in json.loads(row[2])),
            frozenset(json.loads(row[3])),
            *row[4:6],
            bool(row[6]),
            *row[7:9],
            State(row[9]),
            *row[10:13],
            bool(row[13]),
            row[14],
        )
    )
