"""What the bench states about losses, and which figures a partial run may exchange."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from bench import __main__ as bench
from bench import neighbours, table
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


def test_a_report_is_found_again_by_device_and_heart_rate() -> None:
    sent = {"one": [[1_000, 60.0], [2_000, 61.0]], "two": [[1_500, 60.0]]}
    stored = {"one": [(60.0, 1_010), (61.0, 2_500)]}
    assert neighbours._delays(sent, stored) == [(1_000, 10), (2_000, 500), (1_500, math.inf)]


def test_what_is_lost_does_not_count_as_quick() -> None:
    turns = neighbours.Turns([(0, 100)], [(100, 200), (300, 400)])
    delays = [(10, 5_000.0), (150, 7_000.0), (350, math.inf), (250, 1.0)]
    found = neighbours._halves(delays, turns)
    assert (found["well"]["reports"], found["well"]["lost"]) == (1, 0)
    assert (found["broken"]["reports"], found["broken"]["lost"]) == (2, 1)
    assert found["added"]["max_ms"] == 2.0
