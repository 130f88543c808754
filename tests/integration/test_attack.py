"""The attack suite against a demo: everything as expected, and the suite itself can fail."""

import json
import subprocess
import sys

import pytest

from tests.integration import ward
from tests.integration.ward import ROOT

SECONDS_MAX = 480
BOUND_S = "10"
"""For a neighbour's answer, on a machine that does other things meanwhile."""


def attack(endpoints, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "wardgate", "attack", "--endpoints", endpoints, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS_MAX,
    )


@pytest.mark.timeout(2 * SECONDS_MAX)
def test_every_attack_is_withstood(tmp_path):
    with ward.running(tmp_path) as running:
        endpoints = running.state / "endpoints.json"
        done = attack(endpoints, "--json", "--bound-s", BOUND_S)
        rows = json.loads(done.stdout)
        assert [row for row in rows if not row["good"]] == []
        assert done.returncode == 0
        seen = {row["attack"]: row["seen"] for row in rows}
        assert len(seen) == len(rows) > 350
        # What must work did: a system that lets nobody in would pass everything else.
        controls = {name: word for name, word in seen.items() if "/control: " in name}
        assert set(controls.values()) == {"accepted"}
        assert len(controls) == 3

        # The same suite, when the attacker's certificate is a good one: it says so.
        weak = json.loads(endpoints.read_text())
        weak["stranger"] = weak["spare"]
        (tmp_path / "weak.json").write_text(json.dumps(weak))
        done = attack(tmp_path / "weak.json", "--only", "/stranger")
        assert done.returncode == 1
        table = {line.split(" | ")[0].strip(): line for line in done.stdout.splitlines()}
        assert table["mqtt/stranger"].endswith("NOT AS EXPECTED")
        assert table["coap/stranger"].endswith("NOT AS EXPECTED")
        running.finish()


def test_without_a_system_nothing_counts_as_withstood(tmp_path):
    done = attack(tmp_path / "endpoints.json")
    assert done.returncode == 2
    assert "is the demo running?" in done.stderr
