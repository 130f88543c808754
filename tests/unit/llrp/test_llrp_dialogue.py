"""What a reader is told in which order, and what is made of what it says."""

from __future__ import annotations

import pytest
from llrpkit.protocol import messages, params

from drivers.base.dialogue import HangUp, Malformed, Missed, Offline, Online
from drivers.llrp.session import State
from drivers.llrp.settings import ReaderSettings
from firmware_sim.llrp import says
from firmware_sim.llrp.field import Sight
from gateway.domain.tags import InputChange, ReaderClock, ReaderCondition, ReaderState, TagReads
from tests.unit.llrp.scene import A, B, Scene

ONCE = ReaderSettings(report_ms=0, report_tags=1, keepalive_s=1.0)


def conditions(scene: Scene) -> list[ReaderCondition]:
    quiet = {ReaderCondition.ANTENNA_UP, ReaderCondition.HEARD}
    return [s.condition for s in scene.said(ReaderState) if s.condition not in quiet]


def epcs(scene: Scene) -> set[str]:
    return {read.epc for reads in scene.said(TagReads) for read in reads.reads}


def test_a_new_reader_is_asked_set_and_started() -> None:
    scene = Scene()
    scene.reader.field.put(A, 1)
    scene.connect()
    assert scene.reader.asked == [
        "GET_READER_CAPABILITIES",
        "GET_READER_CONFIG",
        "SET_READER_CONFIG",
        "GET_READER_CONFIG",
        "GET_ROSPECS",
        "ENABLE_EVENTS_AND_REPORTS",
        "DELETE_ACCESSSPEC",
        "ADD_ROSPEC",
        "ENABLE_ROSPEC",
        "START_ROSPEC",
    ]
    assert conditions(scene) == [ReaderCondition.CONNECTED]
    assert scene.events[0] == Online()
    scene.run(1.0)
    (first, *_) = scene.said(TagReads)
    assert first.clock is ReaderClock.UTC
    assert first.reads[0].epc == A
    assert first.reads[0].antenna == 1
    assert first.reads[0].rssi_dbm == -55.0
    assert not scene.hung_up


def test_what_is_read_more_often_is_one_entry_with_a_count() -> None:
    scene = Scene()
    scene.reader.field.put(A, 1)
    scene.connect()
    scene.run(2.0)
    last = scene.said(TagReads)[-1].reads[0]
    assert last.count > 1
    assert last.last_us > last.first_us


@pytest.mark.parametrize("settings", [None, ONCE], ids=["sweeps", "single"])
def test_a_lost_connection_is_resumed_with_what_was_held(settings: ReaderSettings | None) -> None:
    scene = Scene(settings)
    scene.reader.field.put(A, 1)
    scene.connect()
    scene.run(1.0)
    heard_us = scene.past.heard_us
    scene.lose()
    assert scene.said(ReaderState)[-1].condition is ReaderCondition.LOST
    assert scene.said(ReaderState)[-1].from_us == heard_us
    scene.events.clear()
    scene.run(1.0)
    scene.reader.field.put(B, 2)
    scene.reader.set_input(1, high=True)
    scene.run(1.0)
    scene.reader.field.take(B)  # came and went without anybody listening
    scene.reader.set_input(1, high=False)
    scene.run(1.0)
    at_us = scene.clock.now_us()
    scene.connect()
    assert "ADD_ROSPEC" not in scene.reader.asked
    (resumed,) = [s for s in scene.said(ReaderState) if s.condition is ReaderCondition.RESUMED]
    assert (resumed.from_us, resumed.to_us, resumed.held) == (heard_us, at_us, True)
    assert B in epcs(scene)
    told = [c for c in scene.said(InputChange) if not c.asked]
    assert [c.high for c in told] == [True, False]
    assert at_us - 2_100_000 <= told[0].placed_us(told[0].at_us) <= at_us - 1_900_000
    asked = [c for c in scene.said(InputChange) if c.asked and c.port == 1]
    assert [c.high for c in asked] == [False]


def test_a_reader_that_can_not_hold_is_resumed_with_a_span_not_seen() -> None:
    scene = Scene(holds=False)
    scene.reader.field.put(A, 1)
    scene.connect()
    scene.run(1.0)
    scene.lose()
    scene.run(1.0)
    scene.connect()
    (resumed,) = [s for s in scene.said(ReaderState) if s.condition is ReaderCondition.RESUMED]
    assert not resumed.held
    assert "ENABLE_EVENTS_AND_REPORTS" not in scene.reader.asked


