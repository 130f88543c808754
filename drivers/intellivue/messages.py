"""Messages of the data export protocol: payload bytes to typed messages.

A data message is ``E100 0002``, a remote operation (ROSE: 1 invoke, 2 result, 3 error, 5 linked
result), ``invoke id, command, length``, and the command's argument (Data Export guide, "Protocol
Commands"). Both sides' messages decode; what only a client may send is built in
:mod:`drivers.intellivue.requests`, and that module cannot build anything that writes.

Rules: bytes in, one message out; the only exception is MalformedError with one of
:data:`REASONS`. Commands that no reader of a monitor needs decode to :class:`OtherOperation`.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from drivers.intellivue import association
from drivers.intellivue.association import UserInformation
from drivers.intellivue.attributes import (
    AbsoluteTime,
    Attributes,
    absolute_time,
    attribute_list,
)
from drivers.intellivue.nomenclature import (
    EVENT_CONNECT_INDICATION,
    EVENT_MDS_CREATE,
    Action,
    Attribute,
    Command,
)
from drivers.intellivue.primitives import bounds
from gateway.domain.errors import MalformedError

REASONS = ("truncated", "length", "time", "profile", "ber", "session", "rose")
DATA = b"\xe1\x00\x00\x02"
INVOKE, RESULT, ERROR, LINKED_RESULT = 1, 2, 3, 5
FIRST, MIDDLE, LAST = 1, 2, 3
"""Places of a linked result."""
_BROKEN = -2
"""A number that no part follows."""


class AssociationRequest(NamedTuple):
    information: UserInformation


class AssociationAccept(NamedTuple):
    information: UserInformation


class AssociationRefuse(NamedTuple):
    pass


class ReleaseRequest(NamedTuple):
    pass


class ReleaseResponse(NamedTuple):
    pass


class Abort(NamedTuple):
    pass


class CreateEvent(NamedTuple):
    """The monitor announces its MDS object and waits for the confirmation."""

    invoke_id: int
    context: int
    event_time: int
    """Ticks of 125 us; the confirmation repeats it."""
    attributes: Attributes


class ConnectIndication(NamedTuple):
    """A monitor on a LAN says where it is; never seen on RS-232."""

    attributes: Attributes


class CreateConfirmation(NamedTuple):
    invoke_id: int


class PollRequest(NamedTuple):
    """Asks for every object of a class; extended polls repeat for a period."""

    invoke_id: int
    poll_number: int
    object_class: int
    group: int
    extended: bool = False
    period_ticks: int = 0


class WaveList(NamedTuple):
    """A client sets the list of waves that it wants."""

    invoke_id: int
    labels: tuple[int, ...]


class ObservedObject(NamedTuple):
    """One object of a poll's reply."""

    context: int
    handle: int
    attributes: Attributes


class PollReply(NamedTuple):
    """PollMdibDataReply(Ext): every object of one class, or a part of them."""

    poll_number: int
    sequence: int
    """Counts the replies of one extended poll; 0 for a single poll."""
    relative_time: int
    absolute_time: AbsoluteTime | None
    object_class: int
    group: int
    objects: tuple[ObservedObject, ...]


class PollResult(NamedTuple):
    """A reply, or a part of one: ``link`` is 0, or FIRST, MIDDLE or LAST; ``part`` counts."""

    invoke_id: int
    extended: bool
    link: int
    part: int
    reply: PollReply


class RemoteError(NamedTuple):
    """The monitor could not do it: 0 no such class, 2 access denied, 9 no such action."""

    invoke_id: int
    code: int


class OtherOperation(NamedTuple):
    """An operation that this driver has no use for, such as the priority lists' GET and SET."""

    kind: int
    invoke_id: int
    command: int


Message = (
    AssociationRequest
    | AssociationAccept
    | AssociationRefuse
    | ReleaseRequest
    | ReleaseResponse
    | Abort
    | CreateEvent
    | CreateConfirmation
    | ConnectIndication
    | PollRequest
    | WaveList
    | PollResult
    | RemoteError
    | OtherOperation
)

_HEADER = struct.Struct(">HH")
_OPERATION = struct.Struct(">HHH")
_LINKED = struct.Struct(">BBHHH")
_EVENT = struct.Struct(">HHHIHH")
_MANAGED_BYTES = 10
_MODIFICATION = struct.Struct(">HHH")
_ACTION = struct.Struct(">HHHIHH")
_ACTION_RESULT = struct.Struct(">HHHHH")
_POLL = struct.Struct(">HHHH")


