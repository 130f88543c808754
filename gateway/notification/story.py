"""What becomes of one alarm in front of people, as a table.

An alarm is OPEN (people are told, and more of them by and by), ACKNOWLEDGED (somebody has it in
hand: nobody further is told) or MUTED (a silence covers it: nobody is told). It is not held before
it begins and after it has ended. Acknowledging and silencing stop the telling, never the alarm:

- an alarm that gets worse is told anew, from the first level on, whoever acknowledged or silenced;
- so is one whose acknowledgement or silence ends while it stands;
- whoever was told that it began is told that it ended, however it was acknowledged.

A story is persisted with each change (state space ``notification``), so that a restart goes on
where it stopped: what was on its way to an outlet is sent again with the same number, and the next
level is told when its time comes, counted from the beginning.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

import msgspec

from gateway.domain.labels import DataClass, Label
from gateway.domain.records import Alarm


class State(Enum):
    NONE = 0
    OPEN = 1
    ACKNOWLEDGED = 2
    MUTED = 3


class Input(Enum):
    BEGAN = auto()
    """START; or an UPDATE of an alarm that is not held, which began before it could be read."""
    COVERED = auto()
    """As BEGAN, within a silence."""
    CHANGED = auto()
    """UPDATE that is not worse."""
    WORSENED = auto()
    """UPDATE to a higher priority."""
    ENDED = auto()
    ACKNOWLEDGED = auto()
    """By a person."""
    LAPSED = auto()
    """The time of an acknowledgement is over."""
    DUE = auto()
    """The next level's turn has come."""
    MUTED = auto()
    """A silence that covers it begins."""
    UNMUTED = auto()
    """No silence covers it any more."""


class Effect(Enum):
    NOTHING = auto()
    BEGIN = auto()
    """Hold it; tell the first level."""
    HOLD = auto()
    """Hold it, and tell nobody."""
    TELL = auto()
    """Tell those who were told."""
    KEEP = auto()
    """Remember how it is now, and tell nobody."""
    ESCALATE = auto()
    """Tell the next level."""
    STOP = auto()
    """Tell those who were told that somebody has it in hand; nobody further."""
    QUIET = auto()
    """Tell nobody any more."""
    REOPEN = auto()
    """Begin again with the first level."""
    CLOSE = auto()
    """Tell those who were told that it is over; hold it no longer."""


TABLE: Final[dict[tuple[State, Input], tuple[Effect, State]]] = {
    (State.NONE, Input.BEGAN): (Effect.BEGIN, State.OPEN),
    (State.NONE, Input.COVERED): (Effect.HOLD, State.MUTED),
    (State.NONE, Input.CHANGED): (Effect.NOTHING, State.NONE),
    (State.NONE, Input.WORSENED): (Effect.NOTHING, State.NONE),
    (State.NONE, Input.ENDED): (Effect.NOTHING, State.NONE),
    (State.NONE, Input.ACKNOWLEDGED): (Effect.NOTHING, State.NONE),
    (State.NONE, Input.LAPSED): (Effect.NOTHING, State.NONE),
    (State.NONE, Input.DUE): (Effect.NOTHING, State.NONE),
    (State.NONE, Input.MUTED): (Effect.NOTHING, State.NONE),
    (State.NONE, Input.UNMUTED): (Effect.NOTHING, State.NONE),
    (State.OPEN, Input.BEGAN): (Effect.NOTHING, State.OPEN),
    (State.OPEN, Input.COVERED): (Effect.NOTHING, State.OPEN),
    (State.OPEN, Input.CHANGED): (Effect.TELL, State.OPEN),
    (State.OPEN, Input.WORSENED): (Effect.REOPEN, State.OPEN),
    (State.OPEN, Input.ENDED): (Effect.CLOSE, State.NONE),
    (State.OPEN, Input.ACKNOWLEDGED): (Effect.STOP, State.ACKNOWLEDGED),
    (State.OPEN, Input.LAPSED): (Effect.NOTHING, State.OPEN),
    (State.OPEN, Input.DUE): (Effect.ESCALATE, State.OPEN),
    (State.OPEN, Input.MUTED): (Effect.QUIET, State.MUTED),
    (State.OPEN, Input.UNMUTED): (Effect.NOTHING, State.OPEN),
    (State.ACKNOWLEDGED, Input.BEGAN): (Effect.NOTHING, State.ACKNOWLEDGED),
    (State.ACKNOWLEDGED, Input.COVERED): (Effect.NOTHING, State.ACKNOWLEDGED),
    (State.ACKNOWLEDGED, Input.CHANGED): (Effect.TELL, State.ACKNOWLEDGED),
    (State.ACKNOWLEDGED, Input.WORSENED): (Effect.REOPEN, State.OPEN),
    (State.ACKNOWLEDGED, Input.ENDED): (Effect.CLOSE, State.NONE),
    (State.ACKNOWLEDGED, Input.ACKNOWLEDGED): (Effect.NOTHING, State.ACKNOWLEDGED),
    (State.ACKNOWLEDGED, Input.LAPSED): (Effect.REOPEN, State.OPEN),
    (State.ACKNOWLEDGED, Input.DUE): (Effect.NOTHING, State.ACKNOWLEDGED),
    (State.ACKNOWLEDGED, Input.MUTED): (Effect.NOTHING, State.ACKNOWLEDGED),
    (State.ACKNOWLEDGED, Input.UNMUTED): (Effect.NOTHING, State.ACKNOWLEDGED),
    (State.MUTED, Input.BEGAN): (Effect.NOTHING, State.MUTED),
    (State.MUTED, Input.COVERED): (Effect.NOTHING, State.MUTED),
    (State.MUTED, Input.CHANGED): (Effect.KEEP, State.MUTED),
    (State.MUTED, Input.WORSENED): (Effect.REOPEN, State.OPEN),
    (State.MUTED, Input.ENDED): (Effect.CLOSE, State.NONE),
    (State.MUTED, Input.ACKNOWLEDGED): (Effect.STOP, State.ACKNOWLEDGED),
    (State.MUTED, Input.LAPSED): (Effect.NOTHING, State.MUTED),
    (State.MUTED, Input.DUE): (Effect.NOTHING, State.MUTED),
    (State.MUTED, Input.MUTED): (Effect.NOTHING, State.MUTED),
    (State.MUTED, Input.UNMUTED): (Effect.REOPEN, State.OPEN),
}


