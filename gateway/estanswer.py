"""What an EST request can come to."""

from __future__ import annotations

from typing import NamedTuple

from security.est import Reply


class OutageError(Exception):
    """Nobody answered, or not in time, or not to the point; another try may work."""


class Said(NamedTuple):
    """An answer, and when the fleet gave it, in Unix microseconds (0: it didn't say)."""

    reply: Reply
    at_us: int
