"""Documents name files that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = (
    "gateway|security|drivers|fleet|core|attack|firmware_sim|wardgate|demo|bench|tools|tests"
    "|ansible|docs"
)
NAMED = re.compile(rf"`((?:{OURS})/[\w./-]+)`")
LINKED = re.compile(r"\]\((?!\w+:)([^)#\s]+)")


def documents() -> list[Path]:
    """Every Markdown file of the checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    found = [ROOT / name for name in listed] or sorted(ROOT.glob("*.md"))
    return [path for path in found if path.exists()]


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_names_is_there(path):
    text = path.read_text()
    missing = [name for name in NAMED.findall(text) if not (ROOT / name).exists()]
    missing += [name for name in LINKED.findall(text) if not (path.parent / name).exists()]
    assert missing == []


TESTED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
THREATS = ROOT / "docs" / "threat-model.md"


def test_each_threat_names_tests_that_exist():
    rows = [
        line
        for line in THREATS.read_text().splitlines()
        if line.startswith("| ") and not line.startswith("| threat |")
    ]
    assert len(rows) > 40
    for row in rows:
        named = TESTED.findall(row.rpartition(" | ")[2])
        assert named, f"no test: {row}"
        for file, test in named:
            source = (ROOT / file).read_text()
            assert not test or re.search(rf"^(async )?def {test}\(", source, re.MULTILINE), (
                file,
                test,
            )