class Committed(msgspec.Struct, frozen=True, array_like=True):
    """An alarm record of the journal: what is told of it is released from exactly this."""

    alarm: Alarm
    data_class: DataClass
    level: int
    collected_under: str
    """Version of the release table at collection."""
    epoch: int
    seq: int
    encoded: bytes

    @property
    def label(self) -> Label:
        """Class and level."""
        return Label(self.data_class, self.level)


class Acknowledged(msgspec.Struct, frozen=True, array_like=True):
    """By whom, and how long it counts."""

    by: str
    via: str
    """The outlet or the service by which it came."""
    at_us: int
    until_us: int = 0
    """0: as long as the alarm does not get worse."""


class Told(msgspec.Struct, array_like=True):
    """How one outlet stands with one alarm."""

    n: int
    """The newest notification that it is to have."""
    done: int = 0
    """The newest that it has, or that was given up or withheld: what is above is on its way."""
    received: int = 0
    """The newest that it has."""
    level: int = 1
    since_us: int = 0
    """When notification ``n`` was decided."""
    attempts: int = 0
    failed: bool = False
    """``n`` was given up, or withheld."""
    seen: int = 0
    """The furthest that somebody has come with it: a ``Receipt`` step."""

    @property
    def waits(self) -> bool:
        """Whether something is on its way."""
        return self.done < self.n


class Story(msgspec.Struct, array_like=True):
    """One alarm, and who was told what of it."""

    last: Committed
    ward: str
    rule: str
    state: State
    opened_us: int
    """From when on the levels' delays are counted: it began, got worse, or was told anew."""
    opened_n: int = 1
    """The first notification since then: an acknowledgement of an older one is of no use."""
    n: int = 0
    """The newest notification."""
    level: int = 0
    due_us: int = 0
    """When the next level's turn comes; 0: never."""
    acknowledged: Acknowledged | None = None
    told: dict[str, Told] = msgspec.field(default_factory=dict)
    silence: str = ""
    """The silence that covers it."""

    @property
    def alarm_id(self) -> str:
        return self.last.alarm.alarm_id

    @property
    def is_over(self) -> bool:
        """It has ended, and is held only until those who were told of it know."""
        return self.state is State.NONE

    @property
    def waits(self) -> bool:
        """Whether a notification is on its way."""
        return any(each.waits for each in self.told.values())


def persist(story: Story) -> bytes:
    """A story as the value of its state delta."""
    return _encoder.encode(story)


def revive(value: bytes) -> Story:
    """What :func:`persist` wrote.

    Raises:
        msgspec.MsgspecError: it didn't.
    """
    return _decoder.decode(value)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Story)
