"""What the fence needs of the gateway, and what it shows."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple, Protocol

from gateway.domain.ports import Clock, Counters, Outcome
from gateway.fence.machine import State
from gateway.network.config import Answer
from security.identity import Auditor


class Watch(Protocol):
    """Who answers for devices that are outside; implemented by ``gateway.network.watch``."""

    def fenced(self, device_id: str, *, outside: bool, answer: Answer | None = None) -> None:
        """It is outside, or no longer."""

    def outside(self) -> frozenset[str]:
        """Who was outside when the process before ended."""


class Place(NamedTuple):
    """Where a device stands; empty: nowhere."""

    ward: str = ""
    bed: str = ""


class Move(NamedTuple):
    """A device is in another ward, by the network's word."""

    device_id: str
    ward: str
    """Empty: in none."""
    at_us: int
    """Since when."""
    noted_us: int
    """When that was found. With the rest it names the move: said again, it is the same one."""
    before: str
    """The ward where it stood."""


class Places(Protocol):
    """Where devices stand for the associations; implemented by ``gateway.fence.places``."""

    def stands(self, device_id: str) -> Place:
        """Where it stands now."""

    def is_kept(self, device_id: str) -> bool:
        """Whether where it stands is on disk, whoever said so."""

    def move(self, move: Move, done: Callable[[Outcome], None]) -> None:
        """Say where it is; ``done`` once, with what became of it. Saying it again is no news."""


class Follow(Protocol):
    """Whose place follows the network; implemented by ``gateway.fence.following``."""

    def settled(self, device_id: str, ward: str, since_us: int) -> None:
        """It is seen in a ward, and has been for long enough."""

    def move(self, device_id: str, ward: str, at_us: int) -> None:
        """It is in a ward, whatever was followed before; empty: in none."""

    def keep(self, devices: Collection[str]) -> None:
        """Forget whoever is not among these."""

    def tick(self) -> None:
        """Try again what was not committed."""


class Bell(Protocol):
    """Raises alarms about the gateway; implemented by ``gateway.notices``."""

    def condition(self, condition: str, text: str, *, active: bool, about: str = "") -> None:
        """A state began or ended."""


class Around(NamedTuple):
    """Its collaborators, each a port."""

    watch: Watch
    following: Follow
    bell: Bell
    audit: Auditor
    clock: Clock
    counters: Counters
    on_zones: Callable[[str, Collection[str]], None] = lambda _device_id, _zones: None
    """A device was looked at: the zones in which it is, changed or not."""


class Found(NamedTuple):
    """One device, for who looks."""

    device_id: str
    class_name: str
    state: State
    zones: tuple[str, ...]
    ward: str
    """Of its zones; empty: none of one ward's."""
    seen_us: int
    """The newest word of it; 0: none."""
