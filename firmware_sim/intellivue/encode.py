"""What only a monitor says, as payload bytes: the mirror image of ``drivers.intellivue``.

Structures are the Data Export guide's; the association messages are laid out as a real monitor
sent them.
"""

from __future__ import annotations

import ipaddress
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from drivers.intellivue.association import (
    HOT_START,
    MESSAGE_BYTES_MAX,
    SYSTEM_SERVER,
    UserInformation,
    pack_user_information,
)
from drivers.intellivue.attributes import STRING_INFO, AbsoluteTime, AlarmEntry, NumericValue
from drivers.intellivue.messages import DATA, ERROR, FIRST, LAST, LINKED_RESULT, MIDDLE, RESULT
from drivers.intellivue.nomenclature import (
    EVENT_CONNECT_INDICATION,
    EVENT_MDS_CREATE,
    PARTITION_OBJECTS,
    Action,
    Attribute,
    Command,
    ObjectClass,
)
from drivers.intellivue.samples import FixedValue, SampleSpec, ScaleRange

_ACCEPT_HEAD = bytes.fromhex(
    "0ece0508130100160102800014020002c1be3180a0808001010000a280a003000001"
    "a58030808001008102510100003080800100810c2a8648ce140201000000020100000000"
    "61803080020101a0806180a180060c2a8648ce14020100000003010000"
    "a203020100a305a103020100be802880020102"
)
REFUSE = bytes.fromhex("0c03320100")
"""Session refuse (ISO 8327-1): reason code 0."""
ABORT = bytes.fromhex(
    "192e110103c129a080a0803080020101060251010000000061803080020101a080648080010100000000000000000000"
)
UNKNOWN_TIME = b"\xff" * 8
_NAN = 0x007FFFFF
_DECIMALS_MAX = 6


class WaveContext(NamedTuple):
    """How the samples of a simulated wave are meant."""

    physio_id: int
    spec: SampleSpec
    period: int
    """Ticks between two samples."""
    unit_code: int
    scale: ScaleRange
    fixed: tuple[FixedValue, ...] = ()


class SimObject(NamedTuple):
    """One object of a reply."""

    handle: int
    attributes: Mapping[int, bytes]


def accept(minimum_poll_period: int, options: int) -> bytes:
    """The association result: accepted, with these options."""
    info = UserInformation(
        SYSTEM_SERVER,
        HOT_START,
        minimum_poll_period,
        MESSAGE_BYTES_MAX,
        MESSAGE_BYTES_MAX,
        options,
    )
    user = pack_user_information(info)
    return _ACCEPT_HEAD + bytes((0x81, len(user))) + user + bytes(16)


def float_word(value: float, decimals: int = 0) -> int:
    """FLOAT with a fixed number of decimals; NaN is the special mantissa."""
    if math.isnan(value):
        return _NAN
    mantissa = round(value * 10.0**decimals)
    if not -0x7FFFFD <= mantissa <= 0x7FFFFD:
        raise ValueError(f"{value} does not fit a FLOAT")
    return (-decimals & 0xFF) << 24 | (mantissa & 0xFFFFFF)


def decimals_of(value: float) -> int:
    """How many decimals ``value`` needs, at most six."""
    if not math.isfinite(value):
        return 0
    return next((d for d in range(_DECIMALS_MAX) if round(value, d) == value), _DECIMALS_MAX)


def numeric(value: NumericValue) -> bytes:
    """NuObsValue."""
    word = float_word(value.value, decimals_of(value.value))
    return struct.pack(">HHHI", value.physio_id, value.state, value.unit_code, word)


def compound(values: Sequence[NumericValue]) -> bytes:
    """NuObsValCmp."""
    return _counted(numeric(value) for value in values)


def enumeration(physio_id: int, state: int, value: int) -> bytes:
    """EnumObsVal with a term as its value."""
    return struct.pack(">HHHHH", physio_id, state, 1, 2, value)


def sample_array(physio_id: int, state: int, samples: Sequence[int]) -> bytes:
    """SaObsValue of 16-bit samples."""
    data = struct.pack(f">{len(samples)}H", *samples)
    return struct.pack(">HHH", physio_id, state, len(data)) + data


def wave_context(wave: WaveContext) -> dict[int, bytes]:
    """What a monitor tells of a wave beside its samples."""
    lower, upper, low, high = wave.scale
    marks = b"".join(struct.pack(">HH", each.meaning, each.mask) for each in wave.fixed)
    return {
        Attribute.SAMPLE_SPEC: struct.pack(">HBBH", *wave.spec),
        Attribute.FIXED_VALUES: struct.pack(">HH", len(wave.fixed), len(marks)) + marks,
        Attribute.SAMPLE_PERIOD: struct.pack(">I", wave.period),
        Attribute.LABEL_ID: struct.pack(">I", 2 << 16 | wave.physio_id),
        Attribute.UNIT_CODE: struct.pack(">H", wave.unit_code),
        Attribute.SCALE_RANGE: struct.pack(
            ">IIHH",
            float_word(lower, decimals_of(lower)),
            float_word(upper, decimals_of(upper)),
            low,
            high,
        ),
    }


