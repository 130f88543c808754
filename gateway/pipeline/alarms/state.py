"""The life of an alarm condition, as a table.

A condition is QUIET, PENDING (its delay runs) or ACTIVE. What a rule saw is one of the inputs;
the table says what happens:

- invalid or missing values (UNKNOWN) neither raise nor end anything;
- a value back inside the limit but within the hysteresis (BETWEEN) ends nothing either, but a
  delay that runs starts anew: the crossing was not sustained;
- an active condition whose priority changed makes an UPDATE record under the same id.

``alarm_id`` is made when the condition becomes ACTIVE and stays until END. ACTIVE conditions
are persisted (state space ``alarm``) in the commit that carries their record, so that a restart
neither forgets nor repeats them. PENDING ones are not: their delay starts anew.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

import msgspec

from gateway.domain.records import (
    AlarmKind,
    AlarmPriority,
    AlarmSource,
    Attestation,
    Provenance,
)

SPACE: Final = "alarm"
"""The StateDelta space of active conditions."""


class State(Enum):
    QUIET = auto()
    PENDING = auto()
    ACTIVE = auto()


class Input(Enum):
    CROSSED = auto()
    """The value is beyond the limit, at the priority that is held (or none is)."""
    CHANGED = auto()
    """Beyond the limit at another priority than the held one."""
    BETWEEN = auto()
    """Inside the limit, but within the hysteresis."""
    INSIDE = auto()
    """Clearly inside the limit."""
    UNKNOWN = auto()
    """No value that can be relied on."""
    ELAPSED = auto()
    """The delay is over."""
    GONE = auto()
    """The device signed off or was retired, or the rule no longer exists."""


class Effect(Enum):
    NOTHING = auto()
    BEGIN = auto()
    """Start the delay."""
    REFRESH = auto()
    """Remember the newest cause; a more severe one may shorten the delay."""
    CANCEL = auto()
    """Forget; nothing was raised."""
    RAISE = auto()
    """Make a START record."""
    UPDATE = auto()
    """Make an UPDATE record."""
    END = auto()
    """Make an END record."""


TABLE: Final[dict[tuple[State, Input], tuple[Effect, State]]] = {
    (State.QUIET, Input.CROSSED): (Effect.BEGIN, State.PENDING),
    (State.QUIET, Input.CHANGED): (Effect.BEGIN, State.PENDING),
    (State.QUIET, Input.BETWEEN): (Effect.NOTHING, State.QUIET),
    (State.QUIET, Input.INSIDE): (Effect.NOTHING, State.QUIET),
    (State.QUIET, Input.UNKNOWN): (Effect.NOTHING, State.QUIET),
    (State.QUIET, Input.ELAPSED): (Effect.NOTHING, State.QUIET),
    (State.QUIET, Input.GONE): (Effect.NOTHING, State.QUIET),
    (State.PENDING, Input.CROSSED): (Effect.REFRESH, State.PENDING),
    (State.PENDING, Input.CHANGED): (Effect.REFRESH, State.PENDING),
    (State.PENDING, Input.BETWEEN): (Effect.CANCEL, State.QUIET),
    (State.PENDING, Input.INSIDE): (Effect.CANCEL, State.QUIET),
    (State.PENDING, Input.UNKNOWN): (Effect.NOTHING, State.PENDING),
    (State.PENDING, Input.ELAPSED): (Effect.RAISE, State.ACTIVE),
    (State.PENDING, Input.GONE): (Effect.CANCEL, State.QUIET),
    (State.ACTIVE, Input.CROSSED): (Effect.NOTHING, State.ACTIVE),
    (State.ACTIVE, Input.CHANGED): (Effect.UPDATE, State.ACTIVE),
    (State.ACTIVE, Input.BETWEEN): (Effect.NOTHING, State.ACTIVE),
    (State.ACTIVE, Input.INSIDE): (Effect.END, State.QUIET),
    (State.ACTIVE, Input.UNKNOWN): (Effect.NOTHING, State.ACTIVE),
    (State.ACTIVE, Input.ELAPSED): (Effect.NOTHING, State.ACTIVE),
    (State.ACTIVE, Input.GONE): (Effect.END, State.QUIET),
}


class Cause(msgspec.Struct, frozen=True):
    """What a rule saw, or what a device shows."""

    condition: str
    code: int
    kind: AlarmKind
    source: AlarmSource
    priority: AlarmPriority
    text: str
    limit: float = 0.0
    codes: tuple[int, ...] = ()
    values: tuple[float, ...] = ()
    delay_s: float = 0.0

    @property
    def key(self) -> str:
        """Names of the device's own conditions can't meet the gateway's."""
        return key_of(self.source, self.condition)


def key_of(source: AlarmSource, condition: str) -> str:
    """A condition's key among those of its device."""
    return f"{'d' if source is AlarmSource.DEVICE else 'g'}:{condition}"


class Context(msgspec.Struct, frozen=True):
    """Whose condition it is, and when it was seen."""

    device_id: str
    bed: str
    provenance: Provenance
    at_us: int
    mono: float
    message_id: str = ""
    onset_us: int = 0
    """When it began by the device's word; 0: when it was seen."""


class Held:
    """A condition that is PENDING or ACTIVE."""

    __slots__ = (
        "alarm_id",
        "bed",
        "cause",
        "deadline",
        "device_id",
        "message_id",
        "onset_us",
        "provenance",
    )

    def __init__(self, context: Context, cause: Cause) -> None:
        self.device_id = context.device_id
        self.bed = context.bed
        self.provenance = context.provenance
        self.cause = cause
        self.onset_us = context.onset_us or context.at_us
        self.message_id = context.message_id
        self.deadline = context.mono + cause.delay_s
        self.alarm_id = ""
        """Empty while PENDING."""

    @property
    def state(self) -> State:
        """QUIET conditions are not held."""
        return State.ACTIVE if self.alarm_id else State.PENDING


class _Persisted(msgspec.Struct, array_like=True):
    alarm_id: str
    device_id: str
    bed: str
    driver: str
    attestation: Attestation
    attested_by: str
    onset_us: int
    cause: Cause


def persist(held: Held) -> bytes:
    """An ACTIVE condition as the value of its state delta."""
    source = held.provenance
    return msgspec.msgpack.encode(
        _Persisted(
            held.alarm_id,
            held.device_id,
            held.bed,
            source.driver,
            source.attestation,
            source.attested_by,
            held.onset_us,
            held.cause,
        )
    )


def revive(value: bytes) -> Held:
    """The ACTIVE condition that :func:`persist` wrote.

    Raises:
        msgspec.DecodeError: it didn't.
    """
    saved = msgspec.msgpack.decode(value, type=_Persisted)
    source = Provenance(saved.driver, saved.attestation, saved.attested_by)
    held = Held(Context(saved.device_id, saved.bed, source, saved.onset_us, 0.0), saved.cause)
    held.alarm_id = saved.alarm_id
    return held
