"""The health of the whole fleet, from the gateways' reports.

Rules:

* A device is behind the gateway that saw it last.
* A gateway without a report for ``gateway_dead_after_s``, attached or not, makes what is behind
  it ``UNKNOWN``.
* What a gateway says of a device that is not registered is counted and dropped.
* The last known health survives a restart of the fleet; it is written every few seconds, since
  losing seconds of it harms nobody.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from fleet.health import DeviceHealth, Facts, Health, HealthConfig
from fleet.store import DeviceRow, GatewayRow, HealthRow
from fleet.twins import Twins
from gateway.domain.devices import Standing
from gateway.domain.ports import Clock, Counters
from protos.wardgate.v1 import fleet_pb2 as pb

ERROR_REASONS_MAX = 64
"""Twice what a gateway keeps per device."""

log = logging.getLogger(__name__)


class Registered(Protocol):
    """What the monitor needs of the registry."""

    devices: dict[str, DeviceRow]
    revoked_devices: frozenset[str]


class GatewayState:
    """One gateway, since the fleet started."""

    def __init__(self, row: GatewayRow, heard: float) -> None:
        self.row = row
        self.heard = heard
        """Monotonic time of the last report."""
        self.attached = False
        self.facts = pb.GatewayFacts()
        self.devices: set[str] = set()
        """Those that it saw last."""


class Monitor:
    """Takes reports, judges, counts; on the loop's thread."""

    def __init__(
        self, registry: Registered, config: HealthConfig, clock: Clock, counters: Counters
    ) -> None:
        self._registry = registry
        self._config = config
        self._clock = clock
        self._counters = counters
        self._dirty: set[str] = set()
        self._twins = Twins()
        self.on_twin: Callable[[str, str], None] = _ignore
        self.on_other_log: Callable[[str, str, int, str], None] = _ignore_log
        """Called with a gateway, the log that it had, how far it went, and the log that it has."""
        """Called with a device that is live behind two gateways, and the one that showed it."""
        for health in Health:
            counters.add("health_changes", health.name.lower(), n=0)
        counters.add("unregistered", n=0)
        self.gateways: dict[str, GatewayState] = {}
        self._health: dict[str, DeviceHealth] = {}

    def restore(self, gateways: list[GatewayRow], rows: list[HealthRow]) -> None:
        """Take what was last known."""
        now = self._clock.monotonic()
        for row in gateways:
            self.gateways[row.gateway] = GatewayState(row, now)
        for each in rows:
            health = DeviceHealth(Health(each.health), each.since_us)
            health.gateway = each.gateway
            health.facts = facts_of(pb.DeviceFacts.FromString(each.facts))
            self._health[each.device_id] = health
            if each.gateway in self.gateways:
                self.gateways[each.gateway].devices.add(each.device_id)

    def attached(self, gateway: str, software_version: str) -> None:
        """A gateway's stream has begun."""
        now_us = self._clock.now_us()
        state = self.gateways.get(gateway)
        if state is None:
            row = GatewayRow(gateway, now_us, now_us, software_version)
            state = self.gateways[gateway] = GatewayState(row, self._clock.monotonic())
        state.row = state.row._replace(software_version=software_version)
        state.attached = True
        log.info("gateway %s attached, version %s", gateway, software_version)

    def detached(self, gateway: str) -> None:
        """Its stream has ended."""
        self.gateways[gateway].attached = False
        log.info("gateway %s detached", gateway)

    def is_heard(self, gateway: str) -> bool:
        """Whether a gateway is attached and has reported lately."""
        state = self.gateways.get(gateway)
        if state is None or not state.attached:
            return False
        return self._clock.monotonic() - state.heard <= self._config.gateway_dead_after_s

    def unheard_s(self, gateway: str) -> float:
        """Seconds since a gateway reported; since the fleet's own start, if it has not."""
        state = self.gateways.get(gateway)
        return 0.0 if state is None else self._clock.monotonic() - state.heard

    def report(self, gateway: str, report: pb.HealthReport) -> list[str]:
        """Take a report; returns devices that were heard of for the first time."""
        self._counters.add("reports")
        state = self.gateways[gateway]
        state.heard = self._clock.monotonic()
        state.row = state.row._replace(last_us=self._clock.now_us())
        state.facts = report.gateway
        self._keep_head(state, report.gateway.audit)
        told = {each.device_id: facts_of(each) for each in report.devices}
        fresh = self._place(gateway, state, told)
        self._compare(gateway, told)
        now_us = self._clock.now_us()
        for device_id in state.devices:
            device = self._registry.devices[device_id]
            health = self._health[device_id]
            facts = told.get(device_id, health.facts)
            changed = health.observe(
                facts,
                report.sent_us,
                now_us,
                device.expected_firmware,
                self._config,
                twin=self._twins.is_twin(device_id),
            )
            self._dirty.add(device_id)
            if changed:
                self._changed(device_id, health)
        return fresh

    def tick(self) -> None:
        """Judge silent gateways, and set the gauges; to be called every second."""
        now, now_us = self._clock.monotonic(), self._clock.now_us()
        self._twins.tick(now)
        for state in self.gateways.values():
            if now - state.heard > self._config.gateway_dead_after_s:
                for device_id in state.devices:
                    health = self._health[device_id]
                    if health.cut(now_us):
                        self._dirty.add(device_id)
                        self._changed(device_id, health)
        counts = self.counts()
        for each in Health:
            self._counters.set("devices", counts[each], each.name.lower())
        faults = Counter(fault for health in self._health.values() for fault in health.faults)
        for fault in ("battery", "clock", "errors", "certificate", "firmware", "clone"):
            self._counters.set("device_faults", faults[fault], fault)
        attached = sum(state.attached for state in self.gateways.values())
        self._counters.set("gateways", attached, "yes")
        self._counters.set("gateways", len(self.gateways) - attached, "no")

    def health(self, device_id: str) -> DeviceHealth:
        """The health of a device; unknown when nothing was heard of it."""
        return self._health.get(device_id) or DeviceHealth()

    def counts(self) -> Mapping[Health, int]:
        """How many devices are in each state; the retired and the revoked don't count."""
        return Counter(
            self.health(device.device_id).health
            for device in self._registry.devices.values()
            if device.standing is not Standing.RETIRED
            and device.device_id not in self._registry.revoked_devices
        )

    def unsaved(self) -> tuple[list[GatewayRow], list[HealthRow]]:
        """What changed since the last call, for the store."""
        rows = [
            HealthRow(
                device_id,
                int(health.health),
                health.since_us,
                health.gateway,
                facts_message(device_id, health.facts).SerializeToString(),
            )
            for device_id in self._dirty
            if (health := self._health.get(device_id)) is not None
        ]
        self._dirty.clear()
        return [state.row for state in self.gateways.values()], rows

    def _keep_head(self, state: GatewayState, audit: pb.AuditCheckpoint) -> None:
        """Keep the greatest state of a gateway's audit log, so that a cut end of it shows."""
        row = state.row
        before = pb.AuditCheckpoint.FromString(row.audit_head)
        other_log = bool(audit.log and before.log and audit.log != before.log)
        if other_log:
            log.error("gateway %s: it has begun another audit log", row.gateway)
            self.on_other_log(row.gateway, before.log, before.number, audit.log)
        if audit.number > row.audit_number or other_log:
            state.row = row._replace(
                audit_number=audit.number,
                audit_chain=audit.chain,
                audit_signature=audit.signature,
                audit_head=audit.SerializeToString() if audit.log else b"",
            )

    def _place(self, gateway: str, state: GatewayState, told: Mapping[str, Facts]) -> list[str]:
        """Put each device behind the gateway that saw it last; returns those never heard of."""
        fresh = []
        for device_id, facts in told.items():
            device = self._registry.devices.get(device_id)
            if device is None:
                self._counters.add("unregistered")
                continue
            health = self._health.get(device_id)
            if health is None:
                health = self._health[device_id] = DeviceHealth()
            if device.standing in {Standing.EXPECTED, Standing.ENROLLED}:
                fresh.append(device_id)
            if health.gateway == gateway:
                continue
            if health.gateway and facts.last_seen_us <= health.facts.last_seen_us:
                continue
            if health.gateway in self.gateways:
                self.gateways[health.gateway].devices.discard(device_id)
            health.gateway = gateway
            state.devices.add(device_id)
        return fresh

    def _compare(self, gateway: str, told: Mapping[str, Facts]) -> None:
        """Look for identities that are live behind another gateway, too."""
        live = {
            device_id: facts.last_seen_us
            for device_id, facts in told.items()
            if facts.connected and device_id in self._registry.devices
        }
        for device_id in self._twins.heard(gateway, live, self._clock.monotonic()):
            log.warning("device %s is live behind two gateways, %s is one", device_id, gateway)
            self.on_twin(device_id, gateway)

    def _changed(self, device_id: str, health: DeviceHealth) -> None:
        name = health.health.name.lower()
        self._counters.add("health_changes", name)
        log.info("device %s is %s %s", device_id, name, " ".join(sorted(health.faults)))


def _ignore_log(_gateway: str, _was: str, _entries: int, _is: str) -> None:
    """Nobody asks about logs."""


def _ignore(_device_id: str, _gateway: str) -> None:
    """Nobody is told."""


def facts_of(message: pb.DeviceFacts) -> Facts:
    """A gateway's words as facts."""
    errors = dict(sorted(message.errors.items())[:ERROR_REASONS_MAX])
    return Facts(
        driver=message.driver,
        last_seen_us=message.last_seen_us,
        connected=message.connected,
        messages=message.messages,
        marked_values=message.marked_values,
        errors=errors,
        clock_offset_us=message.clock_offset_us if message.HasField("clock_offset_us") else None,
        battery_percent=message.battery_percent if message.HasField("battery_percent") else None,
        firmware=message.firmware,
        certificate_end_us=(
            message.certificate_end_us if message.HasField("certificate_end_us") else None
        ),
    )


def facts_message(device_id: str, facts: Facts) -> pb.DeviceFacts:
    """Facts as they came."""
    return pb.DeviceFacts(device_id=device_id, **msgspec.structs.asdict(facts))
