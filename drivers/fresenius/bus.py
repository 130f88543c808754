"""Whose turn it is on a line with several pumps, and what the line itself wants: without I/O.

One question is under way at a time; pumps take turns. A question that is not answered within
:data:`ANSWER_S` gives its turn up; to ask again is its asker's business, so a newer question of
the same pump takes the place of one that still waits. Modules are reached through their base, whose
own session is opened before the first of them is asked, and closed with the last.

On the line: answers are acknowledged, damaged frames refused, and an enquiry is told that somebody
is there. All of that only to, and while there are, pumps that were asked something: to a line of
which no device is admitted nothing is said. What is no frame of :data:`drivers.fresenius.codec.
FRAMES` is not sent, whoever wants it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Final, NamedTuple, assert_never

from drivers.fresenius.codec import (
    BASE,
    DAMAGED,
    FRAMES,
    INCORRECT,
    IS_HERE,
    NAK,
    TAKEN,
    Acknowledged,
    Damage,
    Enquiry,
    Frame,
    FrameDecoder,
    Query,
    Refused,
)

ANSWER_S: Final = 1.0
"""The protocol's own time-out."""
BASE_CLOSED: Final = "0D"
"""The error: the session with the base is not open."""

_SENDABLE: Final = frozenset(FRAMES.values())


class _Asked(NamedTuple):
    station: Hashable
    until_s: float


class PumpBus:
    """See :class:`drivers.base.shared.Bus`; stations are addresses."""

    def __init__(self) -> None:
        self.output: list[bytes] = []
        self._decoder = FrameDecoder()
        self._waiting: dict[Hashable, bytes] = {}
        """By station, in the order of their turns."""
        self._speaking: dict[Hashable, None] = {}
        """Stations that were asked something since the line is there."""
        self._asked: _Asked | None = None
        self._base_open = False

    def pending(self) -> int:
        """Bytes held for an unfinished frame."""
        return self._decoder.pending()

    def opened(self) -> None:
        """The line is there anew: nothing of before counts."""
        self.output.clear()
        self._decoder = FrameDecoder()
        self._waiting.clear()
        self._speaking.clear()
        self._asked, self._base_open = None, False

    def send(self, station: Hashable, data: bytes, now_s: float) -> bool:
        """Ask, when it is its turn; False: it is no question of ours."""
        if data not in _SENDABLE:
            return False
        self._waiting[station] = data
        self._speaking[station] = None
        self._next(now_s)
        return True

    def forget(self, station: Hashable, now_s: float) -> None:
        """Nobody is interested in the station any more."""
        self._waiting.pop(station, None)
        if station not in self._speaking:
            return
        del self._speaking[station]
        if self._asked is not None and self._asked.station == station:
            self._asked = None
        if self._base_open and not any(map(_is_module, self._speaking)):
            self._base_open = False
            self.output.append(FRAMES[Query.CLOSE, BASE])
        self._next(now_s)

    def receive(self, data: bytes, now_s: float) -> Iterator[tuple[Hashable, bytes]]:
        """Bytes of the line -> whose they are; what is nobody's goes to who was asked."""
        for found in self._decoder.feed(data):
            match found:
                case Frame():
                    yield from self._frame(found, now_s)
                case Damage(reason, sample):
                    if self._asked is not None and reason == "checksum":
                        self.output.append(DAMAGED)
                    yield from self._anybody(sample)
                case Refused(code):
                    # The turn lasts until its time is over: the pump may just not be ready.
                    yield from self._anybody(bytes((NAK, 0x30 + code)))
                case Enquiry():
                    if self._speaking:
                        self.output.append(IS_HERE)
                case Acknowledged():
                    pass
                case _:
                    assert_never(found)

    def deadline(self) -> float | None:
        """When :meth:`tick` is due."""
        return None if self._asked is None else self._asked.until_s

    def tick(self, now_s: float) -> None:
        """Who has not answered in time has had its turn."""
        if self._asked is not None and now_s >= self._asked.until_s:
            self._asked = None
            self._next(now_s)

    def _frame(self, frame: Frame, now_s: float) -> Iterator[tuple[Hashable, bytes]]:
        station = frame.address
        asked = self._asked is not None and self._asked.station == station
        if not asked and station not in self._speaking:
            yield from self._anybody(frame.raw)
            return
        self.output.append(TAKEN)
        if station == BASE:
            # Whatever it says: were its session not open, the modules' answers would tell.
            self._base_open = True
        else:
            if frame.head == INCORRECT and frame.arguments == BASE_CLOSED:
                self._base_open = False
            yield station, frame.raw
        if asked:
            self._asked = None
            self._next(now_s)

    def _anybody(self, data: bytes) -> Iterator[tuple[Hashable, bytes]]:
        station = self._asked.station if self._asked is not None else None
        if station in self._speaking:
            yield station, data
        elif self._speaking:
            yield next(iter(self._speaking)), data

    def _next(self, now_s: float) -> None:
        if self._asked is not None or not self._waiting:
            return
        station = next(iter(self._waiting))
        if _is_module(station) and not self._base_open:
            station, data = BASE, FRAMES[Query.OPEN, BASE]
        else:
            data = self._waiting.pop(station)
        self._asked = _Asked(station, now_s + ANSWER_S)
        self.output.append(data)


def _is_module(station: Hashable) -> bool:
    return station is not None
