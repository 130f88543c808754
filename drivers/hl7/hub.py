"""All connections of one listener: who they are, what is shared between them, and time.

- A certificate may hold ``connections_per_device`` connections; a gateway for many devices uses
  several. Speaking in turns from several addresses makes a clone, as it does over CoAP.
- A sender that lost its answers sends again, and is answered again; one that does so endlessly is
  braked, over all its connections. What it repeats is stored once by the intake, which remembers
  message ids across restarts; what is remembered here is for the brake alone.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Final

from drivers.base.connection import Wire
from drivers.base.served import GATEWAY_STOPPED
from drivers.hl7.config import Hl7Config
from drivers.hl7.senders import NAME, Senders, VouchedDevices
from drivers.hl7.session import Session
from drivers.transport.clones import CloneWatch
from drivers.transport.dtls.rates import HandshakeRates
from drivers.transport.tls import Peer
from gateway.domain.devices import CertificateCredential, Device
from gateway.domain.errors import RefusalReason, RefusedError
from gateway.domain.ports import Ports, Submission
from gateway.domain.records import Attestation, DeviceState, DeviceStatus, Provenance

TURNS: Final = 6
"""Changes between addresses that make a clone; a gateway with two interfaces makes one or two."""
SENDERS_REMEMBERED_MAX: Final = 1024
IDS_REMEMBERED: Final = 256
"""Of each sender; eight bytes each, and their place."""


class Hub:
    """See the module; everything runs on the loop's thread."""

    def __init__(
        self,
        ports: Ports,
        config: Hl7Config,
        soon: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        """Begin without a connection.

        Args:
            ports: the gateway's.
            config: of the driver.
            soon: calls a function in the loop's next turn; without it the running loop does.
        """
        self.ports = ports
        self.soon = soon or asyncio.get_running_loop().call_soon
        self.vouched = VouchedDevices(ports.admission)
        self._config = config
        self.senders = Senders(config)
        self._repeats = HandshakeRates(config.repeats, config.repeats_per_s)
        self._recent: OrderedDict[str, OrderedDict[int, None]] = OrderedDict()
        self._sessions: set[Session] = set()
        self._connected: Counter[str] = Counter()
        self._speaking: dict[str, str] = {}
        """The address that spoke last, of each device with several connections."""
        self._clones = CloneWatch(TURNS)
        self._began_s = ports.clock.now_us() // 1_000_000
        self._answers = 0

    @property
    def config(self) -> Hl7Config:
        """In force; senders follow it at once, sizes with the next connection."""
        return self._config

    @config.setter
    def config(self, config: Hl7Config) -> None:
        before, self._config = self._config, config
        self.senders = Senders(config)
        self.vouched.clear()  # whoever spoke for a device may no longer
        if (config.repeats, config.repeats_per_s) != (before.repeats, before.repeats_per_s):
            self._repeats = HandshakeRates(config.repeats, config.repeats_per_s)

    @property
    def sessions(self) -> frozenset[Session]:
        """All that have not ended."""
        return frozenset(self._sessions)

    def connect(self, peer: Peer, wire: Wire) -> Session:
        """A connection was made.

        Raises:
            RefusedError: its certificate is not let in, or has enough connections.
        """
        session = Session(peer.name, wire, self)
        admission = self.ports.admission
        credential = CertificateCredential(peer.certificate, NAME, peer.name)
        device = session.device = admission.admit(credential, session)
        if self._connected[device.device_id] >= self._config.connections_per_device:
            admission.leave(session)
            admission.refuse(RefusalReason.OVERLOADED, NAME, peer.name, device.device_id)
            raise RefusedError(RefusalReason.OVERLOADED)
        self._sessions.add(session)
        self._connected[device.device_id] += 1
        if self._connected[device.device_id] == 1:
            self._tell(device, DeviceState.ONLINE, "connected")
        self._show()
        return session

    def left(self, session: Session, reason: str) -> None:
        """A session ended."""
        if session not in self._sessions:
            return
        self._sessions.remove(session)
        self.ports.admission.leave(session)
        device = session.device
        self._connected[device.device_id] -= 1
        if not self._connected[device.device_id]:
            del self._connected[device.device_id]
            self._speaking.pop(device.device_id, None)
            self.vouched.forget_of(device.device_id)
            if reason != GATEWAY_STOPPED:  # our own end says nothing of the device
                self._tell(device, DeviceState.OFFLINE, reason)
        self._show()

    def is_clone(self, session: Session) -> bool:
        """Whether several addresses with one certificate speak too often in turns."""
        device_id = session.device.device_id
        if self._connected[device_id] < 2:
            return False
        before = self._speaking.get(device_id, session.host)
        self._speaking[device_id] = session.host
        if before == session.host:
            return False
        now_s = self.ports.clock.monotonic()
        if not self._clones.taken_over(device_id, before, session.host, now_s):
            return False
        self.ports.admission.refuse(RefusalReason.CLONE, NAME, session.peer, device_id)
        return True

    def brakes(self, session: Session, control_id: str) -> bool:
        """Whether a message has to wait, because its sender repeats too much; notes it if not."""
        device_id = session.device.device_id
        recent = self._recent.setdefault(device_id, OrderedDict())
        self._recent.move_to_end(device_id)
        if len(self._recent) > SENDERS_REMEMBERED_MAX:
            self._recent.popitem(last=False)
        known = hash(control_id)
        if known in recent:
            return not self._repeats.take(device_id, self.ports.clock.monotonic())
        recent[known] = None
        if len(recent) > IDS_REMEMBERED:
            recent.popitem(last=False)
        return False

    def next_id(self) -> str:
        """MSH-10 of an answer."""
        self._answers += 1
        return f"{self._began_s:x}.{self._answers}"

    def tick(self) -> None:
        """Once a second."""
        now_s = self.ports.clock.monotonic()
        self._clones.tick(now_s)
        for session in tuple(self._sessions):
            session.tick(now_s)

    def _tell(self, device: Device, state: DeviceState, reason: str) -> None:
        status = DeviceStatus(
            device.device_id,
            device.kind,
            Provenance(NAME, Attestation.CERTIFICATE),
            self.ports.clock.now_us(),
            state,
            reason,
        )
        self.ports.sink.submit(Submission([status]))

    def _show(self) -> None:
        self.ports.counters.set("sessions", len(self._sessions), NAME)
