"""What a restart must not forget, as it is stored in the journal's state.

One value per tag, door, cabinet, list entry, garment and line of history, so that a change writes
little. Keys are joined by a line feed, which no part of them has.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from gateway.domain.decoding import UNDECODABLE
from gateway.domain.ports import StateView
from gateway.pipeline.interpreters import Findings

_log = logging.getLogger(__name__)

T = TypeVar("T")

TAGS: Final = "cabinet.tag"
DOORS: Final = "cabinet.door"
CABINETS: Final = "cabinet.self"
BOOKS: Final = "cabinet.book"
ISSUED: Final = "cabinet.issued"
HISTORY: Final = "cabinet.history"
ITEMS: Final = "cabinet.items"
RECALLS: Final = "cabinet.recalls"
BADGES: Final = "cabinet.badges"
SPACES: Final = frozenset((TAGS, DOORS, CABINETS, BOOKS, ISSUED, HISTORY, ITEMS, RECALLS, BADGES))


class KeptTag(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tag that is believed."""

    place: str
    state: str
    since_us: int
    seen_us: int
    session: str = ""


class KeptSession(msgspec.Struct, frozen=True, omit_defaults=True):
    """A session whose record is not made yet."""

    session_id: str
    opened_us: int
    verdict: int
    persons: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    closed_us: int = 0
    """Zero: it is open."""


class KeptDoor(msgspec.Struct, frozen=True, omit_defaults=True):
    """A door."""

    open: bool = False
    sessions: tuple[KeptSession, ...] = ()


class KeptCabinet(msgspec.Struct, frozen=True, omit_defaults=True):
    """What concerns a cabinet as a whole."""

    seen_us: int = 0
    """When it was last seen, to a minute; zero: it never was."""
    latched: tuple[str, ...] = ()
    standing: tuple[str, ...] = ()
    """Alarm conditions that were told."""
    overfull: bool = False


class KeptBook(msgspec.Struct, frozen=True):
    """What a cabinet should hold, by class; without one it was never counted."""

    expected: dict[str, int]


class Kept:
    """What was stored, as bytes: by space and key."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], bytes] = {}
        self.found: Findings | None = None
        """Where changes go while something is interpreted."""

    def put(self, space: str, key: str, value: msgspec.Struct | None) -> None:
        """Store, or with None forget; what is as it was costs nothing."""
        place = (space, key)
        encoded = None if value is None else msgspec.msgpack.encode(value)
        if self._values.get(place) == encoded:
            return
        if encoded is None:
            del self._values[place]
        else:
            self._values[place] = encoded
        if self.found is not None:
            self.found.delta(space, key, encoded)

    def value_of(self, space: str, key: str) -> bytes | None:
        """As it is now."""
        return self._values.get((space, key))

    def restore(
        self, view: StateView, space: str, kind: type[T], take: Callable[[str, T], Any]
    ) -> None:
        """Hand over everything in a space; what can't be read, or taken, is left out and logged."""
        for key, value in view.items(space).items():
            self._values[space, key] = value
            try:
                take(key, msgspec.msgpack.decode(value, type=kind))
            except (KeyError, *UNDECODABLE):
                _log.error("%s: a value can't be read (key of %d bytes)", space, len(key))
                continue


def joined(*parts: str) -> str:
    """A key of several parts."""
    return "\n".join(parts)


def split(key: str) -> tuple[str, str]:
    """A key of two parts.

    Raises:
        ValueError: it is none.
    """
    first, line_feed, rest = key.partition("\n")
    if not line_feed:
        raise ValueError("a key of one part")
    return first, rest
