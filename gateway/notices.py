"""The gateway's word on itself: technical alarms whose device is the gateway.

They travel as records like any alarm, so that they are durable, released by policy, and reach
the core. A *condition* starts and ends; an *occurrence* is a condition that is over at once.
"""

from __future__ import annotations

import msgspec

from gateway.domain.devices import Device
from gateway.domain.errors import RefusalReason
from gateway.domain.ports import Clock, Sink, Submission
from gateway.domain.records import (
    Alarm,
    AlarmKind,
    AlarmPhase,
    AlarmPriority,
    AlarmSource,
    Attestation,
    Provenance,
)

CODE_MALFUNCTION = 196678
"""MDC_EVT_MALF."""

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


class Notices:
    """Raises technical alarms about the gateway through the sink."""

    def __init__(self, gateway: str, sink: Sink, clock: Clock) -> None:
        self._gateway = gateway
        self._sink = sink
        self._clock = clock
        self._active: dict[tuple[str, str], tuple[str, int]] = {}

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

    def condition(
        self, condition: str, text: str, *, active: bool, key: str = "", about: str = ""
    ) -> None:
        """A state of the gateway began or ended; repeating the same is no news.

        Args:
            condition: a stable name.
            text: for people.
            active: whether it holds now.
            key: makes the alarm's id the same after a restart, where the condition has one.
            about: which of several it is about (a destination's name); each is told apart.
        """
        what = (condition, about)
        if active == (what in self._active):
            return
        now = self._clock.now_us()
        if active:
            parts = (self._gateway, condition, about, key or str(now))
            alarm_id, onset = "-".join(part for part in parts if part), now
            self._active[what] = (alarm_id, onset)
        else:
            alarm_id, onset = self._active.pop(what)
        phase = AlarmPhase.START if active else AlarmPhase.END
        self._sink.submit(Submission([self._alarm(alarm_id, condition, text, phase, onset)]))

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
