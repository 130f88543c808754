"""What the fence needs of the gateway, and what it shows."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from gateway.domain.ports import Clock, Counters
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


class Places(Protocol):
    """Where devices stand for the associations; implemented by ``gateway.fence.places``."""

    def stands(self, device_id: str) -> Place:
        """Where it stands now."""

    def move(self, device_id: str, ward: str, at_us: int) -> None:
        """It has been in a ward since then; empty: in none."""


class Bell(Protocol):
    """Raises alarms about the gateway; implemented by ``gateway.notices``."""

    def condition(self, condition: str, text: str, *, active: bool, about: str = "") -> None:
        """A state began or ended."""


class Around(NamedTuple):
    """Its collaborators, each a port."""

    watch: Watch
    places: Places
    bell: Bell
    audit: Auditor
    clock: Clock
    counters: Counters


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
