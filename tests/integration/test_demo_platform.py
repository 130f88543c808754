"""The demo on a simulated MEC platform: the breakout is lost and found, a device leaves the campus
and comes back, the end is ordered.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from demo.account import read_cabinets
from demo.outing import LEAVER, NEXT_WARD
from tests.integration.ward import RunningWard, running

ALARM = "SELECT at_us FROM alarms WHERE condition = ? AND phase = ?"
SAYS_AGAIN = f"SELECT 1 FROM reports WHERE device_id = ? AND received_us > ({ALARM})"


def shown(ward: RunningWard, condition: str) -> bool:
    """Whether the core knows that it began and ended."""
    return all(ward.rows(ALARM, condition, phase) for phase in ("start", "end"))


def next_door(ward: RunningWard) -> bool:
    """Whether the core has a device there."""
    return bool(ward.rows("SELECT 1 FROM association_changes WHERE ward = ?", NEXT_WARD))


def in_cabinets(ward: RunningWard) -> int:
    """Things that the reader could see.

    The report asks for what was long settled, which on a slow machine may be nothing.
    """
    core = Path(ward.endpoints["core_db"])
    return read_cabinets(Path(ward.endpoints["sim_log"]), core, 0.0).items


@pytest.mark.timeout(600)
def test_the_demo_keeps_its_promises_on_a_platform(tmp_path: Path) -> None:
    with running(tmp_path, "--platform", "fake") as ward:
        for condition in ("breakout_lost", "outside_fence"):
            ward.wait_for(partial(shown, ward, condition))
        back = (LEAVER, "outside_fence", "end")
        ward.wait_for(lambda: ward.rows(SAYS_AGAIN, *back))
        ward.wait_for(partial(next_door, ward))
        ward.wait_for(partial(in_cabinets, ward))
        found = ward.finish()
    assert found["platform"] == {
        "ready": 1,
        "withdrawn": True,
        "held": True,
        "terminated": True,
        "exit_code": 0,
    }
    assert found["lost"] == 0
    fence = found["fence"]
    assert fence["alarmed"]
    assert fence["returned"]
    assert fence["collected"] > 0
    assert fence["arrived"] == 0
    assert fence["withheld"] >= fence["explained"] >= fence["collected"]
    assert fence["roamed"] == NEXT_WARD
