"""Which ward a device's place follows: each move once, kept on disk, audited once it is so.

Rules:

* The network's word of a ward is news when it is another one than the last that was followed,
  through silence, absence and restarts. So what a person says of a place meanwhile stands.
* A move is told to the audit log once the journal has it. What the journal did not take is tried
  again at each tick, in the same words, so that the associations have it once; the entries of such
  moves may be in another order than the moves.
* The ward that was followed is committed behind the place, whoever said it, never before it. After
  a crash between the two the same word is news again, and moves nothing while the place is so.

No I/O. To be used on the loop's thread.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Collection
from typing import Final

import msgspec

from gateway.domain.ports import Clock, Outcome, Sink, StateView
from gateway.fence.ports import Move, Places
from gateway.network.memory import Memory
from security.identity import Auditor

log = logging.getLogger(__name__)

SPACE: Final = "fence"
"""Of the journal's state: the ward that was followed last, by device."""
AGAIN_MAX: Final = 100
"""Moves that are tried again at one tick."""
OWED_MAX: Final = 10_000
"""Moves that wait for a journal that takes none. What is given up beyond is their entries in the
audit log: the places themselves wait with the associations."""


class _Followed(msgspec.Struct, frozen=True):
    ward: str


class Following:
    """The places of all devices, as far as they follow.

    Args:
        places: where devices stand.
        sink: where what was followed is kept.
        audit: told of each move.
        clock: says when a move was noted.
    """

    def __init__(self, places: Places, sink: Sink, audit: Auditor, clock: Clock) -> None:
        self._places = places
        self._kept = Memory(SPACE, _Followed, "which ward a device followed", sink)
        self._audit = audit
        self._clock = clock
        self._ward: dict[str, str] = {}
        """The ward that was followed last; not there: none. Bounded by the registry."""
        self._under_way: Counter[str] = Counter()
        """Moves of each device that the journal does not have."""
        self._owed: deque[Move] = deque()

    def restore(self, view: StateView) -> None:
        """Take over what was committed; before anything is heard."""
        for device_id, followed in self._kept.read(view):
            self._ward[device_id] = followed.ward

    def keep(self, devices: Collection[str]) -> None:
        """Forget whoever is not among these."""
        for device_id in sorted(self._ward.keys() - devices):
            del self._ward[device_id]
            self._save(device_id)

    def settled(self, device_id: str, ward: str, since_us: int) -> None:
        """The network sees it in a ward, and has for long enough; no news if it was followed there.

        Args:
            device_id: which.
            ward: where; not empty.
            since_us: when it came there.
        """
        if self._ward.get(device_id, "") != ward:
            self.move(device_id, ward, since_us)

    def move(self, device_id: str, ward: str, at_us: int) -> None:
        """It is in a ward, whatever was followed before; empty: in none."""
        if ward:
            self._ward[device_id] = ward
        else:
            self._ward.pop(device_id, None)
        before = self._places.stands(device_id)
        if ward == before.ward and (ward or not before.bed):
            self._save(device_id)
            return
        self._under_way[device_id] += 1
        self._submit(Move(device_id, ward, at_us, self._clock.now_us(), before.ward))

    def tick(self) -> None:
        """Try again what the journal did not take."""
        for _ in range(min(len(self._owed), AGAIN_MAX)):
            self._submit(self._owed.popleft())
        for device_id in self._kept.owed:
            self._save(device_id)

    def _submit(self, move: Move) -> None:
        self._places.move(move, self._done(move))

    def _done(self, move: Move) -> Callable[[Outcome], None]:
        def done(outcome: Outcome) -> None:
            if outcome is Outcome.COMMITTED:
                self._audit.record(
                    "fence_moved", device=move.device_id, ward=move.ward, before=move.before
                )
                self._settle(move.device_id)
                return
            self._owed.append(move)
            if len(self._owed) > OWED_MAX:
                given_up = self._owed.popleft()
                log.error("%s: the audit log is not told of a move", given_up.device_id)
                self._settle(given_up.device_id)

        return done

    def _settle(self, device_id: str) -> None:
        """One move of a device is no longer under way; behind the last of them, keep the ward."""
        self._under_way[device_id] -= 1
        if not self._under_way[device_id]:
            del self._under_way[device_id]
            self._save(device_id)

    def _save(self, device_id: str) -> None:
        if device_id in self._under_way:
            return
        if not self._places.is_kept(device_id):
            self._kept.owe(device_id)
            return
        ward = self._ward.get(device_id)
        self._kept.save(device_id, _Followed(ward) if ward else None)
