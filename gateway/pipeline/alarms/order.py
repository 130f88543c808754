"""Which message changed a condition last, so that an older one does not change it back.

A group's alarms are durable before its telemetry. When that telemetry is refused, or the power
goes in between, the device sends its messages again: the first of them are older than the alarms
that stand, and would end them and begin them anew. Rules:

- Per condition the id of the last message that changed it is kept, also after the alarm's end,
  and is committed with the alarm's record (state space ``alarm.changed``).
- A message says nothing of a condition that itself or a later one has changed. Later is what the
  same boot gave a greater number. Numbers further back than the duplicate window reaches are no
  repetitions: there a device counts anew without a new boot, and must be heard.
- Messages without ``boot:n`` have no order; each counts.
- Bounded: the condition that changed longest ago is forgotten.
"""

from __future__ import annotations

from typing import Final

from gateway.domain.ports import StateDelta, StateView
from gateway.pipeline.duplicates import NUMBER_DIGITS_MAX

SPACE: Final = "alarm.changed"
_Numbered = tuple[str, int]


class Order:
    """The last change of every condition, by its full key.

    Args:
        window: of duplicates, in messages.
        conditions_max: kept at most.
    """

    def __init__(self, window: int, conditions_max: int) -> None:
        self._window = window
        self._max = conditions_max
        self._last: dict[str, _Numbered] = {}
        """The condition that changed last is the last one."""

    def __len__(self) -> int:
        return len(self._last)

    def is_old(self, key: str, message_id: str) -> bool:
        """Whether a later message, or this one, has changed the condition already."""
        last = self._last.get(key)
        if last is None:
            return False
        this = _numbered(message_id)
        if this is None or this[0] != last[0]:
            return False
        return last[1] - self._window < this[1] <= last[1]

    def changed(self, key: str, message_id: str) -> str:
        """Note a change; the key of the condition that is forgotten for it, or nothing."""
        this = _numbered(message_id)
        if this is None:
            return ""
        self._last.pop(key, None)
        forgotten = ""
        if len(self._last) >= self._max:
            forgotten = next(iter(self._last))
            del self._last[forgotten]
        self._last[key] = this
        return forgotten

    def delta(self, key: str) -> StateDelta:
        """What is known of a condition at present."""
        last = self._last.get(key)
        return StateDelta(SPACE, key, None if last is None else f"{last[0]}:{last[1]}".encode())

    def restore(self, view: StateView) -> None:
        """Take over what was committed."""
        for key, value in view.items(SPACE).items():
            self.changed(key, value.decode("utf-8", "replace"))


def _numbered(message_id: str) -> _Numbered | None:
    boot, colon, number = message_id.rpartition(":")
    plain = number.isascii() and number.isdecimal() and len(number) <= NUMBER_DIGITS_MAX
    if not colon or not plain:
        return None
    return boot, int(number)
