"""The alarms' way to the disk: encoded with the state that they change, and again if need be.

The engine's state runs ahead of the disk. What a commit did not take is kept here and committed
again at the next tick, with the present state and in the order in which it happened; until then
newer alarms queue up behind it. Bounded: beyond the limit the oldest records go (their state
does not), and that is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Final, NamedTuple

import msgspec

from gateway.domain.labels import Label
from gateway.domain.ports import Counters, StateDelta
from gateway.domain.records import Alarm, AlarmPhase
from gateway.journal.types import Labelled
from gateway.pipeline.alarms.engine import AlarmEngine, Changes
from gateway.wire.records import encode

_log = logging.getLogger(__name__)

UNSAVED_MAX: Final = 10_000
"""Alarm records kept in memory while the journal takes none: about 10 MB."""


class Outgoing(NamedTuple):
    """Alarms for one commit."""

    alarms: Sequence[Alarm]
    records: list[Labelled]
    deltas: Sequence[StateDelta]


class Outbox:
    """What is on its way to the journal, and what did not arrive.

    Args:
        engine: whose state is committed.
        counters: counts ``alarms``.
        now_us: the wall clock.
        label_of: the label that an alarm has now.
        whose: names the patient of an alarm, as far as that is known.
    """

    def __init__(
        self,
        engine: AlarmEngine,
        counters: Counters,
        now_us: Callable[[], int],
        label_of: Callable[[Alarm], Label],
        whose: Callable[[Alarm], Alarm] = lambda alarm: alarm,
    ) -> None:
        self._engine = engine
        self._counters = counters
        self._now_us = now_us
        self._label_of = label_of
        self._whose = whose
        self._unsaved: list[Alarm] = []
        self._unsaved_keys: dict[str, None] = {}
        self._unsaved_presence: dict[str, None] = {}

    def __bool__(self) -> bool:
        """Whether something did not arrive."""
        return bool(self._unsaved_keys or self._unsaved_presence)

    def take(self, changes: Changes) -> Outgoing | None:
        """What to commit; None when it has to wait behind what did not arrive."""
        self._count(changes.alarms)
        if self._unsaved_keys:
            self._keep(changes.alarms, dict.fromkeys(changes.touched))
            return None
        return self._outgoing(changes.alarms, tuple(chain.from_iterable(changes.touched.values())))

    def catch_up(self, changes: Changes) -> Outgoing:
        """Everything that did not arrive, and what is new."""
        self._count(changes.alarms)
        alarms = [*self._unsaved, *changes.alarms]
        # An END may have arrived ahead of the START that did not: it has to come again.
        newest = {alarm.alarm_id: alarm for alarm in alarms}
        for last in newest.values():
            if last.phase is not AlarmPhase.END and not self._engine.is_active(last):
                end = AlarmPhase.END
                alarms.append(msgspec.structs.replace(last, phase=end, at_us=self._now_us()))
        keys = self._unsaved_keys | dict.fromkeys(changes.touched)
        self._unsaved, self._unsaved_keys = [], {}
        return self._outgoing(alarms, self._engine.current(keys))

    def put_back(self, outgoing: Outgoing) -> None:
        """It did not arrive."""
        self._keep(outgoing.alarms, {delta.key: None for delta in outgoing.deltas})

    def catch_up_presence(self, changes: Changes) -> Sequence[StateDelta]:
        """Who is watched, where that did not arrive, and what is new."""
        keys = self._unsaved_presence | {delta.key: None for delta in changes.presence}
        self._unsaved_presence = {}
        return self._engine.presence(keys)

    def put_back_presence(self, deltas: Sequence[StateDelta]) -> None:
        """It did not arrive."""
        self._unsaved_presence |= {delta.key: None for delta in deltas}

    def _keep(self, alarms: Sequence[Alarm], keys: Mapping[str, None]) -> None:
        self._unsaved += alarms
        self._unsaved_keys |= keys
        excess = len(self._unsaved) - UNSAVED_MAX
        if excess > 0:
            _log.error("the journal takes no alarms: %d records are given up", excess)
            del self._unsaved[:excess]

    def _count(self, alarms: Sequence[Alarm]) -> None:
        for alarm in alarms:
            words = (alarm.priority.name, alarm.phase.name, alarm.source.name)
            self._counters.add("alarms", *(word.lower() for word in words))

    def _outgoing(self, alarms: Sequence[Alarm], deltas: Sequence[StateDelta]) -> Outgoing:
        told = [self._whose(alarm) for alarm in alarms]
        records = [Labelled(self._label_of(alarm), encode(alarm), alarm.codes) for alarm in told]
        return Outgoing(alarms, records, deltas)
