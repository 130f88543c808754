"""What may be asked of the running gateway about recordings."""

from __future__ import annotations

import secrets
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from gateway.errands import REASON_CHARS_MAX, Errand

_Word = Annotated[str, Meta(min_length=1, max_length=128)]
_Reason = Annotated[str, Meta(min_length=1, max_length=REASON_CHARS_MAX)]

REQUEST_S_MAX: Final = 60.0
"""A request that is older is refused: what was to be recorded then is not to be recorded now."""


class _Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    id: _Word = msgspec.field(default_factory=lambda: secrets.token_hex(8))
    by: _Word
    at_us: int


class Begin(_Asked, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="begin"):
    """Record a device."""

    device: _Word
    reason: _Reason
    seconds: float
    bytes: int
    restart: bool = False
    """End its sessions first, so that the recording has one from its first byte."""


class Stop(_Asked, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="stop"):
    """End a recording now."""

    recording: _Word


class Remove(_Asked, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="remove"):
    """Delete a recording."""

    recording: _Word


class Export(_Asked, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="export"):
    """Put into the audit log that a recording is opened and taken away, before it is."""

    recording: _Word
    reason: _Reason
    how: Literal["sealed", "plain"]
    """``sealed`` for whoever has another key ring, or ``plain``."""


Request = Begin | Stop | Remove | Export
ERRAND: Final[Errand[Request]] = Errand("capture", Request)
