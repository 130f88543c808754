"""The gateway's word on itself: technical alarms whose device is the gateway.

They travel as records like any alarm, so that they are durable, released by policy, and reach
the core. A *condition* starts and ends; an *occurrence* is a condition that is over at once.

Each alarm that starts has an end, also when the gateway is killed in between: what stands is
committed together with the alarm's start, and taken over by the next process. There the condition
is found to hold on, or to be over, by whoever looks at it; what nobody has found to hold after
``CONFIRMED_WITHIN_S`` ends.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

import msgspec

from gateway.domain.decoding import UNDECODABLE
from gateway.domain.devices import Device
from gateway.domain.errors import RefusalReason
from gateway.domain.ports import Clock, Sink, StateDelta, StateView, Submission
from gateway.domain.records import (
    Alarm,
    AlarmKind,
    AlarmPhase,
    AlarmPriority,
    AlarmSource,
    Attestation,
    Provenance,
)

log = logging.getLogger(__name__)

CODE_MALFUNCTION = 196678
"""MDC_EVT_MALF."""

SPACE = "notices"
"""Of the journal's state: the conditions that stand."""
CONFIRMED_WITHIN_S = 120.0
"""Longer than anybody who looks at a condition takes to say that it holds on."""

MISDIRECTED = "destination_misdirected"
"""Condition, and audit event, of a receiver whose name leads elsewhere or that another plays."""

SUSPICIONS = {
    RefusalReason.CLONE: (
        "clone_suspected",
        "One certificate is used from two addresses; the device is kept out",
    ),
    RefusalReason.IDENTITY_MISMATCH: (
        "identity_misused",
        "A device was refused repeatedly: it names itself as another",
    ),
    RefusalReason.WRONG_TRANSPORT: (
        "wrong_transport",
        "A device was refused repeatedly: it is registered for another transport",
    ),
}
"""Condition and text."""


class _What(NamedTuple):
    condition: str
    about: str

    @property
    def key(self) -> str:
        return f"{self.condition}/{self.about}"


class _Standing(msgspec.Struct, frozen=True):
    condition: str
    about: str
    alarm_id: str
    onset_us: int


class Notices:
    """Raises technical alarms about the gateway through the sink."""

    def __init__(self, gateway: str, sink: Sink, clock: Clock) -> None:
        self._gateway = gateway
        self._sink = sink
        self._clock = clock
        self._active: dict[_What, _Standing] = {}
        self._unconfirmed: set[_What] = set()
        self._confirmed_by = 0.0

    def restore(self, view: StateView) -> None:
        """Take over what stood when the process before ended; once, before anything is raised.

        An entry that can't be read is left out and logged: it must not keep the gateway from
        starting.
        """
        for key, value in view.items(SPACE).items():
            try:
                standing = msgspec.msgpack.decode(value, type=_Standing)
            except UNDECODABLE:
                log.error("a standing condition can't be read (key of %d bytes)", len(key))  # noqa: TRY400  # nothing more to tell
                continue
            self._active[_What(standing.condition, standing.about)] = standing
        self._unconfirmed = set(self._active)
        self._confirmed_by = self._clock.monotonic() + CONFIRMED_WITHIN_S

    def tick(self) -> None:
        """Every second or so: end what stood before the restart and nobody has found to hold on."""
        if self._unconfirmed and self._clock.monotonic() >= self._confirmed_by:
            for what in sorted(self._unconfirmed):
                self.condition(what.condition, "", active=False, about=what.about)

    def occurrence(self, condition: str, text: str) -> None:
        """Something happened that an engineer must hear of."""
        now = self._clock.now_us()
        alarm_id = f"{self._gateway}-{condition}-{now}"
        self._sink.submit(
            Submission(
                [
                    self._alarm(alarm_id, condition, text, phase, now)
                    for phase in (AlarmPhase.START, AlarmPhase.END)
                ]
            )
        )

    def suspicion(self, device: Device, reason: str, transport: str) -> None:
        """A device's identity is misused: an occurrence, told of the device itself."""
        now = self._clock.now_us()
        condition, text = SUSPICIONS[reason]
        alarm_id = f"{condition}-{device.device_id}-{now}"
        alarm = self._alarm(alarm_id, condition, f"{text} ({transport})", AlarmPhase.START, now)
        start = msgspec.structs.replace(alarm, device_id=device.device_id, bed=device.bed)
        end = msgspec.structs.replace(start, phase=AlarmPhase.END)
        self._sink.submit(Submission([start, end]))

    def condition(self, condition: str, text: str, *, active: bool, about: str = "") -> None:
        """A state of the gateway began or ended; repeating the same is no news.

        Args:
            condition: a stable name.
            text: for people.
            active: whether it holds now.
            about: which of several it is about (a destination's name); each is told apart.
        """
        what = _What(condition, about)
        self._unconfirmed.discard(what)
        if active == (what in self._active):
            return
        if active:
            now = self._clock.now_us()
            parts = (self._gateway, condition, about, str(now))
            alarm_id = "-".join(part for part in parts if part)
            self._active[what] = standing = _Standing(condition, about, alarm_id, now)
            kept = msgspec.msgpack.encode(standing)
        else:
            standing, kept = self._active.pop(what), None
        phase = AlarmPhase.START if active else AlarmPhase.END
        alarm = self._alarm(standing.alarm_id, condition, text, phase, standing.onset_us)
        delta = StateDelta(SPACE, what.key, kept)
        self._sink.submit(Submission([alarm], alarm_deltas=[delta]))

    def _alarm(
        self, alarm_id: str, condition: str, text: str, phase: AlarmPhase, onset_us: int
    ) -> Alarm:
        return Alarm(
            alarm_id=alarm_id,
            device_id=self._gateway,
            provenance=Provenance("gateway", Attestation.GATEWAY),
            priority=AlarmPriority.MEDIUM,
            phase=phase,
            kind=AlarmKind.TECHNICAL,
            source=AlarmSource.GATEWAY,
            code=CODE_MALFUNCTION,
            condition=condition,
            text=text,
            onset_us=onset_us,
            at_us=self._clock.now_us(),
        )
