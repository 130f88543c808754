"""Tells a device that moves from a certificate that is used twice.

A device that changes its address takes its session over once. Two holders of one certificate
take it over from each other again and again: ``ALTERNATIONS`` take-overs of a live session from
another address within ``WINDOW_S`` make a suspicion, and the device is kept out for a while. Where
both may be live at once, as over DTLS, a change of who speaks counts as a take-over.
"""

from __future__ import annotations

from collections import deque

ALTERNATIONS = 3
WINDOW_S = 60.0


class CloneWatch:
    """Remembers take-overs per device; holds nothing for a device that behaves."""

    def __init__(self, alternations: int = ALTERNATIONS) -> None:
        self._alternations = alternations
        self._moves: dict[str, deque[float]] = {}

    def taken_over(self, device_id: str, from_host: str, to_host: str, now: float) -> bool:
        """A live session was taken over; True when that makes a suspicion.

        Args:
            device_id: whose session.
            from_host: address of the connection that ends, without its port.
            to_host: address of the one that begins.
            now: monotonic seconds.
        """
        if from_host == to_host:
            return False
        moves = self._moves.setdefault(device_id, deque(maxlen=self._alternations))
        moves.append(now)
        suspected = len(moves) == self._alternations and now - moves[0] <= WINDOW_S
        if suspected:
            del self._moves[device_id]
        return suspected

    def tick(self, now: float) -> None:
        """Forget what is too long ago to matter."""
        for device_id in [key for key, moves in self._moves.items() if now - moves[-1] > WINDOW_S]:
            del self._moves[device_id]
