"""What the journal holds: see ``Record``.

Times are microseconds since 1970-01-01T00:00:00Z (nanoseconds overflow 64 bits in 2262, and
recorded patients are dated beyond that). Enumerations have the numbers of
``protos/wardgate/v1/ingest.proto``. Records are immutable; ``msgspec.structs.replace`` makes
a changed copy.
"""

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


class AlarmPriority(IntEnum):
    """IEC 60601-1-8."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3


class AlarmPhase(IntEnum):
    START = 1
    UPDATE = 2
    END = 3


class AlarmKind(IntEnum):
    PHYSIOLOGICAL = 1
    TECHNICAL = 2
    ADVISORY = 3


class AlarmSource(IntEnum):
    DEVICE = 1
    GATEWAY = 2


class InventoryAction(IntEnum):
    ARRIVED = 1
    MOVED = 2
    DEPARTED = 3
    DOUBTED = 4
    """It is not read, and nobody knows that it was taken."""
    CONFIRMED = 5
    """It was in doubt, and is read again."""
    ISSUED = 6
    """A garment: taken with a badge."""
    RETURNED = 7
    """A garment that was issued: back."""


class CabinetEventKind(IntEnum):
    ACCESS = 1
    """A door was opened and shut."""
    RECONCILIATION = 2
    """Persons have counted."""


class AccessVerdict(IntEnum):
    """Whether a door was opened by who may."""

    PENDING = 0
    """Not decided yet; no record has it."""
    AUTHORISED = 1
    NO_BADGE = 2
    ONE_PERSON = 3
    """Two were needed."""
    UNSEEN = 4
    """Nobody saw the door being opened, hence nobody can say."""


class AssociationState(IntEnum):
    """How an association stands."""

    NONE = 0
    """Nobody is known to have been there, or nothing is to be told of it."""
    CURRENT = 1
    QUARANTINED = 2
    """What is known contradicts itself: it belongs to nobody until somebody on site resolves it."""
    WITHDRAWN = 3
    """It never was."""


class AssociationSubject(IntEnum):
    BED = 1
    """A patient in a bed."""
    DEVICE = 2
    """A device at a bed."""


class LeapStatus(IntEnum):
    """What a time service says of the end of the month (RFC 5905, 7.3: the leap indicator)."""

    NORMAL = 1
    INSERT = 2
    """Its last minute has 61 seconds."""
    DELETE = 3
    UNSYNCHRONISED = 4
    """The clock follows nothing."""


class InfusionOrderAction(IntEnum):
    ORDERED = 1
    CHANGED = 2
    CANCELLED = 3


class DeviceState(IntEnum):
    ONLINE = 1
    OFFLINE = 2
    SILENT = 3


class Provenance(msgspec.Struct, frozen=True, gc=False):
    """Who said it and how that is known; one shared object per session."""

    driver: str
    attestation: Attestation
    attested_by: str = ""
    """The serial port, broker or peer that attests, where it is not a certificate; with one that
    does not name the device itself: the host or the key by which the configuration knows it."""


class Enumeration(msgspec.Struct, frozen=True, gc=False):
    code: int
    value: int
    """The MDC code of the value where it has one, else 0."""
    name: str
    quality: Quality = Quality.VALID


class Text(msgspec.Struct, frozen=True, gc=False):
    code: int
    value: str


class Mark(IntEnum):
    """Why some samples of a waveform are no measurement, or what happened there."""

    INVALID = 1
    """The device says so, without a reason that has a mark of its own."""
    LEAD_OFF = 2
    """No electrode, sensor or transducer: what stands there is noise or the device's filler."""
    MISSING = 3
    """Nothing came for it: what stands there was filled in, so that the block stays whole."""
    SATURATED = 4
    """At the end of the converter's range: the true value is at least that far out."""
    PACED = 5
    """A pacemaker's pulse, where the device draws one: not measured, but valid."""
    CALIBRATING = 6
    """A calibration or test signal."""
    DEFIBRILLATED = 7
    """A shock was given here."""


