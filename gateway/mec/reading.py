"""Reads what a platform says: JSON into one type, or one error.

Whatever the bytes are: cut off, nested without end, no UTF-8, or of another shape.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta

from gateway.domain.decoding import UNDECODABLE
from gateway.domain.errors import MalformedError
from gateway.domain.texts import one_line

_Read = TypeVar("_Read")
NAME_CHARS_MAX: Final = 128
"""Of what the platform calls a rule or a device, in logs, alarms and the audit log."""

SECONDS_END: Final = 1 << 40
Seconds = Annotated[int, Meta(ge=0, lt=SECONDS_END)]
"""Since 1970: of a clock that may be wrong, but not of one without end."""
Nanoseconds = Annotated[int, Meta(ge=0, lt=1_000_000_000)]


class Stamp(msgspec.Struct, frozen=True, rename="camel"):
    """``TimeStamp``, which says when something was seen: one that makes no sense says nothing."""

    seconds: int
    nano_seconds: int = 0

    @property
    def at_us(self) -> int:
        """Microseconds since 1970; 0: not said."""
        if not (0 <= self.seconds < SECONDS_END and 0 <= self.nano_seconds < 1_000_000_000):
            return 0
        return self.seconds * 1_000_000 + self.nano_seconds // 1000


def decoded(body: bytes | msgspec.Raw, kind: type[_Read], what: str) -> _Read:
    """What a body says.

    Args:
        body: JSON.
        kind: its type.
        what: it should be, for the error.

    Raises:
        MalformedError: it is none.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except UNDECODABLE as error:
        raise MalformedError("mec", f"no {what}") from error


class _Courtesy(msgspec.Struct, frozen=True, rename="camel"):
    notification_type: str = ""
    expiry_deadline: dict[str, Any] | None = None


def is_courtesy(body: bytes) -> bool:
    """Whether a notification tells nothing but that it is a test, or that a subscription will end.

    Subscriptions are renewed long before, and looked at. The first release of GS MEC 012 has no
    ``notificationType`` for the latter.
    """
    try:
        told = decoded(body, _Courtesy, "notification")
    except MalformedError:
        return False
    kind = told.notification_type or ("ExpiryNotification" if told.expiry_deadline else "")
    return kind in {"ExpiryNotification", "TestNotification"}


def address(text: str) -> str:
    """An IP address as sessions have it; empty: it is none."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def shown(name: str) -> str:
    """A name of the platform's as people may see it: one line, and not a long one."""
    return one_line(name[:NAME_CHARS_MAX])
