"""What a pump's answers say, from their fields.

Each answer is parsed as a whole: one that has not the fields that it must have is malformed, one
whose number is none says so in its value. Numbers stand beside their units, which a pump may be set
to; a blank or ``-`` is no value.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from drivers.alaris.codec import Message, Query
from gateway.domain.errors import MalformedError

NONE: Final = ("", "-")
NO_ALARM: Final = "AL_NOALM"
UNNAMED: Final = "AL_UNNAMED"
"""Ours: there is an alarm, and what stands there is no name."""

_ALARM: Final = re.compile(r"[A-Z][A-Z0-9_]{1,15}")
_NUMBER: Final = re.compile(r"-?\d{1,6}(\.\d{1,4})?")
_CLOCK: Final = re.compile(r"(\d{1,3}):([0-5]\d)(?::([0-5]\d))?")
_DAY_AND_MORE: Final = re.compile(r"(\d{1,3})\+")


class Amount(NamedTuple):
    """A number and its unit, as the pump spells it."""

    number: float | None
    """None: what stands there is no number."""
    unit: str


class TimeLeft(NamedTuple):
    """Until the infusion ends."""

    minutes: float
    at_least: bool
    """It is longer than the pump shows."""


class Infusion(NamedTuple):
    """The answer to INF."""

    serial: str
    alarm: str
    """An alarm's name, or :data:`UNNAMED`; empty: none."""
    mode: str
    rate: Amount | None
    drug: str
    volume: Amount | None
    """What was infused."""
    pressure: Amount | None
    time_left: TimeLeft | None


class Alarm(NamedTuple):
    """The answer to ALARM: the one that is shown."""

    name: str
    """Empty: none."""


class VolumeToBeInfused(NamedTuple):
    """The answer to INF_VTBI."""

    volume: Amount | None
    """None where no volume is set."""


class Syringe(NamedTuple):
    """The answer to SYRINGE_STATUS."""

    type: str
    size: Amount | None
    confirmed: bool


Reply = Infusion | Alarm | VolumeToBeInfused | Syringe


def parse(query: Query, message: Message) -> Reply:
    """The answer to a question.

    Raises:
        MalformedError: ``reply_fields``: it has fewer than it must.
    """
    fields = tuple(field.strip() for field in message.fields)
    try:
        match query:
            case Query.INFUSION:
                return _infusion(fields)
            case Query.ALARM:
                return Alarm(_alarm(fields[0]))
            case Query.VOLUME_TO_BE_INFUSED:
                active = fields[0] == "ACTIV"
                return VolumeToBeInfused(_amount(fields[1], fields[2]) if active else None)
            case Query.SYRINGE:
                return Syringe(_text(fields[0]), _amount(fields[1], "ml"), fields[2] == "CONF")
    except IndexError:
        raise MalformedError("reply_fields", f"{len(fields)} fields") from None


def _infusion(fields: tuple[str, ...]) -> Infusion:
    # Twelfth and thirteenth, the last entry of the pump's log, are not looked at.
    serial, alarm, mode, rate, rate_unit, drug, volume, volume_unit, pressure, unit, left = (
        fields[at] for at in range(11)
    )
    return Infusion(
        serial,
        _alarm(alarm),
        _text(mode),
        _amount(rate, rate_unit),
        _text(drug),
        _amount(volume, volume_unit),
        _amount(pressure, unit),
        _time_left(left),
    )


def _text(field: str) -> str:
    return "" if field in NONE else field


def _alarm(field: str) -> str:
    name = field.replace(" ", "_")
    if name in NONE or name == NO_ALARM:
        return ""
    return name if _ALARM.fullmatch(name) else UNNAMED


def _amount(number: str, unit: str) -> Amount | None:
    if number in NONE:
        return None
    return Amount(float(number) if _NUMBER.fullmatch(number) else None, unit)


def _time_left(field: str) -> TimeLeft | None:
    """``HH:MM:SS``, or ``24+`` for a day and more."""
    more = _DAY_AND_MORE.fullmatch(field)
    if more is not None:
        return TimeLeft(60.0 * int(more[1]), at_least=True)
    clock = _CLOCK.fullmatch(field)
    if clock is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in clock.groups())
    return TimeLeft(round(60.0 * hours + minutes + seconds / 60, 2), at_least=False)
