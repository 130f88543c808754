"""What a daemon says to systemd (sd_notify(3)), without a library.

READY=1 when it does its work, WATCHDOG=1 while it does, RELOADING=1 until a change is applied
(then READY=1 again), STOPPING=1 when it ends.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable


def notify(state: str) -> bool:
    """Send a state to the socket in $NOTIFY_SOCKET; False when there is none."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.connect(address)
        sender.sendall(state.encode())
    return True


def reloading() -> str:
    """RELOADING=1 with the time that systemd asks for since 253 (Type=notify-reload)."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"


def watchdog_interval_s() -> float | None:
    """Half of the watchdog's time-out, when systemd asked this process for keep-alives."""
    usec = os.environ.get("WATCHDOG_USEC")
    if not usec or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(usec) / 2e6


class Watchdog:
    """Keep-alives for systemd, said only while the daemon is well.

    To be asked at least every :attr:`ask_every_s`; a daemon that stops asking, or is not well,
    says nothing, and systemd ends and restarts it.
    """

    def __init__(self, interval_s: float | None) -> None:
        self._interval_s = interval_s
        self._due_at = 0.0

    @property
    def ask_every_s(self) -> float:
        """Infinite where systemd wants no keep-alives."""
        return float("inf") if self._interval_s is None else self._interval_s / 2

    def ask(self, now: float, well: Callable[[], bool]) -> None:
        """Say WATCHDOG=1 if one is due at the monotonic time ``now`` and ``well()``."""
        if self._interval_s is not None and now >= self._due_at and well():
            notify("WATCHDOG=1")
            self._due_at = now + self._interval_s / 2
