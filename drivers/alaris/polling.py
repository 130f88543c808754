"""What is asked of a pump when: one question at a time, without I/O.

A round asks for the volume to be infused, in every so many rounds for the syringe, then for the
infusion, so that its report has what the round brought, and for the alarm. A question that is not
answered is asked once more and then passed over: an older pump does not know each of them.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from drivers.alaris.codec import Query

ANSWER_S: Final = 0.5
"""The protocol's own time-out."""
TRIES_MAX: Final = 2
SELDOM_ROUNDS: Final = 12
"""Between two questions for the syringe."""


class Poller:
    """Rounds of questions, every ``period_s`` or as soon as the last one is over."""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._queue: deque[Query] = deque()
        self._asked: Query | None = None
        self._tries = 0
        self._round = 0
        self._round_s = 0.0
        self._due_s = 0.0

    @property
    def asked(self) -> Query | None:
        """What is under way."""
        return self._asked

    def deadline(self) -> float:
        """When :meth:`tick` is due."""
        return self._due_s

    def begin(self, now_s: float) -> Query:
        """The first question."""
        return self._begin_round(now_s)

    def answered(self, now_s: float) -> Query | None:
        """The answer to what was asked has come; the next question, if it is its turn."""
        self._asked = None
        return self._next(now_s)

    def tick(self, now_s: float) -> tuple[Query | None, Query | None]:
        """What has to be asked now, and what is given up."""
        if now_s < self._due_s:
            return None, None
        if self._asked is None:
            return self._begin_round(now_s), None
        if self._tries < TRIES_MAX:
            return self._ask(self._asked, self._tries + 1, now_s), None
        given_up, self._asked = self._asked, None
        return self._next(now_s), given_up

    def _begin_round(self, now_s: float) -> Query:
        self._round_s = now_s
        seldom = (Query.SYRINGE,) if self._round % SELDOM_ROUNDS == 0 else ()
        self._round += 1
        self._queue.extend((*seldom, Query.INFUSION, Query.ALARM))
        return self._ask(Query.VOLUME_TO_BE_INFUSED, 1, now_s)

    def _next(self, now_s: float) -> Query | None:
        if self._queue:
            return self._ask(self._queue.popleft(), 1, now_s)
        self._due_s = max(self._round_s + self._period_s, now_s)
        return None

    def _ask(self, query: Query, tries: int, now_s: float) -> Query:
        self._asked, self._tries = query, tries
        self._due_s = now_s + ANSWER_S
        return query
