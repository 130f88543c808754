"""No acknowledgement leaves before the fdatasync that covers it, as the kernel saw it.

kill -9 can't show a missing fsync: the page cache survives the process. So a process that
commits and says so runs under strace, and the order of its system calls is checked:

- when a number is written to the pipe, no byte of any segment is written and not synced;
- a new segment's directory was synced before anything that followed its creation was said;
- at least as many frames were synced as groups were said.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAID = 300
LINE = re.compile(r"^(\d+) +(?:<\.\.\. )?(\w+)(?: resumed>|\()(.*)$")


def traceable() -> bool:
    strace = shutil.which("strace")
    if strace is None:
        return False
    return subprocess.run([strace, "-o", "/dev/null", "true"], check=False).returncode == 0


def calls(trace: Path):
    """(call, arguments) at the time of completion; for writes, at the time of the start."""
    started: dict[str, str] = {}
    for line in trace.read_text(errors="replace").splitlines():
        match = LINE.match(line)
        if match is None:
            continue
        pid, call, rest = match.groups()
        if rest.endswith("<unfinished ...>"):
            started[pid] = rest
            if call in {"pwrite64", "write", "openat"}:
                yield call, rest, None
            continue
        resumed = "resumed>" in line
        arguments = started.pop(pid, "") if resumed else rest
        result = rest.rsplit("= ", 1)[-1].split()[0] if "= " in rest else None
        if resumed and call in {"pwrite64", "write", "openat"}:
            continue
        yield call, arguments, result


def test_nothing_is_said_before_its_sync(tmp_path):
    if not traceable():
        pytest.skip("strace is not installed, or ptrace is not allowed here")
    trace = tmp_path / "trace"
    subprocess.run(
        [
            *("strace", "-f", "-y", "-s", "64", "-o", str(trace)),
            *("-e", "trace=openat,pwrite64,fdatasync,fsync,write"),
            *(sys.executable, "-m", "tests.unit.journal.writer"),
            *(str(tmp_path / "journal"), "0", str(SAID)),
        ],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=200,
    )

    unsynced: set[str] = set()
    unnamed: set[str] = set()
    written = synced = said = 0
    segments: set[str] = set()
    for call, arguments, result in calls(trace):
        named = re.search(r"<([^>]*)>", arguments)
        path = named.group(1) if named else ""
        if call == "openat" and "O_CREAT" in arguments and ".seg" in arguments:
            created = re.search(r'"([^"]*\.seg)"', arguments)
            assert created is not None
            unnamed.add(str(Path(created.group(1)).parent))
        elif call == "fsync" and result == "0":
            unnamed.discard(path)
        elif call == "pwrite64" and path.endswith(".seg"):
            unsynced.add(path)
            segments.add(path)
            written += 1
        elif call == "fdatasync" and result == "0" and path in unsynced:
            unsynced.discard(path)
            synced += 1
        elif call == "write" and arguments.startswith("1<"):
            said += 1
            assert not unsynced
            assert not unnamed
    assert said == SAID
    assert synced > 10
    assert written > synced
    assert len(segments) > 2
