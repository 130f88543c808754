"""Two persons for dangerous calls, on the command line against a fleet process."""

import json
import signal

import pytest

from security.pseudonyms import Pseudonyms
from tests.integration.fleet_process import Fleet
from tests.integration.test_operators import add

DEVICES = [f"pump-{number}" for number in range(4)]


@pytest.fixture
def fleet(tmp_path):
    made = Fleet(tmp_path, "[limits]\nrevoke_devices_above = 2\n")
    made.start()
    for name in DEVICES:
        place = made.directory / name
        made.command("device", "add", name, "--ward", "icu", "--bundle", str(place))
    yield made
    made.close()


def revoked(fleet):
    found = json.loads(fleet.command("device", "list", "--json").stdout)["devices"]
    return sorted(each["device_id"] for each in found if each.get("revoked"))


def waiting(fleet):
    found = json.loads(fleet.command("approval", "list", "--json").stdout)
    return [int(each["approval_id"]) for each in found.get("approvals", [])]


def test_many_devices_are_revoked_by_two(fleet, tmp_path):
    bob = add(fleet, "bob", "security_officer")
    eve = add(fleet, "eve", "viewer")
    some = tmp_path / "some.txt"
    some.write_text("# lost in the move\npump-0\n\npump-1  # really\n")
    fleet.command("device", "revoke", "--file", str(some))
    assert revoked(fleet) == DEVICES[:2]  # few enough
    fleet.command("device", "add", "pump-4", "--ward", "icu", "--transport", "serial")
    asked = fleet.command("device", "revoke", "--ward", "icu", "--reason", "theft", check=False)
    assert asked.returncode == 3
    assert asked.stdout.startswith("nothing is done yet: request 1 (revoke_devices) waits until")
    # What comes later is not meant: what was shown is what is done.
    fleet.command("device", "add", "pump-5", "--ward", "icu", "--transport", "serial")
    shown = json.loads(fleet.command("approval", "show", "1", "--json", identity=bob).stdout)
    assert json.loads(shown["parameters"])["devices"] == ["pump-2", "pump-3", "pump-4"]
    approve = ("approval", "approve", "1", "--digest", shown["digest"])
    own = fleet.command(*approve, check=False)
    assert own.stderr == "wardgate: not_allowed: admin asked for this: another must approve\n"
    assert own.returncode == 2
    viewer = fleet.command(*approve, identity=eve, check=False)
    assert "eve may not DecideApproval" in viewer.stderr
    assert revoked(fleet) == DEVICES[:2]
    # A restart forgets nothing that waits.
    fleet.stop(signal.SIGKILL)
    fleet.start()
    assert waiting(fleet) == [1]
    done = fleet.command(*approve, identity=bob)
    assert done.stdout == "request 1 (revoke_devices) is executed\n"
    assert revoked(fleet) == DEVICES
    serial = json.loads(fleet.command("device", "show", "pump-4", "--json").stdout)
    assert serial["standing"] == "STANDING_SUSPENDED"
    assert waiting(fleet) == []
    again = fleet.command(*approve, identity=bob, check=False)
    assert again.stderr == "wardgate: request 1 is executed already\n"
    fleet.stop()
    told = "".join(path.read_text() for path in (fleet.directory / "state/audit").glob("*"))
    assert told.count('"event":"approval_executed"') == 1
    assert '"by":"admin+bob"' in told


def test_officers_come_and_go_by_two(fleet):
    bob = add(fleet, "bob", "security_officer")  # the second one is the first one's choice
    add(fleet, "cy", "viewer")
    alone = fleet.command("operator", "add", "dan", "--role", "dpo", check=False)
    assert alone.returncode == 2
    assert "appointed by two" in alone.stderr
    assert fleet.command("operator", "roles", "cy", "dpo", check=False).returncode == 3
    assert fleet.command("operator", "revoke", "bob", check=False).returncode == 3
    assert fleet.command("fleet", "revoke", "operator", "bob", check=False).returncode == 3
    assert len(waiting(fleet)) == 2  # the same thing twice is one request
    fleet.command("approval", "reject", "2", "--reason", "he stays", identity=bob)
    digest = json.loads(fleet.command("approval", "show", "1", "--json").stdout)["digest"]
    fleet.command("approval", "approve", "1", "--digest", digest, identity=bob)
    assert "dpo" in fleet.command("operator", "show", "cy").stdout
    # Both of them agree that the one who asked goes.
    asked = fleet.command("operator", "roles", "admin", "viewer", identity=bob, check=False)
    assert asked.returncode == 3
    digest = json.loads(fleet.command("approval", "show", "3", "--json").stdout)["digest"]
    fleet.command("approval", "approve", "3", "--digest", digest)
    assert "security_officer" not in fleet.command("operator", "show", "admin", identity=bob).stdout
    every = fleet.command("approval", "list", "--all", identity=bob).stdout
    assert [line.split()[2] for line in every.splitlines()[1:]] == [
        "executed",
        "rejected",
        "executed",
    ]


