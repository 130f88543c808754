"""The time zone of a device's clock, which tells none."""

from __future__ import annotations

from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo


def zone_named(name: str) -> tzinfo:
    """The zone that a configuration's ``time_zone`` names.

    Raises:
        ValueError: this machine does not know it.
    """
    if name == "UTC":  # known without a database of zones
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"time_zone {name!r} is not known here") from error
