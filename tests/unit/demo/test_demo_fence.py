"""What a run says of its fence: what was held back is explained, and nothing else is."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing

import pytest

from demo import fence
from demo.account import DevicesSaw, Held, Sent
from demo.outing import LEAVER, NEXT_WARD, ROAMER, Moments
from demo.report import broken_promises, build, summary
from tests.unit.demo.test_demo_report import evidence, held

S = 1_000_000
MOMENTS = Moments(
    left_us=10 * S,
    held_us=12 * S,
    back_us=20 * S,
    free_us=21 * S,
    roamed_us=10 * S,
    ended_us=30 * S,
)
SAID = {  # when it was sent, and acknowledged
    "before": (8, 9),
    "leaving": (9, 11),
    "out-1": (13, 14),
    "out-2": (15, 16),
    "out-unheard": (17, 0),
    "returning": (19, 22),
    "after": (25, 26),
}
HELD_BACK = ("leaving", "out-1", "out-2", "out-unheard", "returning")


@pytest.fixture
def judged(tmp_path):
    """The verdict on a run, by what arrived at the core and what the ledger withheld."""

    def judge(
        arrived, quarantined, phases=("start", "end"), wards=("ward-3", NEXT_WARD), breached=0
    ):
        messages = {(LEAVER, name): Sent(s * S, a * S) for name, (s, a) in SAID.items()}
        messages |= {("m-1", "b:1"): Sent(15 * S, 16 * S)}
        core_db = tmp_path / "core.db"
        core_db.unlink(missing_ok=True)
        with closing(sqlite3.connect(core_db)) as db, db:
            db.execute("CREATE TABLE alarms (id INTEGER PRIMARY KEY, condition, phase)")
            db.execute("CREATE TABLE association_changes (id INTEGER PRIMARY KEY, device_id, ward)")
            rows = [("outside_fence", phase) for phase in phases]
            db.executemany("INSERT INTO alarms (condition, phase) VALUES (?, ?)", rows)
            rows = [(ROAMER, ward) for ward in wards]
            db.executemany("INSERT INTO association_changes (device_id, ward) VALUES (?, ?)", rows)
        saw = DevicesSaw({"mqtt": {"sent": 5, "acknowledged": 5}}, messages, Counter())
        there = {key: 0 for key in messages if key[1] in arrived}
        core = held(5, 7)._replace(numbered=there)
        whole = evidence(devices=saw, core=core)
        ledger = whole.ledger._replace(quarantined=quarantined, breached=breached)
        found = fence.account(MOMENTS, saw, core, core_db)
        run = whole._replace(ledger=ledger, fenced=found)
        report = build(run)
        return report, broken_promises(run, report)

    return judge


def test_what_was_held_back_is_no_loss(judged):
    report, broken = judged({"before", "after", "b:1"}, 5)
    assert broken == []
    assert report["lost"] == 0
    assert report["fence"] == {
        "device": LEAVER,
        "left": True,
        "alarmed": True,
        "collected": 2,
        "arrived": 0,
        "withheld": 5,
        "explained": 4,
        "returned": True,
        "free_again": 1,
        "roamed": NEXT_WARD,
    }
    said = summary(report, broken, None)
    assert "pod-01 left the campus: 5 messages collected and released to nobody" in said
    assert "pod-02 is in ward-4" in said


@pytest.mark.parametrize("arrived", [{"leaving"}, {"returning"}, {"leaving", "returning"}])
def test_what_was_under_way_may_be_on_either_side(judged, arrived):
    report, broken = judged({"before", "after", "b:1", *arrived}, 5 - len(arrived))
    assert (report["lost"], broken) == (0, [])


@pytest.mark.parametrize(
    ("arrived", "quarantined", "lost"),
    [
        ({"after", "b:1"}, 5, 1),  # before it left
        ({"before", "b:1"}, 5, 1),  # after it was back
        ({"before", "after"}, 5, 1),  # of another device, meanwhile
        ({"before", "after", "b:1"}, 2, 2),  # while it was out, and not in the ledger
        (set(), 0, 7),
    ],
)
def test_what_is_lost_is_found_nevertheless(judged, arrived, quarantined, lost):
    report, broken = judged(arrived, quarantined)
    assert report["lost"] == lost
    assert f"{lost} acknowledged messages are not at the core" in broken


@pytest.mark.parametrize(
    ("arrived", "changed", "words"),
    [
        ({"out-1"}, {"quarantined": 4}, "1 messages that pod-01 sent outside are at the core"),
        ((), {"quarantined": 6}, "the ledger withheld 6 messages in quarantine, 5 can have been"),
        ((), {"phases": ()}, "no alarm of it is at the core"),
        ((), {"phases": ("start",)}, "its alarm stands at the core"),
        ((), {"wards": ("ward-3",)}, "pod-02 is in ward-4, and the core has it elsewhere"),
        ((), {"breached": 3}, "3 records of held devices were released"),
    ],
)
def test_what_was_promised_of_the_fence_and_not_kept_is_told(judged, arrived, changed, words):
    _, broken = judged({"before", "after", "b:1", *arrived}, **{"quarantined": 5, **changed})
    assert [each for each in broken if words in each]


def test_a_run_that_ended_before_it_left_promises_nothing(tmp_path):
    core_db = tmp_path / "core.db"
    with closing(sqlite3.connect(core_db)) as db, db:
        db.execute("CREATE TABLE alarms (id, condition, phase)")
        db.execute("CREATE TABLE association_changes (id, device_id, ward)")
    saw = DevicesSaw({}, {(LEAVER, "1"): Sent(1, 2)}, Counter())
    nothing = Held(0, {}, 0, 0, 0, 0, [], Counter(), {})
    found = fence.account(Moments(ended_us=9 * S), saw, nothing, core_db)
    assert fence.broken(found, 0, 0) == []
    assert found.explained(5) == 0
    assert fence.summary(fence.as_report(found, 0)) == []


def test_who_is_still_out_at_the_end_is_held_until_then():
    moments = MOMENTS._replace(back_us=30 * S, free_us=0)
    for name, (sent, acknowledged) in SAID.items():
        said = Sent(sent * S, acknowledged * S)
        assert moments.may_be_out(said) is (name != "before")
        assert moments.is_out(said) is (name in {"out-1", "out-2", "returning", "after"})
    assert {n for n, (s, a) in SAID.items() if MOMENTS.may_be_out(Sent(s * S, a * S))} == set(
        HELD_BACK
    )
