"""Whatever devices repeat and however commits end: acknowledged is stored, and stored is once."""

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.domain.ports import Outcome, Submission
from gateway.domain.records import (
    AlarmKind,
    AlarmPriority,
    AlarmSnapshot,
    DeviceAlarm,
    DeviceState,
    DeviceStatus,
    Report,
)
from gateway.pipeline.config import PipelineConfig
from tests.unit.pipeline.support import (
    COMMITTED,
    FAILED,
    FULL,
    GOOD,
    OVERLOADED,
    SOURCE,
    Bench,
    Fate,
)

LEADS_OFF = DeviceAlarm("leads_off", 1, AlarmPriority.LOW, AlarmKind.TECHNICAL, "LEADS OFF")
NUMBERS = 4
numbers = st.integers(0, NUMBERS - 1)
shapes = st.sampled_from(["report", "report and snapshot", "snapshot and report", "both"])


class Devices(RuleBasedStateMachine):
    """Two devices number their messages and repeat any of them at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(PipelineConfig(limits={}), automatic=None)
        self.acknowledged: set[tuple[str, str]] = set()
        self.answers = 0
        self.submitted = 0

    def message(self, device, n, shape):
        """A message always has the same shape when it is repeated."""
        now, message_id = self.bench.clock.now_us(), f"5f:{n}"
        report = self.bench.vitals(GOOD, device_id=device, message_id=message_id)
        alarms = (LEADS_OFF,) if n % 2 else ()
        snapshot = AlarmSnapshot(device, SOURCE, now, alarms, message_id=message_id)
        status = DeviceStatus(
            device, "m", SOURCE, now, DeviceState.ONLINE, "status", message_id=message_id
        )
        return {
            "report": [report],
            "report and snapshot": [report, snapshot],
            "snapshot and report": [snapshot, report],
            "both": [report, status],
        }[shape]

    @rule(
        messages=st.lists(
            st.tuples(st.sampled_from(["monitor-1", "monitor-2"]), numbers, shapes),
            min_size=1,
            max_size=4,
        )
    )
    def sends(self, messages):
        records = [record for each in messages for record in self.message(*each)]
        ids = {(device, f"5f:{n}") for device, n, _ in messages}
        place, self.submitted = self.submitted, self.submitted + 1

        def done(outcome):
            assert place == self.answers, "answers come in the order of submission"
            self.answers += 1
            if outcome is Outcome.COMMITTED:
                self.acknowledged |= ids

        self.bench.intake.submit(Submission(records, done))

    @rule(
        fate=st.sampled_from(
            [COMMITTED, COMMITTED, FULL, FAILED, OVERLOADED, Fate(Outcome.FULL, Outcome.COMMITTED)]
        ),
        number=st.integers(1, 4),
    )
    def commits(self, fate, number):
        self.bench.committer.settle(fate, number)

    @rule()
    def ticks(self):
        self.bench.wait(0.5)

    def stored(self):
        return Counter(
            (report.device_id, report.message_id)
            for report in self.bench.committer.records
            if isinstance(report, Report)
        )

    @invariant()
    def acknowledged_is_stored_and_stored_is_once(self):
        stored = self.stored()
        assert self.acknowledged <= set(stored)
        assert set(stored.values()) <= {1}

    def teardown(self):
        """Once the journal works, every message gets there."""
        self.bench.committer.settle(COMMITTED)
        self.bench.committer.automatic = COMMITTED
        for device in ("monitor-1", "monitor-2"):
            for n in range(NUMBERS):
                self.sends([(device, n, "report")])
        assert self.answers == self.submitted
        assert len(self.acknowledged) == 2 * NUMBERS
        self.acknowledged_is_stored_and_stored_is_once()
        known = self.bench.intake.duplicates._devices.values()
        assert not any(device.busy() for device in known)


Devices.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
test_devices = Devices.TestCase