def test_a_reader_that_was_restarted_is_told_everything_again() -> None:
    scene = Scene()
    scene.connect()
    scene.run(1.0)
    scene.lose()
    scene.reader.restart()
    scene.connect()
    assert "ADD_ROSPEC" in scene.reader.asked
    (resumed,) = [s for s in scene.said(ReaderState) if s.condition is ReaderCondition.RESUMED]
    assert not resumed.held


def test_a_memory_that_was_too_small_is_told() -> None:
    scene = Scene(held_max=3)
    scene.reader.field.put(A, 1)
    scene.connect()
    scene.run(1.0)
    scene.lose()
    scene.run(5.0)
    scene.connect()
    assert conditions(scene)[-2:] == [ReaderCondition.RESUMED, ReaderCondition.OVERFLOW]


def test_what_a_full_memory_lost_lies_between_two_times() -> None:
    scene = Scene(held_max=3)
    scene.reader.field.put(A, 1)
    scene.connect()
    scene.run(1.0)
    scene.lose()
    scene.run(5.0)
    scene.connect()
    (lost,) = [s for s in scene.said(ReaderState) if s.condition is ReaderCondition.OVERFLOW]
    last = scene.said(TagReads)[-1]
    assert lost.from_us == last.placed_us(last.reads[0].last_us)
    assert lost.to_us == scene.clock.now_us()
    assert 3_500_000 < lost.to_us - lost.from_us < 5_000_000


def test_a_rospec_that_no_longer_begins_again_is_set_up_anew() -> None:
    scene = Scene()
    scene.reader.field.put(A, 1)
    scene.connect()
    scene.run(10.0)
    stopped_us = scene.clock.now_us()
    scene.reader.stall()
    scene.run(40.0)
    assert ReaderCondition.STOPPED in conditions(scene)
    (stopped,) = [s for s in scene.said(ReaderState) if s.condition is ReaderCondition.STOPPED]
    assert stopped_us - 300_000 <= stopped.from_us <= stopped_us
    assert conditions(scene)[-1] is ReaderCondition.RESUMED
    scene.events.clear()
    scene.run(1.0)
    assert epcs(scene) == {A}


def test_an_empty_field_is_no_reason_to_set_up_anew() -> None:
    scene = Scene()
    scene.connect()
    scene.run(100.0)
    assert scene.reader.asked.count("ADD_ROSPEC") == 1
    assert conditions(scene) == [ReaderCondition.CONNECTED]


def test_a_changed_configuration_replaces_the_rospec() -> None:
    scene = Scene()
    scene.connect()
    scene.lose()
    scene.settings = ReaderSettings(report_ms=400, keepalive_s=1.0)
    scene.connect()
    asked = scene.reader.asked
    assert asked.index("ENABLE_EVENTS_AND_REPORTS") < asked.index("DELETE_ROSPEC")
    assert asked.index("DELETE_ROSPEC") < asked.index("ADD_ROSPEC")


def test_doors_and_antennas_are_told_as_they_change() -> None:
    scene = Scene()
    scene.connect()
    scene.events.clear()
    scene.reader.set_input(3, high=True)
    scene.reader.set_antenna(2, connected=False)
    scene.reader.fail("reader is too hot\x07")
    scene.pump()
    (change,) = scene.said(InputChange)
    assert (change.port, change.high, change.asked) == (3, True, False)
    down, fault = scene.said(ReaderState)
    assert (down.condition, down.antenna) == (ReaderCondition.ANTENNA_DOWN, 2)
    assert (fault.condition, fault.text) == (ReaderCondition.EXCEPTION, "reader is too hot")


def test_the_states_of_inputs_and_antennas_follow_the_beginning() -> None:
    scene = Scene()
    scene.reader.set_input(2, high=True)
    scene.reader.field.unplug(4)
    scene.connect()
    inputs = {c.port: c.high for c in scene.said(InputChange)}
    assert inputs == {1: False, 2: True, 3: False, 4: False}
    down = [s.antenna for s in scene.said(ReaderState) if "down" in s.condition.value]
    assert down == [4]


def test_keep_alives_are_acknowledged_and_silence_is_a_loss() -> None:
    scene = Scene()
    scene.connect()
    scene.run(5.0)
    assert scene.reader.acknowledged >= 4
    assert scene.dialogue is not None
    for _ in range(5):  # the reader is gone, and TCP has not noticed
        scene.clock.advance(1.0)
        scene.events += scene.dialogue.tick(scene.now())
    assert scene.hung_up == ["silent"]


