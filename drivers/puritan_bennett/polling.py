"""When what is asked of a ventilator on port 1: one question at a time, without I/O.

A reply takes 1.3 s at 9600 baud. Where the full report is never answered, the basic one is tried:
older software knows no other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from drivers.puritan_bennett.codec import Request

ANSWER_S: Final = 4.0
"""For a reply: three times as long as the longest takes on the line."""
TRIES_MAX: Final = 3
"""Of one kind of request, unanswered in a row, before the other is tried."""

_OTHER: Final = {Request.FULL: Request.BASIC, Request.BASIC: Request.FULL}


class Poll(NamedTuple):
    """What is under way."""

    due_s: float
    waiting: bool
    """For a reply; else for the next question."""


class Poller:
    """Asks every ``period_s``, or later where the answer is not there yet."""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._request = Request.FULL
        self._tries = 0
        self._asked_s = 0.0
        self._poll: Poll | None = None

    def deadline(self) -> float | None:
        """When :meth:`tick` is due."""
        return None if self._poll is None else self._poll.due_s

    def begin(self, now_s: float) -> Iterable[Request]:
        """Ask; before it, make the ventilator forget half a request of an earlier gateway."""
        return (Request.RESET, *self._ask(now_s))

    def answered(self) -> None:
        """A reply has come."""
        self._tries = 0
        self._poll = Poll(self._asked_s + self._period_s, waiting=False)

    def tick(self, now_s: float) -> Iterable[Request]:
        """Ask what is due."""
        if self._poll is None or now_s < self._poll.due_s:
            return ()
        if not self._poll.waiting:
            return self._ask(now_s)
        self._tries += 1
        if self._tries >= TRIES_MAX:
            self._tries = 0
            self._request = _OTHER[self._request]
        return (Request.RESET, *self._ask(now_s))

    def _ask(self, now_s: float) -> Iterable[Request]:
        self._asked_s = now_s
        self._poll = Poll(now_s + ANSWER_S, waiting=True)
        return (self._request,)
