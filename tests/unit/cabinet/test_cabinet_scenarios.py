"""What a cabinet makes of what happens before it."""

from typing import Any

import msgspec
import pytest

from gateway.cabinet import interpreter
from gateway.cabinet.commands import ListChange, Reconcile
from gateway.cabinet.config import PlaceTable
from gateway.cabinet.lists import Badge, Item, Recall
from gateway.cabinet.presence import State
from gateway.domain.records import AccessVerdict, CabinetEventKind, Gap, InventoryAction
from gateway.domain.tags import InputChange, ReaderClock, ReaderCondition
from tests.unit.cabinet.world import (
    BADGE_ANTENNA,
    NURSE,
    OTHER,
    PLACES,
    QUICK,
    READER,
    SOURCE,
    S,
    World,
    epc,
)

A, B, C = epc(1), epc(2), epc(3)
PRESENT = State.PRESENT
CONTROLLED = msgspec.structs.replace(QUICK, kind="controlled", roles=("nurse", "pharmacist"))


def change(world, *entries, removed=(), of=None):
    world.say(
        ListChange(
            device_id="lists",
            provenance=SOURCE,
            received_us=world.now_us,
            of=of or type(entries[0]),
            put=entries,
            removed=removed,
        )
    )


def reconcile(world, *persons, cabinet="stock-1", **counted):
    world.say(
        Reconcile(
            device_id=cabinet,
            provenance=SOURCE,
            received_us=world.now_us,
            persons=persons,
            counted={name.removeprefix("_"): n for name, n in counted.items()},
        )
    )


def filled(*tables, items=(A, B)):
    """A world whose cabinet holds items in its first drawer, the door shut again."""
    world = World(*tables)
    world.connect()
    change(
        world,
        Badge(NURSE, "s-17", ("nurse",)),
        Badge(OTHER, "s-18", ("pharmacist",)),
        Badge("BAD6E3", "s-19", ("cleaner",)),
    )
    enter(world)
    for item in items:
        world.put(item, "drawer-1")
    world.wait(4)
    leave(world)
    world.records.clear()
    return world


def enter(world, *badges):
    for badge in badges or (NURSE, OTHER):
        world.badge(badge)
    world.open()


def leave(world):
    world.close()
    world.wait(15)


def actions(world):
    return [(action, tag) for action, tag in world.events()]


# Reads


def test_a_tag_that_is_carried_past_is_not_there():
    world = World()
    world.connect()
    world.read((A, 1))
    world.wait(10)
    assert world.believed() == {}
    assert world.events() == []


def test_a_missed_read_is_no_removal():
    world = filled()
    world.hidden.add(A)
    world.wait(50)
    assert world.believed()[A] == (PRESENT, "drawer-1")
    assert world.events() == []


def test_a_reader_that_falls_silent_right_after_a_door_was_shut_saw_nobody_take_anything():
    world = filled(CONTROLLED)
    enter(world)
    world.close()
    world.silence()
    world.wait(15)  # until it is missed
    world.cut()
    world.wait(15)
    assert world.events() == []
    world.connect()
    world.wait(15)
    assert world.believed() == {A: (PRESENT, "drawer-1"), B: (PRESENT, "drawer-1")}
    assert world.events() == []


def test_the_last_thing_has_departed_as_its_reader_lives_and_reads_nothing():
    world = filled(CONTROLLED)
    enter(world)
    world.take(A)
    world.take(B)
    leave(world)
    assert sorted(world.events()) == [("departed", A), ("departed", B)]


def test_a_gateway_that_stood_still_hears_first_and_judges_then():
    world = filled(CONTROLLED)
    enter(world)
    world.close()
    world.stall(120)
    world.wait(15)
    assert world.believed() == {A: (PRESENT, "drawer-1"), B: (PRESENT, "drawer-1")}
    assert world.events() == []
    # What is not there then is not there.
    enter(world)
    world.take(A)
    world.close()
    world.stall(120)
    assert world.events() == []
    world.wait(15)
    assert world.events() == [("departed", A)]


def test_a_gateway_that_is_always_late_still_judges(monkeypatch):
    monkeypatch.setattr(interpreter, "LATE_US", -1)
    world = filled(CONTROLLED)
    enter(world)
    world.take(A)
    world.close()
    world.wait(15)
    assert world.events() == [("departed", A)]


