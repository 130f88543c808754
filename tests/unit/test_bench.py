"""What the bench states about losses, and which figures a partial run may exchange."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench import __main__ as bench
from bench import table
from bench.storm import account


def test_what_was_acknowledged_and_is_not_held_counts_as_lost() -> None:
    devices: list[dict[str, Any]] = [
        {"device": "one", "sent_us": [1, 2, 3], "acked_us": [5, 0, 6]},
        {"device": "two", "sent_us": [1, 2], "acked_us": [7, 8]},
    ]
    rows = [("one", 0, 9), ("one", 1, 9), ("two", 0, 9), ("two", 0, 10)]
    assert account(devices, rows) == {
        "sent": 5,
        "acknowledged": 4,
        "held": 4,
        "acknowledged_and_lost": 2,
        "held_twice": 1,
    }


def test_a_partial_run_leaves_the_other_figures(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(bench, "DOCS", tmp_path)
    whole = {"machine": {"kernel": "1"}, "quick": True, "help": {"median_ms": 1}, "core": {"a": 1}}
    (tmp_path / "performance.json").write_text(json.dumps(whole))
    later = {"kernel": "2", "date": "2026-01-02", "load_before": 0.5}
    found = bench.alone({"machine": later, "quick": False, "help": {"median_ms": 2}})
    assert found["machine"] == {"kernel": "1"}
    assert (found["core"], found["help"]) == ({"a": 1}, {"median_ms": 2})
    (line,) = table._alone(found)
    assert "`help` was measured alone: Linux 2, 2026-01-02" in line
