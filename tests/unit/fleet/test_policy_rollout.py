"""Stage by stage: the table, what counts as an event, and that a killed fleet goes on."""

from datetime import UTC, datetime
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.rollout import (
    ENDS,
    LOST_US,
    RESTARTS_MAX,
    STEPS,
    Before,
    Effect,
    Event,
    Rollout,
    State,
    View,
    Wish,
    observe,
    stages_of,
)
from fleet.rollout_store import RolloutStore
from fleet.store import NotKnownError, PreconditionError
from gateway.domain.errors import MalformedError
from security import pki
from tests.unit.fleet.policy_scene import DPO, LOW, MORE, NOTHING, OFFICER, Edge, Scene

SECOND_US = 1_000_000
NAMES = [f"edge-{n}" for n in range(1, 6)]
STAGES = (("edge-1",), ("edge-2", "edge-3"), ("edge-4", "edge-5"))


@pytest.fixture(scope="module")
def authority():
    # The fake clock's year.
    began = datetime.fromtimestamp(1_790_000_000 - 86_400, UTC)
    return pki.create_issuing(pki.create_root("ward.example", began), began)


@pytest.fixture
async def scene(tmp_path, authority):
    made = Scene(tmp_path / "fleet.db", authority, edges=[Edge(name) for name in NAMES[:3]])
    made.operator("ann", DPO)
    made.operator("ben", DPO)
    made.operator("sam", OFFICER)
    await made.policies.load()
    return made


def wishes(*names):
    return [Wish((each,)) for each in names]


# The table


def test_the_table_leads_from_applying_to_an_end_and_from_no_end():
    assert not [state for state, _ in STEPS if state in ENDS]
    reached = {State.APPLYING}
    before: set[State] = set()
    while reached != before:
        before = set(reached)
        reached |= {after for (state, _), (after, _) in STEPS.items() if state in reached}
    assert reached == set(State)


@pytest.mark.parametrize("state", [each for each in State if each not in ENDS])
def test_whoever_is_under_way_can_be_aborted_and_paused(state):
    assert STEPS[state, Event.ABORT] == (State.ABORTED, Effect.WITHDRAW)
    if state is not State.PAUSED:
        assert STEPS[state, Event.PAUSE][0] is State.PAUSED


async def test_every_state_with_every_event(scene):
    number = await scene.signed(LOW)
    begun = await scene.rollouts.start(scene.order(number, *wishes("edge-1", "edge-2")), "ann")
    kept = RolloutStore(scene.policies.kept)
    for state, event in product(State, Event):
        scene.policies.kept.want(scene.edges, 0)
        scene.policies.kept.want(["edge-1"], number)
        scene.store.db.execute("UPDATE policy_rollouts SET state=?, stage=0", (state,))
        now = kept.last()
        assert now is not None
        assert now.state is state
        found = STEPS.get((state, event))
        if found is None:
            with pytest.raises(PreconditionError, match=f"is {state}"):
                kept.step(now, event, "", ())
            assert kept.last() == now
            continue
        after = kept.step(now, event, "why", ("edge-1",))
        assert after == kept.last()
        assert after.state is found[0]
        assert after.stage == (1 if found[1] is Effect.NEXT else 0)
        told = {row.gateway for row in scene.policies.kept.gateways() if row.wanted == number}
        assert (
            told
            == {
                Effect.NOTHING: {"edge-1"},
                Effect.TELL: {"edge-1"},
                Effect.NEXT: {"edge-1", "edge-2"},
                Effect.WITHDRAW: set(),
            }[found[1]]
        ), (state, event)
    last = kept.last()
    assert last is not None
    assert last.rollout_id == begun.rollout_id


def rollout(**more):
    base = Rollout(
        1, 5, STAGES, frozenset(), 10 * SECOND_US, 60 * SECOND_US, False, "ann", 0,
        State.APPLYING, 0, 0, 0, False, "",
    )  # fmt: skip
    return base._replace(**more)


