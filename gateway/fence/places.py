"""A device's place by the network, as the associations take it.

What is said is a placement, as a person on site would say it: in another ward at no bed, since
nobody but a person knows at which; at home as the registry has it. It is kept, told to the core,
and can be corrected, as every placement (docs/association.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from gateway.association.associator import Said
from gateway.association.devices import Placement
from gateway.association.events import NOWHERE, Bed
from gateway.domain.devices import Device
from gateway.domain.ports import Clock, Outcome, Sink, Submission
from gateway.domain.records import Attestation, Provenance
from gateway.fence.ports import Move, Place

BY: Final = "network"
_PROVENANCE: Final = Provenance("gateway", Attestation.GATEWAY, BY)


class Standings(Protocol):
    """Where devices were placed; implemented by ``gateway.association.devices``."""

    def at(self, device_id: str, at_us: int) -> Bed | None:
        """Where a device stood; None: as the registry says."""


class Associated:
    """Implements :class:`~gateway.fence.ports.Places`."""

    def __init__(
        self,
        own_id: str,
        standings: Callable[[], Standings],
        device_of: Callable[[str], Device | None],
        is_kept: Callable[[str], bool],
        sink: Sink,
        clock: Clock,
    ) -> None:
        self._own_id = own_id
        self._standings = standings
        self._device_of = device_of
        self._is_kept = is_kept
        self._sink = sink
        self._clock = clock

    def stands(self, device_id: str) -> Place:
        """Where it stands now."""
        found = self._standings().at(device_id, self._clock.now_us())
        return Place(*(self._registered(device_id) if found is None else found))

    def is_kept(self, device_id: str) -> bool:
        """Whether where it stands is on disk, whoever said so."""
        return self._is_kept(device_id)

    def move(self, move: Move, done: Callable[[Outcome], None]) -> None:
        """Say where it is; ``done`` once, with what became of it. Saying it again is no news."""
        home = self._registered(move.device_id)
        back = bool(move.ward) and move.ward == home.ward
        placement = Placement(
            move.device_id,
            min(move.at_us, move.noted_us),
            move.noted_us,
            NOWHERE if back or not move.ward else Bed(move.ward),
            released=back,
            registry=home,
            by=BY,
        )
        said = Said(
            device_id=self._own_id,
            provenance=_PROVENANCE,
            received_us=self._clock.now_us(),
            placements=(placement,),
        )
        self._sink.submit(Submission([said], done))

    def _registered(self, device_id: str) -> Bed:
        device = self._device_of(device_id)
        return NOWHERE if device is None else Bed(device.ward, device.bed)