def test_a_badge_that_was_shown_while_the_gateway_stood_still_is_in_time():
    world = filled(CONTROLLED)
    world.wait(20)
    world.open()
    shown_us = world.now_us + S
    world.stall(30)
    for badge in (NURSE, OTHER):
        world.read((badge, BADGE_ANTENNA), seen_us=shown_us)
    leave(world)
    assert [each.verdict for each in world.accesses()] == [AccessVerdict.AUTHORISED]
    assert world.standing() == set()


def test_what_is_not_read_for_long_behind_a_shut_door_is_a_doubt_until_it_is_read():
    world = filled()
    world.hidden.add(A)
    world.wait(70)
    assert world.believed()[A] == (State.UNACCOUNTED, "drawer-1")
    assert world.standing() == {"cabinet_unaccounted"}
    world.hidden.clear()
    world.wait(2)
    assert world.believed()[A] == (PRESENT, "drawer-1")
    assert actions(world) == [("doubted", A), ("confirmed", A)]
    assert world.items()[0].reason == "absent_shut"
    assert world.standing() == set()


def test_what_is_taken_departs_with_whoever_opened_the_door():
    world = filled()
    enter(world, NURSE)
    world.take(A)
    world.wait(3)
    leave(world)
    (event,) = world.items()
    assert (event.action, event.epc, event.place) == (InventoryAction.DEPARTED, A, "drawer-1")
    assert event.badges == ("s-17",)
    (access,) = world.accesses()
    assert access.session == event.session
    assert (access.verdict, access.badges) == (AccessVerdict.AUTHORISED, ("s-17",))
    assert access.closed_us - access.opened_us == 3 * S


def test_nothing_departs_while_the_arm_is_in_the_drawer():
    world = filled()
    enter(world)
    world.hidden |= {A, B}
    world.wait(15)
    world.hidden.clear()
    leave(world)
    assert world.events() == []


def test_nothing_departs_because_the_drawer_was_open_for_long():
    world = filled()
    enter(world)
    world.hidden |= {A, B}
    world.wait(15)
    world.close()
    world.wait(3)
    world.hidden.clear()
    world.wait(15)
    assert world.events() == []


def test_what_lay_hidden_when_the_door_was_opened_departs_once_it_is_shut():
    world = filled()
    world.hidden.add(A)
    world.wait(20)
    enter(world)
    world.take(A)
    leave(world)
    assert actions(world) == [("departed", A)]


def test_a_tag_moves_between_drawers():
    world = filled()
    enter(world, NURSE)
    world.put(A, "drawer-2")
    world.wait(4)
    leave(world)
    (event,) = world.items()
    assert (event.action, event.place, event.from_place) == (
        InventoryAction.MOVED,
        "drawer-2",
        "drawer-1",
    )
    assert event.badges == ("s-17",)


def test_a_tag_that_two_antennas_read_stays_where_it_is_read_stronger():
    world = filled(items=())
    for _ in range(20):
        world.t += S
        world.read((A, 1), rssi=-50.0)
        world.read((A, 2), rssi=-65.0)
    assert world.believed() == {A: (PRESENT, "drawer-1")}
    for _ in range(20):
        world.t += S
        world.read((A, 1), rssi=-68.0)
        world.read((A, 2), rssi=-50.0)
    assert world.believed() == {A: (PRESENT, "drawer-2")}
    assert [action for action, _ in world.events()] == ["arrived", "moved"]


def test_the_same_reads_again_are_no_news():
    world = World()
    world.connect()
    world.open()
    for _ in range(10):
        world.read((A, 1))  # one instant, told ten times
    assert world.believed() == {}


# Outages


def test_an_outage_is_a_gap_and_no_departure():
    world = filled(items=(A, B, C))
    world.cut()
    world.wait(100)
    assert {state for state, _ in world.believed().values()} == {State.DOUBTED}
    assert "cabinet_unseen" in world.standing()
    world.connect()
    world.wait(2)
    assert {state for state, _ in world.believed().values()} == {PRESENT}
    (gap,) = [each for each in world.records if isinstance(each, Gap)]
    assert (gap.reason, gap.to_us - gap.from_us) == ("cabinet_unseen", 100 * S)
    assert world.events() == []
    assert world.standing() == set()


