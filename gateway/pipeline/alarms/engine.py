"""Runs the rules against the state, and makes the Alarm records.

One engine per gateway, on the event loop. It holds only what is PENDING or ACTIVE: a report of
a device with neither, whose values are comfortably inside their limits, costs one look-up.
Everything it decides is put into :class:`Changes`; the intake commits them. State in memory runs
ahead of the disk: what a failed commit left behind is committed again by the intake.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from gateway.domain.decoding import UNDECODABLE
from gateway.domain.ports import StateDelta, StateView
from gateway.domain.records import (
    Alarm,
    AlarmChange,
    AlarmPhase,
    AlarmPriority,
    AlarmSnapshot,
    AlarmSource,
    Attestation,
    DeviceAlarm,
    Provenance,
    Report,
)
from gateway.pipeline import plan as plans
from gateway.pipeline.alarms import drip, rules, silence, state
from gateway.pipeline.alarms.order import Order
from gateway.pipeline.alarms.rules import Readings, Sight
from gateway.pipeline.alarms.state import Cause, Context, Effect, Held, Input, State
from gateway.pipeline.config import PRIORITIES, PipelineConfig
from gateway.pipeline.plan import Plan

_log = logging.getLogger(__name__)

DEVICE_ALARMS_MAX: Final = 64
"""Conditions of its own that one device may show at once; the rest of a snapshot is cut."""
CHANGES_PER_DEVICE: Final = 4
"""Conditions whose last change is remembered, on average."""
ALARM_ID_BYTES: Final = 12
DELAYS_MIN: Final = 1024
"""Entries in the heap of delays before dead ones are looked for."""
GATEWAY: Final = Provenance("gateway", Attestation.GATEWAY)

_NO_HOLDS: Mapping[str, Held] = {}


class Changes:
    """What a submission or a tick did to the alarms."""

    __slots__ = ("alarms", "presence", "touched")

    def __init__(self) -> None:
        self.alarms: list[Alarm] = []
        self.touched: dict[str, tuple[StateDelta, ...]] = {}
        """Newest state of each condition that these alarms changed, by its key."""
        self.presence: list[StateDelta] = []
        """Goes with the telemetry: it belongs to the reports that were heard."""

    def __bool__(self) -> bool:
        return bool(self.alarms or self.presence)


class AlarmEngine:
    """Alarm conditions of every device.

    Args:
        config: checked.
        random_bytes: as :func:`os.urandom`; alarm ids say nothing about the device.
        told: conditions of the gateway's that interpreters tell (:meth:`condition`).
    """

    def __init__(
        self,
        config: PipelineConfig,
        random_bytes: Callable[[int], bytes],
        told: frozenset[str] = frozenset(),
    ) -> None:
        self._told = told
        self._random = random_bytes
        self._held: dict[str, dict[str, Held]] = {}
        self._delays: list[tuple[float, int, Held]] = []
        self._delays_max = DELAYS_MIN
        self._delay_count = 0
        self._orphans: list[Held] = []
        self._doubted: set[str] = set()
        """Conditions of limits that may be gone for their kind of report, by full key."""
        self._use(config)
        self._silence = silence.Silence(config.devices_max)
        self._order = Order(config.duplicates.window, config.devices_max * CHANGES_PER_DEVICE)
        self._unwatched_logged = False
        self.active = dict.fromkeys(AlarmPriority, 0)
        """ACTIVE conditions by priority."""

    def _use(self, config: PipelineConfig) -> None:
        self._config = config
        self._known = plans.conditions(config)
        if config.drip.enabled:
            self._known |= drip.CONDITIONS

    def follow(self, config: PipelineConfig, changes: Changes) -> None:
        """Go on under changed rules.

        What stands keeps standing and is judged anew by the device's next report; what no rule
        knows any more ends at the next tick. Delays that run keep their end.
        """
        self._use(config)
        for watch in self._silence.follow(self._timeout_s):
            changes.presence.append(silence.presence(watch))
        for conditions in self._held.values():
            for held in conditions.values():
                if not held.cause.condition.startswith(silence.condition_of("")):
                    self._adopt(held)
                elif self._silence.find(held.device_id, _kind_of(held)) is None:
                    self._orphans.append(held)

    # What happens to a device

    def holds(self, device_id: str) -> bool:
        """Whether any condition of the device is PENDING or ACTIVE."""
        return device_id in self._held

    def standing(self, device_id: str) -> list[Held]:
        """The device's ACTIVE conditions."""
        held = self._held.get(device_id, _NO_HOLDS).values()
        return [each for each in held if each.state is State.ACTIVE]

    def devices_with(self, priority: AlarmPriority) -> list[str]:
        """Devices with an ACTIVE condition at least so grave; for who asks now and then."""
        if not any(count for each, count in self.active.items() if each >= priority):
            return []
        return [
            name
            for name in self._held
            if any(each.cause.priority >= priority for each in self.standing(name))
        ]

    def heard(self, report: Report, mono: float, changes: Changes) -> None:
        """A report came, whatever is in it."""
        watch = self._silence.find(report.device_id, report.kind)
        if watch is None:
            self._watch(report, mono, changes)
            return
        watch.heard = mono
        watch.bed = report.bed
        if watch.silent:
            self._silence.heard_again(watch)
            context = _context(report, mono)
            key = state.key_of(AlarmSource.GATEWAY, silence.condition_of(watch.kind))
            self._apply(context, Sight(key, Input.INSIDE), changes)

    def report(
        self, report: Report, plan: Plan, readings: Readings, mono: float, changes: Changes
    ) -> None:
        """Run the rules over a report that is not calm, or whose device holds conditions."""
        holds = self._held.get(report.device_id, _NO_HOLDS)
        sights = list(rules.limits(plan, readings, holds))
        if self._doubted and holds:
            sights += self._unruled(plan, readings, holds)
        if plan.drip is not None:
            infusion = drip.infusion(plan.drip, readings)
            if holds or not drip.calm(self._config.drip, infusion):
                sights += drip.sights(self._config.drip, infusion, holds)
        if sights:
            context = _context(report, mono)
            for sight in sights:
                self._judge(context, sight, changes)

    def _unruled(self, plan: Plan, readings: Readings, holds: Mapping[str, Held]) -> list[Sight]:
        """Conditions without a limit any more in the kind of report that tells their metric."""
        ruled = {side.condition for side in plan.sides}
        gone = []
        for key, held in holds.items():
            full, cause = _full(held.device_id, key), held.cause
            if full in self._doubted and set(cause.codes) & set(readings.codes):
                self._doubted.discard(full)
                if cause.condition not in ruled:
                    gone.append(Sight(key, Input.GONE))
        return gone

    def snapshot(self, snapshot: AlarmSnapshot, mono: float, changes: Changes) -> None:
        """Compare what a device shows with what it showed before."""
        if not snapshot.alarms and snapshot.device_id not in self._held:
            return
        context = Context(
            snapshot.device_id,
            snapshot.bed,
            snapshot.provenance,
            snapshot.received_us,
            mono,
            snapshot.message_id,
        )
        shown = {}
        for alarm in snapshot.alarms[:DEVICE_ALARMS_MAX]:
            cause = _shown(alarm)
            shown[cause.key] = cause
        for key, held in tuple(self._held.get(snapshot.device_id, _NO_HOLDS).items()):
            if held.cause.source is AlarmSource.DEVICE and key not in shown:
                self._judge(context, Sight(key, Input.INSIDE), changes)
        for key, cause in shown.items():
            self._judge(context, Sight(key, Input.CROSSED, cause), changes)

    def change(self, change: AlarmChange, mono: float, changes: Changes) -> None:
        """A device says of one condition that it stands, or has ended."""
        alarm = change.alarm
        own = self._held.get(change.device_id, _NO_HOLDS)
        key = state.key_of(AlarmSource.DEVICE, alarm.condition)
        if key not in own and (not change.present or len(own) >= DEVICE_ALARMS_MAX):
            return
        context = Context(
            change.device_id,
            change.bed,
            change.provenance,
            change.received_us,
            mono,
            change.message_id,
            change.onset_us,
        )
        cause = _shown(alarm)
        seen = Input.CROSSED if change.present else Input.INSIDE
        self._judge(context, Sight(key, seen, cause), changes)

    def condition(self, context: Context, cause: Cause, changes: Changes, *, active: bool) -> None:
        """An interpreter says of one of its conditions whether it stands; repeating is no news."""
        self._apply(
            context, Sight(cause.key, Input.CROSSED if active else Input.GONE, cause), changes
        )

    def sign_off(self, device_id: str, at_us: int, mono: float, changes: Changes) -> None:
        """The device was switched off properly, or retired: all its conditions end."""
        for key, held in tuple(self._held.get(device_id, _NO_HOLDS).items()):
            context = Context(device_id, held.bed, held.provenance, at_us, mono)
            self._apply(context, Sight(key, Input.GONE), changes)
        changes.presence += map(silence.presence, self._silence.end(device_id))

    def tick(self, at_us: int, mono: float, changes: Changes) -> None:
        """Raise what has waited long enough and who has been silent long enough."""
        for held in self._orphans:
            context = Context(held.device_id, held.bed, held.provenance, at_us, mono)
            self._apply(context, Sight(held.cause.key, Input.GONE), changes)
        self._orphans = []
        while self._delays and self._delays[0][0] <= mono:
            entry = heapq.heappop(self._delays)
            held = entry[2]
            if self._is_pending(entry):
                context = Context(held.device_id, held.bed, held.provenance, at_us, mono)
                self._apply(context, Sight(held.cause.key, Input.ELAPSED), changes)
        priority = PRIORITIES[self._config.silence.priority]
        for watch in self._silence.due(mono):
            context = Context(watch.device_id, watch.bed, GATEWAY, at_us, mono)
            cause = silence.cause_of(watch, priority)
            self._apply(context, Sight(cause.key, Input.CROSSED, cause), changes)

    # Across a restart

    def restore(self, view: StateView, mono: float) -> None:
        """Take over what was committed. Conditions whose rule is gone end at the next tick.

        Entries that can't be read are left out and logged: one of them must not keep the
        gateway from starting.
        """
        for key, value in view.items(silence.SPACE).items():
            try:
                watch = silence.revive(value, 0.0)
            except UNDECODABLE:
                _log.error("a watched device's state can't be read (key of %d bytes)", len(key))
                continue
            watch.timeout_s = self._timeout_s(watch.kind)
            if watch.timeout_s > 0:
                self._silence.begin(watch, mono, self._config.silence.restart_grace_s)
        self._order.restore(view)
        for key, value in view.items(state.SPACE).items():
            try:
                held = state.revive(value)
            except UNDECODABLE:
                _log.error("an alarm's state can't be read (key of %d bytes)", len(key))
                continue
            self._held.setdefault(held.device_id, {})[held.cause.key] = held
            self.active[held.cause.priority] += 1
            self._adopt(held)

    def _adopt(self, held: Held) -> None:
        """Tie a condition to its watch or its rule."""
        cause = held.cause
        if cause.source is AlarmSource.DEVICE:
            return
        if cause.condition.partition("/")[0] in self._told:
            return
        if cause.condition in self._known:
            if cause.condition not in drip.CONDITIONS:
                self._doubted.add(_full(held.device_id, cause.key))
            return
        watch = self._silence.find(held.device_id, _kind_of(held))
        if silence.is_silence(cause.condition) and watch is not None:
            watch.silent = True
        else:
            self._orphans.append(held)

    def current(self, keys: Iterable[str]) -> list[StateDelta]:
        """The present state of conditions, by the keys of :attr:`Changes.touched`."""
        deltas: list[StateDelta] = []
        for full in keys:
            device_id, _, key = full.partition("\n")
            held = self._held.get(device_id, _NO_HOLDS).get(key)
            active = held is not None and held.state is State.ACTIVE
            value = state.persist(held) if held is not None and active else None
            deltas += (StateDelta(state.SPACE, full, value), self._order.delta(full))
        return deltas

    def is_active(self, alarm: Alarm) -> bool:
        """Whether an alarm that the engine made has not ended."""
        key = state.key_of(alarm.source, alarm.condition)
        held = self._held.get(alarm.device_id, _NO_HOLDS).get(key)
        return held is not None and held.alarm_id == alarm.alarm_id

    def presence(self, keys: Iterable[str]) -> list[StateDelta]:
        """Who is watched at present, by the keys of :attr:`Changes.presence`."""
        return [self._silence.presence(key) for key in keys]

    # The state machine

    def _judge(self, context: Context, sight: Sight, changes: Changes) -> None:
        """Apply what a message says of a condition, unless it comes late."""
        if not self._order.is_old(_full(context.device_id, sight.key), context.message_id):
            self._apply(context, sight, changes)

    def _apply(self, context: Context, sight: Sight, changes: Changes) -> None:
        """Feed one sight into the table and do what it says."""
        conditions = self._held.get(context.device_id)
        held = None if conditions is None else conditions.get(sight.key)
        seen, cause = sight.input, sight.cause
        if held is not None and cause is not None and seen is Input.CROSSED:
            seen = Input.CROSSED if cause.priority == held.cause.priority else Input.CHANGED
        effect, _ = state.TABLE[(State.QUIET if held is None else held.state, seen)]
        if held is None:
            if effect is Effect.BEGIN and cause is not None:
                self._begin(context, cause, changes)
        elif effect is Effect.REFRESH and cause is not None:
            self._refresh(context, held, cause, changes)
        elif effect is Effect.UPDATE and cause is not None:
            self._update(context, held, cause, changes)
        elif effect is Effect.RAISE:
            self._raise(context, held, changes)
        elif effect is Effect.CANCEL:
            self._drop(held)
        elif effect is Effect.END:
            self._end(context, held, changes)

    def _begin(self, context: Context, cause: Cause, changes: Changes) -> None:
        held = Held(context, cause)
        if cause.source is AlarmSource.GATEWAY:
            held.provenance = GATEWAY
        self._held.setdefault(context.device_id, {})[cause.key] = held
        if held.deadline > context.mono:
            self._push(held)
        else:
            self._apply(context, Sight(cause.key, Input.ELAPSED), changes)

    def _refresh(self, context: Context, held: Held, cause: Cause, changes: Changes) -> None:
        deadline = held.deadline
        if cause.priority > held.cause.priority:
            held.deadline = min(deadline, context.mono + cause.delay_s)
        held.cause = cause
        held.message_id = context.message_id
        if held.deadline <= context.mono:
            self._apply(context, Sight(cause.key, Input.ELAPSED), changes)
        elif held.deadline < deadline:
            self._push(held)

    def _raise(self, context: Context, held: Held, changes: Changes) -> None:
        held.alarm_id = self._random(ALARM_ID_BYTES).hex()
        self.active[held.cause.priority] += 1
        self._record(context, held, AlarmPhase.START, changes)

    def _update(self, context: Context, held: Held, cause: Cause, changes: Changes) -> None:
        self.active[held.cause.priority] -= 1
        self.active[cause.priority] += 1
        held.cause = cause
        self._record(context, held, AlarmPhase.UPDATE, changes)

    def _end(self, context: Context, held: Held, changes: Changes) -> None:
        self.active[held.cause.priority] -= 1
        self._drop(held)
        self._record(context, held, AlarmPhase.END, changes)

    def _drop(self, held: Held) -> None:
        conditions = self._held[held.device_id]
        del conditions[held.cause.key]
        self._doubted.discard(_full(held.device_id, held.cause.key))
        if not conditions:
            del self._held[held.device_id]

    def _push(self, held: Held) -> None:
        if len(self._delays) >= self._delays_max:
            # Values that flicker leave dead entries behind: keep the living ones.
            living = [entry for entry in self._delays if self._is_pending(entry)]
            heapq.heapify(living)
            self._delays = living
            self._delays_max = max(DELAYS_MIN, 2 * len(living))
        self._delay_count += 1
        heapq.heappush(self._delays, (held.deadline, self._delay_count, held))

    def _is_pending(self, entry: tuple[float, int, Held]) -> bool:
        deadline, _, held = entry
        mine = self._held.get(held.device_id, _NO_HOLDS).get(held.cause.key)
        return mine is held and held.deadline == deadline and held.state is State.PENDING

    def _record(self, context: Context, held: Held, phase: AlarmPhase, changes: Changes) -> None:
        cause = held.cause
        message_id = context.message_id
        if phase is AlarmPhase.START and not message_id:
            message_id = held.message_id  # the report that began the delay
        changes.alarms.append(
            Alarm(
                alarm_id=held.alarm_id,
                device_id=held.device_id,
                provenance=held.provenance,
                priority=cause.priority,
                phase=phase,
                kind=cause.kind,
                source=cause.source,
                code=cause.code,
                condition=cause.condition,
                text=cause.text,
                onset_us=held.onset_us,
                at_us=context.at_us,
                bed=held.bed,
                message_id=message_id,
                codes=cause.codes,
                values=cause.values,
                limit=cause.limit,
            )
        )
        key = _full(held.device_id, cause.key)
        value = None if phase is AlarmPhase.END else state.persist(held)
        forgotten = self._order.changed(key, message_id)
        if forgotten:
            changes.touched[forgotten] = tuple(self.current((forgotten,)))
        changes.touched[key] = (StateDelta(state.SPACE, key, value), self._order.delta(key))

    # Silence

    def _timeout_s(self, kind: str) -> float:
        rule = self._config.silence
        interval_s = self._config.interval_s(kind)
        return max(rule.seconds_min, rule.intervals * interval_s) if interval_s > 0 else 0.0

    def _watch(self, report: Report, mono: float, changes: Changes) -> None:
        timeout_s = self._timeout_s(report.kind)
        if timeout_s <= 0:
            return
        watch = silence.Watch(report.device_id, report.kind, report.bed, timeout_s)
        if self._silence.begin(watch, mono):
            changes.presence.append(silence.presence(watch))
        elif not self._unwatched_logged:
            self._unwatched_logged = True
            _log.warning("too many devices or kinds: some are not watched for silence")


def _full(device_id: str, key: str) -> str:
    """A condition's key among those of all devices."""
    return f"{device_id}\n{key}"


def _shown(alarm: DeviceAlarm) -> Cause:
    """A condition that a device shows, as the table takes it."""
    return Cause(
        alarm.condition,
        alarm.code,
        alarm.kind,
        AlarmSource.DEVICE,
        alarm.priority,
        alarm.text,
        alarm.limit,
        alarm.codes,
        alarm.values,
    )


def _kind_of(held: Held) -> str:
    """Of a silence: the kind of report that is missed."""
    return held.cause.condition.removeprefix(silence.condition_of(""))


def _context(report: Report, mono: float) -> Context:
    return Context(
        report.device_id,
        report.bed,
        report.provenance,
        report.received_us,
        mono,
        report.message_id,
    )
