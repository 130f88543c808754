"""What the journal did not take of a device that repeats nothing: a Gap, once it takes again."""

from __future__ import annotations

from functools import partial

import msgspec

from gateway.domain.ports import Outcome, Ports, Submission
from gateway.domain.records import Gap


class Untaken:
    """One device's; :meth:`settled` is what its submissions' ``done`` calls."""

    def __init__(self, device_id: str, ports: Ports) -> None:
        self._device_id = device_id
        self._ports = ports
        self._refused: Gap | None = None

    def settled(self, at_us: int, count: int, outcome: Outcome) -> None:
        """So many records of that time were committed, or refused."""
        if outcome is not Outcome.COMMITTED:
            self._ports.counters.add("not_taken", outcome.value, n=count)
            begun = self._refused or Gap("not_taken", self._device_id, from_us=at_us, to_us=at_us)
            self._refused = msgspec.structs.replace(
                begun, to_us=at_us, reports=begun.reports + count
            )
        elif self._refused is not None:
            gap, self._refused = self._refused, None
            self._ports.sink.submit(Submission([gap], partial(self._gap_settled, gap)))

    def _gap_settled(self, gap: Gap, outcome: Outcome) -> None:
        """A Gap that was refused itself waits for the next commit, joined with what followed."""
        if outcome is not Outcome.COMMITTED:
            later = self._refused
            self._refused = (
                gap
                if later is None
                else msgspec.structs.replace(
                    later, from_us=gap.from_us, reports=gap.reports + later.reports
                )
            )
