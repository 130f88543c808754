"""The fleet wants another configuration: real processes, an operator's command line, a session."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.supervised import DEVICE, WAIT_S, Supervised, Ward, session

pytestmark = pytest.mark.timeout(480)
GATEWAY = "gw-demo"
WAIT = ("--wait", "60")
"""For the gateway's word, which comes with its next report."""
UNTIL_S = 120.0
LIMITS = "[pipeline.limits.MDC_ECG_HEART_RATE]\nhigh = 60\ndelay_s = 0\n"


class Control:
    """The fleet's process, and an operator."""

    def __init__(self, ward: Ward, directory: Path) -> None:
        self._ward = ward
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "wardgate",
                "fleet",
                "run",
                "--config",
                self._ward.plan.fleet_config,
            ],
            stderr=subprocess.DEVNULL,
        )
        self.until(lambda: self("fleet", "status").returncode == 0)

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait(WAIT_S)

    def __call__(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "wardgate", *words],
            env={
                **os.environ,
                "WARDGATE_FLEET": f"localhost:{self._ward.plan.ports.fleet}",
                "WARDGATE_IDENTITY": str(self._ward.operator),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_S,
        )

    def configure(self, document: str) -> subprocess.CompletedProcess[str]:
        path = self._directory / "wanted.toml"
        path.write_text(document)
        return self("fleet", "configure", GATEWAY, path, *WAIT)

    def gateway(self) -> dict[str, Any]:
        """What the fleet knows of it; nothing before it has attached for the first time."""
        done = self("fleet", "gateway", GATEWAY, "--json")
        found: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
        return found

    @staticmethod
    def until(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + UNTIL_S
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.fixture
def ward(tmp_path: Path) -> Ward:
    return Ward(tmp_path)


@pytest.fixture
def fleet(ward: Ward, tmp_path: Path) -> Iterator[Control]:
    control = Control(ward, tmp_path)
    try:
        control.start()
        assert control("device", "add", DEVICE).returncode == 0
        yield control
    finally:
        control.stop()


def alarms(ward: Ward, phase: str) -> float:
    url = f"http://127.0.0.1:{ward.plan.ports.gateway_metrics}/metrics"
    with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
        lines = answer.read().decode().splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith("wardgate_alarms_total") and f'phase="{phase}"' in line
    )


def entries(ward: Ward) -> list[dict[str, Any]]:
    lines = (ward.plan.gateway_state / "audit" / "audit.log").read_text().splitlines()
    return [entry for entry in map(json.loads, lines) if entry["event"] == "reload"]


def running(ward: Ward, directory: Path) -> Supervised:
    directory.mkdir()
    gateway = Supervised(ward.plan.gateway_config, directory, ward.plan.ports.mqtt)
    gateway.wait_for("READY=1")
    return gateway


def test_what_the_fleet_wants_is_applied_kept_and_taken_back(
    ward: Ward, fleet: Control, tmp_path: Path
) -> None:
    gateway = running(ward, tmp_path / "first")
    try:
        fleet.until(lambda: fleet.gateway().get("attached"))
        with session(ward) as device:
            device.report()  # 72 a minute
            assert alarms(ward, "start") == 0

            done = fleet.configure(LIMITS)
            assert (done.returncode, done.stdout) == (
                0,
                f"gateway {GATEWAY} runs configuration 1\n",
            )
            device.report()
            fleet.until(lambda: alarms(ward, "start") == 1)
            applied = entries(ward)[-1]
            assert (applied["by"], applied["result"]) == ("fleet", "applied")
            assert (applied["fleet_version"], applied["changed"]) == (1, "pipeline.limits")

            done = fleet.configure("[drivers.mqtt]\nlisten = ['0.0.0.0:1883']\n")
            assert done.returncode == 1
            assert "drivers.mqtt.listen: the fleet can't set this" in done.stdout
            assert entries(ward)[-1]["result"] == "refused"
            assert "1 (2 refused)" in fleet("fleet", "status").stdout
            shown = fleet("fleet", "gateway", GATEWAY).stdout
            assert "wanted       2, by demo" in shown
            assert "in force     1" in shown
            assert "listen" in shown

            done = fleet.configure("[[destinations]]\nname = 'mine'\n")
            assert done.returncode == 2
            assert "only [pipeline] and [drivers]" in done.stderr
            device.report()
            assert alarms(ward, "end") == 0
            assert (device.connects, device.losses) == (1, 0)
            assert fleet.configure(LIMITS).stdout == f"gateway {GATEWAY} runs configuration 3\n"
    finally:
        gateway.end()

    # A start without the fleet has its last word.
    fleet.stop()
    gateway = running(ward, tmp_path / "second")
    try:
        with session(ward) as device:
            device.report()
            fleet.until(lambda: alarms(ward, "start") == 1)  # it signed off, and is back: again
            fleet.start()
            fleet.until(lambda: fleet.gateway().get("attached"))
            done = fleet("fleet", "configure", GATEWAY, "--clear", *WAIT)
            assert (done.returncode, done.stdout) == (
                0,
                f"gateway {GATEWAY} runs configuration 4\n",
            )
            device.report()
            fleet.until(lambda: alarms(ward, "end") == 1)
            assert (device.connects, device.losses) == (1, 0)
    finally:
        gateway.end()


def test_the_command_line_says_what_is_wrong(ward: Ward, fleet: Control) -> None:
    for words, message in {
        ("fleet", "configure", "nobody", "--clear"): "has not heard of a gateway nobody",
        ("fleet", "configure", GATEWAY): "give a document, or --clear",
        ("fleet", "configure", GATEWAY, "nowhere.toml"): "nowhere.toml",
        ("fleet", "gateway", "nobody"): "has not heard of a gateway nobody",
    }.items():
        done = fleet(*words)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), words
        assert message in done.stderr
