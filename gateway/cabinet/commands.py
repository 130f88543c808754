"""What people ask of the cabinets: statements too, so that records and state commit together."""

from __future__ import annotations

import msgspec

from gateway.cabinet.lists import Entry
from gateway.domain.statements import Statement


class Reconcile(Statement, frozen=True, kw_only=True):
    """Persons have looked into the cabinet ``device_id``."""

    persons: tuple[str, ...]
    counted: dict[str, int] = msgspec.field(default_factory=dict)
    """By hand, by class of items; what is not named is as many as are read."""
    reason: str = ""


class ListChange(Statement, frozen=True, kw_only=True):
    """A part of a change of a list."""

    of: type[Entry]
    put: tuple[Entry, ...] = ()
    removed: tuple[str, ...] = ()
    """Keys."""
