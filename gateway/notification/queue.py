"""What waits for one outlet: high before medium before low, and a storm in one sentence.

Rules:

1. Of an alarm at most its newest notification waits, so that what waits is bounded by the alarms
   that stand. While one of an alarm is under way, its next one waits behind it.
2. High priority is never left out and passes everything.
3. Of the others at most ``waiting_max`` wait. The oldest of the lowest priority make room: they are
   *summarised*, which means that one message says how many there are. It goes before what waits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from gateway.domain.records import AlarmPriority

_DESCENDING = tuple(sorted(AlarmPriority, reverse=True))
_YIELDING = (AlarmPriority.LOW, AlarmPriority.MEDIUM)


class Queue:
    """Alarm ids in the order in which they are to be told; no I/O."""

    def __init__(self, waiting_max: int) -> None:
        self._max = waiting_max
        self._waiting: dict[AlarmPriority, dict[str, None]] = {each: {} for each in _DESCENDING}
        self._priority: dict[str, AlarmPriority] = {}
        """Of what waits."""
        self._under_way: set[str] = set()
        self._behind: dict[str, AlarmPriority] = {}
        """Put while their alarm was under way."""
        self._summarised: dict[str, AlarmPriority] = {}
        self._telling: tuple[str, ...] = ()
        """Summarised, and under way."""

    def __len__(self) -> int:
        """How many wait, one by one or summarised."""
        return len(self._priority) + len(self._behind) + len(self._summarised)

    def follow(self, waiting_max: int) -> None:
        """Go on under another bound."""
        self._max = waiting_max
        self._make_room()

    def put(self, alarm_id: str, priority: AlarmPriority) -> None:
        """An alarm's newest notification is to be told; it keeps its place if one waits."""
        if alarm_id in self._under_way:
            self._behind[alarm_id] = priority
            return
        before = self._priority.get(alarm_id)
        if before is priority:
            return
        if before is not None:
            del self._waiting[before][alarm_id]
        self._summarised.pop(alarm_id, None)
        self._priority[alarm_id] = priority
        self._waiting[priority][alarm_id] = None
        self._make_room()

    def drop(self, alarm_id: str) -> None:
        """Nothing of an alarm is to be told any more; what is under way stays so."""
        before = self._priority.pop(alarm_id, None)
        if before is not None:
            del self._waiting[before][alarm_id]
        self._behind.pop(alarm_id, None)
        self._summarised.pop(alarm_id, None)

    def forget(self, alarm_id: str) -> bool:
        """As :meth:`drop`; False when something of it is under way."""
        if alarm_id in self._under_way:
            return False
        self.drop(alarm_id)
        return True

    @property
    def has_summary(self) -> bool:
        """Whether the next thing to tell is how many wait."""
        urgent = self._waiting[AlarmPriority.HIGH]
        return bool(self._summarised) and not self._telling and not urgent

    def take(self) -> str | None:
        """The alarm to tell of next; it is under way until :meth:`settle`."""
        for waiting in self._waiting.values():
            for alarm_id in waiting:
                del waiting[alarm_id]
                del self._priority[alarm_id]
                self._under_way.add(alarm_id)
                return alarm_id
        return None

    def settle(self, alarm_id: str) -> None:
        """What was under way has arrived, or has not."""
        self._under_way.discard(alarm_id)
        priority = self._behind.pop(alarm_id, None)
        if priority is not None:
            self.put(alarm_id, priority)

    def take_summary(self) -> Mapping[AlarmPriority, int]:
        """How many there are that are not told one by one; under way until it is settled."""
        self._telling = tuple(self._summarised)
        return Counter(self._summarised.values())

    def settle_summary(self, *, arrived: bool) -> tuple[str, ...]:
        """The summary has arrived, or has not: which alarms it was about."""
        told, self._telling = self._telling, ()
        if arrived:
            told = tuple(each for each in told if self._summarised.pop(each, None) is not None)
        return told

    def _make_room(self) -> None:
        waiting = sum(len(self._waiting[each]) for each in _YIELDING)
        for priority in _YIELDING:
            of_it = self._waiting[priority]
            while waiting > self._max and of_it:
                alarm_id = next(iter(of_it))
                del of_it[alarm_id]
                del self._priority[alarm_id]
                self._summarised[alarm_id] = priority
                waiting -= 1
