"""What the pipeline's tests share: a committer in memory, and makers of records."""

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, NamedTuple

from gateway.domain import terms
from gateway.domain.ports import Outcome, StateDelta, Submission
from gateway.domain.records import (
    Alarm,
    Attestation,
    Provenance,
    Record,
    Report,
)
from gateway.journal.types import Labelled
from gateway.pipeline.config import PipelineConfig
from gateway.pipeline.intake import Intake
from gateway.pipeline.interpreters import Interpreter
from gateway.wire.records import decode
from tests.fakes import FakeClock, FakeCounters, FakeState

SOURCE = Provenance("mqtt", Attestation.CERTIFICATE)


class Added(NamedTuple):
    alarms: Sequence[Labelled]
    telemetry: Sequence[Labelled]
    alarm_deltas: Sequence[StateDelta]
    telemetry_deltas: Sequence[StateDelta]
    done: Callable[[Outcome], None]
    waves: Sequence[Labelled] = ()


class Fate(NamedTuple):
    """What becomes of each lane's part."""

    alarms: Outcome
    telemetry: Outcome
    waves: Outcome = Outcome.COMMITTED


COMMITTED = Fate(Outcome.COMMITTED, Outcome.COMMITTED)
FULL = Fate(Outcome.COMMITTED, Outcome.FULL)
"""Telemetry's limit is reached; alarms have room."""
OVERLOADED = Fate(Outcome.FULL, Outcome.FULL)
FAILED = Fate(Outcome.FAILED, Outcome.FAILED)


class FakeCommitter:
    """Keeps what is added; ``settle`` decides in order, and applies deltas as a journal does."""

    def __init__(self, automatic: Fate | None = COMMITTED) -> None:
        self.automatic = automatic
        self.waiting: list[Added] = []
        self.alarms: list[Labelled] = []
        self.telemetry: list[Labelled] = []
        self.waves: list[Labelled] = []
        self.state = FakeState()
        self.is_writable = True
        self.resumes: list[Callable[[], None]] = []

    def add(self, alarms, telemetry, alarm_deltas, telemetry_deltas, done, waves=()) -> None:
        self.waiting.append(Added(alarms, telemetry, alarm_deltas, telemetry_deltas, done, waves))
        if self.automatic is not None:
            self.settle(self.automatic)

    def settle(self, fate: Fate = COMMITTED, number: int | None = None) -> None:
        settled = self.waiting[:number]
        del self.waiting[: len(settled)]
        for added in settled:
            outcome = Outcome.COMMITTED
            if added.alarms or added.alarm_deltas:
                outcome = fate.alarms
                if outcome is Outcome.COMMITTED:
                    self.alarms += added.alarms
                    self._apply(added.alarm_deltas)
            if outcome is Outcome.COMMITTED and (added.telemetry or added.telemetry_deltas):
                outcome = fate.telemetry
                if outcome is Outcome.COMMITTED:
                    self.telemetry += added.telemetry
                    self._apply(added.telemetry_deltas)
            if outcome is Outcome.COMMITTED and added.waves:
                outcome = fate.waves
                if outcome is Outcome.COMMITTED:
                    self.waves += added.waves
            added.done(outcome)

    def _apply(self, deltas: Sequence[StateDelta]) -> None:
        for space, key, value in deltas:
            if value is None:
                self.state.spaces.setdefault(space, {}).pop(key, None)
            else:
                self.state.spaces.setdefault(space, {})[key] = value

    def writable(self) -> bool:
        return self.is_writable

    def when_writable(self, resume: Callable[[], None]) -> None:
        self.resumes.append(resume)

    @property
    def alarm_records(self) -> list[Alarm]:
        records = [decode(item.encoded) for item in self.alarms]
        assert all(isinstance(record, Alarm) for record in records)
        return records  # type: ignore[return-value]

    @property
    def records(self) -> list[Record]:
        return [decode(item.encoded) for item in self.telemetry]

    @property
    def reports(self) -> list[Report]:
        return [record for record in self.records if isinstance(record, Report)]


def counting_bytes(first: int = 0) -> Callable[[int], bytes]:
    """Stands in for os.urandom: distinct, and the same in each run."""
    numbers = count(first)
    return lambda size: next(numbers).to_bytes(size, "big")


class Bench:
    """An intake with everything fake around it."""

    def __init__(
        self,
        config: PipelineConfig | None = None,
        automatic: Fate | None = COMMITTED,
        state: FakeState | None = None,
        clock: FakeClock | None = None,
        first_id: int = 0,
        interpreters: Sequence[Interpreter] = (),
    ) -> None:
        self.clock = clock or FakeClock()
        self._counters = FakeCounters()
        self.committer = FakeCommitter(automatic)
        self.intake = Intake(
            config or PipelineConfig(),
            self.committer,
            self.clock,
            self._counters,
            counting_bytes(first_id),
            interpreters=interpreters,
        )
        if state is not None:
            self.committer.state = state
            self.intake.restore(state)
        self.outcomes: list[Outcome] = []

    @property
    def counters(self) -> FakeCounters:
        self.intake.flush()
        return self._counters

    def submit(
        self,
        *records,
        deltas: Sequence[StateDelta] = (),
        alarm_deltas: Sequence[StateDelta] = (),
    ) -> None:
        self.intake.submit(Submission(records, self.outcomes.append, deltas, alarm_deltas))

    def vitals(self, values: dict[int, float], **fields) -> Report:
        return self.report("vitals", values, **fields)

    def report(self, kind: str, values: dict[int, float], **given) -> Report:
        fields: dict[str, Any] = {
            "device_id": "monitor-1",
            "received_us": self.clock.now_us(),
        }
        fields |= given
        return Report(
            kind=kind,
            provenance=SOURCE,
            codes=tuple(values),
            values=tuple(values.values()),
            **fields,
        )

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.intake.tick()

    def phases(self, condition: str | None = None) -> list[str]:
        return [
            f"{alarm.condition} {alarm.phase.name}"
            for alarm in self.committer.alarm_records
            if condition in (None, alarm.condition)
        ]


GOOD = {terms.HEART_RATE: 72.0, terms.SPO2: 98.0, terms.RESP_RATE: 16.0}
DRIP = {
    terms.FLOW_RATE: 100.0,
    terms.PROGRAMMED_RATE: 100.0,
    terms.VOLUME_REMAINING: 300.0,
    terms.VOLUME_TO_BE_INFUSED: 500.0,
    terms.DROP_RATE: 33.0,
    terms.DROP_FACTOR: 20.0,
}