HAS = View(heard=True, number=5)


@pytest.mark.parametrize(
    ("kept", "views", "before", "now_s", "event"),
    [
        ({}, {}, {}, 1, None),
        ({}, {}, {}, 60, Event.TROUBLE),
        ({}, {"edge-1": HAS._replace(number=4)}, {}, 1, None),
        ({}, {"edge-1": HAS._replace(heard=False)}, {}, 1, None),
        ({}, {"edge-1": HAS}, {}, 1, Event.IN_FORCE),
        ({}, {"edge-1": HAS._replace(number=6)}, {}, 1, Event.TROUBLE),
        ({}, {"edge-1": HAS._replace(number=4, refusal="no key")}, {}, 1, Event.TROUBLE),
        ({"skipped": frozenset({"edge-1"})}, {}, {}, 1, Event.IN_FORCE),
        (
            {"skipped": frozenset({"edge-1"})},
            {"edge-1": View(refusal="no key")},
            {},
            1,
            Event.IN_FORCE,
        ),
        ({"state": State.SOAKING}, {"edge-1": HAS}, {"edge-1": Before(HAS)}, 9, None),
        ({"state": State.SOAKING}, {"edge-1": HAS}, {"edge-1": Before(HAS)}, 10, Event.SOAKED),
        ({"state": State.SOAKING}, {"edge-1": HAS}, {}, 10, Event.UNSETTLED),
        ({"state": State.SOAKING}, {}, {"edge-1": Before(HAS)}, 10, Event.UNSETTLED),
        (
            {"state": State.SOAKING, "manual": True},
            {"edge-1": HAS},
            {"edge-1": Before(HAS)},
            10,
            Event.SOAKED_BY_HAND,
        ),
        (
            {"state": State.SOAKING, "stages": STAGES[:1], "manual": True},
            {"edge-1": HAS},
            {"edge-1": Before(HAS)},
            10,
            Event.SOAKED_LAST,
        ),
        ({"state": State.WAITING}, {}, {}, 1000, None),
        ({"state": State.WAITING}, {"edge-1": HAS._replace(number=6)}, {}, 1000, Event.TROUBLE),
        # Those of an earlier stage count, too.
        (
            {"stage": 1},
            {"edge-1": View(refusal="lost its key"), "edge-2": HAS, "edge-3": HAS},
            {},
            1,
            Event.TROUBLE,
        ),
        ({"state": State.PAUSED}, {"edge-1": HAS}, {}, 1000, None),
        ({"state": State.DONE}, {}, {}, 1000, None),
        ({"state": State.ABORTED}, {"edge-1": View(refusal="x")}, {}, 1000, None),
    ],
)
def test_what_counts_as_an_event(kept, views, before, now_s, event):
    seen = observe(rollout(**kept), views, before, now_s * SECOND_US)
    assert (seen.event if seen else None) is event


@pytest.mark.parametrize(
    ("released", "withheld", "silent"),
    [
        (90, 20, False),  # nothing was to be said
        (90, 40, True),
        (90, 39, False),  # too few to tell
        (91, 40, False),
    ],
)
def test_silent_is_who_only_withholds_what_it_released_before(released, withheld, silent):
    before = {"edge-1": Before(HAS._replace(released=90, withheld=20), has_released=True)}
    after = {"edge-1": HAS._replace(released=released, withheld=withheld)}
    soaking = rollout(state=State.SOAKING)
    seen = observe(soaking, after, before, 10 * SECOND_US)
    assert seen is not None
    assert seen.event is (Event.TROUBLE if silent else Event.SOAKED)
    accepted = observe(soaking._replace(silence_accepted=True), after, before, 10 * SECOND_US)
    assert accepted is not None
    assert accepted.event is Event.SOAKED


