"""From a submission that was understood to the committer, and back with what became of it.

Rules:

- Alarms are committed by a call of their own, ahead of the telemetry that caused them: when that is
  refused for want of space, they and their state are kept. Waveforms are the third call; when they
  are refused the rest is kept, but the message is not acknowledged.
- The calls are answered in order, so that all outcomes are known when the ticket is settled.
- What the journal did not take of alarms and of interpreters' findings stays with its owner (the
  outbox, the interpreters) and is committed again at a tick.
- A message's id is kept with its commit, and given back without: the device says it again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.domain.ports import Counters, Outcome, StateDelta
from gateway.journal.types import Labelled
from gateway.pipeline.alarms.engine import Changes
from gateway.pipeline.alarms.outbox import Outbox
from gateway.pipeline.interpreters import Interpreters
from gateway.pipeline.ticket import Ticket

_log = logging.getLogger(__name__)


class Commits(Protocol):
    """What the intake needs of the committer."""

    def add(
        self,
        alarms: Sequence[Labelled],
        telemetry: Sequence[Labelled],
        alarm_deltas: Sequence[StateDelta],
        telemetry_deltas: Sequence[StateDelta],
        done: Callable[[Outcome], None],
        waves: Sequence[Labelled] = (),
    ) -> None:
        """Commit; ``done`` once, on the loop, in the order of calls, also when all is empty."""

    def writable(self) -> bool:
        """False while the journal is behind."""

    def when_writable(self, resume: Callable[[], None]) -> None:
        """Call ``resume`` once it no longer is."""


_What = tuple[Sequence[Labelled], Sequence[Labelled], Sequence[StateDelta], Sequence[StateDelta]]
"""Alarms, telemetry, the alarms' deltas, the telemetry's."""


class Dispatch:
    """Between the intake and the committer.

    Args:
        commits: the committer.
        outbox: the alarms' way to the disk.
        interpreters: what they found and is not on disk.
        counters: counts ``not_taken``.
    """

    def __init__(
        self, commits: Commits, outbox: Outbox, interpreters: Interpreters, counters: Counters
    ) -> None:
        self.commits = commits
        self._outbox = outbox
        self._interpreters = interpreters
        self._counters = counters

    @property
    def waits(self) -> bool:
        """Whether alarms, or who is watched, did not arrive."""
        return bool(self._outbox)

    def when_settled(self, done: Callable[[], None]) -> None:
        """Call ``done`` once everything sent before is settled."""
        self.commits.add((), (), (), (), lambda _: done())

    def send(
        self,
        ticket: Ticket,
        changes: Changes,
        deltas: Sequence[StateDelta],
        alarm_deltas: Sequence[StateDelta] = (),
        *,
        catch_up: bool = False,
    ) -> None:
        """Commit what a ticket holds, with the alarms that it caused; then settle it.

        Args:
            ticket: records and findings, labelled and encoded.
            changes: of the alarms.
            deltas: the driver's own state.
            alarm_deltas: what of it goes with the alarms.
            catch_up: also what did not arrive before.
        """
        # Two calls, so that what became of the alarms is known when the telemetry is refused.
        # They are answered in order, hence the alarms' answer is there when done is called.
        if catch_up:
            ticket.outgoing = self._outbox.catch_up(changes)
            ticket.presence = self._outbox.catch_up_presence(changes)
        elif changes:
            ticket.presence = changes.presence
            if changes.alarms:
                ticket.outgoing = self._outbox.take(changes)
                if ticket.outgoing is None:
                    ticket.alarms_outcome = Outcome.FULL
        alarms = ticket.alarms
        if ticket.outgoing is not None:
            alarms = ticket.outgoing.records + alarms
            alarm_deltas = (*ticket.outgoing.deltas, *alarm_deltas)
        if alarms or alarm_deltas:
            self._add(
                (alarms, (), alarm_deltas, ()),
                lambda outcome: self._settle_alarms(ticket, outcome),
            )
        if ticket.waves:
            self._add(
                ((), (), (), ()), lambda outcome: _settle_waves(ticket, outcome), ticket.waves
            )
        if ticket.presence:
            deltas = (*deltas, *ticket.presence)
        if ticket.found or ticket.state:
            deltas = self._with_findings(ticket, deltas)
        self._add(((), ticket.telemetry, (), deltas), lambda outcome: self._settle(ticket, outcome))

    def _with_findings(self, ticket: Ticket, deltas: Sequence[StateDelta]) -> Sequence[StateDelta]:
        """Let interpreters' findings go with the telemetry, unless older ones wait."""
        if self._interpreters.waits:
            self._interpreters.put_back(ticket.unsaved)
            ticket.found, ticket.state, ticket.waits = (), (), True
        ticket.telemetry += ticket.found
        return (*deltas, *ticket.state)

    def _add(
        self, what: _What, done: Callable[[Outcome], None], waves: Sequence[Labelled] = ()
    ) -> None:
        try:
            self.commits.add(*what, done, waves)
        except (ValueError, RuntimeError) as error:
            # Larger than a group can be, or the gateway is stopping: the driver must hear it.
            _log.error("a submission was not taken: %s", error)
            done(Outcome.FAILED)

    def _settle_alarms(self, ticket: Ticket, outcome: Outcome) -> None:
        if outcome is not Outcome.COMMITTED:
            ticket.alarms_outcome = outcome
            if ticket.outgoing is not None:
                self._outbox.put_back(ticket.outgoing)

    def _settle(self, ticket: Ticket, outcome: Outcome) -> None:
        alarms_outcome = ticket.alarms_outcome
        told = outcome if ticket.waves_outcome is Outcome.COMMITTED else ticket.waves_outcome
        if ticket.waits and told is Outcome.COMMITTED:
            told = Outcome.FULL
        for place, n, in_alarms in ticket.claims:
            if (alarms_outcome if in_alarms else told) is Outcome.COMMITTED:
                place.keep(n)
            else:
                place.give_back(n)
        ticket.claims = []
        if outcome is not Outcome.COMMITTED:
            self._outbox.put_back_presence(ticket.presence)
            if ticket.found or ticket.state:
                self._interpreters.put_back(ticket.unsaved)
        else:
            outcome = alarms_outcome if told is Outcome.COMMITTED else told
        ticket.outcome = outcome
        if outcome is not Outcome.COMMITTED and ticket.messages:
            self._counters.add("not_taken", outcome.value, n=ticket.messages)
        for original in ticket.originals:
            if original.outcome is not Outcome.COMMITTED:
                outcome = original.outcome or Outcome.FAILED
        ticket.originals = []
        if ticket.done is not None:
            ticket.done(outcome)


def _settle_waves(ticket: Ticket, outcome: Outcome) -> None:
    ticket.waves_outcome = outcome
