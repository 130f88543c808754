"""The gateway asks a real chronyd what the clock is worth.

The daemons here follow each other on the loopback and leave the machine's clock alone (``-x``).
"""

import asyncio
import getpass
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demo.plan import free_ports
from gateway.domain.records import LeapStatus
from gateway.ownclock.kernel import kernel_clock
from gateway.ownclock.reading import ask, ask_chrony, by_kernel
from security.timefloor import kernel_synchronised

UP_S = 90.0


def chronyd() -> str:
    """The daemon, or skip the test."""
    unpacked = Path(sys.prefix) / "chrony/usr/sbin/chronyd"
    found = shutil.which("chronyd") or (str(unpacked) if unpacked.exists() else None)
    if found is None:
        pytest.skip("needs chronyd: make system")
    return found


@pytest.fixture
def start(tmp_path):
    """Starts a chronyd with these lines of configuration; returns its command port."""
    running = []

    def started(*lines: str) -> int:
        (command,) = free_ports(1)
        path = tmp_path / f"{command}.conf"
        own = (
            f"cmdport {command}",
            "bindcmdaddress 127.0.0.1",
            "bindcmdaddress /",
            f"pidfile {tmp_path}/{command}.pid",
        )
        path.write_text("\n".join((*own, *lines)) + "\n")
        argv = [chronyd(), "-x", "-d", "-U", "-u", getpass.getuser(), "-f", str(path)]
        running.append(subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return command

    yield started
    for each in running:
        each.terminate()
        each.wait(30)


def eventually(port, good):
    """What chronyd at this port says, once it is as it ought to be."""
    deadline = time.monotonic() + UP_S
    while True:
        told = asyncio.run(ask_chrony(("127.0.0.1", port)))
        if told is not None and good(told):
            return told
        assert time.monotonic() < deadline, told
        time.sleep(0.1)


def read(port):
    """What the gateway makes of chronyd, which answers; the kernel is asked where it is slow."""
    deadline = time.monotonic() + UP_S
    while (reading := asyncio.run(ask(("127.0.0.1", port)))).source != "chrony":
        assert time.monotonic() < deadline
    return reading


def test_a_clock_that_follows_a_server_is_told_with_its_bounds(start):
    (ntp,) = free_ports(1)
    start("local stratum 3", f"port {ntp}", "bindaddress 127.0.0.1", "allow 127.0.0.1")
    port = start("port 0", f"server 127.0.0.1 port {ntp} iburst minpoll 0 maxpoll 0")
    told = eventually(port, lambda told: told.synchronised)
    assert (told.reference, told.stratum) == ("127.0.0.1", 4)
    reading = read(port)
    assert (reading.source, reading.synchronised) == ("chrony", True)
    assert reading.leap is LeapStatus.NORMAL
    assert 0 < reading.error_us < 5_000_000


def test_a_clock_that_follows_nothing_claims_nothing(start):
    port = start("port 0")
    told = eventually(port, lambda told: not told.synchronised)
    assert told.stratum == 0
    reading = read(port)
    assert reading[:3] == ("chrony", False, 0)
    assert reading.leap is LeapStatus.UNSYNCHRONISED


def test_where_no_chronyd_answers_the_kernel_is_asked():
    told = kernel_clock()
    (port,) = free_ports(1)
    reading = asyncio.run(ask(("127.0.0.1", port)))
    assert reading.source == by_kernel(told).source
    assert reading.synchronised == kernel_synchronised()
