"""What one policy releases and another does not; and decisions in words."""

import pytest

from gateway.domain.labels import AS_STRICT, DataClass, DestinationInfo, Label, Treatment, Zone
from security.policy import (
    LABELS,
    Kind,
    compile_policy,
    default_policy,
    differences,
    differences_everywhere,
    explain,
    widenings,
    words,
)

CORE = DestinationInfo("core", Zone.CAMPUS, "care", "hospital")
VENDOR = DestinationInfo("vendor", Zone.PARTNER, "maintenance", "maker")


def permit(treatment, name="a", when="true"):
    return (
        f'@id("{name}") permit (principal, action == Action::"{treatment}", resource)'
        f" when {{ {when} }};"
    )


def test_the_same_policy_changes_nothing():
    table = compile_policy(default_policy(), [CORE, VENDOR])
    assert differences(table, table) == []


def test_a_change_names_both_treatments_and_both_rules():
    old = compile_policy(permit("mask", "old", "resource.level == 3"), [CORE])
    new = compile_policy(permit("pass", "new", "resource.level == 2"), [CORE])
    found = {change.label: change for change in differences(old, new)}
    assert len(found) == 2 * len(DataClass)
    gone = found[Label(DataClass.HEALTH_STATUS, 3)]
    assert (gone.before, gone.after) == (Treatment.MASK, Treatment.WITHHOLD)
    assert (gone.rules_before, gone.rules_after) == (("old",), ())
    assert gone.kind is Kind.NARROWING
    come = found[Label(DataClass.HEALTH_STATUS, 2)]
    assert (come.kind, come.rules_after) == (Kind.WIDENING, ("new",))
    assert widenings(old, new) == [c for c in found.values() if c.label.level == 2]


@pytest.mark.parametrize("before", ["pass", "pseudonymise", "mask", ""])
@pytest.mark.parametrize("after", ["pass", "pseudonymise", "mask", ""])
def test_only_what_is_as_strict_is_no_widening(before, after):
    old, new = (compile_policy(permit(word) if word else "", [CORE]) for word in (before, after))
    one, other = (Treatment[(word or "withhold").upper()] for word in (before, after))
    assert bool(widenings(old, new)) is (other not in AS_STRICT[one])


def test_neither_stricter_lets_something_leave_that_did_not():
    old = compile_policy(permit("mask"), [CORE])
    label = Label(DataClass.HEALTH_STATUS, 3)
    decision = old.decisions["core", label]._replace(treatment=Treatment.GENERALISE)
    new = old._replace(decisions={**old.decisions, ("core", label): decision})
    for one, other in ((old, new), (new, old)):
        [change] = widenings(one, other)
        assert change.kind is Kind.INCOMPARABLE


def test_a_new_destination_got_nothing_before():
    old = compile_policy(default_policy(), [CORE])
    new = compile_policy(default_policy(), [CORE, VENDOR])
    assert {change.destination for change in widenings(old, new)} == {"vendor"}
    assert widenings(new, old) == []
    assert {change.kind for change in differences(new, old)} == {Kind.NARROWING}


def test_everywhere_finds_what_no_configured_destination_shows():
    old = permit("mask", "a", 'principal.tenant == "hospital"')
    new = permit("mask", "a", 'principal.tenant != "maker"')
    tables = [compile_policy(text, [CORE, VENDOR]) for text in (old, new)]
    assert widenings(*tables) == []
    found = differences_everywhere(old, new)
    assert {change.kind for change in found} == {Kind.WIDENING}
    assert {change.destination.rpartition(", ")[2] for change in found} == {"any other tenant)"}
    assert len(found) == len(Zone) * len(LABELS)
    back = differences_everywhere(new, old)
    assert [change.reveals_more for change in back] == [False] * len(found)
    assert differences_everywhere(new, new) == []


def test_a_decision_in_words():
    table = compile_policy(default_policy(), [CORE, VENDOR])
    label = Label(DataClass.HEALTH_STATUS, 3)
    first, rule, before = words.explain(
        explain(table, *label, "vendor"), table.destinations["vendor"], table.rules
    )
    assert first.startswith(
        "Health status data of level 3 (could be joined to a person) for vendor (zone partner,"
        " purpose maintenance, tenant maker) leaves under pseudonyms"
    )
    assert rule.startswith('Rule that permits this: partner-maintenance ("A maker of devices may')
    assert before == "Asked to pass it unchanged: no rule permits it."


def test_a_refusal_in_words():
    table = compile_policy(default_policy(), [VENDOR])
    label = Label(DataClass.HEALTH_STATUS, 4)
    first, *asked = words.explain(explain(table, *label, "vendor"), VENDOR, table.rules)
    assert "does not leave" in first
    assert len(asked) == 1
    assert asked[0].startswith("Asked to pass it unchanged, to pseudonymise it, to generalise it")
    assert 'forbidden by identifying-stays-inside ("Whatever' in asked[0]
