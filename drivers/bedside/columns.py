"""Values that may be absent -> parallel columns of codes and values.

Devices send the same fields over and over, so each combination of present fields is worked out
once; afterwards every report of that shape shares one tuple of codes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final

SHAPES_MAX: Final = 1024
"""Combinations remembered per message kind; devices of one ward use a handful."""

_Pick = Callable[[tuple[float | None, ...]], tuple[float, ...]]


class Columns:
    """Turns cells (a value or None for each of ``codes``) into columns."""

    def __init__(self, codes: Sequence[int]) -> None:
        self._codes = tuple(codes)
        self._shapes: dict[tuple[type, ...], tuple[tuple[int, ...], _Pick]] = {}

    def __call__(
        self, cells: tuple[float | None, ...]
    ) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Return the codes that have a value, and their values; ``cells`` as long as the codes."""
        types = tuple(map(type, cells))
        shape = self._shapes.get(types)
        if shape is None:
            shape = self._learn(types, cells)
        codes, pick = shape
        return codes, pick(cells)

    def _learn(
        self, types: tuple[type, ...], cells: tuple[float | None, ...]
    ) -> tuple[tuple[int, ...], _Pick]:
        present = [index for index, cell in enumerate(cells) if cell is not None]
        shape = tuple(self._codes[index] for index in present), _picker(present)
        if len(self._shapes) < SHAPES_MAX:
            self._shapes[types] = shape
        return shape


def _picker(present: Sequence[int]) -> _Pick:
    if len(present) > 1:
        pick: Any = itemgetter(*present)
        return pick  # type: ignore[no-any-return]  # itemgetter's result depends on its arity
    return lambda cells: tuple(value for i in present if (value := cells[i]) is not None)
