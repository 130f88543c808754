"""Who has which gown or pair of shoes, and since when.

What is taken out of a garment cabinet with a badge is issued to it; back in any garment cabinet, it
is returned. What was taken without a badge is with nobody known.
"""

from __future__ import annotations

from typing import Final

import msgspec

ISSUED_MAX: Final = 20_000
"""The oldest is forgotten beyond it."""
HOUR_US: Final = 3_600_000_000


class Issued(msgspec.Struct, frozen=True, omit_defaults=True):
    """A garment that somebody has."""

    epc: str
    cabinet: str
    since_us: int
    staff: str = ""
    """Empty: nobody knows who."""
    overdue_h: float = 0.0


class Garments:
    """What is out, the longest first."""

    def __init__(self) -> None:
        self.out: dict[str, Issued] = {}

    def issue(self, issued: Issued) -> Issued | None:
        """It was taken; what had to be forgotten for it."""
        self.out.pop(issued.epc, None)
        forgotten = None
        if len(self.out) >= ISSUED_MAX:
            forgotten = self.out.pop(next(iter(self.out)))
        self.out[issued.epc] = issued
        return forgotten

    def give_back(self, epc: str) -> Issued | None:
        """It is back; who had it."""
        return self.out.pop(epc, None)

    def overdue(self, now_us: int) -> dict[str, int]:
        """How many are overdue, by the cabinet that issued them."""
        late: dict[str, int] = {}
        for each in self.out.values():
            if is_overdue(each, now_us):
                late[each.cabinet] = late.get(each.cabinet, 0) + 1
        return late


def is_overdue(issued: Issued, now_us: int) -> bool:
    """Whether it should be back."""
    return now_us - issued.since_us > issued.overdue_h * HOUR_US