class Marked(msgspec.Struct, frozen=True, gc=False):
    """A run of samples ``first .. first + count - 1`` of its block; ``count`` is at least 1."""

    first: int
    count: int
    mark: Mark


SAMPLES_MAX = 65_536
"""Of one block: two minutes at 500 Hz. Drivers send blocks of 0.2 to 5 s; what is longer is a
driver's fault, and refused as it."""
MARKS_MAX = 1_024
"""Of one block."""


class Waveform(msgspec.Struct, frozen=True, gc=False):
    """A block of equidistant samples of one metric.

    ``samples[i]`` was taken at ``start_us + i * 1e6 / sample_rate_hz`` and is
    ``samples[i] * scale + offset`` in the metric's UCUM unit (see :mod:`gateway.domain.terms`); a
    driver whose device has another unit converts scale and offset, not the samples.
    """

    code: int
    start_us: int
    """Time of the first sample, by the device's clock where it has one that can be used, else by
    the gateway's. Consecutive blocks follow on: a driver counts samples on from an anchor, so that
    the jitter of arrival is not in it."""
    sample_rate_hz: float
    scale: float
    offset: float
    samples: tuple[int, ...]
    """Of 32 bits each, signed; at most SAMPLES_MAX."""
    quality: Quality = Quality.VALID
    """Of the whole block: DEMO, CALIBRATING, or the gravest that holds for all of it."""
    missing_before: int = 0
    """Samples that are known to be missing directly before this block: a gap. The first block of a
    connection has none; what was lost before it, a Gap record says."""
    marks: tuple[Marked, ...] = ()
    """Runs of samples that are no ordinary measurement, ascending by ``first``; runs of different
    marks may overlap."""


class Whose(NamedTuple):
    """Where a device stood and who was there, at some time."""

    ward: str
    bed: str
    patient_id: str = ""
    association_id: str = ""
    state: int = 0
    """Of AssociationState; a plain number is hashed ten times faster, and this is per report."""


class Report(msgspec.Struct, frozen=True, gc=False):
    """What a device said at once.

    ``codes[i]`` has ``values[i]`` in the metric's UCUM unit (see :mod:`gateway.domain.terms`);
    ``qualities`` is empty when every value is valid, else as long as ``codes``.
    ``message_id`` is ``"boot:n"`` as the device numbered it, or empty.
    """

    device_id: str
    kind: str
    provenance: Provenance
    received_us: int
    codes: tuple[int, ...] = ()
    values: tuple[float, ...] = ()
    qualities: tuple[int, ...] = ()
    device_us: int = 0
    time_quality: TimeQuality = TimeQuality.NONE
    offset_us: int = 0
    message_id: str = ""
    bed: str = ""
    enumerations: tuple[Enumeration, ...] = ()
    texts: tuple[Text, ...] = ()
    waveforms: tuple[Waveform, ...] = ()
    ward: str = ""
    """Where the directory has the device."""
    patient_id: str = ""
    """Who was in the bed when it was measured; the pipeline knows, a driver leaves it empty."""
    association_id: str = ""
    association_state: AssociationState = AssociationState.NONE
    measured_us: int = 0
    """When it was measured, on the gateway's clock: an estimate; 0: none was made."""
    uncertainty_us: int = 0
    """How far that may be off from the true time on that clock; 0: nothing is claimed."""
    time_marks: int = 0
    """TimeMark."""
    order_us: int = 0
    """Sorts a device's reports in the order in which they were measured, across every step of
    either clock; 0: the same as ``measured_us``."""


