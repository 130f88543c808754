"""What is known of devices and of the gateway itself: states, links, gaps, its clock."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from gateway.domain.records.common import Provenance


class DeviceState(IntEnum):
    ONLINE = 1
    OFFLINE = 2
    SILENT = 3


class DeviceStatus(msgspec.Struct, frozen=True, gc=False):
    device_id: str
    kind: str
    provenance: Provenance
    received_us: int
    state: DeviceState
    reason: str
    """``connected``, ``last_will``, ``taken_over``, ``link_lost``, …"""
    device_us: int = 0
    firmware: str = ""
    battery_percent: float = -1.0
    message_id: str = ""
    detail: str = ""
    """The device's own words (a last will's payload): free text."""


class Gap(msgspec.Struct, frozen=True, gc=False):
    """Something is missing, and this says what is known of it.

    Either a range of the journal's own sequence numbers (``lane`` is not 0), or a span of a
    device's time.
    """

    reason: str
    """``journal_damaged``, ``journal_tail_lost``, ``dropped_oldest``, ``link_lost``, …"""
    device_id: str = ""
    lane: int = 0
    epoch: int = 0
    first_seq: int = 0
    last_seq: int = 0
    from_us: int = 0
    to_us: int = 0
    reports: int = 0


class LinkState(msgspec.Struct, frozen=True, gc=False):
    """Where a mobile network has a device, and how it hears it: from now on, until the next one.

    Without cell, zones and quality: nothing is known any more.
    """

    device_id: str
    provenance: Provenance
    at_us: int
    """When the gateway heard it, on its own clock."""
    cause: str
    """What is another than before: ``"cell"``, ``"zone"``, ``"quality"``; or why less is known:
    ``"session_ended"``, ``"unheard"``, ``"restarted"``."""
    network_us: int = 0
    """When it was so, by the network's clock; 0: it did not say."""
    cell: str = ""
    """``mcc-mnc-cell``; empty: not known."""
    zones: tuple[str, ...] = ()
    """Where the fence has it, in order; they overlap."""
    rsrp_dbm: float | None = None
    """As in ``gateway.domain.network.LinkSeen``; None: not known."""
    rsrq_db: float | None = None
    sinr_db: float | None = None


class LeapStatus(IntEnum):
    """What a time service says of the end of the month (RFC 5905, 7.3: the leap indicator)."""

    NORMAL = 1
    INSERT = 2
    """Its last minute has 61 seconds."""
    DELETE = 3
    UNSYNCHRONISED = 4
    """The clock follows nothing."""


class GatewayClock(msgspec.Struct, frozen=True, gc=False):
    """What the gateway's own clock is worth; microseconds."""

    device_id: str
    """The gateway."""
    provenance: Provenance
    at_us: int
    cause: str
    """``"started"``, ``"changed"``, ``"periodic"``, or ``"set"``: the clock was stepped."""
    source: str
    """Who says so: ``"chrony"``, ``"kernel"``, ``"platform"`` (the MEC platform alone), ``"none"``;
    ``"disputed"``: chrony or the kernel, and the platform contradicts."""
    synchronised: bool
    error_us: int = 0
    """The greatest that the clock may be off; 0: nobody says."""
    offset_us: int = 0
    """Clock minus true time, as the source estimates it; it is being corrected."""
    stratum: int = 0
    reference: str = ""
    """Whom it follows: an address, or the name of a reference clock."""
    root_delay_us: int = 0
    root_dispersion_us: int = 0
    frequency_ppb: int = 0
    """How fast the clock would run if it were not corrected; positive: fast."""
    leap: LeapStatus = LeapStatus.UNSYNCHRONISED
    step_us: int = 0
    """By how much it was set; 0: it was not."""
