"""The last lines of each cabinet's history, for people who stand before it; the core has all."""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec

from gateway.cabinet import kept as keeping
from gateway.cabinet.kept import Kept

LINES_MAX: Final = 500
"""Of one cabinet."""


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """What happened."""

    at_us: int
    event: str
    epc: str = ""
    item_class: str = ""
    place: str = ""
    """Or the door."""
    from_place: str = ""
    badges: tuple[str, ...] = ()
    session: str = ""
    text: str = ""
    number: int = 0
    """Among the cabinet's lines."""


class History:
    """Lines by cabinet, the oldest first; stored in as many slots."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[Line]] = {}

    def add(self, kept: Kept, cabinet: str, line: Line) -> None:
        """Add a line, and store it in place of the oldest."""
        lines = self._lines.setdefault(cabinet, deque(maxlen=LINES_MAX))
        number = lines[-1].number + 1 if lines else 1
        line = msgspec.structs.replace(line, number=number)
        lines.append(line)
        kept.put(keeping.HISTORY, _key(cabinet, number), line)

    def of(self, cabinet: str, most: int = LINES_MAX) -> list[Line]:
        """The newest ``most`` lines, the newest first by when it happened."""
        lines = self._lines.get(cabinet, ())
        newest = sorted(lines, key=lambda line: (line.at_us, line.number), reverse=True)
        return newest[:most]

    def restore(self, cabinet: str, lines: list[Line]) -> None:
        """Take over what was stored, in any order."""
        ordered = sorted(lines, key=lambda line: line.number)
        self._lines[cabinet] = deque(ordered, maxlen=LINES_MAX)


def _key(cabinet: str, number: int) -> str:
    return keeping.joined(cabinet, str(number % LINES_MAX))
