"""Every device and its fence: what the network says of zones comes in, what follows goes out.

Rules:

* Devices are those of the registry with a GPSI, and those that the configuration gives an address.
  Who is told of besides is counted, and nobody's.
* A zone's word that is older than what is known of the device and that zone changes nothing
  (:mod:`gateway.fence.words`).
* Several zones may overlap. A device is inside while it is in one of those where it may be.
* Who is outside is told to :class:`~gateway.network.watch.SimWatch` as ``outside_fence``: alarm,
  quarantine and refusal, their end, and their memory over a restart are there.
* Silence raises one alarm about the gateway, and holds no device back.
* A device's place follows only what the network says for ``settle_s`` without a break
  (:mod:`gateway.fence.following`).

No I/O. To be used on the loop's thread.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from gateway.domain.devices import Device, Standing
from gateway.domain.errors import MalformedError
from gateway.domain.network import ZoneEvent, parse_gpsi
from gateway.fence.config import EVERYWHERE, ClassTable, FenceConfig, Roaming, Scheme
from gateway.fence.machine import TABLE, Input, State
from gateway.fence.ports import Around, Found
from gateway.fence.words import Words

log = logging.getLogger(__name__)

CONDITION: Final = "fence_unknown"
ORDINARY: Final = ClassTable()
_TEXT: Final = "Where devices are is not known: the network tells nothing of its zones"


class _Seen:
    """What is known of one device."""

    __slots__ = (
        "class_name",
        "since_mono",
        "since_us",
        "state",
        "until_mono",
        "ward",
        "words",
    )

    def __init__(self, class_name: str, state: State) -> None:
        self.class_name = class_name
        self.state = state
        self.until_mono = 0.0
        """The end of its grace."""
        self.words = Words()
        self.ward = ""
        self.since_mono = 0.0
        self.since_us = 0


class Fence:
    """All devices of a gateway."""

    def __init__(self, config: FenceConfig, around: Around) -> None:
        self._around = around
        self._seen: dict[str, _Seen] = {}
        """Bounded by the registry."""
        self._device_of: dict[str, str] = {}
        self._directory: dict[str, Device] | None = None
        """None: nobody says which devices there are."""
        self._silent = False
        self._follow(config)

    @property
    def config(self) -> FenceConfig:
        """What is in force."""
        return self._config

    def _follow(self, config: FenceConfig) -> None:
        self._config = config
        self._campus, self._wards = config.campus, config.wards
        self._zones = frozenset(config.names)
        self._by_device = {m: name for name, each in config.classes.items() for m in each.devices}
        self._by_kind = {kind: name for name, each in config.classes.items() for kind in each.kinds}

    # Who is fenced

    def restore(self, *, registry: bool) -> None:
        """Go on with who was outside, after the watch was restored; without a fence, forget all.

        Args:
            registry: somebody will say which devices there are. Otherwise those that the
                configuration names are all.
        """
        named = self._named()
        if not self._config:
            self._around.following.keep(())
        for device_id in sorted(self._around.watch.outside()):
            if self._config and (registry or device_id in named):
                self._seen[device_id] = _Seen(self._class_of(device_id), State.OUTSIDE)
            else:
                self._around.watch.fenced(device_id, outside=False)
        for device_id in sorted(named):
            seen = self._seen.setdefault(device_id, _Seen(self._class_of(device_id), State.UNKNOWN))
            if not registry:
                self._reclassed(device_id, seen)
        self._show()

    def directory(self, devices: Iterable[Device]) -> None:
        """The registry changed: whoever it no longer knows is no longer outside."""
        if not self._config:
            return
        self._directory = {
            each.device_id: each for each in devices if each.standing is not Standing.RETIRED
        }
        self._device_of = {
            each.network.gpsi: name for name, each in self._directory.items() if each.network.gpsi
        }
        fenced = {*self._device_of.values(), *self._named()}
        for device_id in sorted(self._seen.keys() - fenced):
            del self._seen[device_id]
            self._around.on_zones(device_id, ())
            self._around.watch.fenced(device_id, outside=False)
        self._around.following.keep(fenced)
        for device_id in sorted(fenced):
            name = self._class_of(device_id)
            seen = self._seen.setdefault(device_id, _Seen(name, State.UNKNOWN))
            seen.class_name = name
            self._reclassed(device_id, seen)
        self._show()

    def follow(self, config: FenceConfig) -> None:
        """Go on under changed classes and times; zones and addresses are as at the start."""
        if config == self._config:
            return
        self._follow(config)
        for device_id, seen in self._seen.items():
            seen.class_name = self._class_of(device_id)
            self._reclassed(device_id, seen)
        self._show()

    def addresses(self) -> tuple[str, ...]:
        """Every device's address, as the location service is asked for it; in order."""
        form: Callable[[str], str] = (
            (lambda number: f"tel:+{number}")
            if self._config.scheme is Scheme.TEL
            else (lambda number: f"acr:{number}")
        )
        made = {form(gpsi.removeprefix("msisdn-")) for gpsi in self._device_of}
        return tuple(sorted({*made, *self._config.addresses}))

    # What the network says

    def told(self, event: ZoneEvent) -> None:
        """Somebody is in a zone, or no longer."""
        if event.zone not in self._zones:
            self._around.counters.add("fence_told", "unknown_zone")
            return
        now_us = self._around.clock.now_us()
        for address in event.addresses:
            device_id = self._find(address)
            seen = self._seen.get(device_id)
            if seen is None:
                self._around.counters.add("fence_told", "unknown_device")
                continue
            if not seen.words.told(event.zone, event.at_us, now_us, here=event.here):
                self._around.counters.add("fence_told", "old")
                continue
            self._around.counters.add("fence_told", "in" if event.here else "out")
            self._judge(device_id, seen, nowhere=Input.OUT)
        self._show()

    def looked(self, found: Mapping[str, Mapping[str, int]], asked_us: int) -> None:
        """The network was asked who is where.

        Args:
            found: zone -> address -> since when it is known, 0: not said; every zone that was
                asked, also those with nobody in them.
            asked_us: when the first of them was; what is known of later stays.
        """
        self._heard()
        there: dict[str, dict[str, int]] = {}
        for zone in found.keys() & self._zones:
            for address, at_us in found[zone].items():
                there.setdefault(self._find(address), {})[zone] = at_us
        for device_id, seen in self._seen.items():
            here = there.get(device_id, {})
            for zone in found.keys() & self._zones:
                if zone in here:
                    seen.words.seen(zone, here[zone], asked_us)
                else:
                    seen.words.unseen(zone, asked_us)
            self._judge(device_id, seen, nowhere=Input.ABSENT)
        self._show()

    def silent(self) -> None:
        """The network tells nothing any more."""
        if self._silent or not self._config:
            return
        self._silent = True
        self._around.audit.record("fence_silent")
        self._around.bell.condition(CONDITION, _TEXT, active=True)
        for device_id, seen in self._seen.items():
            seen.words.clear()
            self._around.on_zones(device_id, ())
            self._feed(device_id, seen, Input.SILENT)
            self._stand(seen, "")
        self._show()

    def tick(self) -> None:
        """Every second or so: graces that end, and places that follow."""
        mono = self._around.clock.monotonic()
        changed, roams, settle_s = False, self._roams, self._config.settle_s
        for device_id, seen in self._seen.items():
            if seen.state is State.LEFT and mono >= seen.until_mono:
                self._feed(device_id, seen, Input.GRACE_OVER)
                changed = True
            follows = roams and seen.ward and seen.state is not State.OUTSIDE
            if follows and mono - seen.since_mono >= settle_s:
                self._around.following.settled(device_id, seen.ward, seen.since_us)
        self._around.following.tick()
        if changed:
            self._show()

    def list(self) -> list[Found]:
        """Every device, by name."""
        return [
            Found(
                device_id,
                seen.class_name,
                seen.state,
                tuple(sorted(seen.words.zones)),
                seen.ward,
                seen.words.newest_us,
            )
            for device_id, seen in sorted(self._seen.items())
        ]

    # How it is done

    def _heard(self) -> None:
        self._silent = False
        self._around.bell.condition(CONDITION, "", active=False)

    def _named(self) -> set[str]:
        """Devices with an address of the configuration that a registry, if any, knows."""
        known = self._directory
        return {each for each in self._config.addresses.values() if known is None or each in known}

    def _find(self, address: str) -> str:
        """The device behind an address; empty: nobody's."""
        named = self._config.addresses.get(address)
        if named is not None:
            return named
        scheme, colon, rest = address.partition(":")
        number = rest if colon and scheme.lower() in {"tel", "acr", "sip", "sips"} else address
        try:
            gpsi = parse_gpsi(number.partition("@")[0].partition(";")[0])
        except MalformedError:
            return ""
        return self._device_of.get(gpsi, "")

    def _registered(self, device_id: str) -> Device | None:
        return None if self._directory is None else self._directory.get(device_id)

    def _class_of(self, device_id: str) -> str:
        device = self._registered(device_id)
        named = self._by_device.get(device_id)
        return named or self._by_kind.get(device.kind if device else "", "")

    def _table(self, seen: _Seen) -> ClassTable:
        return self._config.classes.get(seen.class_name, ORDINARY)

    def _judge(self, device_id: str, seen: _Seen, nowhere: Input | None = None) -> None:
        """Find where a device is by everything that was said of it.

        Args:
            device_id: which.
            seen: what is known of it.
            nowhere: what it means if it is in no zone; None: nothing.
        """
        zones = seen.words.zones
        self._around.on_zones(device_id, zones)
        allowed = frozenset(self._table(seen).zones) or self._campus
        if EVERYWHERE in allowed and (zones or nowhere is not Input.ABSENT):
            self._feed(device_id, seen, Input.IN)
        elif zones:
            self._feed(device_id, seen, Input.IN if zones & allowed else Input.OUT)
        elif nowhere is not None:
            self._feed(device_id, seen, nowhere)
        newest = seen.words.newest(zone for zone in zones if zone in self._wards)
        if newest:
            self._stand(seen, self._wards[newest])
        elif nowhere is not None:
            self._stand(seen, "")

    def _feed(self, device_id: str, seen: _Seen, told: Input) -> None:
        before, now = seen.state, TABLE[seen.state, told]
        if now is before:
            return
        seen.state = now
        if now is State.LEFT:
            grace_s = self._table(seen).grace_s
            grace_s = self._config.grace_s if grace_s is None else grace_s
            seen.until_mono = self._around.clock.monotonic() + grace_s
        elif now is State.OUTSIDE:
            log.warning("%s has left the zones where it may be", device_id)
            self._answer(device_id, seen)
            self._move(device_id, "")
        elif before is State.OUTSIDE:
            log.info("%s is back in the zones where it may be", device_id)
            self._answer(device_id, seen)
            # It stands where it belongs until it is seen elsewhere, for long enough from now on.
            self._since(seen)
            device = self._registered(device_id)
            self._move(device_id, device.ward if device else "")

    def _reclassed(self, device_id: str, seen: _Seen) -> None:
        """Its class, or what that means, may be another; also than before a restart."""
        self._judge(device_id, seen)
        self._answer(device_id, seen)

    def _answer(self, device_id: str, seen: _Seen) -> None:
        outside = seen.state is State.OUTSIDE
        self._around.watch.fenced(device_id, outside=outside, answer=self._table(seen).outside)

    def _stand(self, seen: _Seen, ward: str) -> None:
        """It is seen in a ward now; whether its place follows is the tick's.

        The time is ours: a network's clock that is wrong must not move a place into the past.
        """
        if ward == seen.ward:
            return
        seen.ward = ward
        self._since(seen)

    def _since(self, seen: _Seen) -> None:
        seen.since_mono = self._around.clock.monotonic()
        seen.since_us = self._around.clock.now_us()

    @property
    def _roams(self) -> bool:
        return self._config.roaming is Roaming.FOLLOW

    def _move(self, device_id: str, ward: str) -> None:
        if self._roams:
            self._around.following.move(device_id, ward, self._around.clock.now_us())

    def _show(self) -> None:
        counts = Counter(each.state for each in self._seen.values())
        for state in State:
            self._around.counters.set("fence_devices", counts[state], state.value)
        self._around.counters.set("fence_silent", self._silent)
