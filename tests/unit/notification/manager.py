"""A desk with a clock that is told to move, and what it was told and found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.domain.records import (
    Alarm,
    AlarmKind,
    AlarmNotification,
    AlarmPhase,
    AlarmPriority,
    AlarmSource,
)
from gateway.notification import statements as said
from gateway.notification.config import NotificationConfig
from gateway.notification.desk import Desk
from gateway.notification.silences import Silence
from gateway.notification.stories import SPACE
from gateway.notification.story import Committed, State
from gateway.pipeline.interpreters import Findings
from gateway.tomlfile import convert, decode
from gateway.wire.records import encode
from tests.fakes import FakeClock, FakeCounters, FakeState

CONFIG = b"""
acknowledged_minutes = 0
[[outlets]]
by = "watch"
name = "screen"
zone = "ward"
ward = "3a"
[[outlets]]
by = "watch"
name = "pager"
zone = "ward"
ward = "3a"
attempts_max = 2
retry_s_min = 1
[[outlets]]
by = "watch"
name = "head"
zone = "campus"
[[groups]]
name = "nurses"
outlets = ["screen"]
[[groups]]
name = "charge"
outlets = ["pager"]
[[groups]]
name = "doctor"
outlets = ["head"]
[[rules]]
name = "ward-3a"
wards = ["3a"]
[[rules.levels]]
groups = ["nurses"]
after_s = { high = 0, medium = 0, low = 0 }
[[rules.levels]]
groups = ["charge"]
after_s = { high = 30, medium = 120 }
[[rules.levels]]
groups = ["doctor"]
after_s = { high = 60 }
"""


def read(document: bytes) -> NotificationConfig:
    return convert(decode(document, "x"), NotificationConfig, base=Path(), where="x")


def alarm(
    alarm_id: str = "a1",
    priority: AlarmPriority = AlarmPriority.HIGH,
    phase: AlarmPhase = AlarmPhase.START,
    at_us: int = 0,
    bed: str = "07",
    condition: str = "hr_high",
    device_id: str = "monitor-1",
) -> Alarm:
    return Alarm(
        alarm_id=alarm_id,
        device_id=device_id,
        provenance=said.GATEWAY,
        priority=priority,
        phase=phase,
        kind=AlarmKind.PHYSIOLOGICAL,
        source=AlarmSource.GATEWAY,
        code=1,
        condition=condition,
        text="heart rate high",
        onset_us=at_us,
        at_us=at_us,
        bed=bed,
    )


class Audit:
    def __init__(self) -> None:
        self.entries: list[tuple[str, dict[str, str | int]]] = []

    def record(self, event: str, **fields: str | int) -> None:
        self.entries.append((event, fields))


class Manager:
    """One desk and its outlets, played by the test."""

    def __init__(self, document: bytes = CONFIG, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.counters = FakeCounters()
        self.audit = Audit()
        self.state = FakeState()
        self.records: list[AlarmNotification] = []
        self.conditions: dict[str, bool] = {}
        self.seq = 0
        self.config = read(document)
        self._start()

    def _start(self) -> None:
        self.desk = Desk(
            self.config, "gw-1", lambda device: "3a" if device else "", self.counters, self.audit
        )
        self.desk.restore(self.state, self.clock.monotonic())

    def restart(self) -> None:
        """A new process: what was committed is all that there is."""
        self._start()

    def say(self, statement: Any) -> None:
        found = Findings()
        self.desk.interpret(statement, self.clock.monotonic(), found)
        self._commit(found)

    def tick(self, seconds: float = 0.0) -> None:
        self.clock.advance(seconds)
        found = Findings()
        self.desk.tick(self.clock.now_us(), self.clock.monotonic(), found)
        self._commit(found)

    def _commit(self, found: Findings) -> None:
        for space, key, value in found.deltas:
            assert space == SPACE
            items = self.state.spaces.setdefault(space, {})
            if value is None:
                items.pop(key, None)
            else:
                items[key] = value
        for key in {delta.key for delta in found.deltas}:
            assert self.state.spaces[SPACE].get(key) == self.desk.value_of(SPACE, key)
        for record in found.records:
            assert isinstance(record, AlarmNotification)
            encode(record)
            self.records.append(record)
        for told in found.conditions:
            self.conditions[told.cause.condition] = told.active

    # what the gateway and people say

    def alarms(self, *alarms: Alarm) -> None:
        committed = []
        for each in alarms:
            self.seq += 1
            committed.append(Committed(each, 2, 3, "v1", 5, self.seq, encode(each)))  # type: ignore[arg-type]
        self.say(said.AlarmsCommitted(**self.at, alarms=tuple(committed), position=self.seq))

    def alarm(self, alarm_id: str = "a1", **more: Any) -> None:
        self.alarms(alarm(alarm_id, at_us=self.clock.now_us(), **more))

    def acknowledge(
        self, alarm_id: str = "a1", n: int = 0, outlet: str = "", by: str = "n"
    ) -> None:
        self.say(
            said.AcknowledgedBy(
                **self.at, alarm_id=alarm_id, n=n, by=by, via=outlet or "cli", outlet=outlet
            )
        )

    def silence(self, minutes: float = 5, **more: Any) -> Silence:
        now = self.clock.now_us()
        fields = {"bed": "07", "device_id": "", "condition": "", "by": "n"} | more
        found = Silence(
            silence_id=f"s{now}", begun_us=now, until_us=now + round(minutes * 60e6), **fields
        )
        self.desk.silences.check(found)
        self.say(said.Silenced(**self.at, silence=found))
        return found

    @property
    def at(self) -> dict[str, Any]:
        return {
            "device_id": "gw-1",
            "provenance": said.GATEWAY,
            "received_us": self.clock.now_us(),
        }

    def state_of(self, alarm_id: str = "a1") -> State:
        """Of an alarm that is held."""
        story = self.desk.stories.get(alarm_id)
        assert story is not None
        return story.state

    def summary_waits(self, outlet: str) -> bool:
        """Whether an outlet is to be told how many wait."""
        return self.desk.telling.queues[outlet].has_summary

    # what outlets do

    def take(self, outlet: str) -> list[tuple[str, int]]:
        """Everything that waits for an outlet, in order: (alarm, n); it is under way then."""
        taken = []
        while (alarm_id := self.desk.telling.queues[outlet].take()) is not None:
            story = self.desk.stories.get(alarm_id)
            assert story is not None
            taken.append((alarm_id, story.told[outlet].n))
        return taken

    def deliver(self, outlet: str) -> list[tuple[str, int]]:
        """As :meth:`take`, and the outlet has them."""
        taken = self.take(outlet)
        for alarm_id, n in taken:
            self.say(said.Delivered(**self.at, outlet=outlet, alarm_id=alarm_id, n=n))
        return taken

    def fail(self, outlet: str, **more: Any) -> list[tuple[str, int]]:
        taken = self.take(outlet)
        for alarm_id, n in taken:
            more = {"reason": "unreachable"} | more
            self.say(said.NotDelivered(**self.at, outlet=outlet, alarm_id=alarm_id, n=n, **more))
        return taken

    def actions(self, alarm_id: str = "a1") -> list[str]:
        found = (each for each in self.records if each.alarm_id == alarm_id)
        return [" ".join(filter(None, (e.action.name.lower(), e.outlet))) for e in found]
