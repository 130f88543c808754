"""Proposing: what is compared, who must agree, and what is signed for whom."""

import json
from datetime import UTC, datetime

import pytest

from fleet import policy_host, policy_store
from fleet.config import FleetConfig, TlsTable
from fleet.policy_draft import OTHER_INVARIANTS
from fleet.store import NotKnownError, PreconditionError
from gateway.domain.errors import ConfigError, MalformedError, RefusedError
from gateway.domain.labels import Zone
from security import pki
from security.policy import PolicyError
from security.policybundle import read_bundle
from tests.fakes import FakeClock
from tests.unit.fleet.policy_scene import (
    CORE,
    DPO,
    INVARIANTS,
    LOW,
    MORE,
    NOTHING,
    OFFICER,
    VENDOR,
    Edge,
    Scene,
)


def authority_of(domain="ward.example"):
    began = datetime.fromtimestamp(1_790_000_000 - 86_400, UTC)  # the fake clock's year
    return pki.create_issuing(pki.create_root(domain, began), began)


@pytest.fixture(scope="module")
def authority():
    return authority_of()


@pytest.fixture
async def scene(tmp_path, authority):
    made = Scene(tmp_path / "fleet.db", authority, edges=[Edge("edge-1"), Edge("edge-2", (CORE,))])
    made.operator("ann", DPO)
    made.operator("sam", OFFICER)
    await made.policies.load()
    await made.hear()
    return made


async def proposed(scene, text, *gateways, invariants=INVARIANTS):
    return await scene.policies.propose(text, invariants, gateways, "ann")


async def rolled_out(scene, text, *gateways):
    number = await scene.signed(text, *gateways, second="sam")
    await scene.rollouts.start(scene.order(number, soak_s=0), "ann")
    assert (await scene.turn(8)).state == "done"
    return number


async def test_the_first_policy_lets_out_what_never_left_and_takes_two(scene):
    draft, row, waiting = await proposed(scene, LOW)
    assert row is None
    assert draft.widens
    shown = json.loads(waiting.parameters)
    assert shown["policy"] == LOW
    assert shown["gateways"] == ["edge-1", "edge-2"]
    assert "edge-1: vendor: health_status level 1: withhold -> pass" in shown["widens"]
    assert not [each for each in shown["widens"] if each.startswith("edge-2: vendor")]
    assert scene.policies.kept.policies() == []
    with pytest.raises(RefusedError, match="another must approve"):
        await scene.approvals.approve(waiting.approval_id, waiting.digest, "ann")
    done = await scene.approvals.approve(waiting.approval_id, waiting.digest, "sam")
    assert done.state == "executed"
    (policy,) = scene.policies.kept.policies()
    assert (policy.number, policy.proposed_by, policy.approved_by) == (1, "ann", "sam")
    # Nobody is told before a rollout.
    await scene.turn(3)
    assert {edge.facts.number for edge in scene.edges.values()} == {0}


async def test_each_bundle_is_one_gateways_and_for_its_destinations(scene, authority):
    await scene.signed(LOW, second="sam")
    rows = {row.gateway: row for row in scene.policies.kept.bundles(1)}
    for name, proved in (("edge-1", (CORE, VENDOR)), ("edge-2", (CORE,))):
        root = (authority.root,)
        found = read_bundle(rows[name].bundle, root, authority.trust_domain, name).bundle
        assert (found.number, found.policy, found.gateway) == (1, LOW, name)
        assert found.destinations == proved
    with pytest.raises(RefusedError):
        read_bundle(rows["edge-1"].bundle, (authority.root,), authority.trust_domain, "edge-2")


async def test_what_only_narrows_is_signed_by_one(scene):
    await rolled_out(scene, MORE)
    draft, row, waiting = await proposed(scene, LOW)
    assert (draft.widens, row.number, waiting) == (False, 2, None)
    assert (row.proposed_by, row.approved_by) == ("ann", "")
    assert [row.widened for row in scene.policies.kept.bundles(2)] == [(), ()]
    # Until that is in force, the wider one is no step back: it is as it was.
    assert not (await proposed(scene, MORE))[0].widens


async def test_compared_is_also_with_what_a_gateway_is_to_have(scene):
    await rolled_out(scene, MORE)
    scene.edges["edge-1"].mute = True
    number = await scene.signed(NOTHING)
    await scene.rollouts.start(scene.order(number), "ann")
    await scene.turn(3)
    draft, _, _ = await proposed(scene, LOW, "edge-1")
    assert draft.widens


