"""Devices in quarantine: what they say is collected, and leaves for nobody.

Their records get a label that no policy can release (:data:`gateway.domain.labels.HELD`): every
destination withholds them, as it does whatever its table has no row for, and the ledger says that
they were held. What was collected so is not released later.
"""

from __future__ import annotations

from collections.abc import Collection


class Holds:
    """Who holds which device back."""

    def __init__(self) -> None:
        self._held: dict[str, set[str]] = {}

    @property
    def devices(self) -> Collection[str]:
        """The devices that are held, as they are at any time; asked for every report."""
        return self._held

    def hold(self, device_id: str, reason: str) -> bool:
        """Hold a device back for a reason; whether that is news."""
        reasons = self._held.setdefault(device_id, set())
        if reason in reasons:
            return False
        reasons.add(reason)
        return True

    def release(self, device_id: str, reason: str) -> bool:
        """A reason is gone; whether it was there. The device is held while another is left."""
        reasons = self._held.get(device_id, set())
        if reason not in reasons:
            return False
        reasons.discard(reason)
        if not reasons:
            del self._held[device_id]
        return True

    def reasons(self, device_id: str) -> frozenset[str]:
        """Why a device is held."""
        return frozenset(self._held.get(device_id, ()))
