"""What is said to systemd, over a real socket."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.systemd import Watchdog, notify, watchdog_interval_s


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as listener:
        listener.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listener


def heard(listener: socket.socket) -> list[bytes]:
    said = []
    while True:
        try:
            said.append(listener.recv(1024))
        except BlockingIOError:
            return said


def test_without_systemd_nothing_is_said(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")


def test_a_state_arrives_as_one_datagram(systemd):
    assert notify("READY=1\nSTATUS=fine")
    assert heard(systemd) == [b"READY=1\nSTATUS=fine"]


def test_an_abstract_address_is_understood(monkeypatch):
    name = f"wardgate-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as listener:
        listener.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        assert notify("STOPPING=1")
        assert heard(listener) == [b"STOPPING=1"]


@pytest.mark.parametrize(
    ("usec", "pid", "half"),
    [
        (None, None, None),
        ("20000000", None, 10.0),
        ("20000000", "self", 10.0),
        ("20000000", "1", None),
    ],
)
def test_the_interval_is_half_of_what_systemd_allows(monkeypatch, usec, pid, half):
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", pid)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, str(os.getpid()) if value == "self" else value)
    assert watchdog_interval_s() == half


def test_the_watchdog_hears_only_of_a_daemon_that_is_well(systemd):
    watchdog, well = Watchdog(10.0), True
    for now in range(20):
        watchdog.ask(float(now), lambda: well)
    assert len(heard(systemd)) == 4  # at 0, 5, 10 and 15
    well = False
    for now in range(20, 40):
        watchdog.ask(float(now), lambda: well)
    assert heard(systemd) == []
    well = True
    watchdog.ask(40.0, lambda: well)
    assert heard(systemd) == [b"WATCHDOG=1"]


def test_keep_alives_come_at_least_twice_in_the_time_allowed(systemd):
    watchdog = Watchdog(0.5)
    now, said_at = 0.0, [0.0]
    while now < 10:
        watchdog.ask(now, lambda: True)
        if heard(systemd):
            said_at.append(now)
        now += watchdog.ask_every_s
    assert max(b - a for a, b in itertools.pairwise(said_at)) <= 0.5


def test_without_a_watchdog_nobody_is_asked(systemd):
    watchdog = Watchdog(None)
    watchdog.ask(1.0, lambda: pytest.fail("asked"))
    assert watchdog.ask_every_s == float("inf")
    assert heard(systemd) == []