def decode(payload: bytes) -> Message:
    """Decode one message.

    Raises:
        MalformedError: with a reason of :data:`REASONS`.
    """
    try:
        if payload[:4] == DATA:
            return _operation(payload)
        return _control(payload)
    except struct.error as error:
        raise MalformedError("truncated", str(error)) from error


def decode_connect_indication(datagram: bytes) -> ConnectIndication:
    """Decode what a monitor broadcasts on a LAN: a nomenclature version, then an event report.

    Raises:
        MalformedError: with a reason of :data:`REASONS`.
    """
    try:
        message = _operation(datagram)
    except struct.error as error:
        raise MalformedError("truncated", str(error)) from error
    if not isinstance(message, ConnectIndication):
        raise MalformedError("rose", "not a connect indication")
    return message


def _control(payload: bytes) -> Message:
    match payload[0] if payload else -1:
        case association.CONNECT:
            return AssociationRequest(association.user_information(payload))
        case association.ACCEPT:
            return AssociationAccept(association.user_information(payload))
        case association.REFUSE:
            return AssociationRefuse()
        case association.RELEASE:
            return ReleaseRequest()
        case association.RELEASED:
            return ReleaseResponse()
        case association.ABORT:
            return Abort()
        case _:
            raise MalformedError("session", "unknown SPDU identifier")


def _operation(payload: bytes) -> Message:
    kind, length = _HEADER.unpack_from(payload, 4)
    limit = 8 + length
    if limit > len(payload):
        raise MalformedError("length", "remote operation")
    if kind == LINKED_RESULT:
        link, count, invoke_id, command, length = _LINKED.unpack_from(payload, 8)
        offset = 8 + _LINKED.size
        if link not in (FIRST, MIDDLE, LAST):
            raise MalformedError("rose", "place of a linked result")
    else:
        link = count = 0
        invoke_id, command, length = _OPERATION.unpack_from(payload, 8)
        offset = 8 + _OPERATION.size
    if offset + length > limit:
        raise MalformedError("length", "operation's argument")
    limit = offset + length
    if kind == ERROR:
        return RemoteError(invoke_id, command)  # the second word is the error value here
    if kind == INVOKE:
        return _invoke(payload, offset, limit, invoke_id, command)
    if kind not in (RESULT, LINKED_RESULT):
        raise MalformedError("rose", f"operation {kind}")
    if command == Command.CONFIRMED_ACTION:
        return _action_result(payload, offset, limit, (invoke_id, link, count))
    if command == Command.CONFIRMED_EVENT_REPORT:
        return CreateConfirmation(invoke_id)
    return OtherOperation(kind, invoke_id, command)


def _invoke(payload: bytes, offset: int, limit: int, invoke_id: int, command: int) -> Message:
    if command in (Command.EVENT_REPORT, Command.CONFIRMED_EVENT_REPORT):
        _, context, _, event_time, event, length = _EVENT.unpack_from(payload, offset)
        offset += _EVENT.size
        if offset + length > limit:
            raise MalformedError("length", "event report")
        if event == EVENT_MDS_CREATE:
            attributes, _ = attribute_list(payload, offset + 6, offset + length)
            return CreateEvent(invoke_id, context, event_time, attributes)
        if event == EVENT_CONNECT_INDICATION:
            attributes, _ = attribute_list(payload, offset, offset + length)
            return ConnectIndication(attributes)
    elif command == Command.CONFIRMED_SET:
        return _wave_list(payload, offset, limit, invoke_id)
    elif command == Command.CONFIRMED_ACTION:
        _, _, _, _, action, length = _ACTION.unpack_from(payload, offset)
        offset += _ACTION.size
        if action in (Action.POLL, Action.POLL_EXTENDED) and offset + length <= limit:
            number, _, object_class, group = _POLL.unpack_from(payload, offset)
            request = PollRequest(invoke_id, number, object_class, group)
            if action == Action.POLL:
                return request
            extra, _ = attribute_list(payload, offset + _POLL.size, offset + length)
            period = extra.get(Attribute.POLL_PERIOD, 0)
            return request._replace(
                extended=True, period_ticks=period if isinstance(period, int) else 0
            )
    return OtherOperation(INVOKE, invoke_id, command)


def _wave_list(
    payload: bytes, offset: int, limit: int, invoke_id: int
) -> WaveList | OtherOperation:
    """A SET that replaces the list of waves; any other one is of no use here."""
    _, begin, end = bounds(payload, offset + _MANAGED_BYTES, limit)
    if end - begin >= _MODIFICATION.size:
        _, attribute, length = _MODIFICATION.unpack_from(payload, begin)
        begin += _MODIFICATION.size
        if attribute == Attribute.WAVE_PRIORITIES and begin + length <= end and length:
            count, begin, behind = bounds(payload, begin, begin + length)
            if behind - begin == 4 * count:
                return WaveList(invoke_id, struct.unpack_from(f">{count}I", payload, begin))
    return OtherOperation(INVOKE, invoke_id, Command.CONFIRMED_SET)


