"""How many records have left, and how many were withheld, since the gateway started.

For the fleet, which asks whether a new policy has silenced a gateway. What left, where to and why
is the ledger's matter.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.domain.labels import Treatment


class Tally:
    """Counts over all destinations; on the loop's thread."""

    def __init__(self) -> None:
        self.left = 0
        self.withheld = 0

    def add(self, counts: Mapping[Treatment, int]) -> None:
        """Count one batch."""
        for treatment, records in counts.items():
            if treatment is Treatment.WITHHOLD:
                self.withheld += records
            else:
                self.left += records
