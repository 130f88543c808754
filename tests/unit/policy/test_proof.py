"""An invariant that holds is proved for everything that there can be; one that doesn't is shown."""

import json

import cedarpy
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from gateway.domain.labels import DataClass, DestinationInfo, Label, Treatment, Zone
from security.policy import (
    PolicyError,
    compile,  # noqa: A004  # the module
    default_invariants,
    default_policy,
    proof,
    prove,
    read_invariants,
    schema,
    verified_policy,
)
from security.policy.words import OTHER

CORE = DestinationInfo("core", Zone.CAMPUS, "care", "hospital")
VENDOR = DestinationInfo("vendor", Zone.PARTNER, "maintenance", "maker")
BOTH = (CORE, VENDOR)
SHIPPED = read_invariants(default_invariants())


def invariants(text):
    return read_invariants(text.encode())


def permit(treatment, name="a", when="true"):
    return (
        f'@id("{name}") permit (principal, action == Action::"{treatment}", resource)'
        f" when {{ {when} }};"
    )


def test_the_default_policy_keeps_the_default_invariants():
    research = VENDOR._replace(name="study", purpose="research")
    found = prove(default_policy(), SHIPPED, [*BOTH, research])
    assert found.holds
    assert found.notes == ()
    assert all(result.cells > 100 for result in found.results)
    found.require()


def test_and_so_does_it_for_any_destinations():
    assert prove(default_policy(), SHIPPED).holds


def test_nothing_leaves_by_an_empty_policy():
    assert prove("", SHIPPED, BOTH).holds


