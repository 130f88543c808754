"""What hangs on the outcome of one submission."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gateway.domain.ports import Outcome, StateDelta
from gateway.journal.types import Labelled
from gateway.pipeline.alarms.outbox import Outgoing
from gateway.pipeline.duplicates import Place
from gateway.pipeline.interpreters import Unsaved


class Ticket:
    """One submission: what hangs on its outcome."""

    __slots__ = (
        "alarms",
        "alarms_outcome",
        "claimed",
        "claims",
        "device_id",
        "done",
        "found",
        "kinds",
        "message_id",
        "messages",
        "originals",
        "outcome",
        "outgoing",
        "presence",
        "repeat",
        "state",
        "telemetry",
        "waits",
        "waves",
        "waves_outcome",
    )

    def __init__(self, done: Callable[[Outcome], None] | None) -> None:
        self.done = done
        self.outcome: Outcome | None = None
        self.alarms_outcome = Outcome.COMMITTED
        self.telemetry: list[Labelled] = []
        self.waves: list[Labelled] = []
        self.waves_outcome = Outcome.COMMITTED
        self.alarms: list[Labelled] = []
        """Records that the driver itself made."""
        self.outgoing: Outgoing | None = None
        self.presence: Sequence[StateDelta] = ()
        self.found: Sequence[Labelled] = ()
        """Records of interpreters, which go with the telemetry."""
        self.state: Sequence[StateDelta] = ()
        """Of interpreters."""
        self.waits = False
        """What interpreters found queues up behind what was not taken before."""
        self.claims: list[tuple[Place, Any, bool]] = []
        """Ids taken, and whether the message is in the alarms lane alone."""
        self.originals: list[Ticket] = []
        """Tickets whose messages this one repeats."""
        self.messages = 0
        # The message that was looked at last: its parts stand side by side.
        self.device_id = ""
        self.message_id = ""
        self.kinds: list[type] = []
        self.repeat = False
        self.claimed = False
        """Whether the last of ``claims`` is that message's."""

    @property
    def unsaved(self) -> Unsaved:
        """What interpreters want on disk."""
        return Unsaved(self.found, {(delta.space, delta.key): None for delta in self.state})
