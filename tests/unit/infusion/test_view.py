"""The view through the intake: what counts, who warns, what stands over a restart, its bounds."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.bedside.codec import Drip
from drivers.bedside.mapping import to_records
from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.orders import InfusionOrderTold
from gateway.domain.ports import Outcome, Submission
from gateway.domain.records import (
    AlarmPhase,
    Attestation,
    DeviceState,
    DeviceStatus,
    Enumeration,
    InfusionOrder,
    InfusionOrderAction,
    Provenance,
    Quality,
    Report,
    Text,
    Whose,
)
from gateway.infusion import orders
from gateway.infusion.infusion import State
from gateway.infusion.service import Looks, infusion_service
from gateway.infusion.view import ENDS_SOON, PERSIST_S, SPACE, Infusions
from gateway.local.access import ANY, Caller
from gateway.local.calls import UnknownError
from gateway.pipeline.config import InfusionRule, PipelineConfig
from gateway.pipeline.intake import Intake
from protos.wardgate.v1 import infusion_pb2 as pb
from tests.fakes import FakeClock, FakeCounters
from tests.unit.pipeline.support import SOURCE, FakeCommitter, counting_bytes

DRIP = Device("drip-1", "drip", "icu", "12")
RULE = InfusionRule(lead_s=600.0)
ORDERS = Provenance("hl7", Attestation.BROKER, "orders-1")


class Ward:
    """An intake with a view of infusions, and a committer in memory."""

    def __init__(self, rule=RULE, state=None, clock=None, first_id=0):
        self.clock = clock or FakeClock()
        self.committer = FakeCommitter()
        if state is not None:
            self.committer.state = state
        self.view = Infusions(rule)
        self.intake = Intake(
            PipelineConfig(infusion=rule),
            self.committer,
            self.clock,
            FakeCounters(),
            counting_bytes(first_id),
            interpreters=(self.view,),
        )
        self.intake.infusions = self.view
        self.intake.restore(self.committer.state)

    def submit(self, *records):
        outcomes: list[Outcome] = []
        self.intake.submit(Submission(records, outcomes.append))
        return outcomes[0]

    def drip(self, left, rate=120.0, **fields):
        told = Drip(
            v=2,
            remaining_ml=left,
            rate_ml_h=rate,
            prescribed_ml_h=120.0,
            prescribed_ml=500.0,
            drug="NaCl 0.9 %",
            **fields,
        )
        self.submit(*to_records(told, DRIP, SOURCE, self.clock.now_us()))

    def pump(self, values, words=(), device_id="pump-1", kind="observations", drug=""):
        self.submit(
            Report(
                device_id,
                kind,
                SOURCE,
                self.clock.now_us(),
                tuple(values),
                tuple(values.values()),
                enumerations=tuple(Enumeration(code, 0, word) for code, word in words),
                texts=(Text(terms.DRUG_NAME, drug),) if drug else (),
                ward="icu",
                bed="7",
            )
        )

    def run(self, left, seconds, rate=120.0, every=10.0, **fields):
        """Let it drip for some time; what is left then."""
        for _ in range(int(seconds / every)):
            self.clock.advance(every)
            left = max(0.0, left - rate * every / 3600)
            self.drip(left, rate, **fields)
            self.intake.tick()
        return left

    def warnings(self):
        return [
            alarm.phase for alarm in self.committer.alarm_records if alarm.condition == ENDS_SOON
        ]

    def of(self, device_id="drip-1"):
        found = self.view.find(device_id)
        assert found is not None
        return found.infusion


# The warning


def test_the_nurse_is_told_in_time_and_not_before():
    ward = Ward()
    left = ward.run(40.0, 300)  # 30 mL left: a quarter of an hour
    assert ward.warnings() == []
    left = ward.run(left, 320)
    assert ward.warnings() == [AlarmPhase.START]
    told = next(a for a in ward.committer.alarm_records if a.condition == ENDS_SOON)
    assert told.bed == "12"
    assert told.text.startswith("empty in about ")
    left_min = dict(zip(told.codes, told.values, strict=True))[terms.TIME_REMAINING]
    assert 8.5 < left_min <= 11
    assert ward.intake.alarms.active[told.priority] >= 1


def test_another_bag_takes_it_back_and_it_comes_again_with_the_next_end():
    ward = Ward()
    ward.run(20.0, 60, bag=1)
    assert ward.warnings() == [AlarmPhase.START]
    left = ward.run(500.0, 60, bag=2)
    assert ward.warnings() == [AlarmPhase.START, AlarmPhase.END]
    ward.run(20.0, 60, bag=3)
    assert ward.warnings() == [AlarmPhase.START, AlarmPhase.END, AlarmPhase.START]
    assert left > 400


def test_a_bag_that_is_changed_without_a_number_is_seen_by_what_is_left():
    ward = Ward()
    ward.run(20.0, 120)
    ward.run(500.0, 120)
    assert ward.warnings() == [AlarmPhase.START, AlarmPhase.END]


def test_a_clamp_turned_down_takes_it_back_and_a_pause_does_not():
    ward = Ward()
    left = ward.run(20.0, 60)
    ward.run(left, 60, rate=0.0)
    assert ward.warnings() == [AlarmPhase.START]
    ward.run(left, 120, rate=30.0)
    assert ward.warnings() == [AlarmPhase.START, AlarmPhase.END]


def test_it_is_told_also_while_the_monitor_is_silent():
    ward = Ward()
    ward.run(35.0, 120)  # about 15 minutes left
    assert ward.warnings() == []
    for _ in range(60):
        ward.clock.advance(10.0)
        ward.intake.tick()
    assert ward.warnings() == [AlarmPhase.START]


def test_a_monitor_that_signs_off_is_not_warned_of():
    ward = Ward()
    ward.run(20.0, 60)
    off = DeviceStatus(
        "drip-1", "drip", SOURCE, ward.clock.now_us(), DeviceState.OFFLINE, "disconnected"
    )
    ward.submit(off)
    for _ in range(20):
        ward.clock.advance(10.0)
        ward.intake.tick()
    assert ward.warnings() == [AlarmPhase.START, AlarmPhase.END]
    ward.run(15.0, 30)
    assert ward.warnings()[-1] is AlarmPhase.START


def test_an_empty_bag_is_not_soon_empty():
    ward = Ward()
    ward.run(20.0, 620)
    assert ward.warnings() == [AlarmPhase.START, AlarmPhase.END]
    assert ward.of().state is State.FINISHED


def test_pumps_tell_their_end_themselves_unless_the_hospital_wants_more():
    for rule, want in ((RULE, []), (InfusionRule(lead_s=600.0, pumps=True), [AlarmPhase.START])):
        ward = Ward(rule)
        for k in range(6):
            ward.clock.advance(10.0)
            ward.pump({terms.FLOW_RATE: 60.0, terms.VOLUME_REMAINING: 5.0 - k / 6})
            ward.intake.tick()
        assert ward.warnings() == want


def test_no_warning_is_configured_away_at_once():
    ward = Ward()
    ward.run(20.0, 60)
    ward.view.follow(InfusionRule(warn=False))
    ward.clock.advance(1.0)
    ward.intake.tick()
    assert ward.warnings() == [AlarmPhase.START, AlarmPhase.END]


def test_a_restart_neither_forgets_nor_repeats_it():
    ward = Ward()
    left = ward.run(20.0, 60)
    again = Ward(state=ward.committer.state, clock=ward.clock, first_id=1000)
    assert again.of().drug == "NaCl 0.9 %"
    again.run(left, 30)
    assert again.warnings() == []
    again.run(500.0, 60, bag=2)
    assert again.warnings() == [AlarmPhase.END]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.sampled_from(["run", "stop", "bag", "restart", "silence", "off", "lost"]), max_size=12
    )
)
def test_whatever_happens_the_warning_is_one_story(steps):
    """START and END in turns, and at the end of a whole bag none stands."""
    ward, left, bag, told = Ward(), 120.0, 1, []
    for step in [*steps, "bag"]:
        if step == "run":
            left = ward.run(left, 300, rate=300.0, every=30.0, bag=bag)
        elif step == "stop":
            ward.run(left, 60, rate=0.0, every=30.0, bag=bag)
        elif step == "bag":
            left, bag = 500.0, bag + 1
            left = ward.run(left, 90, every=30.0, bag=bag)
        elif step == "restart":
            told += ward.warnings()
            ward = Ward(state=ward.committer.state, clock=ward.clock, first_id=1000 * (bag + 7))
        elif step == "silence":
            ward.clock.advance(400.0)
            ward.intake.tick()
        elif step == "off":
            ward.submit(
                DeviceStatus(
                    "drip-1", "drip", SOURCE, ward.clock.now_us(), DeviceState.OFFLINE, "released"
                )
            )
        else:
            ward.submit(
                DeviceStatus(
                    "drip-1", "drip", SOURCE, ward.clock.now_us(), DeviceState.OFFLINE, "link_lost"
                )
            )
    told += ward.warnings()
    turns = [AlarmPhase.START, AlarmPhase.END] * len(told)
    assert told == turns[: len(told)]
    assert len(told) % 2 == 0


# What a report says


@pytest.mark.parametrize(
    ("values", "words", "state"),
    [
        ({terms.FLOW_RATE: 10.0}, (), State.RUNNING),
        ({terms.FLOW_RATE: 0.0}, (), State.STOPPED),
        ({terms.VOLUME_TO_BE_INFUSED: 50.0}, (), State.UNKNOWN),
        ({terms.FLOW_RATE: 0.0, terms.VOLUME_REMAINING: 0.0}, (), State.FINISHED),
        (
            {terms.FLOW_RATE: 1.0, terms.VOLUME_REMAINING: 0.0},
            ((terms.DELIVERY_STATUS, "pump-delivery-status-kvo"),),
            State.KVO,
        ),
        (
            {terms.FLOW_RATE: 0.0},
            ((terms.DELIVERY_STATUS, "pump-delivery-status-delivering"),),
            State.RUNNING,
        ),
        (
            {terms.FLOW_RATE: 5.0},
            ((terms.DELIVERY_STATUS, "pump-delivery-status-not-delivering"),),
            State.STOPPED,
        ),
        ({}, ((terms.INFUSING_STATUS, "pump-status-not-infusing"),), State.STOPPED),
        ({}, ((terms.INFUSING_STATUS, "pump-status-infusing"),), State.RUNNING),
    ],
)
def test_states(values, words, state):
    ward = Ward()
    ward.pump(values, words)
    assert ward.of("pump-1").state is state


def test_a_report_leaves_what_it_does_not_say_and_takes_no_bad_value():
    ward = Ward()
    ward.pump({terms.FLOW_RATE: 10.0, terms.VOLUME_REMAINING: 40.0}, drug="Dopamine")
    ward.clock.advance(10.0)
    ward.submit(
        Report(
            "pump-1",
            "observations",
            SOURCE,
            ward.clock.now_us(),
            (terms.FLOW_RATE, terms.VOLUME_REMAINING),
            (99.0, 39.0),
            (Quality.INVALID, Quality.VALID),
        )
    )
    found = ward.of("pump-1")
    assert (found.values[terms.FLOW_RATE], found.values[terms.VOLUME_REMAINING]) == (10.0, 39.0)
    assert (found.drug, found.bed, found.ward) == ("Dopamine", "7", "icu")


def test_what_a_device_knows_no_more_is_not_kept():
    ward = Ward()
    ward.pump({terms.FLOW_RATE: 10.0, terms.VOLUME_TO_BE_INFUSED: 40.0})
    ward.clock.advance(10.0)
    ward.submit(
        Report(
            "pump-1",
            "infusion",
            SOURCE,
            ward.clock.now_us(),
            (terms.FLOW_RATE, terms.VOLUME_TO_BE_INFUSED),
            (10.0, math.nan),
            (Quality.VALID, Quality.UNAVAILABLE),
        )
    )
    assert ward.of("pump-1").values == {terms.FLOW_RATE: 10.0}


def test_a_pump_that_tells_its_end_needs_not_tell_what_is_left():
    ward = Ward()
    ward.pump({terms.FLOW_RATE: 10.0, terms.TIME_REMAINING: 90.0}, kind="infusion")
    told = ward.of("pump-1").forecast(ward.clock.now_us())
    assert told is not None
    assert (told.left_s, told.early_s, told.late_s, told.flow_ml_h) == (
        5400.0,
        5400.0,
        5400.0,
        10.0,
    )
    ward.clock.advance(60.0)
    told = ward.of("pump-1").forecast(ward.clock.now_us())
    assert told is not None
    assert told.left_s == 5340.0
    ward.pump({terms.FLOW_RATE: 0.0, terms.TIME_REMAINING: 90.0}, kind="infusion")
    assert ward.of("pump-1").forecast(ward.clock.now_us()) is None  # it stands


def test_monitors_and_words_of_others_are_no_infusions():
    ward = Ward()
    ward.pump({terms.HEART_RATE: 72.0}, device_id="monitor-1")
    ward.pump({terms.BATTERY: 72.0}, device_id="monitor-2")
    ward.pump({}, ((terms.code("MDC_ECG_STAT_RHY"), "sinus"),), device_id="monitor-3")
    assert list(ward.view.all()) == []


class Placed:
    """Associations that know where everything stands."""

    def of(self, report, at_us):
        return Whose("icu", "21", "patient-1", "a-1")

    def of_alarm(self, alarm):
        return alarm


def test_where_it_stands_is_what_the_associations_say():
    ward = Ward()
    ward.intake.associate(Placed())
    ward.drip(400.0, bed="9")
    assert ward.of().bed == "21"


def test_an_event_is_kept_and_a_cleared_programme_begins_anew():
    ward = Ward()
    ward.pump({terms.FLOW_RATE: 10.0, terms.VOLUME_REMAINING: 40.0})
    ward.clock.advance(1.0)
    event = ((terms.INFUSION_EVENT, "MDC_EVT_PUMP_PROG_CLEARED"),)
    ward.pump({terms.FLOW_RATE: 0.0}, event, kind="event")
    found = ward.of("pump-1")
    assert found.event == "MDC_EVT_PUMP_PROG_CLEARED"
    assert list(found.track.samples) == []


def test_a_pump_s_own_time_left_counts_down_and_goes_with_its_flow():
    ward = Ward()
    ward.pump({terms.FLOW_RATE: 60.0, terms.TIME_REMAINING: 10.0})  # a serial pump tells no volume
    ward.clock.advance(120.0)
    told = ward.of("pump-1").forecast(ward.clock.now_us())
    assert told is not None
    assert told.left_s == pytest.approx(480.0)
    ward.pump({terms.FLOW_RATE: 30.0})
    assert ward.of("pump-1").forecast(ward.clock.now_us()) is None


async def test_who_watches_is_told_when_something_changes_and_not_before():
    ward = Ward()
    looks = Looks(ward.view, ward.clock, ward.intake.alarms.standing, ward.intake.seen.state_of)
    methods: dict[str, Any] = {each.name: each for each in infusion_service(looks).methods}
    answers = methods["WatchInfusions"].answer(
        Caller("anna", ANY), pb.WatchInfusionsRequest(ward="ICU")
    )
    first = await anext(answers)
    assert list(first.infusions) == []
    following = asyncio.ensure_future(anext(answers))
    await asyncio.sleep(0)
    assert not following.done()
    ward.pump({terms.FLOW_RATE: 60.0}, drug="Dopamine")
    told = await asyncio.wait_for(following, 30)
    assert [each.drug for each in told.infusions] == ["Dopamine"]
    await answers.aclose()


async def test_a_list_is_of_one_ward_and_an_unknown_device_is_said_to_be():
    ward = Ward()
    ward.pump({terms.FLOW_RATE: 60.0})
    looks = Looks(ward.view, ward.clock, ward.intake.alarms.standing, ward.intake.seen.state_of)
    methods: dict[str, Any] = {each.name: each for each in infusion_service(looks).methods}
    caller = Caller("anna", ANY)
    for name, want in (("icu", 1), ("ICU", 1), ("er", 0), ("", 1)):
        request = pb.ListInfusionsRequest(ward=name)
        found = await methods["ListInfusions"].answer(caller, request)
        assert len(found.infusions) == want
    with pytest.raises(UnknownError):
        await methods["GetInfusion"].answer(caller, pb.GetInfusionRequest(device_id="pump-9"))


# Orders


def ordered(ward, rate=13.3, action=InfusionOrderAction.ORDERED, message_id="2", **fields):
    told = InfusionOrderTold(
        device_id="orders-1",
        provenance=ORDERS,
        received_us=ward.clock.now_us(),
        message_id=message_id,
        pump_id="pump-1",
        action=action,
        order_id="12345",
        rate_ml_h=rate,
        **{"drug": "Normal Saline", "volume_ml": 500.0, **fields},
    )
    ward.submit(told)


def test_an_order_is_a_record_and_stands_beside_its_pump_over_a_restart():
    ward = Ward()
    ward.pump({terms.FLOW_RATE: 14.0, terms.PROGRAMMED_RATE: 14.0}, drug="normal saline 0.9 %")
    ordered(ward)
    (record,) = [each for each in ward.committer.records if isinstance(each, InfusionOrder)]
    assert (record.device_id, record.bed, record.ward) == ("pump-1", "7", "icu")
    assert (record.rate_ml_h, record.provenance.attested_by) == (13.3, "orders-1")
    again = Ward(state=ward.committer.state, clock=ward.clock)
    again.pump({terms.FLOW_RATE: 14.0, terms.PROGRAMMED_RATE: 14.0}, drug="normal saline 0.9 %")
    found = again.view.find("pump-1")
    assert found is not None
    assert found.order is not None
    off = orders.deviation(found.order, found.infusion)
    assert off.rate_percent == pytest.approx(5.26, abs=0.01)
    assert off.other_drug is False


def test_an_order_that_comes_again_is_one_record_and_an_older_one_changes_nothing():
    ward = Ward()
    ward.pump({terms.FLOW_RATE: 14.0})
    for _ in "12":
        ordered(ward, ordered_us=2_000_000)
    ordered(ward, rate=99.0, message_id="1", ordered_us=1_000_000)
    records = [each for each in ward.committer.records if isinstance(each, InfusionOrder)]
    assert [each.rate_ml_h for each in records] == [13.3, 99.0]  # both are told on
    found = ward.view.find("pump-1")
    assert found is not None
    assert found.order is not None
    assert found.order.rate_ml_h == 13.3


def test_a_dose_is_compared_in_the_pump_s_unit():
    ward = Ward()
    ward.pump({terms.FLOW_RATE: 5.0, terms.code("WARDGATE_RATE_DOSE_MASS"): 6.0}, drug="Heparin")
    ordered(ward, rate=None, dose=100.0, dose_unit="ug/min", drug="Dopamine")
    found = ward.view.find("pump-1")
    assert found is not None
    assert found.order is not None
    off = orders.deviation(found.order, found.infusion)
    assert off.rate_percent == pytest.approx(0.0)
    assert off.other_drug


# Bounds


def test_the_one_unheard_for_longest_is_forgotten_and_its_state_removed():
    ward = Ward(InfusionRule(infusions_max=2))
    for n in (1, 2, 3):
        ward.clock.advance(PERSIST_S + 1)
        ward.pump({terms.FLOW_RATE: 1.0}, device_id=f"pump-{n}")
        ward.intake.tick()
    assert {each.infusion.device_id for each in ward.view.all()} == {"pump-2", "pump-3"}
    assert set(ward.committer.state.spaces[SPACE]) == {"pump-2", "pump-3"}


def test_what_is_long_silent_or_retired_is_forgotten():
    ward = Ward()
    ward.pump({terms.FLOW_RATE: 1.0})
    ordered(ward)
    ward.intake.tick()
    ward.intake.retire("pump-1")
    ward.intake.tick()
    assert list(ward.view.all()) == []
    assert not any(ward.committer.state.spaces.get(space) for space in ward.view.spaces)
    ward.pump({terms.FLOW_RATE: 1.0})
    ward.clock.advance(RULE.forget_s + 10)
    ward.intake.tick()
    assert list(ward.view.all()) == []


def test_state_is_written_every_few_seconds_not_with_each_report():
    ward = Ward()
    before = len(ward.committer.telemetry)
    writes = 0
    known: dict[str, bytes] = {}
    for _ in range(100):
        ward.clock.advance(1.0)
        ward.pump({terms.FLOW_RATE: 1.0})
        ward.intake.tick()
        now = dict(ward.committer.state.spaces.get(SPACE, {}))
        writes += now != known
        known = now
    assert len(ward.committer.telemetry) == before + 100
    assert 100 / PERSIST_S - 1 <= writes <= 100 / PERSIST_S + 1


def test_state_that_can_not_be_read_is_left_out():
    ward = Ward()
    ward.pump({terms.FLOW_RATE: 1.0})
    ward.clock.advance(PERSIST_S)
    ward.intake.tick()
    ward.committer.state.spaces[SPACE]["pump-9"] = b"\xc1"
    again = Ward(state=ward.committer.state, clock=ward.clock)
    assert [each.infusion.device_id for each in again.view.all()] == ["pump-1"]