# Policies with one mistake each: what it is -> the text, and what is said of it.
INSIDE = permit("pass", "inside", 'principal.zone == Zone::"campus" && resource.level <= 4')
WRONG = {
    "a misspelt attribute": (
        INSIDE + '@id("keep") forbid (principal, action, resource)'
        ' when { principal.purpos == "marketing" };',
        ['keep: a destination has no "purpos", only zone, purpose, tenant'],
    ),
    "a forbid that errors": (
        permit("mask", "all") + '@id("keep") forbid (principal, action, resource)'
        " when { resource.level * 9223372036854775807 > 9 };",
        ["keep", "overflow"],
    ),
    "a misspelt zone": (
        permit("pass", "inside", 'principal.zone == Zone::"campos"'),
        ['inside: there is no zone "campos", only ward, campus, group, partner, public'],
    ),
    "a misspelt class": (
        permit("pass", "inside", 'resource.class == DataClass::"helth_status"'),
        ['inside: there is no class "helth_status", only personal_attributes, health_status'],
    ),
    "a misspelt treatment": (
        '@id("some") permit (principal, action == Action::"masc", resource);',
        ['some: there is no treatment "masc", only pass, '],
    ),
    "a condition on what no rule knows": (
        permit("pass", "nights", "context.hour < 6"),
        ["nights: a rule knows the destination and the kind of data", '"context.hour"'],
    ),
    "a rule that is not ended": (
        INSIDE + '\n\n// what; ever\n@id("x") @doc("a; b")\npermit (principal, action, resource)',
        ["the rule that begins in line 4 can't be read: unexpected end of input"],
    ),
    "treatments that conflict": (
        (
            '@id("some") permit (principal, action, resource) when { resource.level == 2 };'
            '@id("never") forbid (principal, action == Action::"pass", resource);'
        ),
        ["some permits to pseudonymise", "to generalise", "neither is the stricter"],
    ),
    "a pattern": (
        permit("pass", "inside", 'principal.tenant like "hospital*"'),
        ["inside", "like", "every purpose and tenant"],
    ),
    "no name": ("permit (principal, action, resource);", ["needs an @id"]),
    "a misspelt destination": (
        INSIDE + '@id("keep") forbid (principal == Destination::"vendr", action, resource);',
        ["keep", "no destination is named 'vendr'"],
    ),
    "a forbid that never applies": (
        INSIDE + '@id("keep") forbid (principal, action, resource) when { resource.level > 5 };',
        ["keep: forbids nothing"],
    ),
    "a forbid with && for ||": (
        INSIDE + '@id("keep") forbid (principal, action, resource)'
        ' when { principal.zone == Zone::"group" && principal.zone == Zone::"partner" };',
        ["keep: forbids nothing"],
    ),
    # From here on Cedar takes it, and the invariants don't.
    "a permit without a condition": (
        permit("pass", "all"),
        ["identifying-stays-on-campus is broken", "level 4", "leaves unchanged", "by all"],
    ),
    "a level off by one": (
        permit(
            "pseudonymise", "partners", 'principal.zone == Zone::"partner" && resource.level <= 4'
        ),
        ["identifying-stays-on-campus", "level 4", "vendor (zone partner", "under pseudonyms"],
    ),
    "a misspelt purpose in a forbid": (
        permit("pass", "care", "resource.level == 5") + '@id("keep") forbid (principal, action,'
        ' resource) when { principal.purpose == "maintenence" };',
        ["special-diseases-for-care-only", "vendor (zone partner, purpose maintenance", "by care"],
    ),
    "a destination that is open by default": (
        permit("pass", "friends", 'principal.zone != Zone::"public" && resource.level <= 3'),
        ["outside-under-other-names", "level 3", "leaves unchanged, by friends"],
    ),
    "unless, which leaves open what nobody thought of": (
        (
            '@id("most") permit (principal, action == Action::"pass", resource)'
            ' unless { principal.purpose == "research" || resource.level >= 4 };'
        ),
        ["outside-under-other-names", "vendor (zone partner", "by most"],
    ),
    "a treatment too weak for the public": (
        permit("pseudonymise", "open", 'principal.zone == Zone::"public" && resource.level <= 3'),
        ["public-without-names", "any other destination (zone public", "under pseudonyms"],
    ),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_policy_with_one_mistake_is_refused_with_a_readable_reason(mistake):
    text, words = WRONG[mistake]
    with pytest.raises(PolicyError) as refused:
        verified_policy(text, BOTH, SHIPPED)
    assert all(word in str(refused.value) for word in words), str(refused.value)


TENANT = """
[[invariant]]
id = "only-our-own"
words = "Nobody but the hospital itself gets what a device says."
level_min = 3
tenant_not = "hospital"
at_most = "withhold"
"""


def test_a_tenant_that_nobody_named_is_a_counter_example():
    text = permit("pass", "not-them", 'principal.tenant != "maker" && resource.level == 3')
    broken = prove(text, invariants(TENANT), BOTH)
    [result] = broken.results
    assert result.example is not None
    assert result.example.destination.tenant == OTHER
    assert "any other tenant" in result.sentence
    assert result.broken < result.cells
    kept = prove(text.replace('!= "maker"', '== "hospital"'), invariants(TENANT), BOTH)
    assert kept.holds


def test_a_counter_example_is_a_configured_destination_where_there_is_one():
    [result] = prove(permit("pass"), invariants(TENANT), BOTH).results
    assert result.example is not None
    assert result.example.destination == VENDOR


def test_a_configured_destination_has_its_own_facts_and_others_have_any():
    text = (
        '@id("core") permit (principal == Destination::"core", action == Action::"pass",resource);'
    )
    care = invariants(TENANT.replace("tenant_not", "tenant").replace('"hospital"', '"other"'))
    assert prove(text, care, BOTH).holds
    assert not prove(text, care).holds  # elsewhere core may be anybody's


def test_as_strict_is_enough_and_neither_stricter_is_not():
    text = permit("mask")
    for most, holds in (("mask", True), ("pseudonymise", True), ("generalise", False)):
        rule = TENANT.replace("withhold", most)
        assert prove(text, invariants(rule), BOTH).holds is holds
    several = TENANT.replace('"withhold"', '["generalise", "mask"]')
    assert prove(text, invariants(several), BOTH).holds


def test_what_looks_like_a_mistake_is_noted():
    text = permit("pass", "a", 'principal.purpose == "caer" && resource.level == 1')
    text += permit("pass", "b", "resource.level == 5")
    text += '@id("f") forbid (principal, action, resource) when { resource.level >= 4 };'
    nothing = TENANT + 'destination = "core"\n'
    notes = prove(text, invariants(nothing), BOTH).notes
    assert notes == (
        "b permits nothing that is not forbidden",
        "the policy names the purpose 'caer', which no destination has",
        "invariant only-our-own selects nothing",
    )


def test_the_word_for_all_others_is_one_that_nobody_uses():
    text = permit("pass", "a", f'principal.tenant == "{OTHER}" && resource.level == 3')
    [result] = prove(text, invariants(TENANT), BOTH).results
    assert result.example is not None
    assert result.example.destination.tenant == OTHER
    other = prove(text, invariants(TENANT.replace("hospital", OTHER)), BOTH)
    assert other.holds


def test_what_would_take_too_long_is_refused(monkeypatch):
    named = " || ".join(f'principal.tenant == "{n}"' for n in range(150))
    with pytest.raises(PolicyError, match=r"had to be asked about 755 kinds"):
        prove(permit("pass", "a", named), SHIPPED)
    monkeypatch.setattr(proof, "POINTS_MAX", 10)
    with pytest.raises(PolicyError, match="10 are the most"):
        prove(default_policy(), SHIPPED)


# Against brute force, with the finite things made smaller so that it ends.

ZONES = (Zone.CAMPUS, Zone.PARTNER)
FEW = tuple(
    Label(data_class, level)
    for data_class in (DataClass.HEALTH_STATUS, DataClass.HEALTH_RESOURCES)
    for level in (3, 4)
)
ATOMS = st.sampled_from(
    [
        'principal.purpose == "care"',
        'principal.purpose != "care"',
        '["care", "x"].contains(principal.purpose)',
        'principal.tenant == "h"',
        '"h" != principal.tenant',
        'principal.zone == Zone::"campus"',
        'principal == Destination::"core"',
        "resource.level >= 4",
        "resource.level * 2 < 8",
        'resource.class == DataClass::"health_status"',
    ]
)
CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds("({} && {})".format, inner, inner),
        st.builds("({} || {})".format, inner, inner),
        st.builds("!({})".format, inner),
    ),
    max_leaves=4,
)
ACTIONS = st.sampled_from(
    [f'action == Action::"{word}"' for word in ("pass", "pseudonymise", "mask")]
)
RULES = st.tuples(
    st.sampled_from(["permit", "permit", "forbid"]),
    ACTIONS,
    st.sampled_from(["when", "unless"]),
    CONDITIONS,
)
INVARIANTS = st.fixed_dictionaries(
    {"at_most": st.sampled_from(["mask", "pseudonymise", "withhold"])},
    optional={
        "level_min": st.sampled_from([3, 4]),
        "zone_not": st.just("campus"),
        "purpose": st.sampled_from(["care", "y"]),
        "tenant_not": st.sampled_from(["h", "k"]),
        "destination_not": st.just("core"),
    },
)


