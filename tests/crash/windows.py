"""A vendor that gets statistics alone, and the account of them: each window against the core.

The core holds every record with its number, so that what a window says can be worked out again from
what the same numbers are there.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from bench.site import sign_policy
from security.files import write_atomic
from tests.crash.account import read
from tests.crash.site import CrashSite

WINDOW_S = 1
DEVICES_MIN = 3
POLICY = """
@id("inside") permit (principal, action == Action::"pass", resource)
when { principal.zone == Zone::"campus" && resource.level <= 4 };
@id("statistics") permit (principal, action == Action::"aggregate", resource)
when { principal.zone == Zone::"partner" && resource.level <= 3 };
"""
_READINGS = """
SELECT contexts.epoch, report.seq, contexts.class, contexts.level, contexts.kind, metrics.code,
  devices.name, o.value, coalesce(json_extract(report.qualities, '$[' || o.key || ']'), 1)
FROM report
JOIN contexts ON contexts.key = report.context
JOIN devices ON devices.key = report.device
JOIN shapes ON shapes.key = report.shape
CROSS JOIN json_each(report."values") AS o
JOIN metrics ON metrics.key = json_extract(shapes.metrics, '$[' || o.key || ']')
WHERE contexts.lane = 2 AND o.type IN ('real', 'integer')"""
_COUNT = """
SELECT (SELECT count(*) FROM report JOIN contexts ON contexts.key = report.context
    WHERE contexts.lane = 2 AND report.seq <= {0})
  + (SELECT count(*) FROM statuses WHERE lane = 'telemetry' AND seq <= {0})
  + (SELECT count(*) FROM gateway_clocks WHERE lane = 'telemetry' AND seq <= {0})"""


class StatisticsSite(CrashSite):
    """The site of the crashes, whose vendor gets windows of a second."""

    def _write(self) -> None:
        super()._write()
        signed = sign_policy(self.identities.authority, POLICY, number=2)
        write_atomic(self.state / "policy.signed", signed)
        path = self.state / "gateway.toml"
        key = 'pseudonym_key = "vendor.key"\n'
        text = path.read_text()
        assert text.count(key) == 1
        table = f"[destinations.aggregate]\nwindow_s = {WINDOW_S}\ndevices_min = {DEVICES_MIN}\n"
        # Behind the vendor's other keys, which the crash site has added to.
        before, _, after = text.partition(key)
        head, bracket, tail = after.partition("[")
        path.write_text(before + head + table + bracket + tail)


def windows(core: Path, vendor: Path, gateway: Path) -> list[str]:
    """Every way in which the vendor's statistics contradict the core's records.

    Args:
        core: its store.
        vendor: its store.
        gateway: the state of a gateway that has nothing to do any more.
    """
    found = read(
        vendor,
        "SELECT epoch, first_seq, last_seq, class, level, statistics, records FROM aggregates"
        " WHERE lane = 'telemetry' ORDER BY epoch, first_seq",
    )
    problems = _overlaps(found)
    cells = _cells(core, [(row[0], row[1], row[2]) for row in found])
    said = 0
    for epoch, first, last, data_class, level, statistics, records in found:
        said += int(str(records))
        window = (epoch, first, last)
        expected = {
            key[5:]: row
            for key, row in cells.items()
            if key[:5] == (*window, data_class, level) and _shows(row)
        }
        told = {(kind, code): row for kind, code, *row in json.loads(str(statistics))}
        if told.keys() != expected.keys():
            problems.append(f"{window}: cells {sorted(told)} for {sorted(expected)}")
            continue
        for cell, (devices, values, mean, _) in told.items():
            numbers = expected[cell]
            right = math.fsum(v for _, v in numbers) / len(numbers)
            if (devices, values) != (len({d for d, _ in numbers}), len(numbers)) or not (
                math.isclose(mean, right, rel_tol=1e-3)
            ):
                problems.append(f"{window} {cell}: {devices}, {values}, {mean} for {right}")
    return problems + _in_ledger(core, gateway, said)


def _overlaps(found: list[tuple[object, ...]]) -> list[str]:
    """Windows of one label that share a record."""
    problems: list[str] = []
    reached: dict[Any, tuple[Any, Any]] = {}
    for epoch, first, last, data_class, level, *_ in found:
        label = (data_class, level)
        if (epoch, first) <= reached.get(label, (0, 0)):
            problems.append(f"window {epoch} {first}..{last} comes twice")
        reached[label] = (epoch, last)
    return problems


def _cells(core: Path, found: list[tuple[Any, ...]]) -> dict[tuple[Any, ...], list[Any]]:
    """(epoch, first, last, class, level, kind, code) -> (device, value) of valid values."""
    cells: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
    ranges = sorted(set(found))
    by_epoch: dict[Any, list[Any]] = defaultdict(list)
    for window in ranges:
        by_epoch[window[0]].append(window)
    for epoch, seq, data_class, level, kind, code, device, value, quality in read(core, _READINGS):
        if quality != 1:
            continue
        for window in by_epoch[epoch]:
            if window[1] <= seq <= window[2]:
                cells[*window, data_class, level, kind, code].append((device, value))
    return cells


def _shows(numbers: list[Any]) -> bool:
    gave = Counter(device for device, _ in numbers)
    return len(gave) >= DEVICES_MIN and max(gave.values()) <= 0.5 * len(numbers)


def _in_ledger(core: Path, gateway: Path, said: int) -> list[str]:
    """The ledger has each record below the open window once, and of what left what arrived."""
    rows = read(
        gateway / "ledger.sqlite",
        "SELECT treatment, sum(records) FROM releases"
        " WHERE destination = 'vendor' AND lane = 'telemetry' GROUP BY treatment",
    )
    entered = {str(word): int(str(n)) for word, n in rows}
    ((cursor,),) = read(
        gateway / "journal" / "state.sqlite",
        "SELECT seq FROM cursor WHERE destination = 'vendor' AND lane = 2",
    )
    ((held,),) = read(core, _COUNT.format(int(str(cursor))))
    problems = []
    if entered.get("aggregate", 0) != said:
        problems.append(f"the ledger says {entered.get('aggregate')} aggregated, arrived: {said}")
    total = sum(entered.values())
    if total != int(str(held)):
        problems.append(f"{total} records in the ledger, of {held} up to the open window")
    return problems
