"""One device and its fence: a table, without I/O and without a clock.

Rules:

* A device is outside only by the network's word that it left, or is elsewhere, and after its time
  of grace. That it is not seen (switched off, a platform that has forgotten) is no word.
* Who is outside stays so until it is seen inside, through silence and restarts.
* Silence makes nobody an offender: who was inside is unknown from then on. Who had left goes on
  towards the outside: the grace time was for its return, and nobody has seen that.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final


class State(Enum):
    """Where a device is, as far as its fence goes."""

    UNKNOWN = "unknown"
    INSIDE = "inside"
    LEFT = "left"
    """It has left, or is elsewhere; its time of grace runs."""
    OUTSIDE = "outside"


class Input(Enum):
    """What is heard of it."""

    IN = "in"
    """It is in a zone where it may be."""
    OUT = "out"
    """It left the last of these, or is in other zones alone."""
    ABSENT = "absent"
    """The network was asked, and sees it nowhere."""
    SILENT = "silent"
    """The network tells nothing any more."""
    GRACE_OVER = "grace_over"


_UNKNOWN, _INSIDE, _LEFT, _OUTSIDE = State

TABLE: Final[Mapping[tuple[State, Input], State]] = {
    (_UNKNOWN, Input.IN): _INSIDE,
    (_UNKNOWN, Input.OUT): _LEFT,
    (_UNKNOWN, Input.ABSENT): _UNKNOWN,
    (_UNKNOWN, Input.SILENT): _UNKNOWN,
    (_UNKNOWN, Input.GRACE_OVER): _UNKNOWN,
    (_INSIDE, Input.IN): _INSIDE,
    (_INSIDE, Input.OUT): _LEFT,
    (_INSIDE, Input.ABSENT): _UNKNOWN,
    (_INSIDE, Input.SILENT): _UNKNOWN,
    (_INSIDE, Input.GRACE_OVER): _INSIDE,
    (_LEFT, Input.IN): _INSIDE,
    (_LEFT, Input.OUT): _LEFT,
    (_LEFT, Input.ABSENT): _LEFT,
    (_LEFT, Input.SILENT): _LEFT,
    (_LEFT, Input.GRACE_OVER): _OUTSIDE,
    (_OUTSIDE, Input.IN): _INSIDE,
    (_OUTSIDE, Input.OUT): _OUTSIDE,
    (_OUTSIDE, Input.ABSENT): _OUTSIDE,
    (_OUTSIDE, Input.SILENT): _OUTSIDE,
    (_OUTSIDE, Input.GRACE_OVER): _OUTSIDE,
}