def brute_force(text, rule, destinations):
    """Ask Cedar about each destination by itself; the cells that break the rule."""
    policies = cedarpy.PolicySet.from_str(text)
    broken = set()
    for info in destinations:
        entities = [
            {
                "uid": {"type": "Destination", "id": info.name},
                "attrs": {
                    "zone": {"__entity": {"type": "Zone", "id": str(info.zone)}},
                    "purpose": info.purpose,
                    "tenant": info.tenant,
                },
                "parents": [],
            }
        ]
        for label in FEW:
            word = label.data_class.name.lower()
            entities.append(
                {
                    "uid": {"type": "Data", "id": f"{word}{label.level}"},
                    "attrs": {
                        "class": {"__entity": {"type": "DataClass", "id": word}},
                        "level": label.level,
                    },
                    "parents": [],
                }
            )
        actions = ("pass", "pseudonymise", "mask")
        requests = [
            {
                "principal": {"type": "Destination", "id": info.name},
                "action": {"type": "Action", "id": action},
                "resource": {"type": "Data", "id": f"{label.data_class.name.lower()}{label.level}"},
                "context": {},
            }
            for label in FEW
            for action in actions
        ]
        results = cedarpy.is_authorized_batch(requests, policies, entities)
        assert not any(result.diagnostics.errors for result in results)
        answers = iter(results)
        for label in FEW:
            allowed = [
                action for action in actions if next(answers).decision is cedarpy.Decision.Allow
            ]
            treatment = Treatment[(allowed or ["withhold"])[0].upper()]
            if rule.selects(info) and rule.selects_data(label) and not rule.allows(treatment):
                broken.add((info, label))
    return broken


@settings(deadline=None, max_examples=25, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    rules=st.lists(RULES, min_size=1, max_size=3),
    said=INVARIANTS,
    strange=st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=2),
)
def test_a_proof_says_what_brute_force_finds(rules, said, strange):
    text = "\n".join(
        f'@id("r{n}") {effect} (principal, {action}, resource) {kind} {{ {condition} }};'
        for n, (effect, action, kind, condition) in enumerate(rules)
    )
    document = '[[invariant]]\nid = "i"\nwords = "w"\n' + "".join(
        f"{key} = {json.dumps(value)}\n" for key, value in said.items()
    )
    [rule] = invariants(document)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compile, "LABELS", FEW)
        patch.setattr(proof, "Zone", ZONES)
        try:
            found = prove(text, [rule])
        except PolicyError as refused:
            assume("forbids nothing" not in str(refused))
            raise
    [result] = found.results
    destinations = [
        DestinationInfo(name, zone, purpose, tenant)
        for name in ("core", strange[0])
        for zone in ZONES
        for purpose in ("care", "x", "y", *strange)
        for tenant in ("h", "k", strange[1])
    ]
    broken = brute_force(text, rule, destinations)
    assert found.holds is not bool(broken)
    if result.example is not None:
        facts = result.example.destination
        name, purpose, tenant = (
            "nobody said this" if word == OTHER else word
            for word in (facts.name, facts.purpose, facts.tenant)
        )
        concrete = DestinationInfo(name, facts.zone, purpose, tenant)
        assert (concrete, result.example.decision.label) in brute_force(text, rule, [concrete])


def test_the_schema_has_no_word_that_the_space_lacks():
    for zone in Zone:
        assert f'"{zone}"' in schema()
