"""An infusion pump: what it delivers, what its screen says, and what it tells when that changes.

Rules:

- The pump's life is the table :data:`LIFE`: idle, infusing, stopped by an occlusion, keeping the
  vein open behind the end of its programme. What happens outside the table changes nothing.
- A bag lasts ``volume_ml`` at ``rate_ml_h``. ``RELOAD_S`` after its end the nurse hangs the next.
- A condition is shown from :meth:`Pump.step` on until it is gone; one that stands for
  ``ESCALATE_S`` is shown at a higher priority.

Written from the profiles (IHE PCD TF-2; Infusion Pump Event Communication), not with the driver.
"""

from __future__ import annotations

from enum import Enum, auto
from random import Random
from typing import Final, NamedTuple

import msgspec

NEAR_S: Final = 120.0
"""Time left at which a pump says that its volume is nearly infused."""
RELOAD_S: Final = 20.0
ESCALATE_S: Final = 10.0
KVO_ML_H: Final = 1.0
"""Keeps the vein open."""
BATTERY_PERCENT_PER_H: Final = 12.0
PUMP: Final = "pump"
"""The kind of its messages, between source and link."""


class State(Enum):
    IDLE = auto()
    INFUSING = auto()
    OCCLUDED = auto()
    COMPLETE = auto()


class Input(Enum):
    START = auto()
    OCCLUDE = auto()
    CLEAR = auto()
    EMPTY = auto()
    RELOAD = auto()


class Event(Enum):
    """What PCD-10 tells: the code of IEEE 11073-10101 and its REFID."""

    START = "197288^MDC_EVT_PUMP_DELIV_START"
    STOP = "197290^MDC_EVT_PUMP_DELIV_STOP"
    COMPLETE = "197292^MDC_EVT_PUMP_DELIV_COMP"
    COUNTERS_CLEARED = "0^MDC_EVT_PUMP_VOL_COUNTERS_CLEARED"


LIFE: Final[dict[tuple[State, Input], tuple[State, tuple[Event, ...]]]] = {
    (State.IDLE, Input.START): (State.INFUSING, (Event.START,)),
    (State.INFUSING, Input.OCCLUDE): (State.OCCLUDED, (Event.STOP,)),
    (State.INFUSING, Input.EMPTY): (State.COMPLETE, (Event.COMPLETE,)),
    (State.OCCLUDED, Input.CLEAR): (State.INFUSING, (Event.START,)),
    (State.COMPLETE, Input.RELOAD): (State.INFUSING, (Event.COUNTERS_CLEARED, Event.START)),
}


class Shown(msgspec.Struct, frozen=True):
    """An alarm condition on the pump's screen."""

    condition: str
    """Its code and REFID."""
    text: str
    priority: str
    """PH, PM or PL."""


OCCLUSION = Shown("196940^MDC_EVT_FLUID_LINE_OCCL", "Occlusion downstream", "PM")
NEAR_END = Shown("197334^MDC_EVT_VOL_INFUS_NEAR_COMP", "Volume nearly infused", "PL")
AT_END = Shown("197332^MDC_EVT_VOL_INFUS_COMP", "Volume infused, KVO", "PM")
BATTERY_LOW = Shown("196802^MDC_EVT_BATT_LO", "Battery low", "PL")
BATTERY_LOW_PERCENT: Final = 20.0
_HIGHER: Final = {"PL": "PL", "PM": "PH", "PH": "PH"}


class Program(NamedTuple):
    """What the nurse set."""

    drug: str
    volume_ml: float
    rate_ml_h: float
    concentration_mg_ml: float = 0.0
    """0: no drug in it that is dosed."""
    weight_kg: float = 0.0
    syringe: bool = False


class PumpMessage(msgspec.Struct, frozen=True, kw_only=True, tag="pump", tag_field="told"):
    """What the pump has to tell at once; its link makes one to several HL7 messages of it."""

    boot: str
    n: int
    t: int
    """Its clock: milliseconds since 1970, UTC."""
    drug: str
    syringe: bool
    infusing: bool
    status: str
    """As in ``pump-delivery-status-…``."""
    reason: str = ""
    """As in ``pump-stopped-…``, while it delivers nothing."""
    rate_ml_h: float
    programmed_ml_h: float
    volume_ml: float
    infused_ml: float
    remaining_ml: float
    segment_ml: float
    left_min: float | None = None
    dose_ug_kg_min: float | None = None
    concentration_mg_ml: float | None = None
    weight_kg: float | None = None
    battery: float
    events: tuple[str, ...] = ()
    """Since the last message, in their order."""
    shown: tuple[Shown, ...] = ()