def _action_result(
    payload: bytes, offset: int, limit: int, place: tuple[int, int, int]
) -> PollResult | OtherOperation:
    invoke_id, link, count = place
    _, _, _, action, length = _ACTION_RESULT.unpack_from(payload, offset)
    offset += _ACTION_RESULT.size
    if offset + length > limit:
        raise MalformedError("length", "action result")
    limit = offset + length
    if action not in (Action.POLL, Action.POLL_EXTENDED):
        kind = LINKED_RESULT if link else RESULT
        return OtherOperation(kind, invoke_id, Command.CONFIRMED_ACTION)
    extended = action == Action.POLL_EXTENDED
    number = int.from_bytes(payload[offset : offset + 2], "big")
    offset += 2
    sequence = 0
    if extended:
        sequence = int.from_bytes(payload[offset : offset + 2], "big")
        offset += 2
    (relative,) = struct.unpack_from(">I", payload, offset)
    absolute = absolute_time(payload, offset + 4, limit)
    _, object_class, group = struct.unpack_from(">HHH", payload, offset + 12)
    objects = _poll_info(payload, offset + 18, limit)
    reply = PollReply(number, sequence, relative, absolute, object_class, group, objects)
    return PollResult(invoke_id, extended, link, count, reply)


def _poll_info(payload: bytes, offset: int, limit: int) -> tuple[ObservedObject, ...]:
    """PollInfoList: contexts, each with its objects, each with its attributes."""
    objects: list[ObservedObject] = []
    contexts, position, end = bounds(payload, offset, limit)
    for _ in range(contexts):
        if position + 2 > end:
            raise MalformedError("truncated", "SingleContextPoll")
        context = int.from_bytes(payload[position : position + 2], "big")
        count, position, behind = bounds(payload, position + 2, end)
        for _ in range(count):
            if position + 2 > behind:
                raise MalformedError("truncated", "ObservationPoll")
            handle = int.from_bytes(payload[position : position + 2], "big")
            attributes, position = attribute_list(payload, position + 2, behind)
            objects.append(ObservedObject(context, handle, attributes))
        if position != behind:
            raise MalformedError("length", "SingleContextPoll")
    if position != end:
        raise MalformedError("length", "PollInfoList")
    return tuple(objects)


class Linker:
    """Joins the parts of linked results: FIRST, MIDDLE…, LAST, and the RORS that ends them.

    A part that is missing makes the whole reply incomplete: it is dropped and counted, since
    half of a complete set (an alarm list) would read as "the rest has ended". Bounded by
    :data:`REPLIES_MAX` open replies of :data:`PARTS_MAX` parts each.
    """

    REPLIES_MAX = 8
    """Twice the polls that are ever in flight at once."""
    PARTS_MAX = 32
    """A monitor with every module shows about 100 numerics, 10 to a part."""

    def __init__(self) -> None:
        self._open: dict[int, list[PollResult]] = {}
        self.incomplete = 0
        """How many replies were dropped."""

    def add(self, result: PollResult) -> PollReply | None:
        """Take a part; return the whole reply when this was its end."""
        parts = self._open.pop(result.invoke_id, None)
        if result.link == 0:
            return result.reply if parts is None else self._join(parts, result.reply)
        if result.part == 1 and result.link in (FIRST, LAST):
            self.incomplete += parts is not None
            self._keep(result.invoke_id, [result])
        elif (
            parts is not None
            and result.part == parts[-1].part + 1
            and parts[-1].link != LAST
            and len(parts) < self.PARTS_MAX
        ):
            self._keep(result.invoke_id, [*parts, result])
        else:
            # Keep the place, so that the RORS at the end finds an unfinished reply.
            self._keep(result.invoke_id, [result._replace(link=MIDDLE, part=_BROKEN)])
        return None

    def _keep(self, invoke_id: int, parts: list[PollResult]) -> None:
        if len(self._open) >= self.REPLIES_MAX:
            self._open.pop(next(iter(self._open)))
            self.incomplete += 1
        self._open[invoke_id] = parts

    def _join(self, parts: list[PollResult], last: PollReply) -> PollReply | None:
        if parts[-1].link != LAST or any(p.reply.sequence != last.sequence for p in parts):
            self.incomplete += 1
            return None
        objects = [observed for part in parts for observed in part.reply.objects]
        return last._replace(objects=(*objects, *last.objects))

    def clear(self) -> None:
        """Forget unfinished replies: a new association begins."""
        self._open.clear()
