"""Operators and their roles, on the command line against a fleet process."""

import json
from typing import Any

import grpc
import pytest

from fleet.client import FleetError
from fleet.roles import ANY, RIGHTS
from protos.wardgate.v1 import fleet_pb2 as pb
from security.names import Role
from tests.integration.fleet_process import Fleet


@pytest.fixture
def fleet(tmp_path):
    made = Fleet(tmp_path)
    made.start()
    yield made
    made.close()


def add(fleet, name, *roles):
    """An operator with a certificate of its own."""
    place = fleet.directory / f"operator-{name}"
    options = [word for role in roles for word in ("--role", role)]
    fleet.command("operator", "add", name, *options, "--bundle", str(place))
    return place


def listed(fleet):
    found = json.loads(fleet.command("operator", "list", "--json").stdout)["operators"]
    return {each["name"]: each.get("roles", []) for each in found}


def test_the_first_operator_has_every_role_and_others_what_they_were_given(fleet):
    add(fleet, "ada", "viewer")
    add(fleet, "bob", "provisioner", "dpo")
    assert listed(fleet) == {"admin": sorted(ANY), "ada": ["viewer"], "bob": ["dpo", "provisioner"]}
    shown = fleet.command("operator", "show", "ada").stdout
    assert "viewer" in shown
    assert "credential" in shown
    assert "bob" in fleet.command("operator", "list").stdout
    again = fleet.command("operator", "add", "ada", "--role", "viewer", check=False)
    assert (again.returncode, again.stderr) == (2, "wardgate: operator ada is there already\n")
    wrong = fleet.command("operator", "add", "eve", "--role", "root", check=False)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("wardgate: operator: a role is one of viewer, provisioner")


def test_a_role_is_asked_for_at_each_call(fleet):
    ada = add(fleet, "ada", "viewer")
    fleet.command("device", "list", identity=ada)
    refused = fleet.command("device", "add", "pump-1", identity=ada, check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        "wardgate: not_allowed: ada may not AddDevice: it takes the role provisioner, has viewer\n"
    )
    with type(fleet.client())(fleet.address, ada) as client:
        # One connection throughout: a role counts from the next call on, not the next connection.
        request = pb.AddDeviceRequest(device_id="pump-1")
        with pytest.raises(FleetError, match="not_allowed"):
            client.call("AddDevice", request, pb.AddDeviceResponse)
        fleet.command("operator", "roles", "ada", "provisioner")
        client.call("AddDevice", request, pb.AddDeviceResponse)
        fleet.command("operator", "roles", "ada")
        with pytest.raises(FleetError, match="has none"):
            client.call("ListDevices", pb.ListDevicesRequest(), pb.ListDevicesResponse)
        fleet.command("operator", "revoke", "ada", "--reason", "left")
        with pytest.raises(FleetError, match="revoked"):
            client.call("ListDevices", pb.ListDevicesRequest(), pb.ListDevicesResponse)
    assert "ada" not in listed(fleet)


def test_a_certificate_alone_may_nothing(fleet):
    """Every call of the service, with nothing in it, by an operator who has no role."""
    files = fleet.issue(Role.OPERATOR, "nobody")
    credentials = grpc.ssl_channel_credentials(
        files.trust.read_bytes(), files.key.read_bytes(), files.cert.read_bytes()
    )
    with grpc.secure_channel(fleet.address, credentials) as channel:
        for call in sorted({right.partition("/")[0] for right in RIGHTS}):
            method: Any = channel.unary_unary(f"/wardgate.v1.FleetService/{call}")
            with pytest.raises(grpc.RpcError) as refused:
                method(b"", timeout=20)
            assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED, call
            assert "not_allowed" in (refused.value.details() or "")
    fleet.stop()
    told = "".join(path.read_text() for path in (fleet.directory / "state/audit").glob("*"))
    assert "not_allowed Revoke" in told
    assert "operator/nobody" in told


def test_the_last_security_officer_stays(fleet):
    words = "wardgate: the last security officer can not go: appoint another first\n"
    serial = json.loads(fleet.command("operator", "show", "admin", "--json").stdout)
    serial = serial["credentials"][0]["serial"]
    for command in (
        ("operator", "revoke", "admin"),
        ("operator", "roles", "admin", "viewer"),
        ("fleet", "revoke", "operator", "admin"),
        ("fleet", "revoke", "operator", "admin", "--serial", serial),
    ):
        done = fleet.command(*command, check=False)
        assert (done.returncode, done.stderr) == (2, words)
    # One who is registered and has no certificate could not act either.
    fleet.command("operator", "add", "eve", "--role", "security_officer")
    assert fleet.command("operator", "revoke", "admin", check=False).stderr == words
    fleet.command("device", "list")


def test_the_fleets_host_gives_roles_while_the_service_runs(fleet, tmp_path):
    cy = tmp_path / "cy"
    issue = ("ca", "issue", "operator", "cy", "--config", str(fleet.config))
    fleet.command(*issue, "--out", str(cy))
    assert fleet.command("device", "list", identity=cy, check=False).returncode == 2
    fleet.command(*issue, "--out", str(tmp_path / "again"), "--role", "viewer")
    fleet.command("device", "list", identity=cy)
    assert fleet.command("operator", "list", identity=cy, check=False).returncode == 2
    done = fleet.command(
        *("ca", "issue", "gateway", "edge", "--config", str(fleet.config)),
        *("--out", str(tmp_path / "edge"), "--role", "viewer"),
        check=False,
    )
    assert done.stderr == "wardgate: gateway: only operators have roles\n"


def test_who_brings_a_device_back_is_the_officer(fleet, tmp_path):
    ada = add(fleet, "ada", "provisioner")
    out = tmp_path / "mon-1"
    fleet.command("device", "add", "mon-1", "--bundle", str(out), identity=ada)
    fleet.command("device", "update", "mon-1", "--bed", "4", identity=ada)
    fleet.command("device", "update", "mon-1", "--standing", "suspended", identity=ada)
    back = ("device", "update", "mon-1", "--standing", "active")
    refused = fleet.command(*back, identity=ada, check=False)
    assert "ada may not UpdateDevice/reinstate" in refused.stderr
    fleet.command(*back)
    fleet.command("device", "revoke", "mon-1")
    renew = ("device", "add", "mon-1", "--renew", "--bundle", str(tmp_path / "new"))
    refused = fleet.command(*renew, identity=ada, check=False)
    assert "ada may not AddDevice/revoked" in refused.stderr
    fleet.command(*renew)


def test_operators_are_remembered(fleet):
    ada = add(fleet, "ada", "viewer")
    fleet.stop()
    fleet.start()
    fleet.command("device", "list", identity=ada)
    assert listed(fleet)["ada"] == ["viewer"]
