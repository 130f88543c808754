"""Every state meets every input; and whatever happens, the records tell one story per alarm."""

from collections import defaultdict
from itertools import pairwise, product

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.domain import terms
from gateway.domain.records import (
    Alarm,
    AlarmKind,
    AlarmPhase,
    AlarmPriority,
    AlarmSnapshot,
    DeviceAlarm,
    DeviceState,
    DeviceStatus,
)
from gateway.pipeline.alarms.state import TABLE, Effect, Input, State
from gateway.pipeline.alarms.state import revive as revive_alarm
from gateway.pipeline.config import KindConfig, Limits, PipelineConfig
from tests.unit.pipeline.support import (
    COMMITTED,
    DRIP,
    FAILED,
    FULL,
    OVERLOADED,
    SOURCE,
    Bench,
    Fate,
)


def test_the_table_has_a_row_for_every_state_and_input():
    assert set(TABLE) == set(product(State, Input))


@pytest.mark.parametrize(("state", "seen"), sorted(TABLE, key=str))
def test_effects_lead_where_they_say(state, seen):
    effect, after = TABLE[(state, seen)]
    if effect is Effect.NOTHING:
        assert after is state
    assert (after is State.ACTIVE) == (
        effect in (Effect.RAISE, Effect.UPDATE)
        or (state is State.ACTIVE and effect is Effect.NOTHING)
    )
    if seen is Input.UNKNOWN:
        assert effect is Effect.NOTHING


CONFIG = PipelineConfig(
    kinds={"vitals": KindConfig(interval_s=1.0), "drip": KindConfig(interval_s=5.0)},
    limits={
        "MDC_ECG_HEART_RATE": Limits(50, 120, 40, 150, hysteresis=5, delay_s=4, critical_delay_s=2),
        "MDC_PRESS_BLD_NONINV_SYS": Limits(90, 160, delay_s=0),
    },
)
SHOWN = [
    DeviceAlarm("leads_off", 1, AlarmPriority.LOW, AlarmKind.TECHNICAL, "LEADS OFF"),
    DeviceAlarm("leads_off", 1, AlarmPriority.HIGH, AlarmKind.TECHNICAL, "LEADS OFF"),
    DeviceAlarm("hr_high", 2, AlarmPriority.HIGH, AlarmKind.PHYSIOLOGICAL, "*** HR"),
]
devices = st.sampled_from(["monitor-1", "monitor-2"])


class Ward(RuleBasedStateMachine):
    """Devices say anything, commits end in any way, and the gateway restarts at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(CONFIG, automatic=None)
        self.earlier: list[Alarm] = []
        self.restarts = 0
        self.automatic: Fate | None = None
        self.failed = False

    @initialize(fate=st.sampled_from([COMMITTED, COMMITTED, FULL, None]))
    def the_journal(self, fate):
        """Commits at once, or with delay and in any way."""
        self.automatic = self.bench.committer.automatic = fate

    @rule(
        device=devices,
        hr=st.sampled_from([0.0, 38.0, 43.0, 48.0, 53.0, 80.0, 117.0, 122.0, 147.0, 152.0, 999.0]),
        nibp=st.sampled_from([0.0, 80.0, 120.0, 170.0]),
    )
    def vitals(self, device, hr, nibp):
        values = {terms.HEART_RATE: hr, terms.NIBP_SYS: nibp}
        self.bench.submit(self.bench.vitals(values, device_id=device))

    @rule(
        flow=st.sampled_from([0.0, 60.0, 80.0, 86.0, 100.0, 114.0, 120.0, 140.0, 9999.0]),
        left=st.sampled_from([0.0, 4.0, 20.0, 52.0, 300.0]),
        prescribed=st.sampled_from([0.0, 100.0]),
    )
    def drip(self, flow, left, prescribed):
        values = {
            **DRIP,
            terms.FLOW_RATE: flow,
            terms.VOLUME_REMAINING: left,
            terms.PROGRAMMED_RATE: prescribed,
        }
        self.bench.submit(self.bench.report("drip", values, device_id="drip-1"))

    @rule(device=devices, alarms=st.lists(st.sampled_from(SHOWN), max_size=3))
    def shows(self, device, alarms):
        now = self.bench.clock.now_us()
        self.bench.submit(AlarmSnapshot(device, SOURCE, now, tuple(alarms)))

    @rule(device=devices, reason=st.sampled_from(["disconnected", "last_will"]))
    def leaves(self, device, reason):
        now = self.bench.clock.now_us()
        state = DeviceState.OFFLINE
        self.bench.submit(DeviceStatus(device, "monitor", SOURCE, now, state, reason))

    @rule(device=devices)
    def retired(self, device):
        self.bench.intake.retire(device)

    @rule(seconds=st.sampled_from([0.5, 2.0, 5.0, 20.0, 60.0]))
    def time_passes(self, seconds):
        self.bench.wait(seconds)

    @rule(
        fate=st.sampled_from([COMMITTED, COMMITTED, FULL, FAILED, OVERLOADED]),
        number=st.integers(1, 3),
    )
    def commits(self, fate, number):
        self.failed |= fate in (FAILED, OVERLOADED)
        self.bench.committer.settle(fate, number)

    @precondition(lambda self: not self.failed)
    @rule()
    def gateway_restarts(self):
        """What was on its way is lost, unacknowledged; what was committed is there."""
        self.earlier += self.bench.committer.alarm_records
        self.restarts += 1
        clock, state = self.bench.clock, self.bench.committer.state
        first_id = self.restarts * 1_000_000
        self.bench = Bench(CONFIG, self.automatic, state, clock, first_id)

    def records(self):
        return self.earlier + self.bench.committer.alarm_records

    def settle(self):
        while self.bench.committer.waiting:
            self.bench.committer.settle(COMMITTED)
        self.bench.intake.tick()
        self.bench.committer.settle(COMMITTED)

    @invariant()
    def each_alarm_is_one_story(self):
        if self.failed:
            return
        stories = defaultdict(list)
        for alarm in self.records():
            stories[alarm.alarm_id].append(alarm)
        for story in stories.values():
            phases = [alarm.phase for alarm in story]
            assert phases[0] is AlarmPhase.START
            assert AlarmPhase.START not in phases[1:]
            assert AlarmPhase.END not in phases[:-1]
            for before, after in pairwise(story):
                if after.phase is AlarmPhase.UPDATE:
                    assert after.priority is not before.priority
            assert len({(a.device_id, a.condition, a.source, a.onset_us) for a in story}) == 1
        self.state_is_what_the_records_say(stories)

    def state_is_what_the_records_say(self, stories):
        open_ids = {i for i, story in stories.items() if story[-1].phase is not AlarmPhase.END}
        state = self.bench.committer.state.items("alarm").values()
        assert {revive_alarm(value).alarm_id for value in state} == open_ids

    def teardown(self):
        """When the disk works again, nothing is left open that isn't active."""
        self.settle()
        stories = defaultdict(list)
        for alarm in self.records():
            stories[alarm.alarm_id].append(alarm)
        for story in stories.values():
            assert AlarmPhase.START in {alarm.phase for alarm in story}
        self.state_is_what_the_records_say(stories)
        held = self.bench.intake.alarms.active
        assert sum(held.values()) == len(self.bench.committer.state.items("alarm"))


Ward.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_ward = Ward.TestCase
