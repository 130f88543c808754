"""What outlets are sent, and what screens answer: JSON, version 1 (docs/notification.md).

``v`` is in every message. A field may be added; one that is there keeps its meaning. What a policy
took away is empty. Answers are checked as anything from outside: unknown fields, long words and
wrong numbers are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from gateway.domain.decoding import UNDECODABLE
from gateway.domain.errors import MalformedError
from gateway.domain.records import Alarm, AlarmPriority
from gateway.domain.terms import metric
from gateway.notification.statements import Seen
from gateway.notification.story import State, Story

VERSION: Final = 1
SECONDARY: Final = (
    "Secondary notification: the bedside device stays the primary source of its alarms."
)
ANSWER_BYTES_MAX: Final = 2048
_Word = Annotated[str, Meta(max_length=120)]


def told(gateway: str, story: Story, alarm: Alarm, n: int, level: int) -> dict[str, Any]:
    """One notification of an alarm, as it was released.

    Args:
        gateway: who tells.
        story: what people made of the alarm.
        alarm: what may be told of it.
        n: which notification of the alarm this is.
        level: whom it is for.
    """
    inside = alarm.device_id == story.last.alarm.device_id
    acknowledged = story.acknowledged
    return {
        "v": VERSION,
        "type": "alarm",
        "gateway": gateway,
        "alarm_id": alarm.alarm_id,
        "phase": alarm.phase.name.lower(),
        "n": n,
        "level": level,
        "priority": alarm.priority.name.lower(),
        "kind": alarm.kind.name.lower(),
        "source": alarm.source.name.lower(),
        "condition": alarm.condition,
        "text": alarm.text,
        "ward": story.ward if inside else "",
        "bed": alarm.bed,
        "device_id": alarm.device_id,
        "onset_us": alarm.onset_us,
        "at_us": alarm.at_us,
        "values": [_value(c, v) for c, v in zip(alarm.codes, alarm.values, strict=True)],
        "limit": alarm.limit,
        "acknowledged": acknowledged is not None and story.state is not State.OPEN,
        "acknowledged_by": acknowledged.by if acknowledged is not None and inside else "",
        "note": SECONDARY,
    }


def summary(
    gateway: str, counts: Mapping[AlarmPriority, int], at_us: int, ward: str
) -> dict[str, Any]:
    """How many alarms wait and are not told one by one."""
    return {
        "v": VERSION,
        "type": "summary",
        "gateway": gateway,
        "ward": ward,
        "at_us": at_us,
        "alarms": {each.name.lower(): counts.get(each, 0) for each in AlarmPriority},
        "note": SECONDARY,
    }


def alive(gateway: str, at_us: int, every_s: float) -> dict[str, Any]:
    """A sign of life; a screen that misses three of them says so."""
    return {
        "v": VERSION,
        "type": "alive",
        "gateway": gateway,
        "at_us": at_us,
        "every_s": every_s,
    }


def encode(message: Mapping[str, Any]) -> bytes:
    """As it is sent."""
    return msgspec.json.encode(message)


def _value(code: int, value: float) -> dict[str, Any]:
    row = metric(code)
    return {"code": code, "name": row.refid, "value": value, "unit": row.unit}


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a screen or pager says."""

    v: Literal[1]
    answer: Literal["alive", "displayed", "read", "acknowledged"]
    alarm_id: Annotated[str, Meta(max_length=200)] = ""
    n: Annotated[int, Meta(ge=0, le=2**31)] = 0
    by: _Word = ""

    @property
    def seen(self) -> Seen | None:
        """How far the notification came; None: it says something else."""
        return _SEEN.get(self.answer)


_SEEN = {"displayed": Seen.DISPLAYED, "read": Seen.READ}
_decoder = msgspec.json.Decoder(Answer)


def read_answer(payload: bytes) -> Answer:
    """Parse an answer.

    Raises:
        MalformedError: it breaks the specification; the payload is not quoted.
    """
    if len(payload) > ANSWER_BYTES_MAX:
        raise MalformedError("too_long")
    try:
        answer = _decoder.decode(payload)
    except UNDECODABLE as error:
        raise MalformedError("not_an_answer") from error
    if answer.answer != "alive" and not (answer.alarm_id and answer.n):
        raise MalformedError("no_alarm")
    if answer.answer == "acknowledged" and not answer.by.strip():
        raise MalformedError("nobody")
    return answer
