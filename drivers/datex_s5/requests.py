"""Everything that the driver ever says to a monitor: what to send, and to stop it.

The Datex Record Interface has no request here that changes anything at the bedside: these three
begin and end transmissions, and no function takes a record or a command of somebody else's.
"""

from __future__ import annotations

import struct
from typing import Final

from drivers.datex_s5 import codec
from drivers.datex_s5.codec import END_OF_LIST, MainType, PhysiologicalType

EXTENSIONS: Final = 0x0E
"""Send the three extension classes beside the basic one."""
CURVES_MAX: Final = 8
_REQUEST: Final = 0
_START, _STOP = 0, 1
_STATUS, _ENTER_DIFFERENCES, _EXIT_DIFFERENCES = 0, 2, 3


def numbers(interval_s: int) -> bytes:
    """Displayed values every ``interval_s`` seconds; 0 stops them."""
    content = struct.pack("<BhIh", PhysiologicalType.DISPLAYED, interval_s, EXTENSIONS, 0)
    return codec.encode(MainType.PHYSIOLOGICAL, ((_REQUEST, content),))


def curves(kinds: tuple[int, ...]) -> bytes:
    """These curves, continuously; a later request takes the place of this one."""
    return _curves(_START, kinds)


def no_curves() -> bytes:
    """Stop the curves."""
    return _curves(_STOP, ())


def alarm_status() -> bytes:
    """The alarm messages of this moment, once."""
    return _alarms(_STATUS)


def alarm_changes() -> bytes:
    """The alarm messages whenever they change."""
    return _alarms(_ENTER_DIFFERENCES)


def no_alarms() -> bytes:
    """Stop the alarm messages."""
    return _alarms(_EXIT_DIFFERENCES)


def _curves(what: int, kinds: tuple[int, ...]) -> bytes:
    listed = bytes((*kinds, END_OF_LIST))[:CURVES_MAX].ljust(CURVES_MAX, b"\0")
    return codec.encode(MainType.WAVE, ((_REQUEST, struct.pack("<hh8s20x", what, 0, listed)),))


def _alarms(command: int) -> bytes:
    return codec.encode(MainType.ALARM, ((_REQUEST, struct.pack("<h10x", command)),))
