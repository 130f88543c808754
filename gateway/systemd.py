"""The three words that a daemon says to systemd (sd_notify(3)), without a library.

READY=1 when it does its work, WATCHDOG=1 while it does, STOPPING=1 when it ends.
"""

from __future__ import annotations

import os
import socket


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


def watchdog_interval_s() -> float | None:
    """Half of the watchdog's time-out, when systemd asked this process for keep-alives."""
    usec = os.environ.get("WATCHDOG_USEC")
    if not usec or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(usec) / 2e6
