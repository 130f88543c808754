"""A MEC platform's time as a second opinion on the gateway's clock.

The platform tells its time, and whether it is locked to UTC (GS MEC 011, 7.1.2.4,
``timeSourceStatus``). The call takes a while, the platform cuts its time off, and its word ages:
what it says of the gateway's clock is an interval. Rules:

1. Only a word that is TRACEABLE, and no older than :data:`AGE_US_MAX`, is an opinion.
2. Where a time service vouches for the clock, the opinion changes nothing while both can be true.
   Else one of the two is wrong, nobody here knows which, and the clock may be off by as much as
   either allows.
3. Where none does, the opinion does: the clock is not corrected by it, but how far it is off is
   known.

Both are held together by the monotonic clock, so that a step of the wall clock shows at once.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from gateway.domain.records import LeapStatus
from gateway.ownclock.reading import Reading
from gateway.pipeline.clocks.steady import STEP_US_MIN

AGE_US_MAX: Final = 600_000_000
"""Ten looks at the platform's time, as it is configured by default."""
WANDER: Final = 1e-4
"""Share of one by which two clocks drift apart: a crystal that nobody disciplines."""
RESOLUTIONS_NS: Final = (1_000_000_000, 1_000_000, 1_000, 1)
"""Of what platforms tell: seconds, milliseconds, and so on. The coarsest that divides all of it."""
DISPUTED: Final = "disputed"
PLATFORM: Final = "platform"


class PlatformTime(NamedTuple):
    """The platform's clock, as it was told in one call."""

    told_ns: int
    """Since 1970."""
    moment_us: int
    """The middle of the call, by the gateway's monotonic clock."""
    half_us: int
    """Half of what the call took."""
    traceable: bool
    """It is locked to UTC."""


class Verdict(Enum):
    """What the platform's word is beside the time service's."""

    SILENT = "silent"
    """There is none that counts."""
    AGREES = "agrees"
    CONTRADICTS = "contradicts"
    VOUCHES = "vouches"
    """It is the only one."""


class Judgement(NamedTuple):
    """The verdict, and what the clock is worth by it."""

    verdict: Verdict
    reading: Reading
    least_us: int = 0
    most_us: int = 0
    """Between which true time minus the gateway's clock lies, by the platform."""


class Opinion:
    """One platform's.

    Args:
        error_us: how far a platform that is locked to UTC may be off; it does not say.
    """

    def __init__(self, error_us: int) -> None:
        self._error_us = error_us
        self._resolution_ns = RESOLUTIONS_NS[0]
        self._told: PlatformTime | None = None

    def follow(self, error_us: int) -> None:
        """Go on with another error."""
        self._error_us = error_us

    def take(self, told: PlatformTime) -> None:
        """Take the platform's word; it replaces the one before."""
        self._told = told
        while told.told_ns % self._resolution_ns:
            self._resolution_ns = RESOLUTIONS_NS[RESOLUTIONS_NS.index(self._resolution_ns) + 1]

    def judge(self, own: Reading, base_us: int, moment_us: int) -> Judgement:
        """Hold it against what a time service says, or nobody.

        Args:
            own: what chrony or the kernel says.
            base_us: the wall clock at moment zero (``gateway.pipeline.clocks.steady``).
            moment_us: now, by the monotonic clock.
        """
        told = self._told
        if told is None or not told.traceable or moment_us - told.moment_us > AGE_US_MAX:
            return Judgement(Verdict.SILENT, own)
        age_us = abs(moment_us - told.moment_us)
        # A step too small to be noticed isn't in the base.
        apart_us = told.half_us + self._error_us + round(WANDER * age_us) + STEP_US_MIN
        off_us = told.told_ns // 1000 - told.moment_us - base_us
        least, most = off_us - apart_us, off_us + apart_us + self._resolution_ns // 1000
        bound_us = max(abs(least), abs(most))
        if not own.synchronised:
            reading = Reading(
                PLATFORM,
                synchronised=True,
                error_us=bound_us,
                offset_us=-(least + most) // 2,
                frequency_ppb=own.frequency_ppb,
                leap=LeapStatus.UNSYNCHRONISED,
            )
            return Judgement(Verdict.VOUCHES, reading, least, most)
        if least > own.error_us or most < -own.error_us:
            reading = own._replace(source=DISPUTED, error_us=max(own.error_us, bound_us))
            return Judgement(Verdict.CONTRADICTS, reading, least, most)
        return Judgement(Verdict.AGREES, own, least, most)
