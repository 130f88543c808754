"""Tells a device that moves between gateways from an identity that is used behind two at once.

A device that moves speaks behind its new gateway alone. Two holders of one identity speak behind
both: ``TURNS`` changes of the gateway that hears it, each within ``WINDOW_S`` of the one before,
make a twin, until it has spoken behind one alone for as long. Whether it spoke is seen by each
gateway's own clock, so that clocks that differ change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

TURNS: Final = 4
WINDOW_S: Final = 60.0


class _Moves:
    """Of one device that spoke behind more than one gateway."""

    __slots__ = ("at", "turns")

    def __init__(self, at: float) -> None:
        self.at = at
        self.turns = 0


class Twins:
    """Remembers who was heard where; more than a word only of devices that have moved lately."""

    def __init__(self) -> None:
        self._heard: dict[str, Mapping[str, int]] = {}
        self._speaks: dict[str, str] = {}
        self._moves: dict[str, _Moves] = {}

    def heard(self, gateway: str, last_seen_us: Mapping[str, int], now: float) -> list[str]:
        """Take a gateway's report: when it last heard each connected device.

        Returns those that have become twins by it; ``now`` is in monotonic seconds.
        """
        before = self._heard.get(gateway)
        self._heard[gateway] = last_seen_us
        if before is None:
            return []  # what it heard before we listened says nothing of now
        found = []
        for device_id, seen_us in last_seen_us.items():
            if seen_us <= before.get(device_id, seen_us - 1):
                continue
            speaks = self._speaks.get(device_id)
            if speaks == gateway:
                continue
            self._speaks[device_id] = gateway
            if speaks is not None and self._turned(device_id, now):
                found.append(device_id)
        return found

    def is_twin(self, device_id: str) -> bool:
        """Whether a device is live behind two gateways."""
        moves = self._moves.get(device_id)
        return moves is not None and moves.turns >= TURNS

    def tick(self, now: float) -> None:
        """Forget who has stayed where it is."""
        for device_id in [key for key, each in self._moves.items() if now - each.at > WINDOW_S]:
            del self._moves[device_id]

    def _turned(self, device_id: str, now: float) -> bool:
        moves = self._moves.get(device_id)
        if moves is None or now - moves.at > WINDOW_S:
            moves = self._moves[device_id] = _Moves(now)
        moves.at = now
        moves.turns += 1
        return moves.turns == TURNS
