"""Silences: for a while nobody is told of some alarms, by decision of a person.

Rules:

1. A silence names a bed, a device or both, and may name a condition; a whole ward has none.
2. It has an end, at most ``minutes_max`` away, and ends by itself.
3. It covers no alarm of high priority, unless the configuration says so. An alarm that gets worse
   comes out of it (:mod:`gateway.notification.story`).
4. It is told who silenced, until when and why: in the list, to who watches, at the core, in the
   audit log.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

from gateway.domain.errors import WardgateError
from gateway.domain.records import Alarm, AlarmPriority
from gateway.notification.config import SilenceConfig

WORDS_CHARACTERS_MAX = 120
"""Of a bed, a device, a condition, a name or a reason."""


class SilenceRefusedError(WardgateError):
    """A silence that may not be."""

    reason = "silence_refused"


class Silence(msgspec.Struct, frozen=True, array_like=True):
    """Who silenced what, until when."""

    silence_id: str
    bed: str
    device_id: str
    condition: str
    """Empty: every one."""
    begun_us: int
    until_us: int
    by: str
    reason: str = ""
    ward: str = ""

    def covers(self, alarm: Alarm, ward: str) -> bool:
        """Whether an alarm is one of those, whatever its priority."""
        return (
            self.bed in ("", alarm.bed)
            and self.device_id in ("", alarm.device_id)
            and self.condition in ("", alarm.condition)
            and (not self.ward or not ward or self.ward == ward)
        )


class Silences:
    """Those that stand; no I/O."""

    def __init__(self, config: SilenceConfig) -> None:
        self._config = config
        self._standing: dict[str, Silence] = {}

    def follow(self, config: SilenceConfig) -> None:
        """Go on under changed bounds; what stands keeps its end."""
        self._config = config

    def __iter__(self) -> Iterator[Silence]:
        return iter(tuple(self._standing.values()))

    def get(self, silence_id: str) -> Silence | None:
        """One of them."""
        return self._standing.get(silence_id)

    def check(self, silence: Silence) -> None:
        """Whether it may be.

        Raises:
            SilenceRefusedError: says why not.
        """
        most = self._config.minutes_max
        seconds = (silence.until_us - silence.begun_us) / 1e6
        if not silence.bed and not silence.device_id:
            raise SilenceRefusedError("a silence needs a bed or a device")
        if any(len(word) > WORDS_CHARACTERS_MAX for word in _words(silence)):
            raise SilenceRefusedError(f"at most {WORDS_CHARACTERS_MAX} characters each")
        if not silence.by:
            raise SilenceRefusedError("a silence needs somebody who answers for it")
        if not 0 < seconds <= most * 60 or not math.isfinite(seconds):
            raise SilenceRefusedError(f"a silence lasts at most {most:g} minutes")
        if len(self._standing) >= self._config.windows_max:
            raise SilenceRefusedError("there are too many silences")

    def begin(self, silence: Silence) -> bool:
        """Keep one that was checked; False when it is known."""
        if silence.silence_id in self._standing:
            return False
        self._standing[silence.silence_id] = silence
        return True

    def end(self, silence_id: str) -> Silence | None:
        """Forget one; it, if it stood."""
        return self._standing.pop(silence_id, None)

    def over(self, at_us: int) -> list[Silence]:
        """Those whose time is over; they are still to be ended."""
        return [each for each in self if each.until_us <= at_us]

    def covering(self, alarm: Alarm, ward: str, at_us: int) -> Silence | None:
        """The one that covers an alarm longest; None: nobody silenced it."""
        if alarm.priority is AlarmPriority.HIGH and not self._config.high:
            return None
        found = [e for e in self if e.until_us > at_us and e.covers(alarm, ward)]
        return max(found, key=lambda each: each.until_us, default=None)


def _words(silence: Silence) -> tuple[str, ...]:
    return (silence.bed, silence.device_id, silence.condition, silence.by, silence.reason)
