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
import socket
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final

import aiocoap
import msgspec
from aiocoap.pipe import Pipe
from msgspec import Meta

from drivers.coap.endpoint import MessageInterface, Remote, attach
from drivers.coap.site import Link, Site
from drivers.transport.addresses import parse_address
from drivers.transport.clones import CloneWatch
from drivers.transport.dtls.handshakes import ServerLimits
from drivers.transport.dtls.server import STOPPED, DtlsServer
from drivers.transport.dtls.session import DtlsSession, peer_name
from gateway.domain.devices import Device
from gateway.domain.errors import RefusalReason
from gateway.domain.ports import Ports, Submission
from gateway.domain.records import Attestation, DeviceState, DeviceStatus, Provenance

logger = logging.getLogger(__name__)

NAME: Final = "coap"
_LIBRARY_LOGGER = "drivers.coap.library"


TURNS: Final = 6
"""Changes between addresses that make a clone. A device that roams makes one, or three when a late
datagram comes by the old way."""


class CoapConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One CoAP service, on one or several addresses."""

    listens_over: ClassVar[socket.SocketKind] = socket.SOCK_DGRAM

    listen: Annotated[tuple[str, ...], Meta(min_length=1, max_length=16)]
    """Literal addresses: ``"10.0.0.1:5684"``, ``"[::1]:5684"`` (5684 is registered for coaps,
    RFC 7252, 12.7); port 0 takes a free one, the same at each address that asks for one."""
    in_flight_max: Annotated[int, Meta(ge=1, le=65_536)] = 4096
    """Reports that may wait for the journal at once, about 4 KiB each."""
    dtls: ServerLimits = ServerLimits()
    """The bounds of each address."""


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
        self._servers = [self._new_server() for _ in config.listen]
        self._interface = MessageInterface(ports.clock.monotonic, self._stop_servers)
        self._context: _Context | None = None
        self._bound: list[tuple[str, int]] = []
        self._connected: Counter[str] = Counter()
        self._clones = CloneWatch(TURNS)
        self._speaking: dict[str, str] = {}
        """The address that spoke last, of each device with several sessions."""

    # -- Driver

    async def start(self) -> None:
        """Bind and answer.

        Raises:
            OSError: an address can't be bound; none is left open.
            ConfigError: there is no usable DTLS context, or an address is none.
        """
        addresses = [parse_address(each) for each in self._config.listen]
        context = _Context(self._site)
        await attach(context, self._interface)
        chosen = 0
        try:
            for server, (host, port) in zip(self._servers, addresses, strict=True):
                bound = await server.start(host, port or chosen)
                chosen = chosen or (bound[1] if not port else 0)
                self._bound.append(bound)
        except BaseException:
            self._stop_servers()
            raise
        self._context = context
        logger.info("%s answers on %s", self._instance, ", ".join(map(peer_name, self._bound)))

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
        self._stop_servers()
        await context.shutdown()

    def addresses(self) -> Mapping[str, tuple[str, int]]:
        """The first bound address, under the name ``coaps``."""
        return {"coaps": self._bound[0]} if self._bound else {}

    def healthy(self) -> bool:
        """Whether all sockets are open."""
        return all(server.listening() for server in self._servers)

    def _new_server(self) -> DtlsServer:
        return DtlsServer(
            NAME,
            self._ports.server_dtls,
            self,
            admission=self._ports.admission,
            counters=self._ports.counters,
            clock=self._ports.clock,
            limits=self._config.dtls,
        )

    def _stop_servers(self) -> None:
        for server in self._servers:
            server.stop()

    # -- SessionOwner

    def opened(self, session: DtlsSession) -> None:
        """An admitted device's session."""
        device = session.device
        local = peer_name(self._bound[0]) if self._bound else ""
        remote = _DeviceRemote(session, session.peer, local, (device.device_id,))
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
        if self._connected[link.device.device_id] > 1 and self._is_clone(session):
            return
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
            self._speaking.pop(device.device_id, None)
            if reason != STOPPED:  # our own end says nothing of the device
                self._tell(device, DeviceState.OFFLINE, reason)

    def _is_clone(self, session: DtlsSession) -> bool:
        """Whether sessions of one device from several addresses speak in turns, and now too often.

        A device that has moved speaks from the new address alone.
        """
        device_id, host = session.device.device_id, session.address[0]
        before = self._speaking.get(device_id, host)
        if before == host:
            self._speaking.setdefault(device_id, host)
            return False
        self._speaking[device_id] = host
        now = self._ports.clock.monotonic()
        self._clones.tick(now)
        if not self._clones.taken_over(device_id, before, host, now):
            return False
        self._ports.admission.refuse(RefusalReason.CLONE, NAME, session.peer, device_id)
        return True

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