class Alarm(msgspec.Struct, frozen=True, gc=False):
    """One phase of one alarm condition; ``alarm_id`` is the same from start to end."""

    alarm_id: str
    device_id: str
    provenance: Provenance
    priority: AlarmPriority
    phase: AlarmPhase
    kind: AlarmKind
    source: AlarmSource
    code: int
    """MDC event code where the standard has one, else a private code."""
    condition: str
    """A stable name such as ``"hr_high"`` or ``"drip_stopped"``."""
    text: str
    onset_us: int
    at_us: int
    bed: str = ""
    message_id: str = ""
    codes: tuple[int, ...] = ()
    values: tuple[float, ...] = ()
    limit: float = 0.0
    ward: str = ""
    patient_id: str = ""
    """Who was in the bed when it began; the pipeline knows, a driver leaves it empty."""
    association_id: str = ""
    association_state: AssociationState = AssociationState.NONE


class InventoryEvent(msgspec.Struct, frozen=True, gc=False):
    device_id: str
    provenance: Provenance
    received_us: int
    action: InventoryAction
    epc: str
    place: str
    from_place: str = ""
    badge: str = ""
    device_us: int = 0
    """When it happened, as far as is known, where that is not when it was understood."""
    message_id: str = ""
    session: str = ""
    """The door session in which it happened."""
    item_class: str = ""
    """What is counted together: a GTIN, or a name."""
    lot: str = ""
    expiry: str = ""
    """YYYY-MM-DD: the last day on which it is good."""
    badges: tuple[str, ...] = ()
    """Everybody's who was there; ``badge`` is the first one's."""
    reason: str = ""
    """``outage``, ``absent_shut``, ``reconciled``, …"""


class ItemCount(msgspec.Struct, frozen=True, gc=False):
    """How many of one class of items there are."""

    item_class: str
    expected: int
    """By the book: what was counted last, and taken or brought since by who may."""
    found: int
    """Read."""
    doubted: int = 0
    """Neither read nor known to be gone."""
    counted: int = -1
    """By hand; negative: not counted."""


class CabinetEvent(msgspec.Struct, frozen=True, gc=False):
    """A cabinet was opened, or what is in it was counted by persons."""

    device_id: str
    """The cabinet."""
    provenance: Provenance
    received_us: int
    kind: CabinetEventKind
    door: str = ""
    session: str = ""
    opened_us: int = 0
    closed_us: int = 0
    verdict: AccessVerdict = AccessVerdict.PENDING
    badges: tuple[str, ...] = ()
    """Who opened it, or who counted: as the list of badges names them."""
    counts: tuple[ItemCount, ...] = ()
    reason: str = ""
    """What persons wrote beside it."""
    unseen_close: bool = False
    """``closed_us`` is when it was found shut."""
    message_id: str = ""


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


class NotificationAction(IntEnum):
    """What happened to an alarm on its way to people (docs/notification.md)."""

    RECEIVED = 1
    """The outlet has it: the ward's broker, the service, who watches."""
    DISPLAYED = 2
    READ = 3
    FAILED = 4
    """Given up for this outlet."""
    WITHHELD = 5
    """The policy does not release it to this outlet."""
    SUMMARISED = 6
    """The outlet was told how many there are, instead of each."""
    ESCALATED = 7
    """The next level was told."""
    ACKNOWLEDGED = 8
    REOPENED = 9
    """It is told anew: it got worse, or its acknowledgement or silence has ended."""
    SILENCED = 10
    UNSILENCED = 11


class AlarmNotification(msgspec.Struct, frozen=True, gc=False):
    """What happened to an alarm on its way to people, or that somebody silenced some."""

    device_id: str
    """The alarm's; of a silence, the device or else the gateway."""
    provenance: Provenance
    at_us: int
    action: NotificationAction
    alarm_id: str = ""
    condition: str = ""
    priority: AlarmPriority | None = None
    phase: AlarmPhase | None = None
    n: int = 0
    """Which notification of the alarm it is about, from 1."""
    level: int = 0
    """Whom: the level of escalation, from 1."""
    bed: str = ""
    ward: str = ""
    outlet: str = ""
    by: str = ""
    """A person, as the outlet or the service names them."""
    reason: str = ""
    since_us: int = 0
    """Of a receipt: when the notification was decided. Of a silence: when it began."""
    until_us: int = 0
    """Until when an acknowledgement or a silence counts; 0: it has no end of its own."""
    count: int = 0
    """How many alarms, where it is about several."""
    message_id: str = ""