def test_what_vanished_in_an_outage_is_a_doubt_until_persons_have_looked():
    world = filled()
    reconcile(world, "s-17")
    world.cut()
    world.open()
    world.take(A)
    world.wait(5)
    world.close()
    world.connect()
    world.wait(30)
    assert world.believed() == {A: (State.UNACCOUNTED, "drawer-1"), B: (PRESENT, "drawer-1")}
    assert world.standing() == {"cabinet_unaccounted", "cabinet_count"}
    reconcile(world, "s-17")
    world.wait(1)
    assert world.believed() == {B: (PRESENT, "drawer-1")}
    assert world.standing() == set()
    events = world.items()
    assert [(each.action.name, each.reason, each.badges) for each in events] == [
        ("DOUBTED", "outage", ()),
        ("DEPARTED", "reconciled", ()),
    ]


def test_a_door_that_opens_after_an_outage_explains_nothing_that_vanished_in_it():
    world = filled()
    world.cut()
    world.truth.pop(A)
    world.wait(5)
    world.connect()
    enter(world)
    world.wait(2)
    leave(world)
    assert actions(world) == [("doubted", A)]


def test_a_cabinet_whose_reader_never_comes_is_an_alarm_and_no_gap():
    world = World()
    world.wait(40)
    assert world.standing() == {"cabinet_unseen"}
    world.connect()
    world.wait(1)
    assert world.standing() == set()
    assert world.records == []


def test_a_door_whose_reader_is_lost_is_not_seen():
    door = msgspec.structs.replace(QUICK.doors[0], input="reader-2:1")
    world = World(msgspec.structs.replace(QUICK, doors=(door,)))
    world.connect()
    world.state(ReaderCondition.CONNECTED, "reader-2")
    world.wait(1)
    world.state(ReaderCondition.LOST, "reader-2", from_us=world.now_us)
    world.wait(36)
    assert world.standing() == {"cabinet_unseen"}
    world.state(ReaderCondition.RESUMED, "reader-2", from_us=world.now_us - 36 * S)
    world.wait(1)
    assert world.standing() == set()
    (gap,) = world.records
    assert isinstance(gap, Gap)
    assert gap.to_us - gap.from_us == 36 * S


def test_an_antenna_that_is_pulled_out_takes_nothing_away():
    world = filled()
    world.state(ReaderCondition.ANTENNA_DOWN, antenna=1)
    world.hidden |= {A, B}
    enter(world)
    world.wait(30)
    leave(world)
    assert {state for state, _ in world.believed().values()} == {State.DOUBTED}
    world.state(ReaderCondition.ANTENNA_UP, antenna=1)
    world.hidden.clear()
    world.wait(3)
    assert {state for state, _ in world.believed().values()} == {PRESENT}
    assert world.events() == []


def test_a_place_whose_reference_tag_is_not_read_is_not_seen():
    reference = epc(99)
    places = (
        PlaceTable(name="drawer-1", antennas=(f"{READER}:1",), reference=reference),
        QUICK.places[1],
    )
    world = World(msgspec.structs.replace(QUICK, places=places))
    world.truth[reference] = "drawer-1"
    world.connect()
    enter(world)
    world.put(A, "drawer-1")
    world.wait(4)
    leave(world)
    assert world.believed() == {A: (PRESENT, "drawer-1")}
    enter(world)
    world.hidden |= {A, reference}  # the antenna is dead, and says nothing of it
    world.wait(10)
    leave(world)
    assert world.believed() == {A: (State.DOUBTED, "drawer-1")}
    world.hidden.clear()
    world.wait(3)
    assert world.believed() == {A: (PRESENT, "drawer-1")}
    assert [action for action, _ in world.events()] == ["arrived"]


def test_a_reader_that_went_on_watching_tells_later_who_took_what():
    world = filled()
    lost_us = world.now_us
    world.cut()
    world.wait(5)
    told: list[Any] = []
    world.connected, say = True, world.say
    world.say = told.append  # it holds what it sees
    enter(world, NURSE)
    world.take(A)
    world.wait(4)
    world.close()
    world.wait(1)
    world.say = say
    world.state(ReaderCondition.RESUMED, from_us=lost_us, to_us=world.now_us, held=True)
    for each in told:
        world.say(msgspec.structs.replace(each, received_us=world.now_us))
    world.wait(15)
    assert world.believed()[B] == (PRESENT, "drawer-1")
    (access,) = world.accesses()
    assert (access.verdict, access.badges) == (AccessVerdict.AUTHORISED, ("s-17",))
    # It was not read since before the outage: that it was taken then stays a doubt.
    assert actions(world) == [("doubted", A)]