def test_a_bulk_call_names_exactly_one_selection(fleet):
    for options in ((), ("--all", "--ward", "icu"), ("pump-1", "--all")):
        done = fleet.command("device", "revoke", *options, check=False)
        assert done.stderr == "wardgate: give one device, or one of --all, --ward and --file\n"
    nothing = fleet.command("device", "revoke", "--ward", "none", check=False)
    assert nothing.stderr == "wardgate: no such device is in service\n"
    assert fleet.command("device", "revoke", "--all", check=False).returncode == 3


def test_devices_are_found_again_by_two_and_the_key(fleet, tmp_path):
    bob, dan = add(fleet, "bob", "security_officer"), tmp_path / "dan"
    fleet.command("operator", "add", "dan", "--bundle", str(dan))
    assert fleet.command("operator", "roles", "dan", "dpo", check=False).returncode == 3
    approve(fleet, 1, bob)
    key = tmp_path / "trial.key"
    key.write_bytes(b"k" * 32)
    key.chmod(0o600)
    names = Pseudonyms(b"k" * 32, "vendor", "trial-7")
    asked = [names.name("pump-2"), names.name("elsewhere-1")]
    ask = ("reidentify", "ask", "--destination", "vendor", "--project", "trial-7", *asked)
    why = ("--reason", "recall 4711")
    assert "dpo" in fleet.command(*ask, *why, identity=bob, check=False).stderr
    assert fleet.command(*ask, *why, identity=dan, check=False).returncode == 3
    digest = json.loads(fleet.command("approval", "show", "2", "--json").stdout)["digest"]
    reveal = ("reidentify", "reveal", "--approval", "2", "--key", str(key), "--digest")

    early = fleet.command(*reveal, digest, identity=dan, check=False)
    assert early.stderr == "wardgate: request 2 is pending, not approved\n"
    done = approve(fleet, 2, bob)
    assert done.stdout == "request 2 (reidentify) is approved\n"
    fleet.stop(signal.SIGKILL)
    fleet.start()
    wrong = fleet.command(*reveal, "0" * 64, identity=dan, check=False)
    assert wrong.stderr == "wardgate: request 2 is not what was shown\n"
    assert (
        "may not TakeReidentification"
        in fleet.command(*reveal, digest, identity=bob, check=False).stderr
    )
    found = json.loads(fleet.command(*reveal, digest, "--json", identity=dan).stdout)
    assert found == {"devices": {asked[0]: "pump-2", asked[1]: ""}}
    again = fleet.command(*reveal, digest, identity=dan, check=False)
    assert again.stderr == "wardgate: request 2 is executed, not approved\n"

    fleet.stop()
    told = "".join(path.read_text() for path in (fleet.directory / "state/audit").glob("*"))
    for event in ("approval_requested", "approval_given", "approval_taken"):
        assert any(f'"{event}"' in line and digest in line for line in told.splitlines())
    noted = (tmp_path / "trial.key.audit" / "audit.log").read_text()
    assert digest in noted
    assert '"found":1' in noted
    assert "pump-2" not in noted


def test_a_request_for_devices_is_looked_at_before_it_waits(fleet, tmp_path):
    add(fleet, "bob", "security_officer")
    ask = ("reidentify", "ask", "--destination", "vendor", "--reason", "recall")
    done = fleet.command(*ask, "pump-1", check=False)
    assert (done.returncode, done.stderr) == (
        2,
        "wardgate: reidentify: no pseudonym of a device: 'pump-1'\n",
    )
    key = tmp_path / "short.key"
    key.write_bytes(b"short")
    key.chmod(0o600)
    reveal = ("reidentify", "reveal", "--approval", "1", "--digest", "x", "--key", str(key))
    done = fleet.command(*reveal, check=False)
    assert done.stderr == f"wardgate: {key}: a pseudonym key needs 32 bytes\n"


def approve(fleet, number, identity):
    shown = json.loads(fleet.command("approval", "show", str(number), "--json").stdout)
    approve = ("approval", "approve", str(number), "--digest", shown["digest"])
    return fleet.command(*approve, identity=identity)
