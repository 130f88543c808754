"""Online and offline of a device that says nothing of it: by whether it is heard."""

from __future__ import annotations

from collections.abc import Iterable

from drivers.base.dialogue import Dialogue, Event, Moment, Offline, Online


class Silence:
    """Says Online at the first sign of life, and Offline after ``silence_s`` without one."""

    def __init__(self, silence_s: float) -> None:
        self._silence_s = silence_s
        self._until: float | None = None

    def heard(self, monotonic_s: float) -> Iterable[Event]:
        """A message was understood."""
        fresh = self._until is None
        self._until = monotonic_s + self._silence_s
        return (Online(),) if fresh else ()

    def excuse(self, monotonic_s: float) -> None:
        """We did not listen until now."""
        if self._until is not None:
            self._until = monotonic_s + self._silence_s

    def deadline(self) -> float | None:
        """When the silence has lasted too long; None while the device is offline anyway."""
        return self._until

    def tick(self, monotonic_s: float) -> Iterable[Event]:
        """Offline once the deadline has passed."""
        if self._until is None or monotonic_s < self._until:
            return ()
        self._until = None
        return (Offline("silent"),)


class Listening(Dialogue):
    """A dialogue with such a device; one that is asked, too, has more in ``deadline``, ``tick``."""

    def __init__(self, silence: Silence) -> None:
        super().__init__()
        self._silence = silence

    def deadline(self) -> float | None:
        """When it has been silent for too long."""
        return self._silence.deadline()

    def tick(self, now: Moment) -> Iterable[Event]:
        """Offline when it has."""
        return self._silence.tick(now.monotonic_s)

    def excuse(self, now: Moment) -> None:
        """We did not listen."""
        self._silence.excuse(now.monotonic_s)
