"""docs/mqtt-conformance.md against the codec's rules and the tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from drivers.mqtt.codec.errors import RULES, Rule

ROOT = Path(__file__).parents[3]
DOCUMENT = (ROOT / "docs" / "mqtt-conformance.md").read_text()
_, V311, V5 = re.split(r"^## MQTT .*$", DOCUMENT, flags=re.MULTILINE)
KINDS = ("not a broker: ", "the client's duty", "open: ", "`")
STATEMENTS = {"3.1.1": 143, "5.0": 251}


class Row(NamedTuple):
    statement: str
    short: str
    shown_by: str


def rows(section: str) -> list[Row]:
    cells = [line.strip("|").split("|") for line in section.splitlines() if "| MQTT-" in line]
    return [Row(*(cell.strip() for cell in each)) for each in cells]


SECTIONS = {"3.1.1": rows(V311), "5.0": rows(V5)}
TESTS = sorted({test for all_ in SECTIONS.values() for row in all_
                for test in re.findall(r"`([^`]+::[^`]+)`", row.shown_by)})  # fmt: skip


@pytest.mark.parametrize("version", SECTIONS)
def test_every_statement_is_listed_once_and_judged(version: str) -> None:
    found = SECTIONS[version]
    assert len(found) == STATEMENTS[version]
    assert len({row.statement for row in found}) == len(found)
    for row in found:
        assert row.shown_by.startswith(KINDS), row.statement


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.reason)
def test_every_statement_that_the_codec_cites_is_shown_by_a_test(rule: Rule) -> None:
    for version, clause in (("3.1.1", rule.v311), ("5.0", rule.v5)):
        if clause.startswith("MQTT-"):
            (row,) = [row for row in SECTIONS[version] if row.statement == clause]
            assert row.shown_by.startswith("`"), row.statement


@pytest.mark.parametrize("test", TESTS)
def test_every_test_that_is_named_exists(test: str) -> None:
    path, _, name = test.partition("::")
    name, _, rule = name.partition("[")
    tree = ast.parse((ROOT / "tests" / path).read_text())
    functions = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert name in functions
    assert not rule or rule.rstrip("]") in {each.reason for each in RULES}