async def test_a_policy_that_was_not_signed_here_is_compared_with_nothing(scene):
    await rolled_out(scene, MORE)
    scene.edges["edge-1"].facts.substance = "another"
    await scene.turn()
    assert (await proposed(scene, LOW, "edge-1"))[0].widens
    assert not (await proposed(scene, LOW, "edge-2"))[0].widens


async def test_a_destination_of_another_zone_is_another_one(scene):
    await rolled_out(scene, MORE)
    moved = VENDOR._replace(zone=Zone.CAMPUS)
    scene.edges["edge-1"].destinations = (CORE, moved)
    await scene.turn()
    draft, _, _ = await proposed(scene, LOW)
    widened = {each.gateway: each.widened for each in draft.targets}
    assert widened["edge-2"] == ()
    assert widened["edge-1"]
    assert all(words.startswith("vendor: ") for words in widened["edge-1"])


async def test_a_policy_that_any_gateway_would_refuse_is_refused(scene):
    for text, words in (
        ("permit (", "for edge-1"),
        (LOW + '@id("x") forbid (principal == Destination::"vendor", action, resource);', "edge-2"),
    ):
        with pytest.raises(MalformedError, match=words):
            await proposed(scene, text)
    assert scene.policies.kept.policies() == []
    assert await scene.approvals.list(every=True) == []


async def test_one_counter_example_refuses_it(scene):
    with pytest.raises(MalformedError, match="identifying-stays-on-campus is broken"):
        await proposed(scene, MORE.replace("<= 2", "<= 4"), invariants="")  # what is shipped
    with pytest.raises(MalformedError, match="campus is broken"):
        await proposed(scene, MORE.replace("<= 2", "<= 4"))
    with pytest.raises(MalformedError, match="invariant"):
        await proposed(scene, LOW, invariants="[[invariant]]\nid = 'x'\n")


async def test_who_has_not_said_enough_is_no_target(scene):
    with pytest.raises(PreconditionError, match="edge-9 has not said"):
        await proposed(scene, LOW, "edge-9")
    scene.edges["edge-2"].facts.schema_sha256 = b"of another version"
    await scene.turn()
    with pytest.raises(PreconditionError, match="edge-2 judges by another schema"):
        await proposed(scene, LOW)
    assert (await proposed(scene, LOW, "edge-1"))[2] is not None


async def test_facts_outlive_the_process_and_the_link(scene):
    scene.edges["edge-1"].attached = False
    scene = scene.again()
    await scene.policies.load()
    assert (await proposed(scene, LOW))[2] is not None


async def test_what_is_approved_is_what_was_shown_or_nothing(scene):
    _, _, waiting = await proposed(scene, LOW)
    scene.edges["edge-2"].destinations = (CORE, VENDOR)
    await scene.turn()
    done = await scene.approvals.approve(waiting.approval_id, waiting.digest, "sam")
    assert (done.state, done.detail.partition(":")[0]) == (
        "failed",
        "what it was compared with has changed since",
    )
    assert scene.policies.kept.policies() == []


async def test_changed_destinations_keep_it_from_being_rolled_out(scene):
    number = await scene.signed(LOW, second="sam")
    scene.edges["edge-2"].destinations = (CORE, VENDOR)
    await scene.turn()
    with pytest.raises(PreconditionError, match=r"its destinations are others|would widen"):
        await scene.rollouts.start(scene.order(number), "ann")


async def test_a_number_is_greater_than_any_gateways(scene):
    scene.edges["edge-1"].facts.number = 40
    await scene.turn()
    assert await scene.signed(LOW, second="sam") == 41
    # One that lies uses up nothing.
    for number in (2**62, 2**64 - 1):
        scene.edges["edge-2"].facts.number = number
        await scene.turn()
    assert await scene.signed(LOW, second="sam") == 42


async def test_other_invariants_take_two(scene):
    await rolled_out(scene, MORE)
    draft, _, waiting = await proposed(scene, LOW, invariants=INVARIANTS.replace("4", "5"))
    assert waiting is not None
    assert {words for each in draft.targets for words in each.widened} == {OTHER_INVARIANTS}


async def test_another_authority_signs_the_same_anew(scene):
    number = await rolled_out(scene, LOW)
    before = scene.policies.wanted("edge-1").row
    other = authority_of()
    scene.registry.site.list_signer = other
    scene.clock.advance(5)
    await scene.policies.tick()
    after = scene.policies.wanted("edge-1").row
    assert (after.number, after.signer) == (number, other.id)
    assert after.age_order > before.age_order
    found = read_bundle(after.bundle, (other.root,), other.trust_domain, "edge-1").bundle
    assert found.substance == scene.edges["edge-1"].facts.substance
    await scene.policies.tick()
    assert scene.policies.wanted("edge-1").row == after  # once


