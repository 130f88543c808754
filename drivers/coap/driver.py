"""The CoAP driver: a DTLS listener, aiocoap's message layer, and the site above it.

Rules:

- A session is admitted by its certificate before the first message is read
  (:mod:`drivers.transport.dtls.server`); what it may do follows from that device alone.
- A device's first session gives a DeviceStatus ONLINE, the end of its last one OFFLINE.
- Stopping takes no new reports, waits for those under way, and says close_notify to all.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import aiocoap
import msgspec
from aiocoap.pipe import Pipe

from drivers.coap.endpoint import MessageInterface, Remote, attach
from drivers.coap.site import Link, Site
from drivers.transport.dtls.handshakes import ServerLimits
from drivers.transport.dtls.server import STOPPED, DtlsServer
from drivers.transport.dtls.session import DtlsSession, peer_name
from gateway.domain.devices import Device
from gateway.domain.ports import Ports, Submission
from gateway.domain.records import Attestation, DeviceState, DeviceStatus, Provenance

logger = logging.getLogger(__name__)

NAME: Final = "coap"
PORT: Final = 5684
"""RFC 7252, 12.7."""
_LIBRARY_LOGGER = "drivers.coap.library"


class CoapConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One listener."""

    host: str = "0.0.0.0"  # noqa: S104 - devices are on another network than the operator
    port: int = PORT
    in_flight_max: int = 4096
    """Reports that may wait for the journal at once, about 4 KiB each."""
    dtls: ServerLimits = ServerLimits()


class _Context(aiocoap.Context):  # type: ignore[misc]  # the library has no types
    """A context whose requests go straight to our site.

    The library would start a task for each; ours need none.
    """

    def __init__(self, site: Site) -> None:
        super().__init__(loop=asyncio.get_running_loop(), loggername=_LIBRARY_LOGGER)
        # The library logs repeated, late and odd messages: a peer could fill the log with them.
        self.log.setLevel(logging.ERROR)
        self._site = site

    def render_to_pipe(self, pipe: Pipe) -> None:
        """For the library: answer a request."""
        link: Link | None = pipe.request.remote.link
        if link is not None:
            self._site.answer(pipe, link)


class _DeviceRemote(Remote):
    """A session's remote, with the way back to what the driver keeps of it."""

    link: Link | None = None


class CoapDriver:
    """A Driver, and the owner of its server's sessions."""

    def __init__(self, name: str, config: CoapConfig, ports: Ports) -> None:
        self._instance = name
        self._config = config
        self._ports = ports
        self._site = Site(NAME, ports, config.in_flight_max)
        self._server = DtlsServer(
            NAME,
            ports.server_dtls,
            self,
            admission=ports.admission,
            counters=ports.counters,
            clock=ports.clock,
            limits=config.dtls,
        )
        self._interface = MessageInterface(ports.clock.monotonic, self._server.stop)
        self._context: _Context | None = None
        self._bound: tuple[str, int] | None = None
        self._connected: Counter[str] = Counter()

    # -- Driver

    async def start(self) -> None:
        """Bind and answer.

        Raises:
            OSError: the address can't be bound.
            ConfigError: there is no usable DTLS context.
        """
        context = _Context(self._site)
        await attach(context, self._interface)
        self._bound = await self._server.start(self._config.host, self._config.port)
        self._context = context
        logger.info("%s answers on %s:%d", self._instance, *self._bound)

    async def stop(self, grace_s: float) -> None:
        """Take no more reports, answer those under way, close all sessions; idempotent."""
        context, self._context = self._context, None
        if context is None:
            return
        self._site.draining = True
        if self._site.in_flight:
            idle = asyncio.Event()
            self._site.on_idle = idle.set
            try:
                async with asyncio.timeout(grace_s):
                    await idle.wait()
            except TimeoutError:
                logger.warning("%d reports stay unanswered", self._site.in_flight)
        self._server.stop()
        await context.shutdown()

    def addresses(self) -> Mapping[str, tuple[str, int]]:
        """The bound address, under the name ``coaps``."""
        return {} if self._bound is None else {"coaps": self._bound}

    def healthy(self) -> bool:
        """Whether the socket is open."""
        return self._server.listening()

    # -- SessionOwner

    def opened(self, session: DtlsSession) -> None:
        """An admitted device's session."""
        host, port = self._bound or ("", 0)
        device = session.device
        remote = _DeviceRemote(session, session.peer, peer_name((host, port)), (device.device_id,))
        remote.link = session.owned = Link(
            device,
            session.peer,
            remote,
            self._site.new_uploads(),
            Provenance(NAME, Attestation.CERTIFICATE),
        )
        self._connected[device.device_id] += 1
        if self._connected[device.device_id] == 1:
            self._tell(device, DeviceState.ONLINE, "connected")

    def received(self, session: DtlsSession, plaintext: bytes) -> None:
        """A message of a device."""
        link: Link = session.owned
        if not self._interface.received(link.remote, plaintext):
            self._ports.counters.add("malformed", NAME, "not_coap")

    def closed(self, session: DtlsSession, reason: str) -> None:
        """A session has ended."""
        link: Link = session.owned
        link.end()
        self._interface.ended(link.remote)
        device = session.device
        self._connected[device.device_id] -= 1
        if self._connected[device.device_id] == 0:
            del self._connected[device.device_id]
            if reason != STOPPED:  # our own end says nothing of the device
                self._tell(device, DeviceState.OFFLINE, reason)

    def _tell(self, device: Device, state: DeviceState, reason: str) -> None:
        status = DeviceStatus(
            device.device_id,
            device.kind,
            Provenance(NAME, Attestation.CERTIFICATE),
            self._ports.clock.now_us(),
            state,
            reason,
        )
        self._ports.sink.submit(Submission([status]))


class _Factory:
    """What the entry point names."""

    name = NAME
    config_type = CoapConfig

    def create(self, name: str, config: Any, ports: Ports) -> CoapDriver:
        """Make a driver; it opens nothing before ``start``."""
        return CoapDriver(name, config, ports)


FACTORY = _Factory()
