"""What the uplink needs of the journal and of the daemon."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple, Protocol

import grpc

from gateway.domain.labels import Lane
from gateway.journal.types import StoredGroup
from security.audit import TreeHead


class CursorStore(Protocol):
    """How far each destination has come."""

    def get(self, destination: str, lane: Lane) -> int | None:
        """The last record that the destination holds; None for an unknown one."""

    def advance(self, destination: str, lane: Lane, seq: int) -> None:
        """Move forward; going back is ignored."""


class JournalReader(Protocol):
    """The reading side of :class:`gateway.journal.journal.Journal`."""

    @property
    def cursors(self) -> CursorStore:
        """The destinations' cursors."""

    @property
    def epoch(self) -> int:
        """This start's epoch."""

    def read(
        self, lane: Lane, after_seq: int, records_max: int, bytes_max: int
    ) -> list[StoredGroup]:
        """What follows ``after_seq``, in whole groups; at least one if there is any."""

    def first_seq(self, lane: Lane) -> int:
        """The oldest record that was not deleted."""

    def last_seq(self, lane: Lane) -> int:
        """The newest record; 0 before the first."""

    def epoch_of(self, lane: Lane, seq: int) -> int:
        """The epoch of a record."""

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` on the loop after each commit."""

    def unsubscribe(self, callback: Callable[[], None]) -> None:
        """Stop; idempotent."""


class TroubleKind(StrEnum):
    """What an engineer must hear of."""

    RECEIVER_AHEAD = "receiver_ahead"
    """The receiver holds what this journal does not know: this disk was restored, or copied."""
    RECEIVER_BEHIND = "receiver_behind"
    """The receiver lost what it had acknowledged; what the journal still has is sent again."""
    REJECTED = "rejected"
    """A batch was rejected for good and set aside."""
    ADDRESS_REFUSED = "address_refused"
    """The receiver's name leads to an address outside its networks."""
    PIN_REFUSED = "pin_refused"
    """Who answers has not the pinned key."""


class Trouble(NamedTuple):
    """For a technical alarm."""

    kind: TroubleKind
    destination: str
    lane: Lane
    epoch: int
    seq: int
    detail: str = ""


class AuditSource(Protocol):
    """The reading side of ``security.audit.AuditLog``."""

    @property
    def public_key(self) -> bytes:
        """Of its heads."""

    @property
    def durable_head(self) -> TreeHead | None:
        """The newest head whose entries are on disk."""

    def consistency(self, first: int, second: int) -> list[bytes]:
        """The proof that a state continues another; may read files."""


OnTrouble = Callable[[Trouble], None]
OnException = Callable[[str, str, str, dict[str, str | int]], None]
"""Called with an event, a destination, what tells it from others, and fields, for the audit log."""
OnReached = Callable[[str], None]
"""A destination, by name, took a stream: what misled us about it is over."""


class Credentials(Protocol):
    """Made anew for each connection, so that a renewed certificate is used."""

    def __call__(self, anchor: bytes = b"") -> grpc.ChannelCredentials:
        """Trusting ``anchor`` alone where it is given; see ``security.tls``."""


class Seal(Protocol):
    """The sealing side of ``gateway.journal.types.Sealer``."""

    def seal(self, plaintext: bytes, aad: bytes) -> tuple[str, bytes]:
        """Key id and sealed bytes."""
