"""``wardgate audit`` as its users have it."""

import csv
import json
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from security.audit import AuditConfig, AuditLog, load_or_create_key
from tests.fakes import FakeClock
from wardgate.main import app

DAY_S = 86400


class Place:
    """A log with three days in it, and its keys."""

    def __init__(self, folder):
        self.log, self.key = folder / "audit", folder / "audit.key"
        self.public = folder / "audit.pub"
        self.clock = FakeClock()
        log = AuditLog(
            self.log,
            load_or_create_key(self.key),
            self.clock,
            AuditConfig(file_bytes_max=1500),
            "gateway/edge-1",
        )
        for day in range(3):
            log.record("policy", result="in force", version=f"v{day}")
            log.refused("untrusted", "mqtt", f"10.0.0.{day}:55", f"mon-{day}")
            head = log.checkpoint()
            self.clock.advance(DAY_S)
        assert head is not None
        self.head = head
        log.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("audit"))


def run(*words):
    """Exit code and output; what the command line would say of an error, as its one line."""
    result = CliRunner().invoke(app, ["audit", *map(str, words)])
    error = result.exception
    said = "" if error is None or isinstance(error, SystemExit) else f"{error}"
    assert "\n" not in said
    return (0 if error is None else 2), result.stdout, said


def test_verify_says_in_a_line_what_is_right(place, tmp_path):
    code, said, _ = run("verify", place.log, "--key", place.public)
    assert code == 0
    assert said.startswith("gateway/edge-1: entries 1 to ")
    assert "signed heads; 0 entries since" in said
    assert "not checked" in run("verify", place.log)[1]
    anchor = tmp_path / "anchor.json"
    found = json.loads(run("verify", place.log, "--key", place.public, "--json")[1])
    anchor.write_text(json.dumps(found["head"]))
    assert "1 states kept elsewhere agree" in run("verify", place.log, "--anchor", anchor)[1]


def test_verify_says_in_a_line_what_is_wrong(place, tmp_path):
    stranger = tmp_path / "stranger.key"
    load_or_create_key(stranger)
    for words, wrong in (
        ((place.log, "--key", stranger), "which was not given"),
        ((place.log, "--key", tmp_path / "none"), "no such key"),
        ((tmp_path,), "there is no audit.log"),
        ((place.log, "--anchor", place.public), "no head"),
        ((place.log, "--ledger", tmp_path / "none.sqlite"), "unable to open"),
    ):
        code, _, said = run("verify", *words)
        assert (code, wrong in said) == (2, True), said


def test_show_chooses_by_time_event_and_device(place):
    lines = run("show", place.log)[1].splitlines()
    assert sum(" policy " in line for line in lines) == 3
    assert "2026-" in lines[0]
    one = run("show", place.log, "--device", "mon-1", "--json")[1].splitlines()
    assert [json.loads(line)["peer"] for line in one] == ["10.0.0.1:55"]
    events = run("show", place.log, "--event", "policy", "--event", "rotated", "--json")[1]
    assert {json.loads(line)["event"] for line in events.splitlines()} == {"policy", "rotated"}
    begin = json.loads(one[0])["us"] // 1_000_000
    day = datetime.fromtimestamp(begin, UTC)
    until = (day + timedelta(seconds=1)).isoformat()
    window = run("show", place.log, "--since", day.isoformat(), "--until", until, "--json")[1]
    assert {json.loads(line)["us"] // 1_000_000 for line in window.splitlines()} == {begin}
    assert "is no time" in run("show", place.log, "--since", "yesterday")[2]


def test_export_in_three_formats(place):
    rows = list(csv.DictReader(run("export", place.log, "--format", "csv")[1].splitlines()))
    assert rows[0]["event"] == "opened"
    assert [row["device"] for row in rows if row["event"] == "refused"] == [
        "mon-0",
        "mon-1",
        "mon-2",
    ]
    documents = run("export", place.log, "--format", "atna")[1].splitlines()
    assert {ET.fromstring(each).tag for each in documents} == {"AuditMessage"}
    plain = run("export", place.log)[1].splitlines()
    assert len(plain) == len(rows)
    assert "no format" in run("export", place.log, "--format", "pdf")[2]


def test_foreign_words_are_harmless(tmp_path):
    log = AuditLog(tmp_path / "audit", Ed25519PrivateKey.generate(), FakeClock())
    log.refused("untrusted", "mqtt", "10.0.0.1:5", "=cmd|' /C calc'!A0\x1b[2J\u202e")
    log.close()
    table = run("export", tmp_path / "audit", "--format", "csv")[1]
    shown = run("show", tmp_path / "audit")[1] + table
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    rows = list(csv.DictReader(table.splitlines()))
    assert rows[1]["device"].startswith("'=")


def test_a_proof_convinces_somebody_who_has_not_the_log(place, tmp_path):
    number = next(
        json.loads(line)["n"]
        for line in run("show", place.log, "--device", "mon-1", "--json")[1].splitlines()
    )
    code, said, _ = run("prove", place.log, number, "--key", place.public)
    assert code == 0
    proof = tmp_path / "proof.json"
    proof.write_text(said)
    code, told, _ = run("check", proof, "--key", place.public)
    assert code == 0
    assert f"entry {number} is in the log of gateway/edge-1" in told
    good = json.loads(said)
    for change in (
        {"entry": good["entry"].replace("mon-1", "mon-2")},
        {"leaf_index": good["leaf_index"] + 1},
        {"path": good["path"][:-1]},
        {"path": ["zz"]},
        {"head": good["head"] | {"size": good["head"]["size"] + 1}},
        {"head": good["head"] | {"root": "00" * 32}},
    ):
        proof.write_text(json.dumps(good | change))
        assert "does not hold" in run("check", proof, "--key", place.public)[2]
    proof.write_text("{}")
    assert "no proof" in run("check", proof, "--key", place.public)[2]
    assert "no head covers" in run("prove", place.log, 10_000)[2]