def test_time_in_which_we_did_not_listen_is_no_silence() -> None:
    scene = Scene()
    scene.connect()
    assert scene.dialogue is not None
    scene.clock.advance(60.0)
    scene.dialogue.excuse(scene.now())
    scene.events += scene.dialogue.tick(scene.now())
    assert not scene.hung_up


def test_a_reader_that_reads_nothing_is_told_of_at_each_keep_alive() -> None:
    scene = Scene(ReaderSettings(report_ms=200, keepalive_s=1.0))
    scene.connect()
    scene.events.clear()
    scene.run(3.5)
    told = [each for each in scene.said(ReaderState) if each.condition is ReaderCondition.HEARD]
    assert len(told) == 3
    # What it has seen since its last report it has not told.
    assert [each.received_us - each.from_us for each in told] == [200_000] * 3


def test_a_question_without_an_answer_is_a_loss() -> None:
    scene = Scene()
    scene.connect()
    assert scene.dialogue is not None
    scene.clock.advance(31.0)
    scene.events += scene.dialogue.receive(messages.KEEPALIVE().to_bytes(0), scene.now())
    scene.events += scene.dialogue.tick(scene.now())
    assert scene.dialogue.state is State.CHECKING
    scene.clock.advance(scene.settings.answer_s)
    scene.events += scene.dialogue.tick(scene.now())
    assert scene.hung_up == ["silent"]


@pytest.mark.parametrize(
    ("status", "reason"), [(1, "busy"), (2, "busy"), (3, "turned_away"), (9, "busy")]
)
def test_a_reader_that_has_a_client_is_left_in_peace(status: int, reason: str) -> None:
    scene = Scene()
    scene.greet_with(says.greeting(says.Stamp(1, uptime=False), status))
    assert scene.events == [HangUp(reason)]
    assert not scene.reader.asked


