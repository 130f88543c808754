"""The fleet's HTTPS listener: TLS with an optional client certificate, handshakes counted.

The accept loop is the one of the device listeners, which bounds what is half open, audits whose
certificate is refused and sends the alert; only metric names differ here.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Sequence

from cryptography import x509

from drivers.transport.addresses import BACKLOG_CONNECTIONS, Address, parse_address
from drivers.transport.tls import ListenerLimits, TlsListener
from fleet.config import WebTable
from fleet.web.http import Handler, HttpEnd, HttpLimits
from gateway.domain.devices import Credential, Device
from gateway.domain.errors import ConfigError, RefusalReason, RefusedError
from gateway.domain.ports import Counters, LiveSession
from security import pki
from security.files import TlsFiles
from security.identity import Auditor
from security.tls import enrolment_context, files_signature

TRANSPORT = "est"

log = logging.getLogger(__name__)


class EnrolmentTls:
    """The current context and roots; built anew when a file or the manufacturers have changed."""

    def __init__(self, files: TlsFiles) -> None:
        """Build; whose birth certificates are believed is to be set before it is used.

        Raises:
            ConfigError: the files can't be used.
        """
        self._files = files
        self.births: Callable[[], bytes] = bytes
        self._built_of = self._sources()
        self._context, self._roots = self._build()

    def context(self) -> ssl.SSLContext:
        """For a new connection."""
        self._refresh()
        return self._context

    def roots(self) -> Sequence[x509.Certificate]:
        """Of our own trust domain."""
        self._refresh()
        return self._roots

    def _refresh(self) -> None:
        try:
            sources = self._sources()
            if sources == self._built_of:
                return
            self._context, self._roots = self._build()
        except (OSError, ConfigError) as error:
            # What was loaded last stays in force.
            log.error("the enrolment listener's certificates: %s", error)  # noqa: TRY400  # the cause is told
            return
        self._built_of = sources

    def _sources(self) -> tuple[object, bytes]:
        return files_signature(self._files), self.births()

    def _build(self) -> tuple[ssl.SSLContext, Sequence[x509.Certificate]]:
        return (
            enrolment_context(self._files, self.births()),
            tuple(pki.load_certificates(self._files.trust)),
        )


class WebListener:
    """Serves one handler over HTTPS."""

    def __init__(  # its collaborators, each a port
        self,
        handler: Handler,
        context: Callable[[], ssl.SSLContext],
        config: WebTable,
        counters: Counters,
        audit: Auditor,
    ) -> None:
        """Keep the parts; opens nothing."""
        self._handler = handler
        self._context = context
        self._config = config
        self._ports = _Ports(counters, audit)
        self._end: HttpEnd | None = None
        self._listener: TlsListener | None = None

    async def start(self) -> Address:
        """Bind and serve; returns where.

        Raises:
            ConfigError: the address can't be bound.
        """
        config = self._config
        limits = HttpLimits(
            config.connection_s,
            config.idle_s,
            config.connections_max,
            config.connections_per_address_max,
        )
        self._end = HttpEnd(self._handler, limits, self._ports.overloaded)
        self._listener = TlsListener(
            TRANSPORT,
            self._end.protocol,
            self._context,
            self._ports,
            self._ports,
            ListenerLimits(config.connections_max, config.handshakes_max),
        )
        try:
            await self._listener.start([parse_address(config.listen)])
        except OSError as error:
            raise ConfigError(f"web.listen: can't bind {config.listen}") from error
        return self._listener.addresses()[0]

    async def stop(self) -> None:
        """Stop accepting and end every connection; idempotent."""
        if self._listener is not None:
            await self._listener.stop()
        if self._end is not None:
            await self._end.stop()

    def healthy(self) -> bool:
        """Whether it accepts."""
        return self._listener is not None and self._listener.healthy()


class PlainListener:
    """Serves one handler over plain HTTP, for what is signed and public."""

    def __init__(self, handler: Handler, listen: str, limits: HttpLimits) -> None:
        """Keep the parts; opens nothing."""
        self._handler = handler
        self._listen = listen
        self._limits = limits
        self._end: HttpEnd | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> Address:
        """Bind and serve; returns where.

        Raises:
            ConfigError: the address can't be bound.
        """
        end = self._end = HttpEnd(self._handler, self._limits, lambda: None)
        host, port = parse_address(self._listen)
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: end.protocol(lambda: None), host, port, backlog=BACKLOG_CONNECTIONS
            )
        except OSError as error:
            raise ConfigError(f"revocation.listen: can't bind {self._listen}") from error
        host, port, *_ = self._server.sockets[0].getsockname()
        return str(host), int(port)

    async def stop(self) -> None:
        """Stop accepting and end every connection; idempotent."""
        if self._server is not None:
            self._server.close()
        if self._end is not None:
            await self._end.stop()

    def healthy(self) -> bool:
        """Whether it accepts."""
        return self._server is not None and self._server.is_serving()


class _Ports:
    """What the listener asks of a gateway, answered by the fleet."""

    def __init__(self, counters: Counters, audit: Auditor) -> None:
        self._counters = counters
        self._audit = audit

    def add(self, name: str, *labels: str, n: float = 1) -> None:
        match name, labels:
            case "handshakes", _:
                self._counters.add("web_handshakes", n=n)
            case "handshakes_failed", (_, reason):
                self._counters.add("web_handshakes_failed", reason, n=n)
            case "refused", (reason, _):
                self._counters.add("enrolment_refused", reason, n=n)
            case _:
                raise KeyError(name)

    def set(self, name: str, value: float, *labels: str) -> None:
        self._counters.set(name, value, *labels)

    def observe(self, name: str, seconds: float, *labels: str) -> None:
        self._counters.observe(name, seconds, *labels)

    def overloaded(self) -> None:
        self._counters.add("enrolment_refused", RefusalReason.OVERLOADED)

    def admit(self, credential: Credential, session: LiveSession) -> Device:  # noqa: ARG002  # the port's
        raise RefusedError(RefusalReason.IDENTITY_MISMATCH, "no device talks here")

    def leave(self, session: LiveSession) -> None:
        """Nobody is admitted, so nobody leaves."""

    def refuse(
        self,
        reason: str,
        transport: str,
        peer: str,
        device_id: str = "",
        *,
        told: bool = False,  # noqa: ARG002  # the port's
    ) -> None:
        self._counters.add("enrolment_refused", reason)
        self._audit.refused(reason, transport, peer, device_id)
