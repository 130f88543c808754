"""When the network's word of a device's link becomes a record (:class:`LinkState`).

Rules:

* A record says what is known from then on: cell, zones, quality. Another cell or zone is told at
  once, and so is the first quality there; another quality when it has moved by a step of
  :data:`STEPS_DB` since it was told last, and :data:`PACE_S` after the device's last record.
* A device that changes all the time is told :data:`BURST` times, then every :data:`PACE_S`; all
  devices together :data:`RECORDS_PER_S_MAX` times a second. What waits is told as it is by then.
* What was heard counts while the device has a session from where it was heard, and while no word
  of the platform's can have been missed. Then a record says that it is no longer known, and so
  does the next start for everybody of whom something was. Zones are the fence's, which knows them
  without a session.
* What the journal did not take is told again, at a tick.

No I/O. To be used on the loop's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, Protocol

from gateway.domain.network import LinkSeen
from gateway.domain.ports import (
    Clock,
    Counters,
    Outcome,
    Sink,
    StateDelta,
    StateView,
    Submission,
)
from gateway.domain.records import Attestation, LinkState, Provenance

SPACE: Final = "links"
"""Of the journal's state: the devices of whom something was told."""
PACE_S: Final = 10.0
BURST: Final = 4
RECORDS_PER_S_MAX: Final = 100
DEVICES_MAX: Final = 20_000
STEPS_DB: Final = (6.0, 3.0, 6.0)
"""Of power, quality, and signal to noise: what of a device that lies still varies by a few dB is no
news, and half of the power (3 dB) is little."""
SESSIONS_S: Final = 5.0
"""Sessions are looked at so often …"""
GONE_S: Final = 10.0
"""… and one that is missing for so long has ended: devices come back from where they were."""

SESSION_ENDED: Final = "session_ended"
UNHEARD: Final = "unheard"
"""The platform was away, had forgotten us, or spoke faster than it was heard."""
RESTARTED: Final = "restarted"
_SOURCE: Final = Provenance("mec", Attestation.GATEWAY)


class Known(NamedTuple):
    """What is known of a device's link; as in :class:`LinkState`."""

    cell: str = ""
    zones: tuple[str, ...] = ()
    rsrp_dbm: float | None = None
    rsrq_db: float | None = None
    sinr_db: float | None = None

    def over(self, seen: LinkSeen) -> Known:
        """With a word of the network's: what it does not say stays, unless the cell is another."""
        told = (seen.rsrp_dbm, seen.rsrq_db, seen.sinr_db)
        if seen.cell and seen.cell != self.cell:
            return Known(seen.cell, self.zones, *told)
        kept = (old if new is None else new for old, new in zip(self[2:], told, strict=True))
        return Known(self.cell, self.zones, *kept)

    @property
    def linked(self) -> bool:
        """Whether anything is known of the link itself."""
        return self != Known(zones=self.zones)


NOTHING: Final = Known()


def difference(told: Known, now: Known) -> str:
    """What is materially another: ``"cell"``, ``"zone"``, ``"quality"``; empty: nothing."""
    if told.cell != now.cell:
        return "cell"
    if told.zones != now.zones:
        return "zone"
    for before, after, step_db in zip(told[2:], now[2:], STEPS_DB, strict=True):
        if (before is None) != (after is None):
            return "quality"
        if before is not None and after is not None and abs(after - before) >= step_db:
            return "quality"
    return ""


class Live(Protocol):
    """Who has a session; implemented by ``security.livesessions``."""

    def addresses_of(self, device_id: str) -> frozenset[str]:
        """Where a device's sessions come from."""


class _Device:
    """One device."""

    __slots__ = (
        "addresses",
        "at_us",
        "flying",
        "heard_s",
        "missing",
        "network_us",
        "now",
        "paced_s",
        "told",
        "told_s",
        "told_us",
        "why",
    )

    def __init__(self, told: Known | None = NOTHING) -> None:
        self.told = told
        """As the journal has it; None: something, by a life before."""
        self.now = NOTHING
        self.at_us = 0
        """When ``now`` became so, and by the network's clock."""
        self.network_us = 0
        self.why = ""
        """Why less is known, if that is what changed last."""
        self.addresses: frozenset[str] = frozenset()
        """Where it was heard …"""
        self.heard_s = 0.0
        """… and when; monotonic."""
        self.missing: tuple[float, int] | None = None
        """Since when it has no session from there: monotonic, and the time."""
        self.flying = False
        """A record is on its way to the journal."""
        self.told_s = float("-inf")
        self.told_us = 0
        self.paced_s = 0.0
        """When everything that was told is paid for, at one record per ``PACE_S``; monotonic."""

    @property
    def cause(self) -> str:
        """What there is to tell; empty: nothing."""
        if self.told is None:
            return self.why or difference(NOTHING, self.now) or RESTARTED
        return (self.why if difference(self.told, self.now) else "") or difference(
            self.told, self.now
        )

    def may(self, cause: str, now_s: float) -> bool:
        """Whether it may be told now."""
        if self.flying or self.paced_s - now_s > (BURST - 1) * PACE_S:
            return False
        first = self.told is not None and self.told[2:] == NOTHING[2:]
        return cause != "quality" or first or now_s - self.told_s >= PACE_S