class AssociationChange(msgspec.Struct, frozen=True, gc=False):
    """An association as it is from now on, also where it was told otherwise before."""

    association_id: str
    subject: AssociationSubject
    provenance: Provenance
    device_id: str
    """Of a device at a bed; else empty."""
    ward: str
    bed: str
    """Empty: the device stood at none."""
    patient_id: str
    """Empty in quarantine, and where it is not to be told."""
    from_us: int
    to_us: int
    """The first moment that is not in it; 0: it goes on."""
    state: AssociationState
    reason: str
    """Why it is in quarantine."""
    cause: str
    """What brought the change."""
    revision: int
    """Ever higher."""
    at_us: int


class InfusionOrder(msgspec.Struct, frozen=True, gc=False):
    """What was ordered for one pump: context, which no device is told.

    A number that the order does not name is None.
    """

    device_id: str
    """The pump's."""
    provenance: Provenance
    """Whose word the order is: ``attested_by`` names the order system."""
    received_us: int
    action: InfusionOrderAction
    order_id: str
    ordered_us: int = 0
    drug: str = ""
    drug_code: str = ""
    volume_ml: float | None = None
    rate_ml_h: float | None = None
    dose: float | None = None
    dose_unit: str = ""
    route: str = ""
    bed: str = ""
    ward: str = ""
    message_id: str = ""


class GatewayClock(msgspec.Struct, frozen=True, gc=False):
    """What the gateway's own clock is worth; microseconds."""

    device_id: str
    """The gateway."""
    provenance: Provenance
    at_us: int
    cause: str
    """``"started"``, ``"changed"``, ``"periodic"``, or ``"set"``: the clock was stepped."""
    source: str
    """Who says so: ``"chrony"``, ``"kernel"`` or ``"none"``."""
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


Record = (
    Report
    | Alarm
    | InventoryEvent
    | CabinetEvent
    | DeviceStatus
    | Gap
    | AlarmNotification
    | AssociationChange
    | InfusionOrder
    | GatewayClock
)


class DeviceAlarm(msgspec.Struct, frozen=True, gc=False):
    """One alarm condition that a device shows at the moment."""

    condition: str
    code: int
    priority: AlarmPriority
    kind: AlarmKind
    text: str
    codes: tuple[int, ...] = ()
    """The values that caused it and the limit that they crossed, where the device says so."""
    values: tuple[float, ...] = ()
    limit: float = 0.0


class AlarmSnapshot(msgspec.Struct, frozen=True, gc=False):
    """All alarm conditions that a device shows at the moment, as its driver read them.

    Not a record: the pipeline compares it with the last one and makes the Alarm records
    (START, UPDATE, END) of the difference. Conditions that are missing here have ended.
    """

    device_id: str
    provenance: Provenance
    received_us: int
    alarms: tuple[DeviceAlarm, ...]
    bed: str = ""
    message_id: str = ""


class AlarmChange(msgspec.Struct, frozen=True, gc=False):
    """One alarm condition that a device says began, changed, goes on or ended.

    Not a record either, and no snapshot: it says nothing of the device's other conditions. A driver
    uses the one or the other, as its protocol tells.
    """

    device_id: str
    provenance: Provenance
    received_us: int
    alarm: DeviceAlarm
    present: bool
    """False: it has ended. An end of what did not stand is no news."""
    onset_us: int = 0
    """When the device says that it began; 0: it does not say."""
    bed: str = ""
    message_id: str = ""
    """Several changes side by side may be one message's."""
