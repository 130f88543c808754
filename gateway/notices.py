"""The gateway's word on itself: technical alarms whose device is the gateway.

They travel as records like any alarm, so that they are durable, released by policy, and reach
the core. A *condition* starts and ends; an *occurrence* is a condition that is over at once.
"""

from __future__ import annotations

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


class Notices:
    """Raises technical alarms about the gateway through the sink."""

    def __init__(self, gateway: str, sink: Sink, clock: Clock) -> None:
        self._gateway = gateway
        self._sink = sink
        self._clock = clock
        self._active: dict[str, tuple[str, int]] = {}

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

    def condition(self, condition: str, text: str, *, active: bool, key: str = "") -> None:
        """A state of the gateway began or ended; repeating the same is no news.

        Args:
            condition: a stable name.
            text: for people.
            active: whether it holds now.
            key: makes the alarm's id the same after a restart, where the condition has one.
        """
        if active == (condition in self._active):
            return
        now = self._clock.now_us()
        if active:
            alarm_id, onset = f"{self._gateway}-{condition}-{key or now}", now
            self._active[condition] = (alarm_id, onset)
        else:
            alarm_id, onset = self._active.pop(condition)
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
