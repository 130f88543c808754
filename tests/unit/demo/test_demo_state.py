"""The demo's state directory is one demo's at a time, and its processes end with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from demo.plan import MARKER, prepare
from demo.processes import WITH_ITS_PARENT
from demo.run import Demo, Options
from gateway.domain.errors import ConfigError


def test_a_directory_in_use_is_left_alone(tmp_path):
    state = tmp_path / "a ward"
    first = prepare(state)
    (state / "precious").write_text("of the demo that runs")
    with pytest.raises(ConfigError, match="in use by another demo"):
        prepare(state)
    assert (state / "precious").exists()
    first.claim.close()


def test_what_an_ended_demo_left_is_cleared(tmp_path):
    prepare(tmp_path).claim.close()
    (tmp_path / "endpoints.json").write_text("{}")
    (tmp_path / "logs" / "old.log").write_text("old")
    outside = tmp_path.parent / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    (tmp_path / "link").symlink_to(outside)
    plan = prepare(tmp_path)
    assert not plan.endpoints.exists()
    assert not list(plan.logs.iterdir())
    assert (tmp_path / MARKER).exists()
    assert (outside / "kept").exists()
    plan.claim.close()


@pytest.mark.parametrize(
    ("option", "value"), [("seconds", 0.0), ("report", "none/r.json"), ("replay", "none")]
)
def test_what_would_fail_only_after_the_run_is_refused_before_it(tmp_path, option, value):
    asked = value if option == "seconds" else tmp_path / value
    options = Options(tmp_path / "state", 20.0, None, None)._replace(**{option: asked})
    with pytest.raises(ConfigError, match=f"{option.upper()}="):
        Demo(options)
    assert not (tmp_path / "state").exists()


def test_a_record_of_waveforms_is_refused_before_the_run(tmp_path):
    (tmp_path / "r.hea").write_text("r 1 125 1\nr.dat 16 2000 12 0 7 7 0 RESP\n")
    (tmp_path / "r.dat").write_bytes(b"\7\0")
    options = Options(tmp_path / "state", 20.0, None, tmp_path / "r")
    with pytest.raises(ConfigError, match=r"REPLAY=.*none of HR"):
        Demo(options)
    assert not (tmp_path / "state").exists()


@pytest.mark.skipif(not WITH_ITS_PARENT, reason="needs setpriv of util-linux")
def test_a_killed_demo_leaves_no_process_behind(tmp_path):
    demo = subprocess.Popen(
        [sys.executable, "-c", _DEMO, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert demo.stdout is not None
    # The demo says who the part is, and the part itself that it is what it is to be: in any order.
    pid, ready = sorted(demo.stdout.readline().strip() for _ in range(2))
    assert ready == "ready"
    part = Path("/proc", pid)
    assert part.exists()
    demo.kill()
    demo.wait()
    # The part holds the pipe's other end: its end is the end of the file.
    assert demo.stdout.read() == ""
    demo.stdout.close()


_DEMO = """
import asyncio, pathlib, sys
from demo.processes import Process

PART = "import os, time; os.write(%d, b'ready' + bytes([10])); time.sleep(600)"

async def main():
    log = pathlib.Path(sys.argv[1], "log")
    log.symlink_to("/proc/self/fd/1")
    part = Process("part", ["-c", PART % 1], log, restart=True, on_pid=lambda: None)
    await part.start()
    print(part.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""
