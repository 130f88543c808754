"""A running demo for tests: the real processes, driven and watched from outside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
READY_S_MAX = 180.0
STOP_S_MAX = 180.0
"""A machine with other things to do takes ten seconds for each process that begins or ends."""


class RunningWard:
    """A demo process and what it wrote of itself."""

    def __init__(self, state: Path, report: Path, process: subprocess.Popen[str]) -> None:
        self.state = state
        self.report_path = report
        self.process = process

    @property
    def endpoints(self) -> dict[str, Any]:
        """As any third-party client reads them."""
        content: dict[str, Any] = json.loads((self.state / "endpoints.json").read_text())
        return content

    def wait_for(self, what: Callable[[], Any], seconds: float = 90.0) -> Any:
        """Poll until ``what`` is true; its value."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError, ValueError, KeyError, sqlite3.Error):
                if value := what():
                    return value
            assert self.process.poll() is None, self.words()
            assert time.monotonic() < deadline, f"waited {seconds} s in vain; {self.words()}"
            time.sleep(0.05)

    def kill(self, name: str) -> int:
        """kill -9 one of the demo's processes; returns the pid that is gone."""
        pid: int = self.endpoints[f"{name}_pid"]
        os.kill(pid, signal.SIGKILL)
        return pid

    def rows(self, query: str, *values: Any, store: str = "core") -> list[tuple[Any, ...]]:
        """Ask a receiver's store, as any sqlite3 client does."""
        path = self.endpoints[f"{store}_db"]
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            return db.execute(query, values).fetchall()

    def at_core(self, device: str, message_id: str) -> int:
        """How many times a message is stored at the core."""
        query = "SELECT count(*) FROM reports WHERE device_id = ? AND message_id = ?"
        return int(self.rows(query, device, message_id)[0][0])

    def finish(self) -> dict[str, Any]:
        """Ctrl-C, then the report; the exit code must say that all promises were kept."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(STOP_S_MAX)
        assert code == 0, self.words()
        report: dict[str, Any] = json.loads(self.report_path.read_text())
        return report

    def words(self) -> str:
        """What the demo and its parts said last, for a failed test."""
        logs = [
            f"-- {path.name}: " + path.read_text(errors="replace")[-600:]
            for path in sorted((self.state / "logs").glob("*.log"))
        ]
        out = (self.state.parent / "demo.out").read_text()[-1500:]
        return "\n".join([out, *logs])


@contextlib.contextmanager
def running(directory: Path, *arguments: str) -> Iterator[RunningWard]:
    """Start a demo and wait until its endpoints are published."""
    state, report = directory / "state", directory / "report.json"
    with (directory / "demo.out").open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "demo", "--state", state, "--report", report, *arguments],
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
        )
    ward = RunningWard(state, report, process)
    try:
        ward.wait_for(lambda: ward.endpoints, READY_S_MAX)
        yield ward
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
