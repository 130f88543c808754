"""How long a datagram has waited in our socket before we read it.

The kernel keeps the time at which the datagram that was read last had arrived (SIOCGSTAMP,
linux/sockios.h, socket(7)), once it has been asked for the first time.
"""

from __future__ import annotations

import fcntl
import socket
import struct
from contextlib import suppress
from typing import Final

_SIOCGSTAMP: Final = 0x8906
_TIMEVAL: Final = struct.Struct("@ll")


def watch(sock: socket.socket) -> None:
    """Let the kernel keep arrival times from now on; without them, nothing has ever waited."""
    with suppress(OSError):  # no datagram yet
        fcntl.ioctl(sock.fileno(), _SIOCGSTAMP, bytes(_TIMEVAL.size))


def waited_s(descriptor: int, now_us: int) -> float:
    """How long the datagram that was read last had waited by now (microseconds of Unix time)."""
    try:
        stamp = fcntl.ioctl(descriptor, _SIOCGSTAMP, bytes(_TIMEVAL.size))
    except OSError:
        return 0.0
    seconds, microseconds = _TIMEVAL.unpack(stamp)
    arrived_us: int = seconds * 1_000_000 + microseconds
    return max(0.0, (now_us - arrived_us) / 1e6)
