"""Secure time: what time it is at least, whatever the wall clock says.

A box without a battery boots in 1970; another one's clock jumps. Certificates are judged by time,
so a wrong clock could lock everybody out, or let in whoever has ended. Rules:

* The *floor* is the latest time that something signed has proved: when the software was built, our
  own certificate was issued, the newest verified revocation list was signed, the fleet answered
  over TLS. It is kept on disk and moves on with the monotonic clock while we run.
* The wall clock never raises the floor: one that was once far ahead would lock out for good.
* While the wall clock is at or above the floor, it counts (``AGREED``).
* Below the floor by more than :data:`SLACK_S` it is wrong (``BEHIND``): the floor counts instead.
  It lags behind the real time by as long as we were switched off, so a good certificate is
  admitted, and one that ended before the floor stays refused.
* A jump ahead by more than :data:`LEAP_S` while we run, from a clock that was good, is not
  believed (``AHEAD``), unless the kernel says that its clock is synchronised or something signed
  agrees: time goes on from before, so sessions stay and nobody renews in a hurry. A clock that is
  ahead when we start can't be told from a long time switched off, and counts; a restart is thus
  how a person insists.

TLS checks times by the wall clock alone, so while it does not count contexts are built without
that check, and whoever admits judges the end of a certificate by :meth:`SecureTime.now_us`.
Authorities' ends need no look of their own: a certificate never outlives its issuer's.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Final

import msgspec

from gateway.domain.decoding import UNDECODABLE
from gateway.domain.ports import Clock
from security.files import SECRET_MODE, write_atomic

SLACK_S: Final = 300.0
"""The fleet's clock may be a little ahead of ours."""
LEAP_S: Final = 86_400.0
SAVE_EVERY_S: Final = 300.0
BUILT_US: Final = 1_780_000_000_000_000
"""Some day before this software was released; raised with releases."""
FLOOR_US_MAX: Final = 4_102_444_800_000_000
"""The year 2100: no floor of ours, but a damaged file's."""
_TIME_ERROR: Final = 5
"""adjtimex(2): the clock is not synchronised."""

log = logging.getLogger(__name__)


class Standing(Enum):
    """What the wall clock is worth."""

    AGREED = "agreed"
    BEHIND = "behind"
    AHEAD = "ahead"


class _Kept(msgspec.Struct, frozen=True):
    floor_us: int


def kernel_synchronised() -> bool:
    """Whether the kernel's clock is disciplined by a time service (adjtimex's answer)."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        answer = int(libc.adjtimex(ctypes.create_string_buffer(256)))
    except (OSError, AttributeError):
        return False
    return 0 <= answer != _TIME_ERROR


class SecureTime:
    """A Clock whose wall time is the best that is known; to be used on one thread.

    Args:
        path: where the floor is kept; None: nowhere.
        clock: the machine's.
        synchronised: whether a time service vouches for the machine's wall clock.
    """

    def __init__(
        self,
        path: Path | None,
        clock: Clock,
        synchronised: Callable[[], bool] = kernel_synchronised,
    ) -> None:
        self._path = path
        self._clock = clock
        self._synchronised = synchronised
        mono = clock.monotonic()
        self._floor = (max(_load(path), BUILT_US), mono)
        """A proved time, and the monotonic time at which it was true."""
        self._anchor: tuple[int, float] | None = None
        """The last wall time that counted."""
        self._saved_mono = mono
        self.standing = Standing.AGREED
        self.look()

    def now_us(self) -> int:
        """Microseconds since the Unix epoch; with a wrong clock a careful estimate."""
        match self.standing:
            case Standing.AGREED:
                return self._clock.now_us()
            case Standing.BEHIND:
                return self.floor_us()
            case Standing.AHEAD:
                return self._on(self._anchor or self._floor)

    def monotonic(self) -> float:
        """The machine's."""
        return self._clock.monotonic()

    def floor_us(self) -> int:
        """It is not earlier than this."""
        return self._on(self._floor)

    def proved(self, time_us: int) -> None:
        """Something whose signature was verified says that it is not earlier than this."""
        if self.floor_us() < time_us <= FLOOR_US_MAX:
            self._floor = (time_us, self._clock.monotonic())
            self.look()

    def look(self) -> bool:
        """Compare the clocks; to be called every second or so. Whether the standing changed."""
        before, wall, mono = self.standing, self._clock.now_us(), self._clock.monotonic()
        if wall < self.floor_us() - SLACK_S * 1e6:
            # Whatever it is set to next repairs it, however far away.
            self.standing, self._anchor = Standing.BEHIND, None
        elif self._believable(wall):
            self.standing, self._anchor = Standing.AGREED, (wall, mono)
        else:
            self.standing = Standing.AHEAD
        if self.standing is not before:
            log.warning("the wall clock was %s and is %s", before.value, self.standing.value)
        return self.standing is not before

    def save_due(self) -> bool:
        """Whether :meth:`save` should be called."""
        return self._clock.monotonic() - self._saved_mono >= SAVE_EVERY_S

    def save(self) -> None:
        """Keep the floor; a disk that refuses is logged, and tried again later."""
        self._saved_mono = self._clock.monotonic()
        if self._path is None:
            return
        try:
            write_atomic(self._path, msgspec.json.encode(_Kept(self.floor_us())), SECRET_MODE)
        except OSError as error:
            log.error("the time floor can't be kept: %s", error)  # noqa: TRY400  # the cause is told

    def _believable(self, wall: int) -> bool:
        if self._anchor is None or wall <= self._on(self._anchor) + LEAP_S * 1e6:
            return True
        return wall <= self.floor_us() + LEAP_S * 1e6 or self._synchronised()

    def _on(self, point: tuple[int, float]) -> int:
        return point[0] + round((self._clock.monotonic() - point[1]) * 1e6)


def _load(path: Path | None) -> int:
    if path is None:
        return 0
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
    except FileNotFoundError:
        return 0
    except (OSError, *UNDECODABLE) as error:
        log.error("the time floor can't be read: %s", error)  # noqa: TRY400  # the cause is told
        return 0
    if not 0 <= kept.floor_us <= FLOOR_US_MAX:
        log.error("the time floor is damaged")
        return 0
    return kept.floor_us
