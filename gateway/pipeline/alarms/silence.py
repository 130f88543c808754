"""Which devices have fallen silent.

Each (device, kind of report) that is sent at fixed times is watched from its first report on. It
is silent after max(10 s, 3 x the kind's interval) without one (both numbers configured), and no
longer so at its next report. A device that signs off properly is no longer watched: being
switched off is not a fault; a last will or a lost link is no sign-off, and ends in silence.

Watched devices are persisted (state space ``presence``), so that one that vanishes while the
gateway restarts is missed too.

A heap of deadlines makes this cheap: a report only writes down the time; a deadline that comes
up and finds a newer report moves behind it. So each watch is looked at once per its time-out,
not once per report or per tick.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Final

import msgspec

from gateway.domain.ports import StateDelta
from gateway.domain.records import AlarmKind, AlarmPriority, AlarmSource
from gateway.pipeline.alarms.state import Cause

SPACE: Final = "presence"
"""The StateDelta space of watched devices."""
CODE_SILENT: Final = 197294
"""MDC_EVT_COMM_STATUS_CHANGE."""
_CONDITION: Final = "silent_"
DEADLINES_MIN: Final = 1024
"""Entries in the heap before dead ones are looked for."""
KINDS_MAX: Final = 8
"""Kinds of report watched per device."""


class Watch:
    """One kind of report of one device."""

    __slots__ = ("bed", "device_id", "heard", "kind", "silent", "timeout_s", "watched")

    def __init__(self, device_id: str, kind: str, bed: str, timeout_s: float) -> None:
        self.device_id = device_id
        self.kind = kind
        self.bed = bed
        self.timeout_s = timeout_s
        self.heard = 0.0
        """Monotonic time of the newest report."""
        self.silent = False
        self.watched = True


class _Presence(msgspec.Struct, array_like=True):
    device_id: str
    kind: str
    bed: str


class Silence:
    """The watches of every device, at most ``devices_max`` of them."""

    def __init__(self, devices_max: int) -> None:
        self._max = devices_max
        self._devices: dict[str, dict[str, Watch]] = {}
        self._deadlines: list[tuple[float, int, Watch]] = []
        self._deadlines_max = DEADLINES_MIN
        self._count = 0
        self.unwatched = 0
        """Watches refused because of the bounds."""

    def __len__(self) -> int:
        return sum(map(len, self._devices.values()))

    def find(self, device_id: str, kind: str) -> Watch | None:
        """The watch of one kind of report of a device."""
        kinds = self._devices.get(device_id)
        return None if kinds is None else kinds.get(kind)

    def begin(self, watch: Watch, mono: float, grace_s: float = 0.0) -> bool:
        """Watch from now on; False when a bound forbids it."""
        kinds = self._devices.get(watch.device_id)
        if kinds is None:
            if len(self._devices) >= self._max:
                self.unwatched += 1
                return False
            kinds = self._devices[watch.device_id] = {}
        elif len(kinds) >= KINDS_MAX:
            self.unwatched += 1
            return False
        kinds[watch.kind] = watch
        watch.heard = mono + max(0.0, grace_s - watch.timeout_s)
        self._push(watch)
        return True

    def heard_again(self, watch: Watch) -> None:
        """A silent device reported: its deadline runs again."""
        watch.silent = False
        self._push(watch)

    def due(self, mono: float) -> list[Watch]:
        """Those that have just fallen silent."""
        silent = []
        heap = self._deadlines
        while heap and heap[0][0] <= mono:
            watch = heapq.heappop(heap)[2]
            if not watch.watched:
                continue
            if watch.heard + watch.timeout_s > mono:
                self._push(watch)
            else:
                watch.silent = True
                silent.append(watch)
        return silent

    def end(self, device_id: str) -> list[Watch]:
        """Stop watching a device; its watches, to clear and to forget."""
        ended = list(self._devices.pop(device_id, {}).values())
        for watch in ended:
            watch.watched = False
        return ended

    def follow(self, timeout_of: Callable[[str], float]) -> list[Watch]:
        """Go on with changed time-outs by kind; the watches that end, whose kind has none."""
        ended = []
        for device_id, kinds in list(self._devices.items()):
            for watch in list(kinds.values()):
                watch.timeout_s = timeout_of(watch.kind)
                if watch.timeout_s <= 0:
                    watch.watched = False
                    del kinds[watch.kind]
                    ended.append(watch)
            if not kinds:
                del self._devices[device_id]
        self._deadlines.clear()
        for kinds in self._devices.values():
            for watch in kinds.values():
                if not watch.silent:
                    self._push(watch)
        return ended

    def presence(self, key: str) -> StateDelta:
        """Whether the watch of this key exists, as its state delta."""
        device_id, _, kind = key.rpartition("\n")
        watch = self.find(device_id, kind)
        return StateDelta(SPACE, key, None) if watch is None else presence(watch)

    def _push(self, watch: Watch) -> None:
        if len(self._deadlines) >= self._deadlines_max:
            # Devices that come and go leave dead entries behind: keep the living ones.
            living = [entry for entry in self._deadlines if entry[2].watched]
            heapq.heapify(living)
            self._deadlines[:] = living
            self._deadlines_max = max(DEADLINES_MIN, 2 * len(living))
        self._count += 1
        heapq.heappush(self._deadlines, (watch.heard + watch.timeout_s, self._count, watch))


def condition_of(kind: str) -> str:
    """``"silent_vitals"``."""
    return _CONDITION + kind


def is_silence(condition: str) -> bool:
    """Whether a condition of the gateway is a silence."""
    return condition.startswith(_CONDITION)


def cause_of(watch: Watch, priority: AlarmPriority) -> Cause:
    """The technical alarm of a silent device."""
    return Cause(
        condition=condition_of(watch.kind),
        code=CODE_SILENT,
        kind=AlarmKind.TECHNICAL,
        source=AlarmSource.GATEWAY,
        priority=priority,
        text=f"no {watch.kind} report for {watch.timeout_s:g} s",
        limit=watch.timeout_s,
    )


def key_of(watch: Watch) -> str:
    """The key of a watch in the state space."""
    return f"{watch.device_id}\n{watch.kind}"


def presence(watch: Watch) -> StateDelta:
    """The delta that remembers a watch, or forgets one that ended."""
    value = None
    if watch.watched:
        value = msgspec.msgpack.encode(_Presence(watch.device_id, watch.kind, watch.bed))
    return StateDelta(SPACE, key_of(watch), value)


def revive(value: bytes, timeout_s: float) -> Watch:
    """The watch that :func:`presence` remembered; ``timeout_s`` is set by the caller's kind.

    Raises:
        msgspec.DecodeError: it didn't.
    """
    saved = msgspec.msgpack.decode(value, type=_Presence)
    return Watch(saved.device_id, saved.kind, saved.bed, timeout_s)
