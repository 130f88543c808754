"""A policy compiles to the table that it says, or is refused whole."""

import pytest

from gateway.domain.labels import DataClass, DestinationInfo, Label, Treatment, Zone
from security import policy
from security.policy import PolicyError, compile_policy, default_policy, explain, matrix

CORE = DestinationInfo("core", Zone.CAMPUS, "care", "hospital")
VENDOR = DestinationInfo("vendor", Zone.PARTNER, "maintenance", "maker")
BOTH = (CORE, VENDOR)
VITALS = Label(DataClass.HEALTH_STATUS, 3)
TEXT = Label(DataClass.MEDICAL_APPLICATION, 4)


def permit(treatment, name="a", when="true"):
    return (
        f'@id("{name}") permit (principal, action == Action::"{treatment}", resource)'
        f" when {{ {when} }};"
    )


def forbid(name="f", when="true", scope="principal, action, resource"):
    return f'@id("{name}") forbid ({scope}) when {{ {when} }};'


def test_an_empty_policy_withholds_everything():
    table = compile_policy("", BOTH)
    assert {t for row in table.rows.values() for t in row.values()} == {Treatment.WITHHOLD}
    assert set(table.rows) == {"core", "vendor"}
    assert all(len(row) == 6 * 5 for row in table.rows.values())


def test_the_default_policy_keeps_what_identifies_inside():
    rows = compile_policy(default_policy(), BOTH).rows
    assert rows["core"][VITALS] is Treatment.PASS
    assert rows["core"][TEXT] is Treatment.PASS
    assert rows["core"][Label(DataClass.HEALTH_STATUS, 5)] is Treatment.WITHHOLD
    assert rows["vendor"][VITALS] is Treatment.PSEUDONYMISE
    assert rows["vendor"][Label(DataClass.MEDICAL_APPLICATION, 3)] is Treatment.WITHHOLD
    assert rows["vendor"][TEXT] is Treatment.WITHHOLD


@pytest.mark.parametrize(
    ("permitted", "expected"),
    [
        (("pass", "pseudonymise", "mask"), Treatment.PASS),
        (("mask", "pseudonymise"), Treatment.PSEUDONYMISE),
        (("mask",), Treatment.MASK),
        ((), Treatment.WITHHOLD),
    ],
)
def test_the_first_permitted_treatment_wins_whatever_the_order_of_the_text(permitted, expected):
    text = "\n".join(permit(word, name=word) for word in permitted)
    assert compile_policy(text, [CORE]).rows["core"][VITALS] is expected


def test_a_forbid_takes_treatments_away():
    text = permit("pass") + permit("mask", "b")
    text += forbid(scope='principal, action == Action::"pass", resource', when="resource.level > 2")
    row = compile_policy(text, [CORE]).rows["core"]
    assert row[Label(DataClass.HEALTH_STATUS, 2)] is Treatment.PASS
    assert row[VITALS] is Treatment.MASK


def test_destinations_are_told_apart_by_zone_purpose_tenant_and_name():
    text = (
        permit("pass", "a", 'principal.tenant == "hospital" && principal.purpose == "care"')
        + '@id("b") permit (principal == Destination::"vendor", action == Action::"mask",'
        " resource);"
    )
    rows = compile_policy(text, BOTH).rows
    assert (rows["core"][VITALS], rows["vendor"][VITALS]) == (Treatment.PASS, Treatment.MASK)


REFUSED = {
    "unexpected": "permit (",
    "a: .*wardd": permit("pass", when='principal.zone == Zone::"wardd"'),
    "purpos": forbid(when='principal.purpos == "care"'),
    'no treatment "pas"': permit("pas"),
    "compared with a DataClass": forbid(when='principal.zone == DataClass::"health_status"'),
    "compared with a Zone": forbid(when='Zone::"ward" != resource.class'),
    "no destination is named 'vendr'": forbid(
        scope='principal == Destination::"vendr", action, resource'
    ),
    "no destination is named 'elsewhere'": permit(
        "pass", when='principal == Destination::"elsewhere"'
    ),
    "needs an @id": "permit (principal, action, resource);",
    "two policies have this @id": permit("pass") + permit("mask"),
    "overflow": permit("pass") + forbid(when="resource.level + 9223372036854775807 > 4"),
    "templates": '@id("t") permit (principal == ?principal, action, resource);',
    "longer than": "//" + "x" * policy.POLICY_BYTES_MAX,
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_policy_is_refused_whole(why):
    with pytest.raises(PolicyError, match=why):
        compile_policy(REFUSED[why], BOTH)


def test_an_evaluation_error_for_one_destination_refuses_the_policy_for_all():
    # Cedar itself would skip the failing forbid and allow.
    text = permit("pass") + forbid(
        when='principal.zone == Zone::"partner" && resource.level * 9223372036854775807 > 9'
    )
    assert compile_policy(text, [CORE]).rows["core"][VITALS] is Treatment.PASS
    with pytest.raises(PolicyError, match="overflow"):
        compile_policy(text, BOTH)


def test_two_destinations_of_one_name_are_refused():
    with pytest.raises(PolicyError, match="same name"):
        compile_policy("", [CORE, CORE])


def test_the_version_names_text_and_destinations():
    base = compile_policy(permit("pass"), BOTH).version
    assert base == compile_policy(permit("pass"), BOTH[::-1]).version
    assert base != compile_policy(permit("pass") + " ", BOTH).version
    assert base != compile_policy(permit("pass"), [CORE]).version
    moved = CORE._replace(zone=Zone.PUBLIC)
    assert base != compile_policy(permit("pass"), [moved, VENDOR]).version


def test_explain_names_the_policies_that_decided():
    table = compile_policy(default_policy(), BOTH)
    passed = explain(table, *VITALS, "core")
    assert (passed.treatment, passed.policies) == (Treatment.PASS, ("inside-the-hospital",))
    treated = explain(table, *VITALS, "vendor")
    assert treated.treatment is Treatment.PSEUDONYMISE
    assert treated.policies == ("partner-maintenance",)
    assert [(a.treatment.name, a.permitted) for a in treated.asked] == [
        ("PASS", False),
        ("PSEUDONYMISE", True),
    ]
    withheld = explain(table, *TEXT, "vendor")
    assert withheld.treatment is Treatment.WITHHOLD
    assert withheld.policies == ("identifying-stays-inside",)
    nobody = explain(table, DataClass.MEDICAL_APPLICATION, 3, "vendor")
    assert (nobody.treatment, nobody.policies) == (Treatment.WITHHOLD, ())


def test_explain_knows_what_it_does_not_know():
    table = compile_policy("", [CORE])
    with pytest.raises(PolicyError, match="vendor"):
        explain(table, *VITALS, "vendor")


def test_the_matrix_has_every_cell_once():
    cells = [(d.destination, d.label) for d in matrix(compile_policy("", BOTH))]
    assert len(cells) == len(set(cells)) == 2 * 6 * 5