def test_a_door_that_nobody_saw_explains_nothing():
    door = msgspec.structs.replace(QUICK.doors[0], input="reader-2:1")
    world = World(msgspec.structs.replace(QUICK, doors=(door,)))
    world.connect()
    world.truth[A] = "drawer-1"
    world.wait(4)
    world.state(ReaderCondition.CONNECTED, "reader-2")
    world.wait(2)
    world.state(ReaderCondition.LOST, "reader-2", from_us=world.now_us)
    world.truth.pop(A)
    world.wait(5)
    world.state(ReaderCondition.RESUMED, "reader-2", from_us=world.now_us - 5 * S)
    world.say(
        InputChange(
            device_id="reader-2",
            provenance=SOURCE,
            received_us=world.now_us,
            clock=ReaderClock.NONE,
            port=1,
            high=False,
            at_us=0,
            asked=True,
        )
    )
    world.wait(70)
    assert actions(world) == [("arrived", A), ("doubted", A)]
    assert world.items()[-1].reason == "absent_unsure"


def test_reports_that_the_reader_lost_make_a_doubt():
    world = filled()
    world.state(ReaderCondition.OVERFLOW, from_us=world.now_us - S, to_us=world.now_us)
    world.truth.pop(A)
    world.wait(30)
    assert world.believed()[A] == (State.UNACCOUNTED, "drawer-1")


# Doors


def test_a_door_that_is_opened_without_a_badge_is_forced():
    world = filled()
    world.open()
    world.wait(4)
    assert world.standing() == set()
    world.wait(2)
    assert world.standing() == {"cabinet_door_forced/front"}
    leave(world)
    assert world.accesses()[0].verdict is AccessVerdict.NO_BADGE
    assert world.standing() == {"cabinet_door_forced/front"}
    enter(world, NURSE)
    world.wait(1)
    assert world.standing() == set()


def test_a_badge_in_time_after_the_door_is_as_good():
    world = filled()
    world.open()
    world.wait(3)
    world.badge()
    world.wait(4)
    leave(world)
    assert world.accesses()[0].verdict is AccessVerdict.AUTHORISED


def test_a_door_that_is_left_open_is_an_alarm_until_it_is_shut():
    world = filled()
    enter(world)
    world.wait(32)
    assert world.standing() == {"cabinet_door_left_open/front"}
    leave(world)
    assert world.standing() == set()


def test_a_door_that_is_found_open_was_opened_by_nobody_knows_whom():
    world = filled()
    world.cut()
    world.open()
    world.wait(3)
    world.connect()
    world.wait(1)
    leave(world)
    (access,) = world.accesses()
    assert (access.verdict, access.badges) == (AccessVerdict.UNSEEN, ())
    assert world.standing() == set()


# Two persons


@pytest.mark.parametrize(
    ("badges", "verdict", "alarm"),
    [
        ((NURSE, OTHER), AccessVerdict.AUTHORISED, set()),
        ((NURSE, NURSE), AccessVerdict.ONE_PERSON, {"cabinet_one_person/front"}),
        ((NURSE, "BAD6E3"), AccessVerdict.ONE_PERSON, {"cabinet_one_person/front"}),
        (("BAD6E3",), AccessVerdict.NO_BADGE, {"cabinet_door_forced/front"}),
        ((), AccessVerdict.NO_BADGE, {"cabinet_door_forced/front"}),
    ],
)
def test_a_controlled_cabinet_takes_two_persons(badges, verdict, alarm):
    world = filled(CONTROLLED)
    reconcile(world, "s-17", "s-18")
    world.records.clear()
    for badge in badges:
        world.badge(badge)
        world.wait(1)
    world.open()
    world.take(A)
    world.wait(12)
    leave(world)
    (access,) = world.accesses()
    assert access.verdict is verdict
    # What was taken otherwise than by two stays in the book.
    assert world.standing() == (alarm | {"cabinet_count"} if alarm else set())
    (count,) = access.counts
    assert (count.expected, count.found) == (2 if alarm else 1, 1)
    if alarm:
        enter(world)
        leave(world)
        assert world.standing() == alarm | {"cabinet_count"}
        reconcile(world, "s-17", "s-18")
        world.wait(1)
        assert world.standing() == set()


