"""``[capture]`` of the gateway's configuration."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

_Positive = Annotated[int, Meta(ge=1)]


class CaptureConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may be recorded, and how much of it is kept."""

    allowed: bool = True
    """False: nothing is, whoever asks."""
    seconds_max: Annotated[float, Meta(gt=0, le=86_400)] = 3600.0
    """Of one recording."""
    bytes_max: Annotated[int, Meta(ge=1, le=1 << 30)] = 64 << 20
    """Of one recording: of what was said, before it is sealed."""
    total_bytes_max: _Positive = 256 << 20
    """Of all recordings on disk: another one begins only where there is room for it."""
    keep_days: Annotated[float, Meta(gt=0, le=366)] = 14.0
    """Then a recording is deleted."""
