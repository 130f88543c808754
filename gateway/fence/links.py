"""How well devices are heard, as the network last said: for people, not for decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from gateway.domain.network import LinkSeen
from gateway.domain.ports import Clock

DEVICES_MAX: Final = 20_000


class Links:
    """The last word of each device, in memory alone."""

    def __init__(
        self,
        devices_at: Callable[[frozenset[str]], Iterable[str]],
        clock: Clock,
        on_heard: Callable[[str, LinkSeen], None] = lambda _device_id, _seen: None,
    ) -> None:
        """Know nothing yet.

        Args:
            devices_at: whose sessions are at these addresses now.
            clock: for words without a time.
            on_heard: told of each word of a device that is not older than the one before, as it
                came.
        """
        self._on_heard = on_heard
        self._devices_at = devices_at
        self._clock = clock
        self._of: dict[str, LinkSeen] = {}

    def told(self, seen: LinkSeen) -> None:
        """The network says something of whoever is at these addresses; an older word is left."""
        now_us = self._clock.now_us()
        at_us = min(seen.at_us or now_us, now_us)
        for device_id in self._devices_at(seen.addresses):
            before = self._of.pop(device_id, None)
            if before is not None and before.at_us > at_us:
                self._of[device_id] = before
                continue
            self._of[device_id] = _over(before, msgspec.structs.replace(seen, at_us=at_us))
            self._on_heard(device_id, seen)
        while len(self._of) > DEVICES_MAX:
            del self._of[next(iter(self._of))]

    def all(self) -> Mapping[str, LinkSeen]:
        """By device."""
        return dict(self._of)


def _over(before: LinkSeen | None, seen: LinkSeen) -> LinkSeen:
    """What is known then: what is not said stays, unless the cell is another."""
    if before is None or (seen.cell and seen.cell != before.cell):
        return seen
    names = ("cell", "rsrp_dbm", "rsrq_db", "sinr_db")
    kept = {name: getattr(before, name) for name in names if getattr(seen, name) in ("", None)}
    return msgspec.structs.replace(seen, **kept)
