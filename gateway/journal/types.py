"""What passes between the pipeline, the journal and the forwarders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from gateway.domain.labels import DataClass, Label, Lane
from gateway.domain.ports import StateDelta


class Labelled(NamedTuple):
    """One record, encoded (``wardgate.v1.Record``) and labelled."""

    label: Label
    encoded: bytes
    codes: tuple[int, ...]
    """The metrics that it uses, for the section's dictionary."""


class LaneGroup(NamedTuple):
    """What one group commit writes to one lane, atomically."""

    lane: Lane
    items: Sequence[Labelled]
    deltas: Sequence[StateDelta]
    policy_version: str
    """Version of the release table that was in force at collection."""


class EncodedSection(NamedTuple):
    """One serialised ``wardgate.v1.Section``: the wire's bytes and the journal's bytes."""

    data_class: DataClass
    level: int
    records: int
    body: bytes


class SeqRange(NamedTuple):
    """Inclusive; empty when ``last < first``."""

    first: int
    last: int


class Lost(NamedTuple):
    """A range of sequence numbers that the journal no longer has."""

    first: int
    last: int
    reason: str


class StoredGroup(NamedTuple):
    """One committed group as a forwarder reads it: records first_seq..last_seq of a lane."""

    first_seq: int
    last_seq: int
    policy_version: str
    sections: tuple[EncodedSection, ...]
    lost: tuple[Lost, ...] = ()
    """Ranges inside first_seq..last_seq that are gone; such a group may have no sections."""
    epoch: int = 0
    """The epoch of all of it: a group never crosses one."""
    committed_us: int = 0
    """Wall time of the commit; 0 for a range that is lost."""


STATE_SCOPE = "state"
"""What is rewritten whole, now and then: the journal's state, and the message ids."""


def lane_scope(lane: Lane) -> str:
    """The scope of a lane's frames."""
    return f"journal.{lane.name.lower()}"


class Opener(Protocol):
    """Opens what was sealed at rest (``security.scopes``)."""

    def open(self, key_id: str, sealed: bytes, aad: bytes) -> bytes:
        """Return the plaintext.

        Raises:
            KeyMissingError: there is no such key.
            KeyErasedError: there was, and it was destroyed on purpose.
            SealBrokenError: the bytes, the AAD or the key are not those that sealed.
        """


class Sealer(Opener, Protocol):
    """Authenticated encryption at rest, with the keys of a scope."""

    def seal(self, plaintext: bytes, aad: bytes) -> tuple[str, bytes]:
        """Seal under the current key; return that key's id (1..64 ASCII) and the sealed bytes."""


class Sealers(Protocol):
    """A sealer for each scope: a kind of data that can be erased apart from the others."""

    def of(self, scope: str) -> Sealer:
        """The scope's; it stays the same one when keys change."""
