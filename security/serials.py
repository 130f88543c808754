"""A set of certificates' serial numbers that a hundred thousand do not slow down.

Rules:

* It is kept as a revocation list carries it: ascending numbers of 20 bytes each, beside an index by
  their first bits. Nothing is made for each of them, so that exchanging one set for another, and
  letting go of the old one, take no time on the event loop. (A ``frozenset`` of as many was
  measured to hold every thread for several milliseconds when it is copied and when it is freed.)
* It is made in slices with pauses between them, so that a thread that makes one gives way to the
  event loop. The interpreter by itself would let it go on for 5 ms (``sys.getswitchinterval``).
"""

from __future__ import annotations

import time
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from struct import Struct
from typing import Self, TypeVar

from gateway.domain.errors import MalformedError

SERIAL_BYTES = 20
"""RFC 5280, 4.1.2.2: at most 20 octets."""
SLICE = 512
"""Entries between two pauses: a quarter of a millisecond, or half a one on a busy machine."""
PAUSE_S = 0.0005
"""Long enough for a waiting thread to wake up, also where there are few cores."""

SPARSE_BITS = 2
"""Four places in the index for each number: most look-ups end there. 20 bytes in all for each."""
SEARCHED_MIN = 16
"""Numbers that begin alike; random ones never are so many."""

_Any = TypeVar("_Any")
_BITS = SERIAL_BYTES * 8
_FIRST_BITS = 32
_ENTRY = Struct(f">I{SERIAL_BYTES - 4}s")
"""A number in two parts: its first bits, which the index is by, and the rest."""


def pause() -> None:
    """Let other threads go on."""
    time.sleep(PAUSE_S)


class Serials(AbstractSet[int]):
    """Immutable; equal to any set of the same numbers."""

    __slots__ = ("_mask", "_packed", "_shift", "_starts")

    def __init__(self, packed: bytes | memoryview) -> None:
        """Take ascending numbers of :data:`SERIAL_BYTES` each; pauses, so not for the loop.

        Raises:
            MalformedError: they are not ascending, or not whole.
            ValueError: they are more than 2 ** 28.
        """
        count, rest = divmod(len(packed), SERIAL_BYTES)
        if rest:
            raise MalformedError("truncated", "a serial number is cut")
        bits = count.bit_length() + SPARSE_BITS
        if bits > _FIRST_BITS:
            raise ValueError(f"{count} serial numbers")
        self._packed = packed
        self._shift, self._mask = _BITS - bits, (1 << bits) - 1
        self._starts = array("I")
        """For each value of the first bits, where the numbers that begin with it or more begin."""
        starts, reach, shift = self._starts, 0, _FIRST_BITS - bits
        before, at = (-1, b""), 0
        for begin in range(0, len(packed), SLICE * SERIAL_BYTES):
            if begin:
                pause()
            for entry in _ENTRY.iter_unpack(packed[begin : begin + SLICE * SERIAL_BYTES]):
                if entry <= before:
                    raise MalformedError("order", "serial numbers do not ascend")
                before = entry
                slot = entry[0] >> shift
                if slot >= reach:
                    starts.extend(array("I", (at,)) * (slot + 1 - reach))
                    reach = slot + 1
                at += 1
        starts.extend(array("I", (count,)) * ((1 << bits) + 1 - reach))

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Self:
        """Any numbers.

        Raises:
            OverflowError: one is negative or has more than :data:`SERIAL_BYTES`.
        """
        ordered = sorted(set(numbers))
        return cls(b"".join(number.to_bytes(SERIAL_BYTES, "big") for number in ordered))

    @classmethod
    def _from_iterable(cls, it: Iterable[_Any]) -> AbstractSet[_Any]:
        """What a union or difference is made of (collections.abc.Set)."""
        return frozenset(it)

    def among(self, numbers: Iterable[int]) -> list[int]:
        """Which of these it has; some tenths of a microsecond for each."""
        starts, shift, mask = self._starts, self._shift, self._mask
        found = []
        for number in numbers:
            slot = number >> shift & mask
            begin = starts[slot]
            if begin != starts[slot + 1] and self._holds(number, begin, starts[slot + 1]):
                found.append(number)
        return found

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and bool(self.among((number,)))

    def __len__(self) -> int:
        return len(self._packed) // SERIAL_BYTES

    def __iter__(self) -> Iterator[int]:
        for at in range(len(self)):
            yield self._number(at)

    def _holds(self, number: int, begin: int, end: int) -> bool:
        if end - begin >= SEARCHED_MIN:
            begin = bisect_left(range(end), number, begin, key=self._number)
            return begin < end and self._number(begin) == number
        return any(self._number(at) == number for at in range(begin, end))

    def _number(self, at: int) -> int:
        return int.from_bytes(self._packed[at * SERIAL_BYTES : (at + 1) * SERIAL_BYTES], "big")


NO_SERIALS = Serials(b"")
