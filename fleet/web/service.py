"""Enrolment as a part of the fleet service: puts its pieces together, starts and stops them."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography import x509

from fleet.claims import Claims
from fleet.config import FleetConfig, WebTable
from fleet.enrolment import Enrolment
from fleet.enrolment_store import EnrolmentStore
from fleet.registry import Registry
from fleet.store import Store
from fleet.web.est import EstResource
from fleet.web.listener import EnrolmentTls, WebListener
from gateway.domain.ports import Clock, Counters
from security import est, pki
from security.identity import Auditor


class Web:
    """Enrolment by the devices themselves, and renewal by whoever holds a certificate."""

    def __init__(  # the parts of the service that it needs
        self,
        config: FleetConfig,
        web: WebTable,
        store: Store,
        registry: Registry,
        clock: Clock,
        counters: Counters,
        audit: Auditor,
    ) -> None:
        """Build everything; opens nothing.

        Raises:
            ConfigError: the certificates can't be used.
        """
        self._web = web
        self._registry = registry
        self._port = 0
        kept = EnrolmentStore(store)
        table = config.enrolment
        self._tls = EnrolmentTls(config.tls.files)
        self.claims = Claims(kept, registry, self._tls.roots, table, clock, audit)
        self._tls.births = lambda: self.claims.births
        self.enrolment = Enrolment(kept, registry, table, clock, audit, counters, self.claims)
        resource = EstResource(
            self.enrolment, self.claims, self._ca_certificates, web, clock, counters, audit
        )
        self._listener = WebListener(resource.handle, self._tls.context, web, counters, audit)

    async def start(self) -> int:
        """Load, bind and serve; returns the port.

        Raises:
            ConfigError: the address can't be bound.
        """
        await self.claims.load()
        self._port = await self._listener.start()
        return self._port

    async def stop(self) -> None:
        """End every connection; idempotent."""
        await self._listener.stop()

    def healthy(self) -> bool:
        """Whether it accepts."""
        return self._listener.healthy()

    @property
    def root_pem(self) -> bytes:
        """What a device must trust to reach it."""
        return pki.to_pem(*self._tls.roots())

    @property
    def url(self) -> str:
        """Where devices enrol."""
        host, _, port = self._web.listen.rpartition(":")
        base = self._web.url.rstrip("/") or f"https://{host}:{self._port or port}"
        return f"{base}{est.PATH}"

    def _ca_certificates(self) -> Iterable[x509.Certificate]:
        return (*self._registry.issuers, *self._tls.roots())