# On the host


@pytest.fixture
def host(tmp_path, authority):
    pki.save_authority(authority, tmp_path / "authority")
    here = tmp_path / "service.pem"
    return FleetConfig("127.0.0.1:0", tmp_path, tmp_path / "authority", TlsTable(here, here, here))


GATEWAY = """
[gateway]
name = "edge-1"
[[destinations]]
name = "core"
zone = "campus"
purpose = "care"
tenant = "ward"
address = "core:7500"
"""


async def test_the_host_signs_and_the_service_notices(scene, host, tmp_path, authority):
    path = tmp_path / "gateway.toml"
    path.write_text(GATEWAY)
    whom = policy_host.whose(path)
    assert tuple(whom) == ("edge-1", (CORE,), "")
    bundle, encoded = policy_host.sign(host, LOW, INVARIANTS, whom, scene.clock)
    assert read_bundle(encoded, (authority.root,), authority.trust_domain, "edge-1")
    assert bundle.number == 1
    await scene.turn(2)
    assert scene.edges["edge-1"].facts.number == 1
    assert scene.edges["edge-2"].facts.number == 0
    (row,) = scene.policies.kept.policies()
    assert (row.proposed_by, row.approved_by) == ("", "")
    # For everybody, it is brought by a rollout.
    bundle, _ = policy_host.sign(host, MORE, INVARIANTS, policy_host.EVERYBODY, scene.clock, 7)
    scene.edges["edge-1"].destinations = (CORE, VENDOR)
    await scene.turn()
    await scene.rollouts.start(scene.order(7, soak_s=0), "ann")
    assert (await scene.turn(8)).state == "done"
    assert {edge.facts.number for edge in scene.edges.values()} == {7}


def test_the_host_gives_no_number_twice(host):
    clock = FakeClock()
    sign, everybody = policy_host.sign, policy_host.EVERYBODY
    sign(host, LOW, INVARIANTS, everybody, clock, 5)
    for number in (4, 5):
        with pytest.raises(PreconditionError, match="not greater than policy 5"):
            sign(host, MORE, INVARIANTS, everybody, clock, number)
    clock.advance(9)
    again, _ = sign(host, LOW, INVARIANTS, everybody, clock, 5)  # the same, signed anew
    assert (again.number, again.issued_us) == (5, clock.now_us())
    assert sign(host, MORE, INVARIANTS, everybody, clock)[0].number == 6
    with pytest.raises(PolicyError):
        sign(host, "permit (", INVARIANTS, everybody, clock)
    assert sign(host, LOW, INVARIANTS, everybody, clock)[0].number == 7


def test_a_file_that_is_no_gateways_is_told(tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text("[gateway]\n")
    with pytest.raises(ConfigError, match="name"):
        policy_host.whose(path)


async def test_what_is_not_there_is_told(scene):
    with pytest.raises(NotKnownError):
        scene.policies.kept.policy(3)
    with pytest.raises(PreconditionError, match="there is no rollout"):
        await scene.rollouts.control("pause", "ann")


async def test_old_policies_go_and_those_that_somebody_has_stay(scene, monkeypatch):
    monkeypatch.setattr(policy_store, "POLICIES_KEPT", 3)
    monkeypatch.setattr(policy_store, "ROLLOUTS_KEPT", 2)
    first = await rolled_out(scene, LOW)
    scene.edges["edge-2"].attached = False  # keeps it
    texts = (MORE, LOW, NOTHING)
    for text in texts * 2:
        number = await scene.signed(text, "edge-1", second="sam")
        await scene.rollouts.start(scene.order(number, soak_s=0), "ann")
        assert (await scene.turn(8)).state == "done"
    kept = scene.policies.kept
    assert [row.number for row in kept.policies()] == [number, number - 1, number - 2, first]
    assert [row.gateway for row in kept.bundles(first)] == ["edge-1", "edge-2"]
    assert kept.bundles(first + 1) == []
    with pytest.raises(NotKnownError):
        kept.policy(first + 1)
    rollouts = scene.store.db.execute("SELECT count(*) FROM policy_rollouts").fetchone()
    assert rollouts[0] <= 3
    # It can still be compared with, and its number is not given out again.
    scene.edges["edge-2"].attached = True
    assert await scene.signed(NOTHING, second="sam") == number + 1