class Pump:
    """One pump.

    Args:
        program: what it is to infuse.
        random: its own, seeded.
    """

    def __init__(self, program: Program, random: Random) -> None:
        self.program = program
        self.state = State.IDLE
        self._infused = self._segment = 0.0
        self._since = 0.0
        """Seconds in this state."""
        self._standing: dict[str, float] = {}
        """How long each condition has been shown, in seconds."""
        self._events: list[Event] = []
        self._battery = random.uniform(40.0, 100.0)
        self._occluded = False

    def occlude(self, *, occluded: bool) -> None:
        """Press the line off, or let it go."""
        self._occluded = occluded

    def feed(self, seen: Input) -> None:
        """Let something happen to it."""
        after = LIFE.get((self.state, seen))
        if after is None:
            return
        self.state, events = after
        self._events += events
        self._since = 0.0
        if Event.START in events:
            self._segment = 0.0
        if seen is Input.RELOAD:
            self._infused = 0.0

    def step(self, seconds: float) -> None:
        """Let time pass."""
        self._since += seconds
        self._battery = max(0.0, self._battery - BATTERY_PERCENT_PER_H * seconds / 3600)
        if self.state is State.IDLE:
            self.feed(Input.START)
        if self._occluded:
            self.feed(Input.OCCLUDE)
        elif self.state is State.OCCLUDED:
            self.feed(Input.CLEAR)
        if self.state is State.INFUSING:
            given = min(self.program.rate_ml_h * seconds / 3600, self._left)
            self._infused += given
            self._segment += given
            if self._left <= 1e-9:
                self.feed(Input.EMPTY)
        elif self.state is State.COMPLETE and self._since >= RELOAD_S:
            self.feed(Input.RELOAD)
        now = {each.condition for each in self._conditions()}
        self._standing = {
            each: self._standing.get(each, -seconds) + seconds for each in sorted(now)
        }

    def tell(self, boot: str, n: int, t_ms: int) -> PumpMessage:
        """What it says now; its events are told once."""
        program, rate = self.program, self._rate
        dosed = bool(program.concentration_mg_ml and program.weight_kg)
        dose = rate * program.concentration_mg_ml * 1000 / 60 / (program.weight_kg or 1)
        events = tuple(each.value for each in self._events)
        self._events = []
        return PumpMessage(
            boot=boot,
            n=n,
            t=t_ms,
            drug=program.drug,
            syringe=program.syringe,
            infusing=rate > 0,
            status=_STATUS[self.state],
            reason=_REASON.get(self.state, ""),
            rate_ml_h=rate,
            programmed_ml_h=program.rate_ml_h,
            volume_ml=program.volume_ml,
            infused_ml=round(self._infused, 3),
            remaining_ml=round(self._left, 3),
            segment_ml=round(self._segment, 3),
            left_min=round(self._left / rate * 60, 2) if self.state is State.INFUSING else None,
            dose_ug_kg_min=round(dose, 3) if dosed else None,
            concentration_mg_ml=program.concentration_mg_ml or None,
            weight_kg=program.weight_kg or None,
            battery=round(self._battery, 1),
            events=events,
            shown=tuple(map(self._at_its_priority, self._conditions())),
        )

    @property
    def _left(self) -> float:
        return max(0.0, self.program.volume_ml - self._infused)

    @property
    def _rate(self) -> float:
        if self.state is State.INFUSING:
            return self.program.rate_ml_h
        return KVO_ML_H if self.state is State.COMPLETE else 0.0

    def _conditions(self) -> list[Shown]:
        found = []
        if self.state is State.OCCLUDED:
            found.append(OCCLUSION)
        elif self.state is State.COMPLETE:
            found.append(AT_END)
        elif self.state is State.INFUSING and self._left / self._rate * 3600 <= NEAR_S:
            found.append(NEAR_END)
        if self._battery < BATTERY_LOW_PERCENT:
            found.append(BATTERY_LOW)
        return found

    def _at_its_priority(self, shown: Shown) -> Shown:
        if self._standing.get(shown.condition, 0.0) < ESCALATE_S:
            return shown
        return msgspec.structs.replace(shown, priority=_HIGHER[shown.priority])


_STATUS: Final = {
    State.IDLE: "not-delivering",
    State.INFUSING: "delivering",
    State.OCCLUDED: "not-delivering",
    State.COMPLETE: "kvo",
}
_REASON: Final = {
    State.IDLE: "pump-stopped-not-specified",
    State.OCCLUDED: "pump-stopped-alarming",
}

_decode = msgspec.json.Decoder(PumpMessage).decode


def decode(payload: bytes) -> PumpMessage | None:
    """What :meth:`Pump.tell` made, as the link gets it; None if it is something else."""
    try:
        return _decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