@given(
    st.lists(st.sampled_from(NAMES), unique=True, min_size=1),
    st.lists(st.integers(1, 100).map(lambda percent: Wish(percent=percent)), max_size=4),
    st.integers(1, 99),
)
def test_everybody_is_told_once(targets, shares, number):
    stages = stages_of(number, targets, shares, lambda _ward: ())
    told = [name for stage in stages for name in stage]
    assert sorted(told) == sorted(targets)
    assert all(stages)


def test_stages_are_named_gateways_shares_and_wards():
    many = [f"g{n:02}" for n in range(20)]
    stages = stages_of(
        3,
        many,
        [Wish(("g07",)), Wish(percent=25), Wish(ward="icu")],
        lambda ward: {"icu": ["g01", "g02", "g07", "elsewhere"]}[ward],
    )
    assert stages[0] == ("g07",)
    assert len(stages[1]) == 4  # a quarter with the first one
    assert {"g01", "g02"} <= set(stages[1]) | set(stages[2])
    assert sum(map(len, stages)) == 20
    for bad, words in (
        (Wish(("nobody",)), "not signed for nobody"),
        (Wish(), "a stage is"),
        (Wish(("g01",), 5), "a stage is"),
        (Wish(percent=101), "101 percent"),
        (Wish(ward="none"), "nobody is left"),
    ):
        with pytest.raises(ValueError, match=words):
            stages_of(3, many, [bad], lambda _ward: [])
    with pytest.raises(ValueError, match="more than 32"):
        stages_of(3, many, [Wish(percent=1)] * 33, lambda _ward: [])


# Over the store, with gateways


async def test_it_goes_from_stage_to_stage_and_ends(scene):
    number = await scene.signed(LOW)
    await scene.rollouts.start(scene.order(number, *wishes("edge-1", "edge-2")), "ann")
    seen: list[object] = []
    for _ in range(60):
        now = await scene.turn()
        has = sorted(name for name, edge in scene.edges.items() if edge.facts.number == number)
        if (now.stage, now.state, has) not in seen[-1:]:
            seen.append((now.stage, now.state, has))
    assert seen[0] == (0, State.SOAKING, ["edge-1"])
    assert (1, State.SOAKING, ["edge-1", "edge-2"]) in seen
    assert seen[-1] == (2, State.DONE, NAMES[:3])
    names = scene.audit.names()
    assert names.count("policy_rollout_started") == 1
    assert names.count("policy_rollout_done") == 1


@pytest.mark.parametrize("killed_after", range(0, 16, 2))
async def test_a_fleet_that_is_killed_goes_on_where_it_was(scene, killed_after):
    number = await scene.signed(LOW)
    await scene.rollouts.start(scene.order(number, *wishes("edge-1"), soak_s=4), "ann")
    for turn in range(60):
        if turn == killed_after:
            scene = scene.again()
            await scene.policies.load()
        now = await scene.turn()
    assert now.state is State.DONE
    assert {edge.facts.number for edge in scene.edges.values()} == {number}


async def test_a_step_and_what_it_tells_are_one(scene, monkeypatch):
    number = await scene.signed(LOW)
    await scene.rollouts.start(scene.order(number, *wishes("edge-1"), soak_s=0), "ann")

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    await scene.turn()
    monkeypatch.setattr(scene.policies.kept, "want", killed)
    with pytest.raises(Killed):
        await scene.turn(3)
    scene = scene.again()
    await scene.policies.load()
    assert scene.policies.wanted("edge-2") is None
    assert (await scene.rollouts.last()).stage == 0
    assert (await scene.turn(20)).state is State.DONE


