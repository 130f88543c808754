"""The machine's clock is set by chrony from a time server outside it, and the gateway asks that."""

from __future__ import annotations

import contextlib
import getpass
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.vm import site
from tests.vm.machine import free_ports
from tests.vm.rehearsal import Rehearsal, say

CHRONYD = Path(sys.prefix) / "chrony/usr/sbin/chronyd"
"""Unpacked by `make test-vm`; nothing of this host's is replaced."""
LIST = "/opt/wardgate/bin/wardgate clocks list"


@contextlib.contextmanager
def time_server() -> Iterator[int]:
    """A server of this host's time on its loopback; it sets no clock. Its port."""
    (port,) = free_ports(["udp"])
    with tempfile.TemporaryDirectory(prefix="wardgate-vm-") as directory:
        path = Path(directory) / "chrony.conf"
        path.write_text(
            f"port {port}\nbindaddress 127.0.0.1\nallow\nlocal stratum 5\n"
            f"cmdport 0\nbindcmdaddress /\npidfile {directory}/pid\n"
        )
        command: list[str | Path] = [CHRONYD, "-x", "-d", "-U", "-u", getpass.getuser(), "-f", path]
        serving = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        )
        try:
            yield port
        finally:
            serving.terminate()
            serving.wait()


def clock(at: Rehearsal) -> None:
    """What the hardened gateway says of the clock, through its packet filter and address limits."""
    wanted = f"gateway: synchronised, by chrony from {site.THIS_HOST}"
    at.wait_for(lambda: at.vm.ssh(LIST, check=False).stdout.startswith(wanted), "chrony's word")
    open_to = at.vm.ssh("cat /proc/net/udp /proc/net/udp6").stdout
    assert ":007B " not in open_to, open_to  # no server to others
    say(at.vm.ssh(LIST).stdout.splitlines()[0])