def test_the_second_person_comes_too_late():
    world = filled(CONTROLLED)
    world.badge(NURSE)
    world.open()
    world.wait(11)
    world.badge(OTHER)
    world.wait(1)
    leave(world)
    (access,) = world.accesses()
    assert access.verdict is AccessVerdict.ONE_PERSON
    assert access.badges == ("s-17", "s-18")


def test_what_was_put_in_before_the_second_badge_is_booked_when_it_comes():
    world = filled(CONTROLLED)
    reconcile(world, "s-17", "s-18")
    world.badge(NURSE)
    world.open()
    world.put(C, "drawer-2")
    world.wait(5)
    assert (C in world.believed(), world.cabinets.cabinets["stock-1"].book.expected) == (
        True,
        {"unlisted": 2},
    )
    world.badge(OTHER)
    world.wait(1)
    assert world.cabinets.cabinets["stock-1"].book.expected == {"unlisted": 3}
    leave(world)
    assert world.standing() == set()


def test_counting_by_hand_shows_what_no_antenna_can():
    world = filled(CONTROLLED)
    reconcile(world, "s-17", "s-18", unlisted=5)
    world.wait(1)
    (event,) = world.accesses()
    assert event.kind is CabinetEventKind.RECONCILIATION
    assert event.badges == ("s-17", "s-18")
    (count,) = event.counts
    assert (count.expected, count.found, count.counted) == (2, 2, 5)
    assert world.standing() == {"cabinet_count"}


# Lists


def test_expired_expiring_and_recalled_items_are_alarms_while_they_are_there():
    world = filled(items=(A, B, C))
    change(
        world,
        Item(epc=A, name="heparin", lot="L1", expiry="2020-01-01"),
        Item(epc=B, name="insulin", lot="L2", expiry="2026-10-01"),
        Item(epc=C, gtin="80614141123458", name="propofol", lot="L3"),
    )
    change(world, Recall(gtin="80614141123458", lot="L3"), Recall(gtin="80614141123458", lot="L9"))
    world.wait(1)
    assert world.standing() == {
        "cabinet_expired/heparin",
        "cabinet_expiring/insulin",
        "cabinet_recalled/80614141123458",
    }
    enter(world)
    for item in (A, B, C):
        world.take(item)
    world.wait(2)
    leave(world)
    assert world.standing() == set()
    departed = world.items()
    assert {(each.item_class, each.lot, each.expiry) for each in departed} == {
        ("heparin", "L1", "2020-01-01"),
        ("insulin", "L2", "2026-10-01"),
        ("80614141123458", "L3", ""),
    }


def test_a_recall_that_is_lifted_ends_its_alarm():
    world = filled()
    change(world, Recall(epc=A))
    world.wait(1)
    assert world.standing() == {"cabinet_recalled/unlisted"}
    change(world, of=Recall, removed=(f"{A}//",))
    world.wait(1)
    assert world.standing() == set()


# Garments


GARMENTS = msgspec.structs.replace(QUICK, name="gowns-1", kind="garment", overdue_h=1.0)


def test_a_gown_is_issued_to_a_badge_and_comes_back():
    world = filled(GARMENTS)
    enter(world, NURSE)
    world.take(A)
    world.wait(2)
    leave(world)
    assert actions(world) == [("issued", A)]
    (issued,) = world.cabinets.garments.out.values()
    assert (issued.epc, issued.staff, issued.cabinet) == (A, "s-17", "gowns-1")
    world.t += 4000 * S
    world.crash()  # it is known across a restart
    world.connect()
    world.wait(40)
    assert world.standing() == {"garment_overdue"}
    enter(world, OTHER)
    world.put(A, "drawer-2")
    world.wait(4)
    leave(world)
    assert actions(world)[-1] == ("returned", A)
    assert world.items()[-1].badges == ("s-18",)
    assert world.cabinets.garments.out == {}
    world.wait(31)
    assert world.standing() == set()


def test_a_gown_that_nobody_took_is_with_nobody_known():
    world = filled(GARMENTS)
    world.open()
    world.take(A)
    world.wait(2)
    leave(world)
    assert actions(world) == [("departed", A)]
    (issued,) = world.cabinets.garments.out.values()
    assert issued.staff == ""


def test_without_doors_whoever_stood_there_took_it():
    open_rack = msgspec.structs.replace(GARMENTS, doors=())
    world = World(open_rack)
    world.connect()
    world.truth[A] = "drawer-1"
    world.wait(3)
    world.badge(NURSE)
    world.truth.pop(A)
    world.wait(10)
    assert [action for action, _ in world.events()] == ["arrived", "issued"]
    assert world.cabinets.garments.out[A].staff == NURSE