def connect_indication(mac: bytes, address: str) -> bytes:
    """What a monitor broadcasts while nobody has an association with it."""
    network = mac + ipaddress.IPv4Address(address).packed + b"\xff\xff\xff\x00"
    info = attribute_list({Attribute.NETWORK_ADDRESS: network})
    event = struct.pack(">HHHIHH", ObjectClass.MDS, 0, 0, 0, EVENT_CONNECT_INDICATION, len(info))
    argument = event + info
    operation = struct.pack(">HHH", 0, Command.EVENT_REPORT, len(argument)) + argument
    return b"\x00\x00\x01\x00" + struct.pack(">HH", 1, len(operation)) + operation


def string(text: str) -> bytes:
    """String: NUL-terminated UTF-16."""
    raw = (text + "\0").encode("utf-16-be")
    return struct.pack(">H", len(raw)) + raw


def absolute_time(when: AbsoluteTime) -> bytes:
    """AbsoluteTime: BCD."""
    year, *rest = when
    return bytes.fromhex(f"{year:04d}" + "".join(f"{part:02d}" for part in rest))


def alarms(entries: Iterable[AlarmEntry]) -> bytes:
    """DevAlarmList, each entry with its text."""
    return _counted(_alarm(entry) for entry in entries)


def _alarm(entry: AlarmEntry) -> bytes:
    info = struct.pack(
        ">HIHH", entry.instance, entry.text_id, entry.priority, entry.flags
    ) + string(entry.text)
    return (
        struct.pack(
            ">HHHHHHHHH",
            entry.source,
            entry.code,
            entry.alert_type,
            entry.state,
            *entry.subject,
            STRING_INFO,
            len(info),
        )
        + info
    )


def attribute_list(attributes: Mapping[int, bytes]) -> bytes:
    """AttributeList."""
    return _counted(
        struct.pack(">HH", attribute, len(value)) + value for attribute, value in attributes.items()
    )


def create_event(invoke_id: int, ticks: int, attributes: Mapping[int, bytes]) -> bytes:
    """The MDS create event, which the client must confirm."""
    info = struct.pack(">HHH", ObjectClass.MDS, 0, 0) + attribute_list(attributes)
    argument = (
        struct.pack(">HHHIHH", ObjectClass.MDS, 0, 0, ticks, EVENT_MDS_CREATE, len(info)) + info
    )
    return _remote(
        1, struct.pack(">HHH", invoke_id, Command.CONFIRMED_EVENT_REPORT, len(argument)) + argument
    )


class ReplyHead(NamedTuple):
    """What all parts of one reply share."""

    invoke_id: int
    poll_number: int
    extended: bool
    sequence: int
    ticks: int
    object_class: int
    group: int


def poll_reply(head: ReplyHead, objects: Sequence[SimObject], parts: int = 1) -> list[bytes]:
    """A poll's reply; with ``parts`` > 1 as linked results and the empty result behind them."""
    if parts <= 1:
        return [_reply_part(head, objects, 0, 0)]
    size = -(-len(objects) // parts)
    chunks = [objects[i : i + size] for i in range(0, len(objects), size)]
    places = [FIRST] + [MIDDLE] * (len(chunks) - 2) + [LAST]
    if len(chunks) == 1:
        places = [LAST]
    return [
        _reply_part(head, chunk, place, number)
        for number, (chunk, place) in enumerate(zip(chunks, places, strict=True), 1)
    ] + [_reply_part(head, (), 0, 0)]


def _reply_part(head: ReplyHead, objects: Sequence[SimObject], link: int, number: int) -> bytes:
    observed = _counted(struct.pack(">H", o.handle) + attribute_list(o.attributes) for o in objects)
    contexts = [struct.pack(">H", 0) + observed] if objects else []
    reply = struct.pack(">H", head.poll_number)
    if head.extended:
        reply += struct.pack(">H", head.sequence & 0xFFFF)
    reply += (
        struct.pack(">I", head.ticks)
        + UNKNOWN_TIME
        + struct.pack(">HHH", PARTITION_OBJECTS, head.object_class, head.group)
        + _counted(contexts)
    )
    action = Action.POLL_EXTENDED if head.extended else Action.POLL
    argument = struct.pack(">HHHHH", ObjectClass.MDS, 0, 0, action, len(reply)) + reply
    operation = struct.pack(">HHH", head.invoke_id, Command.CONFIRMED_ACTION, len(argument))
    if link:
        return _remote(LINKED_RESULT, struct.pack(">BB", link, number) + operation + argument)
    return _remote(RESULT, operation + argument)


def remote_error(invoke_id: int, code: int) -> bytes:
    """ROER: could not do it."""
    return _remote(ERROR, struct.pack(">HHH", invoke_id, code, 0))


def mds_attributes(
    ticks: int, when: AbsoluteTime, bed: str, system_id: bytes = b""
) -> dict[int, bytes]:
    """The MDS object's clocks, system id and bed label."""
    return {
        Attribute.SYSTEM_ID: struct.pack(">H", len(system_id)) + system_id,
        Attribute.BED_LABEL: string(bed),
        Attribute.TIME_ABSOLUTE: absolute_time(when),
        Attribute.TIME_RELATIVE: struct.pack(">I", ticks),
    }


def _counted(items: Iterable[bytes]) -> bytes:
    parts = list(items)
    content = b"".join(parts)
    return struct.pack(">HH", len(parts), len(content)) + content


def _remote(kind: int, operation: bytes) -> bytes:
    return DATA + struct.pack(">HH", kind, len(operation)) + operation
