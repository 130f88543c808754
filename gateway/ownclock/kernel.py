"""What the kernel says of its clock: adjtimex(2).

Asked where no chronyd answers: whatever disciplines the clock (systemd-timesyncd, ntpd) tells the
kernel, which counts up ``maxerror`` by 500 ppm and calls the clock unsynchronised when nobody has
told it for long.
"""

from __future__ import annotations

import ctypes
from typing import Final, NamedTuple

TIME_ERROR: Final = 5
_STA_INS: Final = 0x0010
_STA_DEL: Final = 0x0020
_STA_UNSYNC: Final = 0x0040
_STA_NANO: Final = 0x2000


class _Timex(ctypes.Structure):
    """``struct timex`` of Linux, with the padding that it has behind."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("time_sec", ctypes.c_long),
        ("time_usec", ctypes.c_long),
        ("tick", ctypes.c_long),
        ("rest", ctypes.c_byte * 128),
    )


class KernelClock(NamedTuple):
    """The kernel's word; microseconds."""

    synchronised: bool
    offset_us: int
    error_us: int
    frequency_ppb: int
    insert: bool
    """A leap second is due."""
    delete: bool


def kernel_clock() -> KernelClock | None:
    """Ask; None where the system has no such call, or does not let us."""
    timex = _Timex()
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        answer = int(libc.adjtimex(ctypes.byref(timex)))
    except (OSError, AttributeError):
        return None
    if answer < 0:
        return None
    status = timex.status
    offset = timex.offset // 1000 if status & _STA_NANO else timex.offset
    return KernelClock(
        answer != TIME_ERROR and not status & _STA_UNSYNC,
        -offset,
        timex.maxerror,
        timex.freq * 1000 >> 16,
        bool(status & _STA_INS),
        bool(status & _STA_DEL),
    )