# Several cabinets


def test_a_tag_that_leaves_for_another_cabinet_has_moved():
    second = msgspec.structs.replace(
        QUICK,
        name="stock-2",
        places=(PlaceTable(name="shelf", antennas=(f"{READER}:3",)),),
        doors=(),
        badge_antennas=(f"{READER}:5",),
    )
    world = filled(QUICK, second)
    enter(world)
    world.take(A)
    world.close()
    world.wait(1)
    for _ in range(4):
        world.read((A, 3))
        world.wait(1)
    assert A not in world.believed("stock-1")
    assert world.believed("stock-2") == {A: (PRESENT, "shelf")}
    (event,) = world.items()
    assert (event.device_id, event.action.name, event.from_place, event.place) == (
        "stock-2",
        "MOVED",
        "stock-1/drawer-1",
        "shelf",
    )


def test_a_tag_that_another_cabinet_reads_through_the_wall_stays():
    second = msgspec.structs.replace(
        QUICK,
        name="stock-2",
        places=(PlaceTable(name="shelf", antennas=(f"{READER}:3",)),),
        doors=(),
        badge_antennas=(f"{READER}:5",),
    )
    world = filled(QUICK, second)
    for _ in range(20):
        world.read((A, 3))
        world.wait(1)
    assert world.believed("stock-2") == {}
    assert world.events() == []


# Restarts and limits


def test_a_restart_keeps_what_was_known_and_who_has_the_door_open():
    world = filled(CONTROLLED)
    reconcile(world, "s-17", "s-18")
    enter(world)
    world.wait(2)
    world.crash()
    assert {state for state, _ in world.believed().values()} == {State.DOUBTED}
    world.connect()
    world.wait(3)
    world.take(A)
    leave(world)
    world.wait(10)
    access = world.accesses()[-1]
    assert (access.verdict, access.badges) == (AccessVerdict.AUTHORISED, ("s-17", "s-18"))
    assert world.believed() == {B: (PRESENT, "drawer-1")}
    assert world.standing() == set()


def test_alarms_that_stood_before_a_restart_end_after_it():
    world = filled()
    enter(world)
    world.wait(32)
    assert world.standing() == {"cabinet_door_left_open/front"}
    world.crash()
    world.door_open = False
    world.connect()
    world.wait(40)
    assert world.standing() == set()


def test_an_alarm_whose_engine_alone_remembers_it_ends():
    world = filled()
    world.alarms["stock-1", "cabinet_expired/heparin"] = True
    world.disk.spaces["alarm"] = {"stock-1\ng:cabinet_expired/heparin": b"", "m-1\ng:hr": b""}
    world.crash()
    world.connect()
    world.wait(2)
    assert world.standing() == set()


def test_history_survives_a_restart_and_is_bounded():
    world = filled()
    enter(world)
    world.take(A)
    leave(world)
    lines = world.cabinets.history.of("stock-1")
    assert [line.event for line in lines[:2]] == ["opened", "departed"]
    world.crash()
    assert world.cabinets.history.of("stock-1") == lines


def test_more_tags_than_the_cabinet_is_for_are_said_to_be():
    world = filled(msgspec.structs.replace(QUICK, items_max=2), items=(A, B, C))
    assert len(world.believed()) == 2
    assert world.standing() == {"cabinet_overfull"}


def test_a_state_that_cannot_be_read_is_left_out(caplog):
    world = filled()
    world.disk.spaces["cabinet.tag"][f"stock-1\n{A}"] = b"\xff"
    world.disk.spaces["cabinet.tag"][f"gone-1\n{A}"] = world.disk.spaces["cabinet.tag"][
        f"stock-1\n{B}"
    ]
    world.crash()
    assert set(world.believed()) == {B}
    assert len([each for each in caplog.records if "can't be read" in each.message]) == 2


def test_a_badge_is_never_an_item_and_an_item_never_a_badge():
    world = filled()
    for _ in range(5):
        world.wait(1)
        world.read((NURSE, PLACES["drawer-1"]), (epc(50), BADGE_ANTENNA))
    assert set(world.believed()) == {A, B}
    counts = world.cabinets._counters.counts
    assert counts["tag_reads", "no_badge"] == 5