def test_another_client_that_tries_is_told() -> None:
    scene = Scene()
    scene.connect()
    scene.pump([says.greeting(says.Stamp(1, uptime=False), 4).to_bytes(0)])
    assert conditions(scene)[-1] is ReaderCondition.EXCEPTION
    assert not scene.hung_up


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (ReaderSettings(antennas=(1, 9)), "antennas"),
        (ReaderSettings(inputs=(9,)), "inputs"),
        (ReaderSettings(power_dbm=3.0), "power"),
        (ReaderSettings(power_dbm_of={"9": 20.0}), "power_dbm_of"),
        (ReaderSettings(reader_id="aabb"), "reader_id"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_reader_that_can_not_do_it_says_why(settings: ReaderSettings, words: str) -> None:
    scene = Scene(settings)
    scene.connect()
    (stopped,) = scene.said(ReaderState)
    assert stopped.condition is ReaderCondition.STOPPED
    assert words in stopped.text
    assert scene.events[-1] == Offline("refused")
    scene.run(61.0)
    assert scene.hung_up == ["refused"]  # and it is tried anew


def test_a_search_mode_needs_an_impinj_reader() -> None:
    settings = ReaderSettings(search_mode="dual_target")
    other = Scene(settings, vendor=4711)
    other.connect()
    assert "search_mode" in other.said(ReaderState)[0].text
    scene = Scene(settings)
    scene.connect()
    assert "IMPINJ_ENABLE_EXTENSIONS" in scene.reader.asked
    assert conditions(scene) == [ReaderCondition.CONNECTED]


def test_a_rospec_that_ends_is_started_again() -> None:
    scene = Scene(ONCE)
    scene.connect()
    scene.run(6.0)
    scene.reader.end_reading()
    scene.pump()
    assert conditions(scene) == [
        ReaderCondition.CONNECTED,
        ReaderCondition.STOPPED,
        ReaderCondition.RESUMED,
    ]
    scene.reader.field.put(A, 1)
    scene.run(1.0)
    assert epcs(scene) == {A}


def test_a_rospec_that_ends_at_once_is_not_started_for_ever() -> None:
    scene = Scene(ONCE)
    scene.connect()
    scene.reader.end_reading()
    scene.pump()
    assert conditions(scene)[-1] is ReaderCondition.STOPPED
    assert scene.said(ReaderState)[-1].text == "its ROSpec ends at once"


def test_a_rospec_that_vanished_is_found_missing() -> None:
    scene = Scene()
    scene.connect()
    scene.reader._specs.clear()
    scene.run(31.0)
    assert conditions(scene)[-2:] == [ReaderCondition.STOPPED, ReaderCondition.RESUMED]
    stopped, resumed = scene.said(ReaderState)[-6:-4]
    assert resumed.from_us == stopped.from_us
    assert not resumed.held


def test_uptime_is_placed_by_the_gateways_clock() -> None:
    scene = Scene(uptime=True)
    scene.reader.field.put(A, 1)
    scene.run(7.0)
    scene.connect()
    scene.run(0.4)
    reads = scene.said(TagReads)[-1]
    assert reads.clock is ReaderClock.UPTIME
    assert reads.reads[0].last_us < 10_000_000
    placed = reads.placed_us(reads.reads[0].last_us)
    assert abs(placed - scene.clock.now_us()) < 100_000


def test_a_readers_clock_that_is_off_is_put_right() -> None:
    scene = Scene(clock_offset_us=-3_600_000_000)
    scene.reader.field.put(A, 1)
    scene.connect()
    scene.run(0.4)
    reads = scene.said(TagReads)[-1]
    assert abs(reads.offset_us - 3_600_000_000) < 1000
    assert abs(reads.placed_us(reads.reads[0].last_us) - scene.clock.now_us()) < 100_000


def test_nothing_that_writes_is_ever_said() -> None:
    scene = Scene(ReaderSettings(search_mode="dual_target", power_dbm=20.0, keepalive_s=1.0))
    scene.reader.field.put(A, 1)
    scene.connect()
    scene.run(40.0)
    scene.lose()
    scene.reader.restart()
    scene.connect()
    assert scene.dialogue is not None
    scene.dialogue.leave(scene.now())
    scene.pump(scene.reader.receive(b"".join(scene.dialogue.output)))
    assert scene.reader.written_to == 0


def test_the_connection_is_closed_with_the_readers_consent() -> None:
    scene = Scene()
    scene.connect()
    assert scene.dialogue is not None
    list(scene.dialogue.leave(scene.now()))
    awaited = not scene.dialogue.left
    said, scene.dialogue.output[:] = b"".join(scene.dialogue.output), []
    scene.pump(scene.reader.receive(said))
    assert awaited
    assert scene.dialogue.left
    assert scene.reader.asked[-1:] == ["CLOSE_CONNECTION"]
    assert "DELETE_ROSPEC" not in scene.reader.asked  # it goes on, and holds
    assert not scene.hung_up


def test_a_reader_that_can_not_hold_stops_when_we_leave() -> None:
    scene = Scene(holds=False)
    scene.connect()
    assert scene.dialogue is not None
    list(scene.dialogue.leave(scene.now()))
    scene.pump(scene.reader.receive(b"".join(scene.dialogue.output)))
    assert scene.reader.asked[-2:] == ["DELETE_ROSPEC", "CLOSE_CONNECTION"]


def test_what_is_no_llrp_ends_the_connection() -> None:
    scene = Scene()
    scene.connect()
    scene.events.clear()
    scene.pump([b"HTTP/1.1 400 Bad Request\r\n"])
    assert isinstance(scene.events[0], Malformed)
    assert scene.hung_up == ["unreadable"]
    scene.pump([messages.KEEPALIVE().to_bytes(0)])
    assert scene.hung_up == ["unreadable"]


def test_what_nobody_asked_for_is_counted() -> None:
    scene = Scene()
    scene.connect()
    scene.events.clear()
    answer = messages.GET_ROSPECS_RESPONSE(llrp_status=says.ok())
    scene.pump([answer.to_bytes(4711)])
    assert scene.events == [Missed("unexpected")]


def test_a_reader_that_closes_says_so() -> None:
    scene = Scene()
    scene.connect()
    made = says.event(says.Stamp(1, uptime=False))
    made.reader_event_notification_data.connection_close_event = params.ConnectionCloseEvent()
    scene.pump([made.to_bytes(0)])
    assert scene.hung_up == ["closed"]


def test_before_the_greeting_nothing_is_taken() -> None:
    scene = Scene()
    seen = says.Seen(Sight(A, 1, -50), 1, 2, 1)
    scene.greet_with(says.report([seen], uptime=False))
    assert scene.events == [Missed("unexpected")]
    assert not scene.reader.asked