class LinkTelling:
    """All devices of a gateway.

    Args:
        sink: takes the records.
        live: whose sessions count.
        clock: of the gateway.
        counters: of it.
        active: whether a radio network is listened to; without, only what a life before told is
            taken back.
    """

    def __init__(
        self, sink: Sink, live: Live, clock: Clock, counters: Counters, *, active: bool
    ) -> None:
        self._sink = sink
        self._live = live
        self._clock = clock
        self._counters = counters
        self._active = active
        self._of: dict[str, _Device] = {}
        self._due: dict[str, None] = {}
        """Who has something to tell, the longest first."""
        self._left = RECORDS_PER_S_MAX
        self._looked_s = float("-inf")

    def restore(self, view: StateView) -> None:
        """Nothing is known any more of whomever a life before told something."""
        for device_id in sorted(view.items(SPACE)):
            device = self._of[device_id] = _Device(None)
            device.at_us, device.why = self._clock.now_us(), RESTARTED
            self._due[device_id] = None

    def heard(self, device_id: str, seen: LinkSeen) -> None:
        """The radio network tells how it hears a device with a session."""
        device = self._device(device_id)
        if device is None:
            return
        device.addresses, device.heard_s = seen.addresses, self._clock.monotonic()
        device.missing = None
        self._become(device_id, device, device.now.over(seen), network_us=seen.at_us)

    def stands(self, device_id: str, zones: Iterable[str]) -> None:
        """The fence knows in which zones a device is now."""
        found = tuple(sorted(zones))
        if device_id not in self._of and not found:
            return
        device = self._device(device_id)
        if device is not None and device.now.zones != found:
            now = device.now._replace(zones=found)
            self._become(device_id, device, now, network_us=device.network_us, why=device.why)

    def unheard(self, until_s: float) -> None:
        """Words may have been missed until this time (monotonic): older ones count no more."""
        for device_id, device in list(self._of.items()):
            if device.now.linked and device.heard_s < until_s:
                self._forget(device_id, device, UNHEARD, self._clock.now_us())

    def tick(self) -> None:
        """Once a second: sessions that ended, and what waited."""
        self._left = RECORDS_PER_S_MAX
        if not self._of:
            return
        now_s = self._clock.monotonic()
        if now_s - self._looked_s >= SESSIONS_S:
            self._looked_s = now_s
            self._look(now_s)
        self._tell(list(self._due))

    def _look(self, now_s: float) -> None:
        """Who has no session any more where it was heard, and of whom there is nothing to know."""
        now_us = self._clock.now_us()
        for device_id, device in list(self._of.items()):
            if not device.now.linked:
                self._drop_known(device_id, device)
            elif device.addresses & self._live.addresses_of(device_id):
                device.missing = None
            elif device.missing is None:
                device.missing = (now_s, now_us)
            elif now_s - device.missing[0] >= GONE_S:
                self._forget(device_id, device, SESSION_ENDED, device.missing[1])

    def _device(self, device_id: str) -> _Device | None:
        """Of whom something is known; None: it is one too many, or nobody listens."""
        found = self._of.get(device_id)
        if found is None and self._active and len(self._of) < DEVICES_MAX:
            found = self._of[device_id] = _Device()
        return found if self._active else None

    def _forget(self, device_id: str, device: _Device, why: str, at_us: int) -> None:
        device.missing = None
        self._become(device_id, device, Known(zones=device.now.zones), why=why, at_us=at_us)

    def _become(  # what is known, and since when
        self,
        device_id: str,
        device: _Device,
        now: Known,
        *,
        network_us: int = 0,
        why: str = "",
        at_us: int | None = None,
    ) -> None:
        device.now, device.network_us, device.why = now, network_us, why
        device.at_us = self._clock.now_us() if at_us is None else at_us
        if self._weigh(device_id, device):
            self._tell((device_id,))

    def _tell(self, devices: Iterable[str]) -> None:
        """Tell of these, as far as that is allowed now."""
        now_s = self._clock.monotonic()
        records: list[LinkState] = []
        deltas: list[StateDelta] = []
        told: list[tuple[str, _Device, Known]] = []
        for device_id in devices:
            device = self._of[device_id]
            cause = device.cause
            if self._left <= 0:
                break
            if not device.may(cause, now_s):
                continue
            self._left -= 1
            del self._due[device_id]
            if device.at_us < device.told_us:
                # A session is missed for a while before that is told, and what was told meanwhile
                # came first; unless the clock was set back.
                device.at_us = min(device.told_us, self._clock.now_us())
            records.append(_record(device_id, device, cause))
            value = None if device.now == NOTHING else b"1"
            if device.told is None or (device.told == NOTHING) != (value is None):
                deltas.append(StateDelta(SPACE, device_id, value))
            device.flying = True
            told.append((device_id, device, device.now))
        if records:
            self._sink.submit(Submission(records, self._done(told, records), deltas))

    def _done(
        self, told: list[tuple[str, _Device, Known]], records: list[LinkState]
    ) -> Callable[[Outcome], None]:
        def done(outcome: Outcome) -> None:
            now_s = self._clock.monotonic()
            for (device_id, device, known), record in zip(told, records, strict=True):
                device.flying = False
                if outcome is Outcome.COMMITTED:
                    device.told, device.told_s, device.told_us = known, now_s, record.at_us
                    device.paced_s = max(device.paced_s, now_s) + PACE_S
                    if device.now == known:
                        device.why = ""
                    self._counters.add("link_states", record.cause)
                self._weigh(device_id, device)

        return done

    def _weigh(self, device_id: str, device: _Device) -> bool:
        """Whether there is something to tell, which is then due."""
        if device.cause:
            self._due[device_id] = None
            return True
        self._due.pop(device_id, None)
        self._drop_known(device_id, device)
        return False

    def _drop_known(self, device_id: str, device: _Device) -> None:
        """Forget a device of which nothing is known, and nothing was told otherwise."""
        over = device.paced_s <= self._clock.monotonic()
        if device.told == device.now == NOTHING and not device.flying and over:
            self._of.pop(device_id, None)


def _record(device_id: str, device: _Device, cause: str) -> LinkState:
    return LinkState(
        device_id,
        _SOURCE,
        device.at_us,
        cause,
        device.network_us,
        *device.now,
    )
