"""All sessions of one endpoint: one place per device, take-over, clones, time.

Rules:

- A device has one open session. Another CONNECT takes it over ([MQTT-3.1.4-2] of 3.1.1,
  [MQTT-3.1.4-3] of 5.0); a certificate that seems to be used twice is kept out for a while,
  with a technical alarm that commits together with the suspension and ends with it. The identity
  service is told, so that it is kept out on the other transports, too.
- A device may have ``UNOPENED_MAX`` connections that have not sent CONNECT, and connect only so
  often, so that one broken device can't use up the places of the others.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import NamedTuple

import msgspec

from drivers.base.connection import Wire
from drivers.mqtt import mapping
from drivers.mqtt.config import MqttConfig
from drivers.mqtt.mapping import DRIVER
from drivers.mqtt.roles import Claimant, LateWill
from drivers.mqtt.session import Session
from drivers.mqtt.store import Store
from drivers.transport.clones import CloneWatch
from drivers.transport.dtls.rates import HandshakeRates
from drivers.transport.tls import Peer
from gateway.domain.devices import CertificateCredential, Device
from gateway.domain.errors import RefusalReason, RefusedError
from gateway.domain.ports import Outcome, Ports, StateDelta, Submission
from gateway.domain.records import AlarmPhase

log = logging.getLogger(__name__)

UNOPENED_MAX = 4
SUSPENSIONS = "mqtt.suspended"
MICROSECONDS = 1_000_000


class Suspension(msgspec.Struct, frozen=True):
    """A device that is kept out, with its alarm; an entry of the state store."""

    alarm_id: str
    onset_us: int
    until_us: int
    kind: str = ""
    bed: str = ""


class _Due(NamedTuple):
    at: float
    will: LateWill


class Hub:
    """See the module; everything runs on the loop's thread."""

    def __init__(self, ports: Ports, config: MqttConfig) -> None:
        """Take over what was committed before."""
        self._ports = ports
        self._config = config
        self._store = Store(ports.state, ports.clock.now_us())
        self._sessions: set[Claimant] = set()
        self._open: dict[str, Claimant] = {}
        self._unopened: Counter[str] = Counter()
        self._connects = HandshakeRates(config.connects_per_device, config.connects_per_device_s)
        self._clones = CloneWatch()
        self._suspensions = {
            device_id: msgspec.json.decode(entry, type=Suspension)
            for device_id, entry in ports.state.items(SUSPENSIONS).items()
        }
        self._wills: dict[str, _Due] = {}
        self._paused = 0

    @property
    def config(self) -> MqttConfig:
        """For sessions to come."""
        return self._config

    @config.setter
    def config(self, config: MqttConfig) -> None:
        before, self._config = self._config, config
        rate = (config.connects_per_device, config.connects_per_device_s)
        if rate != (before.connects_per_device, before.connects_per_device_s):
            self._connects = HandshakeRates(*rate)

    @property
    def sessions(self) -> frozenset[Claimant]:
        """All connections, open or waiting for CONNECT."""
        return frozenset(self._sessions)

    def connect(self, peer: Peer, wire: Wire) -> Session:
        """A connection was made.

        Raises:
            RefusedError: its certificate is not let in.
        """
        session = Session(peer.name, wire, self, self._ports, self.config, self._store)
        device = self._ports.admission.admit(
            CertificateCredential(peer.certificate, DRIVER, peer.name), session
        )
        session.admitted(device)
        now_s = self._ports.clock.monotonic()
        too_often = not self._connects.take(device.device_id, now_s)
        if too_often or self._unopened[device.device_id] >= UNOPENED_MAX:
            self._ports.admission.leave(session)
            self._ports.admission.refuse(
                RefusalReason.OVERLOADED, DRIVER, peer.name, device.device_id
            )
            raise RefusedError(RefusalReason.OVERLOADED)
        self._unopened[device.device_id] += 1
        self._sessions.add(session)
        self._show()
        return session

    # What sessions call: see Place

    def claim(self, session: Claimant) -> str | None:
        """Take the device's place; see :class:`drivers.mqtt.roles.Place`."""
        device = session.device
        if device.device_id in self._suspensions:
            self._ports.admission.refuse(
                RefusalReason.SUSPENDED, DRIVER, session.peer, device.device_id
            )
            return None
        reason = "connected"
        old = self._open.get(device.device_id)
        if old is not None:
            suspected = self._clones.taken_over(
                device.device_id, old.host(), session.host(), self._ports.clock.monotonic()
            )
            if suspected:
                self._suspend(device)
                old.kill("suspended")
                # This connection is told why, and not cut as the device's others are.
                self._ports.admission.leave(session)
                self._ports.admission.refuse(
                    RefusalReason.CLONE, DRIVER, session.peer, device.device_id, told=True
                )
                return None
            old.taken_over()
            reason = "taken_over"
        self._wills.pop(device.device_id, None)
        self._opened(device.device_id)
        self._open[device.device_id] = session
        return reason

    def leave(self, session: Claimant, will: LateWill | None) -> None:
        """The session ended; see :class:`drivers.mqtt.roles.Place`."""
        if session not in self._sessions:
            return
        self._sessions.remove(session)
        device_id = session.device.device_id
        if self._open.get(device_id) is session:
            del self._open[device_id]
            if will is not None:
                at = self._ports.clock.monotonic() + will.delay_s
                self._wills[device_id] = _Due(at, will)
        elif not session.opened:
            self._opened(device_id)
        self._show()

    def paused(self, change: int) -> None:
        """Count sessions that are not read; see :class:`drivers.mqtt.roles.Place`."""
        self._paused += change
        self._ports.counters.set("paused_readers", self._paused)

    # Time

    def tick(self) -> None:
        """To be called about once a second."""
        now = self._ports.clock.monotonic()
        for session in tuple(self._sessions):
            session.tick(now)
        self._clones.tick(now)
        for device_id in [key for key, due in self._wills.items() if due.at <= now]:
            will = self._wills.pop(device_id).will
            self._ports.sink.submit(Submission([will.status(self._ports.clock.now_us())]))
        now_us = self._ports.clock.now_us()
        for device_id, suspension in list(self._suspensions.items()):
            if suspension.until_us <= now_us:
                self._readmit(device_id, suspension, now_us)

    def _suspend(self, device: Device) -> None:
        now_us = self._ports.clock.now_us()
        suspension = Suspension(
            alarm_id=f"clone-{device.device_id}-{now_us}",
            onset_us=now_us,
            until_us=now_us + round(self.config.clone_suspension_s * MICROSECONDS),
            kind=device.kind,
            bed=device.bed,
        )
        self._suspensions[device.device_id] = suspension
        log.warning("%s is used from two addresses and is kept out", device.device_id)
        self._raise(device, suspension, AlarmPhase.START, now_us)

    def _readmit(self, device_id: str, suspension: Suspension, now_us: int) -> None:
        del self._suspensions[device_id]
        log.warning("%s is let in again", device_id)
        device = Device(device_id, suspension.kind, bed=suspension.bed)
        self._raise(device, suspension, AlarmPhase.END, now_us)

    def _raise(
        self, device: Device, suspension: Suspension, phase: AlarmPhase, now_us: int
    ) -> None:
        alarm = mapping.clone_alarm(device, suspension.alarm_id, phase, suspension.onset_us, now_us)
        value = None if phase is AlarmPhase.END else msgspec.json.encode(suspension)
        delta = StateDelta(SUSPENSIONS, device.device_id, value)
        self._ports.counters.add(
            "alarms", alarm.priority.name.lower(), phase.name.lower(), alarm.source.name.lower()
        )
        self._ports.sink.submit(Submission([alarm], _log_unless_kept, alarm_deltas=[delta]))

    def _opened(self, device_id: str) -> None:
        """A connection of the device stopped waiting for CONNECT."""
        self._unopened[device_id] -= 1
        if not self._unopened[device_id]:
            del self._unopened[device_id]

    def _show(self) -> None:
        self._ports.counters.set("sessions", len(self._sessions), DRIVER)


def _log_unless_kept(outcome: Outcome) -> None:
    if outcome is Outcome.FAILED:
        log.error("a suspension could not be written to the journal")
