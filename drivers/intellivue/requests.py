"""Everything that a client says: association, confirmation, polls, release.

This module is the whole of the driver's voice. Each function builds one message that reads;
none takes a command type, an action or an attribute as an argument, so a CREATE, a DELETE or any
other action can't be built (promise: therapy and monitoring devices are only read). There is one
SET, of one attribute: the list of waves that the monitor is to send to this association
(:func:`prioritise_waves`). It ends with the association, and changes nothing at the bedside.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from drivers.intellivue.association import RELEASE_REQUEST, RELEASE_RESPONSE, association_request
from drivers.intellivue.messages import DATA, INVOKE, RESULT, CreateEvent
from drivers.intellivue.nomenclature import (
    EVENT_MDS_CREATE,
    PARTITION_OBJECTS,
    Action,
    Attribute,
    Command,
    Group,
    ObjectClass,
)

__all__ = [
    "associate",
    "confirm_create",
    "extended_poll",
    "prioritise_waves",
    "release",
    "released",
    "single_poll",
]

associate = association_request
REPLACE = 0
"""The only modification of a priority list that a monitor knows."""


def release() -> bytes:
    """Ask to end the association."""
    return RELEASE_REQUEST


def released() -> bytes:
    """Agree to the monitor's own release request."""
    return RELEASE_RESPONSE


def confirm_create(event: CreateEvent) -> bytes:
    """Confirm the MDS create event; without it the monitor repeats and then aborts."""
    argument = struct.pack(
        ">HHHIHH", ObjectClass.MDS, event.context, 0, event.event_time, EVENT_MDS_CREATE, 0
    )
    return _remote(RESULT, event.invoke_id, Command.CONFIRMED_EVENT_REPORT, argument)


def single_poll(invoke_id: int, number: int, object_class: ObjectClass, group: Group) -> bytes:
    """Ask once for all objects of a class."""
    return _poll(invoke_id, Action.POLL, _subject(number, object_class, group))


def extended_poll(
    invoke_id: int, number: int, object_class: ObjectClass, group: Group, period_ticks: int
) -> bytes:
    """Ask for all objects of a class, again and again for ``period_ticks`` of 125 us."""
    period = struct.pack(">HHHHI", 1, 8, Attribute.POLL_PERIOD, 4, period_ticks)
    return _poll(invoke_id, Action.POLL_EXTENDED, _subject(number, object_class, group) + period)


def prioritise_waves(invoke_id: int, labels: Sequence[int]) -> bytes:
    """Say which waves to send, by their labels (2 << 16 | physio id), the first ones first.

    The monitor leaves out in silence what it does not have, and what is too much: three waves of an
    ECG at 500 Hz and eight others, in the guide.
    """
    content = struct.pack(f">HH{len(labels)}I", len(labels), 4 * len(labels), *labels)
    change = struct.pack(">HHH", REPLACE, Attribute.WAVE_PRIORITIES, len(content)) + content
    head = struct.pack(">HHHIHH", ObjectClass.MDS, 0, 0, 0, 1, len(change))
    return _remote(INVOKE, invoke_id, Command.CONFIRMED_SET, head + change)


def _subject(number: int, object_class: ObjectClass, group: Group) -> bytes:
    return struct.pack(">HHHH", number, PARTITION_OBJECTS, object_class, group)


def _poll(invoke_id: int, action: Action, argument: bytes) -> bytes:
    head = struct.pack(">HHHIHH", ObjectClass.MDS, 0, 0, 0, action, len(argument))
    return _remote(INVOKE, invoke_id, Command.CONFIRMED_ACTION, head + argument)


def _remote(kind: int, invoke_id: int, command: Command, argument: bytes) -> bytes:
    operation = struct.pack(">HHH", invoke_id, command, len(argument)) + argument
    return DATA + struct.pack(">HH", kind, len(operation)) + operation
