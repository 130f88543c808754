"""What a policy's text may say, so that a finite check covers every purpose, tenant and name."""

import pytest

from gateway.domain.labels import DestinationInfo, Label, Treatment, Zone
from security.policy import PolicyError, compile_policy
from security.policy.compile import schema
from security.policy.examine import examine

CORE = DestinationInfo("core", Zone.CAMPUS, "care", "hospital")


def forbid(when, scope="principal, action, resource"):
    return f'@id("f") forbid ({scope}) when {{ {when} }};'


REFUSED = {
    "f: like can't be used: it matches parts of strings": 'principal.purpose like "ca*"',
    "f: has can't be used: every attribute is always there": "principal has purpse",
    "f: is can't be used": "principal is Destination",
    "f: purpose == …: only comparisons with literals": "principal.purpose == principal.tenant",
    "f: tenant != …: only comparisons": '(if true then "a" else "b") != principal.tenant',
    "f: contains: only comparisons": "[principal.tenant].contains(principal.purpose)",
    "f: Record can't be used here: compare": '{"a": principal.purpose} == {"a": "x"}',
    "f: Set can't be used here": '[principal.purpose] == ["care"]',
    "f: if-then-else can't be used here": "(if true then 1 else 2) == resource.level",
    "f: containsAny can't be used: write a comparison": '["a"].containsAny([principal.purpose])',
    "f: kinds of data have no names": 'resource == Data::"health_status/6"',
    "f: principal is a Destination, compared with a Data": 'principal == Data::"x"',
    "f: no destination is named 'vendr'": 'principal in [Destination::"vendr"]',
    "f: zone is a Zone, compared with a DataClass": 'principal.zone in DataClass::"health_status"',
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_hides_a_string_or_means_nothing_is_refused(why):
    with pytest.raises(PolicyError) as refused:
        compile_policy(forbid(REFUSED[why]), [CORE])
    assert str(refused.value).startswith(why)


@pytest.mark.parametrize(
    ("scope", "why"),
    [
        ("principal is Data, action, resource", "f: .*unable to find an applicable action"),
        ('principal, action, resource == Data::"x"', "f: kinds of data have no names"),
        ('principal in Destination::"vendr", action, resource', "f: no destination"),
        ('principal is Destination in Destination::"vendr", action, resource', "f: no destination"),
    ],
)
def test_scopes_are_read_too(scope, why):
    with pytest.raises(PolicyError, match=why):
        compile_policy(forbid("true", scope), [CORE])


@pytest.mark.parametrize(
    "when",
    [
        '["care", "research"].contains(principal.purpose)',
        '"hospital" == principal["tenant"] || !(principal.purpose != "care")',
        '[Zone::"ward", Zone::"campus"].contains(principal.zone)',
        'principal == Destination::"core" && resource.level * 2 - 1 >= 3',
        'if resource.level < 3 then principal.zone == Zone::"ward" else -resource.level < -3',
        'principal in [Destination::"core"] && resource.class == DataClass::"health_status"',
        'action == Action::"pass" || action in [Action::"mask"]',
    ],
)
def test_what_can_be_checked_is_taken(when):
    compile_policy(forbid(when), [CORE])


def test_unless_is_the_negation_of_when():
    text = (
        '@id("p") permit (principal, action == Action::"pass", resource)'
        ' unless { principal.purpose == "marketing" || resource.level > 3 };'
    )
    row = compile_policy(text, [CORE]).rows["core"]
    assert {label.level for label, t in row.items() if t is Treatment.PASS} == {1, 2, 3}


def test_all_that_a_text_names_is_found():
    text = (
        '@id("a") @doc("why it is so") permit (principal == Destination::"core", action, resource)'
        ' when { ["x", "y"].contains(principal.purpose) } unless { "z" == principal.tenant };'
    )
    found = examine(text, schema(), None)
    assert (set(found.purposes), set(found.tenants)) == ({"x", "y"}, {"z"})
    assert set(found.destinations) == {"core"}
    assert found.rules["a"] == ("a", "permit", "why it is so")


@pytest.mark.parametrize("annotation", ["id", "doc"])
@pytest.mark.parametrize("text", ["two\\nlines", "\\u{1b}[31m", "x" * 501])
def test_what_is_shown_to_people_is_one_printable_line(annotation, text):
    other = '@id("a")' if annotation == "doc" else ""
    with pytest.raises(PolicyError, match=f"@{annotation} must be one printable line"):
        compile_policy(f'{other}@{annotation}("{text}") permit (principal, action, resource);', [])


def test_deep_nesting_is_refused_and_not_a_crash():
    compile_policy(forbid("!(" * 50 + "true" + ")" * 50), [CORE])
    for when in (
        "!(" * 10_000 + "true" + ")" * 10_000,
        "if true then true else " * 10_000 + "true",
        " || ".join(["resource.level == 1"] * 5000),
        "[" * 10_000,
    ):
        with pytest.raises(PolicyError, match="nested too deeply"):
            compile_policy(forbid(when), [CORE])


def test_what_stands_in_strings_and_comments_does_not_nest():
    strange = r"(\"" * 100
    text = '// (((( "\n' * 100 + forbid(f'principal.purpose == "{strange}"')
    compile_policy(text, [CORE])


def test_two_treatments_of_which_neither_is_stricter_are_a_conflict():
    text = (
        '@id("most") permit (principal, action, resource) when { resource.level == 3 };'
        '@id("no") forbid (principal, action == Action::"pass", resource);'
    )
    with pytest.raises(PolicyError) as refused:
        compile_policy(text, [CORE])
    assert "most permits to pseudonymise, and most to generalise" in str(refused.value)
    assert "level 3 for core: neither is the stricter" in str(refused.value)


def test_a_rule_that_permits_everything_is_none_for_the_most_revealing_wins():
    text = '@id("all") permit (principal, action, resource) when { resource.level == 1 };'
    row = compile_policy(text, [CORE]).rows["core"]
    assert {t for label, t in row.items() if label.level == 1} == {Treatment.PASS}
    assert {t for label, t in row.items() if label.level > 1} == {Treatment.WITHHOLD}
    assert isinstance(next(iter(row)), Label)
