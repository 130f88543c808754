"""What is asked of a pump when: a table, without I/O.

A session is opened, the drug and the values are asked for, then the values in every period and the
drug seldom. A question that is not answered is asked again every :data:`REPEAT_S`: whose turn it is
on the line is not known here (:mod:`drivers.fresenius.bus`), and asking twice does no harm.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from drivers.fresenius.codec import Query

REPEAT_S: Final = 2.0
SELDOM_PERIODS: Final = 12
"""Between two questions for the drug."""


class Phase(Enum):
    OPENING = "opening"
    DRUG = "drug"
    VALUES = "values"
    RESTING = "resting"
    """Until the next period."""
    CLOSED_OUT = "closed out"
    """The pump has no session with us; a new one is opened in the next period."""
    LEAVING = "leaving"
    LEFT = "left"


class Heard(Enum):
    """What an answer is."""

    GOOD = "good"
    UNKNOWN = "unknown"
    """The pump knows less than it was asked."""
    CLOSED = "closed"
    """There is no session."""
    BAD = "bad"
    """Another error."""


_ASKS: Final = {Phase.OPENING: Query.OPEN, Phase.DRUG: Query.DRUG, Phase.LEAVING: Query.CLOSE}
NEXT: Final[dict[tuple[Phase, Heard], Phase]] = {
    # A session may be open already, from before: what is wrong with it will show.
    (Phase.OPENING, Heard.GOOD): Phase.DRUG,
    (Phase.OPENING, Heard.UNKNOWN): Phase.DRUG,
    (Phase.OPENING, Heard.CLOSED): Phase.CLOSED_OUT,
    (Phase.OPENING, Heard.BAD): Phase.DRUG,
    # No drug, or a pump that knows none: its values are what counts.
    (Phase.DRUG, Heard.GOOD): Phase.VALUES,
    (Phase.DRUG, Heard.UNKNOWN): Phase.VALUES,
    (Phase.DRUG, Heard.CLOSED): Phase.CLOSED_OUT,
    (Phase.DRUG, Heard.BAD): Phase.VALUES,
    (Phase.VALUES, Heard.GOOD): Phase.RESTING,
    (Phase.VALUES, Heard.UNKNOWN): Phase.RESTING,
    (Phase.VALUES, Heard.CLOSED): Phase.CLOSED_OUT,
    (Phase.VALUES, Heard.BAD): Phase.RESTING,
    (Phase.LEAVING, Heard.GOOD): Phase.LEFT,
    (Phase.LEAVING, Heard.UNKNOWN): Phase.LEFT,
    (Phase.LEAVING, Heard.CLOSED): Phase.LEFT,
    (Phase.LEAVING, Heard.BAD): Phase.LEFT,
}
"""Phase and answer -> phase; a phase that asks nothing gets no answers."""


class _Due(NamedTuple):
    at_s: float
    """When something is asked (again)."""
    period_s: float
    """When this period began."""


class Session:
    """One conversation, for as long as the link is up."""

    def __init__(self, poll_s: float) -> None:
        self.phase = Phase.OPENING
        self._poll_s = poll_s
        self._values = Query.VARIABLES
        self._periods = 0
        self._due = _Due(0.0, 0.0)

    @property
    def asked(self) -> Query | None:
        """What is under way."""
        return self._values if self.phase is Phase.VALUES else _ASKS.get(self.phase)

    def deadline(self) -> float:
        """When :meth:`tick` is due."""
        return self._due.at_s

    def begin(self, now_s: float) -> Query | None:
        """Open the session."""
        self.phase = Phase.OPENING
        self._due = self._due._replace(period_s=now_s)
        return self._ask(now_s)

    def leave(self, now_s: float) -> Query | None:
        """Close the session, if there is one."""
        opened = self.phase not in (Phase.OPENING, Phase.CLOSED_OUT, Phase.LEFT)
        self.phase = Phase.LEAVING if opened else Phase.LEFT
        return self._ask(now_s)

    def heard(self, what: Heard, now_s: float) -> Query | None:
        """The answer to what was asked; the next question, if it is its turn."""
        if what is Heard.UNKNOWN and self.phase is Phase.VALUES:
            self._values = Query.RATE_AND_VOLUME
        self.phase = NEXT.get((self.phase, what), self.phase)
        return self._ask(now_s)

    def tick(self, now_s: float) -> Query | None:
        """Ask what is due."""
        if now_s < self._due.at_s:
            return None
        if self.phase is Phase.CLOSED_OUT:
            return self.begin(now_s)
        if self.phase is Phase.RESTING:
            self._periods += 1
            seldom = self._periods % SELDOM_PERIODS == 0
            self.phase = Phase.DRUG if seldom else Phase.VALUES
            self._due = self._due._replace(period_s=now_s)
        return self._ask(now_s)

    def _ask(self, now_s: float) -> Query | None:
        query = self.asked
        wait_s = now_s + REPEAT_S
        if query is None:
            wait_s = max(self._due.period_s + self._poll_s, now_s)
            if self.phase is Phase.CLOSED_OUT:
                wait_s = now_s + self._poll_s
        self._due = self._due._replace(at_s=wait_s)
        return query
