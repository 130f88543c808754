"""What was said of patients and beds: the only thing that is kept; everything else follows from it.

Events come from HL7 ADT messages (v2.5, chapter 3) and from people on site. Rules:

- An event is known by its content. The same one said again, by whatever message, is the same event,
  so that a set of events is all there is, and their order of arrival means nothing.
- ``occurred_us`` is when it happened (EVN-6), ``recorded_us`` when it was entered (EVN-2). What
  happened orders a stay; what was entered decides which event a cancellation means.
- Times are microseconds since the Unix epoch. A bed is a ward's, since bed 1 is in every ward.
"""

from __future__ import annotations

from enum import IntEnum
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

from gateway.domain.decoding import UNDECODABLE
from gateway.domain.errors import MalformedError

OPEN: Final = 2**62
"""The end of what has not ended, microseconds: the year 148000."""
KEY_BYTES: Final = 12
"""Of an event's digest: 2**48 events until two are taken for one."""


class Kind(IntEnum):
    """What an event says; ADT events have their trigger's number."""

    ADMIT = 1
    TRANSFER = 2
    DISCHARGE = 3
    UPDATE = 8
    """Nothing moved; where the patient is may be said."""
    CANCEL_ADMIT = 11
    CANCEL_TRANSFER = 12
    CANCEL_DISCHARGE = 13
    MERGE = 40
    """``other`` was the same person as ``patient``, and is no more."""
    PLACE = 100
    """A person on site says that the patient is in the bed from then on, whatever was said."""
    LEAVE = 101
    """A person on site says that the patient is not in the bed from then on."""
    CORRECT = 102
    """A person on site says who was in the bed from then until ``until_us``."""


class Bed(NamedTuple):
    """A place for a patient; without a bed it is none."""

    ward: str = ""
    bed: str = ""

    def __bool__(self) -> bool:
        return bool(self.bed)

    def __str__(self) -> str:
        return f"{self.ward}/{self.bed}" if self.ward else self.bed


NOWHERE: Final = Bed()


def read_bed(text: str) -> Bed:
    """The bed that ``ward/bed``, or a bed alone, names."""
    ward, slash, bed = text.partition("/")
    return Bed(ward.strip(), bed.strip()) if slash else Bed("", ward.strip())


class Event(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One thing that was said. Fields are added at the end: they lie on disks."""

    kind: Kind
    patient: str
    """Of a correction empty: nobody was there."""
    occurred_us: int
    """Of a cancellation: when that happened which is cancelled; 0: it was not said."""
    recorded_us: int
    bed: Bed = NOWHERE
    prior: Bed = NOWHERE
    """Where the patient was before, as far as it was said."""
    visit: str = ""
    other: str = ""
    until_us: int = 0
    by: str = ""
    """Who said it: the sender's device id, or a person's name. No part of the content."""
    noted_us: int = 0
    """When the gateway took it; no part of the content."""

    @property
    def key(self) -> str:
        """What it is known by."""
        content = msgspec.structs.replace(self, by="", noted_us=0)
        return blake2b(_encode(content), digest_size=KEY_BYTES).hexdigest()


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Event)


def pack(event: Event) -> bytes:
    """As it is stored."""
    return _encode(event)


def unpack(data: bytes) -> Event:
    """What was stored.

    Raises:
        MalformedError: it is none.
    """
    try:
        return _decoder.decode(data)
    except UNDECODABLE as error:
        raise MalformedError("association_event", str(error)) from error
