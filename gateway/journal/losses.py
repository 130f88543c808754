"""What of the journal is lost, and whether a Gap record says so already."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping

from gateway.domain.labels import Lane
from gateway.domain.records import Gap
from gateway.journal.lane import LaneLog
from gateway.journal.store import KnownLoss
from gateway.journal.types import Lost

_log = logging.getLogger(__name__)


class Losses:
    """Lost ranges of all lanes, none of which crosses an epoch; thread-safe."""

    def __init__(self, known: Iterable[KnownLoss]) -> None:
        self._lock = threading.Lock()
        self._known = list(known)

    def of(self, lane: Lane) -> list[Lost]:
        """The ranges of one lane."""
        return [loss.lost for loss in self._known if loss.lane == lane]

    def add(self, log: LaneLog, fresh: Iterable[Lost]) -> None:
        """Ranges that were found only now; no Gap record tells of them."""
        for lost in fresh:
            _log.error(
                "lost records %d..%d of lane %s: %s",
                lost.first,
                lost.last,
                log.lane.name.lower(),
                lost.reason,
            )
            at = lost.first
            while at <= lost.last:
                last = min(lost.last, log.epoch_end(at))
                loss = KnownLoss(log.lane, Lost(at, last, lost.reason), recorded=False)
                with self._lock:
                    self._known.append(loss)
                at = last + 1

    @property
    def has_gaps(self) -> bool:
        """Whether ``gaps`` has any."""
        return any(not loss.recorded for loss in self._known)

    def gaps(self, epoch_of: Callable[[Lane, int], int]) -> list[Gap]:
        """What no Gap record tells of yet."""
        return [
            Gap(
                reason=loss.lost.reason,
                lane=int(loss.lane),
                epoch=epoch_of(loss.lane, loss.lost.first),
                first_seq=loss.lost.first,
                last_seq=loss.lost.last,
                reports=loss.lost.last - loss.lost.first + 1,
            )
            for loss in self._known
            if not loss.recorded
        ]

    def recorded(self, gaps: Iterable[Gap]) -> None:
        """Gap records tell of these."""
        done = {(gap.lane, gap.first_seq) for gap in gaps}
        with self._lock:
            self._known = [
                loss._replace(recorded=loss.recorded or (loss.lane, loss.lost.first) in done)
                for loss in self._known
            ]

    def keep_behind(self, forgotten: Mapping[Lane, int]) -> list[KnownLoss]:
        """Drop what is recorded and forgotten up to these numbers; the rest."""
        with self._lock:
            self._known = [
                loss
                for loss in self._known
                if not loss.recorded or loss.lost.last > forgotten[loss.lane]
            ]
            return self._known
