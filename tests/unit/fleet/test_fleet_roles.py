"""The table of rights: every call is in it, and nobody may more than it says."""

from pathlib import Path

import pytest

from fleet.roles import ANY, NOT_ALLOWED, RIGHTS, OperatorRole, check, parse
from gateway.domain.errors import MalformedError, RefusedError
from protos.wardgate.v1 import fleet_pb2 as pb

CALLS = {each.name for each in pb.DESCRIPTOR.services_by_name["FleetService"].methods}
FOR_OTHERS = {"Attach", "WatchRevocations"}
READS = {name for name in CALLS if name.startswith(("Get", "List"))}
OFFICER, VIEWER = OperatorRole.SECURITY_OFFICER, OperatorRole.VIEWER


def test_every_call_of_the_service_is_in_the_table_and_nothing_else():
    named = {right.partition("/")[0] for right in RIGHTS}
    assert named == CALLS - FOR_OTHERS
    assert named <= set(RIGHTS)


def test_every_right_is_somebodys():
    assert all(RIGHTS.values())


def test_a_viewer_changes_nothing():
    assert {right for right, roles in RIGHTS.items() if VIEWER in roles} <= READS


def test_what_decides_over_trust_is_the_officers_alone():
    for right in ("Revoke", "AddManufacturer", "AddOperator", "SetOperatorRoles"):
        assert RIGHTS[right] == {OFFICER}


def test_the_document_has_the_table():
    text = (Path(__file__).parents[3] / "docs" / "fleet.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    head = next(row for row in rows if row[:2] == ["call", "viewer"])[1:]
    told = {row[0]: row[1:] for row in rows if row and row[0] in RIGHTS}
    assert set(told) == set(RIGHTS)
    for right, cells in told.items():
        marked = {role for role, cell in zip(head, cells, strict=True) if cell == "x"}
        assert marked == RIGHTS[right], right


@pytest.mark.parametrize("right", sorted(RIGHTS))
@pytest.mark.parametrize("role", sorted(OperatorRole))
def test_a_role_may_what_the_table_says(right, role):
    if role in RIGHTS[right]:
        check("ada", frozenset({role}), [right])
        return
    with pytest.raises(RefusedError, match=f"ada may not {right}") as refused:
        check("ada", frozenset({role}), [right])
    assert refused.value.reason == NOT_ALLOWED


def test_without_a_role_nobody_may_anything():
    for right in RIGHTS:
        with pytest.raises(RefusedError, match="has none"):
            check("ada", frozenset(), [right])


@pytest.mark.parametrize("right", ["Unknown", "Attach", "", "AddDevice/unknown"])
def test_what_is_not_in_the_table_nobody_may(right):
    with pytest.raises(RefusedError):
        check("ada", ANY, [right])


def test_one_right_that_is_missing_is_enough():
    check("ada", frozenset({OFFICER}), ["UpdateDevice", "UpdateDevice/reinstate"])
    with pytest.raises(RefusedError, match="UpdateDevice/reinstate"):
        check(
            "ada",
            frozenset({OperatorRole.PROVISIONER}),
            ["UpdateDevice", "UpdateDevice/reinstate"],
        )


def test_roles_are_read_by_their_names():
    assert parse(["viewer", "dpo"]) == {VIEWER, OperatorRole.DPO}
    with pytest.raises(MalformedError, match="a role is one of viewer, provisioner"):
        parse(["root"])
