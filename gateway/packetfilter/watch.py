"""The gateway's side: what the kernel counts becomes metrics, audit and alarms.

* ``unexpected_traffic``: packets of the gateway's user that nothing explains were refused. It
  begins when the counter grows, is audited with how many, and ends when it rests for a minute.
  What was seen is kept across a restart, so that whoever makes the gateway restart is seen, too.
* ``packetfilter_missing``: nobody says that the rules are in force, though ``[packet_filter]``
  requires them.

A counter that is less than before began anew (another boot): all of it is new then.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from gateway.config import GatewayConfig
from gateway.domain.decoding import UNDECODABLE
from gateway.domain.ports import Clock, Counters
from gateway.notices import Notices
from gateway.packetfilter import snapshot
from gateway.packetfilter.config import PacketFilterTable
from gateway.packetfilter.nft import Count
from gateway.packetfilter.ruleset import CLOSED, LISTENERS, REFUSED, STRANGERS
from gateway.packetfilter.snapshot import Snapshot, SnapshotError
from security.files import write_atomic
from security.identity import Auditor

log = logging.getLogger(__name__)

QUIET_S = 60.0
"""So long nothing must be refused for the alarm to end."""
SEEN_FILE = "packetfilter.json"
UNEXPECTED = "unexpected_traffic"
MISSING = "packetfilter_missing"
_FIXED = (LISTENERS, STRANGERS, REFUSED, "fleet", "est", "dns", "drivers")
_NONE = Count(0, 0)


class _Seen(msgspec.Struct, frozen=True):
    refused: int


class Around(NamedTuple):
    """Whom the watch tells."""

    counters: Counters
    audit: Auditor
    notices: Notices
    clock: Clock


class Watch:
    """Call :meth:`look` every second or so; it reads one small file."""

    def __init__(self, config: GatewayConfig, around: Around) -> None:
        self._around = around
        self._kept = config.gateway.state_dir / SEEN_FILE
        self._last: Mapping[str, Count] | None = None
        self._refused = self._restore()
        self._grew_at: float | None = None
        self._episode = 0
        """Packets refused in the episode under way."""
        self._began = around.clock.monotonic()
        self._missing = ""
        around.counters.set("packetfilter_missing", 0)
        self.follow(config)

    def follow(self, config: GatewayConfig) -> None:
        """Go on under a changed configuration."""
        self._gateway, self._tenant = config.gateway.name, config.gateway.tenant
        self._table: PacketFilterTable = config.packet_filter
        self._labels = labels(each.name for each in config.destinations)

    def look(self) -> None:
        """Read the counters' file and tell what is new."""
        now = self._around.clock.monotonic()
        try:
            found = self._read()
        except SnapshotError as error:
            self._is_missing(str(error), now)
        else:
            self._is_there(found, now)
        if self._grew_at is not None and now - self._grew_at >= QUIET_S:
            self._over()

    def _read(self) -> Snapshot:
        place = self._table.file(self._tenant)
        found = snapshot.read(place, self._gateway)
        age_s = (self._around.clock.now_us() - found.at_us) / 1e6
        if abs(age_s) > self._table.stale_s:
            raise SnapshotError(f"{place}: {age_s:.0f} s old")
        return found

    def _is_missing(self, why: str, now: float) -> None:
        # Both start at boot: the first seconds of either are no news.
        if not self._table.required or now - self._began < self._table.stale_s:
            return
        if not self._missing:
            log.error("the packet filter does not say that it is in force: %s", why)
            self._around.audit.record(MISSING, reason=why)
        self._missing = why
        self._around.counters.set("packetfilter_missing", 1)
        text = "Nobody says that the packet filter is in force"
        self._around.notices.condition(MISSING, text, active=True)

    def _is_there(self, found: Snapshot, now: float) -> None:
        if self._missing:
            self._around.audit.record("packetfilter_back", policy=found.policy)
            self._missing = ""
        self._around.counters.set("packetfilter_missing", 0)
        self._around.notices.condition(MISSING, "", active=False)
        counts = snapshot.counts(found)
        before = self._last or {}
        for name, count in counts.items():
            self._count(name, grown(before.get(name, _NONE), count))
        self._last = counts
        refused = counts.get(REFUSED, _NONE).packets
        new = refused if refused < self._refused else refused - self._refused
        self._refused = refused
        if new:
            self._grew(new, now)

    def _count(self, name: str, new: Count) -> None:
        label = label_of(name)
        if label in self._labels and new.packets:
            self._around.counters.add("packetfilter_packets", label, n=new.packets)
            self._around.counters.add("packetfilter_bytes", label, n=new.bytes)

    def _grew(self, packets: int, now: float) -> None:
        self._episode += packets
        first, self._grew_at = self._grew_at is None, now
        if not first:
            return
        log.error("%d packets of this gateway's user were refused: nothing explains them", packets)
        self._around.audit.record(UNEXPECTED, result="begins", packets=packets)
        text = "The kernel refused packets of the gateway that nothing explains"
        self._around.notices.condition(UNEXPECTED, text, active=True)
        self._keep()

    def _over(self) -> None:
        self._around.audit.record(UNEXPECTED, result="ended", packets=self._episode)
        self._around.notices.condition(UNEXPECTED, "", active=False)
        self._grew_at, self._episode = None, 0
        self._keep()

    def _restore(self) -> int:
        try:
            return msgspec.json.decode(self._kept.read_bytes(), type=_Seen).refused
        except (OSError, *UNDECODABLE):
            return 0

    def _keep(self) -> None:
        try:
            write_atomic(self._kept, msgspec.json.encode(_Seen(self._refused)))
        except OSError as error:
            log.error("what the packet filter counted can't be kept: %s", error)  # noqa: TRY400  # the cause is told


def labels(destinations: Iterable[str]) -> frozenset[str]:
    """Every value that the metrics' label may have."""
    names = list(destinations)
    return frozenset(
        (*_FIXED, *(f"to-{each}" for each in names), *(CLOSED + each for each in names))
    )


def label_of(counter: str) -> str:
    """The label of a counter: all drivers' share one."""
    return "drivers" if counter.startswith("driver-") else counter


def grown(before: Count, now: Count) -> Count:
    """What was added; everything, if it began anew."""
    if now.packets < before.packets or now.bytes < before.bytes:
        return now
    return Count(now.packets - before.packets, now.bytes - before.bytes)
