"""The nurse's screen: clear without colour, in 80 x 24, the urgent first, never silently old."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.notification.screen import Board
from protos.wardgate.v1 import alarms_pb2 as pb
from protos.wardgate.v1 import ingest_pb2 as ingest

NOW_S = 1_790_000_000.0
HIGH, MEDIUM, LOW = (
    ingest.ALARM_PRIORITY_HIGH,
    ingest.ALARM_PRIORITY_MEDIUM,
    ingest.ALARM_PRIORITY_LOW,
)


def alarm(alarm_id: str, priority: int, age_s: float = 42, **more: object) -> pb.StandingAlarm:
    told = ingest.Alarm(
        alarm_id=alarm_id,
        device_id="monitor-1",
        bed="3A-07",
        priority=priority,  # type: ignore[arg-type]
        condition="hr_high",
        text="heart rate above 150 /min: 190",
        onset_us=round((NOW_S - age_s) * 1e6),
    )
    fields = {"standing": pb.ALARM_STANDING_OPEN, "n": 1, "level": 1} | more
    return pb.StandingAlarm(alarm=told, ward="3a", **fields)  # type: ignore[arg-type]


def board(*alarms: pb.StandingAlarm, **more: object) -> Board:
    made = Board("3a")
    told = pb.WatchAlarmsResponse(
        gateway="gw-1",
        now_us=round(NOW_S * 1e6),
        complete=True,
        alarms=alarms,
        **more,  # type: ignore[arg-type]
    )
    made.take(told, 100.0, NOW_S)
    return made


def text(made: Board, width: int = 80, height: int = 24, mono_s: float = 100.0) -> list[str]:
    return [each.text for each in made.lines(width, height, mono_s, NOW_S)]


def test_what_a_nurse_needs_is_on_one_line():
    row = alarm("a", HIGH, next_level_us=round((NOW_S + 18) * 1e6))
    found = text(board(row))
    assert found[0].startswith("WARD 3a   1 HIGH")
    assert "Secondary notification" in found[1]
    assert re.match(
        r">1 !!! HIGH 3A-07 +heart rate above 150 /min: 190 .* 0:42 1>0:18 +-", found[3]
    )


def test_the_urgent_and_unanswered_come_first():
    made = board(
        alarm("low", LOW, 900),
        alarm("answered", HIGH, 800, standing=pb.ALARM_STANDING_ACKNOWLEDGED),
        alarm("young", HIGH, 1),
        alarm("old", HIGH, 500),
        alarm("medium", MEDIUM, 999),
    )
    order = [each.alarm.alarm_id for each in made.rows()]
    assert order == ["old", "young", "answered", "medium", "low"]
    assert made.chosen == "old"


def test_who_has_it_in_hand_is_said():
    row = alarm(
        "a", HIGH, standing=pb.ALARM_STANDING_ACKNOWLEDGED, acknowledged_by="Anna (local/root)"
    )
    line = text(board(row))[3]
    assert line.rstrip().endswith("ackn.   Anna")


def test_a_screen_that_hears_nothing_says_so():
    made = board(alarm("a", HIGH))
    assert not any("NO CONNECTION" in line for line in text(made, mono_s=105))
    assert any("NO CONNECTION FOR 7 s: WHAT FOLLOWS IS OLD" in e for e in text(made, mono_s=107))
    made.lost("it is gone")
    assert any("NO CONNECTION FOR 1 s" in each for each in text(made, mono_s=101))
    fresh = Board()
    fresh.lost("no gateway runs here")
    assert any("NOT CONNECTED: no gateway runs here" in each for each in text(fresh))


def test_silences_and_failing_outlets_are_seen():
    silence = pb.StandingSilence(
        silence_id="5f", bed="3A-07", by="Anna", until_us=round((NOW_S + 61) * 1e6)
    )
    outlet = pb.OutletStanding(outlet="pager", failing=True, reason="no_answer", waiting=3)
    well = pb.OutletStanding(outlet="screen")
    found = "\n".join(text(board(silences=[silence], outlets=[well, outlet])))
    assert "outlet pager FAILS: no answer, 3 wait" in found
    assert "silenced: bed 3A-07, everything but high, 1:01 left, by Anna (5f)" in found
    assert "outlet screen" not in found


def test_what_the_policy_took_away_leaves_the_rest():
    row = alarm("a", HIGH)
    row.alarm.text = row.alarm.bed = ""
    row.alarm.values.append(190)
    row.units.append("/min")
    line = text(board(row))[3]
    assert "!!! HIGH ?" in line
    assert "hr high 190 /min" in line


def test_news_changes_what_is_shown_and_what_ended_goes():
    made = board(alarm("a", LOW), alarm("b", LOW))
    made.move(1)
    assert made.chosen == "b"
    made.take(
        pb.WatchAlarmsResponse(now_us=round(NOW_S * 1e6), ended=["b"], alarms=[alarm("c", HIGH)]),
        101.0,
        NOW_S,
    )
    assert [each.alarm.alarm_id for each in made.rows()] == ["c", "a"]
    assert made.chosen == "c"
    made.move(5)
    assert made.chosen == "a"
    made.move(-9)
    assert made.chosen == "c"


def test_the_list_names_every_alarm_and_who_was_told():
    row = alarm("4f2a", HIGH, receipts=[pb.OutletReceipt(outlet="screen", state="displayed")])
    found = list(board(row).listing(NOW_S))
    assert found[0] == "!!! HIGH 3a/3A-07  heart rate above 150 /min: 190  0:42  level 1"
    assert found[1] == "      4f2a  monitor-1; told: screen displayed"
    assert list(board().listing(NOW_S)) == ["no alarms stand"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from((LOW, MEDIUM, HIGH)), st.integers(0, 10**6)), max_size=60),
    st.integers(20, 200),
    st.integers(5, 60),
    st.integers(0, 70),
    st.integers(0, 20),
)
def test_it_fits_and_hides_nothing_in_silence(rows, width, height, down, silences):
    made = board(
        *(alarm(f"a{i}", priority, age) for i, (priority, age) in enumerate(rows)),
        silences=[pb.StandingSilence(bed=f"b{i}") for i in range(silences)],
    )
    made.move(down)
    found = text(made, width, height)
    width, height = max(width, 60), max(height, 12)
    assert len(found) <= height
    assert all(len(line) <= width for line in found)
    shown = [line for line in found if re.match(r"[ >][1-9 ] !", line)]
    hidden = [int(m[1]) for line in found if (m := re.search(r"… (\d+) more", line))]
    assert len(shown) + sum(hidden) == len(rows)
    if rows:
        assert sum(line.startswith(">") for line in shown) == 1


@pytest.mark.parametrize(
    ("seconds", "words"), [(5, "0:05"), (3599, "59:59"), (3700, "1h01"), (200_000, "2d")]
)
def test_ages_are_short(seconds, words):
    assert f" {words} " in text(board(alarm("a", HIGH, seconds)))[3]
