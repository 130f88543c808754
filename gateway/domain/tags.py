"""What an RFID reader tells: which tags it saw, which of its inputs changed, how it is.

A reader only states what it saw, and sees badly: a tag that lies behind metal or in somebody's hand
is not read for a while, and the same read may be told twice. So none of these is a record; who
knows where the antennas are, and which input is a door, makes records of them.

Rules:

- Reads come in no promised order. A reader that held its reports over an outage tells them after
  it is back, with the times at which it saw the tags (``Stamped.placed_us``).
- What was not seen is said: between LOST and RESUMED, or in the span of OVERFLOW, a tag that was
  not read may have been there all the time.
"""

from __future__ import annotations

from enum import Enum, IntEnum

import msgspec

from gateway.domain.statements import Statement


class ReaderClock(IntEnum):
    """Which clock a reader's times are of (LLRP 1.0.1, UTCTimestamp and Uptime)."""

    NONE = 0
    """It gave no time."""
    UTC = 1
    """Unix microseconds by the reader's own clock, which may be wrong."""
    UPTIME = 2
    """Microseconds since the reader was switched on: a reader without a clock."""


class Stamped(Statement, frozen=True, gc=False, kw_only=True):
    """A statement with times of the reader's clock."""

    clock: ReaderClock
    offset_us: int = 0
    """What to add to a time of the reader's to have the gateway's, Unix microseconds: estimated
    from the shortest delay with which the reader was heard on this connection."""

    def placed_us(self, stamp_us: int) -> int:
        """A time of the reader's by the gateway's clock; without a clock: when it was received."""
        if self.clock is ReaderClock.NONE:
            return self.received_us
        return stamp_us + self.offset_us


class TagRead(msgspec.Struct, frozen=True, gc=False):
    """One tag at one antenna, once or several times (LLRP TagReportData)."""

    epc: str
    """Upper-case hexadecimal: 24 digits for an EPC-96."""
    antenna: int
    """AntennaID, from 1 on; 0: the reader did not say."""
    rssi_dbm: float | None = None
    """The strongest of these reads."""
    first_us: int = 0
    last_us: int = 0
    """By the reader's clock, see ``TagReads.placed_us``; equal where the reader gave one alone."""
    count: int = 1
    """How often it was read between the two."""


class TagReads(Stamped, frozen=True, kw_only=True):
    """One report of a reader's, or the part of it that one clock stamped."""

    reads: tuple[TagRead, ...]
    """At least one. The order is the reader's and means nothing."""


class InputChange(Stamped, frozen=True, gc=False, kw_only=True):
    """An input of the reader's is high or low: a door's contact, a light barrier, a button."""

    port: int
    """GPIPortNum, from 1 on."""
    high: bool
    at_us: int
    """By the reader's clock, see ``placed_us``."""
    asked: bool = False
    """The state when the gateway asked, after it had connected: it may have changed at any time
    since the last word of it, also more than once. Else the reader saw it change at ``at_us``."""


class ReaderCondition(Enum):
    """What a ReaderState says."""

    CONNECTED = "connected"
    """It reads for us; of what was before nothing is known: ``from_us`` is 0."""
    HEARD = "heard"
    """It works, whether it reads anything or not; what it saw until ``from_us`` it has told."""
    LOST = "lost"
    """It is not heard any more; what it saw until ``from_us`` it has told."""
    RESUMED = "resumed"
    """It reads for us again. Between ``from_us`` and ``to_us`` nothing was seen, unless ``held``:
    then it went on reading, and tells now what it saw meanwhile, as far as its memory reached
    (else OVERFLOW follows). What was on its way when the connection broke may be missing even so;
    the states of inputs are asked for."""
    STOPPED = "stopped"
    """It is connected and reads no more: its ROSpec ended, or it refuses ours (``text``). Until
    ``from_us`` it is known to have read; 0: never."""
    ANTENNA_UP = "antenna_up"
    ANTENNA_DOWN = "antenna_down"
    """``antenna`` is (not) connected: what lies before it is not seen."""
    BUFFER_WARNING = "buffer_warning"
    """Its memory for reports is ``percent`` full."""
    OVERFLOW = "overflow"
    """Reports were lost in the reader between ``from_us``, the newest that it has told of, and
    ``to_us``."""
    EXCEPTION = "exception"
    """It tells of a fault of its own, in its own words (``text``)."""


class ReaderState(Statement, frozen=True, gc=False, kw_only=True):
    """How the reader is; times are the gateway's, Unix microseconds, and 0 where they say nothing.

    After CONNECTED and RESUMED the states of antennas and inputs follow, as far as the reader tells
    them, before anything that it saw from then on.
    """

    condition: ReaderCondition
    from_us: int = 0
    to_us: int = 0
    held: bool = False
    antenna: int = 0
    percent: int = 0
    text: str = ""
    """At most 255 characters, without control characters."""
