"""The demo on a simulated MEC platform: the breakout is lost and found, a device leaves the campus
and comes back, the end is ordered.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from demo.account import read_cabinets

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(300)
async def test_the_demo_keeps_its_promises_on_a_platform(tmp_path: Path) -> None:
    report = tmp_path / "out.json"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "demo", "--state", str(tmp_path / "state"), "--seconds", "16"),
        *("--platform", "fake", "--report", str(report)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    found = json.loads(report.read_text())
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
    assert fence["free_again"] > 0
    assert fence["roamed"] == "ward-4"
    # The report asks for what was long settled, which on a slow machine may be nothing.
    state = tmp_path / "state"
    assert read_cabinets(state / "sim.jsonl", state / "core" / "core.db", 0.0).items > 0