async def test_one_that_refuses_pauses_it_and_is_told_again_on_resume(scene):
    number = await scene.signed(LOW)
    scene.edges["edge-2"].needs_key = True
    await scene.rollouts.start(scene.order(number, *wishes("edge-1", "edge-2")), "ann")
    now = await scene.turn(20)
    assert (now.state, now.stage) == (State.PAUSED, 1)
    assert now.reason == "edge-2 refuses it: there is no pseudonym_key"
    await scene.turn()
    gauge = scene.telemetry.registry.get_sample_value("wardgate_fleet_policy_rollout_paused")
    assert gauge == 1
    assert scene.edges["edge-3"].facts.number == 0
    # What it refused before is over; it refuses once more, and that counts.
    assert (await scene.rollouts.control(Event.RESUME, "ann")).state is State.APPLYING
    assert (await scene.turn(2)).state is State.PAUSED
    scene.edges["edge-2"].needs_key = False
    await scene.rollouts.control(Event.RESUME, "ann")
    assert (await scene.turn(60)).state is State.DONE


async def test_one_that_is_away_is_waited_for_up_to_the_limit_and_can_be_skipped(scene):
    number = await scene.signed(LOW)
    away = scene.edges["edge-1"]
    away.attached = False
    await scene.rollouts.start(scene.order(number, *wishes("edge-1")), "ann")
    assert (await scene.turn(20)).state is State.APPLYING
    now = await scene.turn(20)
    assert (now.state, now.reason) == (State.PAUSED, "waited in vain for 1 gateways: edge-1")
    with pytest.raises(NotKnownError):
        await scene.rollouts.skip("nobody", "ann")
    await scene.rollouts.skip("edge-1", "ann")
    await scene.rollouts.control(Event.RESUME, "ann")
    assert (await scene.turn(40)).state is State.DONE
    assert away.facts.number == 0
    away.attached = True
    await scene.turn(2)
    assert away.facts.number == number  # it hears of it all the same


async def test_by_hand_it_waits_after_each_stage(scene):
    number = await scene.signed(LOW)
    order = scene.order(number, *wishes("edge-1"), soak_s=0, manual=True)
    await scene.rollouts.start(order, "ann")
    now = await scene.turn(10)
    assert (now.state, now.stage) == (State.WAITING, 0)
    now = await scene.rollouts.control(Event.RESUME, "ann")
    assert (now.state, now.stage) == (State.APPLYING, 1)
    assert (await scene.turn(10)).state is State.DONE  # after the last there is nothing to ask


async def test_an_abort_leaves_what_is_in_force_and_tells_nobody_more(scene):
    number = await scene.signed(LOW)
    scene.edges["edge-2"].attached = False
    await scene.rollouts.start(scene.order(number, Wish(("edge-1", "edge-2"))), "ann")
    await scene.turn(5)
    assert (await scene.rollouts.control(Event.ABORT, "sam")).state is State.ABORTED
    scene.edges["edge-2"].attached = True
    await scene.turn(5)
    assert scene.edges["edge-1"].facts.number == number
    assert scene.edges["edge-2"].facts.number == 0
    with pytest.raises(PreconditionError):
        await scene.rollouts.control(Event.RESUME, "ann")


async def test_a_silenced_gateway_pauses_it_until_somebody_has_looked(scene):
    first = await scene.signed(LOW)
    await scene.rollouts.start(scene.order(first, soak_s=0), "ann")
    assert (await scene.turn(10)).state is State.DONE
    for edge in scene.edges.values():
        edge.facts.released = 100
    second = await scene.signed(NOTHING)
    await scene.rollouts.start(scene.order(second, *wishes("edge-1")), "ann")
    for _ in range(12):
        scene.edges["edge-1"].facts.withheld += 5
        now = await scene.turn()
    assert (now.state, now.reason) == (State.PAUSED, "releases nothing any more: edge-1")
    await scene.rollouts.control(Event.RESUME, "ann")
    for _ in range(12):
        scene.edges["edge-1"].facts.withheld += 5
        now = await scene.turn()
    assert now.stage == 1


def restart(edge):
    edge.facts.released = edge.facts.withheld = 0
    edge.started_us += 1


