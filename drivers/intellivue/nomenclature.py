"""The protocol's own numbers: object classes, attributes, actions, states.

Names are the standard's and the Data Export guide's (``NOM_MOC_…``, ``NOM_ATTR_…``) without
their prefixes. Codes are 16-bit terms of one partition; the mapping puts the partition in
front of them.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag


class ObjectClass(IntEnum):
    """Managed object classes that can be polled (partition 1)."""

    ENUMERATION = 0x0005
    NUMERIC = 0x0006
    WAVE = 0x0009
    MDS = 0x0021
    PATIENT = 0x002A
    ALERT_MONITOR = 0x0036


class Group(IntEnum):
    """Attribute groups that a poll may ask for; ALL also returns labels."""

    ALL = 0x0000
    ALERT_MONITOR = 0x0801
    OBSERVED_VALUES = 0x0803
    SYSTEM_APPLICATION = 0x080A


class Attribute(IntEnum):
    """Attributes that the codec understands; others stay bytes."""

    P_ALARM_LIST = 0x0902
    T_ALARM_LIST = 0x0904
    ALERT_CONDITION = 0x0916
    BED_LABEL = 0x091E
    HANDLE = 0x0921
    LABEL_ID = 0x0924
    LABEL_STRING = 0x0927
    TYPE = 0x092F
    COMPOUND_VALUE = 0x094B
    NUMERIC_VALUE = 0x0950
    TIME_ABSOLUTE = 0x0987
    TIME_RELATIVE = 0x098F
    TIME_STAMP_ABSOLUTE = 0x0990
    TIME_STAMP_RELATIVE = 0x0991
    UNIT_CODE = 0x0996
    ENUMERATION_VALUE = 0x099E
    SAMPLES_COMPOUND = 0x0967
    SAMPLE_SPEC = 0x096D
    SAMPLES = 0x096E
    SCALE_RANGE = 0x096F
    SYSTEM_ID = 0x0984
    SAMPLE_PERIOD = 0x098D
    FIXED_VALUES = 0x0A16
    POLL_PROFILE = 0x0001
    POLL_PROFILE_EXT = 0xF001
    POLL_PERIOD = 0xF13E
    WAVE_PRIORITIES = 0xF23A
    NETWORK_ADDRESS = 0xF100


class Command(IntEnum):
    """CMDISE command types of a remote operation."""

    EVENT_REPORT = 0
    CONFIRMED_EVENT_REPORT = 1
    GET = 3
    SET = 4
    CONFIRMED_SET = 5
    CONFIRMED_ACTION = 7


class Action(IntEnum):
    """Actions on the MDS object: both only read."""

    POLL = 0x0C16
    POLL_EXTENDED = 0xF13B


EVENT_MDS_CREATE = 0x0D06
EVENT_CONNECT_INDICATION = 0x0D17

PARTITION_OBJECTS = 1
PARTITION_METRICS = 2
PARTITION_EVENTS = 3
PARTITION_UNITS = 4
PARTITION_PRIVATE = 1024
"""IEEE 11073-10101's private partition: where a vendor's own codes can't meet anybody else's."""
PRIVATE_FIRST = 0xF000
"""Terms from here on are the vendor's in every partition."""


class State(IntFlag):
    """MeasurementState: a value is valid when the high byte is 0."""

    INVALID = 0x8000
    QUESTIONABLE = 0x4000
    UNAVAILABLE = 0x2000
    CALIBRATING = 0x1000
    TEST = 0x0800
    DEMO = 0x0400
    VALIDATED = 0x0080
    EARLY = 0x0040
    ONGOING = 0x0020
    IN_ALARM = 0x0002
    ALARM_OFF = 0x0001


class AlertType(IntFlag):
    """What kind of alarm an entry of an alarm list is; 0 is none."""

    T_LOW = 0x0001
    T_MEDIUM = 0x0002
    T_HIGH = 0x0004
    P_LOW = 0x0100
    P_MEDIUM = 0x0200
    P_HIGH = 0x0400


class AlertState(IntFlag):
    """What the monitor does with an alarm at the moment."""

    INHIBITED = 0x8000
    SUSPENDED = 0x4000
    LATCHED = 0x2000
    SILENCED = 0x1000
    TEST = 0x0400
    STANDBY = 0x0200
    DEMO = 0x0100


class SampleFlags(IntFlag):
    """SaFlags: how samples are meant."""

    SMOOTH_CURVE = 0x8000
    DELAYED_CURVE = 0x4000
    STATIC_SCALE = 0x2000
    EXTENDED_RANGE = 0x1000
    """Bits beyond the significant ones are marks, not part of the value."""


class FixedValueId(IntEnum):
    """SaFixedValId: what a mark within a sample means."""

    UNSPECIFIED = 0
    INVALID = 1
    PACER = 2
    DEFIB_MARKER = 3
    SATURATION = 4
    QRS = 5


class PollOptions(IntFlag):
    """Options of the extended poll profile."""

    NUMERICS_1S = 0x8000_0000
    WAVES = 0x0800_0000
    ENUMERATIONS = 0x0400_0000


TICKS_PER_SECOND = 8000
"""RelativeTime counts eighths of a millisecond."""
