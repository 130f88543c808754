"""Network namespaces that a test makes, by name, and takes away again with everything in them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

PYTHON = "/usr/bin/python3"
"""An interpreter that every user may run."""
TOOLS = ("ip", "nft", "setpriv", "nsenter")

needs_namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, TOOLS)) or not Path(PYTHON).exists(),
    reason=f"network namespaces need root, {', '.join(TOOLS)} and {PYTHON}",
)


def run(*command: object) -> str:
    done = subprocess.run(
        [str(each) for each in command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stderr}"
    return done.stdout


class Net:
    """Namespaces ``wg<pid>-<name>``, and wires between them."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._wires = 0
        self._processes: list[subprocess.Popen[Any]] = []

    def name(self, name: str) -> str:
        return f"wg{os.getpid()}-{name}"

    def add(self, *names: str) -> None:
        for name in names:
            run("ip", "netns", "add", self.name(name))
            self._names.append(name)
            self.ip(name, "link", "set", "lo", "up")

    def ip(self, name: str, *arguments: object) -> None:
        run("ip", "-n", self.name(name), *arguments)

    def wire(self, one: str, other: str, ones: Sequence[str], others: Sequence[str]) -> None:
        """A cable between two namespaces, with each end's addresses, as ``10.2.0.1/16``."""
        self._wires += 1
        ends = [(one, f"w{self._wires}a", ones), (other, f"w{self._wires}b", others)]
        (_, first, _), (_, second, _) = ends
        self.ip(
            one,
            *("link", "add", first, "type", "veth", "peer", "name", second),
            *("netns", self.name(other)),
        )
        for name, device, addresses in ends:
            for address in addresses:
                self.ip(
                    name,
                    "addr",
                    "add",
                    address,
                    "dev",
                    device,
                    *(["nodad"] if ":" in address else []),
                )
            self.ip(name, "link", "set", device, "up")

    def answers_for(self, name: str, network: str) -> None:
        """Every address of a network is this namespace's own."""
        self.ip(name, "route", "add", "local", network, "dev", "lo")

    def start(
        self,
        name: str,
        *command: object,
        uid: int = 0,
        resolver: Path | None = None,
        **options: Any,
    ) -> subprocess.Popen[Any]:
        """Run a command there; of another user, without any privilege but to find our files."""
        process = subprocess.Popen(
            [*self.inside(name, resolver), *as_user(uid), *map(str, command)], **options
        )
        self._processes.append(process)
        return process

    def call(self, name: str, *command: object, uid: int = 0) -> str:
        return run(*self.inside(name, None), *as_user(uid), *command)

    def inside(self, name: str, resolver: Path | None) -> list[str]:
        there = ["ip", "netns", "exec", self.name(name)]
        if resolver is not None:
            # `ip netns exec` has made a mount namespace already: the host's file stays as it is.
            script = f'mount --bind {resolver} /etc/resolv.conf && exec "$@"'
            there += ["sh", "-c", script, "sh"]
        return there

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
        for process in self._processes:
            process.wait()
        for name in self._names:
            # What such a process left behind is in its namespace, and in no other.
            for pid in run("ip", "netns", "pids", self.name(name)).split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            run("ip", "netns", "del", self.name(name))
        self._names.clear()


def sweep() -> None:
    """Take away what a run left that was killed: its process is gone, its namespaces are not.

    Another run beside this one may do the same at the same time.
    """
    for line in run("ip", "netns", "list").splitlines():
        found = re.match(r"wg(\d+)-\S+", line)
        if found and not Path("/proc", found[1]).exists():
            with contextlib.suppress(AssertionError):
                for pid in run("ip", "netns", "pids", found[0]).split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
                run("ip", "netns", "del", found[0])


@contextlib.contextmanager
def network() -> Iterator[Net]:
    sweep()
    net = Net()
    try:
        yield net
    finally:
        net.close()


def as_user(uid: int) -> list[str]:
    """Of that user, with no privilege at all."""
    if not uid:
        return []
    return [
        *("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs"),
        *("--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all"),
    ]


def our_python(uid: int) -> list[str]:
    """Our interpreter, for another user: it may lie where that user can't look.

    Then the process may read every file, and nothing else; whoever tests what files it can read
    must use :data:`PYTHON`.
    """
    found = Path(sys.executable).resolve()
    if not uid or all(each.stat().st_mode & 0o001 for each in found.parents):
        return [*as_user(uid), sys.executable]
    capability = "+dac_read_search"
    return [
        *("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs"),
        *(f"--inh-caps=-all,{capability}", f"--ambient-caps=-all,{capability}"),
        sys.executable,
    ]