async def test_a_gateway_that_was_silenced_and_started_anew_is_noticed_all_the_same(scene):
    number = await scene.signed(LOW)
    edge = scene.edges["edge-1"]
    edge.facts.released = 100
    await scene.rollouts.start(scene.order(number, *wishes("edge-1")), "ann")
    for turn in range(14):
        if turn == 3:
            restart(edge)
        edge.facts.withheld += 5
        now = await scene.turn()
    assert (now.state, now.reason) == (State.PAUSED, "releases nothing any more: edge-1")


async def test_a_gateway_that_is_started_anew_soaks_anew_and_not_for_ever(scene):
    number = await scene.signed(LOW)
    edge = scene.edges["edge-1"]
    await scene.rollouts.start(scene.order(number, *wishes("edge-1")), "ann")
    for _ in range(RESTARTS_MAX):
        now = await scene.turn(4)
        assert (now.state, now.stage) == (State.SOAKING, 0)
        restart(edge)
    now = await scene.turn(4)
    assert (now.state, now.stage) == (State.SOAKING, 0)
    restart(edge)
    now = await scene.turn(4)
    assert (now.state, now.stage) == (State.PAUSED, 0)
    assert now.reason == f"started anew {RESTARTS_MAX + 1} times in this stage: edge-1"
    await scene.rollouts.control(Event.RESUME, "ann")  # who has seen it
    assert (await scene.turn(60)).state is State.DONE


@pytest.mark.parametrize("stage", [0, 1])
async def test_a_gateway_that_has_it_and_is_heard_no_more_pauses_it_within_a_bound(scene, stage):
    number = await scene.signed(LOW)
    edge = scene.edges["edge-1"]
    order = scene.order(number, *wishes("edge-1", "edge-2"), soak_s=3600, wait_s=86400)
    await scene.rollouts.start(order, "ann")
    assert (await scene.turn(3)).state is State.SOAKING
    if stage:
        scene.clock.advance(3600)
        assert (await scene.turn(3)).stage == 1
    edge.attached = False
    scene.clock.advance(LOST_US / 1e6 - 60)
    now = await scene.turn(3)
    assert (now.state is State.PAUSED, now.stage) == (False, stage)
    scene.clock.advance(60)
    now = await scene.turn(3)
    assert (now.state, now.stage) == (State.PAUSED, stage)
    assert now.reason == "not heard for 15 minutes since it had it: edge-1"


async def test_one_rollout_at_a_time_and_only_of_what_was_signed(scene):
    number = await scene.signed(LOW)
    with pytest.raises(NotKnownError):
        await scene.rollouts.start(scene.order(99), "ann")
    with pytest.raises(MalformedError, match="not signed for"):
        await scene.rollouts.start(scene.order(number, Wish(("nobody",))), "ann")
    with pytest.raises(MalformedError, match="hours"):
        await scene.rollouts.start(scene.order(number, wait_s=0), "ann")
    await scene.rollouts.start(scene.order(number), "ann")
    other = await scene.signed(NOTHING)
    with pytest.raises(PreconditionError, match="let it end, or abort it"):
        await scene.rollouts.start(scene.order(other), "ann")


async def test_what_was_compared_with_something_else_is_not_rolled_out(scene):
    """Both are narrower than what was in force; the second reopens what the first has closed."""
    wide = await scene.signed(MORE)
    await scene.rollouts.start(scene.order(wide, soak_s=0), "ann")
    assert (await scene.turn(10)).state is State.DONE
    closed, reopened = await scene.signed(NOTHING), await scene.signed(LOW)
    rows = {row.number: row for row in scene.policies.kept.policies()}
    assert (rows[closed].approved_by, rows[reopened].approved_by) == ("", "")
    await scene.rollouts.start(scene.order(closed, soak_s=0), "ann")
    assert (await scene.turn(10)).state is State.DONE
    with pytest.raises(PreconditionError, match="propose it again"):
        await scene.rollouts.start(scene.order(reopened), "ann")
    with pytest.raises(PreconditionError, match="numbers only grow"):
        await scene.rollouts.start(scene.order(wide), "ann")
