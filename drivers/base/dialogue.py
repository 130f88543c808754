"""What one device and we say over one opening of its link: protocol and mapping, without I/O.

A driver for a device on a line is a :class:`Dialogue`; :class:`drivers.base.attachment.Attachment`
does everything else: admission, reconnecting, back-pressure, the records' way to the journal,
the gaps, the device's status, what is set aside, time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gateway.domain import ports


class Moment(NamedTuple):
    """Now, by both clocks."""

    monotonic_s: float
    """For every wait: it never jumps."""
    wall_us: int
    """For ``received_us`` of records: microseconds since the Unix epoch; it may jump."""


class Online(NamedTuple):
    """The device is there and speaks our protocol."""

    reason: str = "connected"


class Offline(NamedTuple):
    """The device, or an attempt to reach it, came to an end."""

    reason: str
    """One of a bounded set of words: ``silent``, ``refused``, …"""


class Said(NamedTuple):
    """What the device said, as records and statements."""

    records: Sequence[ports.Said]


class Malformed(NamedTuple):
    """What could not be understood: it is counted, and kept for the engineer."""

    reason: str
    """The ``reason`` of a MalformedError: one of a bounded set of words."""
    sample: bytes


class Missed(NamedTuple):
    """Something was left out that has no bytes to show; it is counted."""

    reason: str
    times: int = 1


class HangUp(NamedTuple):
    """Close the link and open it anew: nothing that comes over it can be made use of any more."""

    reason: str
    """One of a bounded set of words, as of :class:`Offline`."""


Event = Online | Offline | Said | Malformed | Missed | HangUp


class Dialogue:
    """One conversation; made anew for each opening of the link.

    It never raises for what the device sends, keeps a bounded memory, and survives any bytes in
    any chunks: a stream that was damaged is understood again within one frame. Nothing here
    waits, reads a clock or logs. A device that only talks needs :meth:`receive` alone, and
    :class:`drivers.base.silence.Silence` to know when it has stopped.
    """

    def __init__(self) -> None:
        self.output: list[bytes] = []
        """To be sent, in order; whoever calls us takes it and clears it after every call."""

    def begin(self, now: Moment) -> Iterable[Event]:
        """The link is up and the device admitted."""
        del now
        return ()

    def receive(self, data: bytes, now: Moment) -> Iterable[Event]:
        """Bytes (of a datagram link: one datagram), never empty."""
        raise NotImplementedError

    def deadline(self) -> float | None:
        """When :meth:`tick` is due, in monotonic seconds; None while nothing is awaited."""
        return None

    def tick(self, now: Moment) -> Iterable[Event]:
        """Time has come, or a little earlier."""
        del now
        return ()

    def excuse(self, now: Moment) -> None:
        """We did not listen (the journal is behind): the silence until now means nothing."""

    def link_down(self, now: Moment) -> Iterable[Event]:
        """The link is gone, and with it this dialogue; what is in ``output`` is not sent.

        What it says now is its own word, not the device's: that was not heard any longer.
        """
        del now
        return ()

    def leave(self, now: Moment) -> Iterable[Event]:
        """The gateway stops: say goodbye; :attr:`left` tells when the device has answered."""
        del now
        return ()

    @property
    def left(self) -> bool:
        """Whether nothing more is awaited from the device before the link is closed."""
        return True
