"""How a session, its parts, its connection and its endpoint see each other."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple, Protocol

from drivers.mqtt.codec.reasons import ReasonCode
from gateway.domain.devices import Device
from gateway.domain.records import DeviceStatus


class Claimant(Protocol):
    """A session, as the endpoint sees it."""

    device: Device
    peer: str
    """Address and port."""
    opened: bool
    """Whether it ever had the device's place."""

    def kill(self, reason: str) -> None:
        """Drop the connection now; idempotent."""

    def taken_over(self) -> None:
        """Another connection of the same device has the place now."""

    def host(self) -> str:
        """The peer's address without its port."""

    def tick(self, now: float) -> None:
        """Time passes; monotonic seconds."""

    def stop(self) -> None:
        """The gateway stops: read no more, answer what is under way, then close."""


class Place(Protocol):
    """The device's place among the endpoint's sessions."""

    def claim(self, session: Claimant) -> str | None:
        """Take the device's place, and over from a live session.

        Returns:
            Why the device is online now (``connected`` or ``taken_over``), or None when it is
            kept out, which is audited and counted then.
        """

    def leave(self, session: Claimant, will: LateWill | None) -> None:
        """The session ended, perhaps with a will that is due later; idempotent."""

    def paused(self, change: int) -> None:
        """One more (1) or one less (-1) session isn't read."""


class LateWill(NamedTuple):
    """A last will with a delay (3.1.3.2.2 of 5.0): void when the device comes back before."""

    delay_s: int
    status: Callable[[int], DeviceStatus]
    """Makes the record, given the time in microseconds."""


class State(Enum):
    """Where a connection stands."""

    WAITING = "waiting"
    OPEN = "open"
    CLOSED = "closed"


class Pause(Enum):
    """Why a connection isn't read."""

    JOURNAL = "journal"
    UNANSWERED = "unanswered"
    PEER = "peer"
    """It doesn't read what we write: its own fault, so its keep-alive runs on."""
    STOPPING = "stopping"


OURS = {Pause.JOURNAL, Pause.UNANSWERED, Pause.STOPPING}


class Host(Protocol):
    """The session, as far as its parts need it."""

    def disconnect(self, code: ReasonCode, why: str) -> None:
        """Say why, where the version can, and close."""

    def refuse(self, reason: str) -> None:
        """Audit and count a refusal."""

    def write(self, data: bytes) -> None:
        """Write behind the answers that are still to come."""
