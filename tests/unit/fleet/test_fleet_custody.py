"""What the custodian computes, and refuses to compute."""

import hashlib
import json

import pytest

from fleet.custody import Custodian
from gateway.domain.errors import ConfigError
from protos.wardgate.v1 import fleet_pb2 as pb
from security.pseudonyms import Pseudonyms

SECRET = b"k" * 32
NAMES = Pseudonyms(SECRET, "vendor", "trial")


@pytest.fixture
def key(tmp_path):
    made = tmp_path / "trial.key"
    made.write_bytes(SECRET)
    made.chmod(0o600)
    return made


def approval(pseudonyms, project="trial"):
    asked = {"destination": "vendor", "project": project, "pseudonyms": pseudonyms}
    text = json.dumps(asked)
    digest = hashlib.sha256(f"reidentify\n{text}".encode()).hexdigest()
    return pb.Approval(
        approval_id=1,
        kind="reidentify",
        parameters=text,
        digest=digest,
        requested_by="dora",
        decided_by="otto",
    )


def test_devices_are_found_and_the_log_has_no_names(key, tmp_path):
    asked = approval([NAMES.name("mon-1"), NAMES.name("mon-9")])
    with Custodian(key, tmp_path / "log") as custodian:
        found = custodian.reveal(asked, asked.digest, ["mon-1", "mon-2"])
    assert found == {NAMES.name("mon-1"): "mon-1", NAMES.name("mon-9"): ""}
    noted = (tmp_path / "log" / "audit.log").read_text()
    assert asked.digest in noted
    assert "mon-1" not in noted
    assert '"by":"dora+otto"' in noted


def test_another_project_finds_nothing(key, tmp_path):
    asked = approval([NAMES.name("mon-1")], project="other")
    with Custodian(key, tmp_path / "log") as custodian:
        assert custodian.reveal(asked, asked.digest, ["mon-1"]) == {NAMES.name("mon-1"): ""}


def test_a_fleet_that_answers_with_more_than_was_shown_gets_nothing(key, tmp_path):
    shown, answered = approval([NAMES.name("mon-1")]), approval([NAMES.name("mon-2")])
    with (
        Custodian(key, tmp_path / "log") as custodian,
        pytest.raises(ConfigError, match="not what was approved"),
    ):
        custodian.reveal(answered, shown.digest, ["mon-1", "mon-2"])
    assert '"refused"' in (tmp_path / "log" / "audit.log").read_text()


def test_a_key_that_others_can_read_is_refused(key, tmp_path):
    key.chmod(0o644)
    with pytest.raises(ConfigError):
        Custodian(key, tmp_path / "log")
