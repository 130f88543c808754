"""Whatever happens in whatever order: in the end the cabinet has the truth, or shows its doubt."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cabinet.presence import State
from tests.unit.cabinet.world import NURSE, PLACES, World, epc

ITEMS = [epc(n) for n in range(3)]
SECONDS_TO_SETTLE = 90
"""Longer than every time of the world's configuration."""

item, place = st.sampled_from(ITEMS), st.sampled_from(sorted(PLACES))
CALM = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([1, 2, 4, 7, 25])),
    st.tuples(st.sampled_from(["open", "close", "badge"])),
    st.tuples(st.just("put"), item, place),
    st.tuples(st.just("take"), item),
    st.tuples(st.sampled_from(["hide", "show"]), item),
    st.tuples(st.just("again")),
)
TROUBLE = st.tuples(st.sampled_from(["cut", "silence", "connect", "behind", "catch_up", "crash"]))


def play(world: World, deeds: list[tuple[Any, ...]]) -> None:
    for what, *more in deeds:
        match what:
            case "hide":
                world.hidden.add(*more)
                world.was_hidden.add(*more)
            case "show":
                world.hidden.discard(*more)
            case "behind":
                world.disk_behind = True
            case _:
                getattr(world, what)(*more)


def settle(world: World) -> None:
    """Everything works for a while, and nobody touches anything."""
    world.catch_up()
    world.hidden.clear()
    world.connect()
    world.close()
    world.wait(SECONDS_TO_SETTLE)


def test_the_truth_is_reached_without_trouble():
    world = World()
    play(
        world,
        [
            ("connect",),
            ("wait", 2),
            ("badge", NURSE),
            ("open",),
            ("put", ITEMS[0], "drawer-1"),
            ("put", ITEMS[1], "drawer-2"),
            ("wait", 7),
            ("close",),
            ("wait", 25),
            ("badge", NURSE),
            ("open",),
            ("take", ITEMS[0]),
            ("wait", 4),
            ("close",),
        ],
    )
    settle(world)
    assert world.believed() == {ITEMS[1]: (State.PRESENT, "drawer-2")}
    assert world.events() == [
        ("arrived", ITEMS[0]),
        ("arrived", ITEMS[1]),
        ("departed", ITEMS[0]),
    ]


@settings(max_examples=150, deadline=None)
@given(st.lists(CALM, max_size=30))
def test_without_outages_the_truth_is_reached_and_nothing_is_in_doubt(deeds):
    world = World()
    world.connect()
    play(world, deeds)
    settle(world)
    assert world.believed() == {tag: (State.PRESENT, where) for tag, where in world.truth.items()}
    assert world.wronged == []
    assert world.was_hidden or "doubted" not in {action for action, _ in world.events()}


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(CALM, TROUBLE), max_size=40))
def test_with_outages_and_restarts_what_is_not_the_truth_is_a_doubt(deeds):
    world = World()
    play(world, deeds)
    settle(world)
    assert world.wronged == []
    believed = world.believed()
    for tag, where in world.truth.items():
        assert believed.get(tag) == (State.PRESENT, where)
    for tag, (state, _) in believed.items():
        assert tag in world.truth or state is State.UNACCOUNTED
    doubts = any(state is State.UNACCOUNTED for state, _ in believed.values())
    assert ("cabinet_unaccounted" in world.standing()) == doubts
    # The records say the same as the state: the core has the same truth, and the same doubts.
    told = world.told()
    assert told.keys() == believed.keys()
    for tag, (state, where) in believed.items():
        assert (told[tag][0] == "DOUBTED") == (state is State.UNACCOUNTED)
        assert told[tag][1] == where
