"""When refusals of one device are more than a mistake.

A device that is configured wrongly is refused now and then, and the audit log says so. Whoever
tries to pass for another, or holds a certificate meant for another place, tries again and again:
``REFUSALS`` within ``WINDOW_S`` make a suspicion, which people are told once in ``AGAIN_S``.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

REFUSALS: Final = 5
WINDOW_S: Final = 60.0
AGAIN_S: Final = 600.0
DEVICES_MAX: Final = 4096
"""Names come from certificates of ours, or from the configuration: they are not at will."""


class Suspicions:
    """Counts per device; forgets whom it has not heard of for longest."""

    def __init__(self) -> None:
        self._refused: OrderedDict[str, deque[float]] = OrderedDict()
        self._told: OrderedDict[str, float] = OrderedDict()

    def refused(self, device_id: str, now: float) -> bool:
        """Note a refusal at ``now``, monotonic seconds; True when people are to be told."""
        times = self._refused.pop(device_id, None) or deque(maxlen=REFUSALS)
        times.append(now)
        self._refused[device_id] = times
        if len(self._refused) > DEVICES_MAX:
            self._refused.popitem(last=False)
        if len(times) < REFUSALS or now - times[0] > WINDOW_S:
            return False
        return self.tell(device_id, now)

    def tell(self, device_id: str, now: float) -> bool:
        """Whether people are to be told of this device again."""
        told = self._told.get(device_id)
        if told is not None and now - told < AGAIN_S:
            return False
        self._told[device_id] = now
        self._told.move_to_end(device_id)
        if len(self._told) > DEVICES_MAX:
            self._told.popitem(last=False)
        return True
