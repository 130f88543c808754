"""What is said of every record: who said it, how that is known, when, and how good it is."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import NamedTuple

import msgspec


class TimeQuality(IntEnum):
    """How far a report's device time can be trusted."""

    NONE = 0
    """The device gave no time."""
    GOOD = 1
    OFFSET = 2
    """Off by more than the configured bound; ``offset_us`` says by how much."""
    IMPLAUSIBLE = 3


class TimeMark(IntFlag):
    """What is particular about the time at which a report was measured."""

    UNCERTAIN = 1
    """It may be off by more than the configured bound, the gateway's own clock included."""
    LATE = 2
    """Delivered long after it was measured."""
    SET = 4
    """It showed that the device's clock had been set."""
    GATEWAY_SET = 8
    """The gateway's clock was set between then and now, or has not caught up."""
    UNDATED = 16
    """The device told no time: it is the time of receipt."""
    UNSYNCHRONISED = 32
    """No time service vouched for the gateway's clock."""


class Quality(IntEnum):
    """Measurement validity, after IEEE 11073-10207 MeasurementValidity."""

    VALID = 1
    QUESTIONABLE = 2
    CALIBRATING = 3
    INVALID = 4
    OVERFLOW = 5
    UNDERFLOW = 6
    UNAVAILABLE = 7
    DEMO = 8


class Attestation(IntEnum):
    """How the gateway knows who sent it."""

    CERTIFICATE = 1
    PORT = 2
    BROKER = 3
    GATEWAY = 4
    ADDRESS = 5
    """The configuration binds it to a network address, without any proof: whoever has the address
    can speak for it."""


class Provenance(msgspec.Struct, frozen=True, gc=False):
    """Who said it and how that is known; one shared object per session."""

    driver: str
    attestation: Attestation
    attested_by: str = ""
    """The serial port, broker or peer that attests, where it is not a certificate; with one that
    does not name the device itself: the host or the key by which the configuration knows it."""


class AssociationState(IntEnum):
    """How an association stands."""

    NONE = 0
    """Nobody is known to have been there, or nothing is to be told of it."""
    CURRENT = 1
    QUARANTINED = 2
    """What is known contradicts itself: it belongs to nobody until somebody on site resolves it."""
    WITHDRAWN = 3
    """It never was."""


class Whose(NamedTuple):
    """Where a device stood and who was there, at some time."""

    ward: str
    bed: str
    patient_id: str = ""
    association_id: str = ""
    state: int = 0
    """Of AssociationState; a plain number is hashed ten times faster, and this is per report."""
